"""Which contacts may be called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from phonenumbers import PhoneMetadata, shortnumberinfo

from c2c_sip.calling.contact import Extension, Number, Unreadable, read_contact, read_extension
from c2c_sip.calling.policy import (
    Refusal,
    Rules,
    check,
    check_extension,
    check_pattern,
    check_whitelist,
    refused_number,
    spellings,
)
from sipstack.message import Uri

ACCOUNT = {"realm": "pbx.example.net"}
SWITCHES = frozenset({"trunk.example"})
RULES = Rules(switches=SWITCHES)


def allowed(
    contact: object,
    *,
    whitelist: list[str] | None = None,
    auth_required: bool = False,
    authenticated: bool = False,
    realm: str | None = None,
    rules: Rules = RULES,
) -> Number | Uri:
    clicktocall: Mapping[str, Any] = {
        "whitelist": whitelist or [],
        "auth_required": auth_required,
        "realm": realm,
    }
    return check(clicktocall, contact, ACCOUNT, authenticated=authenticated, rules=rules).contact


def called(contact: object) -> str:
    rules = replace(RULES, countries=frozenset({"any"}))
    return check({}, contact, ACCOUNT, authenticated=True, rules=rules).called


def refused(contact: object, **kwargs: Any) -> str:
    return refusal(contact, **kwargs).rule


def reason(contact: object, **kwargs: Any) -> str:
    return refusal(contact, **kwargs).reason


def refusal(contact: object, **kwargs: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        allowed(contact, **kwargs)
    assert caught.value.kind == "validation"
    assert caught.value.field == "contact"
    assert caught.value.message
    assert caught.value.value == contact
    return caught.value


@pytest.mark.parametrize(
    ("text", "region", "digits", "e164"),
    [
        ("+14155550123", "US", "+14155550123", "+14155550123"),
        ("(415) 555-0123", "US", "4155550123", "+14155550123"),
        ("1.415.555.0123", "US", "14155550123", "+14155550123"),
        ("+44 (0)20 7946 0958", "US", "+4402079460958", "+442079460958"),
        ("011 44 20 7946 0958", "US", "011442079460958", "+442079460958"),
        ("00 44 20 7946 0958", "DE", "00442079460958", "+442079460958"),
        # The US have another prefix, but nobody a number that begins so.
        ("00 44 20 7946 0958", "US", "00442079460958", "+442079460958"),
        ("001 415 555 0123", "US", "0014155550123", "+14155550123"),
        ("0042", "US", "0042", None),
        ("00491234", "US", "00491234", None),
        ("0000014155550123", "US", "0000014155550123", None),
        ("030/1234-567", "DE", "0301234567", "+49301234567"),
        ("tel:+1-415-555-0123", "DE", "+14155550123", "+14155550123"),
        ("tel:101;phone-context=+1", "US", "101", None),
        ("tel:5550123;phone-context=+1-415", "US", "+14155550123", "+14155550123"),
        ("tel:+14155550123;phone-context=+1900", "US", "+14155550123", "+14155550123"),
        ("tel:4155550123;phone-context=example.com", "US", "4155550123", "+14155550123"),
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
        ("٤١٥٥٥٥٠١٢٣", "US", "4155550123", "+14155550123"),
        ("＋１（４１５）５５５－０１２３", "US", "+14155550123", "+14155550123"),
        ("tel:%2B14155550123", "DE", "+14155550123", "+14155550123"),
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
        ("sip:b%25%34%31b@example.net", "format"),
        ("sip:b%0d%0aVia:x@example.net", "format"),
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
    assert refused("+14155550123", whitelist=[r"(\d)\1"]) == "pattern"


def test_a_user_is_matched_without_its_escapes() -> None:
    assert refused("sip:%62ob@example.net", whitelist=["^sip:%62ob@"]) == "pattern"
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


# -- patterns that are saved ---------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["", "101", r"^\+1\d{10}$", r".*@example\.net$", "(a+)+$"])
def test_patterns_may_be_saved_that_an_automaton_can_follow(pattern: str) -> None:
    assert check_pattern(pattern) is None


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", r"(a)\1", "(?!a)", "a" * 513])
def test_others_are_refused_with_the_reason(pattern: str) -> None:
    assert "not a pattern that can be used: " in (check_pattern(pattern) or "")


def test_patterns_may_not_have_too_many_states_together() -> None:
    assert check_whitelist(["a{900}"] * 4) is None
    assert "3601 states" not in (check_whitelist(["a{900}"] * 4) or "")
    assert "4000 at the most" in (check_whitelist(["a{900}"] * 5) or "")
    # Kept from before there was this check: what it costs is bounded all the same.
    worst = [f"{'.?' * 200}{n}x" for n in range(100)]
    assert refused("sip:" + "a" * 240 + "@x", whitelist=worst, authenticated=True) == "pattern"


# -- kinds of numbers, in any notation -------------------------------------------------------------

PREMIUM_US = [
    "+19005551234",
    "+1 (900) 555-1234",
    "1-900-555-1234",
    "900.555.1234",
    "011 1 900 555 1234",
    "tel:+1-900-555-1234",
    "tel:+1-900-555-1234;ext=5",
    "TEL:9005551234;phone-context=+1415",
    "tel:%2B19005551234",
    "sip:+19005551234@pbx.example.net",
    "sip:+19005551234@pbx.example.net;user=phone",
    "SIP:9005551234@PBX.EXAMPLE.NET.",
    "sip:%2B1%39005551234@pbx.example.net",
    "sip:+1-900-555-1234;isub=1@pbx.example.net",
    "sips:19005551234@pbx.example.net",
    "sip:+19005551234@trunk.example",
    "+1 900 555 1234 99",
    "001 900 555 1234",
    "0000019005551234",
    "٩٠٠٥٥٥١٢٣٤",
    "＋１９００５５５１２３４",
    "+१९००५५५१२३४",
    "+1\u2011900\u2010555\u20131234",
    "tel:5551234;phone-context=+1900",
    "tel:9005551234;Phone-Context=+1;ext=7",
    "sip:5551234;phone-context=+1900@trunk.example",
    "sip:5551234%3Bphone-context=%2B1900@trunk.example",
    "*67 1 900 555 1234",
    "*679005551234",
    "*8219005551234",
    "#31#19005551234",
    "*31#0119005551234",
    "sip:*679005551234@trunk.example",
    "19005551234#",
    "+1\u00a0900\u2009555\u202f1234",
    "+1 [900] ~ 555·1234",
]


@pytest.mark.parametrize("contact", PREMIUM_US)
@pytest.mark.parametrize("authenticated", [False, True])
def test_a_premium_number_is_refused_in_every_notation(contact: str, authenticated: bool) -> None:
    assert reason(contact, authenticated=authenticated) in (
        ("premium",) if authenticated else ("premium", "short", "host")
    )
    assert reason(contact, authenticated=authenticated, whitelist=["."]) == "premium"


def test_a_premium_number_at_somebody_elses_switch_is_refused_where_it_says_that_it_is_one() -> (
    None
):
    for contact in ("sip:+19005551234@gw.example", "sip:9005551234@gw.example;user=phone"):
        assert reason(contact, whitelist=["gw"]) == "premium"
    assert allowed("sip:9005551234@gw.example", whitelist=["gw"])


@pytest.mark.parametrize(
    ("contact", "region", "kind"),
    [
        ("0900 1 234567", "DE", "premium"),
        ("+49 (0)900 1 234567", "DE", "premium"),
        ("0049 900 1234567", "DE", "premium"),
        ("+49 900 1 2345678", "DE", "premium"),
        ("900112345", "DE", "premium"),
        ("0137 1234", "DE", "shared-cost"),
        ("0180 5 123456", "DE", "shared-cost"),
        ("070 1234 5678", "GB", "personal"),
        ("0843 123 4567", "GB", "premium"),
        ("500 555 1234", "US", "personal"),
        ("+870 773 123456", "US", "satellite"),
        ("+881 6 1234 56789", "US", "satellite"),
        ("+882 16 1234567", "US", "satellite"),
        ("011 881 6 1234 56789", "US", "satellite"),
        ("+979 1 2345 6789", "US", "premium"),
        ("+808 1234 5678", "US", "shared-cost"),
        ("911", "US", "emergency"),
        ("9-1-1", "US", "emergency"),
        ("tel:911", "US", "emergency"),
        ("9911", "US", "emergency"),
        ("1911", "US", "emergency"),
        ("44 999", "GB", "emergency"),
        ("9 1 900 555 1234", "US", "premium"),
        ("9 900 555 1234", "US", "premium"),
        ("9 011 882 16 1234567", "US", "satellite"),
        ("9 0900 1 234567", "DE", "premium"),
        ("101 0288 1 900 555 1234", "US", "premium"),
        ("101 0288 900 555 1234", "US", "premium"),
        ("01013 0900 1 234567", "DE", "premium"),
        ("0100 33 0900 1 234567", "DE", "premium"),
        ("01013 00 881 6 1234 56789", "DE", "satellite"),
        ("sip:0101309001234567@pbx.example.net", "DE", "premium"),
        ("112", "US", "emergency"),
        ("911 666 6666", "US", "emergency"),
        ("+1 911 666 6666", "US", "emergency"),
        ("١١٢", "DE", "emergency"),
        ("110", "DE", "emergency"),
        ("0110", "DE", "emergency"),
        ("00112", "DE", "emergency"),
        ("999", "GB", "emergency"),
        ("sip:911@pbx.example.net", "US", "emergency"),
        ("sip:%3911@trunk.example", "US", "emergency"),
        ("0", "US", "short"),
        ("9", "US", "short"),
        ("000", "US", "short"),
        ("411", "US", "short"),
        ("118 33", "DE", "short"),
        ("*72", "US", "short"),
        ("*72 415 555 0123", "US", "short"),
        ("sip:*72@pbx.example.net", "US", "short"),
        # Of one network only, or of none by the tables: the provider's may be that network.
        ("211", "US", "short"),
        ("511", "US", "short"),
        ("6-1-1", "US", "short"),
        ("tel:611;phone-context=+1", "US", "short"),
        ("５１１", "US", "short"),
        ("sip:511@trunk.example", "US", "short"),
        ("611", "JM", "short"),
        ("901", "GB", "short"),
        ("114", "FR", "short"),
        ("091", "MX", "short"),
        ("1210", "BE", "short"),
        ("13 11 26", "AU", "short"),
        # Behind the trunk prefix, what gets a line, and what hides the caller.
        ("1911", "US", "emergency"),
        ("9 1 911", "US", "emergency"),
        ("1-411", "US", "short"),
        ("9511", "US", "short"),
        ("0 511", "US", "short"),
        ("99 911", "US", "emergency"),
        ("011 1 911", "US", "emergency"),
        ("1167 911", "US", "emergency"),
        ("141 999", "GB", "emergency"),
        ("0049 110", "DE", "emergency"),
        ("9 0 112", "DE", "emergency"),
        ("184 110", "JP", "emergency"),
    ],
)  # fmt: skip
def test_costly_emergency_and_short_numbers_are_refused_and_may_be_allowed(
    contact: str, region: str, kind: str
) -> None:
    everywhere = Rules(region=region, countries=frozenset({"any"}), switches=SWITCHES)
    assert reason(contact, rules=everywhere, whitelist=["."]) == kind
    assert allowed(contact, rules=replace(everywhere, kinds=frozenset({kind})), whitelist=["."])


@pytest.mark.parametrize(
    ("contact", "region", "kind"),
    [
        ("*67 911", "US", "emergency"),
        ("#31#112", "DE", "emergency"),
        ("*67 011 882 16 1234567", "US", "satellite"),
        ("#31#0049 30 1234567", "FR", "country"),
        ("*72 4155550123", "US", ""),
        ("*67 415 555 0123", "US", ""),
        ("*21*0301234567#", "DE", ""),
        ("*98101", "US", ""),
    ],
)
def test_codes_before_a_number_hide_it_from_nobody(contact: str, region: str, kind: str) -> None:
    rules = Rules(region=region)
    if kind:
        assert reason(contact, authenticated=True, rules=rules) == kind
    else:
        assert allowed(contact, authenticated=True, rules=rules)


def test_no_code_that_a_region_is_known_to_have_is_rung_for_the_public() -> None:
    """Of three digits, all that are for calls, or that cost; longer ones look like internal numbers."""
    missed = []
    for region in shortnumberinfo.SUPPORTED_SHORT_REGIONS:
        plan = PhoneMetadata.short_metadata_for_region(region)
        kinds = (
            plan.emergency,
            plan.toll_free,
            plan.standard_rate,
            plan.premium_rate,
            plan.carrier_specific,
        )
        patterns = [
            re.compile(k.national_number_pattern) for k in kinds if k and k.national_number_pattern
        ]
        for digits in (f"{number:03}" for number in range(1000)):
            if not any(pattern.fullmatch(digits) for pattern in patterns):
                continue
            if plan.sms_services and re.fullmatch(
                plan.sms_services.national_number_pattern or "", digits
            ):
                continue
            if refused_number(Number(digits), Rules(region=region), public=True) is None:
                missed.append((region, digits))
    assert missed == []


def test_a_plus_makes_no_number_of_a_short_code() -> None:
    for contact in (
        "+911",
        "+1 911",
        "+112",
        "+1-511",
        "+44 999",
        "+49110",
        "tel:+1-911",
        "tel:+1911",
    ):
        assert reason(contact, authenticated=True) == "contact"


def test_letters_are_no_number() -> None:
    for contact in ("1-800-FLOWERS", "nine one one", "91l", "9\u04111"):
        assert reason(contact) == "contact"


def test_an_extension_is_rung_for_anybody_and_a_short_code_for_the_known() -> None:
    for contact in ("101", "1002", "1100", "2000", "2911", "8112", "5550123", "tel:101"):
        assert allowed(contact)
        assert allowed(contact, authenticated=True)
        assert allowed(contact, whitelist=[r"^\d+$"])
    assert reason("411", whitelist=["^411$"]) == "short"
    assert allowed("411", authenticated=True)
    assert reason("911", authenticated=True) == "emergency"
    assert allowed("sip:101@pbx.example.net")


@pytest.mark.parametrize(
    ("contact", "region", "countries", "good"),
    [
        ("+14155550123", "US", [], True),
        ("+15551234567", "US", [], True),
        ("+14165550123", "US", [], False),  # Canada
        ("+18765551234", "US", [], False),  # Jamaica
        ("+1 876 555 1234 9", "US", [], False),
        ("809 555 1234", "US", [], False),
        ("+442079460958", "US", [], False),
        ("011 44 20 7946 0958", "US", [], False),
        ("9 011 44 20 7946 0958", "US", [], False),
        ("1010288 011 44 20 7946 0958", "US", [], False),
        ("+442079460958", "US", ["GB"], True),
        ("+14155550123", "US", ["GB"], False),
        ("+447781123456", "GB", [], False),  # Guernsey
        ("+999123456789", "US", [], False),
        ("+999123456789", "US", ["any"], True),
        ("+18005550199", "US", [], True),
        ("sip:+442079460958@pbx.example.net", "US", [], False),
        ("sip:+442079460958@pbx.example.net", "US", ["GB"], True),
    ],
)  # fmt: skip
def test_numbers_of_other_countries_are_called_where_these_are_listed(
    contact: str, region: str, countries: list[str], good: bool
) -> None:
    rules = Rules(region=region, countries=frozenset(countries), switches=SWITCHES)
    if good:
        assert allowed(contact, rules=rules)
    else:
        assert reason(contact, rules=rules, authenticated=True) == "country"


@pytest.mark.parametrize(
    ("extension", "why"),
    [
        ("+19005551234", "premium"), ("+442079460958", "country"), ("911", "emergency"), ("0112", "emergency"),
        # Straight to a trunk that may know us by our address.
        ("sip:+19005551234@trunk.example", "premium"), ("sip:%39%311@Trunk.example.:5080", "emergency"),
    ],
)  # fmt: skip
def test_an_extension_that_costs_or_calls_for_help_is_refused(extension: str, why: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_extension(read_extension(extension, "US"), Rules(switches=SWITCHES))
    assert (caught.value.field, caught.value.reason) == ("extension", why)


@pytest.mark.parametrize(
    "extension",
    ["101", "bob", "*97", "2000", "88123456", "+14155550123", "sip:bob@192.168.1.5", "(415) 555 0123",
     "sip:101@trunk.example", "sip:*97@trunk.example", "sip:911@192.168.1.5", "sip:bob@trunk.example"],
)  # fmt: skip
def test_other_extensions_are_called(extension: str) -> None:
    check_extension(read_extension(extension, "US"), Rules(switches=SWITCHES))


# -- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::1]", "0x7f.1", "localhost", "10.1.1.1"])  # fmt: skip
def test_an_inner_address_is_refused_for_everybody_unless_the_settings_allow_it(host: str) -> None:
    contact = f"sip:bob@{host}"
    assert reason(contact) == "host"
    assert reason(contact, whitelist=["."]) == "address"
    assert reason(contact, authenticated=True) == "address"
    nets = ("127.0.0.0/8", "::1/128", "169.254.0.0/16", "10.0.0.0/8")
    rules = Rules(networks=tuple(map(ip_network, nets)))
    assert allowed(contact, rules=rules, authenticated=True)
    assert reason(contact, rules=rules) == "host"


def test_the_account_s_own_trunk_may_be_inside_and_no_other_port_of_its_host() -> None:
    rules = Rules(switches=frozenset({"10.0.0.5"}), trunks=frozenset({"10.0.0.5:5070"}))
    account = {"realm": "10.0.0.5"}

    def at_home(contact: str, account: Mapping[str, Any] = account) -> bool:
        return check({}, contact, account, authenticated=True, rules=rules).at_home

    assert at_home("sip:101@10.0.0.5:5070")
    for contact in ("sip:101@10.0.0.5", "sip:101@10.0.0.5:22;transport=tcp"):
        with pytest.raises(Refusal):
            at_home(contact)
    with pytest.raises(Refusal):
        at_home("sip:101@10.0.0.5:5070", {"realm": "other.example"})
    assert not at_home("sip:101@example.com")


def test_hosts_that_are_listed_may_be_called_by_the_public() -> None:
    rules = Rules(sip_hosts=frozenset({"Partner.Example"}))
    assert allowed("sip:bob@partner.example", rules=rules)
    assert reason("sip:bob@sub.partner.example", rules=rules) == "host"


@pytest.mark.parametrize(
    "contact",
    [
        "+14155550123",
        "(415) 555-0123",
        "tel:5550123;phone-context=+1415",
        "+1 415 555 0123 99",
        "415 555 0123 4",
        "001 415 555 0123",
        "00000 415 555 0123",
        "*67 415 555 0123",
        "sip:+14155550123@anywhere.example",
        "sip:4155550123@trunk.example",
        "sip:%3415555012399@pbx.example.net;user=ip",
    ],
)
def test_a_number_is_counted_as_one_however_it_is_written(contact: str) -> None:
    assert called(contact) == "+14155550123"


def test_what_is_no_number_is_counted_as_it_is() -> None:
    for contact in ("101", "5550123", "*98", "+1234567890", "sip:jo@anywhere.example"):
        assert called(contact) == contact
    assert called("SIP:Jo@Anywhere.Example.;transport=tcp") == "sip:Jo@anywhere.example"
