"""SIP, SIPS and foreign URIs (:rfc:`3261` §19.1)."""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import unquote

from sipstack.message.errors import ParseError

T = TypeVar("T")

#: Parameters in the order they were written; the value is ``None`` where there is no equals sign.
Params = tuple[tuple[str, str | None], ...]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
_HOST = re.compile(r"[A-Za-z0-9._-]+\Z")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9_.-]{1,16})?\Z")
#: What makes a telephone number easier to read, and no other one (:rfc:`3966` §3).
_SEPARATORS = str.maketrans("", "", "-.()")
#: The escapes of reserved characters: ``;/?:@&=+$,``, and of the percent sign itself.
_RESERVED = re.compile(r"%(3[bBfFaAdD]|2[fFbBcC456]|40)")
#: Parameters without which a URI is another one (§19.1.4).
_TELLING = frozenset(["user", "ttl", "method", "maddr", "transport"])
#: Characters that a URI can never have as they are, whatever part they are in.
FORBIDDEN = re.compile(r'[\x00-\x20\x7f<>"]')
LONGEST = 2048
#: Characters above which nothing is kept, so that no peer can fill the memory with long ones.
WORTH_REMEMBERING = 200
#: Texts of which it is known what they were read as; a peer may send as many as it likes.
MOST_REMEMBERED = 1024
MOST_PARAMS = 64
#: A port that there is, without leading zeros.
PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
#: What nearly all URIs are like, in one look, with groups for its parts and without; whatever does not match is read step
#: by step.
_PARTS = (
    r"(sips?+):"
    r"(?:([^\x00-\x20\x7f<>\"@:;?]++)(?::([^\x00-\x20\x7f<>\"@;?]*+))?+@)?"
    rf"([A-Za-z0-9._-]++)(?::({PORT}))?"
    rf"((?:;[^\x00-\x20\x7f<>\"?@;=]++(?:=[^\x00-\x20\x7f<>\"?@;]*+)?+){{0,{MOST_PARAMS}}}+)"
)
_USUAL = re.compile(_PARTS + r"\Z")
USUAL_URI = re.sub(r"\((?!\?)", "(?:", _PARTS)


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI. One that is not ``sip`` or ``sips`` keeps what follows its scheme in ``opaque``.

    ``user``, ``password`` and the parameters are kept as written, with their escapes, which :attr:`unescaped_user` and
    :meth:`param` undo; an IPv6 ``host`` has no brackets.
    """

    scheme: str
    user: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    params: Params = ()
    headers: Params = ()
    opaque: str = ""
    #: As it is written, once it was.
    _text: str = field(default="", init=False, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> "Uri":
        """Read a URI.

        :raises ParseError: 400 where it is none; 416 is for the caller to say, who knows which schemes serve.
        """
        # The same few stand in each message of a call, and the servers' own in all of them.
        known = _KNOWN.get(text)
        if known is None:
            known = cls._parse(text)
            if len(text) < WORTH_REMEMBERING:
                remember(_KNOWN, text, known)
        return known

    @classmethod
    def _parse(cls, text: str) -> "Uri":
        usual = _USUAL.match(text)
        if usual is not None and len(text) <= LONGEST:
            scheme, user, password, host, port_text, tail = usual.groups()
            port = int(port_text) if port_text else None
            return cls(scheme, user, password, host, port, split_usual(tail))
        return cls._parse_slowly(text)

    @classmethod
    def _parse_slowly(cls, text: str) -> "Uri":
        if len(text) > LONGEST or FORBIDDEN.search(text):
            raise ParseError(400, "Malformed URI")
        scheme, colon, rest = text.partition(":")
        if not colon or not rest or not _SCHEME.match(scheme):
            raise ParseError(400, "Malformed URI")
        scheme = scheme.lower()
        if scheme not in ("sip", "sips"):
            return cls(scheme, opaque=rest)
        user: str | None = None
        password: str | None = None
        # The last @ before the headers ends the userinfo: neither parameters nor headers may have one unescaped.
        userinfo, at, hostpart = rest.rpartition("@")
        if at:
            user, has_password, secret = userinfo.partition(":")
            password = secret if has_password else None
            if not user or "@" in userinfo:
                raise ParseError(400, "Malformed URI")
        else:
            hostpart = rest
        hostpart, question, header_text = hostpart.partition("?")
        hostport, *param_texts = hostpart.split(";")
        host, port = parse_hostport(hostport)
        headers = tuple(_pair(part) for part in header_text.split("&")) if question else ()
        return cls(scheme, user, password, host, port, _params(param_texts), headers)

    def __str__(self) -> str:
        text = self._text
        if not text:
            text = self._written()
            object.__setattr__(self, "_text", text)
        return text

    def _written(self) -> str:
        if self.scheme not in ("sip", "sips"):
            return f"{self.scheme}:{self.opaque}"
        text = hostport_text(self.host, self.port)
        if self.user is not None:
            password = "" if self.password is None else f":{self.password}"
            text = f"{self.user}{password}@{text}"
        for name, value in self.params:
            text += f";{name}" if value is None else f";{name}={value}"
        mark = "?"
        for name, value in self.headers:
            text += f"{mark}{name}" if value is None else f"{mark}{name}={value}"
            mark = "&"
        return f"{self.scheme}:{text}"

    @property
    def unescaped_user(self) -> str:
        """The user part, its escapes undone; may have any character."""
        return _unescaped(self.user or "")

    def has_param(self, name: str) -> bool:
        """Whether there is a parameter of this name (lower case), with or without a value."""
        return name in [_unescaped(known).lower() for known, _ in self.params]

    def param(self, name: str) -> str | None:
        """The value of a parameter (lower-case ``name``), its escapes undone."""
        for known, value in self.params:
            if known == name or _unescaped(known).lower() == name:
                return None if value is None else _unescaped(value)
        return None

    def equivalent(self, other: "Uri") -> bool:
        """Comparison by :rfc:`3261` §19.1.4, of telephone numbers by :rfc:`3966` §4, and of others by their text."""
        if self.scheme != other.scheme:
            return False
        if self.scheme == "tel":
            return _number(self.opaque) == _number(other.opaque)
        if self.scheme not in ("sip", "sips"):
            return self.opaque == other.opaque
        if _exact(self.user) != _exact(other.user):
            return False
        if _exact(self.password) != _exact(other.password):
            return False
        if _host(self.host) != _host(other.host) or self.port != other.port:
            return False
        ours, theirs = _compared(self.params), _compared(other.params)
        if any(ours[name] != theirs[name] for name in ours.keys() & theirs.keys()):
            return False
        if not _TELLING.isdisjoint(ours.keys() ^ theirs.keys()):
            return False
        return sorted(_pairs(self.headers)) == sorted(_pairs(other.headers))


_KNOWN: dict[str, Uri] = {}


def remember(known: dict[str, T], text: str, value: T) -> None:
    """Keep what a text was read as. All are forgotten when there are too many: those in use are soon back."""
    if len(known) >= MOST_REMEMBERED:
        known.clear()
    known[text] = value


def _unescaped(text: str) -> str:
    # Octets that are no UTF-8 stay different from each other.
    return unquote(text, errors="surrogateescape") if "%" in text else text


def _compared_text(text: str) -> str:
    """The text to compare: a reserved character is another one when it is escaped (§19.1.4), all others are not."""
    if "%" not in text:
        return text
    return _unescaped(_RESERVED.sub(lambda found: f"%25{found.group(1).upper()}", text))


def _exact(text: str | None) -> str | None:
    return None if text is None else _compared_text(text)


def _pairs(params: Params) -> list[tuple[str, str]]:
    return [(_compared_text(name).lower(), _compared_text(value or "")) for name, value in params]


def _compared(params: Params) -> dict[str, str]:
    return {name: value.lower() for name, value in _pairs(params)}


def _host(text: str) -> str:
    return str(ipaddress.IPv6Address(text)) if ":" in text else text.lower()


def _number(opaque: str) -> tuple[str, dict[str, str]]:
    digits, _, after = opaque.partition(";")
    params = tuple(_pair(part) for part in after.split(";") if part[:1] not in ("", "="))
    return digits.translate(_SEPARATORS).lower(), _compared(params)


def parse_hostport(text: str) -> tuple[str, int | None]:
    """(host, port) of ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        host = _ipv6(host) if bracket else ""
        if not host or (rest and not rest.startswith(":")):
            raise ParseError(400, "Malformed host")
        port_text = rest[1:] if rest else None
    else:
        host, colon, port_part = text.partition(":")
        port_text = port_part if colon else None
        if not _HOST.match(host):
            raise ParseError(400, "Malformed host")
    if port_text is None:
        return host, None
    if not port_text.isascii() or not port_text.isdigit() or len(port_text) > 5:
        raise ParseError(400, "Malformed port")
    port = int(port_text)
    if not 0 < port < 65536:
        raise ParseError(400, "Malformed port")
    return host, port


def _ipv6(text: str) -> str:
    """An IPv6 literal that can be used as one; empty where ``text`` is none."""
    # The grammar of RFC 3261 has a colon too many before an IPv4 address at the end (RFC 5118 §4.10).
    text = text.replace(":::", "::")
    if not _IPV6.match(text):
        return ""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return ""
    return text


def hostport_text(host: str, port: int | None) -> str:
    """The inverse of :func:`parse_hostport`."""
    literal = f"[{host}]" if ":" in host else host
    return literal if port is None else f"{literal}:{port}"


def split_usual(text: str) -> Params:
    """The parameters of a text that is known to have no quotes or empty names, and to begin with a semicolon or be empty."""
    if not text:
        return ()
    parts = [piece.partition("=") for piece in text[1:].split(";")]
    return tuple([(name, value if equals else None) for name, equals, value in parts])


def _params(texts: list[str]) -> Params:
    params = tuple([_pair(text) for text in texts])
    if len(params) > MOST_PARAMS:
        raise ParseError(400, "Too many URI parameters")
    return params


def _pair(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if not name:
        raise ParseError(400, "Malformed URI")
    return name, value if equals else None
