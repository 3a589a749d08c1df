"""Sockets that fail: what cannot be bound, sent or taken is one port's, one datagram's or one connection's matter."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

from sipstack.resolver import DnsLookup
from sipstack.transport import stream
from sipstack.transport.stream import StreamTransport
from sipstack.transport.udp import UdpTransport
from tests.interop.programs import HOST


def test_a_port_that_is_taken_is_told_and_nothing_is_left_open() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind((HOST, 0))
            tcp.bind((HOST, 0))
            tcp.listen()
            with pytest.raises(OSError, match="in use"):
                UdpTransport(HOST, udp.getsockname()[1], loop)
            with pytest.raises(OSError, match="in use"):
                await StreamTransport(HOST, tcp.getsockname()[1], loop).listen()
            ports = udp.getsockname()[1], tcp.getsockname()[1]
        # They are free again: what could not be had is not held either.
        UdpTransport(HOST, ports[0], loop).close()
        stream_ = StreamTransport(HOST, ports[1], loop)
        await stream_.listen()
        stream_.close()

    asyncio.run(main())


class _Refusing:
    """A socket that refuses some datagrams first."""

    def __init__(self, real: socket.socket, *errors: OSError) -> None:
        self._real = real
        self._errors = list(errors)

    def sendto(self, data: bytes, destination: Any) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self._real.sendto(data, destination)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.parametrize(
    ("errors", "arrives", "raises"),
    [
        ([BlockingIOError()], False, False),
        ([ConnectionRefusedError()], True, False),
        ([OSError(errno.ENETUNREACH, "no way")] * 50, False, True),
    ],
)
def test_a_datagram_that_cannot_be_sent(errors: list[OSError], arrives: bool, raises: bool) -> None:
    """A full buffer is loss; an error of something sent before is not this one's; no way at all is told."""

    async def main() -> None:
        transport = UdpTransport(HOST, 0, asyncio.get_running_loop())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((HOST, 0))
            peer.settimeout(0.2)
            real = transport._socket
            transport._socket = _Refusing(real, *errors)  # type: ignore[assignment]
            if raises:
                with pytest.raises(OSError, match="no way"):
                    transport.send(b"x", peer.getsockname())
            else:
                transport.send(b"x", peer.getsockname())
            if arrives:
                assert peer.recv(10) == b"x"
            else:
                with pytest.raises(TimeoutError):
                    peer.recv(10)
        transport.close()

    asyncio.run(main())


class _Counting:
    """A socket that counts how often it is asked for a datagram, and how often in vain."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self.asked = self.in_vain = 0

    def recvfrom(self, size: int) -> Any:
        self.asked += 1
        try:
            return self._real.recvfrom(size)
        except BlockingIOError:
            self.in_vain += 1
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_datagrams_are_read_one_by_one_or_as_many_as_come_and_none_is_left() -> None:
    async def main() -> None:
        transport = UdpTransport(HOST, 0, asyncio.get_running_loop())
        transport._socket = counting = _Counting(transport._socket)  # type: ignore[assignment]
        got: list[bytes] = []
        transport.receiver = lambda data, source, transport: got.append(data)
        turns = 0

        async def arrived(number: int) -> None:
            nonlocal turns
            async with asyncio.timeout(30):
                while len(got) < number:
                    turns += 1
                    await asyncio.sleep(0)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for number in range(32):
                peer.sendto(b"now and then", transport.local_address)
                await arrived(number + 1)
            # Once in eight times it is asked whether there are more.
            assert (counting.asked, counting.in_vain) == (35, 3)
            turns = 0
            for number in range(200):
                peer.sendto(b"%d" % number, transport.local_address)
            await arrived(232)
            assert got[32:] == [b"%d" % number for number in range(200)]
            assert turns < 50
            peer.sendto(b"the last", transport.local_address)
            await arrived(233)
        transport.close()

    asyncio.run(main())


def test_a_connection_that_cannot_be_taken_is_not_the_end_of_all_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream, "EXHAUSTED", 0.01)

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        errors: list[OSError] = [ConnectionAbortedError(), OSError(errno.EMFILE, "too many")]
        accept = loop.sock_accept

        async def sometimes(listening: socket.socket) -> Any:
            if errors:
                raise errors.pop(0)
            return await accept(listening)

        monkeypatch.setattr(loop, "sock_accept", sometimes)
        transport = StreamTransport(HOST, 0, loop)
        await transport.listen()
        reader, writer = await asyncio.open_connection(*transport.local_address)
        writer.write(b"\r\n\r\n")
        pong = await asyncio.wait_for(reader.readexactly(2), 5.0)
        writer.close()
        transport.close()
        return pong

    assert asyncio.run(main()) == b"\r\n"
    assert "no connection can be taken" in caplog.text


def test_where_no_more_connections_are_held_a_new_one_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "CONNECTIONS", 0)

    async def main() -> bytes:
        transport = StreamTransport(HOST, 0, asyncio.get_running_loop())
        await transport.listen()
        reader, writer = await asyncio.open_connection(*transport.local_address)
        end = await asyncio.wait_for(reader.read(10), 5.0)
        writer.close()
        transport.close()
        return end

    assert asyncio.run(main()) == b""


def test_a_name_that_only_the_system_knows_is_asked_of_the_system() -> None:
    async def main() -> None:
        look_up = DnsLookup()
        assert "127.0.0.1" in (await look_up("localhost", "A")).records
        assert (await look_up("nobody.invalid", "A")).records == ()

    asyncio.run(main())
