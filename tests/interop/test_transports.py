"""The transports on real sockets of loopback, both families: size, keep-alive, bounds, and a flood."""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from sipstack.account import Account
from sipstack.agent import Handlers
from sipstack.digest import Credentials
from sipstack.message import Request, Response, Uri, make_response
from sipstack.registration import Registration
from sipstack.resolver import Target
from sipstack.transport import Address, stream
from sipstack.transport.stream import StreamTransport
from sipstack.transport.udp import UdpTransport
from sipstack.useragent import UserAgent
from tests.interop.conftest import Start
from tests.interop.programs import HOST, Kamailio, free_port

Answer = tuple[int, str]


async def agent(host: str, *, tcp: bool, port: int = 0) -> UserAgent:
    """A user agent that answers OPTIONS with the transport of its Via as the reason."""
    loop = asyncio.get_running_loop()

    def on_request(request: Request, source: Address) -> Response:
        return make_response(request, 200, request.via.transport, to_tag="t")

    udp = UdpTransport(host, port, loop)
    transports: list[UdpTransport | StreamTransport] = [udp]
    if tcp:
        transports.append(StreamTransport(host, udp.local_address[1], loop))
        await transports[1].listen()  # type: ignore[union-attr]
    return UserAgent(transports, loop=loop, rng=random.Random(1), on_request=on_request)


async def ask(us: UserAgent, target: Target, size: int = 0) -> Answer:
    done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    literal = f"[{target.address[0]}]" if ":" in target.address[0] else target.address[0]
    request = Request("OPTIONS", f"sip:{literal}")
    request.add("Max-Forwards", "70")
    request.add("From", "<sip:a@example.net>;tag=1")
    request.add("To", f"<sip:{literal}>")
    request.add("Call-ID", us.token())
    request.add("CSeq", "1 OPTIONS")
    request.add("Subject", "x" * size)
    us.send_request(
        request,
        target,
        Handlers(
            lambda response, source: done.set_result((response.status, response.reason)),
            lambda status: done.set_result((status, "")),
        ),
    )
    async with asyncio.timeout(10):
        return await done


def with_agents(
    work: Callable[[UserAgent, UserAgent, int], Awaitable[None]], host: str, theirs_tcp: bool
) -> None:
    async def main() -> None:
        port = free_port(socket.SOCK_STREAM, host)
        us = await agent(host, tcp=True)
        them = await agent(host, tcp=theirs_tcp, port=port)
        try:
            await work(us, them, port)
        finally:
            us.close()
            them.close()
            await asyncio.sleep(0)

    asyncio.run(main())


@pytest.mark.parametrize("host", [HOST, "::1"])
def test_what_does_not_fit_a_datagram_goes_by_tcp_and_what_fits_by_udp(host: str) -> None:
    async def work(us: UserAgent, them: UserAgent, port: int) -> None:
        target = Target("UDP", (host, port))
        assert await ask(us, target) == (200, "UDP")
        assert await ask(us, target, 1200) == (200, "TCP")
        assert await ask(us, Target("TCP", (host, port))) == (200, "TCP")

    with_agents(work, host, theirs_tcp=True)


@pytest.mark.parametrize("host", [HOST, "::1"])
def test_where_there_is_no_tcp_it_goes_by_udp_all_the_same(host: str) -> None:
    async def work(us: UserAgent, them: UserAgent, port: int) -> None:
        target = Target("UDP", (host, port))
        assert await ask(us, target, 1200) == (200, "UDP")
        assert (host, port) in us._no_stream
        assert await ask(us, target, 1200) == (200, "UDP")

    with_agents(work, host, theirs_tcp=False)


class Peer(asyncio.Protocol):
    """The other end of a connection: counts pings, and answers those it is told to."""

    def __init__(self, pongs: int) -> None:
        self.pings = 0
        self.closed = asyncio.Event()
        self._pongs = pongs

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data == b"\r\n\r\n":
            self.pings += 1
            if self.pings <= self._pongs:
                assert isinstance(self._transport, asyncio.Transport)
                self._transport.write(b"\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()


@pytest.mark.parametrize(("pongs", "ends"), [(0, False), (2, True)])
def test_a_connection_is_pinged_and_ends_when_its_pongs_do(
    pongs: int, ends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PING", 0.1)
    monkeypatch.setattr(stream, "PONG", 0.05)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        peer = Peer(pongs)
        server = await loop.create_server(lambda: peer, HOST, 0)
        address = server.sockets[0].getsockname()
        lost: list[Address] = []
        ours = StreamTransport(HOST, 0, loop)
        ours.unreachable = lambda peer_address, transport: lost.append(peer_address)
        ours.send(b"OPTIONS sip:x SIP/2.0\r\n\r\n", address)
        if ends:
            async with asyncio.timeout(5):
                await peer.closed.wait()
            await asyncio.sleep(0.05)
            assert lost == [address]
        else:
            # A peer that knows no pings keeps its connection.
            await asyncio.sleep(0.6)
            assert peer.pings >= 3
            assert not peer.closed.is_set()
        ours.close()
        server.close()

    asyncio.run(main())


def test_one_peer_may_hold_so_many_connections_and_no_more() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours = StreamTransport(HOST, 0, loop)
        await ours.listen()
        held = []
        for _ in range(stream.CONNECTIONS_OF_ONE + 20):
            held.append(await asyncio.open_connection(*ours.local_address))
        await asyncio.sleep(0.2)
        assert len(ours._connections) <= stream.CONNECTIONS_OF_ONE
        for _, writer in held:
            writer.close()
        ours.close()

    asyncio.run(main())


FLOOD = """
import socket, sys, time
junk = [b"\\x00" * 20, b"INVITE x", b"SIP/2.0 200 OK\\r\\n\\r\\n", b"\\xff" * 900]
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.connect((sys.argv[1], int(sys.argv[2])))
end = time.monotonic() + float(sys.argv[3])
sent = 0
start = time.monotonic()
while (now := time.monotonic()) < end:
    while sent < (now - start) * 5000:
        try:
            out.send(junk[sent % 4])
        except OSError:
            pass
        sent += 1
    time.sleep(0.002)
print(sent)
"""


def test_a_flood_of_junk_does_not_stop_a_registration_from_refreshing(start: Start) -> None:
    proxy = start(Kamailio, min_expires=10)

    async def main() -> tuple[int, bool]:
        loop = asyncio.get_running_loop()
        udp = UdpTransport(HOST, 0, loop)
        us = UserAgent([udp], loop=loop, rng=random.Random(1))
        account = Account(
            name="trunk",
            domain=Uri.parse(f"sip:{HOST}:{proxy.port}"),
            username="2000",
            credentials=Credentials("2000", proxy.password),
            make_cnonce=us.token,
        )
        registered = 0

        def changed() -> None:
            nonlocal registered
            registered += registration.registered

        registration = Registration(us, account, expires=10, rng=random.Random(1), changed=changed)
        task = loop.create_task(registration.run())
        flood = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            FLOOD,
            HOST,
            str(udp.local_address[1]),
            "13",
            stdout=subprocess.PIPE,
        )
        sent = int((await flood.communicate())[0])
        assert sent > 40_000
        task.cancel()
        held = registration.registered
        us.close()
        return registered, held

    refreshed, held = asyncio.run(main())
    assert held
    assert refreshed >= 3
