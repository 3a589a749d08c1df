"""Requests and responses: header lines as they came, typed values read at first access (:rfc:`3261` §7)."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from sipstack.message.errors import ParseError
from sipstack.message.headers import COMPACT, CSeq, NameAddr, Via, canonical, split_values
from sipstack.message.uri import Uri

T = TypeVar("T")

#: What must never stand in a header line that we write: it would begin another one.
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNSAFE_NAME = re.compile(r"[^A-Za-z0-9!%*_+`'~.-]")
_NUMBER = re.compile(r"[0-9]{1,10}\Z")

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


class Message:
    """What requests and responses share. Headers keep their order and spelling; bodies are bytes."""

    __slots__ = ("_cache", "_headers", "body")

    def __init__(self, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        self._headers: list[tuple[str, str, str]] = [
            (canonical(name), name, value) for name, value in headers
        ]
        self._cache: dict[str, Any] = {}
        self.body = body

    # --- header lines

    @property
    def headers(self) -> list[tuple[str, str]]:
        """(name, value) of each header line, in order."""
        return [(name, value) for _, name, value in self._headers]

    def get(self, name: str) -> str | None:
        """The first header line of this name, in any spelling or compact."""
        wanted = canonical(name)
        for known, _, value in self._headers:
            if known == wanted:
                return value
        return None

    def get_all(self, name: str) -> list[str]:
        """Every header line of this name."""
        wanted = canonical(name)
        return [value for known, _, value in self._headers if known == wanted]

    def values(self, name: str) -> list[str]:
        """Every value of this name, comma-joined lines cut apart."""
        return [value for line in self.get_all(name) for value in split_values(line)]

    def add(self, name: str, value: str) -> None:
        """Append a header line."""
        self._headers.append((canonical(name), name, value))
        self._cache.clear()

    def insert_first(self, name: str, value: str) -> None:
        """Put a header line before the first of its name, or at the top."""
        wanted = canonical(name)
        at = next((i for i, line in enumerate(self._headers) if line[0] == wanted), 0)
        self._headers.insert(at, (wanted, name, value))
        self._cache.clear()

    def set(self, name: str, value: str) -> None:
        """Have one header line of this name: in the place of the first, or at the end."""
        wanted = canonical(name)
        at = next((i for i, line in enumerate(self._headers) if line[0] == wanted), None)
        if at is None:
            self.add(name, value)
            return
        rest = [line for line in self._headers[at + 1 :] if line[0] != wanted]
        self._headers[at:] = [(wanted, name, value), *rest]
        self._cache.clear()

    def remove(self, name: str) -> None:
        """Drop all header lines of this name."""
        wanted = canonical(name)
        self._headers = [line for line in self._headers if line[0] != wanted]
        self._cache.clear()

    def remove_first(self, name: str) -> None:
        """Drop the first value of this name: the line, or the part before its first comma."""
        wanted = canonical(name)
        for at, (known, spelled, value) in enumerate(self._headers):
            if known == wanted:
                rest = split_values(value)[1:]
                self._headers[at : at + 1] = [(known, spelled, ", ".join(rest))] if rest else []
                self._cache.clear()
                return

    # --- typed values

    def _typed(self, key: str, read: Callable[[], T]) -> T:
        cache = self._cache
        if key in cache:
            found: T = cache[key]
            return found
        value = cache[key] = read()
        return value

    def _one(self, name: str) -> str:
        lines = self.get_all(name)
        if not lines:
            raise ParseError(400, f"Missing {name} header")
        if len(lines) > 1:
            raise ParseError(400, f"Several {name} headers")
        return lines[0]

    def _number(self, name: str) -> int | None:
        text = self.get(name)
        if text is None:
            return None
        text = text.strip()
        if not _NUMBER.match(text):
            raise ParseError(400, f"Malformed {name} header")
        return int(text)

    def _addresses(self, name: str) -> list[NameAddr]:
        return [NameAddr.parse(value) for value in self.values(name)]

    @property
    def via(self) -> Via:
        """The topmost Via."""

        def read() -> Via:
            line = self.get("via")
            if line is None:
                raise ParseError(400, "Missing Via header")
            values = split_values(line)
            if not values:
                raise ParseError(400, "Malformed Via")
            return Via.parse(values[0])

        return self._typed("via", read)

    @property
    def vias(self) -> list[Via]:
        """All Via values, topmost first."""
        return self._typed("vias", lambda: [Via.parse(value) for value in self.values("via")])

    @property
    def from_(self) -> NameAddr:
        """The From header."""
        return self._typed("from", lambda: NameAddr.parse(self._one("From")))

    @property
    def to(self) -> NameAddr:
        """The To header."""
        return self._typed("to", lambda: NameAddr.parse(self._one("To")))

    @property
    def call_id(self) -> str:
        """The Call-ID."""

        def read() -> str:
            text = self._one("Call-ID").strip()
            if not text or len(text) > 512 or " " in text:
                raise ParseError(400, "Malformed Call-ID header")
            return text

        return self._typed("call-id", read)

    @property
    def cseq(self) -> CSeq:
        """The CSeq."""
        return self._typed("cseq", lambda: CSeq.parse(self._one("CSeq")))

    @property
    def contacts(self) -> list[NameAddr]:
        """The Contact values; empty also where it is ``*``."""
        return self._typed(
            "contact", lambda: [] if self.contact_star else self._addresses("contact")
        )

    @property
    def contact_star(self) -> bool:
        """Whether the Contact is the ``*`` of an un-REGISTER."""
        return [line.strip() for line in self.get_all("contact")] == ["*"]

    @property
    def routes(self) -> list[NameAddr]:
        """The Route values."""
        return self._typed("route", lambda: self._addresses("route"))

    @property
    def record_routes(self) -> list[NameAddr]:
        """The Record-Route values."""
        return self._typed("record-route", lambda: self._addresses("record-route"))

    @property
    def max_forwards(self) -> int | None:
        """Hops that are left, 0 to 255."""
        number = self._number("Max-Forwards")
        if number is not None and number > 255:
            raise ParseError(400, "Malformed Max-Forwards header")
        return number

    @property
    def expires(self) -> int | None:
        """The Expires header, in seconds."""
        return self._number("Expires")

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

    def serialize(self) -> bytes:
        """The message for the wire; Content-Length says what the body has, whatever was set.

        :raises ValueError: a name or value has control characters, which could forge other headers.
        """
        lines = [self.start_line()]
        for known, name, value in self._headers:
            if known != "content-length":
                lines.append(f"{name}: {value}")
                if known not in _TRUSTED_NAMES and (not name or _UNSAFE_NAME.search(name)):
                    raise ValueError(f"unsafe header name {name!r}")
        lines.append(f"Content-Length: {len(self.body)}")
        text = "\r\n".join(lines)
        if len(_UNSAFE.findall(text)) != 2 * (len(lines) - 1):
            raise ValueError("control character in a header")
        return f"{text}\r\n\r\n".encode("utf-8", "surrogateescape") + self.body

    def __str__(self) -> str:
        return self.serialize().decode("utf-8", "replace")


_TRUSTED_NAMES = frozenset(COMPACT.values()) | frozenset(
    ["cseq", "max-forwards", "route", "record-route", "allow", "accept", "user-agent", "expires"]
)


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
    response = Response(status, reason)
    for line in request.get_all("via"):
        response.add("Via", line)
    if 100 < status < 300 and request.method in ("INVITE", "SUBSCRIBE", "REFER", "NOTIFY"):
        for line in request.get_all("record-route"):
            response.add("Record-Route", line)
    response.add("From", request.get("from") or "")
    to = request.get("to") or ""
    if to_tag is not None and status != 100 and request.to.tag is None:
        to = f"{to.rstrip()};tag={to_tag}"
    response.add("To", to)
    response.add("Call-ID", request.get("call-id") or "")
    response.add("CSeq", request.get("cseq") or "")
    for name, value in headers:
        response.add(name, value)
    return response
