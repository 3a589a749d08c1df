"""Each setting of a trunk, and what it puts into a REGISTER or an INVITE: the table of what providers want."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from c2c_sip.calling.recording import Tape
from c2c_sip.config import Config, ConfigError, Trunk, load
from sipstack.media.recording import Recorder
from sipstack.message import Request, Response, make_response
from sipstack.resolver import Srv
from tests.simulation.trunks import Records, Seen, answers, place_call, refuses

PROVIDER, PROXY, ELSEWHERE = "192.0.2.7", "192.0.2.8", "192.0.2.9"
ZONE: dict[tuple[str, str], Records] = {
    ("sip.provider.test", "A"): (PROVIDER,),
    ("proxy.provider.test", "A"): (PROXY,),
    # As Telekom's: no address of its own, only servers.
    ("_sip._udp.srv.test", "SRV"): (Srv(1, 1, "edge.srv.test", 5060),),
    ("edge.srv.test", "A"): (PROVIDER,),
}
CLICKTOCALL = {"outbound_callee_id_number": "+4930123456", "realm": "office.test"}
CONTACT = "+442079460958"


def configured(folder: Path, settings: str, *more: str) -> Config:
    """The configuration of a file with one trunk, and further ones."""
    path = folder / "c2c_sip.toml"
    head = '[sip]\nuser_agent = "c2c"\n[calling]\nextension_timeout = 2\ndefault_region = "DE"\n'
    trunk = '[[trunk]]\nname = "provider"\nusername = "acct"\ndomain = "sip.provider.test"\n'
    given = {line.partition(" ")[0] for line in settings.splitlines()}
    kept = [line for line in trunk.splitlines() if line.partition(" ")[0] not in given]
    path.write_text("\n".join([head, *kept, settings, *more]) + "\n")
    config = load(str(path), {})
    return replace(config, guard=replace(config.guard, countries=("any",)))


def wire(
    folder: Path,
    config: Config,
    clicktocall: Mapping[str, Any] = CLICKTOCALL,
    contact: str = CONTACT,
    **more: Any,
) -> dict[str, Seen]:
    """What each node gets when a contact is called whose click-to-call has the extension +49 40 …, a mobile outside."""
    document = {"extension": "+4940999999"} | dict(clicktocall)
    return place_call(config, folder, document, contact, zone=ZONE, **more)


def head(request: Request) -> str:
    """A request's start line and headers, but for what is random; then its body."""
    return request.serialize().decode()


# In each row: the setting; the first request of this method; lines that it has; texts that it has nowhere.
TABLE: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = [
    # What there is without any setting.
    ("", "REGISTER", ("REGISTER sip:sip.provider.test SIP/2.0", "Expires: 1800"), ("Route",)),
    ("", "REGISTER", ("To: <sip:acct@sip.provider.test>", "Contact: <sip:acct@192.0.2.1:5060>"), ()),
    (
        "",
        "INVITE",
        (
            "INVITE sip:+4940999999@sip.provider.test SIP/2.0",
            "To: <sip:+4940999999@sip.provider.test>",
            "Contact: <sip:acct@192.0.2.1:5060>",
            "From: <sip:+442079460958@sip.provider.test>;tag=",
            "a=ptime:20",
            "m=audio 20000 RTP/AVP 0 8 101",
        ),
        ("user=phone", "Privacy", "Diversion", "P-", "Route", "History-Info"),
    ),
    # Where to.
    ('domain = "srv.test"', "REGISTER", ("REGISTER sip:srv.test SIP/2.0",), ()),
    ('domain = "srv.test"', "INVITE", ("INVITE sip:+4940999999@srv.test SIP/2.0",), ()),
    ('domain = "sip.provider.test:5060"', "INVITE", ("INVITE sip:+4940999999@sip.provider.test:5060 SIP/2.0",), ()),
    # The account.
    ('username = "30-1"', "REGISTER", ("To: <sip:30-1@sip.provider.test>",), ()),
    ('username = "a b@c"', "REGISTER", ("To: <sip:a%20b%40c@sip.provider.test>", "Contact: <sip:a%20b%40c@192.0.2.1:5060>"), ()),
    ('contact_user = "line1"', "REGISTER", ("Contact: <sip:line1@192.0.2.1:5060>", "To: <sip:acct@sip.provider.test>"), ()),
    ('contact_user = "line1"', "INVITE", ("Contact: <sip:line1@192.0.2.1:5060>",), ()),
    ("expires = 300", "REGISTER", ("Expires: 300",), ()),
    # How numbers are dialled.
    ('number_format = "e164"', "INVITE", ("INVITE sip:4940999999@sip.provider.test SIP/2.0",), ()),
    ('number_format = "00e164"', "INVITE", ("INVITE sip:004940999999@sip.provider.test SIP/2.0",), ()),
    ('number_format = "national"', "INVITE", ("INVITE sip:040999999@sip.provider.test SIP/2.0",), ()),
    ('number_format = "national"\nregion = "GB"', "INVITE", ("INVITE sip:004940999999@sip.provider.test SIP/2.0",), ()),
    ('number_format = "as-is"', "INVITE", ("INVITE sip:+4940999999@sip.provider.test SIP/2.0",), ()),
    ('number_prefix = "0"\nnumber_format = "00e164"', "INVITE", ("INVITE sip:0004940999999@sip.provider.test SIP/2.0",), ()),
    (
        "user_phone = true",
        "INVITE",
        (
            "INVITE sip:+4940999999@sip.provider.test;user=phone SIP/2.0",
            "To: <sip:+4940999999@sip.provider.test;user=phone>",
            "From: <sip:+442079460958@sip.provider.test;user=phone>;tag=",
        ),
        (),
    ),
    ("user_phone = true", "REGISTER", (), ("user=phone",)),
    # Who is shown.
    ('from_user = "account"', "INVITE", ("From: <sip:acct@sip.provider.test>;tag=",), ("+442079460958",)),
    ('from_domain = "voice.test"', "INVITE", ("From: <sip:+442079460958@voice.test>;tag=",), ()),
    ('identity = ["from-display"]', "INVITE", ('From: "+442079460958" <sip:acct@sip.provider.test>;tag=',), ()),
    ('identity = ["from", "pai"]', "INVITE", ("P-Asserted-Identity: <sip:+442079460958@sip.provider.test>",), ()),
    ('identity = ["rpid"]', "INVITE", ("Remote-Party-ID: <sip:+442079460958@sip.provider.test>;party=calling;privacy=off;screen=no",), ()),
    # sipgate: E.164 without plus in P-Preferred-Identity, the account in From.
    (
        'identity = ["ppi"]\nidentity_format = "e164"\nfrom_user = "account"',
        "INVITE",
        ("P-Preferred-Identity: <sip:442079460958@sip.provider.test>", "From: <sip:acct@sip.provider.test>;tag="),
        (),
    ),
    ('identity_format = "00e164"', "INVITE", ("From: <sip:00442079460958@sip.provider.test>;tag=",), ()),
    ('identity_format = "national"\nregion = "GB"', "INVITE", ("From: <sip:02079460958@sip.provider.test>;tag=",), ()),
    # An extension that is an outside number sees the account's own, and the contact as the name.
    ('caller_id = "+4930123456"', "INVITE", ('From: "+442079460958" <sip:+4930123456@sip.provider.test>;tag=',), ()),
    ('diversion = "+4930123456"', "INVITE", ("Diversion: <sip:+4930123456@sip.provider.test>;reason=unconditional", "From: <sip:+442079460958@sip.provider.test>;tag="), ()),
    ('diversion = "030 123456"\nidentity_format = "e164"\nuser_phone = true', "INVITE", ("Diversion: <sip:4930123456@sip.provider.test;user=phone>;reason=unconditional",), ()),
    ('diversion = "+4930123456"\ncaller_id = "+4930123456"', "INVITE", (), ("Diversion",)),
    # Who is not shown.
    (
        "withhold_caller = true",
        "INVITE",
        (
            'From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=',
            "P-Preferred-Identity: <sip:+442079460958@sip.provider.test>",
            "Privacy: id",
        ),
        (),
    ),
    (
        'withhold_caller = true\nidentity = ["from", "pai"]\nprivacy = ["user", "id"]',
        "INVITE",
        (
            'From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=',
            "P-Asserted-Identity: <sip:+442079460958@sip.provider.test>",
            "Privacy: user;id",
        ),
        ("P-Preferred-Identity",),
    ),
    ('withhold_caller = true\nfrom_user = "account"\nidentity = ["ppi"]', "INVITE", ('From: "Anonymous" <sip:acct@sip.provider.test>;tag=', "P-Preferred-Identity: <sip:+442079460958@sip.provider.test>", "Privacy: id"), ()),
    ('withhold_caller = true\nidentity = ["rpid"]', "INVITE", ("Remote-Party-ID: <sip:+442079460958@sip.provider.test>;party=calling;privacy=full;screen=no", "Privacy: id"), ()),
    ('withhold_caller = true\ndiversion = "+4930123456"', "INVITE", ("Diversion: <sip:+4930123456@sip.provider.test>;reason=unconditional;privacy=full",), ()),
    # An extension outside hears whom it is for all the same; the provider's own header has no name.
    (
        'withhold_caller = true\ncaller_id = "+4930123456"',
        "INVITE",
        (
            'From: "+442079460958" <sip:anonymous@anonymous.invalid>;tag=',
            "P-Preferred-Identity: <sip:+4930123456@sip.provider.test>",
        ),
        (),
    ),
    # Audio.
    ('codecs = ["PCMA"]', "INVITE", ("m=audio 20000 RTP/AVP 8 101", "a=rtpmap:8 PCMA/8000"), ("PCMU",)),
    ('codecs = ["G722", "PCMA"]', "INVITE", ("m=audio 20000 RTP/AVP 9 8 101",), ()),
    ("ptime = 30", "INVITE", ("a=ptime:30",), ("a=ptime:20",)),
    ('srtp = "optional"', "INVITE", ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:",), (" RTP/SAVP ",)),
    ('srtp = "required"', "INVITE", ("a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:",), (" RTP/AVP ",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "method", "lines", "nowhere"),
    TABLE,
    ids=[f"{row[1]}-{row[0] or 'default'}".replace("\n", ", ") for row in TABLE],
)
def test_what_a_setting_puts_on_the_wire(
    settings: str,
    method: str,
    lines: tuple[str, ...],
    nowhere: tuple[str, ...],
    tmp_path: Path,
) -> None:
    sent = head(wire(tmp_path, configured(tmp_path, settings))[PROVIDER].first(method)).split(
        "\r\n"
    )
    for line in lines:
        whole = line.endswith(("tag=", "inline:"))
        assert any(each.startswith(line) if whole else each == line for each in sent), (line, sent)
    for text in nowhere:
        assert not any(text in each for each in sent), (text, sent)


# -- what a line of a request cannot show ---------------------------------------------------------


def test_a_register_has_nothing_in_it_that_a_home_router_might_not_know(tmp_path: Path) -> None:
    register = wire(tmp_path, configured(tmp_path, ""))[PROVIDER].first("REGISTER")
    assert [name for name, _ in register.headers] == [
        "Via",
        "Max-Forwards",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Expires",
        "User-Agent",
        "Content-Length",
    ]
    assert (register.uri.user, register.uri.params) == (None, ())


@pytest.mark.parametrize(
    ("proxy", "route"),
    [
        ("proxy.provider.test", "<sip:proxy.provider.test;lr>"),
        ("proxy.provider.test:5060", "<sip:proxy.provider.test:5060;lr>"),
        ("sip:proxy.provider.test;lr", "<sip:proxy.provider.test;lr>"),
        ("SIP:proxy.provider.test;x=1", "<sip:proxy.provider.test;x=1;lr>"),
    ],
)
def test_an_outbound_proxy_gets_all_requests_and_is_a_loose_router(
    proxy: str, route: str, tmp_path: Path
) -> None:
    seen = wire(tmp_path, configured(tmp_path, f'outbound_proxy = "{proxy}"'))
    assert not seen[PROVIDER].requests
    register, invite = seen[PROXY].first("REGISTER"), seen[PROXY].first("INVITE")
    assert register.get("Route") == invite.get("Route") == route
    assert str(register.uri) == "sip:sip.provider.test"
    assert invite.uri.host == "sip.provider.test"


@pytest.mark.parametrize(
    ("settings", "username"),
    [('password = "pw"', "acct"), ('password = "pw"\nauth_username = "auth"', "auth")],
)
def test_a_challenge_is_answered_as_the_user_who_signs_in(
    settings: str, username: str, tmp_path: Path
) -> None:
    def challenges(request: Request) -> Response | None:
        if request.method == "REGISTER" and request.get("Authorization") is None:
            value = 'Digest realm="provider", nonce="n", algorithm=MD5'
            return make_response(request, 401, to_tag="t", headers=[("WWW-Authenticate", value)])
        return refuses(request)

    config = configured(tmp_path, settings)
    first, second = wire(tmp_path, config, answering={PROVIDER: challenges})[PROVIDER].requests[:2]
    assert first.get("Authorization") is None
    assert f'username="{username}"' in (second.get("Authorization") or "")
    assert str(second.to.uri) == "sip:acct@sip.provider.test"


def test_a_trunk_that_does_not_register_is_sent_no_register(tmp_path: Path) -> None:
    seen = wire(tmp_path, configured(tmp_path, "register = false"))[PROVIDER]
    assert {request.method for request in seen.requests} == {"INVITE", "ACK"}


def test_a_longer_expiry_that_423_asks_for_is_granted(tmp_path: Path) -> None:
    def wants_an_hour(request: Request) -> Response | None:
        if request.method == "REGISTER" and (request.expires or 0) < 3600:
            return make_response(request, 423, to_tag="t", headers=[("Min-Expires", "3600")])
        return refuses(request)

    config = configured(tmp_path, "")
    seen = wire(tmp_path, config, answering={PROVIDER: wants_an_hour})[PROVIDER]
    assert [r.expires for r in seen.requests if r.method == "REGISTER"] == [1800, 3600]


def test_the_contact_is_offered_first_what_the_extension_took_and_only_what_the_trunk_has(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path, 'codecs = ["G722", "PCMU", "PCMA"]')
    seen = wire(tmp_path, config, answering={PROVIDER: answers})[PROVIDER]
    to_extension, to_contact = (r for r in seen.requests if r.method == "INVITE")
    assert "m=audio 20000 RTP/AVP 9 0 8 101" in head(to_extension)
    assert "m=audio 20002 RTP/AVP 8 0 9 101" in head(to_contact)


@pytest.mark.parametrize(
    ("has", "offered"),
    [
        ('codecs = ["opus", "G722", "PCMA"]', "8 101"),
        ('codecs = ["G722", "PCMU", "PCMA"]', "0 8 101"),
        ('codecs = ["opus"]', "0 8 101"),
        ("", "0 8 101"),
    ],
)
def test_a_call_that_is_recorded_is_offered_what_can_be(
    has: str, offered: str, tmp_path: Path
) -> None:
    """Of opus and G.722 the recording would be silence."""
    config = configured(tmp_path, has)
    config = replace(config, media=replace(config.media, codecs=("opus", "G722", "PCMU", "PCMA")))
    document = CLICKTOCALL | {"record": True}
    tape = Tape(Recorder(tmp_path / "recordings"), None)
    seen = wire(tmp_path, config, document, answering={PROVIDER: answers}, tape=tape)[PROVIDER]
    to_extension, to_contact = (r for r in seen.requests if r.method == "INVITE")
    assert f"m=audio 20000 RTP/AVP {offered}\r\n" in head(to_extension)
    assert set(re.findall(r"m=audio 20002 RTP/AVP (.*)\r", head(to_contact))[0].split()) == set(
        offered.split()
    )


# -- who is not to be known -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "from_", "privacy"),
    [
        ("none", '"Ann" <sip:+4930123456@sip.provider.test>', None),
        ("name", "<sip:+4930123456@sip.provider.test>", None),
        ("number", '"Ann" <sip:anonymous@anonymous.invalid>', "id"),
        ("full", '"Anonymous" <sip:anonymous@anonymous.invalid>', "id"),
    ],
)
def test_a_click_to_call_says_what_of_its_caller_is_withheld(
    wanted: str, from_: str, privacy: str | None, tmp_path: Path
) -> None:
    clicktocall = CLICKTOCALL | {
        "outbound_callee_id_name": "Ann",
        "caller_id_options": {"outbound_privacy": wanted},
    }
    config = configured(tmp_path, "")
    seen = wire(tmp_path, config, clicktocall, answering={PROVIDER: answers})[PROVIDER]
    to_extension, to_contact = (r for r in seen.requests if r.method == "INVITE")
    assert str(to_contact.from_).startswith(from_ + ";tag=")
    assert to_contact.get("Privacy") == privacy
    # The extension sees the contact in any case.
    assert to_extension.get("Privacy") is None
    assert to_extension.from_.uri.user == "+442079460958"


def test_whoever_is_called_past_the_trunk_learns_no_number_that_is_withheld(tmp_path: Path) -> None:
    clicktocall = CLICKTOCALL | {
        "extension": f"sip:jo@{PROVIDER}",
        "caller_id_options": {"outbound_privacy": "full"},
    }
    config = configured(tmp_path, "register = false", '[guard]\nnetworks = ["192.0.2.0/24"]')
    contact = f"sip:ann@{ELSEWHERE}"
    answering = {PROVIDER: answers, ELSEWHERE: answers}
    seen = wire(tmp_path, config, clicktocall, contact, answering=answering)[ELSEWHERE]
    invite = seen.first("INVITE")
    assert str(invite.from_.uri) == "sip:anonymous@anonymous.invalid"
    assert invite.get("Privacy") == "id"
    assert invite.contacts[0].uri.user == "anonymous"
    assert all("4930123456" not in head(request) for request in seen.requests)


def test_who_calls_is_told_to_the_trunk_and_not_to_where_it_redirects_the_call(
    tmp_path: Path,
) -> None:
    def redirects(request: Request) -> Response | None:
        if request.method != "INVITE":
            return refuses(request)
        headers = [
            ("Contact", f"<sip:ann@{ELSEWHERE}>"),
            ("History-Info", "<sip:bob@192.0.2.7>;index=1, <sip:ann@192.0.2.9>;index=1.1"),
        ]
        return make_response(request, 302, to_tag="t", headers=headers)

    settings = 'withhold_caller = true\nidentity = ["from", "pai", "ppi", "rpid"]\n'
    guard = '[guard]\nnetworks = ["192.0.2.0/24"]'
    config = configured(tmp_path, settings + 'diversion = "+4930123456"', guard)
    seen = wire(tmp_path, config, answering={PROVIDER: redirects})
    told, not_told = seen[PROVIDER].first("INVITE"), seen[ELSEWHERE].first("INVITE")
    names = ("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID", "Diversion")
    assert all(told.get(name) is not None for name in names)
    assert all(not_told.get(name) is None for name in names)
    assert told.get("Privacy") == not_told.get("Privacy") == "id"
    # History-Info is for proxies and those who asked for it, which we do not (RFC 7044 §4.2).
    assert not_told.get("History-Info") is None
    assert "histinfo" not in (told.get("Supported") or "")


# -- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "accepted"),
    [
        ('transport = "sctp"', "one of udp, tcp, tls"),
        ('number_format = "e.164"', "one of +e164, e164, 00e164, national, as-is"),
        ('identity_format = ""', "one of +e164, e164, 00e164, national, as-is"),
        ('number_prefix = "x"', "digits, *, # and +"),
        (
            'identity = ["to"]',
            "a list, at least one, each one of from, from-display, pai, ppi, rpid",
        ),
        ('region = "XX"', "an ISO 3166 country code in capitals"),
        ('user_phone = "yes"', "true or false"),
        ('diversion = "me"', "a telephone number"),
        ('withhold_caller = "id"', "true or false"),
        ("privacy = []", "a list, at least one, each one of id, user, header, session, critical"),
        (
            'privacy = ["none"]',
            "a list, at least one, each one of id, user, header, session, critical",
        ),
        ('from_user = "me"', "one of number, account"),
        ('codecs = ["G729"]', "a list of codecs, each one of PCMU, PCMA, G722, opus"),
        ("ptime = 25", "milliseconds: 10, 20, 30, 40, 60"),
        ("ptime = true", "milliseconds: 10, 20, 30, 40, 60"),
        ("expires = 30", "a whole number from 60 to 86400"),
        ("keepalive = 2", "0 or a whole number from 5 to 3600"),
        ('contact_user = "a\\r\\nb"', "text"),
        ("contact_user = 1", "text"),
        ('outbound_proxy = "a b"', "HOST, HOST:PORT or a SIP URI"),
        ('outbound_proxy = "a:b:c"', "HOST, HOST:PORT or a SIP URI"),
        ('outbound_proxy = "tel:+1"', "HOST, HOST:PORT or a SIP URI"),
        ('outbound_proxy = "sip:999.1.1.1"', "HOST, HOST:PORT or a SIP URI"),
        ("outbound_proxy = 5060", "HOST, HOST:PORT or a SIP URI"),
        ('from_domain = "a b"', "HOST or HOST:PORT"),
        ('tls_server_name = "a b"', "a host name"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_full_name_with_what_is_accepted(
    setting: str, accepted: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, setting)
    (problem,) = caught.value.problems
    assert problem.startswith(f"trunk[0].{setting.partition(' ')[0]}: got ")
    assert problem.endswith(f", accepted: {accepted}")


# -- the examples -----------------------------------------------------------------------------------

EXAMPLES = Path(__file__).parents[2] / "conf" / "examples"
PPI, DIVERSION, RPID = "P-Preferred-Identity", "Diversion", "Remote-Party-ID"
#: A file and a trunk in it: the Request-URI of a number in Germany, From, a further header, and who REGISTER is for.
SHOWN = [
    ("asterisk-trunk", "pbx", "sip:+4940999999@192.0.2.10", '"+442079460958" <sip:c2c@192.0.2.10>', {"P-Asserted-Identity": "<sip:+442079460958@192.0.2.10>"}, "sip:c2c@192.0.2.10"),
    ("home-router", "router", "sip:040999999@fritz.box", '"+442079460958" <sip:c2cphone@fritz.box>', {}, "sip:c2cphone@fritz.box"),
    ("ip-trunk", "carrier", "sip:4940999999@gw.carrier.example", '"+442079460958" <sip:+12025550100@gw.carrier.example>', {"P-Asserted-Identity": '"+442079460958" <sip:+12025550100@gw.carrier.example>'}, None),
    ("ip-trunk", "second", "sip:+4940999999@gw.second.example", "<sip:+442079460958@gw.second.example>", {}, None),
    ("registering-trunk", "provider", "sip:+4940999999@sip.provider.example", "<sip:+442079460958@sip.provider.example>", {}, "sip:4930123456@sip.provider.example"),
    ("providers", "sipgate", "sip:4940999999@sipgate.de", '"+442079460958" <sip:1234567e0@sipgate.de>', {PPI: '"+442079460958" <sip:4930123456@sipgate.de>'}, "sip:1234567e0@sipgate.de"),
    ("providers", "telekom", "sip:+4940999999@tel.t-online.de", '"+442079460958" <sip:+4930123456@tel.t-online.de>', {}, "sip:+4930123456@tel.t-online.de"),
    ("providers", "1und1", "sip:040999999@sip.1und1.de", '"+442079460958" <sip:4930123456@sip.1und1.de>', {}, "sip:4930123456@sip.1und1.de"),
    ("providers", "ovh", "sip:004940999999@sip5.ovh.fr", '"00442079460958" <sip:0033123456789@sip5.ovh.fr>', {}, "sip:0033123456789@sip5.ovh.fr"),
    ("providers", "forwarding", "sip:+4940999999@sip.forwarding.example;user=phone", "<sip:+442079460958@sip.forwarding.example;user=phone>", {DIVERSION: "<sip:+4930123456@sip.forwarding.example;user=phone>;reason=unconditional"}, "sip:account@sip.forwarding.example"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "trunk", "uri", "from_", "headers", "account"),
    SHOWN,
    ids=[f"{row[0]}-{row[1]}" for row in SHOWN],
)
def test_what_the_example_of_a_provider_puts_on_the_wire(
    file: str,
    trunk: str,
    uri: str,
    from_: str,
    headers: dict[str, str],
    account: str | None,
    tmp_path: Path,
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("pw\n")
    text = re.sub(
        r'^password_file = "[^"]*"',
        f'password_file = "{secret}"',
        (EXAMPLES / f"{file}.toml").read_text(),
        flags=re.M,
    )
    path = tmp_path / "c2c_sip.toml"
    path.write_text(text)
    config = load(str(path), {})
    (chosen,) = (each for each in config.trunks if each.name == trunk)
    anywhere = replace(config.guard, countries=("any",))
    config = replace(config, trunks=(chosen,), guard=anywhere)
    zone: dict[tuple[str, str], Records] = {
        (f"_sip._udp.{chosen.domain}", "SRV"): (Srv(1, 1, "edge.test", 5060),),
        ("edge.test", "A"): (PROVIDER,),
    }
    clicktocall = {"extension": "+4940999999"}
    nodes = place_call(config, tmp_path, clicktocall, CONTACT, zone=zone)
    seen = nodes.get(chosen.domain, nodes[PROVIDER])
    invite = seen.first("INVITE")
    assert str(invite.uri) == uri
    assert str(invite.from_).partition(";tag=")[0] == from_
    names = ("P-Asserted-Identity", PPI, RPID, DIVERSION)
    assert {n: invite.get(n) for n in names if invite.get(n) is not None} == headers
    registers = [str(r.to.uri) for r in seen.requests if r.method == "REGISTER"]
    assert registers[:1] == ([account] if account else [])


def test_each_setting_of_a_trunk_is_in_the_table_or_has_a_test_of_its_own() -> None:
    in_table = {line.partition(" ")[0] for row in TABLE for line in row[0].splitlines()}
    # Here: name, password, register, auth_username, outbound_proxy. The transports, TLS and the keep-alives are shown
    # in tests/interop/test_transports.py, test_tls.py and test_dns.py, and in tests/simulation/test_keepalive.py and
    # test_trunk.py, the realms in test_challenges.py.
    elsewhere = {"name", "password", "register", "auth_username", "outbound_proxy", "transport"}
    elsewhere |= {"tls_server_name", "tls_ca", "tls_certificate", "tls_key"}
    elsewhere |= {"keepalive", "keepalive_by", "outbound", "realms"}
    assert in_table | elsewhere == {each.name for each in fields(Trunk)}
