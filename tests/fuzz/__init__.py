"""What must hold of whatever a stranger sends, for the fuzzer and for the property tests.

Each target takes octets and raises nothing but :class:`AssertionError`; what it reads may refuse them with
:class:`ParseError` alone, or :class:`FramingError` for a stream.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sipstack.agent import sdp_of
from sipstack.digest import Credentials, DigestClient, DigestServer, challenges
from sipstack.message import (
    METHODS,
    Message,
    NameAddr,
    ParseError,
    Request,
    Response,
    check_request,
    check_response,
    parse_datagram,
)
from sipstack.sdp import LocalMedia, SessionDescription, codec_list
from sipstack.transport.framing import LARGEST_BODY, LARGEST_HEAD, Framing, FramingError
from tests.fuzz import caller
from tests.unit.torture import Endpoint

_TORTURE = Path(__file__).parent.parent / "unit" / "torture"
_TYPED = (
    "via", "vias", "from_", "to", "call_id", "cseq", "contacts", "contact_star", "routes", "record_routes",
    "max_forwards", "expires", "content_length", "content_type",
)  # fmt: skip


def message(octets: bytes) -> None:
    """A datagram: what can be read is read, and comes out as it went in."""
    try:
        parsed = parse_datagram(octets)
    except ParseError as error:
        assert 400 <= error.status < 700
        if error.request is not None:
            read(error.request)
        return
    read(parsed)
    wrong = check_request(parsed) if isinstance(parsed, Request) else check_response(parsed)
    if wrong is None:
        again = parse_datagram(parsed.serialize())
        assert again.start_line() == parsed.start_line()
        assert again.body == parsed.body
        assert _others(again) == _others(parsed)
        for name in _TYPED[:-2]:
            with suppress(ParseError):
                assert getattr(again, name) == getattr(parsed, name)
    for address in _addresses(parsed):
        assert NameAddr.parse(str(address)) == address
        assert address.uri.equivalent(address.uri)


def _others(parsed: Message) -> list[tuple[str, str]]:
    return [line for line in parsed.headers if line[0].lower() not in ("content-length", "l")]


def _addresses(parsed: Message) -> list[NameAddr]:
    found: list[NameAddr] = []
    for name in ("contacts", "routes", "record_routes"):
        with suppress(ParseError):
            found += getattr(parsed, name)
    return found


def read(parsed: Message) -> None:
    """Ask for everything twice: the second time gives what the first gave."""
    for name in _TYPED:
        try:
            first = getattr(parsed, name)
        except ParseError:
            continue
        assert getattr(parsed, name) == first
    with suppress(ParseError):
        for name in ("Require", "Supported", "Reason", "Accept"):
            parsed.values(name)
    sdp_of(parsed)


def stream(octets: bytes) -> None:
    """A stream: however it is cut, the same messages come out, and no more is kept than may be waited for."""
    sizes = (len(octets) or 1, 1 + (octets[0] if octets else 0) % 9)
    found = [_framed(octets, size) for size in sizes]
    assert found[0] == found[1]
    for each in found[0]:
        message(each)


def _framed(octets: bytes, size: int) -> list[bytes]:
    framing = Framing()
    found: list[bytes] = []
    with suppress(FramingError):
        for at in range(0, len(octets), size):
            found += framing.feed(octets[at : at + size])
            assert len(framing._buffer) <= LARGEST_HEAD + LARGEST_BODY + size
    # An error may come before the last messages are out, or after them, by where the stream was cut.
    return [each for each in found if each]


def sdp(octets: bytes) -> None:
    """A description, as an offer and as an answer; our answer to it is one that can be read."""
    ours = codec_list(["PCMU", "PCMA"])
    with suppress(ParseError):
        SessionDescription.parse(octets)
    with suppress(ParseError):
        answer, remote = LocalMedia("192.0.2.1", 20000, ours, 1).answer(octets)
        assert remote.codecs
        described = SessionDescription.parse(answer)
        offered = SessionDescription.parse(octets)
        assert len(described.media) == len(offered.media)
        assert sum(media.port != 0 for media in described.media) == 1
    with suppress(ParseError):
        local = LocalMedia("192.0.2.1", 20000, ours, 1)
        local.offer()
        local.accept_answer(octets)


def digest(octets: bytes) -> None:
    """A challenge, and an answer to a challenge of ours: never one that is right by chance."""
    text = octets.decode("utf-8", "surrogateescape")
    for name, status in (("WWW-Authenticate", 401), ("Proxy-Authenticate", 407)):
        challenged = Response(status)
        challenged.add(name, text)
        client = DigestClient(Credentials("user", "secret"), lambda: "cnonce")
        for asked in challenges(challenged):
            header, value = client.answer(asked, "INVITE", "sip:x@y", b"body")
            assert header.endswith("Authorization") and "secret" not in value
        with suppress(ParseError):
            header, value = client.authorize(challenged, "INVITE", "sip:x@y", b"body")
            assert "secret" not in value
            assert header.endswith("Authorization")
    server = DigestServer("realm", b"seal")
    assert not server.verify(text, "INVITE", None, lambda user: "secret", 1000.0).ok


def agent(octets: bytes) -> None:
    """A user agent with a call up hears a datagram, in the dialog where it has ``@TAG@``: its answers are few and short."""
    endpoint = Endpoint()
    up = endpoint.answer(_request("INVITE", body=_SDP, tag=b""))
    tag = (up.to.tag or "").encode()
    endpoint.receive(_request("ACK", b"1", b"", tag))
    assert endpoint.calls[0].session is not None
    before = len(endpoint.wire.sent)
    endpoint.receive(octets.replace(b"@TAG@", tag))
    said = endpoint.wire.sent[before:]
    # A REFER that is accepted would be told about besides; ours refuses each.
    assert len(said) <= 2
    for data, _ in said:
        assert len(data) < 1.1 * len(octets) + 1200
        parse_datagram(data)
    assert len(endpoint.calls) <= 2
    assert endpoint.agent.transactions <= 4


def _request(method: str, number: bytes = b"1", body: bytes = b"", tag: bytes = b"@TAG@") -> bytes:
    name = method.encode()
    return (
        name + b" sip:us@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKup" + number + name + b"\r\n"
        b"Max-Forwards: 70\r\nFrom: <sip:them@192.0.2.99>;tag=1\r\n"
        b"To: <sip:us@192.0.2.200>" + (b";tag=" + tag if tag else b"") + b"\r\n"
        b"Call-ID: up\r\nCSeq: " + number + b" " + name + b"\r\nContact: <sip:them@192.0.2.99>\r\n"
        b"Refer-To: <sip:other@192.0.2.98>\r\nSession-Expires: 1800;refresher=uac\r\nSupported: timer, 100rel\r\n"
        b"Reason: Q.850;cause=16\r\nContent-Type: application/sdp\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )  # fmt: skip


_SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\na=sendonly\r\n"
    b"m=audio 4000 RTP/AVP 0 8 96 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n"
    b"a=fmtp:101 0-16\r\na=ptime:20\r\na=rtcp:4001 IN IP4 192.0.2.9\r\na=recvonly\r\n"
    b"m=video 0 RTP/AVP 99\r\nc=IN IP6 2001:db8::9\r\n"
)
_DIGESTS = (
    b'Digest realm="realm", nonce="n", algorithm=SHA-256, qop="auth,auth-int", opaque="o", stale=true',
    b'Digest username="user", realm="realm", nonce="3e8.x", uri="sip:x@y", response="0", qop=auth, nc=00000001, '
    b'cnonce="c", algorithm=MD5-sess',
    b'Basic realm="a\\"b"',
)

TARGETS: dict[str, Callable[[bytes], None]] = {
    "message": message,
    "stream": stream,
    "sdp": sdp,
    "digest": digest,
    "agent": agent,
    "caller": caller.caller,
}


def seeds(target: str) -> list[bytes]:
    """What to begin with: the torture messages for all that takes messages."""
    if target == "sdp":
        return [_SDP]
    if target == "digest":
        return list(_DIGESTS)
    if target == "caller":
        return caller.seeds()
    messages = [path.read_bytes() for path in sorted(_TORTURE.glob("rfc*/*.dat"))]
    if target == "stream":
        return [*messages, b"\r\n\r\n".join(messages[:3])]
    within = [_request(method, b"2", body) for method in sorted(METHODS) for body in (b"", _SDP)]
    return [*messages, *within]
