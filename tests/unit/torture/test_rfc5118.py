"""The torture tests of RFC 5118: IPv6 in every place of a message. The numbers are its sections'."""

from __future__ import annotations

import pytest

from sipstack.message import ParseError, Request, parse_datagram
from sipstack.sdp import LocalMedia, SdpError, SessionDescription, codec_list
from tests.unit.torture.agent import message, receive


def request(octets: bytes) -> Request:
    parsed = parse_datagram(octets)
    assert isinstance(parsed, Request)
    return parsed


def _register(uri: str) -> bytes:
    return message(
        f"""
REGISTER {uri} SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
Contact: "Caller" <sip:caller@[2001:db8::1]>
CSeq: 98176 REGISTER
Content-Length: 0
"""
    )


def test_4_1_a_valid_reference() -> None:
    found = request(_register("sip:[2001:db8::10]"))
    assert (found.uri.host, found.uri.port) == ("2001:db8::10", None)
    assert (found.via.host, found.contacts[0].uri.host) == ("2001:db8::9:1", "2001:db8::1")
    assert str(found.uri) == "sip:[2001:db8::10]"
    assert receive(_register("sip:[2001:db8::10]")).status == 405


def test_4_2_an_address_without_brackets() -> None:
    assert receive(_register("sip:2001:db8::10")).status == 400


def test_4_3_a_port_within_the_brackets_is_part_of_the_address() -> None:
    found = request(_register("sip:[2001:db8::10:5070]"))
    assert (found.uri.host, found.uri.port) == ("2001:db8::10:5070", None)


def test_4_4_a_port_after_the_brackets() -> None:
    found = request(_register("sip:[2001:db8::10]:5070"))
    assert (found.uri.host, found.uri.port) == ("2001:db8::10", 5070)


def _bye(received: str) -> bytes:
    return message(
        f"""
BYE sip:[2001:db8::10] SIP/2.0
To: sip:user@example.com;tag=bd76ya
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1]{received};branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
CSeq: 321 BYE
Content-Length: 0
"""
    )


def test_4_5_received_with_brackets() -> None:
    found = request(_bye(";received=[2001:db8::9:255]"))
    assert found.via.received in ("2001:db8::9:255", "[2001:db8::9:255]")
    assert receive(_bye(";received=[2001:db8::9:255]")).status == 481


def test_4_5_received_without_brackets() -> None:
    found = request(_bye(";received=2001:db8::9:255"))
    assert found.via.received == "2001:db8::9:255"
    assert receive(_bye(";received=2001:db8::9:255")).status == 481


OFFER = """\
v=0
o=assistant 971731711378798081 0 IN IP6 2001:db8::20
s=Live video feed for today's meeting
c=IN IP6 2001:db8::20
t=3338481189 3370017201
m=audio 6000 RTP/AVP 2
a=rtpmap:2 G726-32/8000
m=video 6024 RTP/AVP 107
a=rtpmap:107 H263-1998/90000
"""


def test_4_6_addresses_in_a_description() -> None:
    octets = message(
        """
INVITE sip:user@[2001:db8::10] SIP/2.0
To: sip:user@[2001:db8::10]
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "Caller" <sip:caller@[2001:db8::20]>
CSeq: 8612 INVITE
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: {length}
""",
        OFFER,
    )
    described = SessionDescription.parse(request(octets).body)
    assert described.address == "2001:db8::20"
    assert len(receive(octets).calls) == 1
    local = LocalMedia("2001:db8::1", 20000, codec_list(["PCMU"]), 1)
    with pytest.raises(SdpError) as refused:
        local.answer(request(octets).body)  # G.726 is not among ours
    assert refused.value.status == 488


def test_4_7_addresses_of_both_families_in_the_headers() -> None:
    octets = message(
        """
BYE sip:user@host.example.net SIP/2.0
Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144
Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200
Call-ID: 997077@lau_4100
Max-Forwards: 70
CSeq: 89187 BYE
To: sip:user@example.net;tag=9817--94
From: sip:user@example.com;tag=81x2
Content-Length: 0
"""
    )
    hops = [(via.host, via.port, via.received) for via in request(octets).vias]
    assert hops == [
        ("2001:db8::9:1", 6050, None),
        ("192.0.2.1", None, None),
        ("2001:db8::9:255", None, "192.0.2.200"),
    ]
    assert receive(octets).status == 481


def test_4_8_addresses_of_both_families_in_a_description() -> None:
    body = OFFER.replace(
        "m=audio 6000 RTP/AVP 2\n", "m=audio 22334 RTP/AVP 0\nc=IN IP4 192.0.2.1\n"
    )
    local = LocalMedia("2001:db8::1", 20000, codec_list(["PCMU"]), 1)
    _, remote = local.answer(body.replace("\n", "\r\n").encode())
    assert (remote.address, remote.port) == ("192.0.2.1", 22334)


def test_4_9_an_ipv4_address_as_an_ipv6_one() -> None:
    octets = message(
        """
INVITE sip:user@example.com SIP/2.0
To: sip:user@example.com
From: sip:user@east.example.com;tag=81x2
Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19
Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "T. desk phone" <sip:ted@[::ffff:192.0.2.2]>
CSeq: 612 INVITE
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: {length}
""",
        OFFER.replace("IP6 2001:db8::20", "IP6 ::ffff:192.0.2.2"),
    )
    found = request(octets)
    assert found.via.host == "::ffff:192.0.2.10"
    assert found.contacts[0].uri.host == "::ffff:192.0.2.2"
    assert len(receive(octets).calls) == 1


def test_4_10_the_colon_too_many_of_the_old_grammar() -> None:
    octets = message(
        """
OPTIONS sip:user@[2001:db8:::192.0.2.1] SIP/2.0
To: sip:user@[2001:db8:::192.0.2.1]
From: sip:user@example.com;tag=810x2
Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-111
Call-ID: G9559905523997077@hlau_4100
CSeq: 689 OPTIONS
Max-Forwards: 70
Content-Length: 0
"""
    )
    assert request(octets).uri.host == "2001:db8:::192.0.2.1"
    assert receive(octets).status == 200


def test_what_is_no_reference_at_all_is_refused() -> None:
    for host in ("[2001:db8::10", "[gggg::1]", "[]", "[2001:db8::1]x"):
        with pytest.raises(ParseError):
            assert request(_register(f"sip:{host}")).uri
