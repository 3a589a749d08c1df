"""Typed header values and how they are split (:rfc:`3261` §7.3, §20)."""

import re
from dataclasses import dataclass
from functools import cache

from sipstack.message.errors import ParseError
from sipstack.message.uri import (
    LONGEST,
    MOST_PARAMS,
    PORT,
    USUAL_URI,
    WORTH_REMEMBERING,
    Params,
    Uri,
    hostport_text,
    parse_hostport,
    remember,
    split_usual,
)

#: The compact names of :rfc:`3261` §7.3.3 and later RFCs, and the names they stand for, in lower case.
COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

TOKEN = re.compile(r"[A-Za-z0-9!%*_+`'~.-]+\Z")
#: What nearly all values are like, in one look; whatever does not match is read step by step.
_PARAMS = rf"((?:;[A-Za-z0-9!%*_+`'~.-]++(?:=[^\x00-\x20\x7f;=\"]++)?+){{0,{MOST_PARAMS}}}+)\Z"
_USUAL_PARAMS = re.compile(_PARAMS)
_USUAL_ADDRESS = re.compile(rf'(?:"([^"\\]*+)"[ \t]*+)?<({USUAL_URI})>' + _PARAMS)
_USUAL_VIA = re.compile(
    rf"SIP/2\.0/([A-Za-z0-9!%*_+`'~.-]++) ([A-Za-z0-9._-]++)(?::({PORT}))?" + _PARAMS
)
_VIA_HEAD = re.compile(
    r"[ \t]*([A-Za-z0-9!%*_+`'~.-]+)[ \t]*/[ \t]*([A-Za-z0-9!%*_+`'~.-]+)[ \t]*"
    r"/[ \t]*([A-Za-z0-9!%*_+`'~.-]+)[ \t]+([^ \t].*)\Z"
)
_USUAL_CSEQ = re.compile(r"([0-9]{1,9}) ([A-Za-z0-9!%*_+`'~.-]+)\Z")
#: Names as they are spelled on the wire, and for comparison; bounded, since a peer may spell as it likes.
SPELLINGS: dict[str, str] = {}
_MOST_SPELLINGS = 2000
_STOPS = re.compile(r'[",<>\\]')
_PARAM_STOPS = re.compile(r'[";\\]')
_QUOTE_STOPS = re.compile(r'["\\]')
#: What stands in a quoted string only as a quoted pair: the rest of the control characters stand in none (§25.1).
_NEEDS_ESCAPE = re.compile(r'["\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f]')
_ESCAPED = r"\\\g<0>"
_DIGITS = re.compile(r"[0-9]+\Z")
_HOUR = 3600


def canonical(name: str) -> str:
    """A header's name for comparison: lower case, the compact form spelled out."""
    known = SPELLINGS.get(name)
    if known is None:
        lowered = name.lower()
        known = COMPACT.get(lowered, lowered)
        if len(SPELLINGS) < _MOST_SPELLINGS and len(name) < 64:
            SPELLINGS[name] = known
    return known


def split_values(text: str) -> list[str]:
    """Cut a comma-joined header value, leaving commas in quoted strings and angle brackets alone.

    Nothing between two commas is no value.

    :raises ParseError: a quote or bracket is not closed.
    """
    if "," not in text:
        return [text.strip()]
    values: list[str] = []
    start = position = 0
    quoted = angled = False
    while True:
        found = _STOPS.search(text, position)
        if found is None:
            break
        sign, at = found.group(), found.start()
        position = at + 1
        if quoted:
            if sign == "\\":
                position += 1
            elif sign == '"':
                quoted = False
        elif sign == '"' and not angled:
            quoted = True
        elif sign == "<":
            angled = True
        elif sign == ">":
            angled = False
        elif sign == "," and not angled:
            values.append(text[start:at].strip())
            start = position
    if quoted or angled:
        raise ParseError(400, "Unbalanced quotes or brackets")
    values.append(text[start:].strip())
    return [value for value in values if value]


def split_params(text: str) -> list[str]:
    """Cut at semicolons outside of quoted strings."""
    if '"' not in text:
        return text.split(";")
    parts: list[str] = []
    start = position = 0
    quoted = False
    while True:
        found = _PARAM_STOPS.search(text, position)
        if found is None:
            break
        sign, at = found.group(), found.start()
        position = at + 1
        if quoted:
            if sign == "\\":
                position += 1
            elif sign == '"':
                quoted = False
        elif sign == '"':
            quoted = True
        elif sign == ";":
            parts.append(text[start:at])
            start = position
    if quoted:
        raise ParseError(400, "Unbalanced quotes")
    parts.append(text[start:])
    return parts


def parse_params(text: str) -> Params:
    """Header parameters after the first semicolon, which ``text`` begins with or is empty."""
    if not text:
        return ()
    if _USUAL_PARAMS.match(text):
        return split_usual(text)
    text = text.strip()
    if not text:
        return ()
    if text[0] != ";":
        raise ParseError(400, "Malformed parameters")
    params: list[tuple[str, str | None]] = []
    parts = split_params(text[1:])
    if len(parts) > 1 and not parts[-1].strip():
        parts.pop()  # a stray semicolon at the end, which some phones send
    for part in parts:
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not TOKEN.match(name):
            raise ParseError(400, "Malformed parameters")
        params.append((name, value if equals else None))
    if len(params) > MOST_PARAMS:
        raise ParseError(400, "Too many parameters")
    return tuple(params)


def params_text(params: Params) -> str:
    """The inverse of :func:`parse_params`."""
    if not params:
        return ""
    return "".join([f";{n}" if v is None else f";{n}={v}" for n, v in params])


def unquote_string(text: str) -> str:
    """The content of a quoted string (with its quotes), escapes undone."""
    inner = text[1:-1]
    return re.sub(r"\\(.)", r"\1", inner) if "\\" in inner else inner


def delta_seconds(text: str) -> int:
    """The seconds of an Expires header or of a Contact's ``expires``, which may be up to 2**32 - 1.

    What is malformed or larger is an hour (:rfc:`3261` §20.10, §20.19): a binding is not lost for it.
    """
    if not _DIGITS.match(text):
        return _HOUR
    # Python converts no more than some thousand digits.
    seconds = int(text.lstrip("0")[:11] or "0")
    return seconds if seconds < 2**32 else _HOUR


def quote_string(text: str) -> str:
    """A quoted string with this content, which must have no line ends."""
    if '"' in text or "\\" in text or not text.isprintable():
        text = _NEEDS_ESCAPE.sub(_ESCAPED, text)
    return f'"{text}"'


@cache
def _parameter(name: str) -> re.Pattern[str]:
    """What finds one parameter in :attr:`Parametrized._after`: only of the few that somebody here asks for."""
    return re.compile(rf";{re.escape(name)}(?:=([^;]*))?(?=;|\Z)", re.IGNORECASE)


class Parametrized:
    """A header value with parameters, which are cut apart when somebody asks for all of them."""

    __slots__ = ("_after", "_params")

    def __init__(self, params: Params) -> None:
        self._params: Params | None = params
        #: Parameters as they came, known to be well-formed, where there are no ``_params`` yet.
        self._after = ""

    @property
    def params(self) -> Params:
        """All parameters, as they were written."""
        params = self._params
        if params is None:
            params = self._params = split_usual(self._after)
        return params

    def param(self, name: str) -> str | None:
        """The value of a parameter (lower-case ``name``)."""
        if self._params is None:
            found = _parameter(name).search(self._after)
            return found.group(1) if found is not None else None
        for known, value in self._params:
            if known == name or known.lower() == name:
                return value
        return None

    def has_param(self, name: str) -> bool:
        """Whether there is a parameter of this name, with or without a value."""
        if self._params is None:
            return _parameter(name).search(self._after) is not None
        return name in [known.lower() for known, _ in self._params]

    def _all(self) -> tuple[object, ...]:
        """What it is made of, in the order of the constructor's arguments."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._all() == other._all()

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._all()))})"


class NameAddr(Parametrized):
    """A display name, a URI and header parameters: From, To, Contact, Route, …; ``display_name`` without quotes.

    Not to be changed: many share one. Of what was received, the URI and the parameters are known to be well-formed and
    are taken apart when they are asked for.
    """

    __slots__ = ("_address", "_text", "_uri", "display_name")

    def __init__(self, display_name: str, uri: Uri, params: Params = ()) -> None:
        super().__init__(params)
        self.display_name = display_name
        self._uri: Uri | None = uri
        self._address = ""
        #: As it is written, once it was.
        self._text = ""

    @classmethod
    def parse(cls, text: str) -> "NameAddr":
        """Read a name-addr or addr-spec with parameters.

        :raises ParseError: it is neither.
        """
        # The same address stands in each message of a call, and a trunk's routes in all of them.
        known = _KNOWN.get(text)
        if known is None:
            usual = _USUAL_ADDRESS.match(text) if len(text) <= LONGEST else None
            if usual is None:
                known = cls._parse_slowly(text)
            else:
                known = cls.__new__(cls)
                name, known._address, known._after = usual.groups()
                known.display_name = name or ""
                known._uri = known._params = None
                known._text = ""
            if len(text) < WORTH_REMEMBERING:
                remember(_KNOWN, text, known)
        return known

    @classmethod
    def _parse_slowly(cls, text: str) -> "NameAddr":
        text = text.strip()
        name = ""
        if text.startswith('"'):
            end = _quoted_end(text)
            name, text = unquote_string(text[:end]), text[end:].lstrip()
            if not text.startswith("<"):
                raise ParseError(400, "Malformed address")
        if "<" in text:
            before, _, rest = text.partition("<")
            name = name or " ".join(before.split())
            address, closed, after = rest.partition(">")
            # Of what needs quotes and has none, only what could be read in another way is refused.
            if not closed or '"' in before or "," in before:
                raise ParseError(400, "Malformed address")
            return cls(name, Uri.parse(address.strip()), parse_params(after))
        # Without brackets everything after the semicolon belongs to the header, not to the URI (§20).
        address, semicolon, after = text.partition(";")
        if "," in address or "?" in address:
            raise ParseError(400, "Malformed address")
        return cls(name, Uri.parse(address.strip()), parse_params(semicolon + after))

    @property
    def uri(self) -> Uri:
        """The URI."""
        uri = self._uri
        if uri is None:
            uri = self._uri = Uri.parse(self._address)
        return uri

    def _all(self) -> tuple[object, ...]:
        return self.display_name, self.uri, self.params

    def __str__(self) -> str:
        text = self._text
        if not text:
            name = f"{quote_string(self.display_name)} " if self.display_name else ""
            after = self._after if self._params is None else params_text(self._params)
            text = self._text = f"{name}<{self.uri}>{after}"
        return text

    @property
    def tag(self) -> str | None:
        """The ``tag`` parameter."""
        return self.param("tag")

    def with_params(self, params: Params) -> "NameAddr":
        """The same with other parameters."""
        return NameAddr(self.display_name, self.uri, params)

    def with_name(self, display_name: str) -> "NameAddr":
        """The same with another display name."""
        return NameAddr(display_name, self.uri, self.params)

    def with_tag(self, tag: str) -> "NameAddr":
        """The same with this tag."""
        others = [param for param in self.params if param[0].lower() != "tag"]
        return NameAddr(self.display_name, self.uri, (*others, ("tag", tag)))


_KNOWN: dict[str, NameAddr] = {}


def _quoted_end(text: str) -> int:
    position = 1
    while True:
        found = _QUOTE_STOPS.search(text, position)
        if found is None:
            raise ParseError(400, "Unbalanced quotes")
        if found.group() == '"':
            return found.end()
        position = found.end() + 1


class Via(Parametrized):
    """One hop of a message's way (:rfc:`3261` §20.42). Not to be changed."""

    __slots__ = ("host", "port", "protocol", "transport")

    def __init__(
        self,
        transport: str,
        host: str,
        port: int | None,
        params: Params = (),
        protocol: str = "SIP/2.0",
    ) -> None:
        super().__init__(params)
        self.transport = transport
        self.host = host
        self.port = port
        self.protocol = protocol

    @classmethod
    def of_ours(cls, transport: str, host: str, port: int, branch: str) -> "Via":
        """That of a request of ours, which asks for the port that it is seen to come from (:rfc:`3581`)."""
        via = cls.__new__(cls)
        via.transport, via.host, via.port = transport, host, port
        via.protocol = "SIP/2.0"
        via._params = None
        via._after = f";rport;branch={branch}"
        return via

    @classmethod
    def parse(cls, text: str) -> "Via":
        """Read one Via value.

        :raises ParseError: it is none.
        """
        usual = _USUAL_VIA.match(text)
        if usual is None:
            return cls._parse_slowly(text)
        via = cls.__new__(cls)
        transport, via.host, port, via._after = usual.groups()
        via.transport = transport.upper()
        via.port = int(port) if port else None
        via.protocol = "SIP/2.0"
        via._params = None
        return via

    @classmethod
    def _parse_slowly(cls, text: str) -> "Via":
        # White space is allowed around the slashes, the colon and the semicolons.
        head, semicolon, after = text.partition(";")
        found = _VIA_HEAD.match(head)
        if found is None:
            raise ParseError(400, "Malformed Via")
        name, version, transport, sent_by = found.groups()
        host, port = parse_hostport("".join(sent_by.split()))
        protocol = f"{name.upper()}/{version}"
        return cls(transport.upper(), host, port, parse_params(semicolon + after), protocol)

    def __str__(self) -> str:
        sent_by = hostport_text(self.host, self.port)
        after = self._after if self._params is None else params_text(self._params)
        return f"{self.protocol}/{self.transport} {sent_by}{after}"

    def _all(self) -> tuple[object, ...]:
        return self.transport, self.host, self.port, self.params, self.protocol

    def with_params(self, params: Params) -> "Via":
        """The same with other parameters."""
        return Via(self.transport, self.host, self.port, params, self.protocol)

    @property
    def branch(self) -> str | None:
        """The transaction's branch."""
        return self.param("branch")

    @property
    def received(self) -> str | None:
        """The address that the message really came from, an IPv6 one without the brackets that some give it."""
        value = self.param("received")
        return None if value is None else value.removeprefix("[").removesuffix("]")

    @property
    def rport(self) -> int | None:
        """The port that the message really came from (:rfc:`3581`); ``None`` also where only asked for."""
        value = self.param("rport") or ""
        return int(value) if value.isascii() and value.isdigit() and len(value) < 6 else None


@dataclass(frozen=True, slots=True)
class CSeq:
    """A sequence number and its method."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> "CSeq":
        """Read a CSeq; the number is below 2**31 (:rfc:`3261` §8.1.1.5).

        :raises ParseError: it is none.
        """
        usual = _USUAL_CSEQ.match(text)
        if usual is not None:
            return cls(int(usual.group(1)), usual.group(2))
        parts = text.split()
        if len(parts) != 2 or not parts[0].isascii() or not parts[0].isdigit():
            raise ParseError(400, "Malformed CSeq")
        if len(parts[0]) > 10 or int(parts[0]) >= 2**31 or not TOKEN.match(parts[1]):
            raise ParseError(400, "Malformed CSeq")
        return cls(int(parts[0]), parts[1])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"
