"""What is wrong with a message decides what an endpoint says to it, and with which words."""

import pytest

from sipstack.message.parser import LARGEST_BODY, LONGEST_LINE, LONGEST_URI, MOST_HEADERS
from tests.unit.torture import Endpoint

SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
HEAD = (
    "INVITE sip:us@192.0.2.200 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKx;rport\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:them@192.0.2.99>;tag=1\r\n"
    "To: <sip:us@192.0.2.200>\r\n"
    "Call-ID: refusals\r\n"
    "CSeq: 1 INVITE\r\n"
    "Contact: <sip:them@192.0.2.99>\r\n"
    "Content-Type: application/sdp\r\n"
)


def message(old: str = "", new: str = "", body: str | bytes = SDP) -> bytes:
    """The INVITE with one thing changed."""
    assert old in HEAD
    octets = body.encode() if isinstance(body, str) else body
    head = HEAD.replace(old, new, 1) if old else HEAD
    return (
        f"{head}Content-Length: {len(octets)}\r\n\r\n".encode("utf-8", "surrogateescape") + octets
    )


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


def test_nothing_is_wrong_with_the_message_that_the_others_are_made_of(endpoint: Endpoint) -> None:
    assert endpoint.answer(message()).status == 200


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("From: <sip:them@192.0.2.99>;tag=1\r\n", "", "Missing From header"),
        ("To: <sip:us@192.0.2.200>\r\n", "", "Missing To header"),
        ("Call-ID: refusals\r\n", "", "Missing Call-ID header"),
        ("CSeq: 1 INVITE\r\n", "", "Missing CSeq header"),
        ("CSeq: 1", "CSeq: 2 INVITE\r\nCSeq: 1", "Several CSeq headers"),
        ("To: <", "t: <sip:x@y>\r\nTo: <", "Several To headers"),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 7", "Several Max-Forwards headers"),
        ("Max-Forwards: 70", "Max-Forwards: 256", "Malformed Max-Forwards header"),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE", "CSeq method does not match"),
        ("CSeq: 1 INVITE", "CSeq: 2147483648 INVITE", "Malformed CSeq"),
        ("CSeq: 1 INVITE", "CSeq: one INVITE", "Malformed CSeq"),
        ("To: <sip:us@192.0.2.200>", "To: <sip:us@192.0.2.200", "Malformed address in To"),
        ("From: <", 'From: "them <', "Unbalanced quotes in From"),
        ("From: <sip:", "From: <sip:@", "Malformed URI in From"),
        ("tag=1", "tag=1;;x", "Malformed parameters in From"),
        ("Contact: <sip:them@192.0.2.99>", "Contact: them", "Malformed URI in Contact"),
        ("Contact: <", "Contact: <sip:a@b>, <", "Several Contacts"),
        ("Contact: <sip:them@192.0.2.99>", "Contact: *", "Contact * outside of REGISTER"),
        ("sip:us@192.0.2.200 SIP", "sip:us@192.0.2.200:99999 SIP", "Malformed port in Request-URI"),
        ("sip:us@192.0.2.200 SIP", "sip:us@192.0.2.200?a=b SIP", "Headers in the Request-URI"),
        ("sip:us@192.0.2.200 SIP", "SIP", "Malformed request line"),
        ("Via: SIP/2.0/UDP 192.0.2.99", "Via: SIP/2.0/UDP", "Malformed Via"),
        ("rport\r\n", "rport\r\nVia: nonsense\r\n", "Malformed Via"),
        ("Call-ID: refusals", "Call-ID: re fusals", "Malformed Call-ID header"),
        ("Call-ID: refusals", "Subject: a\x01b\r\nCall-ID: refusals", "Control character in a header"),
        ("Call-ID: refusals", "no header\r\nCall-ID: refusals", "Malformed header line"),
        ("Call-ID: refusals", "Sub ject: x\r\nCall-ID: refusals", "Malformed header line"),
        ("Call-ID: refusals", f"S: {'x' * LONGEST_LINE}\r\nCall-ID: refusals", "Header line too long"),
        ("Content-Type", "X: y\r\n" * MOST_HEADERS + "Content-Type", "Too many headers"),
    ],
)  # fmt: skip
def test_a_bad_request_is_told_what_is_bad_about_it(
    endpoint: Endpoint, old: str, new: str, reason: str
) -> None:
    answer = endpoint.answer(message(old, new))
    assert (answer.status, answer.reason) == (400, reason)
    assert not endpoint.calls
    assert endpoint.agent.transactions == 0


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (message("us@", f"{'x' * LONGEST_URI}@"), 414),
        (message("sip:us@192.0.2.200 SIP", "http://192.0.2.200/ SIP"), 416),
        (message("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"), 505),
        (message("Contact", "Require: 100rel, x-unknown\r\nContact"), 420),
        (message("application/sdp", "text/html"), 415),
        (message("Content-Type", "Content-Encoding: gzip\r\nContent-Type"), 415),
        (message("Contact", "Accept: application/pidf+xml\r\nContact"), 406),
        (message(body="v=0\r\nnonsense\r\n"), 488),
        (message(body=SDP + "a=x\r\n" * (LARGEST_BODY // 5)), 413),
        (message().replace(b"INVITE", b"PUBLISH"), 405),
        (message().replace(b"INVITE", b"WHATEVER"), 501),
        (message("CSeq: 1 INVITE", "CSeq: 1 OTHER").replace(b"INVITE sip", b"WHATEVER sip"), 501),
        (message("192.0.2.200>\r\n", "192.0.2.200>;tag=gone\r\n"), 481),
    ],
)
def test_other_faults_have_a_status_of_their_own(
    endpoint: Endpoint, octets: bytes, status: int
) -> None:
    assert endpoint.answer(octets).status == status


def test_a_body_that_need_not_be_understood_is_no_fault(endpoint: Endpoint) -> None:
    optional = "text/html\r\nContent-Disposition: render; handling = Optional"
    assert endpoint.answer(message("application/sdp", optional, "<html>")).status == 200
    assert endpoint.media == []


def test_an_offer_among_several_parts_is_answered(endpoint: Endpoint) -> None:
    body = f"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--b--"
    octets = message("application/sdp", 'multipart/mixed; boundary="b"', body)
    answer = endpoint.answer(octets)
    assert (answer.status, answer.content_type) == (200, "application/sdp")
    assert endpoint.media[0].port == 4000


def test_a_refusal_notes_where_the_request_really_came_from(endpoint: Endpoint) -> None:
    answer = endpoint.answer(message("To: <sip:us@192.0.2.200>\r\n", ""))
    assert answer.via.rport == 5060
    assert answer.via.received == "192.0.2.99"


def test_copies_of_a_refused_request_get_the_same_answer(endpoint: Endpoint) -> None:
    octets = message("Max-Forwards: 70", "Max-Forwards: x")
    first, again = endpoint.answer(octets), endpoint.answer(octets)
    assert first.to.tag
    assert first.serialize() == again.serialize()


@pytest.mark.parametrize(
    "octets",
    [
        message().replace(b"INVITE", b"ACK").replace(b"Max-Forwards: 70", b"Max-Forwards: x"),
        message("Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKx;rport\r\n", ""),
        b"GET / HTTP/1.1\r\nVia: SIP/2.0/UDP 192.0.2.99\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"\0" * 100,
        b"",
    ],
)
def test_nothing_is_said_to_what_waits_for_no_answer(endpoint: Endpoint, octets: bytes) -> None:
    assert endpoint.answers(octets) == []


RESPONSE = (
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.200;branch=z9hG4bKy\r\nFrom: <sip:a@b>;tag=1\r\n"
    "To: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


def test_a_response_with_nothing_wrong_is_heard(endpoint: Endpoint) -> None:
    assert endpoint.hears(RESPONSE.encode()) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SIP/2.0 200", "SIP/2.1 200"),
        ("SIP/2.0 200", "SIP/2.0 700"),
        ("SIP/2.0 200", "SIP/2.0 20"),
        ("From: <sip:a@b>;tag=1\r\n", ""),
        ("To: <sip:c@d>;tag=2\r\n", ""),
        ("To: <", "To: <sip:e@f>\r\nTo: <"),
        ("Call-ID: x\r\n", ""),
        ("From: <", "From: <<"),
        ("z9hG4bKy\r\n", "z9hG4bKy\r\nVia: SIP/2.0/UDP 192.0.2.7\r\n"),
        ("z9hG4bKy\r\n", "z9hG4bKy, SIP/2.0/UDP 192.0.2.7\r\n"),
        ("CSeq: 1", "CSeq: 99999999999"),
        ("Content-Length: 0", "Content-Length: 9"),
        ("Content-Length: 0", "Content-Length: x"),
        ("Content-Length: 0", "X: \x00\r\nContent-Length: 0"),
    ],
)
def test_a_wrong_response_is_dropped(endpoint: Endpoint, old: str, new: str) -> None:
    assert old in RESPONSE
    assert endpoint.hears(RESPONSE.replace(old, new, 1).encode()) is None


@pytest.mark.parametrize(
    "octets",
    [
        message("Max-Forwards: 70", "Max-Forwards: x"),
        message("rport\r\n", "rport\r\n" + "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKz\r\n" * 100),
        message("Contact", "Require: " + "x," * 1000 + "x\r\nContact"),
        b"OPTIONS sip:x SIP/2.0\r\nv: SIP/2.0/UDP a\r\n\r\n",
    ],
)
def test_no_answer_is_much_longer_than_what_it_answers(endpoint: Endpoint, octets: bytes) -> None:
    assert len(endpoint.answer(octets).serialize()) < len(octets) + 400
