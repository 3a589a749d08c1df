"""SIP, SIPS and foreign URIs (:rfc:`3261` §19.1)."""

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from sipstack.message.errors import ParseError

#: Parameters in the order they were written; the value is ``None`` where there is no equals sign.
Params = tuple[tuple[str, str | None], ...]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
_HOST = re.compile(r"[A-Za-z0-9._-]+\Z")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?\Z")
#: Characters that a URI can never have as they are, whatever part they are in.
FORBIDDEN = re.compile(r'[\x00-\x20\x7f<>"]')
_LONGEST = 2048
MOST_PARAMS = 64
#: A port that there is, without leading zeros.
PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
#: What nearly all URIs are like, in one look; whatever does not match is read step by step.
_USUAL = re.compile(
    r"(sips?):"
    r"(?:([^\x00-\x20\x7f<>\"@:;?]+)(?::([^\x00-\x20\x7f<>\"@;?]*))?@)?"
    rf"([A-Za-z0-9._-]+)(?::({PORT}))?"
    r"((?:;[^\x00-\x20\x7f<>\"?@;=]+(?:=[^\x00-\x20\x7f<>\"?@;]*)?)*)\Z"
)


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI. One that is not ``sip`` or ``sips`` keeps what follows its scheme in ``opaque``.

    ``user``, ``password`` and the parameters are kept as written, with their escapes; an IPv6 ``host`` has no brackets.
    """

    scheme: str
    user: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    params: Params = ()
    headers: Params = ()
    opaque: str = ""

    @classmethod
    def parse(cls, text: str) -> "Uri":
        """Read a URI.

        :raises ParseError: 400 where it is none; 416 is for the caller to say, who knows which schemes serve.
        """
        usual = _USUAL.match(text)
        if usual is not None and len(text) <= _LONGEST:
            scheme, user, password, host, port_text, tail = usual.groups()
            params = split_usual(tail) if tail else ()
            return cls(scheme, user, password, host, int(port_text) if port_text else None, params)
        return cls._parse_slowly(text)

    @classmethod
    def _parse_slowly(cls, text: str) -> "Uri":
        if len(text) > _LONGEST or FORBIDDEN.search(text):
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
            if not user or "@" in userinfo or "?" in hostpart.partition("?")[0]:
                raise ParseError(400, "Malformed URI")
        else:
            hostpart = rest
        hostpart, question, header_text = hostpart.partition("?")
        hostport, *param_texts = hostpart.split(";")
        host, port = parse_hostport(hostport)
        headers = tuple(_pair(part) for part in header_text.split("&")) if question else ()
        return cls(scheme, user, password, host, port, _params(param_texts), headers)

    def __str__(self) -> str:
        scheme, user, host = self.scheme, self.user, self.host
        if scheme not in ("sip", "sips"):
            return f"{scheme}:{self.opaque}"
        if user is None:
            userinfo = ""
        else:
            userinfo = f"{user}@" if self.password is None else f"{user}:{self.password}@"
        if ":" in host:
            host = f"[{host}]"
        text = (
            f"{scheme}:{userinfo}{host}"
            if self.port is None
            else f"{scheme}:{userinfo}{host}:{self.port}"
        )
        if self.params:
            text += params_text(self.params)
        if self.headers:
            text += "?" + "&".join([f"{name}={value or ''}" for name, value in self.headers])
        return text

    def has_param(self, name: str) -> bool:
        """Whether there is a parameter of this name, with or without a value."""
        return any(known.lower() == name for known, _ in self.params)

    def param(self, name: str) -> str | None:
        """The value of a parameter (lower-case ``name``)."""
        for known, value in self.params:
            if known.lower() == name:
                return value
        return None

    def with_params(self, *params: tuple[str, str | None]) -> "Uri":
        """The same URI with these parameters only."""
        return replace(self, params=params)

    def equivalent(self, other: "Uri") -> bool:
        """Comparison by :rfc:`3261` §19.1.4."""
        if self.scheme != other.scheme:
            return False
        if self.scheme not in ("sip", "sips"):
            return self.opaque == other.opaque
        if _unescaped(self.user) != _unescaped(other.user):
            return False
        if _unescaped(self.password) != _unescaped(other.password):
            return False
        if self.host.lower() != other.host.lower() or self.port != other.port:
            return False
        ours = {unquote(n).lower(): unquote(v or "").lower() for n, v in self.params}
        theirs = {unquote(n).lower(): unquote(v or "").lower() for n, v in other.params}
        for name in ours.keys() | theirs.keys():
            if name in ours and name in theirs:
                if ours[name] != theirs[name]:
                    return False
            elif name in ("user", "ttl", "method", "maddr", "transport"):
                # These change what the URI means, so one that lacks them is another URI.
                return False
        return sorted((n.lower(), unquote(v or "")) for n, v in self.headers) == sorted(
            (n.lower(), unquote(v or "")) for n, v in other.headers
        )


def _unescaped(text: str | None) -> str | None:
    return None if text is None else unquote(text)


def parse_hostport(text: str) -> tuple[str, int | None]:
    """(host, port) of ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not _IPV6.match(host) or (rest and not rest.startswith(":")):
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


def hostport_text(host: str, port: int | None) -> str:
    """The inverse of :func:`parse_hostport`."""
    literal = f"[{host}]" if ":" in host else host
    return literal if port is None else f"{literal}:{port}"


def params_text(params: Params) -> str:
    """Parameters as they are written, each behind its semicolon."""
    return "".join([f";{n}" if v is None else f";{n}={v}" for n, v in params])


def split_usual(text: str) -> Params:
    """The parameters of a text that is known to begin with a semicolon, and to have no quotes or empty names."""
    count = text.count(";")
    if count == 1:
        name, equals, value = text[1:].partition("=")
        return ((name, value if equals else None),)
    if count > MOST_PARAMS:
        raise ParseError(400, "Too many parameters")
    pairs = [part.partition("=") for part in text[1:].split(";")]
    return tuple([(name, value if equals else None) for name, equals, value in pairs])


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
