"""From the wire to messages: cheap to split, nothing typed before it is asked for (:rfc:`3261` §7, §25)."""

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from sipstack.message.errors import ParseError
from sipstack.message.headers import TOKEN, canonical
from sipstack.message.message import (
    METHODS,
    REASONS,
    Message,
    Request,
    Response,
    without_quoted_pairs,
)

#: Limits that no honest message comes near. A line is one after unfolding.
LARGEST_HEAD = 65_535
LARGEST_BODY = 65_535
MOST_HEADERS = 256
LONGEST_LINE = 8_192
LONGEST_URI = 1_024

_FOLD = re.compile(r"\n[ \t]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!%*_+`'~.-]+\Z")
_VERSION = re.compile(r"SIP/[0-9]{1,9}\.[0-9]{1,9}\Z", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?\Z", re.IGNORECASE)
#: What nearly all lines are like: no fold, no control character, no space at the end. Possessive, so that one look at
#: each character is enough.
_USUAL_LINE = re.compile(
    r"^([A-Za-z0-9!%*_+`'~.-]++)[ \t]*+:[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)(?<![ \t])\r\n",
    re.MULTILINE,
)
_USUAL_STATUS = re.compile(r"SIP/2\.0 ([1-6][0-9]{2}) ([^\x00-\x1f\x7f]*+)\Z")
_USUAL_REQUEST = re.compile(r"([A-Za-z0-9!%*_+`'~.-]{1,64}+) ([^\x00-\x20\x7f]++) SIP/2\.0\Z")
#: Control characters but for tab and line feed.
_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\n")
#: Requests whose Contact says where their sender is to be reached.
_WITH_CONTACT = frozenset(["INVITE", "UPDATE", "REGISTER", "SUBSCRIBE", "NOTIFY", "REFER"])


def parse_datagram(data: bytes) -> Request | Response:
    """One message in one datagram; what is left after Content-Length is dropped (:rfc:`3261` §18.3).

    :raises ParseError: it is no message; for a request that can be answered, with ``request``.
    """
    data = data.lstrip(b"\r\n")
    message, problem, body = _split_usual(data) or _split(data)
    length = _content_length(message)
    if length is not None:
        if not length.isascii() or not length.isdigit() or len(length) > 9:
            problem = problem or "Malformed Content-Length header"
        elif int(length) > LARGEST_BODY and not problem:
            raise ParseError(413, REASONS[413], _answerable(message))
        elif int(length) > len(body):
            problem = problem or "Body shorter than Content-Length"
        else:
            body = body[: int(length)]
    if problem:
        raise ParseError(400, problem, _answerable(message))
    if len(body) > LARGEST_BODY:
        raise ParseError(413, REASONS[413], _answerable(message))
    message.body = body
    return message


def _content_length(message: Message) -> str | None:
    # Nearly always the last header: looked for from there, so that splitting needs no index of names.
    for name, value in reversed(message.lines):
        if canonical(name) == "content-length":
            return value.strip()
    return None


def _split_usual(data: bytes) -> tuple[Request | Response, str, bytes] | None:
    """The message without its body, no problem, and the rest, where all is as it usually is; else ``None``."""
    end = data.find(b"\r\n\r\n")
    if not 0 < end <= LONGEST_LINE:
        return None
    text = data[: end + 2].decode("utf-8", "surrogateescape")
    first, _, rest = text.partition("\r\n")
    headers = _USUAL_LINE.findall(rest)
    # A line that is not like this, or that goes on in the next one, is a line end without a header.
    if len(headers) != text.count("\n") - 1 or len(headers) > MOST_HEADERS:
        return None
    status = _USUAL_STATUS.match(first)
    if status is not None:
        return Response(int(status.group(1)), status.group(2), headers), "", data[end + 4 :]
    request = _USUAL_REQUEST.match(first)
    if request is not None:
        return Request(request.group(1), request.group(2), headers), "", data[end + 4 :]
    return None


def _split(data: bytes) -> tuple[Request | Response, str, bytes]:
    """The message without its body, what is wrong with it, and the rest.

    :raises ParseError: it is not even the beginning of one.
    """
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        # Some send bare line feeds; a head without its empty line is a truncated message.
        head, separator, body = data.partition(b"\n\n")
        if not separator:
            head = data[: data.rfind(b"\n") + 1].rstrip(b"\r\n")
    if len(head) > LARGEST_HEAD:
        raise ParseError(513, REASONS[513])
    head = head.replace(b"\r\n", b"\n")
    text = _FOLD.sub(" ", head.decode("utf-8", "surrogateescape"))
    first, *lines = text.split("\n", MOST_HEADERS + 1)
    message, problem = _start_line(first)
    bare = without_quoted_pairs(head)
    if len(bare.translate(None, _CONTROLS)) != len(bare):
        problem = problem or "Control character in a header"
    if len(lines) > MOST_HEADERS:
        problem = problem or "Too many headers"
    for line in lines[:MOST_HEADERS]:
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not _HEADER_NAME.match(name):
            problem = problem or "Malformed header line"
        elif len(line) > LONGEST_LINE:
            problem = problem or "Header line too long"
        else:
            message.add(name, value.strip(" \t"))
    return message, problem or ("" if separator else "Truncated message"), body


def _start_line(line: str) -> tuple[Request | Response, str]:
    if line[:4].upper() == "SIP/":
        match = _STATUS_LINE.match(line)
        if match is None:
            raise ParseError(400, "Malformed status line")
        return Response(int(match.group(1)), match.group(2) or ""), ""
    method, _, rest = line.partition(" ")
    uri, _, version = rest.rstrip(" ").rpartition(" ")
    if not TOKEN.match(method) or len(method) > 64 or not _VERSION.match(version):
        raise ParseError(400, "Malformed request line")  # nothing that would expect an answer
    request = Request(method, uri)
    request.version = version
    extra = not uri or uri[0] == " " or uri[-1] == " " or rest[-1] == " "
    return request, "Malformed request line" if extra else ""


def _answerable(message: Message) -> Request | None:
    """The message itself when it is a request that says where an answer to it would go."""
    return message if isinstance(message, Request) and message.get("via") is not None else None


#: What each request and response has to have, once.
_MANDATORY: tuple[tuple[str, Callable[[Message], Any]], ...] = (
    ("Via", attrgetter("via")),
    ("Via", attrgetter("vias")),
    ("From", attrgetter("from_")),
    ("To", attrgetter("to")),
    ("Call-ID", attrgetter("call_id")),
    ("CSeq", attrgetter("cseq")),
)


def _read_mandatory(message: Message) -> bool:
    """Read it; whether it is all as usual, with a single Via."""
    try:
        if message.read_mandatory():
            return True
    except ParseError:
        pass  # which is raised anew, with the name of the header
    for name, read in _MANDATORY:
        _read(message, name, read)
    return False


def _read(message: Message, name: str, read: Callable[[Message], Any]) -> None:
    """Read a header, and say which one it was if it cannot be read."""
    try:
        read(message)
    except ParseError as error:
        named = error.reason if name in error.reason else f"{error.reason} in {name}"
        raise ParseError(error.status, named) from None


def check_request(request: Request) -> ParseError | None:
    """What is wrong with a request that decides its answer (:rfc:`3261` §8.2, §16.3); ``None`` if nothing is."""
    try:
        _check_request(request)
    except ParseError as error:
        return ParseError(error.status, error.reason, _answerable(request))
    return None


def _check_request(request: Request) -> None:
    method = request.method
    if request.version.upper() != "SIP/2.0":
        raise ParseError(505, REASONS[505])
    _read_mandatory(request)
    if request.cseq.method != method:
        if method not in METHODS:
            raise ParseError(501, REASONS[501])
        raise ParseError(400, "CSeq method does not match")
    _read(request, "Content-Length", attrgetter("content_length"))
    # That no hops are left is no fault at the end of the way: a user agent forwards nothing.
    _read(request, "Max-Forwards", attrgetter("max_forwards"))
    if len(request.request_uri) > LONGEST_URI:
        raise ParseError(414, REASONS[414])
    _read(request, "Request-URI", attrgetter("uri"))
    if request.uri.scheme not in ("sip", "sips", "tel"):
        raise ParseError(416, REASONS[416])
    if request.uri.headers:
        raise ParseError(400, "Headers in the Request-URI")
    if method in _WITH_CONTACT:
        _read(request, "Contact", attrgetter("contacts"))
        if method != "REGISTER" and request.contact_star:
            raise ParseError(400, "Contact * outside of REGISTER")
        if method == "INVITE" and len(request.contacts) > 1:
            raise ParseError(400, "Several Contacts")


def check_response(response: Response) -> ParseError | None:
    """Why a response is to be dropped; ``None`` if it is not.

    More than one Via means that it was meant for somebody else (:rfc:`3261` §8.1.3.3).
    """
    try:
        if not _read_mandatory(response) and len(response.vias) > 1:
            raise ParseError(400, "Several Via values")
    except ParseError as error:
        return error
    return None
