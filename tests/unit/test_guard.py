"""The rules that settings and an account's document make, and what is counted and remembered for them."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from c2c_sip import config as settings_of
from c2c_sip.calling import proof
from c2c_sip.calling.guard import BUILT_IN, LOOK, SCOPES, Guard, Proof, networks_of
from c2c_sip.calling.limits import DAY
from c2c_sip.calling.links import Link
from c2c_sip.calling.policy import Refusal
from c2c_sip.config import Calling, Config, Sip, Trunk
from c2c_sip.store import Span, Store
from tests.unit.databases import each_database  # noqa: F401 - a fixture

NOON = 20_000 * DAY + DAY / 2
CONTACT = "+4930123456"


def config(**guard: Any) -> Config:
    section = settings_of.Guard(**guard)
    return replace(Config(), guard=section, calling=Calling(default_region="DE"))


class Records:
    """What a store would say."""

    def __init__(self) -> None:
        self.rung: list[dict[str, Any]] = []
        self.billed: dict[str, int] = {}
        #: The same of other nodes.
        self.rung_elsewhere: list[dict[str, Any]] = []
        self.billed_elsewhere: dict[str, int] = {}
        self.never: set[tuple[str, str]] = set()
        self.spent: dict[str, int] = {}

    def rung_since(self, moment: float, *, elsewhere: bool = False) -> list[dict[str, Any]]:
        of_interest = self.rung_elsewhere if elsewhere else self.rung + self.rung_elsewhere
        return [row for row in of_interest if row["created"] > moment]

    def billed_since(self, account_id: str, moment: float, *, elsewhere: bool = False) -> int:
        there = self.billed_elsewhere.get(account_id, 0)
        return there if elsewhere else there + self.billed.get(account_id, 0)

    def is_never_called(self, account_id: str, number: str) -> bool:
        return (account_id, number) in self.never

    def spend(self, id: str, uses: int, expires: float, now: float) -> bool:
        self.spent[id] = self.spent.get(id, 0) + 1
        return self.spent[id] <= uses

    def key(self, name: str) -> bytes:
        return name.encode()


def guard(records: Records | None = None, *, now: float = NOON, **settings: Any) -> Guard:
    return Guard(config(**settings), records or Records(), now)


def reason(call: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value.reason


@pytest.mark.parametrize(
    ("settings", "account", "region", "countries"),
    [
        ((), {}, "DE", {"DE"}),
        (("DE", "AT"), {}, "DE", {"DE", "AT"}),
        (("any",), {}, "DE", {"any"}),
        (("DE", "AT"), {"region": "AT"}, "AT", {"DE", "AT"}),
        ((), {"region": "AT"}, "AT", {"AT"}),
        ((), {"region": "AT", "countries": ["DE"]}, "AT", {""}),
        ((), {"region": "Mars"}, "DE", {"DE"}),
        (("DE", "AT"), {"countries": ["AT"]}, "DE", {"AT"}),
        (("DE", "AT"), {"countries": ["AT", "US"]}, "DE", {"AT"}),
        (("DE", "AT"), {"countries": ["any"]}, "DE", {"DE", "AT"}),
        (("any",), {"countries": ["AT", "US"]}, "DE", {"AT", "US"}),
        (("DE",), {"countries": ["US"]}, "DE", {""}),
        (("DE",), {"countries": []}, "DE", {"DE"}),
    ],
)
def test_an_account_may_make_the_settings_stricter_and_never_laxer(
    settings: tuple[str, ...], account: dict[str, Any], region: str, countries: set[str]
) -> None:
    rules = guard(countries=settings).rules(account)
    assert (rules.region, rules.countries) == (region, countries)


def test_a_trunk_s_hosts_are_switches() -> None:
    trunks = (Trunk(name="a", domain="SIP.Example:5080", outbound_proxy="proxy.example"),)
    rules = Guard(replace(Config(), trunks=trunks), Records(), NOON).rules({})
    assert rules.switches == {"sip.example", "proxy.example"}


@pytest.mark.parametrize(
    ("listen", "loopback"),
    [
        (["udp:127.0.0.1:0"], True),
        (["udp:127.0.0.1:5060", "tcp:[::1]:5060"], True),
        (["udp:127.0.0.1:5060", "tcp:0.0.0.0:5060"], False),
        (["udp:0.0.0.0:5060"], False),
        (["udp:192.168.1.5:5060"], False),
        (["udp:[::]:5060"], False),
    ],
)
def test_a_service_that_listens_on_loopback_only_may_call_there(
    listen: list[str], loopback: bool
) -> None:
    networks = networks_of(replace(config(networks=("10.0.0.0/8",)), sip=Sip(listen=tuple(listen))))
    for address in ("127.0.0.1", "::1"):
        assert any(ip_address(address) in network for network in networks) == loopback
    assert any(ip_address("10.1.1.1") in network for network in networks)
    assert not any(ip_address("192.168.1.5") in network for network in networks)


# --- how often

ACCOUNT: dict[str, Any] = {"id": "account"}
ONE: dict[str, Any] = {"id": "one"}


@pytest.mark.parametrize("scope", ["address", "contact", "clicktocall", "account", "service"])
def test_each_limit_is_of_its_own_scope_and_says_when_there_is_room(scope: str) -> None:
    off = {
        f"per_{other}": 0 for other in ("address", "contact", "clicktocall", "account", "service")
    }
    it = guard(**off | {f"per_{scope}": 2})
    same: dict[str, Any] = {
        "account": ACCOUNT,
        "clicktocall": ONE,
        "called": CONTACT,
        "client": "192.0.2.1",
    }
    others: dict[str, dict[str, Any]] = {
        "address": {"client": "192.0.2.2"},
        "contact": {"called": "+4930654321"},
        "clicktocall": {"clicktocall": {"id": "two"}},
        "account": {"account": {"id": "other"}},
    }
    for second in range(2):
        it.admit(**same, now=NOON + second)
    with pytest.raises(Refusal) as caught:
        it.admit(**same, now=NOON + 60)
    assert (caught.value.kind, caught.value.reason) == ("throttled", f"per_{scope}")
    assert caught.value.retry_after == 3540
    for other, change in others.items():
        if other != scope:
            assert (
                reason(lambda change=change: it.admit(**same | change, now=NOON + 60))
                == f"per_{scope}"
            )
    if scope in others:
        it.admit(**same | others[scope], now=NOON + 60)
    it.admit(**same, now=NOON + 3600)


@pytest.mark.parametrize("scope", SCOPES)
def test_what_no_setting_limits_has_a_limit_all_the_same(scope: str) -> None:
    it = guard(**{f"per_{other}": 0 for other in SCOPES if other != scope})
    for _ in range(BUILT_IN[scope]):
        it.admit(ACCOUNT, ONE, CONTACT, "192.0.2.1", NOON)
    assert reason(lambda: it.admit(ACCOUNT, ONE, CONTACT, "192.0.2.1", NOON)) == f"per_{scope}"


def test_a_program_of_this_machine_has_no_limit_but_those_that_somebody_has_set() -> None:
    it = guard()
    assert not it.counts(ACCOUNT, ONE, True)
    assert it.counts(ACCOUNT, ONE, False)
    for _ in range(2 * max(BUILT_IN.values())):
        it.admit(ACCOUNT, ONE, CONTACT, "127.0.0.1", NOON, local=True)
    it.admit(ACCOUNT, ONE, CONTACT, "192.0.2.1", NOON)
    said = {"limits": {"per_contact": 1}}
    for set_, clicktocall in ((guard(per_contact=1), ONE), (guard(), ONE | said)):
        assert set_.counts(ACCOUNT, clicktocall, True)
        set_.admit(ACCOUNT, clicktocall, CONTACT, "127.0.0.1", NOON, local=True)
        again = lambda set_=set_, of=clicktocall: set_.admit(ACCOUNT, of, CONTACT, "127.0.0.1", NOON, local=True)  # noqa: E731 # fmt: skip
        assert reason(again) == "per_contact"


def test_addresses_of_one_network_are_one_client() -> None:
    it = guard(per_address=2)
    for last in range(2):
        it.admit(ACCOUNT, ONE, f"+493012345{last}", f"2001:db8::{last}", NOON)
    assert (
        reason(lambda: it.admit(ACCOUNT, ONE, CONTACT, "2001:db8::abcd:1:2:3", NOON))
        == "per_address"
    )
    it.admit(ACCOUNT, ONE, CONTACT, "2001:db8:0:1::1", NOON)


def test_documents_make_limits_stricter_and_never_laxer() -> None:
    it = guard(per_contact=3, per_address=0)
    lax, strict = {"limits": {"per_contact": 100}}, {"limits": {"per_contact": 1}}
    for n in range(3):
        it.admit(ACCOUNT | lax, ONE | lax, CONTACT, f"192.0.2.{n}", NOON)
    assert (
        reason(lambda: it.admit(ACCOUNT | lax, ONE | lax, CONTACT, "192.0.2.9", NOON))
        == "per_contact"
    )
    it.admit(ACCOUNT | strict, ONE, "+49301", "192.0.2.1", NOON)
    assert (
        reason(lambda: it.admit(ACCOUNT | strict, ONE, "+49301", "192.0.2.2", NOON))
        == "per_contact"
    )
    assert (
        reason(lambda: it.admit(ACCOUNT, ONE | strict, "+49301", "192.0.2.2", NOON))
        == "per_contact"
    )
    it.admit(ACCOUNT, ONE, "+49301", "192.0.2.2", NOON)


def test_what_comes_to_nothing_is_not_counted() -> None:
    it = guard(per_contact=1)
    for _ in range(5):
        it.admit(ACCOUNT, ONE, CONTACT, "192.0.2.1", NOON)()
    it.admit(ACCOUNT, ONE, CONTACT, "192.0.2.1", NOON)


def test_a_restart_remembers_what_was_rung_in_the_last_hour() -> None:
    records = Records()
    row = {
        "client": "192.0.2.1",
        "called": CONTACT,
        "clicktocall_id": "one",
        "account_id": "account",
    }
    records.rung = [row | {"created": NOON - 4000}, row | {"created": NOON - 600}]
    it = guard(records, per_contact=2)
    it.admit(ACCOUNT, ONE, CONTACT, "198.51.100.1", NOON)
    with pytest.raises(Refusal) as caught:
        it.admit(ACCOUNT, ONE, CONTACT, "198.51.100.2", NOON)
    assert caught.value.retry_after == 3000


def test_what_other_nodes_of_one_database_let_in_is_counted_once() -> None:
    records = Records()
    row = {
        "client": "192.0.2.1",
        "called": CONTACT,
        "clicktocall_id": "one",
        "account_id": "account",
    }
    records.rung_elsewhere = [row | {"id": "before", "created": NOON - 2}]
    it = guard(records, per_contact=4)
    it.admit(ACCOUNT, ONE, CONTACT, "198.51.100.1", NOON + 1)
    records.rung_elsewhere.append(row | {"id": "since", "created": NOON + 1})
    for later in (LOOK, 2 * LOOK, 3 * LOOK):
        it.admit(ACCOUNT, ONE, "+4930999", "198.51.100.1", NOON + later)
    it.admit(ACCOUNT, ONE, CONTACT, "198.51.100.1", NOON + 4 * LOOK)
    assert reason(lambda: it.admit(ACCOUNT, ONE, CONTACT, "x", NOON + 4 * LOOK)) == "per_contact"


# --- how long


def test_a_look_at_other_nodes_that_fails_is_made_up_for() -> None:
    records = Records()
    it = guard(records, per_contact=1)
    row = {"id": "x", "client": "", "called": CONTACT, "clicktocall_id": "", "account_id": ""}
    records.rung_elsewhere = [row | {"created": NOON + 1}]
    later, answer = NOON + 600, records.rung_since

    def away(moment: float, *, elsewhere: bool = False) -> list[dict[str, Any]]:
        raise OSError("the database is away")

    records.rung_since = away  # type: ignore[method-assign]
    with pytest.raises(OSError):
        it.admit(ACCOUNT, ONE, CONTACT, "x", later)
    records.rung_since = answer  # type: ignore[method-assign]
    assert reason(lambda: it.admit(ACCOUNT, ONE, CONTACT, "x", later + 1)) == "per_contact"


def test_the_minutes_of_a_day_include_those_through_other_nodes() -> None:
    records = Records()
    records.billed["account"], records.billed_elsewhere["account"] = 4 * 60, 3 * 60
    it = guard(records, daily_minutes=10)
    minutes = it.minutes(ACCOUNT, NOON)
    assert minutes is not None
    minutes.check(NOON)
    records.billed["account"] += 60  # what went through here is metered here
    records.billed_elsewhere["account"] = 6 * 60
    assert it.minutes(ACCOUNT, NOON + LOOK - 1) is not None
    minutes.check(NOON + LOOK - 1)
    again = it.minutes(ACCOUNT, NOON + LOOK)
    assert again is not None
    assert reason(lambda: again.check(NOON + LOOK)) == "daily_minutes"
    assert again.are_left(NOON + DAY / 2 + 1), "tomorrow"


def test_the_minutes_of_a_day_include_those_of_before_and_of_calls_that_are_up() -> None:
    records = Records()
    records.billed["account"] = 9 * 60
    it = guard(records, daily_minutes=10)
    minutes = it.minutes(ACCOUNT, NOON)
    assert minutes is not None
    minutes.check(NOON)
    minutes.start(NOON)
    again = it.minutes(ACCOUNT, NOON + 30)
    assert again is not None
    again.start(NOON + 30)
    assert minutes.are_left(NOON + 44)
    assert not minutes.are_left(NOON + 45)
    with pytest.raises(Refusal) as caught:
        again.check(NOON + 46)
    assert (caught.value.reason, caught.value.retry_after) == ("daily_minutes", DAY / 2 - 46)
    other = it.minutes({"id": "other"}, NOON + 46)
    assert other is not None
    other.check(NOON + 46)
    minutes.check(NOON + DAY / 2 + 1)


def test_an_account_may_have_fewer_minutes_and_without_a_ceiling_there_is_none() -> None:
    few = ACCOUNT | {"limits": {"daily_minutes": 1}}
    assert guard().minutes(ACCOUNT, NOON) is None
    for it in (guard(), guard(daily_minutes=100)):
        minutes = it.minutes(few, NOON)
        assert minutes is not None
        minutes.start(NOON)
        assert not minutes.are_left(NOON + 60)


# --- who asks


def test_a_link_serves_its_own_click_to_call_as_often_as_it_says() -> None:
    it = guard()
    token = it.sign_link(Link("id", "one", CONTACT, None, int(NOON) + 10, 2))
    link = it.read_link(token, "one", NOON)
    assert reason(lambda: it.read_link(token, "two", NOON)) == "link_signature"
    assert reason(lambda: it.read_link(token, "one", NOON + 10)) == "link_expired"
    it.use_link(link, NOON)
    it.use_link(link, NOON)
    assert reason(lambda: it.use_link(link, NOON)) == "link_used"


def test_a_number_on_the_list_is_never_called() -> None:
    records = Records()
    records.never.add(("account", CONTACT))
    it = guard(records)
    assert reason(lambda: it.check_never_call("account", CONTACT, "030 123456")) == "never_call"
    it.check_never_call("other", CONTACT, CONTACT)


def test_a_proof_of_work_is_asked_for_and_serves_once() -> None:
    it = guard(challenge="proof_of_work", proof_of_work_bits=8)
    with pytest.raises(Refusal) as caught:
        it.check_proof(ONE, CONTACT, Proof(), "192.0.2.1", NOON)
    assert (caught.value.field, caught.value.rule, caught.value.reason) == (
        "proof",
        "required",
        "proof",
    )
    challenge, bits = caught.value.value["challenge"], caught.value.value["bits"]
    number = next(n for n in range(1 << 20) if proof.has_zeros(challenge, CONTACT, str(n), bits))
    solved = Proof(solution=f"{challenge}.{number}")
    assert (
        reason(lambda: it.check_proof({"id": "two"}, CONTACT, solved, "192.0.2.1", NOON)) == "proof"
    )
    it.check_proof(ONE, CONTACT, solved, "192.0.2.1", NOON)
    assert reason(lambda: it.check_proof(ONE, CONTACT, solved, "192.0.2.1", NOON)) == "proof"


@pytest.mark.parametrize(
    ("setting", "own", "wanted"),
    [
        ("none", None, None),
        ("none", "none", None),
        ("none", "captcha", "captcha"),
        ("captcha", None, "captcha"),
        ("captcha", "none", "captcha"),
        ("proof_of_work", "captcha", "captcha"),
        ("captcha", "proof_of_work", "proof"),
    ],
)
def test_a_click_to_call_may_want_another_challenge_but_not_none(
    setting: str, own: str | None, wanted: str | None
) -> None:
    asked: list[tuple[str, str]] = []

    def verify(response: str, client: str) -> bool:
        asked.append((response, client))
        return response == "good"

    it = Guard(config(challenge=setting), Records(), NOON, verify)
    one = ONE | ({"challenge": own} if own else {})
    if wanted is None:
        it.check_proof(one, CONTACT, Proof(), "192.0.2.1", NOON)
        return
    assert reason(lambda: it.check_proof(one, CONTACT, Proof(), "192.0.2.1", NOON)) == wanted
    assert asked == []
    if wanted == "captcha":
        bad, good = Proof(captcha="bad"), Proof(captcha="good")
        assert reason(lambda: it.check_proof(one, CONTACT, bad, "192.0.2.1", NOON)) == "captcha"
        it.check_proof(one, CONTACT, good, "192.0.2.1", NOON)
        assert asked == [("bad", "192.0.2.1"), ("good", "192.0.2.1")]


@pytest.mark.parametrize(
    ("setting", "account", "one", "dials"),
    [
        (True, {}, {}, True),
        (False, {}, {}, False),
        (False, {"connect_by_get": True}, {"connect_by_get": True}, False),
        (True, {"connect_by_get": False}, {"connect_by_get": True}, False),
        (True, {}, {"connect_by_get": False}, False),
    ],
)
def test_get_dials_where_nobody_says_that_it_does_not(
    setting: bool, account: dict[str, Any], one: dict[str, Any], dials: bool
) -> None:
    assert guard(connect_by_get=setting).get_dials(account, one) == dials


# --- what is kept of it


def test_the_store_keeps_what_the_guard_needs(store: Store, account: dict[str, Any]) -> None:
    kept = store.guard
    mine = account["id"]
    one = store.create_clicktocall(mine, {"name": "n", "extension": "1"})["id"]
    for n, public in enumerate([0, 1, 1]):
        row = {
            "id": f"{n}",
            "account_id": mine,
            "clicktocall_id": one,
            "contact": "x",
            "state": "ended",
        }
        more = {
            "created": 100.0 * n,
            "client": "c",
            "called": "k",
            "is_public": public,
            "billing_seconds": 10 + n,
        }
        store.create_activation(row | more).result()
    expected = {
        "id": "2",
        "created": 200.0,
        "client": "c",
        "called": "k",
        "clicktocall_id": one,
        "account_id": mine,
    }
    assert kept.rung_since(100.0) == [expected]
    assert kept.billed_since(mine, 100.0) == 23
    assert kept.billed_since("nobody", 0.0) == 0
    assert not kept.is_never_called(mine, CONTACT)
    kept.never_call(mine, CONTACT, "account", 5.0)
    kept.never_call(mine, CONTACT, "account", 6.0)
    assert kept.is_never_called(mine, CONTACT)
    assert not kept.is_never_called("other", CONTACT)
    listed = kept.never_calls(mine, Span(10))
    assert [(row["number"], row["created"]) for row in listed] == [(CONTACT, 5.0)]
    assert kept.call_again(mine, CONTACT)
    assert not kept.call_again(mine, CONTACT)
    assert not kept.is_never_called(mine, CONTACT)
    kept.never_call("", CONTACT, "operator", 7.0)
    assert kept.is_never_called(mine, CONTACT)
    assert [kept.spend("x", 2, 50.0, 1.0) for _ in range(3)] == [True, True, False]
    assert kept.spend("y", 1, 99.0, 51.0)
    assert kept.key("link") == kept.key("link") != kept.key("proof")
    assert len(kept.key("link")) == 32
