"""What a field may be, told in Kazoo's rule names."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2c_sip.schemas import (
    ACCOUNT,
    API_AUTH,
    CHANNEL_ACTION,
    CLICKTOCALL,
    DEEPEST,
    USER_AUTH,
    fault,
    validate,
)

GOOD = {"name": "Sales", "extension": "100"}


def broken(document: dict[str, Any]) -> dict[str, list[str]]:
    """Field → rules it breaks, of a click-to-call."""
    return {field: list(rules) for field, rules in validate(CLICKTOCALL, document).items()}


def test_the_least_document_is_enough() -> None:
    assert validate(CLICKTOCALL, GOOD) == {}


def test_a_document_with_every_field_passes() -> None:
    document = GOOD | {
        "realm": "sip.acme.example",
        "auth_required": True,
        "whitelist": [r"^\+1\d{10}$", "sip:.*@partner\\.example$"],
        "throttle": 3,
        "outbound_callee_id_name": "Acme Ünal & Søn",
        "outbound_callee_id_number": "+14155550100",
        "caller_id_number": "+14155550199",
        "dial_first": "contact",
        "timeout": 45,
        "custom_sip_headers": {"X-Department": "sales", "out": {"X-Campaign": "7"}},
        "custom_application_vars": {"order": "4711"},
        "media": {"ignore_early_media": True, "else": 1},
        "bypass_media": "auto",
        "music_on_hold": {"media_id": "m1"},
        "ringback": "uk",
        "presence_id": "100@acme.example",
        "of our own": {"deep": [1, None, {"x": True}]},
    }
    assert validate(CLICKTOCALL, document) == {}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, {"name": ["required"], "extension": ["required"]}),
        ({"name": "", "extension": ""}, {"name": ["minLength"], "extension": ["minLength"]}),
        ({"name": None, "extension": None}, {"name": ["type"], "extension": ["type"]}),
        ({"name": "a\tb", "extension": "1"}, {"name": ["pattern"]}),
        ({"name": "   ", "extension": "   "}, {"name": ["minLength"], "extension": ["minLength"]}),
        ({"name": 5, "extension": 100}, {"name": ["type"], "extension": ["type"]}),
        ({"name": "n" * 129, "extension": "1"}, {"name": ["maxLength"]}),
        ({"name": "n", "extension": "1" * 257}, {"extension": ["maxLength"]}),
        (GOOD | {"auth_required": "true"}, {"auth_required": ["type"]}),
        (GOOD | {"auth_required": 1}, {"auth_required": ["type"]}),
        (GOOD | {"throttle": -1}, {"throttle": ["minimum"]}),
        (GOOD | {"throttle": True}, {"throttle": ["type"]}),
        (GOOD | {"throttle": 1.5}, {"throttle": ["type"]}),
        (GOOD | {"throttle": "1"}, {"throttle": ["type"]}),
        (GOOD | {"whitelist": "^1"}, {"whitelist": ["type"]}),
        (GOOD | {"whitelist": [5, "ok", None]}, {"whitelist.0": ["type"], "whitelist.2": ["type"]}),
        (
            GOOD | {"whitelist": ["ok", "(", "[", "*"]},
            {f"whitelist.{n}": ["pattern"] for n in (1, 2, 3)},
        ),
        (GOOD | {"whitelist": [""]}, {"whitelist.0": ["minLength"]}),
        (GOOD | {"whitelist": ["(?!a)b"]}, {"whitelist.0": ["pattern"]}),
        (GOOD | {"whitelist": ["a{900}"] * 5}, {"whitelist": ["maxLength"]}),
        (GOOD | {"whitelist": ["(" * 200]}, {"whitelist.0": ["pattern"]}),
        (GOOD | {"whitelist": ["a{4294967296}"]}, {"whitelist.0": ["pattern"]}),
        (GOOD | {"whitelist": ["a"] * 101}, {"whitelist": ["maxItems"]}),
        (GOOD | {"dial_first": "both"}, {"dial_first": ["enum"]}),
        (GOOD | {"timeout": 0}, {"timeout": ["minimum"]}),
        (GOOD | {"timeout": 601}, {"timeout": ["maximum"]}),
        (GOOD | {"outbound_callee_id_name": ""}, {"outbound_callee_id_name": ["minLength"]}),
        (GOOD | {"caller_id_number": 14155550100}, {"caller_id_number": ["type"]}),
        (GOOD | {"media": {"ignore_early_media": "no"}}, {"media.ignore_early_media": ["type"]}),
        (GOOD | {"media": []}, {"media": ["type"]}),
        (GOOD | {"bypass_media": "sometimes"}, {"bypass_media": ["enum"]}),
        (GOOD | {"music_on_hold": {"media_id": 1}}, {"music_on_hold.media_id": ["type"]}),
        (
            GOOD | {"custom_application_vars": {"a": None, "b": 1, "c": "x\ny", "d": ""}},
            {
                "custom_application_vars.a": ["type"],
                "custom_application_vars.b": ["type"],
                "custom_application_vars.c": ["pattern"],
            },
        ),
        (GOOD | {"custom_sip_headers": "X-A: b"}, {"custom_sip_headers": ["type"]}),
    ],
)
def test_a_wrong_field_is_named_with_the_rule_it_breaks(
    document: dict[str, Any], expected: dict[str, list[str]]
) -> None:
    assert broken(document) == expected


def test_all_wrong_fields_are_told_at_once() -> None:
    assert set(broken({"name": 1, "throttle": -1, "whitelist": ["("], "realm": "a b"})) == {
        "name",
        "extension",
        "throttle",
        "whitelist.0",
        "realm",
    }


def test_each_error_has_a_message_a_cause_and_what_is_allowed() -> None:
    assert validate(CLICKTOCALL, {"name": "n" * 129, "dial_first": "x", "throttle": "1"}) == {
        "name": {
            "maxLength": {
                "message": "String must not be more than 128 characters",
                "cause": "n" * 129,
                "target": 128,
            }
        },
        "extension": {"required": {"message": "Field is required but missing", "cause": None}},
        "dial_first": {
            "enum": {
                "message": "Value must be one of extension, contact",
                "cause": "x",
                "target": ["extension", "contact"],
            }
        },
        "throttle": {
            "type": {
                "message": "Value did not match type(s): integer",
                "cause": "1",
                "target": "integer",
            }
        },
    }


FIELDS_ON_THE_WIRE = [
    "name",
    "extension",
    "realm",
    "outbound_callee_id_name",
    "outbound_callee_id_number",
    "caller_id_number",
    "presence_id",
    "ringback",
]


@pytest.mark.parametrize("field", FIELDS_ON_THE_WIRE)
@pytest.mark.parametrize(
    "text",
    [
        "1\r\nX-Evil: 1",
        "1\n",
        "\r1",
        "1\0",
        "1\x7f",
        "1\x85",
        "1\u2028",
        "1\u2029",
        "1\x1b[31m",
        "1\t2",
        "1\u202e2",
    ],
)
def test_a_control_character_is_refused_wherever_it_could_reach_a_header(
    field: str, text: str
) -> None:
    assert "pattern" in broken(GOOD | {field: text})[field]


@pytest.mark.parametrize(
    ("headers", "wrong"),
    [
        ({"Via": "SIP/2.0/UDP x"}, "custom_sip_headers.Via"),
        ({"f": "x"}, "custom_sip_headers.f"),
        ({"content-length": "5"}, "custom_sip_headers.content-length"),
        ({"X A": "1"}, "custom_sip_headers.X A"),
        ({"X-A\r\nVia": "1"}, "custom_sip_headers.X-A\r\nVia"),
        ({"X-A:": "1"}, "custom_sip_headers.X-A:"),
        ({"": "1"}, "custom_sip_headers."),
        ({"X-A": "1\r\nVia: x"}, "custom_sip_headers.X-A"),
        ({"X-A": 1.5}, "custom_sip_headers.X-A"),
        ({"X-A": "1" * 1025}, "custom_sip_headers.X-A"),
        ({"out": {"To": "x"}}, "custom_sip_headers.out.To"),
        ({"in": {"X-A": None}}, "custom_sip_headers.in.X-A"),
        ({"out": {f"X-{n}": "1" for n in range(51)}}, "custom_sip_headers.out"),
    ],
)
def test_a_header_that_is_not_to_be_set_is_named(headers: dict[str, Any], wrong: str) -> None:
    assert list(validate(CLICKTOCALL, GOOD | {"custom_sip_headers": headers})) == [wrong]


@pytest.mark.parametrize(
    "extension",
    [
        "100",
        "alice",
        "*97",
        "alice.smith",
        "+14155550100",
        "(415) 555-0100",
        "0044 20 7946 0018",
        "sip:alice@acme.example",
        "sips:alice@acme.example:5061;transport=tcp",
        "sip:[2001:db8::1]:5060",
    ],
)
def test_an_extension_is_a_sip_uri_a_number_or_an_internal_extension(extension: str) -> None:
    assert broken({"name": "n", "extension": extension}) == {}


@pytest.mark.parametrize(
    "extension",
    [
        "alice@acme.example",
        "a b",
        "<100>",
        'a"b',
        "http://acme.example",
        "mailto:a@b",
        "sip:",
        "sip:a@",
        "sip:a@b@c",
        "sip:a@acme.example?Replaces=x",
        "sip:a@acme.example;maddr=10.0.0.1",
        "javascript:alert(1)",
    ],
)
def test_an_extension_that_is_none_of_these_is_refused(extension: str) -> None:
    assert broken({"name": "n", "extension": extension}) == {"extension": ["pattern"]}


@pytest.mark.parametrize(
    "realm", ["acme.example", "sip", "a-b.example.", "192.0.2.1", "2001:db8::1", "[2001:db8::1]"]
)
def test_a_realm_is_a_domain_name_or_an_address(realm: str) -> None:
    assert broken(GOOD | {"realm": realm}) == {}
    assert validate(ACCOUNT, {"name": "n", "realm": realm}) == {}


@pytest.mark.parametrize(
    "realm",
    ["-a.example", "a-.example", "a..b", ".", "a b", "a_b", "1.2.3", "256.1.1.1", ":::", "[acme]",
     "fe80::1%eth0", "a@b", "a:5060", "ä.example", "a" * 64 + ".example"],
)  # fmt: skip
def test_a_realm_that_is_neither_is_refused(realm: str) -> None:
    assert list(broken(GOOD | {"realm": realm})) == ["realm"]


def test_unknown_fields_are_nobody_s_to_judge() -> None:
    assert broken(GOOD | {"whatever": None, "": [], "id": 5, "a.b": {"\r\n": "\0"}}) == {}


def test_sign_in_documents() -> None:
    assert validate(USER_AUTH, {"credentials": "0" * 32, "realm": "a"}) == {}
    assert set(validate(USER_AUTH, {"method": "plain", "realm": 5})) == {
        "credentials",
        "method",
        "realm",
    }
    assert set(validate(API_AUTH, {})) == {"api_key"}
    assert set(validate(CHANNEL_ACTION, {"action": "transfer"})) == {"action"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_document_makes_the_check_itself_fail(data: st.DataObject) -> None:
    schema = data.draw(st.sampled_from([CLICKTOCALL, ACCOUNT, USER_AUTH, API_AUTH, CHANNEL_ACTION]))
    document = data.draw(st.dictionaries(st.sampled_from(sorted(schema)) | st.text(), JSON))
    for rules in validate(schema, document).values():
        for rule, detail in rules.items():
            assert isinstance(rule, str) and rule != "None"
            assert detail["message"] and "cause" in detail


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_nesting_is_bounded() -> None:
    assert fault(nested(DEEPEST - 1)) is None
    assert fault(nested(DEEPEST)) is not None


@pytest.mark.parametrize(
    "value", [float("inf"), float("-inf"), float("nan"), "\ud800", {"\udfff": 1}, [["a\udc00"]]]
)
def test_what_is_no_json_or_no_unicode_is_at_fault(value: Any) -> None:
    assert fault({"x": value}) is not None


def test_plain_unicode_is_not_at_fault() -> None:
    assert fault({"ü": ["😀", "\0", 1.5, 10**400, None, True]}) is None
