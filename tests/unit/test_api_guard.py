"""The guard as the public meets it: the API with the real door, behind which nobody picks up."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

from c2c_sip.calling import proof
from c2c_sip.calling.door import Calling
from c2c_sip.calling.flow import Flow
from c2c_sip.calling.refusals import MOST
from c2c_sip.calling.tracing import Tracing
from c2c_sip.config import Config, Guard, Trunk
from c2c_sip.service import account_of
from c2c_sip.store import Store
from sipstack.media.tones import PLANS
from sipstack.message import Uri
from sipstack.trace import Trace
from tests.unit.conftest import Api

NUMBER = "+14155550100"
TRUNK = Trunk(name="t", domain="trunk.example", register=False, caller_id="+14155559999")


class Line:
    """The engine, with nobody at the other end."""

    def __init__(self) -> None:
        self.registrations: dict[str, Any] = {}
        self.keepalives: dict[str, Any] = {}
        self.waiting: list[Callable[[], None]] = []
        self.media = SimpleNamespace(capacity=10_000, forget=lambda source: None)
        #: No flow is run here.
        self.desk = SimpleNamespace(alarms=None)
        self.submitted: list[Any] = []
        self.wait = 0.0
        #: What the engine's clock shows; it goes on by itself only, whatever the time of day is set to.
        self.clock = 50.0

    def now(self) -> float:
        return self.clock

    def hold_up(self) -> None:
        pass

    def trunk_away(self, name: str) -> str:
        return ""

    def submit(self, work: Any) -> None:
        self.submitted.append(work)

    def soon(self, then: Callable[[], None]) -> None:
        then()

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        self.waiting.append(then)


Make = Callable[..., Api]


@pytest.fixture
def make(store: Store, account: dict[str, Any]) -> Make:
    """``make(setting=…)``: the API of a service that has just started, with these settings of ``[guard]``."""

    def start(wall: Callable[[], float] = time.time, **settings: Any) -> Api:
        config = replace(Config(), guard=Guard(**settings), trunks=(TRUNK,))
        accounts = {"t": account_of(TRUNK, random.Random(1))}
        tracing = Tracing(Trace(), store.traces, most=0, later=lambda *_: None, offset=lambda: 0.0)
        calling = Calling(config, store, Line(), accounts, tracing, wall)  # type: ignore[arg-type]
        return Api(store, calling, account, config)  # type: ignore[arg-type]

    return start


def dialled(api: Api) -> list[str]:
    """Whom the door has handed to the engine, newest last."""
    lives = api.calling._live.values()  # type: ignore[attr-defined]
    return [live.flow.plan.contact.outbound.uri.user for live in lives]


def one(api: Api, **fields: Any) -> str:
    return f"/clicktocall/{api.create(**fields)['id']}"


def reason(answer: Any) -> str:
    data = answer.json["data"]
    if "reason" in data:
        return str(data["reason"])
    ((_, rules),) = data.items()
    ((_, detail),) = rules.items()
    return str(detail["reason"])


# --- the first of them


def test_what_every_call_takes_is_made_before_the_first(make: Make) -> None:
    """Else it has all others wait: two periods of ringback are 60 ms of the processor, a country's numbers 10."""
    api = make()
    made: list[Any] = []
    api.calling._engine.media.prepare = made.append  # type: ignore[attr-defined]
    api.calling.prepare()  # type: ignore[attr-defined]
    tones = PLANS["us"]
    assert made == [tones.ringback, tones.busy, tones.congestion]


@pytest.mark.parametrize("region", ["US", "DE"])
def test_a_region_s_numbers_are_known_before_the_first_is_read(region: str) -> None:
    """In a process of its own, where nothing has been read yet."""
    program = f"""
import sys
from c2c_sip.calling import numbering
from c2c_sip.calling.contact import read_contact
assert "phonenumbers.data.region_{region}" not in sys.modules
numbering.prepare("{region}")
known = set(sys.modules)
numbering.readings(read_contact("030 123456 7", "{region}"), "{region}")
print([name for name in set(sys.modules) - known if name.endswith("_{region}")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


# --- looking is not calling


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X-Purpose": "preview"},
        {"X-Moz": "prefetch"},
        {"Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Dest": "style"},
    ],
)
def test_a_browser_that_looks_ahead_calls_nobody(make: Make, headers: dict[str, str]) -> None:
    api = make()
    answer = api.get(f"{one(api)}/connect?contact={quote(NUMBER)}", token=None, headers=headers)
    assert answer.status_code == 503
    assert answer.headers["Cache-Control"] == "no-store"
    assert dialled(api) == []


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Dest": "document"}, {"Sec-Fetch-Dest": "empty"}]
)
def test_somebody_who_follows_a_link_calls(make: Make, headers: dict[str, str]) -> None:
    api = make()
    answer = api.get(f"{one(api)}/connect?contact={quote(NUMBER)}", token=None, headers=headers)
    assert answer.status_code == 200
    assert dialled(api) == [NUMBER]


def test_get_does_not_dial_where_it_is_switched_off_and_post_still_does(make: Make) -> None:
    for api, fields in ((make(connect_by_get=False), {}), (make(), {"connect_by_get": False})):
        path = one(api, **fields)
        answer = api.get(f"{path}/connect?contact={quote(NUMBER)}")
        assert answer.status_code == 405
        assert answer.headers["Allow"] == "POST, OPTIONS"
        assert dialled(api) == []
        assert api.post(f"{path}/connect", {"contact": NUMBER}).status_code == 200
    api = make()
    path = one(api)
    assert api.patch("", {"connect_by_get": False}).status_code == 200
    assert api.get(f"{path}/connect?contact={quote(NUMBER)}").status_code == 405


# --- how often


@pytest.mark.parametrize(("version", "status"), [("v1", 503), ("v2", 429)])
def test_a_limit_is_503_or_429_with_retry_after_and_not_for_the_known(
    make: Make, version: str, status: int
) -> None:
    api = make(per_contact=2)
    api.version = version
    path = one(api)
    for spelling in (NUMBER, "tel:(415) 555-0100"):
        assert api.post(f"{path}/connect", {"contact": spelling}, token=None).status_code < 300
    answer = api.post(f"{path}/connect", {"contact": "1 415 555 0100"}, token=None)
    assert answer.status_code == status
    assert 3590 <= int(answer.headers["Retry-After"]) <= 3600
    assert reason(answer) == "per_contact"
    assert len(dialled(api)) == 2
    assert api.post(f"{path}/connect", {"contact": NUMBER}).status_code < 300


def test_a_restart_does_not_reset_the_limits(make: Make) -> None:
    api = make(per_contact=1)
    path = one(api)
    assert api.post(f"{path}/connect", {"contact": NUMBER}, token=None).status_code == 200
    again = make(per_contact=1)
    assert again.post(f"{path}/connect", {"contact": NUMBER}, token=None).status_code == 503
    assert dialled(again) == []
    later = make(per_contact=1, wall=lambda: time.time() + 3601)
    assert later.post(f"{path}/connect", {"contact": NUMBER}, token=None).status_code == 200


def test_the_public_is_limited_where_nothing_is_set_and_programs_next_door_are_not(
    make: Make,
) -> None:
    api = make()
    where = f"{api.path}{one(api)}/connect"

    def ask(times: int, **request: Any) -> list[int]:
        body = {"json": {"contact": NUMBER}} | request
        return [
            api.client.simulate_post(where, **body).status_code  # type: ignore[arg-type]
            for _ in range(times)
        ]

    next_door = {"host": "127.0.0.1", "port": 8000, "remote_addr": "127.0.0.1"}
    assert set(ask(20, **next_door)) == {200}
    assert ask(11, remote_addr="203.0.113.5") == [200] * 10 + [503]
    assert set(ask(20, **next_door)) == {200}
    # They ask from next door too, but for somebody else.
    for proxied in (
        {"headers": {"X-Forwarded-For": "203.0.113.6"}},
        {"headers": {"X-Real-IP": "127.0.0.1"}},
        {"headers": {"Forwarded": "for=127.0.0.1"}},
        {"headers": {"Via": "1.1 proxy"}},
        {"host": "calls.example.com"},
        {"host": "127.0.0.1.example.com"},
        {"http_version": "1.0"},
        {"remote_addr": "203.0.113.7"},
        {"remote_addr": "192.168.1.7"},
    ):
        assert ask(1, **next_door | proxied) == [503], proxied
    for same in ({"host": "localhost"}, {"host": "[::1]", "remote_addr": "::1"}):
        assert ask(1, **next_door | same) == [200], same
    again = make()
    assert again.client.simulate_post(where, json={"contact": NUMBER}).status_code == 503
    assert len(dialled(api)) == 52


def test_minutes_of_an_account_are_looked_at_for_everybody(make: Make, store: Store) -> None:
    api = make()
    path = one(api)
    assert api.patch("", {"limits": {"daily_minutes": 2}}).status_code == 200
    made = api.post(f"{path}/connect", {"contact": NUMBER}).json["data"]["id"]
    store.update_activation(made, billing_seconds=120, ended=time.time(), state="ended")
    store.flush()
    answer = make().post(f"{path}/connect", {"contact": NUMBER})
    assert (answer.status_code, reason(answer)) == (503, "daily_minutes")
    assert 0 < int(answer.headers["Retry-After"]) <= 86400


# --- refusals as records


def test_each_refusal_is_a_history_record_with_its_rule(make: Make) -> None:
    api = make(per_address=1, countries=())
    path = one(api)
    cases = [
        (None, "contact"),
        ("+19005551234", "premium"),
        ("+442079460958", "country"),
        ("911", "emergency"),
        ("411", "short"),
        ("sip:x@169.254.169.254", "host"),
        ("a\r\nVia: x", "contact"),
    ]
    for contact, _ in cases:
        answer = api.post(f"{path}/connect", {"contact": contact}, token=None)
        assert answer.status_code == 400
    assert api.post(f"{path}/connect", {"contact": NUMBER}, token=None).status_code == 200
    assert api.post(f"{path}/connect", {"contact": NUMBER}, token=None).status_code == 503
    rows = api.get(f"{path}/history?ascending=true").json["data"]
    refused = [row for row in rows if row["result"] == "error"]
    assert sorted(row["rule"] for row in refused) == sorted(
        [rule for _, rule in cases] + ["per_address"]
    )
    assert {row["state"] for row in refused} == {"ended"}
    assert {row["call_id"] for row in refused} == {None}
    assert api.get(path).json["data"]["history_items"] == len(cases) + 2
    assert dialled(api) == [NUMBER]


def test_many_refusals_are_few_records(make: Make) -> None:
    api = make()
    path = one(api)
    for n in range(200):
        api.post(f"{path}/connect", {"contact": f"+1900555{n:04}"}, token=None)
    (flush,) = api.calling._engine.waiting  # type: ignore[attr-defined]
    flush()
    api.store.flush()
    rows = api.get(f"{path}/history").json["data"]
    assert len(rows) == MOST + 1
    assert sum(row["times"] for row in rows) == 200


# --- never again


def rung(api: Api, activation: str) -> None:
    """What the engine writes once the INVITE to the contact leaves."""
    api.store.update_activation(activation, cdr_id="c" * 32)
    api.store.flush()


def test_who_was_called_is_never_called_again_by_one_request(make: Make) -> None:
    api = make()
    path = one(api)
    made = api.post(f"{path}/connect", {"contact": NUMBER}, token=None).json["data"]["id"]
    rung(api, made)
    answer = api.request("POST", f"{path}/connect/{made}/never_call", token=None)
    assert answer.status_code == 200
    assert api.request("POST", f"{path}/connect/{made}/never_call", token=None).status_code == 200
    for contact in (
        NUMBER,
        "(415) 555-0100",
        "tel:+1-415-555-0100",
        "sip:+14155550100@acme.example",
    ):
        refused = make().post(f"{path}/connect", {"contact": contact}, token=None)
        assert (refused.status_code, reason(refused)) == (400, "never_call")
    refused = api.post(f"{path}/connect", {"contact": NUMBER})
    assert (refused.status_code, reason(refused)) == (400, "never_call")
    assert len(dialled(api)) == 1
    (entry,) = api.get("/never_call").json["data"]
    assert (entry["number"], entry["source"]) == (NUMBER, "activation")


def test_only_a_call_that_took_place_can_be_opted_out_of(make: Make) -> None:
    api = make()
    path = one(api)
    other = one(api)
    made = api.post(f"{path}/connect", {"contact": NUMBER}, token=None).json["data"]["id"]
    unrung = api.post(f"{path}/connect", {"contact": NUMBER}, token=None).json["data"]["id"]
    rung(api, made)
    api.post(f"{path}/connect", {"contact": "+19005551234"}, token=None)
    (refused,) = api.get(f"{path}/history?filter_result=error").json["data"]
    for wrong in (
        f"{path}/connect/{refused['id']}",
        f"{path}/connect/{'0' * 32}",
        f"{other}/connect/{made}",
    ):
        assert api.request("POST", f"{wrong}/never_call", token=None).status_code == 404
    # Whoever types in another's number, and nobody here picks up, has called nobody.
    early = api.request("POST", f"{path}/connect/{unrung}/never_call", token=None)
    assert early.status_code == 409
    assert api.get("/never_call").json["data"] == []


def test_an_account_keeps_its_list(make: Make) -> None:
    api = make()
    assert api.put("/never_call", {"number": "(415) 555-0100"}).status_code == 201
    assert (
        api.put("/never_call", {"number": "sip:Bob@Example.NET;transport=tcp"}).status_code == 201
    )
    assert api.put("/never_call", {"number": "what"}).status_code == 400
    assert api.put("/never_call", {}).status_code == 400
    numbers = [entry["number"] for entry in api.get("/never_call").json["data"]]
    assert numbers == ["sip:Bob@example.net", NUMBER]
    assert api.delete(f"/never_call/{quote('415-555-0100')}").status_code == 200
    assert api.delete(f"/never_call/{quote(NUMBER)}").status_code == 404
    assert api.delete("/never_call/sip:Bob@example.net").status_code == 200
    for method, path in (
        ("GET", "/never_call"),
        ("PUT", "/never_call"),
        ("DELETE", f"/never_call/{NUMBER}"),
    ):
        assert api.request(method, path, token=None).status_code == 401


# --- links


def link(api: Api, path: str, **data: Any) -> dict[str, Any]:
    answer = api.post(f"{path}/link", data)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json["data"]
    return made


def test_who_has_made_a_link_is_in_the_log_and_the_link_is_not(make: Make) -> None:
    api = make()
    made = link(api, one(api), contact=NUMBER)
    entry = api.get("/audit").json["data"][0]
    assert (entry["kind"], entry["action"], entry["target_id"]) == ("link", "create", made["id"])
    assert made["link"] not in api.get("/audit").text


def follow(api: Api, path: str, token: str, method: str = "POST", more: str = "") -> Any:
    return api.request(method, f"{path}/connect?link={token}{more}", token=None)


def test_a_link_activates_what_wants_a_token_once_whoever_follows_it(make: Make) -> None:
    api = make()
    path = one(api, auth_required=True)
    assert api.post(f"{path}/connect", {"contact": NUMBER}, token=None).status_code == 401
    made = link(api, path, contact=NUMBER)
    assert made["url"].endswith(f"{api.path}{path}/connect?link={made['link']}")
    assert follow(api, path, made["link"], "GET").status_code == 200
    assert dialled(api) == [NUMBER]
    for again in (api, make()):
        for method in ("GET", "POST"):
            answer = follow(again, path, made["link"], method)
            assert (answer.status_code, reason(answer)) == (400, "link_used")
    assert dialled(api) == [NUMBER]


def test_a_link_calls_its_own_contact_whatever_the_request_says(make: Make) -> None:
    api = make()
    path = one(api, auth_required=True)
    token = link(api, path, contact=NUMBER)["link"]
    answer = api.request(
        "POST", f"{path}/connect?link={token}", json={"contact": "+14155550999"}, token=None
    )
    assert answer.status_code == 200
    assert dialled(api) == [NUMBER]


def test_a_link_serves_as_often_as_it_says_and_for_whom_its_pattern_is_in(make: Make) -> None:
    api = make()
    path = one(api, auth_required=True)
    token = link(api, path, pattern=r"^\+1415", uses=2)["link"]
    statuses = [
        follow(api, path, token, more=f"&contact={quote(contact)}").status_code
        for contact in ("+12125550100", NUMBER, "415 555 0101", "+14155550102")
    ]
    assert statuses == [400, 200, 200, 400]
    assert dialled(api) == [NUMBER, "+14155550101"]


def test_a_link_that_is_not_for_this_or_too_old_or_changed_does_not_serve(make: Make) -> None:
    api = make()
    path, other = one(api, auth_required=True), one(api, auth_required=True)
    made = link(api, path, contact=NUMBER, expires_in=60)["link"]
    assert reason(follow(api, other, made)) == "link_signature"
    assert reason(follow(api, path, "x" + made)) == "link_signature"
    assert reason(follow(api, path, "nonsense")) == "link_signature"
    late = make(wall=lambda: time.time() + 61)
    assert reason(follow(late, path, made)) == "link_expired"
    assert dialled(api) == []


def test_the_rules_hold_for_links_too(make: Make) -> None:
    api = make(per_contact=1)
    path = one(api, whitelist=[r"^\+1"], auth_required=True)
    for contact, why in (("+19005551234", "premium"), ("911", "whitelist"), ("x", "contact")):
        answer = api.post(f"{path}/link", {"contact": contact})
        assert (answer.status_code, reason(answer)) == (400, why)
    for wrong in ({}, {"contact": NUMBER, "pattern": "1"}, {"pattern": "(?=1)"}, {"contact": NUMBER, "uses": 0}, {"contact": NUMBER, "expires_in": 10**9}):  # fmt: skip
        assert api.post(f"{path}/link", wrong).status_code == 400
    assert api.post(f"{path}/link", {"contact": NUMBER}, token=None).status_code == 401
    first, second = (link(api, path, contact=NUMBER)["link"] for _ in range(2))
    assert follow(api, path, first).status_code == 200
    assert reason(follow(api, path, second)) == "per_contact"
    # What was refused by a limit has not used the link.
    assert follow(make(per_contact=0), path, second).status_code == 200


def test_where_get_does_not_dial_a_link_leads_to_a_page_with_a_button(make: Make) -> None:
    api = make(connect_by_get=False)
    path = one(api, auth_required=True)
    token = link(api, path, contact=NUMBER)["link"]
    where = f"{path}/connect?link={token}"
    page = api.get(where, token=None, headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert f'action="{api.path}{where}"' in page.text
    assert dialled(api) == []
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert api.request("POST", where, token=None, headers=form, body="").status_code == 200
    assert dialled(api) == [NUMBER]


# --- proof of work


def test_a_visitor_is_given_a_challenge_and_its_solution_serves_once(make: Make) -> None:
    api = make(challenge="proof_of_work", proof_of_work_bits=8)
    path = one(api)
    answer = api.post(f"{path}/connect", {"contact": NUMBER}, token=None)
    assert (answer.status_code, reason(answer)) == (400, "proof")
    asked = answer.json["data"]["proof"]["required"]["cause"]
    number = next(
        n
        for n in range(1 << 20)
        if proof.has_zeros(asked["challenge"], asked["contact"], str(n), asked["bits"])
    )
    solution = f"{asked['challenge']}.{number}"
    body = {"contact": NUMBER, "proof": solution}
    assert (
        api.post(f"{path}/connect", body | {"contact": "+14155550199"}, token=None).status_code
        == 400
    )
    assert api.post(f"{path}/connect", body, token=None).status_code == 200
    assert reason(api.post(f"{path}/connect", body, token=None)) == "proof"
    assert (
        reason(
            make(challenge="proof_of_work", proof_of_work_bits=8).post(
                f"{path}/connect", body, token=None
            )
        )
        == "proof"
    )
    assert api.post(f"{path}/connect", {"contact": NUMBER}).status_code == 200


# --- who is shown


@pytest.mark.parametrize(
    ("allowed", "wanted", "shown"),
    [
        ([], "+14155551111", "+14155551111"),
        (["(415) 555-1111"], "+14155551111", "+14155551111"),
        (["+14155552222"], "+14155551111", "+14155559999"),
        (["+14155552222"], "+14155559999", "+14155559999"),
        (["+14155552222"], "White House", "+14155559999"),
    ],
)
def test_only_what_the_account_may_show_is_shown_outside(
    make: Make, allowed: list[str], wanted: str, shown: str
) -> None:
    api = make()
    assert api.patch("", {"caller_ids": allowed}).status_code == 200
    path = one(
        api, extension="+14155553333", outbound_callee_id_number=wanted, caller_id_number=wanted
    )
    assert api.post(f"{path}/connect", {"contact": NUMBER}).status_code == 200
    (live,) = api.calling._live.values()  # type: ignore[attr-defined]
    plan = live.flow.plan
    for leg in (plan.contact, *plan.extensions):
        assert leg.from_.uri.user == shown


# --- where a call may be led


@pytest.mark.parametrize(
    ("target", "good"),
    [
        ("sip:102@acme.example", True),
        ("sip:bob@example.com", True),
        ("tel:+14155550123", True),
        ("sip:bob@127.0.0.1", False),
        ("sip:bob@169.254.169.254", False),
        ("sip:bob@0x7f.1", False),
        ("sip:911@acme.example", False),
        ("sip:+19005550123@acme.example", False),
        ("tel:+19005550123", False),
        # The trunk's transport is UDP.
        ("sips:102@acme.example", False),
        ("sips:bob@example.com", True),
    ],
)
def test_a_transfer_leads_only_to_where_a_contact_may_be(
    make: Make, target: str, good: bool
) -> None:
    api = make()
    assert api.post(f"{one(api)}/connect", {"contact": NUMBER}).status_code == 200
    (live,) = api.calling._live.values()  # type: ignore[attr-defined]
    plan = live.flow.plan
    uri = Uri.parse(target)
    (extension,) = plan.extensions
    assert (extension.transfer(uri) is not None) == good
    assert extension.accepts_referral(uri) == good


@pytest.mark.parametrize(
    ("target", "extension", "contact"),
    [
        ("sip:+14155550123@trunk.example", True, True),
        ("sip:4155550123@trunk.example", True, True),
        ("sip:bob@trunk.example", True, True),
        ("sip:102@trunk.example", True, True),
        ("sip:*72102@trunk.example", True, False),
        ("sip:bob@example.com", True, True),
        ("sip:+19005550123@example.com", True, True),
        ("sip:+19005550123@trunk.example", False, False),
        ("sip:1900%35550123@trunk.example;user=phone", False, False),
        ("sip:+442071838750@trunk.example", False, False),
        ("sip:011442071838750@trunk.example", False, False),
        ("sip:911@trunk.example", False, False),
        ("sip:8819005550123@trunk.example", False, False),
        ("sip:+14155550177@trunk.example", True, False),
    ],
)
def test_a_trunk_sends_a_call_on_only_to_where_a_contact_may_be(
    make: Make, target: str, extension: bool, contact: bool
) -> None:
    api = make()
    assert api.put("/never_call", {"number": "+14155550177"}).status_code in (200, 201)
    assert api.post(f"{one(api)}/connect", {"contact": NUMBER}).status_code == 200
    (live,) = api.calling._live.values()  # type: ignore[attr-defined]
    plan = live.flow.plan
    uri = Uri.parse(target)
    assert (plan.extensions[0].redirect(uri) is not None) == extension
    assert (plan.contact.redirect(uri) is not None) == contact


def test_a_transfer_leads_to_nobody_who_does_not_want_to_be_called(make: Make) -> None:
    api = make()
    assert api.post(f"{one(api)}/connect", {"contact": NUMBER}).status_code == 200
    (live,) = api.calling._live.values()  # type: ignore[attr-defined]
    (extension,) = live.flow.plan.extensions
    target = Uri.parse("sip:+12025550177@acme.example")
    assert extension.accepts_referral(target)
    assert api.put("/never_call", {"number": "+12025550177"}).status_code in (200, 201)
    assert not extension.accepts_referral(target)


def test_a_leg_is_fenced_in_from_inner_addresses_and_the_extension_is_at_home(make: Make) -> None:
    api = make(networks=("10.0.0.0/8",))
    path = one(api, extension="sip:desk@192.168.1.7")
    assert api.post(f"{path}/connect", {"contact": "sip:bob@example.com"}).status_code == 200
    (live,) = api.calling._live.values()  # type: ignore[attr-defined]
    plan = live.flow.plan
    (extension,) = plan.extensions
    assert (extension.at_home, plan.contact.at_home) == (True, False)
    for leg in (extension, plan.contact):
        assert leg.accepted("8.8.8.8") and leg.accepted("10.1.1.1")
        assert not leg.accepted("192.168.1.7") and not leg.accepted("127.0.0.1")


def test_what_limits_an_account_is_for_those_above_it_to_say(make: Make, store: Store) -> None:
    api = make()
    child = api.put("", {"name": "Child"}).json["data"]["id"]
    own = store.create_token(child, None, "test")
    where = f"/v1/accounts/{child}"
    limits = {"limits": {"per_contact": 1}}
    assert api.patch(where, limits, token=own).status_code == 400
    assert api.patch(where, limits).status_code == 200
    assert api.patch(where, {"limits": {"per_contact": 5}}, token=own).status_code == 400
    assert api.patch(where, {"limits": None}, token=own).status_code == 200
    assert api.post(where, {"name": "Renamed"}, token=own).status_code == 200
    assert api.post(where, {"name": "Again"} | limits, token=own).status_code == 200
    data = api.get(where, token=own).json["data"]
    assert (data["name"], data["limits"]) == ("Again", {"per_contact": 1})
    for wrong in ({"region": "Mars"}, {"countries": ["Mars"]}, {"caller_ids": ["what?"]}, {"limits": {"per_contact": -1}}):  # fmt: skip
        assert api.patch(where, wrong).status_code == 400


def test_a_service_that_cannot_keep_up_takes_no_more_on(make: Make) -> None:
    api = make()
    one = f"/clicktocall/{api.create()['id']}"
    line: Any = api.calling._engine  # type: ignore[attr-defined]
    line.wait = 2.5
    refused = api.post(f"{one}/connect", {"contact": "+14155550100"}, token=None)
    assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
    assert refused.json["data"]["reason"] == "full"
    line.wait = 0.1
    assert api.post(f"{one}/connect", {"contact": "+14155550100"}, token=None).status_code == 200


# --- the call that was just started


def test_a_call_is_hung_up_by_the_call_ids_of_its_answer_before_anybody_is_dialled(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung_up: list[str] = []
    monkeypatch.setattr(
        Flow, "hang_up", lambda flow, cause: hung_up.append(flow.plan.activation_id)
    )
    api = make()
    api.calling._engine.now = lambda: 0.0  # type: ignore[attr-defined]
    for key, role in (("call_id", "contact"), ("extension_call_id", "extension")):
        started = api.post(f"{one(api)}/connect", {"contact": NUMBER}).json["data"]
        # It is no live leg yet, and none of anybody else.
        assert api.get(f"/channels/{started[key]}").status_code == 404
        shown = api.post(f"/channels/{started[key]}", {"action": "hangup"})
        assert shown.status_code == 200
        found = shown.json["data"]
        assert (found["call_id"], found["role"]) == (started[key], role)
        assert (found["activation_id"], found["answered"]) == (started["id"], False)
        assert hung_up.pop() == started["id"]
    assert api.post("/channels/0123", {"action": "hangup"}).status_code == 404
    assert hung_up == []
