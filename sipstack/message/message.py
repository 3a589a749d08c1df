"""Requests and responses: header lines as they came, typed values read at first access (:rfc:`3261` §7)."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sipstack.message.errors import ParseError
from sipstack.message.headers import (
    SPELLINGS,
    CSeq,
    NameAddr,
    Via,
    canonical,
    delta_seconds,
    split_values,
)
from sipstack.message.uri import Uri

#: What must not stand in a header line, except in a quoted pair (RFC 3261 §25.1); of them, no line end even there.
_CONTROLS = bytes(code for code in (*range(32), 127) if code != 9)
_QUOTED_PAIR = re.compile(rb"\\[^\r\n]")
_UNSAFE_NAME = re.compile(r"[^A-Za-z0-9!%*_+`'~.-]")
_NOT_IN_CALL_ID = re.compile(r"[\x00-\x20\x7f]")
_NUMBER = re.compile(r"[0-9]{1,10}\Z")

METHODS = frozenset(
    [
        "INVITE",
        "ACK",
        "CANCEL",
        "BYE",
        "OPTIONS",
        "REGISTER",
        "UPDATE",
        "INFO",
        "PRACK",
        "SUBSCRIBE",
        "NOTIFY",
        "REFER",
        "MESSAGE",
        "PUBLISH",
    ]
)
"""The methods of the RFCs; any other is unknown."""

REASONS: dict[int, str] = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}
"""The default reason phrase of each status."""


def without_quoted_pairs(head: bytes) -> bytes:
    """Header lines without what is escaped in them, to look for what may be there only escaped."""
    return _QUOTED_PAIR.sub(b"", head) if b"\\" in head else head


class Message:
    """What requests and responses share. Headers keep their order and spelling; bodies are bytes."""

    __slots__ = ("_cache", "_headers", "_index", "body")

    def __init__(self, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        self._headers: list[tuple[str, str]] = list(headers)
        self._index: dict[str, list[str]] | None = None
        self._cache: dict[str, Any] = {}
        self.body = body

    # --- header lines

    @property
    def headers(self) -> list[tuple[str, str]]:
        """(name, value) of each header line, in order."""
        return list(self._headers)

    @property
    def lines(self) -> Sequence[tuple[str, str]]:
        """The same, not to be changed: a look that costs nothing."""
        return self._headers

    def _changed(self) -> None:
        self._index = None
        if self._cache:
            self._cache = {}

    def _indexed(self) -> dict[str, list[str]]:
        """The values of each header by its name for comparison, made at the first question."""
        index = self._index
        if index is None:
            index = self._index = {}
            for name, value in self._headers:
                known = SPELLINGS.get(name) or canonical(name)
                lines = index.get(known)
                if lines is None:
                    index[known] = [value]
                else:
                    lines.append(value)
        return index

    def get(self, name: str) -> str | None:
        """The first header line of this name, in any spelling or compact."""
        found = self._indexed().get(canonical(name))
        return found[0] if found is not None else None

    def get_all(self, name: str) -> list[str]:
        """Every header line of this name."""
        return list(self._indexed().get(canonical(name), ()))

    def values(self, name: str) -> list[str]:
        """Every value of this name, comma-joined lines cut apart."""
        found = self._indexed().get(canonical(name))
        if found is None:
            return []
        return [value for line in found for value in split_values(line)]

    def add(self, name: str, value: str) -> None:
        """Append a header line."""
        self._headers.append((name, value))
        if self._index is None and not self._cache:
            return
        # What was read of other headers stays as it is.
        known = canonical(name)
        if self._index is not None:
            self._index.setdefault(known, []).append(value)
        self._cache.pop(known, None)
        if known == "via":
            self._cache.pop("vias", None)

    def _first(self, wanted: str) -> int | None:
        """Where the first header line of a canonical name stands."""
        for at, (name, _) in enumerate(self._headers):
            if (SPELLINGS.get(name) or canonical(name)) == wanted:
                return at
        return None

    @property
    def has_via(self) -> bool:
        """Whether a message of ours has its Via, which is put on top of it."""
        return self._headers[0][0] == "Via"

    def insert_first(self, name: str, value: str) -> None:
        """Put a header line before the first of its name, or at the top."""
        self._headers.insert(self._first(canonical(name)) or 0, (name, value))
        self._changed()

    def push_via(self, via: Via) -> None:
        """Put a Via on top."""
        text = str(via)
        self._headers.insert(0, ("Via", text))
        if self._index is not None:
            self._index.setdefault("via", []).insert(0, text)
        self._cache.pop("vias", None)
        self._cache["via"] = via

    def set(self, name: str, value: str) -> None:
        """Have one header line of this name: in the place of the first, or at the end."""
        wanted = canonical(name)
        at = self._first(wanted)
        if at is None:
            self.add(name, value)
            return
        rest = [line for line in self._headers[at + 1 :] if canonical(line[0]) != wanted]
        self._headers[at:] = [(name, value), *rest]
        self._changed()

    def remove(self, name: str) -> None:
        """Drop all header lines of this name."""
        wanted = canonical(name)
        self._headers = [line for line in self._headers if canonical(line[0]) != wanted]
        self._changed()

    def remove_first(self, name: str) -> None:
        """Drop the first value of this name: the line, or the part before its first comma."""
        at = self._first(canonical(name))
        if at is not None:
            spelled, value = self._headers[at]
            rest = split_values(value)[1:]
            self._headers[at : at + 1] = [(spelled, ", ".join(rest))] if rest else []
            self._changed()

    # --- typed values

    # Read at the first access and kept; written out one by one, as these are what every message is asked for.

    def _one(self, name: str, spelled: str) -> str:
        """The only header line of a canonical name."""
        lines = self._indexed().get(name)
        if lines is None:
            raise ParseError(400, f"Missing {spelled} header")
        if len(lines) > 1:
            raise ParseError(400, f"Several {spelled} headers")
        return lines[0]

    def _number(self, name: str) -> int | None:
        lines = self._indexed().get(canonical(name))
        if lines is None:
            return None
        if len(lines) > 1 and len(set(lines)) > 1:
            raise ParseError(400, f"Several {name} headers")
        text = lines[0].strip()
        if not _NUMBER.match(text):
            raise ParseError(400, f"Malformed {name} header")
        return int(text)

    def _addresses(self, name: str) -> list[NameAddr]:
        """All values of a canonical name."""
        lines = self._indexed().get(name)
        if lines is None:
            return []
        if len(lines) == 1 and "," not in lines[0]:  # as nearly always
            return [NameAddr.parse(lines[0])]
        return [
            NameAddr.parse(value)
            for line in lines
            for value in (split_values(line) if "," in line else (line,))
        ]

    @property
    def via(self) -> Via:
        """The topmost Via."""
        found: Via | None = self._cache.get("via")
        if found is None:
            lines = self._indexed().get("via")
            if lines is None:
                raise ParseError(400, "Missing Via header")
            value = lines[0]
            if "," in value:
                values = split_values(value)
                if not values:
                    raise ParseError(400, "Malformed Via")
                value = values[0]
            found = self._cache["via"] = Via.parse(value)
        return found

    @property
    def vias(self) -> list[Via]:
        """All Via values, topmost first."""
        found: list[Via] | None = self._cache.get("vias")
        if found is None:
            lines = self._indexed().get("via", ())
            if len(lines) == 1 and "," not in lines[0]:  # as nearly always
                found = [self.via]
            else:
                values = self.values("via")
                found = [self.via, *map(Via.parse, values[1:])] if values else []
            self._cache["vias"] = found
        return found

    @property
    def from_(self) -> NameAddr:
        """The From header."""
        found: NameAddr | None = self._cache.get("from")
        if found is None:
            found = self._cache["from"] = NameAddr.parse(self._one("from", "From"))
        return found

    @property
    def to(self) -> NameAddr:
        """The To header."""
        found: NameAddr | None = self._cache.get("to")
        if found is None:
            found = self._cache["to"] = NameAddr.parse(self._one("to", "To"))
        return found

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        found: str | None = self._cache.get("call-id")
        if found is None:
            found = self._cache["call-id"] = _read_call_id(self._one("call-id", "Call-ID"))
        return found

    @property
    def cseq(self) -> CSeq:
        """The CSeq."""
        found: CSeq | None = self._cache.get("cseq")
        if found is None:
            found = self._cache["cseq"] = CSeq.parse(self._one("cseq", "CSeq"))
        return found

    def read_mandatory(self) -> bool:
        """Read what each message has to have; whether all of it is there, and nothing of it several times.

        :raises ParseError: something cannot be read.
        """
        index, cache = self._indexed(), self._cache
        for name, read in _MANDATORY:
            lines = index.get(name)
            if lines is None or len(lines) > 1:
                return False
            if name not in cache:
                cache[name] = read(lines[0])
        vias = index.get("via", ())
        return len(vias) == 1 and "," not in vias[0] and self.via is not None

    @property
    def contacts(self) -> list[NameAddr]:
        """The Contact values; empty also where it is ``*``."""
        found: list[NameAddr] | None = self._cache.get("contact")
        if found is None:
            found = [] if self.contact_star else self._addresses("contact")
            self._cache["contact"] = found
        return found

    @property
    def contact_star(self) -> bool:
        """Whether the Contact is the ``*`` of an un-REGISTER."""
        return self._indexed().get("contact") == ["*"]

    @property
    def routes(self) -> list[NameAddr]:
        """The Route values."""
        found: list[NameAddr] | None = self._cache.get("route")
        if found is None:
            found = self._cache["route"] = self._addresses("route")
        return found

    @property
    def record_routes(self) -> list[NameAddr]:
        """The Record-Route values."""
        found: list[NameAddr] | None = self._cache.get("record-route")
        if found is None:
            found = self._cache["record-route"] = self._addresses("record-route")
        return found

    @property
    def max_forwards(self) -> int | None:
        """Hops that are left, 0 to 255."""
        number = self._number("Max-Forwards")
        if number is not None and number > 255:
            raise ParseError(400, "Malformed Max-Forwards header")
        return number

    @property
    def expires(self) -> int | None:
        """The Expires header, in seconds; see :func:`delta_seconds`. Several that differ are malformed."""
        lines = self._indexed().get("expires")
        if lines is None:
            return None
        return delta_seconds(lines[0].strip() if len(set(lines)) == 1 else "")

    @property
    def content_length(self) -> int | None:
        """The Content-Length header, in bytes."""
        return self._number("Content-Length")

    @property
    def content_type(self) -> str | None:
        """The Content-Type header, with its parameters."""
        return self.get("content-type")

    # --- out

    def start_line(self) -> str:
        """The first line."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """Octets of the message on the wire, without writing it out for that."""
        text = "".join([self.start_line(), *map("".join, self._headers)])
        length = f"\r\nContent-Length: {len(self.body)}\r\n\r\n"
        octets = len(text.encode("utf-8", "surrogateescape")) + len(length) + len(self.body)
        return octets + len(": \r\n") * len(self._headers)

    def serialize(self) -> bytes:
        """The message for the wire; Content-Length says what the body has, whatever was set.

        :raises ValueError: a name or value has control characters, which could forge other headers.
        """
        lines = [self.start_line()]
        for name, value in self._headers:
            if name not in _SAFE_NAMES:
                if canonical(name) == "content-length":
                    continue
                _check_name(name)
            lines.append(f"{name}: {value}")
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        octets = "\r\n".join(lines).encode("utf-8", "surrogateescape")
        if len(octets.translate(None, _CONTROLS)) != len(octets) - 2 * (len(lines) + 1):
            rest = without_quoted_pairs(octets)
            if len(rest.translate(None, _CONTROLS)) != len(rest) - 2 * (len(lines) + 1):
                raise ValueError("control character in a header")
        return octets + self.body

    def __str__(self) -> str:
        return self.serialize().decode("utf-8", "replace")


def _read_call_id(text: str) -> str:
    text = text.strip()
    if not text or len(text) > 512 or _NOT_IN_CALL_ID.search(text):
        raise ParseError(400, "Malformed Call-ID header")
    return text


#: What each message has to have beside its Via, and how it is read.
_MANDATORY: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("from", NameAddr.parse),
    ("to", NameAddr.parse),
    ("call-id", _read_call_id),
    ("cseq", CSeq.parse),
)

#: Names that were found safe to write; bounded, like all that is remembered.
_SAFE_NAMES: set[str] = set()
_MOST_NAMES = 2000


def _check_name(name: str) -> None:
    if not name or _UNSAFE_NAME.search(name):
        raise ValueError(f"unsafe header name {name!r}")
    if len(_SAFE_NAMES) < _MOST_NAMES and len(name) < 64:
        _SAFE_NAMES.add(name)


class Request(Message):
    """A request. ``uri`` may be given as text, and is then read when it is asked for."""

    __slots__ = ("_uri", "method", "request_uri", "version")

    def __init__(
        self,
        method: str,
        uri: Uri | str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        super().__init__(headers, body)
        self.method = method
        #: The Request-URI as written.
        self.request_uri = str(uri)
        self._uri = uri if isinstance(uri, Uri) else None
        #: The SIP version of a received request, as written.
        self.version = "SIP/2.0"

    @property
    def uri(self) -> Uri:
        """The Request-URI.

        :raises ParseError: it is malformed.
        """
        if self._uri is None:
            self._uri = Uri.parse(self.request_uri)
        return self._uri

    def start_line(self) -> str:
        """Method, Request-URI and version."""
        return f"{self.method} {self.request_uri} SIP/2.0"


def make_request(
    method: str,
    uri: Uri,
    *,
    routes: Iterable[NameAddr],
    from_: NameAddr,
    to: NameAddr,
    call_id: str,
    sequence: int,
    headers: Iterable[tuple[str, str]] = (),
) -> Request:
    """A request with what each has to have, but for the Via and the Contact (:rfc:`3261` §8.1.1), and with ``headers``."""
    cseq = CSeq(sequence, method)
    request = Request(
        method,
        uri,
        [
            *[("Route", str(route)) for route in routes],
            ("Max-Forwards", "70"),
            ("From", str(from_)),
            ("To", str(to)),
            ("Call-ID", call_id),
            ("CSeq", f"{sequence} {method}"),
            *headers,
        ],
    )
    # It need not be read again what these were made of.
    request._cache = {"from": from_, "to": to, "call-id": call_id, "cseq": cseq}
    return request


class Response(Message):
    """A response; without a reason the status's usual one."""

    __slots__ = ("reason", "status")

    def __init__(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = REASONS.get(status, "Unknown") if reason is None else reason

    def start_line(self) -> str:
        """Version, status and reason."""
        return f"SIP/2.0 {self.status} {self.reason}"


def make_response(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> Response:
    """The response to a request, with what has to be copied from it (:rfc:`3261` §8.2.6, §12.1.1).

    ``to_tag`` is added to a To that has none; a 100 never gets one.
    """
    lines = [("Via", line) for line in request.get_all("via")]
    if 100 < status < 300 and request.method in ("INVITE", "SUBSCRIBE", "REFER", "NOTIFY"):
        lines += [("Record-Route", line) for line in request.get_all("record-route")]
    for name in ("From", "To", "Call-ID", "CSeq"):
        # A refusal has what the request has: one of these may be what is missing.
        text = request.get(name)
        if text is None:
            continue
        if name == "To" and to_tag is not None and status != 100 and _has_no_tag(request):
            text = f"{text.rstrip()};tag={to_tag}"
        lines.append((name, text))
    lines += headers
    if status == 100 and (timestamp := request.get("Timestamp")) is not None:
        lines.append(("Timestamp", timestamp))
    return Response(status, reason, lines)


def _has_no_tag(request: Request) -> bool:
    try:
        return request.to.tag is None
    except ParseError:
        return False  # what cannot be read gets nothing added
