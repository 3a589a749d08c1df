"""What a click-to-call's fields make of a call, as the door hands it to the engine."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from c2c_sip.calling.door import Calling
from c2c_sip.calling.plan import LegPlan, Plan
from c2c_sip.calling.tracing import Tracing
from c2c_sip.config import Config, Trunk
from c2c_sip.schemas import CLICKTOCALL, MOST_EXTENSIONS, validate
from c2c_sip.service import account_of
from c2c_sip.store import Store
from sipstack.media import LegCounters
from sipstack.trace import Trace
from tests.unit.conftest import Api
from tests.unit.test_api_guard import NUMBER, Line, reason

TRUNK = Trunk(name="t", domain="trunk.example", register=False, caller_id="+14155559999")
GOOD = {"name": "n", "extension": "101"}


class Desk:
    """The API with the real door, at a time of the test's choosing."""

    def __init__(self, store: Store, account: dict[str, Any]) -> None:
        self.line = Line()
        self.now = 1_800_000_000.0
        accounts = {"t": account_of(TRUNK, random.Random(1))}
        config = replace(Config(), trunks=(TRUNK,))
        tracing = Tracing(Trace(), store.traces, most=0, later=lambda *_: None, offset=lambda: 0.0)
        self.calling = Calling(config, store, self.line, accounts, tracing, lambda: self.now)  # type: ignore[arg-type]
        self.api = Api(store, self.calling, account, config)  # type: ignore[arg-type]
        self.id = ""

    def connect(self, query: str = "", *, token: bool = True, **fields: Any) -> Any:
        """Make a click-to-call and activate it; the answer."""
        self.id = str(self.api.create(**fields)["id"])
        return self.again(query, token=token)

    def again(self, query: str = "", *, token: bool = True) -> Any:
        path = f"/clicktocall/{self.id}/connect?contact=%2B14155550100{query}"
        return self.api.get(path, **({} if token else {"token": None}))

    @property
    def plan(self) -> Plan:
        return list(self.calling._live.values())[-1].flow.plan

    def history(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/clicktocall/{self.id}/history").json["data"][0]
        return found


@pytest.fixture
def desk(store: Store, account: dict[str, Any]) -> Desk:
    return Desk(store, account)


def users(plans: tuple[LegPlan, ...]) -> list[str | None]:
    return [plan.outbound.uri.user for plan in plans]


def headers(plan: LegPlan) -> dict[str, str]:
    return dict(plan.headers)


def broken(**fields: Any) -> dict[str, list[str]]:
    return {path: list(rules) for path, rules in validate(CLICKTOCALL, GOOD | fields).items()}


# -- extension ------------------------------------------------------------------------------------


def test_a_list_of_extensions_is_kept_listed_and_rung(desk: Desk) -> None:
    several = ["101", "+14155550177", "sip:mobile@example.com"]
    assert desk.connect(extension=several).status_code == 200
    assert users(desk.plan.extensions) == ["101", "+14155550177", "mobile"]
    assert len({plan.call_id for plan in desk.plan.extensions}) == 3
    (summary,) = desk.api.get("/clicktocall").json["data"]
    assert summary["extension"] == several
    assert desk.api.get(f"/clicktocall/{desk.id}").json["data"]["extension"] == several


def test_one_that_is_there_twice_rings_once(desk: Desk) -> None:
    desk.connect(extension=["101", " 101", "101", "+1 415 555 0177", "+14155550177"])
    assert users(desk.plan.extensions) == ["101", "+14155550177"]


def test_the_contact_is_shown_the_first_extension(desk: Desk) -> None:
    desk.connect(extension=["+14155550177", "+14155550178"])
    assert desk.plan.contact.from_.uri.user == "+14155550177"


def test_a_list_is_found_by_any_of_its_extensions(desk: Desk) -> None:
    desk.api.create(name="one", extension="101")
    desk.api.create(name="both", extension=["101", "102"])

    def found(query: str) -> set[str]:
        return {row["name"] for row in desk.api.get(f"/clicktocall?{query}").json["data"]}

    assert found("filter_extension=101") == {"one", "both"}
    assert found("filter_extension=102") == {"both"}
    assert found("filter_not_extension=102") == {"one"}


@pytest.mark.parametrize(
    ("extension", "expected"),
    [
        ([], {"extension": ["minItems"]}),
        (["1"] * (MOST_EXTENSIONS + 1), {"extension": ["maxItems"]}),
        (["101", ""], {"extension.1": ["minLength"]}),
        (["101", 5], {"extension.1": ["type"]}),
        ([["101"]], {"extension.0": ["type"]}),
        (["101", "http://x"], {"extension.1": ["pattern"]}),
        (["101\r\nVia: x", "1" * 257], {"extension.0": ["pattern"], "extension.1": ["maxLength"]}),
        ({"0": "101"}, {"extension": ["type"]}),
        (["1"] * MOST_EXTENSIONS, {}),
    ],
)
def test_a_list_that_cannot_be_rung_is_refused(
    extension: Any, expected: dict[str, list[str]]
) -> None:
    assert broken(extension=extension) == expected


@pytest.mark.parametrize("bad", ["911", "+19005550123", "+881612345678"])
def test_no_extension_of_a_list_may_be_a_number_that_costs(desk: Desk, bad: str) -> None:
    answer = desk.connect(extension=["101", bad])
    assert answer.status_code == 400
    assert "extension" in answer.json["data"]
    assert desk.calling._live == {}


def test_lines_are_kept_for_all_that_ring_and_given_back_once_one_has_answered(desk: Desk) -> None:
    desk.line.media.capacity = 7
    assert desk.connect(extension=["101", "102", "103"]).status_code == 200
    (live,) = desk.calling._live.values()
    answer = desk.connect(extension=["101", "102", "103"])
    assert (answer.status_code, reason(answer)) == (503, "full")
    live.recorder._changed("extension_answered")
    live.recorder._changed("connected")
    assert desk.again().status_code == 200
    assert desk.calling.readiness().full
    assert desk.connect(extension="101").status_code == 503


# -- dial_first, timeout --------------------------------------------------------------------------


def test_who_is_dialled_first(desk: Desk) -> None:
    desk.connect()
    assert (desk.plan.first, desk.plan.second) == (desk.plan.extensions, (desk.plan.contact,))
    desk.connect(dial_first="contact", extension=["101", "102"])
    assert (desk.plan.first, desk.plan.second) == ((desk.plan.contact,), desk.plan.extensions)


def test_the_timeout_is_that_of_either_party(desk: Desk) -> None:
    desk.connect()
    assert (desk.plan.extensions[0].timeout, desk.plan.contact.timeout) == (30, 60)
    desk.connect(timeout=7, extension=["101", "102"])
    assert {leg.timeout for leg in (*desk.plan.extensions, desk.plan.contact)} == {7}


# -- custom_sip_headers ---------------------------------------------------------------------------


def test_headers_go_to_both_legs_or_under_in_and_out_to_one(desk: Desk) -> None:
    custom = {
        "X-Both": "b",
        "X-Number": 5,
        "in": {"X-Desk": "d", "X-Is": True, "Alert-Info": "<urn:alert:source:external>"},
        "out": {"X-Customer": "c"},
    }
    desk.connect(custom_sip_headers=custom, extension=["101", "102"])
    for leg in desk.plan.extensions:
        found = headers(leg)
        assert (found["X-Both"], found["X-Desk"]) == ("b", "d") and "X-Customer" not in found
        # As Kazoo has them, not only texts.
        assert (found["X-Number"], found["X-Is"]) == ("5", "true")
    found = headers(desk.plan.contact)
    assert (found["X-Both"], found["X-Customer"]) == ("b", "c") and "X-Desk" not in found


@pytest.mark.parametrize(
    "name",
    [
        "Via", "v", "FROM", "f", "to", "T", "Call-ID", "i", "CSeq", "Contact", "m", "Route", "Record-Route",
        "Max-Forwards", "Content-Length", "l", "Content-Type", "c", "Authorization", "Proxy-Authorization", "Require",
        "Supported", "k", "Allow", "Accept", "Session-Expires", "x", "Min-SE", "Reason", "Replaces", "Join", "Refer-To",
        "r", "Referred-By", "b", "Identity", "y", "Privacy", "Diversion", "History-Info", "Remote-Party-ID",
        "P-Asserted-Identity", "p-preferred-identity", "P-Charging-Vector", "P-Access-Network-Info", "User-Agent",
        "Event", "o", "RAck", "Expires", "Path", "Warning",
    ],
)  # fmt: skip
def test_what_belongs_to_sip_itself_is_not_to_be_set(name: str) -> None:
    assert broken(custom_sip_headers={name: "x"}) == {f"custom_sip_headers.{name}": ["enum"]}
    nested = {"out": {name: "x"}}
    assert broken(custom_sip_headers=nested) == {f"custom_sip_headers.out.{name}": ["enum"]}


@pytest.mark.parametrize(
    ("custom", "rule"),
    [
        ({"X-A": "b\r\nVia: SIP/2.0/UDP evil"}, "pattern"),
        ({"X-A": "b\nc"}, "pattern"),
        ({"X-A": "b\x00"}, "pattern"),
        ({"X-A": "b\u2028c"}, "pattern"),
        ({"X-A\r\nVia": "b"}, "pattern"),
        ({"X-A:": "b"}, "pattern"),
        ({"X A": "b"}, "pattern"),
        ({"": "b"}, "pattern"),
        ({"X-É": "b"}, "pattern"),
        ({"X-A": "b" * 1025}, "maxLength"),
        ({"X-A": 5.5}, "type"),
        ({"X-A": None}, "type"),
        ({"X-A": ["b"]}, "type"),
    ],
)
def test_no_header_can_be_smuggled_into_the_message(custom: dict[str, Any], rule: str) -> None:
    for where in (custom, {"in": custom}):
        ((_, rules),) = broken(custom_sip_headers=where).items()
        assert rules == [rule]


def test_headers_together_leave_room_for_the_rest_of_a_datagram(desk: Desk) -> None:
    half = {f"X-{number}": "ü" * 500 for number in range(4)}
    assert broken(custom_sip_headers={"in": half, "out": half}) == {}
    more = half | {"X-4": "ü" * 50}
    assert broken(custom_sip_headers=half | {"in": half, "out": {"X-4": "ü" * 80}}) == {
        "custom_sip_headers": ["maxLength"]
    }
    assert broken(custom_sip_headers=more) == {}
    many = {f"X-{number}": "{{o}}" for number in range(40)}
    answer = desk.connect(f"&o={'1' * 256}", token=False, custom_application_vars=many)
    assert list(answer.json["data"]["o"]) == ["maxLength"]


def test_a_header_that_was_saved_when_it_was_allowed_is_left_out(desk: Desk) -> None:
    row = desk.api.store.create_clicktocall(
        desk.api.account["id"], GOOD | {"custom_sip_headers": {"Via": "x", "X-A": "b"}}
    )
    desk.id = row["id"]
    assert desk.again().status_code == 200
    assert headers(desk.plan.contact) == {"X-A": "b"}


# -- auto_answer ----------------------------------------------------------------------------------

AUTO = {
    "Alert-Info": "<sip:trunk.example>;info=alert-autoanswer;delay=0",
    "Call-Info": "<sip:trunk.example>;answer-after=0",
    "Answer-Mode": "Auto",
    "P-Auto-Answer": "normal",
}


@pytest.mark.parametrize(
    ("field", "query", "token", "expected"),
    [
        (None, "", True, False),
        (True, "", True, True),
        (True, "", False, True),
        (None, "&auto_answer=true", True, True),
        # Nobody can make somebody else's phone listen into the room.
        (None, "&auto_answer=true", False, False),
        (True, "&auto_answer=false", False, False),
        (False, "&auto_answer=True", True, True),
        (None, "&auto_answer=yes", True, False),
    ],
)
def test_auto_answer_is_for_the_extension_and_the_public_cannot_switch_it_on(
    desk: Desk, field: bool | None, query: str, token: bool, expected: bool
) -> None:
    fields = {} if field is None else {"auto_answer": field}
    assert desk.connect(query, token=token, **fields).status_code == 200
    (extension,) = desk.plan.extensions
    assert (AUTO.items() <= headers(extension).items()) is expected
    assert not AUTO.keys() & headers(desk.plan.contact).keys()


def test_a_header_of_one_s_own_takes_the_place_of_auto_answer_s(desk: Desk) -> None:
    desk.connect(auto_answer=True, custom_sip_headers={"in": {"alert-info": "<urn:x:y>"}})
    names = [name.lower() for name, _ in desk.plan.extensions[0].headers]
    assert names.count("alert-info") == 1
    assert headers(desk.plan.extensions[0])["alert-info"] == "<urn:x:y>"


# -- custom_application_vars ----------------------------------------------------------------------


def test_variables_are_kept_with_the_call_and_filled_in_from_the_request(desk: Desk) -> None:
    kept = {"campaign": "spring", "order": "no. {{order}}", "who": "{{ first }} {{last}}"}
    desk.connect("&order=4711&first=Jo&auth_token=x", custom_application_vars=kept)
    expected = {"campaign": "spring", "order": "no. 4711", "who": "Jo "}
    assert desk.history()["custom_application_vars"] == expected
    assert headers(desk.plan.extensions[0]) == headers(desk.plan.contact) == {}


@pytest.mark.parametrize(
    ("given", "expected"),
    [("4711", "4711"), (4711, "4711"), (1.5, "1.5"), (True, "true"), (None, "")],
)
def test_a_parameter_of_json_may_be_a_number(desk: Desk, given: Any, expected: str) -> None:
    made = desk.api.create(custom_application_vars={"order": "{{order}}"})
    asked = {"contact": NUMBER, "order": given}
    assert desk.api.post(f"/clicktocall/{made['id']}/connect", asked).status_code == 200
    desk.id = made["id"]
    assert desk.history()["custom_application_vars"] == {"order": expected}


def test_auto_answer_may_be_json_s_true(desk: Desk) -> None:
    made = desk.api.create()
    desk.api.post(f"/clicktocall/{made['id']}/connect", {"contact": NUMBER, "auto_answer": True})
    assert AUTO.items() <= headers(desk.plan.extensions[0]).items()


def test_what_is_kept_is_not_told_to_visitors(desk: Desk) -> None:
    answer = desk.connect(token=False, custom_application_vars={"margin": "12%"})
    assert "custom_application_vars" not in answer.json["data"]
    state = f"/clicktocall/{desk.id}/connect/{answer.json['data']['id']}"
    assert "custom_application_vars" not in desk.api.get(state, token=None).json["data"]


def test_variables_whose_names_begin_with_x_are_sent_to_the_extension(desk: Desk) -> None:
    kept = {"X-Order": "{{order}}", "plain": "p", "x-shop": "north"}
    desk.connect("&order=4711", token=False, custom_application_vars=kept)
    assert headers(desk.plan.extensions[0]) == {"X-Order": "4711", "x-shop": "north"}
    assert headers(desk.plan.contact) == {}
    assert desk.history()["custom_application_vars"]["X-Order"] == "4711"


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("1%0D%0AVia:%20SIP/2.0/UDP%20evil", "pattern"),
        ("1%0A", "pattern"),
        ("%00", "pattern"),
        ("%E2%80%A8", "pattern"),
        ("1" * 257, "maxLength"),
    ],
)
def test_a_parameter_that_is_no_line_of_text_starts_no_call(
    desk: Desk, value: str, rule: str
) -> None:
    answer = desk.connect(
        f"&order={value}", token=False, custom_application_vars={"X-Order": "{{order}}"}
    )
    assert answer.status_code == 400
    assert list(answer.json["data"]["order"]) == [rule]
    assert reason(answer) == "variable"
    assert desk.calling._live == {}


def test_many_references_do_not_make_a_long_value(desk: Desk) -> None:
    answer = desk.connect(
        f"&o={'1' * 256}", token=False, custom_application_vars={"a": "{{o}}" * 200}
    )
    assert list(answer.json["data"]["o"]) == ["maxLength"]


@pytest.mark.parametrize(
    ("variables", "path", "rule"),
    [
        ({"a b": "x"}, "custom_application_vars.a b", "pattern"),
        ({"a\r\nb": "x"}, "custom_application_vars.a\r\nb", "pattern"),
        ({"": "x"}, "custom_application_vars.", "pattern"),
        ({"a": "x\r\ny"}, "custom_application_vars.a", "pattern"),
        ({"a": 5}, "custom_application_vars.a", "type"),
        ({"a": "{{auth_token}}"}, "custom_application_vars.a", "enum"),
        ({"a": "{{ link }}"}, "custom_application_vars.a", "enum"),
    ],
)
def test_variables_that_cannot_be_kept_are_refused(
    variables: dict[str, Any], path: str, rule: str
) -> None:
    assert broken(custom_application_vars=variables) == {path: [rule]}


def test_a_parameter_may_come_in_a_form_too(desk: Desk) -> None:
    desk.id = desk.api.create(custom_application_vars={"order": "{{order}}"})["id"]
    answer = desk.api.request(
        "POST",
        f"/clicktocall/{desk.id}/connect",
        body=f"contact={NUMBER.replace('+', '%2B')}&order=7",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        token=None,
    )
    assert answer.status_code == 200
    assert desk.history()["custom_application_vars"] == {"order": "7"}


# -- hours ----------------------------------------------------------------------------------------

MONDAY_NOON = 1_800_014_400.0  # 2027-01-15 was a Friday: 12:00 UTC


def test_outside_of_its_hours_nobody_is_called_and_the_visitor_is_told(desk: Desk) -> None:
    hours = {"timezone": "UTC", "friday": ["09:00-17:00"], "message": "We are here on Fridays."}
    desk.now = MONDAY_NOON - 4 * 3600  # 8 o'clock
    answer = desk.connect(token=False, hours=hours)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "3600"
    data = answer.json["data"]
    assert (data["message"], data["reason"]) == ("We are here on Fridays.", "hours")
    record = desk.history()
    assert (record["result"], record["rule"]) == ("error", "hours")
    state = f"/clicktocall/{desk.id}/connect/{record['id']}"
    assert desk.api.get(state, token=None).json["data"]["rule"] == "hours"
    assert desk.calling._live == {}
    desk.now = MONDAY_NOON
    assert desk.again(token=False).status_code == 200


# -- what is there besides ------------------------------------------------------------------------


def test_a_presence_id_is_kept_as_it_is(desk: Desk) -> None:
    desk.connect(presence_id="101@acme.example")
    shown = desk.api.get(f"/clicktocall/{desk.id}").json["data"]
    assert shown["presence_id"] == "101@acme.example"
    assert desk.plan.extensions[0].headers == ()


def test_early_media_is_passed_on_unless_it_is_not_wanted(desk: Desk) -> None:
    desk.connect()
    assert desk.plan.ignore_early_media is False
    desk.connect(media={"ignore_early_media": True})
    assert desk.plan.ignore_early_media is True


Check = Callable[[Plan], object]


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ({"caller_id": {"external": {"name": "Acme", "number": "+14155550111"}}},
         lambda plan: str(plan.contact.from_) == '"Acme" <sip:+14155550111@trunk.example>'),
        ({"caller_id": {"internal": {"number": "+14155550122"}}},
         lambda plan: plan.extensions[0].from_.uri.user == "+14155550122"),
        ({"defaults": {"timeout": 9}}, lambda plan: plan.contact.timeout == 9),
        ({"defaults": {"dial_first": "contact"}}, lambda plan: plan.first == (plan.contact,)),
        ({"defaults": {"auto_answer": True}}, lambda plan: "Call-Info" in headers(plan.extensions[0])),
        ({"defaults": {"custom_sip_headers": {"X-A": "b"}}}, lambda plan: headers(plan.contact)["X-A"] == "b"),
        ({"defaults": {"media": {"ignore_early_media": True}}}, lambda plan: plan.ignore_early_media),
    ],
)  # fmt: skip
def test_what_an_account_says_holds_for_its_click_to_calls(
    desk: Desk, said: dict[str, Any], seen: Check
) -> None:
    assert desk.api.patch("", said).status_code == 200
    assert desk.connect().status_code == 200
    assert seen(desk.plan)


# -- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_clock_that_is_set_while_a_call_is_up_makes_it_no_longer_and_no_shorter(
    desk: Desk, step: float
) -> None:
    """NTP after a boot without a clock, or somebody's hand: what was talked is counted, and paid, by seconds."""
    desk.connect()
    (live,) = desk.calling._live.values()
    legs = live.flow.plan.first + live.flow.plan.second
    for leg in legs:
        live.recorder.leg_dialled(leg)
        live.recorder.ringing(leg)
    desk.line.clock += 4.0
    for leg in legs:
        live.recorder.answered(leg)
    live.recorder.connected()
    desk.now += step
    desk.line.clock += 90.0
    assert live.recorder.now() - live.started == pytest.approx(94.0)
    for leg in legs:
        live.recorder.leg_ended(leg, "NORMAL_CLEARING", 200, None, LegCounters(), desk.line.clock)
    live.recorder.ended("NORMAL_CLEARING", 200)
    desk.api.store.flush()
    item = desk.history()
    names = ("duration_seconds", "billing_seconds", "ringing_seconds")
    assert [item[name] for name in names] == [94, 90, 4]
    for cdr in desk.api.get("/cdrs").json["data"]:
        assert [cdr[name] for name in names] == [94, 90, 4]
