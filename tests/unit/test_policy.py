"""Which contacts may be called."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from c2c_sip.calling.contact import Extension, Number, Unreadable, read_contact, read_extension
from c2c_sip.calling.policy import Refusal, check, check_pattern, spellings
from sipstack.message import Uri

ACCOUNT = {"realm": "pbx.example.net"}


def allowed(
    contact: object,
    *,
    whitelist: list[str] | None = None,
    auth_required: bool = False,
    authenticated: bool = False,
    realm: str | None = None,
    region: str = "US",
) -> Number | Uri:
    clicktocall: Mapping[str, Any] = {
        "whitelist": whitelist or [],
        "auth_required": auth_required,
        "realm": realm,
    }
    return check(clicktocall, contact, ACCOUNT, authenticated=authenticated, region=region).contact


def refused(contact: object, **kwargs: Any) -> str:
    with pytest.raises(Refusal) as caught:
        allowed(contact, **kwargs)
    assert caught.value.kind == "validation"
    assert caught.value.field == "contact"
    assert caught.value.message
    assert caught.value.value == contact
    return caught.value.rule


@pytest.mark.parametrize(
    ("text", "region", "digits", "e164"),
    [
        ("+14155550123", "US", "+14155550123", "+14155550123"),
        ("(415) 555-0123", "US", "4155550123", "+14155550123"),
        ("1.415.555.0123", "US", "14155550123", "+14155550123"),
        ("+44 (0)20 7946 0958", "US", "+4402079460958", "+442079460958"),
        ("011 44 20 7946 0958", "US", "011442079460958", "+442079460958"),
        ("00 44 20 7946 0958", "DE", "00442079460958", "+442079460958"),
        ("030/1234-567", "DE", "0301234567", "+49301234567"),
        ("tel:+1-415-555-0123", "DE", "+14155550123", "+14155550123"),
        ("tel:101;phone-context=+1", "US", "101", None),
        ("TEL:101", "US", "101", None),
        ("101", "US", "101", None),
        ("911", "US", "911", None),
        ("5550123", "US", "5550123", None),
        ("1000", "DE", "1000", None),
        ("*97", "US", "*97", None),
        ("*21*4155550123#", "US", "*21*4155550123#", None),
        ("+999 1234 5678", "US", "+99912345678", "+99912345678"),
        ("415\u00a0555\u20110123", "US", "4155550123", "+14155550123"),
        ("  +14155550123  ", "US", "+14155550123", "+14155550123"),
    ],
)
def test_numbers_are_read_in_the_regions_way(
    text: str, region: str, digits: str, e164: str | None
) -> None:
    assert read_contact(text, region) == Number(digits, e164)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "required"),
        ("   ", "required"),
        ("bob", "format"),
        ("1-800-FLOWERS", "format"),
        ("bob@example.net", "format"),
        ("+", "format"),
        ("-", "format"),
        ("*", "format"),
        ("+1*5", "format"),
        ("+12", "format"),
        ("+1234567890123456", "format"),
        ("12+34", "format"),
        ("٣٤٥٦٧٨٩", "format"),
        ("http://example.net/", "format"),
        ("mailto:bob@example.net", "format"),
        ("sip:", "format"),
        ("sip:bob@", "format"),
        ("sip:bob@example.net?Replaces=1", "format"),
        ("sip:bob@example.net;maddr=192.0.2.9", "format"),
        ("sip:bob@example.net;method=BYE", "format"),
        ("tel:", "format"),
        ("1" * 33, "maxLength"),
        ("1" * 257, "maxLength"),
        ("+1415\r\n5550123", "format"),
        ("+14155550123\x00", "format"),
        ("+1415\x7f5550123", "format"),
        ("+1415\u200b5550123", "format"),
        ("+1415\u2028", "format"),
        ("sip:bob@example.net\r\nVia: x", "format"),
    ],
)
def test_what_is_no_number_and_no_sip_uri_is_refused_by_its_rule(text: str, rule: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_contact(text, "US")
    assert caught.value.rule == rule
    assert refused(text) == rule


@pytest.mark.parametrize(("value", "rule"), [(None, "required"), (12, "type"), (["1"], "type")])
def test_a_contact_is_a_string(value: object, rule: str) -> None:
    assert refused(value) == rule


@pytest.mark.parametrize(
    ("text", "party"),
    [
        ("101", Extension("101")),
        ("1 01", Extension("101")),
        ("bob", Extension("bob")),
        ("front.desk-2", Extension("front.desk-2")),
        ("*97", Extension("*97")),
        ("tel:101", Extension("101")),
        ("+14155550123", Number("+14155550123", "+14155550123")),
        ("415 555 0123", Number("4155550123", "+14155550123")),
    ],
)
def test_an_extension_is_a_user_unless_it_is_a_number_in_full(text: str, party: object) -> None:
    assert read_extension(text, "US") == party


@pytest.mark.parametrize("text", ["", "a b", "bob@pbx", "<bob>", 'b"ob', "bob\r\n", "x" * 257])
def test_an_extension_that_can_not_be_dialled_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        read_extension(text, "US")


# -- the whitelist -------------------------------------------------------------------------------


def test_an_empty_whitelist_lets_every_number_through() -> None:
    assert allowed("+14155550123") == Number("+14155550123", "+14155550123")


@pytest.mark.parametrize(
    ("pattern", "contact"),
    [
        (r"^\+1415", "(415) 555-0123"),
        (r"^415", "(415) 555-0123"),
        (r"^\(415\)", "(415) 555-0123"),
        (r"^1415\d{7}$", "(415) 555-0123"),
        (r"555", "+14155550123"),
        (r"^101$", "tel:101"),
        (r"@example\.net$", "sip:bob@example.net"),
        (r"^sip:bob@", "sip:bob@example.net;transport=tcp"),
    ],
)
def test_a_pattern_is_searched_in_the_contact_as_given_and_as_dialled(
    pattern: str, contact: str
) -> None:
    assert allowed(contact, whitelist=["^nothing$", pattern])


def test_a_contact_that_no_pattern_matches_is_refused() -> None:
    assert refused("+14155550123", whitelist=[r"^\+44", "^999$"]) == "pattern"


@pytest.mark.parametrize(
    "contact",
    [
        "sip:bob@rogue.example;x=@example.net",
        "sip:bob:@example.net@rogue.example",
        "tel:9001234567;x=+1415",
    ],
)
def test_parameters_of_a_uri_can_not_satisfy_the_whitelist(contact: str) -> None:
    assert refused(contact, whitelist=[r"@example\.net$", r"\+1415"]) in ("pattern", "format")


def test_a_pattern_that_can_not_be_used_matches_nothing() -> None:
    assert refused("+14155550123", whitelist=["("]) == "pattern"
    assert refused("+14155550123", whitelist=[r"(\d+)+"]) == "pattern"


def test_a_user_is_matched_without_its_escapes() -> None:
    assert refused("sip:%31900@example.net", whitelist=["^(?!.*1900).*@example"]) == "pattern"
    assert allowed("sip:b%6fb@example.net", whitelist=["^sip:bob@example"])


def test_spellings_have_no_doubles() -> None:
    assert spellings("+14155550123", Number("+14155550123", "+14155550123")) == [
        "+14155550123",
        "14155550123",
    ]


# -- SIP URIs from the public --------------------------------------------------------------------


def test_a_sip_uri_from_the_public_is_refused_outside_of_the_accounts_realm() -> None:
    assert refused("sip:bob@example.com") == "pattern"
    assert refused("sip:bob@127.0.0.1") == "pattern"
    assert refused("sips:bob@evil.pbx.example.net") == "pattern"
    assert allowed("sip:bob@pbx.example.net")
    assert allowed("sip:bob@PBX.example.NET.")


def test_the_realm_of_a_click_to_call_opens_no_other_network() -> None:
    assert refused("sip:bob@other.example", realm="other.example") == "pattern"


def test_a_sip_uri_is_let_through_by_the_whitelist() -> None:
    assert allowed("sip:bob@example.com", whitelist=[r"@example\.com$"])
    assert refused("sip:bob@pbx.example.net", whitelist=[r"@example\.com$"]) == "pattern"


def test_a_sip_uri_is_let_through_where_the_caller_is_known() -> None:
    assert allowed("sip:bob@example.com", authenticated=True)
    assert allowed("sip:bob@example.com", auth_required=True)


def test_a_number_from_the_public_is_let_through() -> None:
    assert allowed("tel:+14155550123")
    assert allowed("101")


# -- patterns that are saved ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "101",
        r"^\+?1?[2-9]\d{2}[2-9]\d{6}$",
        r"^\+1\d{10}$",
        r"^\+(1|44|49)\d+$",
        r"^(?:\+?1[-. ]?)?\(?([0-9]{3})\)?[-. ]?([0-9]{3})[-. ]?([0-9]{4})$",
        r".*@example\.net$",
        r"^(?!\+1900)\+1\d*$",
        r"^sip:.*@.*\.example\.net$",
        r"^(\d{3}){2,4}$",
        "(?i)^SIP:",
    ],
)
def test_ordinary_patterns_may_be_saved(pattern: str) -> None:
    assert check_pattern(pattern) is None


CATASTROPHES = [
    r"(a+)+$",
    r"(a*)*$",
    r"(a|a)*$",
    r"(a|aa)+$",
    r"(.*a){12}$",
    r"(\d+)+x",
    r"^(\d+-?)+$",
    r"(a?){64}a{64}",
    r"a?" * 30 + "a" * 30,
    r"(x+x+)+y",
    r".*.*.*.*=",
    r"([a-z]+)*\d",
    r"(?:a+){2,}b",
    r"(?=(a+)+b)",
    r"((a+)(b|c)?)*d",
    r"(\w+\s?)+$",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"(a+)*\1",
]


@pytest.mark.parametrize("pattern", CATASTROPHES)
def test_patterns_that_could_hold_the_interpreter_may_not(pattern: str) -> None:
    assert "too many ways" in (check_pattern(pattern) or "")


@pytest.mark.parametrize("pattern", ["(", "[", "*", "a{2,1}", "(?P<a", "\\", "(?<=a+)b"])
def test_what_does_not_compile_is_refused_with_the_reason(pattern: str) -> None:
    assert "not a regular expression" in (check_pattern(pattern) or "")


def test_a_pattern_of_any_size_and_depth_gets_an_answer() -> None:
    assert "at most" in (check_pattern("a" * 513) or "")
    assert check_pattern("(" * 100 + "a" + ")" * 100) is None
    assert check_pattern("(" * 80 + "a" + "*)*" * 80) is not None


@pytest.mark.parametrize("pattern", [r".*a.*b$", "^" + "a?" * 16 + "b", r"(a{1,255}){1}.?.?b"])
def test_the_worst_patterns_that_may_be_saved_answer_in_time(pattern: str) -> None:
    assert check_pattern(pattern) is None
    started = time.perf_counter()
    allowed("sip:" + "a" * 240 + "@x", whitelist=[pattern, "x"], authenticated=True)
    assert time.perf_counter() - started < 2.0
