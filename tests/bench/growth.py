"""Time to read ten times the input, for each shape that a stranger may send: ``python -m tests.bench.growth``.

Printed is the time of the larger input by that of the smaller. More than twelve is an error: something grows faster
than what it reads.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sipstack.digest import Credentials, DigestClient, DigestError, DigestServer
from sipstack.message import (
    ParseError,
    Request,
    Response,
    check_request,
    check_response,
    parse_datagram,
)
from sipstack.message.multipart import find_part
from sipstack.sdp import CODECS, LocalMedia
from sipstack.transport.framing import Framing, FramingError

TIMES = 10
MOST = 12.0

HEAD = (
    "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:a@h>\r\n"
)
SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"


def read_message(octets: bytes) -> None:
    """Everything that can be read from a message."""
    try:
        message = parse_datagram(octets)
    except ParseError:
        return
    if isinstance(message, Request):
        check_request(message)
    elif isinstance(message, Response):
        check_response(message)
    for read in (
        lambda: message.vias,
        lambda: message.from_,
        lambda: message.to,
        lambda: message.contacts,
        lambda: message.routes,
        lambda: message.record_routes,
        lambda: (message.expires, message.max_forwards, message.content_length),
        lambda: [message.values(name) for name in ("Require", "Supported", "Accept", "Reason")],
        lambda: [contact.uri.equivalent(contact.uri) for contact in message.contacts],
    ):
        try:
            read()
        except ParseError:
            continue
    find_part(message.content_type, message.body, "application/sdp")
    try:
        message.serialize()
    except ValueError:
        return


def read_stream(octets: bytes) -> None:
    """A stream, in one piece and in small ones."""
    for size in (len(octets), 7):
        framing = Framing()
        try:
            for at in range(0, len(octets), size):
                for _ in framing.feed(octets[at : at + size]):
                    pass
        except FramingError:
            continue


def read_sdp(octets: bytes) -> None:
    """An offer, answered."""
    try:
        LocalMedia("192.0.2.1", 20000, (CODECS["PCMU"], CODECS["PCMA"]), 1).answer(octets)
    except ParseError:
        return


def read_digest(octets: bytes) -> None:
    """A challenge, and an answer to one."""
    text = octets.decode()
    response = Response(401)
    response.add("WWW-Authenticate", text)
    with suppress(DigestError):
        DigestClient(Credentials("u", "p"), lambda: "c").authorize(response, "INVITE", "sip:x")
    DigestServer("r", b"s").verify(text, "INVITE", None, lambda user: "p", 0.0)


@dataclass(frozen=True)
class Shape:
    """Input of about ``n`` pieces, and what reads it."""

    name: str
    make: Callable[[int], bytes]
    read: Callable[[bytes], None]


def _message(name: str, make: Callable[[int], str]) -> Shape:
    return Shape(name, lambda n: (HEAD + make(n) + "\r\n\r\n").encode(), read_message)


def _body(name: str, make: Callable[[int], str]) -> Shape:
    return _message(name, lambda n: f"Content-Type: multipart/mixed;boundary=b\r\n\r\n{make(n)}")


def _digest(name: str, make: Callable[[int], str]) -> Shape:
    return Shape(name, lambda n: ("Digest " + make(n)).encode(), read_digest)


def _sdp(name: str, make: Callable[[int], str]) -> Shape:
    return Shape(name, lambda n: (SDP + make(n)).encode(), read_sdp)


#: As large as the limits of a message and of a line allow at ``n`` = 1000.
SHAPES = [
    _message("spaces before a fold", lambda n: "S: a" + " " * 60 * n + "b\r\n c"),
    _message("folds", lambda n: "S: a" + "\r\n b" * 16 * n),
    _message("tabs", lambda n: "S: a\r\n" + "\t" * 60 * n + "b"),
    _message("header lines", lambda n: "Subject: a b c d\r\n" * (n // 4) + "X: y"),
    _message("colons", lambda n: ":" * 60 * n),
    _message("line feeds", lambda n: "\n" * 60 * n),
    _message("escapes", lambda n: 'Contact: "' + '\\"' * 4 * n + '" <sip:a@h>'),
    _message("quotes", lambda n: "Contact: " + '"' * 8 * n),
    _message("quoted controls", lambda n: 'Contact: "' + "\\\x01" * 4 * n),
    _message("values", lambda n: "Route: " + "<sip:a>," * n + "<sip:b>"),
    _message("commas", lambda n: "Route: " + "," * 8 * n),
    _message("brackets", lambda n: "Route: " + "<" * 8 * n),
    _message("closing brackets", lambda n: "Route: " + ">" * 8 * n),
    _message("parameters", lambda n: "Route: <sip:a>" + ";a=b" * 2 * n),
    _message("semicolons", lambda n: "Route: <sip:a>" + ";" * 8 * n),
    _message("at signs", lambda n: "Route: <sip:" + "@" * 8 * n + ">"),
    _message("percents", lambda n: "Route: <sip:" + "%41" * 2 * n + "@h>"),
    _message("colons in a URI", lambda n: "Route: <sip:" + ":" * 8 * n + "@h>"),
    _message("a display name", lambda n: "Route: " + "a " * 4 * n + "<sip:a>"),
    _message("spaces in a Via", lambda n: "Via: SIP" + " " * 7 * n + "/2.0/UDP h"),
    _message("slashes in a Via", lambda n: "Via: SIP" + "/" * 7 * n),
    _message("Vias", lambda n: "Via: " + "SIP/2.0/UDP h," * (n // 2) + "SIP/2.0/UDP h"),
    Shape("a start line", lambda n: ("INVITE " + "sip:a " * 10 * n).encode(), read_message),
    _body("delimiters", lambda n: "--b\r\n\r\n\r\n" * 6 * n),
    _body("near delimiters", lambda n: "\r\n--bb" * 10 * n),
    _body("spaces after a delimiter", lambda n: "--b" + " " * 60 * n + "x"),
    _body("headers of a part", lambda n: "--b\r\n" + "a: b\r\n" * 10 * n + "\r\nx\r\n--b--"),
    Shape("pings", lambda n: b"\r\n\r\n" * 16 * n, read_stream),
    Shape("a long head", lambda n: b"X: y\r\n" * 10 * n, read_stream),
    Shape("small messages", lambda n: b"A b SIP/2.0\r\nl: 1\r\n\r\nx" * 3 * n, read_stream),
    Shape("lengths", lambda n: b"A b SIP/2.0\r\n" + b"l: 1\r\n" * 10 * n + b"\r\nx", read_stream),
    _sdp("attributes", lambda n: "m=audio 4 RTP/AVP 0\r\n" + "a=x:y\r\n" * (9 * n // 10)),
    _sdp("rtpmaps", lambda n: "m=audio 4 RTP/AVP 0\r\n" + "a=rtpmap:99 X/8000\r\n" * (9 * n // 10)),
    _sdp("formats", lambda n: "m=audio 4 RTP/AVP" + " 8" * 30 * n + "\r\n"),
    _sdp("other media", lambda n: "m=video 4 RTP/AVP" + " 99" * 20 * n + "\r\nm=audio 4 RTP/AVP 0\r\n"),
    _sdp("connections", lambda n: "m=audio 4 RTP/AVP 0\r\n" + "c=IN IP4 1.2.3.4\r\n" * (9 * n // 10)),
    _sdp("a long line", lambda n: "a=" + " x" * 30 * n + "\r\nm=audio 4 RTP/AVP 0\r\n"),
    _digest("parameters", lambda n: "a=b, " * 10 * n),
    _digest("spaces", lambda n: "a=b" + " " * 60 * n + "c"),
    _digest("spaces and a comma", lambda n: "a=b," + " " * 60 * n + "!"),
    _digest("an open quote", lambda n: 'nonce="' + '\\"' * 30 * n),
    _digest("quotes", lambda n: 'nonce="x' + '"' * 60 * n),
    _digest("a long name", lambda n: "a" * 60 * n + "!"),
    _digest("qop", lambda n: 'realm="r", nonce="n", qop="' + "x," * 30 * n + 'auth"'),
]  # fmt: skip


def seconds(shape: Shape, sizes: Sequence[bytes]) -> list[float]:
    """The best of several runs of each, taking turns, each of enough repetitions to be measured.

    CPU time: what else the machine does is none of it.
    """
    repeats = [1] * len(sizes)
    best = [float("inf")] * len(sizes)
    for _ in range(9):
        for at, octets in enumerate(sizes):
            began = time.thread_time()
            for _ in range(repeats[at]):
                shape.read(octets)
            took = (time.thread_time() - began) / repeats[at]
            best[at] = min(best[at], took)
            repeats[at] = max(1, round(0.002 / max(took, 1e-7)))
    return best


def main() -> int:
    worst = 0.0
    for shape in SHAPES:
        small, large = shape.make(100), shape.make(100 * TIMES)
        few, many = seconds(shape, (small, large))
        ratio = many / few
        worst = max(worst, ratio)
        mark = "  <-- grows faster than its input" if ratio > MOST else ""
        print(
            f"{shape.name:26} {len(small):6} {few * 1e6:9.1f} µs "
            f"{len(large):6} {many * 1e6:9.1f} µs {ratio:6.1f} x{mark}"
        )
    print(f"{TIMES}x the input: at most {worst:.1f}x the time")
    return 1 if worst > MOST else 0


if __name__ == "__main__":
    sys.exit(main())
