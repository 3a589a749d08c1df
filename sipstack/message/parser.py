"""From the wire to messages: cheap to split, nothing typed before it is asked for (:rfc:`3261` §7, §25)."""

import re

from sipstack.message.errors import ParseError
from sipstack.message.headers import TOKEN, canonical
from sipstack.message.message import QUOTED_CONTROL, Message, Request, Response

#: Limits that no honest message comes near.
LARGEST = 65_535
MOST_HEADERS = 256
LONGEST_LINE = 8_192

_FOLD = re.compile(r"[ \t]*\n[ \t]+")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!%*_+`'~.-]+\Z")
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?\Z", re.IGNORECASE)
_HEADER_LINES = re.compile(r"^([A-Za-z0-9!%*_+`'~.-]+)[ \t]*:[ \t]*([^\n]*)$", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
#: Control characters but for tab and line feed.
_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\n")
_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+\Z", re.IGNORECASE)
_ONCE = ("From", "To", "Call-ID", "CSeq")


def parse_datagram(data: bytes) -> Request | Response:
    """One message in one datagram; what is left after Content-Length is dropped (:rfc:`3261` §18.3).

    :raises ParseError: it is no message; for a request that can be answered, with ``request``.
    """
    if len(data) > LARGEST:
        raise ParseError(513, "Message Too Large")
    data = data.lstrip(b"\r\n")
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        # Some send bare line feeds; a head without its empty line is a truncated message.
        head, separator, body = data.partition(b"\n\n")
        if not separator:
            raise ParseError(400, "Truncated message", _salvage(data))
    message = _parse_head(head)
    length = _content_length(message)
    if length is not None:
        length = length.strip()
        if not length.isascii() or not length.isdigit() or len(length) > 9:
            raise ParseError(400, "Malformed Content-Length header", _answerable(message))
        if int(length) > len(body):
            raise ParseError(400, "Body shorter than Content-Length", _answerable(message))
        body = body[: int(length)]
    message.body = body
    return message


def _content_length(message: Message) -> str | None:
    # Nearly always the last header: looked for from there, so that splitting needs no index of names.
    for name, value in reversed(message.lines):
        if canonical(name) == "content-length":
            return value
    return None


def _parse_head(head: bytes) -> Request | Response:
    head = head.replace(b"\r\n", b"\n")
    clean = len(head.translate(None, _CONTROLS)) == len(head)
    text = head.decode("utf-8", "surrogateescape")
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)
    count = text.count("\n")
    if count > MOST_HEADERS:
        raise ParseError(400, "Too many headers")
    first, _, rest = text.partition("\n")
    if clean and len(text) <= LONGEST_LINE and " \n" not in rest and rest[-1:] not in (" ", "\t"):
        headers = _HEADER_LINES.findall(rest)
        if len(headers) == count:
            return _start_line(first, headers)
    # Something is unusual, or wrong: line by line, to say what.
    message = _start_line(first, [])
    problem = ""
    if not clean and _CONTROL.search(QUOTED_CONTROL.sub("", text)):
        problem = "Control character in a header"
    for line in rest.split("\n") if count else ():
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not _HEADER_NAME.match(name):
            problem = problem or "Malformed header line"
            continue
        if len(line) > LONGEST_LINE:
            problem = problem or "Header line too long"
            continue
        message.add(name, value.strip(" \t"))
    if problem:
        raise ParseError(400, problem, _answerable(message))
    return message


def _start_line(line: str, headers: list[tuple[str, str]]) -> Request | Response:
    if line.startswith("SIP/2.0 ") and line[8:11].isdecimal() and line[8:11].isascii():
        # As nearly all responses begin.
        status = int(line[8:11])
        if 100 <= status < 700 and line[11:12] == " ":
            return Response(status, line[12:], headers)
    if line[:4].upper() == "SIP/":
        match = _STATUS_LINE.match(line)
        if match is None:
            raise ParseError(400, "Malformed status line")
        return Response(int(match.group(1)), match.group(2) or "", headers)
    method, _, rest = line.partition(" ")
    uri, _, version = rest.rpartition(" ")
    if not TOKEN.match(method) or len(method) > 64:
        raise ParseError(400, "Malformed request line")
    request = Request(method, uri, headers)
    # Both are kept for check_request, which can answer once the headers are known.
    request.version = version
    return request


def _salvage(data: bytes) -> Request | None:
    """The request in a truncated datagram, where its headers suffice for an answer."""
    if len(data) > LARGEST or data[:4].upper() == b"SIP/":
        return None
    complete = data[: data.rfind(b"\n") + 1].rstrip(b"\r\n")
    try:
        message = _parse_head(complete)
    except ParseError as error:
        return error.request
    return _answerable(message)


def _answerable(message: Message) -> Request | None:
    """The message itself when it is a request that says where an answer to it would go."""
    return message if isinstance(message, Request) and message.get("via") is not None else None


def check_request(request: Request) -> ParseError | None:
    """What is wrong with a request that decides its answer (:rfc:`3261` §8.2, §16.3); ``None`` if nothing is."""
    try:
        if not request.request_uri or not _VERSION.match(request.version):
            return ParseError(400, "Malformed request line", _answerable(request))
        if request.version.upper() != "SIP/2.0":
            return ParseError(505, "Version Not Supported", _answerable(request))
        for name in _ONCE:
            if request.get(name) is None:
                return ParseError(400, f"Missing {name} header", _answerable(request))
        if len(set(request.get_all("Content-Length"))) > 1:
            return ParseError(400, "Several Content-Length headers", _answerable(request))
        checked = (request.vias, request.from_, request.to, request.call_id, request.cseq)
        if not all(checked):
            return ParseError(400, "Malformed header", _answerable(request))
        if request.cseq.method != request.method:
            return ParseError(400, "CSeq method does not match", _answerable(request))
        if len(request.request_uri) > 1024:
            return ParseError(414, "Request-URI Too Long", _answerable(request))
        uri = request.uri
        if uri.scheme not in ("sip", "sips", "tel"):
            return ParseError(416, "Unsupported URI Scheme", _answerable(request))
        if uri.headers:
            return ParseError(400, "Headers in the Request-URI", _answerable(request))
        checked_hops = request.max_forwards  # 0 is no fault here: a user agent forwards nothing
        if checked_hops is not None and checked_hops < 0:
            return ParseError(400, "Malformed Max-Forwards header", _answerable(request))
        if request.method in ("INVITE", "UPDATE", "REGISTER"):
            checked_contacts = request.contacts
            if request.method == "INVITE" and len(checked_contacts) > 1:
                return ParseError(400, "Several Contacts", _answerable(request))
    except ParseError as error:
        return ParseError(error.status, error.reason, _answerable(request))
    return None
