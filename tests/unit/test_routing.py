"""Where legs go and who they say is calling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from c2c_sip.calling.contact import Extension, Number, Party
from c2c_sip.calling.policy import Refusal
from c2c_sip.calling.routing import (
    Destination,
    Shown,
    as_secure_as,
    caller,
    destination,
    dialled_numbers,
    format_number,
    may_follow,
    read_contact,
    read_extension,
    shown_to_contact,
    shown_to_extension,
)
from c2c_sip.config import Trunk
from sipstack.message import NameAddr, Uri

PROVIDER = Trunk(name="provider", domain="sip.provider.example", username="acct")
PBX = Trunk(name="pbx", domain="pbx.example.net:5070", username="click")
REALM = "pbx.example.net"
MOBILE = Number("+14155550123", "+14155550123")
ABROAD = Number("+442079460958", "+442079460958")


def contact_to(text: str, *trunks: Trunk, realm: str = REALM) -> Destination:
    return destination(read_contact(text, "US"), realm, trunks or (PROVIDER,), "US")


def extension_to(text: str, *trunks: Trunk, realm: str = REALM) -> Destination:
    return destination(read_extension(text, "US"), realm, trunks or (PROVIDER,), "US")


# -- where to ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "dialled"),
    [
        ("+e164", "sip:+14155550123@sip.provider.example"),
        ("e164", "sip:14155550123@sip.provider.example"),
        ("national", "sip:14155550123@sip.provider.example"),
        ("as-is", "sip:4155550123@sip.provider.example"),
    ],
)
def test_a_number_goes_to_the_trunk_in_the_trunks_format(form: str, dialled: str) -> None:
    to = contact_to("(415) 555-0123", replace(PROVIDER, number_format=form))
    assert (to.kind, str(to.uri)) == ("trunk", dialled)
    assert to.is_outside


@pytest.mark.parametrize(
    ("e164", "region", "dialled"),
    [
        ("+14155550123", "US", "14155550123"),
        ("+16045551234", "US", "16045551234"),
        ("+442079460958", "US", "011442079460958"),
        ("+442079460958", "GB", "02079460958"),
        ("+442079460958", "DE", "00442079460958"),
        ("+442079460958", "BR", "00442079460958"),
        ("+390612345678", "IT", "0612345678"),
        ("+3612345678", "HU", "0612345678"),
        ("+99912345678", "US", "0099912345678"),
    ],
)
def test_the_national_format_is_what_one_dials_in_the_region(
    e164: str, region: str, dialled: str
) -> None:
    assert format_number(Number(e164, e164), "national", region) == dialled


@pytest.mark.parametrize("form", ["+e164", "e164", "national", "as-is"])
def test_a_number_that_is_none_in_full_is_dialled_as_written(form: str) -> None:
    assert format_number(Number("*97"), form, "US") == "*97"


def test_the_prefix_stands_in_front_of_numbers_and_not_of_extensions() -> None:
    trunk = replace(PROVIDER, number_prefix="9", number_format="e164")
    assert contact_to("+14155550123", trunk).uri.user == "914155550123"
    assert extension_to("101", trunk).uri.user == "101"


def test_an_extension_goes_to_its_realm_through_the_trunk() -> None:
    to = extension_to("101")
    assert (to.kind, str(to.uri), to.trunk) == ("trunk", "sip:101@pbx.example.net", PROVIDER)
    assert not to.is_outside


def test_without_a_realm_an_extension_goes_to_the_trunks_domain() -> None:
    assert str(extension_to("101", PBX, realm="").uri) == "sip:101@pbx.example.net:5070"


@pytest.mark.parametrize("text", ["+14155550123", "415-555-0123", "tel:+14155550123"])
def test_an_extension_that_is_an_outside_number_is_dialled_like_a_number(text: str) -> None:
    to = extension_to(text)
    assert str(to.uri) == "sip:+14155550123@sip.provider.example"
    assert to.is_outside


def test_a_user_that_needs_it_is_escaped() -> None:
    assert str(contact_to("*21#").uri) == "sip:*21%23@sip.provider.example"
    assert "%25" in str(extension_to("50%").uri)


def test_a_sip_uri_goes_straight_there_as_it_is_written_without_a_trunk() -> None:
    for text in ("sip:bob@192.0.2.7:5080;transport=udp", "sip:alice@sip.provider.example"):
        to = contact_to(text)
        assert (to.kind, str(to.uri), to.trunk) == ("direct", text, None)
        assert not to.is_outside


def test_the_trunk_of_the_realm_is_taken_else_the_first() -> None:
    assert contact_to("+14155550123", PROVIDER, PBX).trunk is PBX
    assert contact_to("+14155550123", PROVIDER, PBX, realm="else.example").trunk is PROVIDER
    assert extension_to("101", PROVIDER, PBX).trunk is PBX


def test_without_a_trunk_only_sip_uris_can_be_dialled() -> None:
    with pytest.raises(Refusal) as caught:
        destination(MOBILE, REALM, (), "US")
    assert caught.value.kind == "unavailable"
    with pytest.raises(Refusal):
        destination(Extension("101"), REALM, (), "US")
    uri = Uri.parse("sip:bob@example.com")
    assert destination(uri, REALM, (), "US").uri == uri


def test_hosts_of_ipv6_are_understood() -> None:
    trunk = replace(PROVIDER, domain="[2001:db8::1]:5070")
    assert str(contact_to("101", trunk).uri) == "sip:101@[2001:db8::1]:5070"
    assert str(extension_to("101", realm="2001:db8::2").uri) == "sip:101@[2001:db8::2]"
    assert contact_to("101", PROVIDER, trunk, realm="2001:DB8:0::1").trunk is trunk


# -- redirections --------------------------------------------------------------------------------


DIRECT = contact_to("sip:bob@rogue.example")
THROUGH = contact_to("+14155550123")


def follow(original: Destination, uri: str, *hosts: str) -> Destination | None:
    proxied = replace(PBX, outbound_proxy="sip:edge.pbx.example.net:5062;lr")
    return may_follow(original, Uri.parse(uri), (PROVIDER, proxied), hosts)


def test_a_direct_leg_may_be_led_elsewhere_but_never_to_a_trunk() -> None:
    to = follow(DIRECT, "sip:bob@mobile.example")
    assert to is not None and to.trunk is None and to.kind == "direct"
    for uri in (
        "sip:+19005550123@sip.provider.example",
        "sip:+19005550123@SIP.Provider.Example.:5090",
        "sips:1@pbx.example.net",
        "sip:1@edge.pbx.example.net",
        "sip:1@mobile.example;maddr=sip.provider.example",
    ):
        assert follow(DIRECT, uri) is None
    assert follow(DIRECT, "sip:1@192.0.2.1", "192.0.2.1") is None
    assert follow(DIRECT, "sip:1@[2001:db8:0:0::1]", "2001:db8::1") is None


def test_a_trunk_may_lead_back_to_itself_through_itself() -> None:
    to = follow(THROUGH, "sip:+14155550199@sip.provider.example")
    assert to is not None
    assert (to.kind, to.trunk, to.uri.user) == ("trunk", PROVIDER, "+14155550199")


@pytest.mark.parametrize(
    ("user", "prefix", "form", "numbers"),
    [
        ("+14155550123", "", "+e164", ["+14155550123"]),
        ("9011442079460958", "9", "national", ["+442079460958"]),
        ("442079460958", "", "e164", ["442079460958", "+442079460958"]),
        ("102", "", "e164", ["102"]),
        ("9", "9", "national", ["9"]),
        ("bob", "", "+e164", []),
    ],
)
def test_what_a_redirection_may_mean_is_read_as_the_trunk_is_dialled(
    user: str, prefix: str, form: Any, numbers: list[str]
) -> None:
    trunk = replace(PROVIDER, number_prefix=prefix, number_format=form)
    where = follow(contact_to("+14155550123", trunk), f"sip:{user}@{trunk.domain}")
    assert where is not None
    assert [str(number) for number in dialled_numbers(where, "US")] == numbers
    assert dialled_numbers(where._replace(trunk=None), "US") == []
    # As a peer may write it in its Contact or Refer-To.
    unreadable = where._replace(uri=replace(where.uri, user="\udcff"))
    assert dialled_numbers(unreadable, "US") == []


def test_a_trunk_leads_elsewhere_without_its_password_and_not_to_another_trunk() -> None:
    to = follow(THROUGH, "sip:bob@mobile.example")
    assert to is not None and (to.kind, to.trunk) == ("direct", None)
    assert follow(THROUGH, "sip:bob@pbx.example.net") is None


def test_only_sip_is_followed_and_never_from_sips_to_sip() -> None:
    assert follow(DIRECT, "tel:+14155550123") is None
    assert follow(DIRECT, "http://mobile.example/") is None
    assert follow(contact_to("sips:bob@rogue.example"), "sip:bob@mobile.example") is None


def test_headers_and_method_of_a_redirection_are_not_sent() -> None:
    to = follow(DIRECT, "sip:bob@mobile.example;method=BYE;transport=tcp?Route=%3Csip:x%3E")
    assert to is not None
    assert str(to.uri) == "sip:bob@mobile.example;transport=tcp"


# -- who calls -----------------------------------------------------------------------------------


def shown(party: Party, to: Destination, name: str = "") -> tuple[str, dict[str, str]]:
    found = caller(Shown(party, name), to, REALM, "US")
    return str(found.from_), dict(found.headers)


def through(**settings: object) -> Destination:
    return contact_to("+16045551234", replace(PROVIDER, **settings))  # type: ignore[arg-type]


def test_the_number_stands_in_from_in_the_trunks_domain() -> None:
    assert shown(MOBILE, through()) == ("<sip:+14155550123@sip.provider.example>", {})
    assert shown(MOBILE, through(from_domain="voice.example"), "Ann") == (
        '"Ann" <sip:+14155550123@voice.example>',
        {},
    )


@pytest.mark.parametrize(
    ("form", "user"),
    [("+e164", "+442079460958"), ("e164", "442079460958"), ("national", "011442079460958")],
)
def test_the_number_has_the_trunks_identity_format(form: str, user: str) -> None:
    from_, _ = shown(ABROAD, through(identity_format=form))
    assert f"sip:{user}@" in from_


def test_where_from_is_the_account_the_number_stands_in_the_headers_asked_for() -> None:
    from_, headers = shown(
        MOBILE, through(from_user="account", identity=["from", "pai", "ppi", "rpid"]), "Ann"
    )
    assert from_ == '"Ann" <sip:acct@sip.provider.example>'
    identity = '"Ann" <sip:+14155550123@sip.provider.example>'
    assert headers["P-Asserted-Identity"] == identity
    assert headers["P-Preferred-Identity"] == identity
    assert headers["Remote-Party-ID"].startswith(identity + ";party=calling")


def test_without_from_in_the_identity_the_account_stands_there() -> None:
    assert shown(MOBILE, through(identity=["pai"]))[0] == "<sip:acct@sip.provider.example>"


def test_the_number_may_stand_in_the_display_name() -> None:
    from_, _ = shown(MOBILE, through(identity=["from-display"]), "Ann")
    assert NameAddr.parse(from_).display_name == "+14155550123"
    assert NameAddr.parse(from_).uri.user == "acct"


def test_a_direct_leg_shows_the_number_in_the_local_realm_and_nothing_else() -> None:
    assert shown(MOBILE, DIRECT) == ("<sip:+14155550123@pbx.example.net>", {})
    found = caller(Shown(Extension("101")), DIRECT, "2001:db8::5", "US")
    assert str(found.from_) == "<sip:101@[2001:db8::5]>"
    assert found.contact_user == "101"


def test_without_a_realm_a_direct_leg_comes_from_nowhere() -> None:
    assert str(caller(Shown(MOBILE), DIRECT, "", "US").from_).endswith("@anonymous.invalid>")


def test_escapes_of_a_shown_uri_are_neither_lost_nor_doubled() -> None:
    uri = Uri.parse("sip:b%23%0d%0ab@example.com")
    found = caller(Shown(uri), DIRECT, REALM, "US")
    assert found.from_.uri.user == "b%23%0D%0Ab"
    assert found.contact_user == "b%23%0D%0Ab"
    assert found.from_.display_name == "b#b@example.com"


def test_names_and_users_can_not_break_out_of_their_place() -> None:
    name = 'A" <sip:x@y>;tag=1, "\\B\r\nVia: z'
    from_, headers = shown(Extension("a;b?c@d>"), through(identity=["from", "pai"]), name)
    for value in (from_, headers["P-Asserted-Identity"]):
        assert "\r" not in value and "\n" not in value
        parsed = NameAddr.parse(value)
        assert parsed.display_name == 'A" <sip:x@y>;tag=1, "\\BVia: z'
        assert parsed.uri.host == "sip.provider.example"
        assert parsed.params == ()
    assert len(NameAddr.parse(shown(MOBILE, through(), "x" * 999)[0]).display_name) == 128


def test_a_sip_uri_is_shown_by_a_trunk_as_its_caller_id_with_the_address_as_name() -> None:
    uri = Uri.parse("sip:bob@example.com")
    from_ = NameAddr.parse(shown(uri, through(caller_id="+14155550100"))[0])
    assert (from_.uri.user, from_.display_name) == ("+14155550100", "bob@example.com")
    assert NameAddr.parse(shown(uri, through())[0]).uri.user == "bob"


def test_our_contact_has_the_accounts_user() -> None:
    assert caller(Shown(MOBILE), through(), REALM, "US").contact_user == "acct"
    assert caller(Shown(MOBILE), through(username=""), REALM, "US").contact_user == "+14155550123"


# -- what each leg shows -------------------------------------------------------------------------


def test_the_extension_sees_caller_id_number_else_the_contact() -> None:
    inside = extension_to("101")
    assert shown_to_extension({}, MOBILE, inside, "US") == Shown(MOBILE)
    wanted = shown_to_extension({"caller_id_number": "(415) 555-0100"}, MOBILE, inside, "US")
    assert wanted == Shown(Number("4155550100", "+14155550100"))


def test_an_extension_outside_sees_the_trunks_caller_id_with_the_contact_as_name() -> None:
    outside = extension_to("+16045551234", replace(PROVIDER, caller_id="+14155550100"))
    assert shown_to_extension({}, MOBILE, outside, "US") == Shown(
        Number("+14155550100", "+14155550100"), "+14155550123"
    )
    wanted = shown_to_extension({"caller_id_number": "+14155550999"}, MOBILE, outside, "US")
    assert wanted == Shown(Number("+14155550999", "+14155550999"))
    assert shown_to_extension({}, MOBILE, extension_to("+16045551234"), "US") == Shown(MOBILE)


def test_the_contact_sees_the_outbound_number_and_name_else_the_extension() -> None:
    to = contact_to("+16045551234")
    assert shown_to_contact({}, Extension("101"), to, "US") == Shown(Extension("101"))
    document = {"outbound_callee_id_number": "+14155550100", "outbound_callee_id_name": "Shop"}
    assert shown_to_contact(document, Extension("101"), to, "US") == Shown(
        Number("+14155550100", "+14155550100"), "Shop"
    )
    document = {"outbound_callee_id_name": "Shop"}
    assert shown_to_contact(document, MOBILE, to, "US") == Shown(MOBILE, "Shop")


def test_an_extension_is_shown_outside_as_the_trunks_caller_id_where_it_has_one() -> None:
    trunk = replace(PROVIDER, caller_id="+14155550100")
    outside, inside = contact_to("+16045551234", trunk), contact_to("102", trunk)
    number = Number("+14155550100", "+14155550100")
    assert shown_to_contact({}, Extension("101"), outside, "US") == Shown(number)
    assert shown_to_contact({}, Extension("101"), inside, "US") == Shown(Extension("101"))
    assert shown_to_contact({}, MOBILE, outside, "US") == Shown(MOBILE)


def test_a_caller_id_that_is_no_number_is_shown_as_it_is() -> None:
    inside = extension_to("101")
    assert shown_to_extension({"caller_id_number": "Web site"}, MOBILE, inside, "US") == Shown(
        Extension("Web site")
    )


# -- sips: ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_what_was_named_by_sips_goes_by_tls_or_not_at_all(transport: str) -> None:
    where = contact_to("+14155550123", replace(PROVIDER, transport=transport))
    assert as_secure_as(Uri.parse("sip:1@pbx.example.net"), where) is where
    target = Uri.parse("sips:1@pbx.example.net")
    again = follow(where, "sips:1@sip.provider.example")
    if transport == "tls":
        secure = as_secure_as(target, where)
        assert str(secure.uri) == "sips:+14155550123@sip.provider.example"
        assert again is not None and again.trunk is where.trunk
    else:
        with pytest.raises(Refusal, match=f"trunk.provider.transport is {transport}"):
            as_secure_as(target, where)
        assert again is None
    straight = contact_to("sips:bob@elsewhere.example")
    assert as_secure_as(target, straight) is straight
