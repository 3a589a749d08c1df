"""A trunk that is asked whether it is there, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
import struct
from collections.abc import Callable
from ipaddress import IPv4Address

from sipstack.account import Account
from sipstack.digest import Credentials, DigestServer
from sipstack.keepalive import Keepalive
from sipstack.message import Request, Uri, make_response, parse_datagram
from sipstack.registrar import Registrar
from sipstack.registration import Registration
from sipstack.symmetric import note_source, reply_address
from sipstack.transport import Address, Transport
from sipstack.transport.stun import binding_request, may_be_stun
from sipstack.useragent import UserAgent
from tests.simulation.clock import VirtualLoop, run
from tests.simulation.network import VirtualNetwork

US, TRUNK = "192.0.2.1", "192.0.2.7"


def watch(
    status: Callable[[float], int], seconds: float
) -> tuple[list[tuple[float, bool, str]], list[float]]:
    """What a keep-alive of 20 s says of a trunk each 10 s, and when it asked; status 0 is no answer."""

    async def main() -> tuple[list[tuple[float, bool, str]], list[float]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        start = loop.time()
        network = VirtualNetwork(1)
        asked: list[float] = []

        def receive(octets: bytes, source: Address, transport: Transport) -> None:
            request = parse_datagram(octets)
            assert isinstance(request, Request)
            assert request.method == "OPTIONS"
            asked.append(loop.time() - start)
            note_source(request, source)
            answer = status(loop.time() - start)
            if answer:
                octets = make_response(request, answer, to_tag="t").serialize()
                transport.send(octets, reply_address(request, source))

        network.transport(TRUNK, receiver=receive)
        agent = UserAgent([network.transport(US)], loop=loop, rng=random.Random(1))
        account = Account(
            name="trunk", domain=Uri.parse(f"sip:{TRUNK}"), username="u", make_cnonce=agent.token
        )
        keepalive = Keepalive(agent, account, interval=20.0, rng=random.Random(2))
        task = loop.create_task(keepalive.run())
        seen = []
        while loop.time() - start < seconds:
            await asyncio.sleep(10)
            seen.append((loop.time() - start, keepalive.alive, keepalive.last_error))
        task.cancel()
        agent.close()
        return seen, asked

    return run(main())


def test_a_trunk_that_answers_is_there_whatever_it_answers() -> None:
    for status in (200, 404, 405, 401):
        seen, asked = watch(lambda now, s=status: s, 300.0)  # type: ignore[misc]
        assert all(alive for _, alive, _ in seen)
        gaps = [b - a for a, b in itertools.pairwise(asked)]
        assert len(asked) > 10
        assert all(15.9 <= gap <= 20.1 for gap in gaps)


def test_a_trunk_that_does_not_answer_or_not_serve_is_away_until_it_does() -> None:
    seen, _ = watch(lambda now: 0 if 60 <= now < 150 else 200, 400.0)
    assert seen[4][1]
    assert not any(alive for at, alive, _ in seen if 120 <= at <= 150)
    assert "408 Request Timeout" in next(why for _, alive, why in seen if not alive)
    assert seen[-1][1:] == (True, "")
    refused, _ = watch(lambda now: 503, 60.0)
    assert refused[-1][1:] == (False, "503 Service Unavailable to OPTIONS")


def stun_answer(request: bytes, source: Address) -> bytes:
    """What a STUN server says to a binding request from ``source``."""
    assert request == binding_request(request[8:20])
    host = int(IPv4Address(source[0])) ^ 0x2112A442
    mapped = struct.pack("!HHxBHI", 0x0020, 8, 1, source[1] ^ 0x2112, host)
    return struct.pack("!HH", 0x0101, len(mapped)) + request[4:20] + mapped


def test_stun_notices_that_a_nat_has_moved_us_and_a_server_that_is_deaf() -> None:
    """A registrar that answers STUN, behind a NAT that gives us another port after 100 s; deaf from 200 s to 300 s."""

    async def main() -> tuple[list[Request], list[tuple[float, bool]], int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        start = loop.time()
        network = VirtualNetwork(1)
        registrar = Registrar(DigestServer("p", b"s"), {"acct": "pw"}.get, new_tag=lambda: "t")
        registered: list[Request] = []
        pings = 0

        def receive(octets: bytes, source: Address, transport: Transport) -> None:
            nonlocal pings
            now = loop.time() - start
            seen = ("203.0.113.5", 40000 if now < 100 else 40001)
            if 200 < now < 300:
                return
            if may_be_stun(octets):
                pings += 1
                # Not an answer to what was asked, and one from somewhere else: neither counts.
                elsewhere.send(stun_answer(octets, ("192.0.2.66", 1)), source)
                transport.send(stun_answer(binding_request(bytes(12)), ("192.0.2.66", 2)), source)
                transport.send(stun_answer(octets, seen), source)
                return
            request = parse_datagram(octets)
            assert isinstance(request, Request)
            if request.get("Authorization"):
                registered.append(request)
            note_source(request, seen)
            transport.send(registrar.receive(request, seen, loop.time()).serialize(), source)

        elsewhere = network.transport("192.0.2.8")
        network.transport(TRUNK, receiver=receive)
        agent = UserAgent([network.transport(US)], loop=loop, rng=random.Random(1))
        account = Account(
            name="trunk",
            domain=Uri.parse(f"sip:{TRUNK}"),
            username="acct",
            credentials=Credentials("acct", "pw"),
            make_cnonce=agent.token,
        )
        registration = Registration(agent, account, expires=3600, rng=random.Random(2))
        keepalive = Keepalive(
            agent,
            account,
            interval=20.0,
            rng=random.Random(3),
            means="stun",
            registration=registration,
        )
        tasks = [loop.create_task(registration.run()), loop.create_task(keepalive.run())]
        seen = []
        while loop.time() - start < 400:
            await asyncio.sleep(10)
            seen.append((loop.time() - start, keepalive.alive))
        for task in tasks:
            task.cancel()
        agent.close()
        return registered, seen, pings

    registered, seen, pings = run(main())
    ports = [request.contacts[0].uri.port for request in registered if request.contacts]
    assert ports[:3] == [5060, 40000, 40001]
    assert set(ports[3:]) <= {40001}
    assert pings > 8
    assert all(alive for at, alive in seen if at < 200 or at > 340)
    assert not any(alive for at, alive in seen if 240 <= at <= 300)


def kept(
    says: tuple[tuple[str, str], ...], *, stun: bool, transport: str = "UDP", deaf_from: float = 1e9
) -> tuple[list[tuple[float, bytes]], list[Request], Keepalive]:
    """What comes between the REGISTERs within 300 s to a registrar whose 200 has these headers, the REGISTERs, and
    whoever asks. It sees us at another port after 150 s where it answers STUN."""

    async def main() -> tuple[list[tuple[float, bytes]], list[Request], Keepalive]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        network = VirtualNetwork(1)
        registrar = Registrar(DigestServer("p", b"s"), {"acct": "pw"}.get, new_tag=lambda: "t")
        between: list[tuple[float, bytes]] = []
        registered: list[Request] = []

        def receive(octets: bytes, source: Address, node: Transport) -> None:
            now = loop.time() - start
            seen = (US, 5060 if now < 150 else 5070) if stun else source
            if not octets.startswith(b"REGISTER"):
                between.append((now, octets))
                if stun and may_be_stun(octets) and now < deaf_from:
                    node.send(stun_answer(octets, seen), source)
                return
            request = parse_datagram(octets)
            assert isinstance(request, Request)
            if request.get("Authorization"):
                registered.append(request)
            note_source(request, seen)
            response = registrar.receive(request, source, loop.time())
            if response.status == 200:
                for header in says:
                    response.add(*header)
            node.send(response.serialize(), source)

        network.transport(TRUNK, name=transport, receiver=receive)
        agent = UserAgent([network.transport(US, name=transport)], loop=loop, rng=random.Random(1))
        account = Account(
            name="trunk",
            domain=Uri.parse(f"sip:{TRUNK}"),
            username="acct",
            credentials=Credentials("acct", "pw"),
            transport=transport,
            make_cnonce=agent.token,
        )
        registration = Registration(agent, account, expires=3600, rng=random.Random(2))
        keepalive = Keepalive(agent, account, rng=random.Random(3), registration=registration)
        agent.server_watchers.append(registration.server_failed)
        tasks = [loop.create_task(registration.run()), loop.create_task(keepalive.run())]
        await asyncio.sleep(300)
        for task in tasks:
            task.cancel()
        agent.close()
        return between, registered, keepalive

    return run(main())


def gaps(between: list[tuple[float, bytes]]) -> list[float]:
    return [b - a for (a, _), (b, _) in itertools.pairwise(between)]


def test_a_registrar_that_does_not_ask_for_it_gets_no_keep_alive() -> None:
    for transport in ("UDP", "TCP"):
        between, registered, _ = kept((("Supported", "path"),), stun=True, transport=transport)
        assert between == []
        assert len(registered) == 1


def test_a_registrar_with_outbound_gets_stun_each_24_to_29_seconds_and_a_moved_address_at_once() -> (
    None
):
    for says in (
        (("Require", "outbound"),),
        (("Supported", "outbound"),),
        (("Flow-Timer", "120"),),
    ):
        between, registered, keepalive = kept(says, stun=True)
        assert len(between) > 8
        assert all(may_be_stun(octets) for _, octets in between)
        assert all(23 <= gap <= 29.1 for gap in gaps(between))
        assert keepalive.alive
        assert [request.contacts[0].uri.port for request in registered] == [5060, 5070]
        moved = next(at for at, _ in between if at > 150)
        assert moved < 180


def test_a_flow_timer_is_kept_to() -> None:
    between, _, _ = kept((("Flow-Timer", "20"),), stun=True)
    assert all(15.9 <= gap <= 20.1 for gap in gaps(between))


def test_a_registrar_that_does_not_know_stun_after_all_gets_line_ends_and_stays_registered() -> (
    None
):
    between, registered, keepalive = kept((("Supported", "outbound"),), stun=False)
    asked = [octets for _, octets in between if may_be_stun(octets)]
    assert 1 <= len(asked) <= 4, "one request and its copies"
    assert {octets for _, octets in between if not may_be_stun(octets)} == {b"\r\n\r\n"}
    assert keepalive.alive
    assert len(registered) == 1


def test_a_registrar_that_stops_answering_stun_is_away_and_registered_with_anew() -> None:
    _, registered, keepalive = kept((("Supported", "outbound"),), stun=True, deaf_from=100)
    assert keepalive.last_error == "no answer to a STUN request"
    assert keepalive.alive, "the registration is what counts"
    assert len(registered) > 1


def test_over_a_connection_a_flow_timer_means_line_ends() -> None:
    between, _, keepalive = kept((("Flow-Timer", "30"),), stun=False, transport="TCP")
    assert {octets for _, octets in between} == {b"\r\n\r\n"}
    assert all(23.9 <= gap <= 30.1 for gap in gaps(between))
    assert keepalive.alive
