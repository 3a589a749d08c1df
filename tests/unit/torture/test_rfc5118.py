"""The 12 torture messages of RFC 5118, which have IPv6 in every place of a message."""

import pytest

from sipstack.message import ParseError, Request, Uri, parse_datagram
from sipstack.sdp import SessionDescription
from tests.unit import torture
from tests.unit.torture import Endpoint

PEER = ("2001:db8::9:1", 5060)


def octets(name: str) -> bytes:
    return torture.octets("rfc5118", name)


def request(name: str) -> Request:
    message = parse_datagram(octets(name))
    assert isinstance(message, Request)
    return message


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint(local=("2001:db8::10", 5060), peer=PEER)


def test_ipv6_good_has_references_in_each_place(endpoint: Endpoint) -> None:
    m = request("ipv6-good")
    assert (m.uri.host, m.uri.port) == ("2001:db8::10", None)
    assert (m.via.host, m.contacts[0].uri.host) == ("2001:db8::9:1", "2001:db8::1")
    assert str(m.uri) == "sip:[2001:db8::10]"
    assert str(m.via) == "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111"
    assert endpoint.answer(octets("ipv6-good")).status == 405


def test_ipv6_bad_has_no_brackets(endpoint: Endpoint) -> None:
    answer = endpoint.answer(octets("ipv6-bad"))
    assert (answer.status, answer.reason) == (400, "Malformed port in Request-URI")


def test_port_ambiguous_has_its_port_within_the_address(endpoint: Endpoint) -> None:
    uri = request("port-ambiguous").uri
    assert (uri.host, uri.port) == ("2001:db8::10:5070", None)
    assert endpoint.answer(octets("port-ambiguous")).status == 405


def test_port_unambiguous_has_it_outside(endpoint: Endpoint) -> None:
    uri = request("port-unambiguous").uri
    assert (uri.host, uri.port) == ("2001:db8::10", 5070)
    assert endpoint.answer(octets("port-unambiguous")).status == 405


def test_via_received_param_with_delim_is_read_without_them(endpoint: Endpoint) -> None:
    assert request("via-received-param-with-delim").via.received == "2001:db8::9:255"
    answer = endpoint.answer(octets("via-received-param-with-delim"))
    assert answer.status == 481
    assert endpoint.wire.sent[0][1] == PEER, "to where it came from"


def test_via_received_param_no_delim_is_how_it_should_be(endpoint: Endpoint) -> None:
    assert request("via-received-param-no-delim").via.received == "2001:db8::9:255"
    answer = endpoint.answer(octets("via-received-param-no-delim"))
    assert answer.status == 200
    endpoint.receive(octets("via-received-param-no-delim"), ("2001:db8::7", 5060))
    sent = parse_datagram(endpoint.wire.sent[-1][0])
    assert sent.via.params[-1] == ("received", "2001:db8::7"), "and how we write it"


def test_ipv6_in_sdp_has_addresses_without_brackets(endpoint: Endpoint) -> None:
    described = SessionDescription.parse(request("ipv6-in-sdp").body)
    assert described.address == "2001:db8::20"
    assert [media.port for media in described.media] == [6000, 6024]
    # It is well-formed; what it offers, G.726 and video, we have not.
    assert endpoint.answer(octets("ipv6-in-sdp")).status == 488


def test_ipv6_in_sdp_with_the_length_that_the_rfc_printed_is_too_short(endpoint: Endpoint) -> None:
    printed = octets("ipv6-in-sdp").replace(b"Content-Length: 251", b"Content-Length: 268")
    answer = endpoint.answer(printed)
    assert (answer.status, answer.reason) == (400, "Body shorter than Content-Length")


def test_mult_ip_in_header_has_both_families(endpoint: Endpoint) -> None:
    assert [(v.host, v.port, v.received) for v in request("mult-ip-in-header").vias] == [
        ("2001:db8::9:1", 6050, None),
        ("192.0.2.1", None, None),
        ("2001:db8::9:255", None, "192.0.2.200"),
    ]
    answer = endpoint.answer(octets("mult-ip-in-header"))
    assert (answer.status, len(answer.vias)) == (481, 3)


def test_mult_ip_in_sdp_has_both_families(endpoint: Endpoint) -> None:
    media = SessionDescription.parse(request("mult-ip-in-sdp").body).media
    assert [m.address for m in media] == ["192.0.2.1", "2001:db8::1"]
    assert endpoint.answer(octets("mult-ip-in-sdp")).status == 200
    assert (endpoint.media[0].address, endpoint.media[0].port) == ("192.0.2.1", 22334)


def test_ipv4_mapped_ipv6_is_an_address_as_any(endpoint: Endpoint) -> None:
    m = request("ipv4-mapped-ipv6")
    assert [(v.host, v.port) for v in m.vias] == [
        ("::ffff:192.0.2.10", 19823),
        ("::ffff:192.0.2.2", None),
    ]
    assert m.contacts[0].uri.host == "::ffff:192.0.2.2"
    assert SessionDescription.parse(m.body).address == "::ffff:192.0.2.2"
    assert endpoint.answer(octets("ipv4-mapped-ipv6")).status == 488


def test_ipv6_bug_abnf_3_colons_is_read_as_what_is_meant(endpoint: Endpoint) -> None:
    m = request("ipv6-bug-abnf-3-colons")
    assert m.uri.host == m.to.uri.host == "2001:db8::192.0.2.1"
    assert endpoint.answer(octets("ipv6-bug-abnf-3-colons")).status == 200


def test_ipv6_correct_abnf_2_colons_is_as_it_should_be(endpoint: Endpoint) -> None:
    m = request("ipv6-correct-abnf-2-colons")
    assert m.uri.host == "2001:db8::192.0.2.1"
    assert m.uri.equivalent(request("ipv6-bug-abnf-3-colons").uri)
    assert endpoint.answer(octets("ipv6-correct-abnf-2-colons")).status == 200


@pytest.mark.parametrize(
    "host",
    ["[2001:db8::10", "[gggg::1]", "[]", "[2001:db8::1]x", "[1::2::3]", "[1.2.3.4]", "[:]"],
)
def test_what_is_no_reference_at_all_is_refused(host: str) -> None:
    with pytest.raises(ParseError):
        Uri.parse(f"sip:{host}")
