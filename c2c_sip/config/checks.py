"""What a setting may be: checks of values, from TOML or from an environment variable, which is always text.

A check takes what was given and returns it as it is kept, or raises :class:`Wrong`.
"""

import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import phonenumbers

from c2c_sip.calling.numbering import ANYWHERE
from sipstack.account import proxy_uri
from sipstack.media import wav
from sipstack.media.srtp import AVAILABLE
from sipstack.media.tones import RINGBACK
from sipstack.message import ParseError
from sipstack.sdes import Mode
from sipstack.sdp import CODECS

AUTO = "auto"
"""Instead of a limit: the one of :data:`c2c_sip.calling.guard.BUILT_IN`, which is not for this machine's own programs."""

HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_LISTEN = re.compile(rf"({HOST}):([0-9]{{1,5}})\Z")
_NAMESERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+)(?::([0-9]{1,5}))?\Z")
_SIP_LISTEN = re.compile(r"(?:udp|tcp|tls):(\[[0-9A-Fa-f:.]+\]|[0-9.]+):([0-9]{1,5})\Z")
_HOST_AND_PORT = re.compile(rf"({HOST})(?::([0-9]{{1,5}}))?\Z")
ORIGIN = re.compile(rf"\*\Z|https?://{HOST}(?::[0-9]{{1,5}})?\Z")
_PORT_RANGE = re.compile(r"\[?\s*([0-9]{1,5})\s*,\s*([0-9]{1,5})\s*\]?\Z")
LEVELS = ("debug", "info", "warning", "error")
LEVEL = re.compile(rf"[A-Za-z_][\w.]*=(?:{'|'.join(LEVELS)})\Z")
_URL = re.compile(r"(sqlite:///.+|postgres(ql)?://.+)\Z")


class Wrong(Exception):
    """A value that is not accepted; the text says what is."""


Check = Callable[[Any], Any]


def text(accepted: str = "text", pattern: re.Pattern[str] | None = None) -> Check:
    """Text in one line; unless it is empty, of a pattern."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or _CONTROL.search(value):
            raise Wrong(accepted)
        if value and pattern is not None and not pattern.match(value):
            raise Wrong(accepted)
        return value

    return check


def required(accepted: str, pattern: re.Pattern[str]) -> Check:
    """The same, and not empty."""
    optional = text(accepted, pattern)

    def check(value: Any) -> Any:
        if not value:
            raise Wrong(accepted)
        return optional(value)

    return check


def whole(least: int, most: int) -> Check:
    """A whole number in a range, both ends included."""
    accepted = f"a whole number from {least} to {most}"

    def check(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Wrong(accepted)
        return value

    return check


def zero_or(least: int, most: int) -> Check:
    """0 for off, or a whole number in a range."""
    within = whole(least, most)

    def check(value: Any) -> Any:
        try:
            return within(value)
        except Wrong:
            if value in (0, "0") and not isinstance(value, bool):
                return 0
            raise Wrong(f"0 or a whole number from {least} to {most}") from None

    return check


def limit(value: Any) -> Any:
    """A limit on the public: the one that is built in, or a number of one's own."""
    if value == AUTO:
        return AUTO
    try:
        return whole(0, 1_000_000)(value)
    except Wrong:
        raise Wrong(f'"{AUTO}", or a whole number from 0 to 1000000') from None


def flag(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise Wrong("true or false")
    return value


def one_of(*allowed: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise Wrong("one of " + ", ".join(allowed))
        return value

    return check


def srtp(value: Any) -> str:
    """Whether audio is encrypted."""
    mode = one_of(*Mode)(value)
    if mode != Mode.OFF and not AVAILABLE:
        raise Wrong(
            "off; for the others c2c-sip has to be installed with its extra srtp: c2c-sip[srtp]"
        )
    return str(mode)


def playable(*names: str) -> Check:
    """One of the names, or a file that can be played."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not (value in names or value.lower().endswith(".wav")):
            raise Wrong(f"one of {', '.join(names)}, or the path of a .wav file")
        if value not in names:
            try:
                wav.load(value)
            except (OSError, wav.WavError) as error:
                raise Wrong(f"a WAV file that can be played: {error}") from error
        return value

    return check


sound, notice = playable(*RINGBACK), playable("beep", "none")


def each(check: Check, accepted: str, least: int = 0) -> Check:
    """A list of no fewer than ``least``, each of which passes ``check``; as text, with commas."""
    if least:
        accepted += ", at least one"

    def check_all(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        # What is no list is told what may be in one, as one is that has something else in it.
        is_list = isinstance(value, list) and len(value) >= least
        try:
            made = tuple(check(one) for one in (value if is_list else [object()]))
        except Wrong as error:
            raise Wrong(f"{accepted}, each {error}") from error
        if not is_list:
            raise Wrong(accepted)
        return made

    return check_all


def port_range(value: Any) -> tuple[int, int]:
    accepted = "[first, last] with 1024 <= first, first + 3 <= last <= 65535"
    if isinstance(value, str) and (match := _PORT_RANGE.match(value)):
        value = [int(match.group(1)), int(match.group(2))]
    if not isinstance(value, list) or len(value) != 2:
        raise Wrong(accepted)
    first, last = value
    if any(isinstance(one, bool) or not isinstance(one, int) for one in value):
        raise Wrong(accepted)
    if not first >= 1024 or not first + 3 <= last <= 65535:
        raise Wrong(accepted)
    return first, last


def is_host(text: str) -> bool:
    """Whether this is a name, or an IP address that exists; an IPv6 one is in brackets."""
    if text.startswith("[") or re.fullmatch(r"[0-9.]+", text):
        try:
            ip_address(text.strip("[]"))
        except ValueError:
            return False
    return True


def sip_listen(value: Any) -> str:
    match = _SIP_LISTEN.match(value) if isinstance(value, str) else None
    if match is None or not is_host(match.group(1)) or int(match.group(2)) > 65535:
        raise Wrong("udp|tcp|tls:ADDRESS:PORT")
    return str(value)


def sip_listens(value: Any) -> tuple[str, ...]:
    entries: tuple[str, ...] = each(sip_listen, "a list of listening addresses", 1)(value)
    # Port 0 takes a free one, as often as it is asked for.
    fixed = [entry for entry in entries if int(entry.rpartition(":")[2])]
    if len(set(fixed)) != len(fixed):
        raise Wrong("a list of listening addresses, each once")
    return entries


def listen(value: Any) -> str:
    match = _LISTEN.match(value) if isinstance(value, str) else None
    if match is None or not is_host(match.group(1)) or int(match.group(2)) > 65535:
        raise Wrong("ADDRESS:PORT")
    return str(value)


def host_and_port(value: Any) -> str:
    match = _HOST_AND_PORT.match(value) if isinstance(value, str) else None
    if value != "" and (
        match is None
        or not is_host(match.group(1))
        or not 1 <= int(match.group(2) or 5060) <= 65535
    ):
        raise Wrong("HOST or HOST:PORT")
    return str(value)


def host_of(text: str) -> str:
    """The host of what is as :func:`host_and_port` accepts it, in small letters; empty of what is not."""
    match = _HOST_AND_PORT.match(text)
    return match.group(1).lower() if match is not None else ""


def domain(value: Any) -> str:
    if value == "":
        raise Wrong("HOST or HOST:PORT")
    return host_and_port(value)


def database_url(value: Any) -> str:
    accepted = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    url: str = required(accepted, _URL)(value)
    if url.startswith("sqlite:///:") or url.startswith("sqlite:///file:"):
        # Each thread would have a database of its own, and all would be gone with the process.
        raise Wrong(accepted)
    if not url.startswith("sqlite:"):
        try:
            # Reading the port is what checks it.
            urlsplit(url).port  # noqa: B018
        except ValueError:
            raise Wrong(accepted) from None
    return url


def own_address(value: Any) -> str:
    """An address that a peer can send to: 0.0.0.0 in a Contact or in SDP reaches nobody."""
    try:
        if value != "" and (not isinstance(value, str) or ip_address(value).is_unspecified):
            raise ValueError
    except ValueError:
        raise Wrong("an IP address, not 0.0.0.0 or ::") from None
    return str(value)


def proxy(value: Any) -> str:
    """A proxy, by its host or with all that a URI says."""
    accepted = "HOST, HOST:PORT or a SIP URI"
    if value == "":
        return ""
    try:
        uri = proxy_uri(value) if isinstance(value, str) else None
    except ParseError:
        uri = None
    if uri is None or uri.scheme not in ("sip", "sips") or uri.headers or not is_host(uri.host):
        raise Wrong(accepted)
    return str(value)


def ptime(value: Any) -> int:
    wanted = str(value)
    if isinstance(value, bool) or wanted not in _PTIMES:
        raise Wrong("milliseconds: " + ", ".join(_PTIMES))
    return int(wanted)


def nameserver(value: Any) -> str:
    """A name server's IP address, with a port if it is not 53."""
    accepted = "ADDRESS or ADDRESS:PORT"
    match = _NAMESERVER.match(value) if isinstance(value, str) else None
    if match is None or not is_host(match.group(1)) or int(match.group(2) or 53) > 65535:
        raise Wrong(accepted)
    return str(value)


def network(value: Any) -> str:
    try:
        return str(ip_network(value, strict=False)) if "/" in value else str(ip_address(value))
    except (TypeError, ValueError):
        raise Wrong("an IP address or a network, as 10.0.0.0/8") from None


def region(value: Any) -> str:
    if not isinstance(value, str) or value not in phonenumbers.SUPPORTED_REGIONS:
        raise Wrong("an ISO 3166 country code in capitals")
    return value


def region_or_none(value: Any) -> str:
    return "" if value == "" else region(value)


def country(value: Any) -> str:
    return value if value == ANYWHERE else region(value)


number_format = one_of("+e164", "e164", "00e164", "national", "as-is")
# The values of a Privacy header that a caller may ask for (RFC 3323 §4.2, RFC 3325 §9.3).
privacy = one_of("id", "user", "header", "session", "critical")
TELEPHONE = re.compile(r"\+?[0-9][0-9 ()./-]*\Z")
# What G.711, G.722 and Opus can all be cut into.
_PTIMES = ("10", "20", "30", "40", "60")
codec = one_of(*(name for name in CODECS if name != "telephone-event"))
