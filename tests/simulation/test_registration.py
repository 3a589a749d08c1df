"""Registration in virtual time, against the library's own registrar with a will of its own."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from sipstack.account import Account
from sipstack.digest import Credentials, DigestServer
from sipstack.message import Request, Response, Uri, make_response, parse_datagram
from sipstack.registrar import Registrar
from sipstack.registration import Registration, Standing, places_of
from sipstack.resolver import Answer, Resolver, Srv, Target
from sipstack.symmetric import note_source, reply_address
from sipstack.transport import Address, Transport
from sipstack.useragent import UserAgent
from tests.simulation.clock import run
from tests.simulation.network import VirtualNetwork, VirtualTransport

US, PROVIDER = "192.0.2.1", "192.0.2.7"


@dataclass
class Provider:
    """A registrar on the network; ``refuse`` answers in its place where it gives a status."""

    registrar: Registrar
    refuse: Callable[[Request, float], int | None] = lambda request, now: None
    deaf: bool = False
    seen: list[tuple[float, Request]] = field(default_factory=list)

    def receive(self, octets: bytes, source: Address, transport: Transport) -> None:
        now = asyncio.get_running_loop().time()
        request = parse_datagram(octets)
        assert isinstance(request, Request)
        self.seen.append((now, request))
        if self.deaf:
            return
        note_source(request, source)
        status = self.refuse(request, now)
        response: Response = (
            make_response(request, status, to_tag="t")
            if status
            else self.registrar.receive(request, source, now)
        )
        transport.send(response.serialize(), reply_address(request, source))

    def gaps(self, wanted: Callable[[Request], bool]) -> list[float]:
        times = [time for time, request in self.seen if wanted(request)]
        return [b - a for a, b in itertools.pairwise(times)]


def simulate(
    work: Callable[[Registration, Provider], object],
    *,
    password: str = "pw",
    expires: int = 300,
    min_expires: int = 60,
    seconds: float = 1000.0,
) -> Provider:
    async def main() -> Provider:
        loop = asyncio.get_running_loop()
        network = VirtualNetwork(1)
        registrar = Registrar(
            DigestServer("provider", b"s"),
            {"acct": "pw"}.get,
            min_expires=min_expires,
            new_tag=lambda: "t",
        )
        provider = Provider(registrar)
        network.transport(PROVIDER, receiver=provider.receive)
        agent = UserAgent([network.transport(US)], loop=loop, rng=random.Random(1))
        account = Account(
            name="provider",
            domain=Uri.parse(f"sip:{PROVIDER}"),
            username="acct",
            credentials=Credentials("acct", password),
            make_cnonce=agent.token,
        )
        registration = Registration(agent, account, expires=expires, rng=random.Random(2))
        work(registration, provider)
        task = asyncio.create_task(registration.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await registration.close()
        agent.close()
        return provider

    return run(main(), 1)


def authorized(request: Request) -> bool:
    return request.get("Authorization") is not None


def test_a_binding_is_refreshed_before_it_expires_and_taken_back_at_the_end() -> None:
    states: list[bool] = []

    def work(registration: Registration, provider: Provider) -> None:
        registration._changed = lambda: states.append(registration.registered)

    provider = simulate(work)
    gaps = provider.gaps(lambda r: authorized(r) and r.expires != 0)
    assert gaps
    # A nonce that was good before is tried first, and answered anew at once if it is not any more.
    assert all(150 <= gap <= 270 or gap < 1 for gap in gaps)
    assert provider.seen[-1][1].expires == 0
    assert provider.registrar.bindings("acct", 2000.0) == []
    assert states[0] is True
    assert states[-1] is False


def test_a_retry_keeps_call_id_and_from_tag_and_digests_its_request_uri() -> None:
    provider = simulate(lambda *_: None, seconds=10.0)
    first, second = provider.seen[0][1], provider.seen[1][1]
    assert first.call_id == second.call_id
    assert first.from_.tag == second.from_.tag
    assert second.cseq.number == first.cseq.number + 1
    assert first.via.branch != second.via.branch
    assert f'uri="{second.request_uri}"' in (second.get("Authorization") or "")


def test_423_is_answered_with_the_expiry_asked_for() -> None:
    provider = simulate(lambda *_: None, expires=100, min_expires=900, seconds=10.0)
    assert [r.expires for _, r in provider.seen if authorized(r)][:2] == [100, 900]
    assert len(provider.registrar.bindings("acct", 1015.0)) in (0, 1)


def test_a_registrar_that_wants_no_end_either_to_be_soon_is_not_registered_with_again() -> None:
    # RFC 3261 §10.3 lets it refuse an expiry of its own choice only above 0; some do it at 0 too.
    def work(registration: Registration, provider: Provider) -> None:
        receive = provider.registrar.receive

        def answer(request: Request, source: Address, now: float) -> Response:
            if request.expires:
                return receive(request, source, now)
            return make_response(request, 423, to_tag="t", headers=[("Min-Expires", "900")])

        provider.registrar.receive = answer  # type: ignore[method-assign]

    provider = simulate(work, expires=900, seconds=10.0)
    assert provider.seen[-1][1].expires == 0


@pytest.mark.parametrize(
    ("said", "least"), [("60", 60.0), ("99999999", 3600.0), ("9" * 5000, 3600.0)]
)
def test_no_registrar_is_asked_again_before_it_said_but_each_within_two_hours(
    said: str, least: float
) -> None:
    def work(registration: Registration, provider: Provider) -> None:
        def answer(request: Request, source: Address, now: float) -> Response:
            return make_response(request, 503, to_tag="t", headers=[("Retry-After", said)])

        provider.registrar.receive = answer  # type: ignore[method-assign]

    provider = simulate(work, seconds=7200.0)
    assert least <= provider.seen[1][0] - provider.seen[0][0] <= 2 * least


def test_the_one_binding_that_a_registrar_names_is_ours_whatever_it_makes_of_the_name() -> None:
    # A border controller may show its registrar another Contact, and us what came of that.
    def work(registration: Registration, provider: Provider) -> None:
        def answer(request: Request, source: Address, now: float) -> Response:
            made = ("Contact", "<sip:a7b@198.51.100.9:7000>;expires=120")
            return make_response(request, 200, to_tag="t", headers=[made])

        provider.registrar.receive = answer  # type: ignore[method-assign]

    provider = simulate(work, expires=1800, seconds=200.0)
    assert 40 <= provider.seen[1][0] - provider.seen[0][0] <= 120


def test_a_wrong_password_is_tried_once_and_then_seldom() -> None:
    errors: list[str] = []

    def work(registration: Registration, provider: Provider) -> None:
        registration._changed = lambda: errors.append(registration.last_error)

    provider = simulate(work, password="wrong", seconds=3600.0)
    tries = provider.gaps(authorized)
    assert "password" in errors[0]
    assert tries[0] >= 3.0
    assert all(later >= earlier * 0.9 for earlier, later in itertools.pairwise(tries))
    assert len(tries) < 20


def test_a_registrar_that_goes_away_and_comes_back_is_found_again() -> None:
    def work(registration: Registration, provider: Provider) -> None:
        provider.refuse = lambda request, now: 503 if 1200 < now < 3000 else None

    provider = simulate(work, seconds=6000.0)
    refused = [t for t, _ in provider.seen if 1200 < t < 3000]
    assert 5 <= len(refused) <= 30
    assert any(authorized(r) and t > 3000 for t, r in provider.seen)


def test_a_deaf_registrar_is_asked_with_the_timers_of_the_rfc_and_does_not_hold_up_the_end() -> (
    None
):
    def work(registration: Registration, provider: Provider) -> None:
        provider.deaf = True

    provider = simulate(work, seconds=40.0)
    first = provider.seen[0][0]
    assert [round(t - first, 1) for t, _ in provider.seen[:6]] == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5]


class Names:
    """A DNS that is a dictionary."""

    def __init__(self, zone: dict[tuple[str, str], tuple[Srv | str, ...]]) -> None:
        self.zone = zone

    async def __call__(self, name: str, kind: str) -> Answer:
        return Answer(self.zone.get((name, kind), ()), 60.0)


def test_an_address_of_a_family_that_we_do_not_speak_is_not_the_end_of_a_registration() -> None:
    """The provider's only server with an IPv4 address is deaf at first: its IPv6 one must not be tried by us."""

    async def main() -> tuple[bool, bool]:
        loop = asyncio.get_running_loop()
        network = VirtualNetwork(1)
        registrar = Registrar(DigestServer("p", b"s"), {"acct": "pw"}.get, new_tag=lambda: "t")
        provider = Provider(registrar, deaf=True)
        network.transport(PROVIDER, receiver=provider.receive)
        zone: dict[tuple[str, str], tuple[Srv | str, ...]] = {
            ("provider.test", "A"): (PROVIDER,),
            ("provider.test", "AAAA"): ("2001:db8::7",),
        }
        agent = UserAgent(
            [network.transport(US)],
            loop=loop,
            rng=random.Random(1),
            resolver=Resolver(Names(zone), clock=loop.time),
        )
        account = Account(
            name="provider",
            domain=Uri.parse("sip:provider.test"),
            username="acct",
            credentials=Credentials("acct", "pw"),
            make_cnonce=agent.token,
        )
        registration = Registration(agent, account, expires=300, rng=random.Random(2))
        task = asyncio.create_task(registration.run())
        await asyncio.sleep(60)
        provider.deaf = False
        await asyncio.sleep(200)
        alive = not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        agent.close()
        return alive, registration.registered

    assert run(main(), 1) == (True, True)


def test_a_machine_without_a_network_yet_registers_when_it_has_one() -> None:
    class NotYet(VirtualTransport):
        up = False

        def address_towards(self, destination: Address) -> Address:
            if not self.up:
                raise OSError("Network is unreachable")
            return super().address_towards(destination)

    async def main() -> tuple[bool, str, bool]:
        loop = asyncio.get_running_loop()
        network = VirtualNetwork(1)
        registrar = Registrar(DigestServer("p", b"s"), {"acct": "pw"}.get, new_tag=lambda: "t")
        network.transport(PROVIDER, receiver=Provider(registrar).receive)
        ours = network.transport(US)
        ours.__class__ = NotYet
        agent = UserAgent([ours], loop=loop, rng=random.Random(1))
        account = Account(
            name="provider",
            domain=Uri.parse(f"sip:{PROVIDER}"),
            username="acct",
            credentials=Credentials("acct", "pw"),
            make_cnonce=agent.token,
        )
        registration = Registration(agent, account, expires=300, rng=random.Random(2))
        task = asyncio.create_task(registration.run())
        await asyncio.sleep(1)
        before = registration.last_error
        NotYet.up = True
        await asyncio.sleep(60)
        alive = not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        agent.close()
        return alive, before, registration.registered

    alive, before, registered = run(main(), 1)
    assert "Network is unreachable" in before
    assert (alive, registered) == (True, True)


def test_how_it_stands_can_be_read_at_any_time() -> None:
    seen: list[Standing] = []
    refused_until = 1100.0

    def work(registration: Registration, provider: Provider) -> None:
        assert registration.standing == Standing()
        provider.refuse = lambda request, now: 403 if now < refused_until else None
        registration._changed = lambda: seen.append(registration.standing)

    simulate(work, seconds=400.0)
    first = seen[0]
    assert (first.state, first.server, first.expires) == ("failed", None, None)
    assert first.failure is not None
    assert (first.failure.status, first.failure.reason) == (403, "403 Forbidden")
    again = [one for one in seen if one.state == "failed"]
    assert len(again) > 1
    assert {one.since for one in again} == {first.since}, "it has failed since the first time"
    well = next(one for one in seen if one.state == "registered")
    assert well.server is not None and well.server.address == (PROVIDER, 5060)
    assert well.expires == well.since + 300
    assert well.failure is again[-1].failure is not None
    assert seen[-1].state == "unregistered"
    assert (seen[-1].server, seen[-1].expires) == (None, None)


def test_no_answer_is_a_failure_without_a_status() -> None:
    seen: list[Standing] = []

    def work(registration: Registration, provider: Provider) -> None:
        provider.deaf = True
        registration._changed = lambda: seen.append(registration.standing)

    simulate(work, seconds=60.0)
    assert seen[0].failure is not None
    assert seen[0].failure.status is None
    assert "no answer" in seen[0].failure.reason


def test_a_grant_that_cannot_be_read_is_an_hour() -> None:
    # RFC 3261 §20.19: the registrar has our binding, whatever it says of its length.
    for own in ("", ";expires=99999999999", ";expires=soon"):
        seen: list[Standing] = []

        def work(
            registration: Registration,
            provider: Provider,
            own: str = own,
            seen: list[Standing] = seen,
        ) -> None:
            receive = provider.registrar.receive

            def answer(request: Request, source: Address, now: float) -> Response:
                response = receive(request, source, now)
                if response.status == 200 and request.expires:
                    contact = f"{request.contacts[0]}{own}"
                    said = [("Contact", contact), ("Expires", "99999999999" if not own else "60")]
                    return make_response(request, 200, to_tag="t", headers=said)
                return response

            provider.registrar.receive = answer  # type: ignore[method-assign]
            registration._changed = lambda: seen.append(registration.standing)

        simulate(work, seconds=30.0)
        assert seen[0].state == "registered", own
        assert seen[0].expires == seen[0].since + 3600, own


# -- redirections --------------------------------------------------------------------------------

MOVED, FURTHER = "192.0.2.8", "192.0.2.9"


@dataclass
class Redirecting:
    """A registrar of any domain, or where it names ``contacts`` one that sends everybody there."""

    status: int = 302
    contacts: tuple[str, ...] = ()
    seen: list[tuple[float, Request]] = field(default_factory=list)
    digest: DigestServer = field(default_factory=lambda: DigestServer("provider", b"s"))

    def receive(self, octets: bytes, source: Address, transport: Transport) -> None:
        now = asyncio.get_running_loop().time()
        request = parse_datagram(octets)
        assert isinstance(request, Request)
        self.seen.append((now, request))
        shown, passwords = request.get("Authorization"), {"acct": "pw"}
        status = self.status
        headers = [("Contact", contact) for contact in self.contacts]
        if not headers:
            uri = request.request_uri
            if self.digest.verify(shown, "REGISTER", uri, passwords.get, now).ok:
                status, headers = 200, [("Contact", c) for c in request.get_all("Contact")]
            else:
                status, asked = 401, self.digest.challenges(now)
                headers = [("WWW-Authenticate", value) for value in asked]
        response = make_response(request, status, to_tag="t", headers=headers)
        transport.send(response.serialize(), source)


def redirected(
    *contacts: str, further: tuple[str, ...] = (), status: int = 302, transport: str = "UDP"
) -> tuple[Redirecting, Redirecting, Redirecting, Registration]:
    """The registrar of the trunk, which names ``contacts``, and two others, the first of which names ``further``."""

    async def main() -> tuple[Redirecting, Redirecting, Redirecting, Registration]:
        loop = asyncio.get_running_loop()
        network = VirtualNetwork(1)
        nodes = [
            Redirecting(status, contacts),
            Redirecting(status, further),
            Redirecting(),
        ]
        for host, node in zip((PROVIDER, MOVED, FURTHER), nodes, strict=True):
            for name in ("UDP", "TLS"):
                port = 5060 if name == "UDP" else 5061
                network.transport(host, port, name=name, receiver=node.receive)
        both = [network.transport(US, name=name) for name in ("UDP", "TLS")]
        agent = UserAgent(
            both,
            loop=loop,
            rng=random.Random(1),
            resolver=Resolver(
                Names({("moved.test", "A"): (MOVED,)}), clock=loop.time, rng=random.Random(1)
            ),
        )
        account = Account(
            name="provider",
            domain=Uri.parse(f"sip:{PROVIDER}"),
            username="acct",
            credentials=Credentials("acct", "pw"),
            transport=transport,
            make_cnonce=agent.token,
        )
        registration = Registration(agent, account, expires=300, rng=random.Random(2))
        task = asyncio.create_task(registration.run())
        await asyncio.sleep(400.0)
        task.cancel()
        was = registration.standing
        await registration.close()
        registration.standing = was
        agent.close()
        return nodes[0], nodes[1], nodes[2], registration

    return run(main(), 1)


@pytest.mark.parametrize("status", [300, 301, 302])
@pytest.mark.parametrize("contact", [f"<sip:{MOVED}>", "<sip:moved.test>"])
def test_a_registrar_that_has_moved_is_followed(contact: str, status: int) -> None:
    provider, moved, _, registration = redirected(contact, status=status)
    uri = contact.strip("<>")
    assert registration.standing.server == Target(
        "UDP", (MOVED, 5060), "moved.test" if "moved" in contact else MOVED
    )
    # Each refresh asks the registrar of the settings first: what it says holds for once.
    assert len(provider.seen) >= 2
    first, second = (request for _, request in moved.seen[:2])
    assert first.request_uri == second.request_uri == uri
    assert str(first.to) == f"<sip:acct@{PROVIDER}>"
    assert f'uri="{uri}"' in (second.get("Authorization") or "")
    numbers = [r.cseq.number for _, r in sorted(provider.seen + moved.seen, key=lambda s: s[0])]
    assert numbers == sorted(set(numbers))
    last = moved.seen[-1][1]
    assert (last.expires, last.request_uri) == (0, uri)
    # Nobody is shown a password that does not ask for it.
    assert not [r for _, r in provider.seen if authorized(r)]


def test_a_proxy_that_a_registrar_names_leads_to_it() -> None:
    _, moved, _, registration = redirected(f"<sip:{MOVED};lr>", status=305)
    assert registration.standing.state == "registered"
    for _, request in moved.seen:
        assert request.request_uri == f"sip:{PROVIDER}"
        assert request.get_all("Route") == [f"<sip:{MOVED};lr>"]


def test_of_several_places_the_preferred_one_is_asked_and_the_next_where_that_refuses() -> None:
    contacts = f"<sip:{MOVED}>;q=0.5", f"<sip:{FURTHER}>;q=0.9"
    _, moved, further, registration = redirected(*contacts)
    assert (len(moved.seen), registration.standing.state) == (0, "registered")
    assert further.seen
    _, moved, further, registration = redirected(
        f"<sip:{MOVED}>;q=0.9", f"<sip:{FURTHER}>;q=0.5", further=(f"<sip:{PROVIDER}>",)
    )
    assert moved.seen and registration.standing.server == Target("UDP", (FURTHER, 5060), FURTHER)


@pytest.mark.parametrize(
    ("contacts", "further"),
    [
        ((), ()),
        ((f"<sip:{PROVIDER}>",), ()),
        ((f"<sip:{MOVED}>",), (f"<sip:{MOVED}>", f"<sip:{PROVIDER}>")),
        (("<tel:+12025550100>", "<mailto:a@b.test>", "<sip:nowhere.test>"), ()),
        (tuple(f"<sip:n{n}@{MOVED}>" for n in range(30)), (f"<sip:{PROVIDER}>",)),
    ],
)
def test_a_redirection_that_leads_nowhere_is_a_refusal(
    contacts: tuple[str, ...], further: tuple[str, ...]
) -> None:
    provider, moved, _, registration = redirected(*contacts or ("<sip:>",), further=further)
    standing = registration.standing
    assert standing.state == "failed" and standing.failure is not None
    assert (standing.failure.status, standing.failure.kind) == (302, "refused")
    # And tried again with back-off, which is some seven times in 400 s.
    assert len(provider.seen) < 10 and len(moved.seen) < 60


def test_who_registers_by_tls_is_led_nowhere_else() -> None:
    _, moved, _, registration = redirected(
        f"<sip:{MOVED};transport=udp>;q=0.9", f"<sip:{FURTHER}>;q=0.5", transport="TLS"
    )
    assert not moved.seen
    assert registration.standing.server == Target("TLS", (FURTHER, 5061), FURTHER)


def test_only_the_trunk_s_own_server_may_lead_a_registration_elsewhere() -> None:
    """Whoever else guesses the branch of a REGISTER would get the digest of its password."""
    response = Response(302, "Moved")
    response.add("Contact", f"<sip:{MOVED}>")
    account = Account(
        name="t", domain=Uri.parse("sip:p.test"), username="u", make_cnonce=lambda: ""
    )
    account.learn(PROVIDER)
    assert [str(place) for place in places_of(response, (PROVIDER, 5060), account)] == [
        f"sip:{MOVED}"
    ]
    assert places_of(response, (FURTHER, 5060), account) == []
