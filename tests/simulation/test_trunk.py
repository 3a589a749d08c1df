"""How an account is kept at its trunk, in virtual time: addresses that change, servers that go, hurry and its limits."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from sipstack.account import Account
from sipstack.digest import Credentials, DigestServer
from sipstack.keepalive import Keepalive
from sipstack.message import NameAddr, Request, Response, Uri, make_response, parse_datagram
from sipstack.registrar import Registrar
from sipstack.registration import CALM, FAREWELL, FLOW, LAST_RETRY, WATCH, Registration
from sipstack.resolver import Answer, Resolver, Srv, Target
from sipstack.symmetric import note_source, reply_address
from sipstack.transport import Address, Transport
from sipstack.useragent import UserAgent
from tests.simulation.clock import VirtualLoop, run
from tests.simulation.network import VirtualNetwork, VirtualTransport

US, ELSEWHERE, FIRST, SECOND = "192.0.2.1", "192.0.2.2", "192.0.2.7", "192.0.2.8"
INSTANCE = "urn:uuid:7f1c0c8e-6a4b-5d0e-9a57-0d3f0c1f2a3b"


@dataclass
class Server:
    """A registrar. ``refuse`` answers in its place where it gives a response, ``says`` are headers of its 200."""

    network: VirtualNetwork
    host: str
    transport: str = "UDP"
    says: tuple[tuple[str, str], ...] = ()
    sees: Address | None = None
    delay: float = 0.0
    deaf: bool = False
    refuse: Callable[[Request], Response | None] = lambda request: None
    seen: list[tuple[float, Request]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registrar = Registrar(
            DigestServer("p", b"s"), {"acct": "pw"}.get, min_expires=60, new_tag=lambda: "t"
        )
        self.start()

    def start(self) -> None:
        self.node = self.network.transport(self.host, name=self.transport, receiver=self.receive)

    def receive(self, octets: bytes, source: Address, transport: Transport) -> None:
        loop = asyncio.get_running_loop()
        request = parse_datagram(octets)
        assert isinstance(request, Request)
        self.seen.append((loop.time(), request))
        if self.deaf:
            return
        note_source(request, self.sees or source)
        response = self.refuse(request) or self.registrar.receive(request, source, loop.time())
        if response.status == 200:
            for header in self.says:
                response.add(*header)
        back = source if self.sees else reply_address(request, source)
        loop.call_later(self.delay, transport.send, response.serialize(), back)

    def bindings(self) -> list[str]:
        held = self.registrar.bindings("acct", asyncio.get_running_loop().time())
        return [f"{binding.contact.host}:{binding.contact.port}" for binding in held]

    @property
    def taken(self) -> list[tuple[float, Request]]:
        """The REGISTERs with a password that asked for a binding."""
        return [
            (at, r) for at, r in self.seen if r.get("Authorization") is not None and r.expires != 0
        ]


class Trunk:
    """A user agent on a network, with registrations; ``provider.test`` leads to the first server, then the second."""

    def __init__(self, loop: VirtualLoop, transport: str = "UDP") -> None:
        self.loop = loop
        self.network = VirtualNetwork(1)
        self.ours: VirtualTransport = self.network.transport(US, name=transport)
        self.transport = transport
        zone = {
            ("_sip._udp.provider.test", "SRV"): (Srv(0, 0, "a.test", 5060), Srv(1, 0, "b.test", 5060)),
            ("a.test", "A"): (FIRST,),
            ("b.test", "A"): (SECOND,),
        }  # fmt: skip

        async def lookup(name: str, kind: str) -> Answer:
            records: tuple[Srv | str, ...] = zone.get((name, kind), ())  # type: ignore[assignment]
            return Answer(records, 60.0)

        self.agent = UserAgent(
            [self.ours],
            loop=loop,
            rng=random.Random(1),
            resolver=Resolver(lookup, clock=loop.time, kinds=["A"]),
        )

    def server(self, host: str = FIRST) -> Server:
        return Server(self.network, host, self.transport)

    def account(self, domain: str, proxy: str = "") -> Account:
        return Account(
            name=domain,
            domain=Uri.parse(f"sip:{domain}"),
            username="acct",
            credentials=Credentials("acct", "pw"),
            transport=self.transport,
            outbound_proxy=Uri.parse(proxy) if proxy else None,
            make_cnonce=self.agent.token,
        )

    def register(
        self,
        domain: str = FIRST,
        *,
        instance: str = "",
        expires: int = 3600,
        proxy: str = "",
        seed: int = 2,
    ) -> Registration:
        registration = Registration(
            self.agent,
            self.account(domain, proxy),
            expires=expires,
            rng=random.Random(seed),
            instance=instance,
        )
        self.agent.server_watchers.append(registration.server_failed)
        self.agent.connection_watchers.append(registration.connection_lost)
        self.loop.create_task(registration.run(), name=domain)
        return registration

    def move(self, host: str) -> None:
        """The interface gets another address."""
        self.ours.closed = True
        moved = self.network.transport(host, receiver=self.ours.receiver)
        self.ours.closed = False
        self.ours.local_address = moved.local_address


def simulated(work: Callable[[Trunk], Awaitable[None]], transport: str = "UDP") -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        trunk = Trunk(loop, transport)
        await work(trunk)
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()
        trunk.agent.close()

    run(main(), 1)


def test_a_register_has_nothing_in_it_that_a_home_router_does_not_know() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        trunk.register()
        await asyncio.sleep(1)
        (_, request), *_ = server.taken
        names = [name for name, _ in request.headers]
        assert names == [
            "Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Contact", "Expires",
            "Authorization", "Content-Length",
        ]  # fmt: skip
        assert str(request.request_uri) == f"sip:{FIRST}"
        assert request.contacts == [NameAddr("", Uri.parse(f"sip:acct@{US}:5060"))]

    simulated(work)


def test_a_proxy_on_the_way_may_name_itself_in_path() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        trunk.register("far.test", proxy=f"sip:{FIRST};lr")
        await asyncio.sleep(1)
        _, request = server.seen[0]
        assert request.get("Supported") == "path"
        assert request.get("Route") == f"<sip:{FIRST};lr>"
        assert str(request.request_uri) == "sip:far.test"

    simulated(work)


def test_the_registrar_s_service_route_is_for_all_but_register_and_until_it_says_otherwise() -> (
    None
):
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        server.says = (("Service-Route", f"<sip:{SECOND};lr>, <sip:home.test;lr>"),)
        account = trunk.register(expires=100).account
        await asyncio.sleep(1)
        assert [str(route) for route in account.routes] == [
            f"<sip:{SECOND};lr>",
            "<sip:home.test;lr>",
        ]
        assert account.next_hop == Uri.parse(f"sip:{SECOND};lr")
        server.says = ()
        await asyncio.sleep(100)
        assert len(server.taken) == 2
        assert all(request.get("Route") is None for _, request in server.seen)
        assert account.routes == ()

    simulated(work)


def test_outbound_is_asked_for_where_a_setting_says_so() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        registration = trunk.register(instance=INSTANCE)
        await asyncio.sleep(1)
        _, request = server.taken[0]
        assert request.get("Supported") == "path, outbound"
        (contact,) = request.contacts
        assert contact.param("reg-id") == "1"
        assert contact.param("+sip.instance") == f'"<{INSTANCE}>"'
        assert registration.registered
        # It is noticed by the address alone whether we are somewhere else.
        await asyncio.sleep(10 * WATCH)
        assert len(server.taken) == 1

    simulated(work)


def test_a_first_hop_without_outbound_is_registered_with_all_the_same() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()

        def refuse(request: Request) -> Response | None:
            lacking = request.contacts[0].param("reg-id") is not None
            return (
                make_response(request, 439, "First Hop Lacks Outbound Support") if lacking else None
            )

        server.refuse = refuse
        registration = trunk.register(instance=INSTANCE)
        await asyncio.sleep(1)
        assert registration.registered
        assert [r.get("Supported") for _, r in server.seen] == ["path, outbound", None, None]

    simulated(work)


def test_another_address_of_the_interface_is_noticed_and_takes_the_old_one_s_place() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        trunk.register()
        await asyncio.sleep(100)
        assert server.bindings() == [f"{US}:5060"]
        trunk.move(ELSEWHERE)
        await asyncio.sleep(WATCH + 1)
        assert server.bindings() == [f"{ELSEWHERE}:5060"]
        await asyncio.sleep(100)
        assert len(server.taken) == 2

    simulated(work)


def test_a_registrar_that_wants_one_contact_only_gets_the_new_one_by_itself() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        server.refuse = lambda r: make_response(r, 403) if len(r.contacts) > 1 else None
        registration = trunk.register()
        await asyncio.sleep(100)
        trunk.move(ELSEWHERE)
        await asyncio.sleep(WATCH + 10)
        assert registration.registered
        assert f"{ELSEWHERE}:5060" in server.bindings()

    simulated(work)


def test_an_address_behind_a_nat_is_registered_at_once_and_a_whim_of_it_not_each_time() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        server.sees = "203.0.113.5", 40000
        registration = trunk.register()
        await asyncio.sleep(1)
        assert server.bindings() == ["203.0.113.5:40000"]
        assert len(server.taken) == 2
        await asyncio.sleep(2 * CALM)
        # From now on another port each time.
        ports = itertools.count(40001)
        server.refuse = lambda request: setattr(server, "sees", ("203.0.113.5", next(ports)))  # type: ignore[func-returns-value]
        before = trunk.loop.time()
        registration.seen_as(("203.0.113.5", 40500), Target("UDP", (FIRST, 5060)))
        await asyncio.sleep(3600)
        times = [at for at, _ in server.taken if at > before]
        # A nonce that was good before is tried first, and answered anew at once if it is not any more.
        gaps = [b - a for a, b in itertools.pairwise(times) if b - a > 0.1]
        assert times[0] < before + 1
        assert 5 < len(gaps) < 15
        assert max(gaps) > LAST_RETRY / 2 - 1

    simulated(work)


def test_a_broken_connection_registers_at_once_and_one_that_breaks_always_ever_later() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        registration = trunk.register()
        await asyncio.sleep(2 * CALM)
        broken = trunk.loop.time()
        registration.connection_lost(Target("TCP", (SECOND, 5060)))
        await asyncio.sleep(1)
        assert len(server.taken) == 1, "that is none of ours"
        registration.connection_lost(Target("TCP", (FIRST, 5060)))
        await asyncio.sleep(0.1)
        assert len(server.taken) == 2
        server.delay = 0.01
        registration._changed = lambda: (
            registration.connection_lost(Target("TCP", (FIRST, 5060)))
            if registration.registered
            else None
        )
        registration.connection_lost(Target("TCP", (FIRST, 5060)))
        await asyncio.sleep(3600)
        times = [at for at, _ in server.taken if at > broken]
        assert 5 < sum(b - a > 1 for a, b in itertools.pairwise(times)) < 15
        # And when it lasts again, all is as before.
        registration._changed = lambda: None
        await asyncio.sleep(2 * LAST_RETRY)
        count = len(server.taken)
        registration.connection_lost(Target("TCP", (FIRST, 5060)))
        await asyncio.sleep(0.1)
        assert len(server.taken) > count

    simulated(work, "TCP")


def test_calls_that_a_server_refuses_do_not_have_it_registered_with_all_the_time() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        registration = trunk.register()
        await asyncio.sleep(1)
        for _ in range(3600):
            trunk.agent.server_failed(Target("UDP", (FIRST, 5060)))
            await asyncio.sleep(0.1)
        assert registration.registered
        assert len(server.taken) < 12

    simulated(work)


def test_a_server_that_goes_is_left_for_the_next_and_taken_back_from_there_at_the_end() -> None:
    async def work(trunk: Trunk) -> None:
        first, second = trunk.server(FIRST), trunk.server(SECOND)
        registration = trunk.register("provider.test", expires=300)
        await asyncio.sleep(1)
        assert registration.server == Target("UDP", (FIRST, 5060))
        first.deaf = True
        trunk.agent.server_failed(Target("UDP", (FIRST, 5060)))
        await asyncio.sleep(0.1)
        assert registration.server == Target("UDP", (SECOND, 5060))
        assert len(second.bindings()) == 1
        # By now the first would be asked first again.
        await asyncio.sleep(100)
        (task,) = (t for t in asyncio.all_tasks() if t.get_name() == "provider.test")
        task.cancel()
        await registration.close()
        assert second.bindings() == []
        assert registration.last_error == "un-registered"

    simulated(work)


def test_a_silent_first_server_is_given_three_seconds() -> None:
    async def work(trunk: Trunk) -> None:
        first, second = trunk.server(FIRST), trunk.server(SECOND)
        first.deaf = True
        registration = trunk.register("provider.test")
        await asyncio.sleep(3.1)
        assert registration.registered
        assert len(second.bindings()) == 1

    simulated(work)


def test_what_is_just_being_bound_is_taken_back_too() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        server.delay = 0.3
        registration = trunk.register()
        await asyncio.sleep(0.5)
        assert not registration.registered
        assert len(server.bindings()) == 1
        (task,) = (t for t in asyncio.all_tasks() if t.get_name() == FIRST)
        task.cancel()
        await registration.close()
        assert server.bindings() == []

    simulated(work)


def test_what_is_taken_back_is_what_was_bound() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        registration = trunk.register()
        await asyncio.sleep(1)
        trunk.move(ELSEWHERE)
        (task,) = (t for t in asyncio.all_tasks() if t.get_name() == FIRST)
        task.cancel()
        await registration.close()
        assert server.bindings() == []

    simulated(work)


@pytest.mark.parametrize("seed", range(5))
def test_a_registrar_is_not_asked_again_before_it_said(seed: int) -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        headers = [("Retry-After", "120")]
        server.refuse = lambda r: make_response(r, 503, to_tag="t", headers=headers)
        registration = trunk.register(seed=seed)
        await asyncio.sleep(1000)
        assert registration.last_error == "503 Service Unavailable"
        gaps = [b - a for a, b in itertools.pairwise(at for at, _ in server.seen)]
        assert min(gaps) >= 120
        assert gaps[0] <= 150

    simulated(work)


def test_many_accounts_do_not_storm_a_registrar_that_is_away_nor_when_it_is_back() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        start = trunk.loop.time()
        accounts = [trunk.register(seed=seed) for seed in range(50)]
        server.refuse = lambda r: (
            make_response(r, 500, to_tag="t") if 60 < trunk.loop.time() - start < 3600 else None
        )
        await asyncio.sleep(1)
        assert all(account.registered for account in accounts)
        await asyncio.sleep(7200)
        assert all(account.registered for account in accounts)
        times = [at - start for at, _ in server.seen if at - start > 30]
        # All began in the same moment. An hour later their refreshes lie far apart.
        busiest = max(sum(at <= other < at + 1 for other in times) for at in times)
        assert busiest <= 12, busiest

    simulated(work)


def test_accounts_that_were_refused_in_the_same_moment_do_not_come_back_in_the_same_moment() -> (
    None
):
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        start = trunk.loop.time()
        for seed in range(50):
            trunk.register(seed=seed)
        server.refuse = lambda r: make_response(r, 500, to_tag="t")
        await asyncio.sleep(3600)
        times = [at - start for at, _ in server.seen if at - start > 60]
        assert len(times) > 100
        assert max(sum(at <= other < at + 1 for other in times) for at in times) <= 10

    simulated(work)


@pytest.mark.parametrize(
    ("answer", "moves"), [(503, True), (0, True), (403, False), (500, False), (606, False)]
)
def test_the_next_server_is_asked_where_another_one_may_say_otherwise(
    answer: int, moves: bool
) -> None:
    """Without an answer, or after 503 (:rfc:`3263` §4.3). What was refused by one is not begged of the next."""

    async def work(trunk: Trunk) -> None:
        first, second = trunk.server(FIRST), trunk.server(SECOND)
        first.deaf = not answer
        first.refuse = lambda r: make_response(r, answer, to_tag="t")
        registration = trunk.register("provider.test")
        await asyncio.sleep(4)
        assert registration.registered == moves
        assert bool(second.seen) == moves

    simulated(work)


def test_trunks_do_not_hold_each_other_up() -> None:
    async def work(trunk: Trunk) -> None:
        trunk.server(FIRST).deaf = True
        second = trunk.server(SECOND)
        registrations = [trunk.register(host) for host in (FIRST, SECOND, "nobody.test")]
        await asyncio.sleep(33)
        assert [r.registered for r in registrations] == [False, True, False]
        assert [r.last_error for r in registrations] == [
            "no answer (408 Request Timeout)",
            "",
            "no address for nobody.test",
        ]
        assert len(second.taken) == 1

    simulated(work)


@pytest.mark.parametrize(
    ("contact", "expires", "granted"),
    [
        ("<sip:acct@192.0.2.1:5060>;expires=100", "900", 100),
        # The one of before is not ours any more, nor is another phone's.
        ("<sip:acct@192.0.2.1:5060>;expires=200, <sip:acct@192.0.2.1:5999>;expires=20", "", 200),
        ("<sip:acct@192.0.2.1:5999>;expires=300, <sip:acct@192.0.2.66>;expires=20", "", 300),
        ("<sip:acct@203.0.113.9:5060>;expires=20", "400", 400),
        ("<sip:acct@192.0.2.1:5060>", "500", 500),
        ("<sip:acct@192.0.2.1:5060>;expires=soon", "", 3600),
        ("", "", 3600),
    ],
)
def test_the_seconds_granted_are_those_of_our_own_binding(
    contact: str, expires: str, granted: int
) -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()

        def answer(request: Request) -> Response:
            response = make_response(request, 200, to_tag="t")
            if contact:
                response.add("Contact", contact)
            if expires:
                response.add("Expires", expires)
            return response

        server.refuse = answer
        trunk.register()
        await asyncio.sleep(2 * granted)
        first, second = (at for at, _ in server.seen[:2])
        assert 0.45 * granted <= second - first <= 0.99 * granted

    simulated(work)


def test_flow_timers_are_bounded() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        registration = trunk.register(expires=100)
        for says, wanted in (
            ((), 0.0),
            ((("Flow-Timer", "20"),), 20.0),
            ((("Flow-Timer", "120"),), FLOW),
            ((("Flow-Timer", "1"),), 10.0),
            ((("Flow-Timer", "99999999999"),), 0.0),
            ((("Flow-Timer", "x"), ("Supported", "path, outbound")), FLOW),
            ((("Require", "Outbound"),), FLOW),
        ):
            server.says = says
            registration._again.set()
            await asyncio.sleep(200)
            assert registration.flow_timer == wanted, says
            assert registration.flow_wanted.is_set() == bool(wanted)
        server.deaf = True
        await asyncio.sleep(200)
        assert not registration.flow_wanted.is_set()

    simulated(work)


@pytest.mark.parametrize("registering", [True, False])
def test_a_trunk_is_there_as_long_as_one_of_its_servers_is(registering: bool) -> None:
    async def work(trunk: Trunk) -> None:
        first, second = trunk.server(FIRST), trunk.server(SECOND)
        registration = trunk.register("provider.test") if registering else None
        account = registration.account if registration else trunk.account("provider.test")
        keepalive = Keepalive(
            trunk.agent, account, interval=20.0, rng=random.Random(3), registration=registration
        )
        trunk.loop.create_task(keepalive.run())
        alive = []
        for number in range(50):
            first.deaf = number > 3
            await asyncio.sleep(10)
            alive.append(keepalive.alive)
        assert all(alive)
        asked = [r for at, r in second.seen if r.method == "OPTIONS"]
        assert len(asked) > 10
        if registration is not None:
            assert registration.server == Target("UDP", (SECOND, 5060))
        # Nobody is there any more, and then somebody is again.
        second.deaf = True
        await asyncio.sleep(120)
        assert not keepalive.alive
        assert keepalive.last_error == "408 Request Timeout to OPTIONS"
        first.deaf = False
        for _ in range(700):
            await asyncio.sleep(1)
            assert keepalive.alive or registration is None or not registration.registered
        assert keepalive.alive

    simulated(work)


def test_a_trunk_that_registers_us_again_is_there_before_it_is_asked_again() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        registration = trunk.register()
        keepalive = Keepalive(
            trunk.agent,
            registration.account,
            interval=1000.0,
            rng=random.Random(3),
            registration=registration,
        )
        trunk.loop.create_task(keepalive.run())
        await asyncio.sleep(100)
        server.deaf = True
        while keepalive.alive:
            await asyncio.sleep(1)
        server.deaf = False
        count = len(server.seen)
        await asyncio.sleep(100)
        assert keepalive.alive
        assert all(request.method == "REGISTER" for _, request in server.seen[count:])

    simulated(work)


def test_a_registrar_that_is_silent_at_the_end_does_not_hold_it_up() -> None:
    async def work(trunk: Trunk) -> None:
        server = trunk.server()
        registration = trunk.register()
        await asyncio.sleep(1)
        server.deaf = True
        began = trunk.loop.time()
        await registration.close()
        assert server.seen[-1][1].expires == 0
        assert trunk.loop.time() - began == FAREWELL
        assert (registration.registered, registration.last_error) == (False, "un-registered")

    simulated(work)
