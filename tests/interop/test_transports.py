"""The transports on real sockets of loopback, both families: size, keep-alive, bounds, and a flood."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from c2c_sip.config import Config, Sip, Trunk
from c2c_sip.service import bind
from sipstack import registration as registration_module
from sipstack.account import Account
from sipstack.agent import Handlers
from sipstack.digest import Credentials, DigestServer
from sipstack.message import Request, Response, Uri, make_response
from sipstack.registrar import Registrar
from sipstack.registration import Registration
from sipstack.resolver import Target
from sipstack.transport import Address, route, stream
from sipstack.transport.stream import StreamTransport
from sipstack.transport.udp import UdpTransport
from sipstack.useragent import UserAgent
from tests.interop.conftest import Start
from tests.interop.programs import HOST, Kamailio, free_port

Answer = tuple[int, str]


async def agent(host: str, *, tcp: bool) -> UserAgent:
    """A user agent that answers OPTIONS with the transport of its Via as the reason."""
    loop = asyncio.get_running_loop()

    def on_request(request: Request, source: Address) -> Response:
        return make_response(request, 200, request.via.transport, to_tag="t")

    for _ in range(20):
        udp = UdpTransport(host, 0, loop)
        stream = StreamTransport(host, udp.local_address[1], loop)
        try:
            await stream.listen()
            break
        except OSError:  # the port is somebody else's for TCP
            udp.close()
    transports: list[UdpTransport | StreamTransport] = [udp]
    if tcp:
        transports.append(stream)
    else:
        stream.close()
        await asyncio.sleep(0.01)
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
        us = await agent(host, tcp=True)
        them = await agent(host, tcp=theirs_tcp)
        try:
            await work(us, them, them._transports[0].local_address[1])
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
def test_the_service_takes_connections_beside_datagrams(host: str) -> None:
    """At the same port, or where that is somebody else's at another one; a trunk over TCP asks for no other."""
    literal = f"[{host}]" if ":" in host else host

    async def main() -> None:
        loop = asyncio.get_running_loop()
        trunk = Trunk(name="t", domain="t.test", username="u", transport="tcp")
        for taken in (False, True):
            port = free_port(host)
            other = socket.create_server((host, port), family=family(host)) if taken else None
            config = Config(sip=Sip(listen=(f"udp:{literal}:{port}",)), trunks=(trunk,))
            udp, tcp = await bind(config, loop)
            assert (udp.name, tcp.name) == ("UDP", "TCP")
            assert udp.local_address == (host, port)
            assert (tcp.local_address != (host, port)) == taken
            us = UserAgent([udp, tcp], loop=loop, rng=random.Random(1))
            them = await agent(host, tcp=True)
            target = Target("UDP", them._transports[0].local_address)
            assert await ask(us, target, 1200) == (200, "TCP")
            assert await ask(them, Target("TCP", tcp.local_address)) == (200, "OK")
            us.close()
            them.close()
            await asyncio.sleep(0.01)
            if other is not None:
                other.close()
        # Where it is said which connections are taken, there are no others.
        config = Config(sip=Sip(listen=(f"udp:{literal}:0", f"tcp:{literal}:0")))
        bound = await bind(config, loop)
        assert [one.name for one in bound] == ["UDP", "TCP"]
        for one in bound:
            one.close()
        await asyncio.sleep(0.01)

    asyncio.run(main())


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@pytest.mark.parametrize("host", [HOST, "::1"])
def test_where_there_is_no_tcp_it_goes_by_udp_all_the_same(host: str) -> None:
    async def work(us: UserAgent, them: UserAgent, port: int) -> None:
        target = Target("UDP", (host, port))
        assert await ask(us, target, 1200) == (200, "UDP")
        assert (host, port) in us._no_stream
        assert await ask(us, target, 1200) == (200, "UDP")

    with_agents(work, host, theirs_tcp=False)


def test_a_connection_that_something_swallows_holds_up_for_a_moment_only() -> None:
    async def work(us: UserAgent, them: UserAgent, port: int) -> None:
        # A queue that is full: the kernel drops whoever asks for another connection, as a firewall does.
        deaf = socket.socket()
        deaf.bind((HOST, port))
        deaf.listen(0)
        filling = [socket.socket() for _ in range(4)]
        for one in filling:
            one.setblocking(False)
            one.connect_ex((HOST, port))
        target = Target("UDP", (HOST, port))
        began = asyncio.get_running_loop().time()
        assert await ask(us, target, 1200) == (200, "UDP")
        assert asyncio.get_running_loop().time() - began < 5
        assert (HOST, port) in us._no_stream
        for one in (deaf, *filling):
            one.close()

    with_agents(work, HOST, theirs_tcp=False)


@pytest.mark.parametrize("host", [HOST, "::1"])
def test_where_nobody_is_icmp_says_so_and_only_there(host: str) -> None:
    async def work(us: UserAgent, them: UserAgent, port: int) -> None:
        nobody = Target("UDP", (host, free_port(host)))
        somebody = Target("UDP", (host, port))
        # Timer F would be 32 seconds, and the answer is waited for 10.
        answers = await asyncio.gather(
            *(ask(us, target) for target in (nobody, somebody, nobody, somebody))
        )
        assert answers == [(503, ""), (200, "UDP")] * 2

    with_agents(work, host, theirs_tcp=False)


def test_icmp_that_anybody_may_have_sent_ends_nothing() -> None:
    async def main() -> None:
        deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        deaf.bind((HOST, 0))
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        us = await agent(HOST, tcp=False)
        target = Target("UDP", deaf.getsockname())
        asked = asyncio.create_task(ask(us, target))
        octets = await loop.sock_recv(deaf, 2000)
        udp = us._transports[0]
        us._undelivered(target.address, "nobody", b"", udp)
        us._undelivered(target.address, "nobody", octets[:20], udp)
        us._undelivered((HOST, 9), "nobody", octets, udp)
        assert us.transactions == 1
        us._undelivered(target.address, "nobody", octets[:200], udp)
        assert await asked == (503, "")
        us.close()
        deaf.close()

    asyncio.run(main())


def test_a_stranger_is_answered_so_often_and_no_more_and_a_server_of_ours_always() -> None:
    async def work(us: UserAgent, them: UserAgent, port: int) -> None:
        loop = asyncio.get_running_loop()
        theirs = them._transports[0]
        request = (
            f"OPTIONS sip:{HOST} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:9;rport;branch=z9hG4bK%d\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:{HOST}>\r\nCall-ID: %d\r\n"
            "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        answered = 0

        def count(data: bytes, destination: Address, server_name: str = "") -> None:
            nonlocal answered
            answered += 1

        theirs.send = count  # type: ignore[method-assign]
        octets = [(request % (n, n)).encode() for n in range(2000)]
        for one in octets:
            them._receive(one, ("192.0.2.66", 9), theirs)
        assert 300 < answered < 700
        # Whoever they have something to do with is listened to, also if somebody else shouts in its name.
        them._acquaintance.know("192.0.2.67")
        answered = 0
        for one in octets:
            them._receive(one, ("192.0.2.67", 9), theirs)
        assert answered == 2000
        assert loop.is_running()

    with_agents(work, HOST, theirs_tcp=False)


def test_kamailio_says_by_stun_where_it_sees_us(start: Start) -> None:
    with_it, without = start(Kamailio, stun=True), start(Kamailio, name="without")

    async def main() -> None:
        us = await agent(HOST, tcp=False)
        binding = await us.ping(Target("UDP", (HOST, with_it.port)))
        assert binding is not None
        assert binding.mapped == us._transports[0].local_address
        assert await us.ping(Target("UDP", (HOST, without.port))) is None
        us.close()

    asyncio.run(main())


def test_a_registration_is_made_anew_when_its_connection_breaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registration_module, "CALM", 0.0)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        registrar = Registrar(DigestServer("p", b"s"), {"acct": "pw"}.get, new_tag=lambda: "t")
        sources: list[Address] = []

        def on_request(request: Request, source: Address) -> Response:
            if request.get("Authorization"):
                sources.append(source)
            return registrar.receive(request, source, loop.time())

        theirs = StreamTransport(HOST, 0, loop)
        await theirs.listen()
        them = UserAgent([theirs], loop=loop, rng=random.Random(2), on_request=on_request)
        us = await agent(HOST, tcp=True)
        account = Account(
            name="trunk",
            domain=Uri.parse(f"sip:{HOST}:{theirs.local_address[1]}"),
            username="acct",
            credentials=Credentials("acct", "pw"),
            transport="TCP",
            make_cnonce=us.token,
        )
        registration = Registration(us, account, expires=3600, rng=random.Random(1))
        us.connection_watchers.append(registration.connection_lost)
        task = loop.create_task(registration.run())
        await registration.settled.wait()
        assert registration.registered
        for connection in list(theirs._guests.values()):
            connection.close()
        async with asyncio.timeout(5):
            while len(sources) < 2:
                await asyncio.sleep(0.02)
        assert sources[0] != sources[1]
        task.cancel()
        us.close()
        them.close()
        await asyncio.sleep(0.01)

    asyncio.run(main())


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
        ours.unreachable = lambda peer_address, name, why, transport: lost.append(peer_address)
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


@pytest.mark.parametrize("host", [HOST, "::1"])
def test_a_connection_is_used_again_and_made_anew_when_it_broke(host: str) -> None:
    async def work(us: UserAgent, them: UserAgent, port: int) -> None:
        target = Target("TCP", (host, port))
        theirs = them._transports[1]
        assert isinstance(theirs, StreamTransport)
        for _ in range(3):
            assert await ask(us, target) == (200, "TCP")
        (first,) = theirs._guests
        theirs._guests[first].abort()
        await asyncio.sleep(0.05)
        assert await ask(us, target) == (200, "TCP")
        (second,) = theirs._guests
        assert first != second

    with_agents(work, host, theirs_tcp=True)


def test_a_connection_from_an_address_that_we_have_no_more_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(route, "ROUTE_LIFETIME", 0.0)
    address = "127.0.0.2"
    monkeypatch.setattr(route, "_ask_kernel", lambda destination: address)

    async def main() -> None:
        nonlocal address
        loop = asyncio.get_running_loop()
        peers = [Peer(0), Peer(0)]
        waiting = iter(peers)
        server = await loop.create_server(lambda: next(waiting), HOST, 0)
        target = server.sockets[0].getsockname()
        ours = StreamTransport("0.0.0.0", 0, loop)
        for number in range(2):
            ours.send(b"\r\n\r\n", target)
            async with asyncio.timeout(5):
                while not peers[number].pings:
                    await asyncio.sleep(0.01)
            assert ours.connect(target).local_host == address
            assert peers[number]._transport.get_extra_info("peername")[0] == address
            address = "127.0.0.3"
        async with asyncio.timeout(5):
            await peers[0].closed.wait()
        ours.close()
        server.close()

    asyncio.run(main())


def test_the_kernel_is_told_to_give_up_a_peer_that_is_gone_without_a_word() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        theirs, ours = (StreamTransport(HOST, 0, loop) for _ in range(2))
        await theirs.listen()
        ours.send(b"\r\n\r\n", theirs.local_address)
        async with asyncio.timeout(5):
            while not theirs._guests:
                await asyncio.sleep(0.01)
        for one in (ours.connect(theirs.local_address), *theirs._guests.values()):
            assert one._stream is not None
            connected = one._stream.get_extra_info("socket")
            milliseconds = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert milliseconds == 1000 * stream.STALLED
        ours.close()
        theirs.close()
        await asyncio.sleep(0.01)

    asyncio.run(main())


async def closed(reader: asyncio.StreamReader) -> bool:
    """Whether the other end closes within moments."""
    try:
        async with asyncio.timeout(1.5):
            while await reader.read(1000):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def test_a_guest_that_says_nothing_is_closed_and_one_that_speaks_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "IDLE_TIMEOUT", 0.5)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours = StreamTransport(HOST, 0, loop)
        await ours.listen()
        silent, _ = await asyncio.open_connection(*ours.local_address)
        talking, writer = await asyncio.open_connection(*ours.local_address)

        async def talk() -> None:
            while True:
                writer.write(b"\r\n\r\n")
                await asyncio.sleep(0.1)

        task = loop.create_task(talk())
        assert await asyncio.gather(closed(silent), closed(talking)) == [True, False]
        assert len(ours._guests) == 1
        task.cancel()
        writer.close()
        ours.close()

    asyncio.run(main())


def test_all_peers_together_hold_so_many_connections_and_the_idlest_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "CONNECTIONS", 10)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        theirs, ours = (StreamTransport("0.0.0.0", 0, loop) for _ in range(2))
        await theirs.listen()
        port = theirs.local_address[1]
        held = []
        for number in range(15):
            local = (f"127.0.1.{number + 1}", 0)
            held.append(await asyncio.open_connection(HOST, port, local_addr=local))
            await asyncio.sleep(0.02)
        assert len(theirs._guests) == 10
        assert await asyncio.gather(*(closed(reader) for reader, _ in held[:5])) == [True] * 5
        assert {peer[0] for peer in theirs._guests} == {f"127.0.1.{n + 1}" for n in range(5, 15)}
        # Of those that we make it is the same.
        for number in range(15):
            ours.send(b"\r\n\r\n", (f"127.0.2.{number + 1}", port))
        assert len(ours._ours) == 10
        for _, writer in held:
            writer.close()
        ours.close()
        theirs.close()
        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_peer_that_does_not_read_is_given_up_and_not_buffered_for_without_end() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours = StreamTransport(HOST, 0, loop)
        await ours.listen()
        deaf = socket.socket()
        deaf.setblocking(False)
        await loop.sock_connect(deaf, ours.local_address)
        async with asyncio.timeout(5):
            while not ours._guests:
                await asyncio.sleep(0.01)
        peer = deaf.getsockname()
        sent = 0
        while peer in ours._guests and sent < 100 * stream.SEND_BUFFER:
            ours.send(b"x" * 65536, peer)
            sent += 65536
            await asyncio.sleep(0)
        assert sent < 20 * stream.SEND_BUFFER, "the kernel's buffers are in it too"
        deaf.close()
        ours.close()

    asyncio.run(main())


@pytest.mark.parametrize("octets", [b"x" * 70_000, b"A: b\r\nContent-Length: 99999999\r\n\r\n"])
def test_a_peer_that_sends_what_is_no_message_loses_its_connection(octets: bytes) -> None:
    async def main() -> None:
        ours = StreamTransport(HOST, 0, asyncio.get_running_loop())
        await ours.listen()
        reader, writer = await asyncio.open_connection(*ours.local_address)
        writer.write(b"OPTIONS sip:x SIP/2.0\r\n" + octets)
        assert await closed(reader)
        writer.close()
        ours.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("-1", b"400 Malformed Content-Length header"),
        ("abc", b"400 Malformed Content-Length header"),
        ("7\r\nl: 0", b"400 Several Content-Length headers"),
        (str(70_000), b"413 Request Entity Too Large"),
        (str(300_000), b"413 Request Entity Too Large"),
    ],
)
def test_a_request_of_no_usable_length_is_refused_before_its_connection_is_closed(
    length: str, status: bytes
) -> None:
    """Where the next message begins is not known (:rfc:`4475` §3.1.2.3)."""

    async def main() -> None:
        us = await agent(HOST, tcp=True)
        try:
            transport = next(t for t in us._transports if t.name == "TCP")
            reader, writer = await asyncio.open_connection(*transport.local_address)
            head = (
                "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\n"
                "From: <sip:a@b>;tag=1\r\nTo: <sip:x>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n"
            )
            writer.write(f"{head}Content-Length: {length}\r\n\r\n".encode())
            # The body that was announced, and what would be a request if its end were known.
            writer.write(b"x" * 80_000)
            async with asyncio.timeout(20):
                answer = await reader.readuntil(b"\r\n\r\n")
                assert answer.startswith(b"SIP/2.0 " + status)
                if length != "70000":
                    assert await reader.read() == b""
            writer.close()
        finally:
            us.close()
            await asyncio.sleep(0)

    asyncio.run(main())


def test_a_crowd_that_connects_at_once_is_not_more_than_one_peer_may_be() -> None:
    """Those that wait to be taken are taken in one go, before any of their handshakes begins."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours = StreamTransport(HOST, 0, loop)
        await ours.listen()
        crowd = [socket.create_connection(ours.local_address) for _ in range(100)]
        most = 0
        async with asyncio.timeout(20):
            while not ours._guests:
                await asyncio.sleep(0)
        for _ in range(100):
            most = max(most, len(ours._guests))
            await asyncio.sleep(0)
        assert 0 < most <= stream.CONNECTIONS_OF_ONE
        for one in crowd:
            one.close()
        ours.close()

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
        assert 0 < len(ours._guests) <= stream.CONNECTIONS_OF_ONE
        for _, writer in held:
            writer.close()
        ours.close()

    asyncio.run(main())


@pytest.mark.parametrize("times", [1, 2])
def test_what_went_by_a_connection_that_the_other_end_had_lost_goes_by_a_new_one_once(
    times: int,
) -> None:
    """As after a restart of the server, which we learn of by its reset when we send."""
    came: list[tuple[int, bytes]] = []
    told: list[str] = []
    request = b"OPTIONS sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            mine = connections
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    came.append((mine, await reader.readexactly(len(request))))
                    # The first is answered; it resets what comes later, by so many connections.
                    if len(came) > 1 and mine <= times:
                        linger = struct.pack("ii", 1, 0)
                        writer.get_extra_info("socket").setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, linger
                        )
                        break
                    writer.write(b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, HOST, 0)
        peer = server.sockets[0].getsockname()
        ours = StreamTransport(HOST, 0, loop)
        answers = asyncio.Queue[bytes]()
        ours.receiver = lambda octets, source, transport: answers.put_nowait(octets)
        ours.unreachable = lambda address, name, why, transport: told.append("unreachable")
        ours.broken = lambda address, name, transport: told.append("broken")
        ours.send(request, peer)
        async with asyncio.timeout(20):
            await answers.get()
            ours.send(request, peer)
            if times == 1:
                await answers.get()
            else:
                while "unreachable" not in told:
                    await asyncio.sleep(0.01)
        ours.close()
        server.close()
        await server.wait_closed()

    asyncio.run(main())
    assert [connection for connection, _ in came] == [1, 1, 2]
    assert told == ["broken", "unreachable"][:times]


@pytest.mark.parametrize(
    "last", [b"ACK sip:x SIP/2.0", b"SIP/2.0 200 OK", b"OPTIONS sip:x SIP/2.0"]
)
def test_what_is_not_waited_for_is_not_written_again(
    last: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server closes what is idle, and that is no reason to connect anew."""
    if last.startswith(b"OPTIONS"):
        monkeypatch.setattr(stream, "WAITED_FOR", 0.0)
    connections: list[asyncio.StreamWriter] = []
    told: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, HOST, 0)
        peer = server.sockets[0].getsockname()
        ours = StreamTransport(HOST, 0, loop)
        answers = asyncio.Queue[bytes]()
        ours.receiver = lambda octets, source, transport: answers.put_nowait(octets)
        ours.unreachable = lambda address, name, why, transport: told.append("unreachable")
        ours.broken = lambda address, name, transport: told.append("broken")
        ours.send(b"OPTIONS sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n", peer)
        async with asyncio.timeout(20):
            await answers.get()
            ours.send(last + b"\r\nContent-Length: 0\r\n\r\n", peer)
            while not told:
                await asyncio.sleep(0.01)
        ours.close()
        server.close()
        await server.wait_closed()

    asyncio.run(main())
    assert (told, len(connections)) == (["unreachable"], 1)


def test_who_only_connects_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours = StreamTransport(HOST, 0, loop)
        await ours.listen()
        for said in (b"", b"INVITE x SIP/2.0\r\nContent-Length: -1\r\n\r\n"):
            held = []
            for _ in range(stream.CONNECTIONS_OF_ONE + 30):
                reader, writer = await asyncio.open_connection(*ours.local_address)
                held.append(writer)
                if said:
                    writer.write(said)
                    await reader.read()
                    writer.close()
            for writer in held:
                writer.close()
            async with asyncio.timeout(20):
                while ours._guests_of:
                    await asyncio.sleep(0.05)
        ours.close()

    asyncio.run(main())
    lines = [record for record in caplog.records if record.name == stream.__name__]
    assert 0 < len(lines) <= stream.LINES[1] + 1


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
        assert sent > 60_000
        task.cancel()
        held = registration.registered
        us.close()
        return registered, held

    refreshed, held = asyncio.run(main())
    assert held
    assert refreshed >= 3
