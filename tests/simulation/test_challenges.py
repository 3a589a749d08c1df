"""Who is asked for a password more than once in one request, by a proxy and by whom that leads to (RFC 3261 §22.3)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from c2c_sip.config import load
from sipstack.account import Account
from sipstack.call import OfferRefused
from sipstack.digest import Credentials, DigestServer
from sipstack.message import Request, Response, Uri, make_response
from tests.failures import is_told
from tests.simulation.hand import SDP, THEM, Call, Hand, play
from tests.simulation.network import VirtualNetwork
from tests.simulation.trunks import Answering, Records, Seen, answers, place_call

TRUNK = "192.0.2.7"
ZONE: dict[tuple[str, str], Records] = {("trunk.test", "A"): (TRUNK,)}
PROXY, HOME = "proxy.test", "home.test"
BOTH = f'realms = ["{PROXY}", "{HOME}"]'
"""That both are the trunk's; else its registrar says so."""


@dataclass
class Gate:
    """One that wants a digest in its realm before it lets a request pass; as a proxy by 407, else by 401."""

    realm: str
    proxy: bool = False
    password: str = "s3cret"
    algorithms: Sequence[str] = ("MD5",)
    #: Requests that it says a nonce is stale for, though it is not.
    stale: int = 0
    says_stale: bool = False
    server: DigestServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = DigestServer(self.realm, b"seal", algorithms=tuple(self.algorithms))

    def shown(self, request: Request) -> list[str]:
        """What ``request`` shows it: the headers of its kind that are for its realm."""
        name = "Proxy-Authorization" if self.proxy else "Authorization"
        return [v for v in request.get_all(name) if f'realm="{self.realm}"' in v]

    def lets_in(self, request: Request) -> bool:
        shown = self.shown(request)
        if len(shown) != 1:
            return False
        if self.stale:
            self.stale -= 1
            self.says_stale = True
            return False
        passwords: Mapping[str, str] = {"acct": self.password}
        uri = request.request_uri
        return self.server.verify(shown[0], request.method, uri, passwords.get, 1000.0).ok

    def challenges(self, request: Request) -> list[tuple[str, str]]:
        name = "Proxy-Authenticate" if self.proxy else "WWW-Authenticate"
        stale, self.says_stale = self.says_stale, False
        return [(name, value) for value in self.server.challenges(1000.0, stale=stale)]


@dataclass
class Guarded:
    """A trunk behind gates: who asks first, and who next. ``together``: all ask in one response, as behind a fork."""

    gates: Sequence[Gate]
    together: bool = False
    methods: Sequence[str] = ("REGISTER", "INVITE", "BYE")

    def __call__(self, request: Request) -> Response | None:
        if request.method not in self.methods:
            return answers(request)
        closed = [gate for gate in self.gates if not gate.lets_in(request)]
        if not closed:
            return answers(request)
        asking = closed if self.together else closed[:1]
        status = 407 if asking[0].proxy else 401
        headers = [header for gate in asking for header in gate.challenges(request)]
        return make_response(request, status, to_tag="gate", headers=headers)


def called(folder: Path, trunk: Answering, settings: str = "") -> Seen:
    """What the trunk got of one call, whose extension and contact are both behind it."""
    path = folder / "c2c_sip.toml"
    path.write_text(
        '[calling]\nextension_timeout = 2\n[guard]\ncountries = ["any"]\n[[trunk]]\nname = "t"\n'
        f'domain = "trunk.test"\nusername = "acct"\npassword = "s3cret"\n{settings}\n'
    )
    nodes = place_call(
        load(str(path), {}),
        folder,
        {"extension": "+12025550101"},
        "+12025550102",
        zone=ZONE,
        answering={TRUNK: trunk},
    )
    return nodes[TRUNK]


def credentials(request: Request) -> list[str]:
    """The realms that a request has credentials for, in the order of its headers."""
    both = request.get_all("Proxy-Authorization") + request.get_all("Authorization")
    return [re.findall(r'realm="([^"]*)"', value)[0] for value in both]


def shown(seen: Seen, method: str, user: str = "") -> list[list[str]]:
    """The realms of each request of a method, in order; of the calls to one number only, where it is given."""
    return [
        credentials(request)
        for request in seen.requests
        if request.method == method and user in str(request.to)
    ]


@pytest.mark.parametrize("order", [(True, False), (False, True), (False, False)])
def test_whoever_asks_second_gets_the_credentials_of_both(
    order: tuple[bool, bool], tmp_path: Path
) -> None:
    gates = [Gate(PROXY, order[0]), Gate(HOME, order[1], algorithms=("SHA-256", "MD5"))]
    seen = called(tmp_path, Guarded(gates))
    both = sorted([PROXY, HOME])
    for method, user in (("REGISTER", ""), ("INVITE", "0101"), ("BYE", "0101")):
        first, second, third, *more = shown(seen, method, user)
        assert (first, second, sorted(third)) == ([], [PROXY], both), method
        # A refresh, or the end of the registration.
        assert all(sorted(one) == both for one in more)
    # Both nonces are kept, and counted, for the next call; and each ACK of a 2xx has what its INVITE has (§22.1).
    assert [sorted(one) for one in shown(seen, "INVITE", "0102")] == [both]
    acks = [r for r in seen.requests if r.method == "ACK" and sorted(credentials(r)) == both]
    assert len(acks) == 2
    numbers = [r.cseq.number for r in seen.requests if r.method == "INVITE" and "0101" in str(r.to)]
    assert numbers == [1, 2, 3]


def test_all_who_ask_in_one_response_are_answered_at_once(tmp_path: Path) -> None:
    gates = [Gate("one.test"), Gate("two.test"), Gate(PROXY, proxy=True)]
    seen = called(tmp_path, Guarded(gates, together=True, methods=("INVITE",)), "register = false")
    first, second = shown(seen, "INVITE", "0101")
    assert (first, sorted(second)) == ([], ["one.test", PROXY, "two.test"])


@pytest.mark.parametrize("wrong", [0, 1])
def test_nobody_is_tried_twice_also_where_two_ask(wrong: int, tmp_path: Path) -> None:
    gates = [Gate(PROXY, proxy=True), Gate(HOME)]
    gates[wrong].password = "another"
    seen = called(tmp_path, Guarded(gates, methods=("INVITE",)), BOTH)
    assert [len(one) for one in shown(seen, "INVITE")] == [0, 1, 2][: 2 + wrong]


@pytest.mark.parametrize("which", [0, 1])
def test_a_stale_nonce_of_either_is_answered_once_more(which: int, tmp_path: Path) -> None:
    gates = [Gate(PROXY, proxy=True), Gate(HOME)]
    gates[which].stale = 1
    seen = called(tmp_path, Guarded(gates, methods=("INVITE",)), BOTH)
    assert [len(one) for one in shown(seen, "INVITE", "0101")] == [[0, 1, 1, 2], [0, 1, 2, 2]][
        which
    ]
    gates[which].stale = 2
    (tmp_path / "again").mkdir()
    seen = called(tmp_path / "again", Guarded(gates, methods=("INVITE",)), BOTH)
    assert [len(one) for one in shown(seen, "INVITE")] == [[0, 1, 1], [0, 1, 2, 2]][which]


def test_who_is_called_gets_nothing_by_asking_behind_the_trunk(tmp_path: Path) -> None:
    """A proxy hands on the challenge of whoever it led the call to, be it in a realm of his own or in the trunk's."""
    for at, (realm, stale) in enumerate([("rogue.test", 0), (PROXY, 0), (PROXY, 1)]):
        folder = tmp_path / str(at)
        folder.mkdir()
        # Whoever is called first asks nothing; by then the proxy is known, and is not asked again.
        rogue = Gate(realm, says_stale=bool(stale))
        contact = Guarded([Gate(PROXY, proxy=True), rogue], methods=("INVITE", "BYE"))
        extension = Guarded(contact.gates[:1])

        def trunk(
            request: Request, parties: tuple[Guarded, Guarded] = (extension, contact)
        ) -> Response | None:
            return parties["0102" in str(request.to)](request)

        seen = called(folder, trunk, "register = false")
        assert shown(seen, "INVITE", "0101") == [[], [PROXY]]
        assert shown(seen, "INVITE", "0102") == [[PROXY]]
        with sqlite3.connect(folder / "c2c.db") as database:
            ((told,),) = database.execute("SELECT explanation FROM activation")
        if realm != PROXY:
            is_told("realm_unknown", told)


@pytest.mark.parametrize("known_by", ["registering", "setting", "domain"])
def test_a_further_realm_is_answered_if_it_is_known_to_be_the_trunk_s(
    known_by: str, tmp_path: Path
) -> None:
    realm = "trunk.test" if known_by == "domain" else HOME
    gates = [Gate(PROXY, proxy=True), Gate(realm)]
    settings = {"setting": f"register = false\n{BOTH}", "domain": "register = false"}
    methods = ("INVITE",) if known_by != "registering" else ("REGISTER", "INVITE")
    seen = called(tmp_path, Guarded(gates, methods=methods), settings.get(known_by, ""))
    assert [sorted(one) for one in shown(seen, "INVITE", "0101")] == [
        [],
        [PROXY],
        sorted([PROXY, realm]),
    ]


def test_where_realms_are_named_no_other_is_answered(tmp_path: Path) -> None:
    gates = [Gate(PROXY, proxy=True)]
    settings = f'register = false\nrealms = ["{HOME}"]'
    seen = called(tmp_path, Guarded(gates, methods=("INVITE",)), settings)
    assert shown(seen, "INVITE") == [[]]


def test_realms_without_end_are_not_answered(tmp_path: Path) -> None:
    gates = [Gate(f"{number}.test", proxy=number % 2 == 0) for number in range(20)]
    seen = called(tmp_path, Guarded(gates, methods=("REGISTER",)))
    assert [len(one) for one in shown(seen, "REGISTER")] == [0, 1, 2, 3, 4]


def test_a_request_after_a_422_is_another_one_and_may_be_asked_again(tmp_path: Path) -> None:
    """Some servers take each nonce once, and do not say that it is stale the second time."""
    gate = Gate("trunk.test")
    used: set[str] = set()

    def trunk(request: Request) -> Response | None:
        if request.method != "INVITE" or "0101" not in str(request.to):
            return answers(request)
        header = "".join(gate.shown(request))
        nonce = "".join(re.findall(r' nonce="([^"]*)"', header))
        if nonce in used or not gate.lets_in(request):
            return make_response(request, 401, to_tag="gate", headers=gate.challenges(request))
        used.add(nonce)
        if (request.get("Min-SE") or "90") == "90":
            return make_response(request, 422, to_tag="gate", headers=[("Min-SE", "2000")])
        return answers(request)

    seen = called(tmp_path, trunk, "register = false")
    assert [len(one) for one in shown(seen, "INVITE", "0101")] == [0, 1, 1, 1]
    assert [r.method for r in seen.requests if "0101" in str(r.to)][-1] == "BYE"


# -- within the dialog ---------------------------------------------------------------------------


class Guarding(Hand):
    """A trunk at an address of its own, with one gate for who calls and another for each request within the call."""

    def __init__(self, network: VirtualNetwork, first: Gate, then: Gate, asked: str) -> None:
        super().__init__(network)
        self.first, self.then, self.asked = first, then, asked
        #: The requests that were let in, by method.
        self.let_in: list[str] = []

    def gated(self, request: Request) -> bool:
        """Whether it may pass; if not, it is told what is wanted."""
        gate = self.then if request.to.tag else self.first
        if (request.to.tag and request.method != self.asked) or gate.lets_in(request):
            self.let_in.append(request.method)
            return True
        self.answer(request, 407 if gate.proxy else 401, headers=tuple(gate.challenges(request)))
        return False

    async def passing(self, method: str) -> Request:
        """The next request of a method that is let in, at the second try at the latest."""
        request = await self.request(method, 60.0)
        if not self.gated(request):
            if method == "INVITE":
                await self.request("ACK")
            request = await self.request(method, 60.0)
            assert self.gated(request), (method, credentials(request))
        return request


@pytest.mark.parametrize("asked", ["PRACK", "INVITE", "UPDATE", "OPTIONS", "NOTIFY", "BYE"])
@pytest.mark.parametrize("then", [(PROXY, False), (HOME, False), (PROXY, True), (HOME, True)])
@pytest.mark.parametrize("first", [(PROXY, False), (PROXY, True)])
def test_each_request_within_a_call_answers_what_it_is_asked_for(
    first: tuple[str, bool], then: tuple[str, bool], asked: str
) -> None:
    """Be it what the INVITE was asked for or not: by 401 or 407, in the same realm or another one."""

    async def work(call: Call) -> None:
        trunk = Guarding(call.network, Gate(*first), Gate(*then), asked)
        account = Account(
            name="t",
            domain=Uri.parse(f"sip:{THEM}"),
            credentials=Credentials("acct", "s3cret"),
            make_cnonce=lambda: "c",
        )
        account.learn(THEM)
        dialled = call.dial(account=account, session_interval=90)
        invite = await trunk.passing("INVITE")
        required = (("Require", "100rel"), ("RSeq", "1"), ("Allow", "UPDATE, INVITE"))
        trunk.answer(invite, 180, headers=required)
        trunk.answer(await trunk.passing("PRACK"), 200)
        timing = ("Session-Expires", "90;refresher=uac"), ("Require", "timer"), required[2]
        trunk.answer(invite, 200, SDP, headers=timing)
        await trunk.request("ACK")
        assert dialled.session is not None
        alive: list[bool] = []
        dialled.is_alive(alive.append)
        trunk.answer(await trunk.passing("OPTIONS"), 200)
        dialled.session.offer("sendonly")
        trunk.answer(await trunk.passing("INVITE"), 200, SDP, headers=timing)
        await trunk.request("ACK")
        trunk.answer(await trunk.passing("UPDATE"), 200, headers=timing)
        trunk.ask("REFER", invite, headers=(("Refer-To", "<sip:x@example.net>"),))
        trunk.answer(await trunk.passing("NOTIFY"), 200)
        dialled.hang_up()
        trunk.answer(await trunk.passing("BYE"), 200)
        assert alive == [True]
        wanted = ["INVITE", "PRACK", "OPTIONS", "INVITE", "UPDATE", "NOTIFY", "BYE"]
        assert trunk.let_in == wanted
        assert not [event for event in call.events if isinstance(event, OfferRefused)]

    play(work)
