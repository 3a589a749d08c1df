"""The settings: a TOML file, overridden by environment variables, checked as a whole before anything starts.

Each setting is a field of a dataclass here, with its default and the check of its value; nothing else lists them but
``conf/c2c_sip.toml``, which a test compares with this.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import phonenumbers

from c2c_sip.calling.numbering import ANYWHERE, REFUSED_KINDS
from sipstack.account import proxy_uri
from sipstack.keepalive import Means
from sipstack.media import wav
from sipstack.media.srtp import AVAILABLE
from sipstack.media.tones import RINGBACK
from sipstack.message import ParseError
from sipstack.sdes import Mode
from sipstack.sdp import CODECS

DEFAULT_PATH = "/etc/c2c-sip/c2c_sip.toml"
ENVIRONMENT_PREFIX = "C2C_SIP_"
#: What of it is no setting, but for the command line.
NOT_SETTINGS = frozenset({"C2C_SIP_CONFIG", "C2C_SIP_URL", "C2C_SIP_API_KEY"})
AUTO = "auto"
"""Instead of a limit: the one of :data:`c2c_sip.calling.guard.BUILT_IN`, which is not for this machine's own programs."""

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_LISTEN = re.compile(rf"({_HOST}):([0-9]{{1,5}})\Z")
_NAMESERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+)(?::([0-9]{1,5}))?\Z")
_SIP_LISTEN = re.compile(r"(?:udp|tcp|tls):(\[[0-9A-Fa-f:.]+\]|[0-9.]+):([0-9]{1,5})\Z")
_HOST_AND_PORT = re.compile(rf"({_HOST})(?::([0-9]{{1,5}}))?\Z")
_ORIGIN = re.compile(rf"\*\Z|https?://{_HOST}(?::[0-9]{{1,5}})?\Z")
_PORT_RANGE = re.compile(r"\[?\s*([0-9]{1,5})\s*,\s*([0-9]{1,5})\s*\]?\Z")
LEVELS = ("debug", "info", "warning", "error")
_LEVEL = re.compile(rf"[A-Za-z_][\w.]*=(?:{'|'.join(LEVELS)})\Z")
_URL = re.compile(r"(sqlite:///.+|postgres(ql)?://.+)\Z")


class ConfigError(Exception):
    """All that is wrong with a configuration, one line each in ``problems``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _Wrong(Exception):
    """A value that is not accepted; the text says what is."""


Check = Callable[[Any], Any]


def _text(accepted: str = "text", pattern: re.Pattern[str] | None = None) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or _CONTROL.search(value):
            raise _Wrong(accepted)
        if value and pattern is not None and not pattern.match(value):
            raise _Wrong(accepted)
        return value

    return check


def _required(accepted: str, pattern: re.Pattern[str]) -> Check:
    optional = _text(accepted, pattern)

    def check(value: Any) -> Any:
        if not value:
            raise _Wrong(accepted)
        return optional(value)

    return check


def _whole(least: int, most: int) -> Check:
    accepted = f"a whole number from {least} to {most}"

    def check(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _Wrong(accepted)
        return value

    return check


def _zero_or(least: int, most: int) -> Check:
    """0 for off, or a whole number in a range."""
    within = _whole(least, most)

    def check(value: Any) -> Any:
        try:
            return within(value)
        except _Wrong:
            if value in (0, "0") and not isinstance(value, bool):
                return 0
            raise _Wrong(f"0 or a whole number from {least} to {most}") from None

    return check


def _limit(value: Any) -> Any:
    """A limit on the public: the one that is built in, or a number of one's own."""
    if value == AUTO:
        return AUTO
    try:
        return _whole(0, 1_000_000)(value)
    except _Wrong:
        raise _Wrong(f'"{AUTO}", or a whole number from 0 to 1000000') from None


def _flag(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def _one_of(*allowed: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise _Wrong("one of " + ", ".join(allowed))
        return value

    return check


def _srtp(value: Any) -> str:
    """Whether audio is encrypted."""
    mode = _one_of(*Mode)(value)
    if mode != Mode.OFF and not AVAILABLE:
        raise _Wrong(
            "off; for the others c2c-sip has to be installed with its extra srtp: c2c-sip[srtp]"
        )
    return str(mode)


def _playable(*names: str) -> Check:
    """One of the names, or a file that can be played."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not (value in names or value.lower().endswith(".wav")):
            raise _Wrong(f"one of {', '.join(names)}, or the path of a .wav file")
        if value not in names:
            try:
                wav.load(value)
            except (OSError, wav.WavError) as error:
                raise _Wrong(f"a WAV file that can be played: {error}") from error
        return value

    return check


_sound, _notice = _playable(*RINGBACK), _playable("beep", "none")


def _each(check: Check, accepted: str, least: int = 0) -> Check:
    def check_all(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        if not isinstance(value, list) or len(value) < least:
            raise _Wrong(accepted)
        try:
            return tuple(check(one) for one in value)
        except _Wrong as error:
            raise _Wrong(f"{accepted}, each {error}") from error

    return check_all


def _port_range(value: Any) -> tuple[int, int]:
    accepted = "[first, last] with 1024 <= first, first + 3 <= last <= 65535"
    if isinstance(value, str) and (match := _PORT_RANGE.match(value)):
        value = [int(match.group(1)), int(match.group(2))]
    if not isinstance(value, list) or len(value) != 2:
        raise _Wrong(accepted)
    first, last = value
    if any(isinstance(one, bool) or not isinstance(one, int) for one in value):
        raise _Wrong(accepted)
    if not first >= 1024 or not first + 3 <= last <= 65535:
        raise _Wrong(accepted)
    return first, last


def _is_host(text: str) -> bool:
    """Whether this is a name, or an IP address that exists; an IPv6 one is in brackets."""
    if text.startswith("[") or re.fullmatch(r"[0-9.]+", text):
        try:
            ip_address(text.strip("[]"))
        except ValueError:
            return False
    return True


def _sip_listen(value: Any) -> str:
    match = _SIP_LISTEN.match(value) if isinstance(value, str) else None
    if match is None or not _is_host(match.group(1)) or int(match.group(2)) > 65535:
        raise _Wrong("udp|tcp|tls:ADDRESS:PORT")
    return str(value)


def _sip_listens(value: Any) -> tuple[str, ...]:
    entries: tuple[str, ...] = _each(_sip_listen, "a list of listening addresses", 1)(value)
    # Port 0 takes a free one, as often as it is asked for.
    fixed = [entry for entry in entries if int(entry.rpartition(":")[2])]
    if len(set(fixed)) != len(fixed):
        raise _Wrong("a list of listening addresses, each once")
    return entries


def _listen(value: Any) -> str:
    match = _LISTEN.match(value) if isinstance(value, str) else None
    if match is None or not _is_host(match.group(1)) or int(match.group(2)) > 65535:
        raise _Wrong("ADDRESS:PORT")
    return str(value)


def _host_and_port(value: Any) -> str:
    match = _HOST_AND_PORT.match(value) if isinstance(value, str) else None
    if value != "" and (
        match is None
        or not _is_host(match.group(1))
        or not 1 <= int(match.group(2) or 5060) <= 65535
    ):
        raise _Wrong("HOST or HOST:PORT")
    return str(value)


def _domain(value: Any) -> str:
    if value == "":
        raise _Wrong("HOST or HOST:PORT")
    return _host_and_port(value)


def _database_url(value: Any) -> str:
    accepted = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    url: str = _required(accepted, _URL)(value)
    if not url.startswith("sqlite:"):
        try:
            # Reading the port is what checks it.
            urlsplit(url).port  # noqa: B018
        except ValueError:
            raise _Wrong(accepted) from None
    return url


def _own_address(value: Any) -> str:
    """An address that a peer can send to: 0.0.0.0 in a Contact or in SDP reaches nobody."""
    try:
        if value != "" and (not isinstance(value, str) or ip_address(value).is_unspecified):
            raise ValueError
    except ValueError:
        raise _Wrong("an IP address, not 0.0.0.0 or ::") from None
    return str(value)


def _proxy(value: Any) -> str:
    """A proxy, by its host or with all that a URI says."""
    accepted = "HOST, HOST:PORT or a SIP URI"
    if value == "":
        return ""
    try:
        uri = proxy_uri(value) if isinstance(value, str) else None
    except ParseError:
        uri = None
    if uri is None or uri.scheme not in ("sip", "sips") or uri.headers or not _is_host(uri.host):
        raise _Wrong(accepted)
    return str(value)


def _ptime(value: Any) -> int:
    wanted = str(value)
    if isinstance(value, bool) or wanted not in _PTIMES:
        raise _Wrong("milliseconds: " + ", ".join(_PTIMES))
    return int(wanted)


def _nameserver(value: Any) -> str:
    """A name server's IP address, with a port if it is not 53."""
    accepted = "ADDRESS or ADDRESS:PORT"
    match = _NAMESERVER.match(value) if isinstance(value, str) else None
    if match is None or not _is_host(match.group(1)) or int(match.group(2) or 53) > 65535:
        raise _Wrong(accepted)
    return str(value)


def _network(value: Any) -> str:
    try:
        return str(ip_network(value, strict=False)) if "/" in value else str(ip_address(value))
    except (TypeError, ValueError):
        raise _Wrong("an IP address or a network, as 10.0.0.0/8") from None


def _region(value: Any) -> str:
    if not isinstance(value, str) or value not in phonenumbers.SUPPORTED_REGIONS:
        raise _Wrong("an ISO 3166 country code in capitals")
    return value


def _region_or_none(value: Any) -> str:
    return "" if value == "" else _region(value)


def _country(value: Any) -> str:
    return value if value == ANYWHERE else _region(value)


_NUMBER_FORMAT = _one_of("+e164", "e164", "00e164", "national", "as-is")
# The values of a Privacy header that a caller may ask for (RFC 3323 §4.2, RFC 3325 §9.3).
_PRIVACY = _one_of("id", "user", "header", "session", "critical")
_TELEPHONE = re.compile(r"\+?[0-9][0-9 ()./-]*\Z")
# What G.711, G.722 and Opus can all be cut into.
_PTIMES = ("10", "20", "30", "40", "60")
_CODEC = _one_of(*(name for name in CODECS if name != "telephone-event"))


def _setting(default: Any, check: Check, *, secret: bool = False, reload: bool = False) -> Any:
    """``secret``: never shown. ``reload``: a change is heeded on SIGHUP, without a restart."""
    return field(default=default, metadata={"check": check, "secret": secret, "reload": reload})


def accepted(entry: Field[Any]) -> str:
    """What a setting accepts, as somebody is told who gives it something else; empty: whatever can be written."""
    check = entry.metadata["check"]
    try:
        check(object())
    except _Wrong as error:
        whole = str(error)
    else:
        return ""
    try:
        check(["\0"])
    except _Wrong as error:
        # Of a list also what may be in it.
        return whole if str(error) == whole else f"{whole}: {error}"
    return whole


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting comes from: the path of a file, or the name of a variable."""

    kind: Literal["default", "file", "environment"] = "default"
    source: str = ""
    #: Read from a file of its own, as ``password_file`` names one: whatever it is, it is not to be shown.
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Http:
    """Where and how HTTP is served."""

    listen: str = _setting("127.0.0.1:8000", _listen)
    threads: int = _setting(8, _whole(1, 256))
    allowed_origins: tuple[str, ...] = _setting(
        (),
        _each(_text("https://HOST, https://HOST:PORT or *", _ORIGIN), "a list of origins"),
        reload=True,
    )
    trusted_proxies: tuple[str, ...] = _setting((), _each(_network, "a list of addresses"))
    max_upload: int = _setting(4_000_000, _whole(64_000, 64_000_000))


@dataclass(frozen=True, slots=True)
class Database:
    """Where the records are kept."""

    url: str = _setting(
        "sqlite:///c2c.db",
        _database_url,
        secret=True,
    )
    media_directory: str = _setting("", _text())
    media_quota: int = _setting(256_000_000, _whole(64_000, 999_999_999))
    node: str = _setting("", _text())

    def __repr__(self) -> str:
        return f"Database({self.url.partition(':')[0]!r})"


@dataclass(frozen=True, slots=True)
class Sip:
    """The signalling side."""

    listen: tuple[str, ...] = _setting(("udp:0.0.0.0:5060",), _sip_listens)
    public_address: str = _setting("", _own_address)
    user_agent: str = _setting("c2c-sip", _text())
    nameservers: tuple[str, ...] = _setting((), _each(_nameserver, "a list of name servers"))
    session_expires: int = _setting(1800, _zero_or(90, 86400))
    tls_certificate: str = _setting("", _text())
    tls_key: str = _setting("", _text())
    tls_ca: str = _setting("", _text())


@dataclass(frozen=True, slots=True)
class Media:
    """The RTP side; ``timeout`` in seconds of silence before a peer is asked whether it is still there."""

    address: str = _setting("", _own_address)
    ports: tuple[int, int] = _setting((20000, 29999), _port_range)
    codecs: tuple[str, ...] = _setting(("PCMU", "PCMA"), _each(_CODEC, "a list of codecs", 1))
    workers: int = _setting(0, _whole(0, 64))
    realtime: bool = _setting(True, _flag)
    timeout: int = _setting(30, _whole(5, 3600), reload=True)
    ringback: str = _setting("us", _sound, reload=True)
    srtp: str = _setting("off", _srtp)


@dataclass(frozen=True, slots=True)
class Calling:
    """Limits of calls; times in seconds."""

    extension_timeout: int = _setting(30, _whole(1, 600), reload=True)
    contact_timeout: int = _setting(60, _whole(1, 600), reload=True)
    max_duration: int = _setting(14400, _whole(1, 604800), reload=True)
    max_calls: int = _setting(0, _whole(0, 100000), reload=True)
    default_region: str = _setting("US", _region)
    busy_tone: int = _setting(3, _whole(0, 60), reload=True)
    confirm_timeout: int = _setting(15, _whole(3, 120), reload=True)


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Who is told of calls; ``networks`` are those that may be told although they are not public."""

    networks: tuple[str, ...] = _setting((), _each(_network, "a list of addresses"))


@dataclass(frozen=True, slots=True)
class Guard:
    """What the service does for whom.

    ``per_…`` are unauthenticated activations in an hour: 0 for no limit, ``auto`` for what is built in.
    """

    countries: tuple[str, ...] = _setting((), _each(_country, "a list of countries"), reload=True)
    number_kinds: tuple[str, ...] = _setting(
        (), _each(_one_of(*REFUSED_KINDS), "a list of kinds"), reload=True
    )
    sip_hosts: tuple[str, ...] = _setting(
        (), _each(_text("a host name", re.compile(rf"{_HOST}\Z")), "a list of hosts"), reload=True
    )
    networks: tuple[str, ...] = _setting((), _each(_network, "a list of addresses"))
    connect_by_get: bool = _setting(True, _flag, reload=True)
    per_address: int | str = _setting(AUTO, _limit, reload=True)
    per_contact: int | str = _setting(AUTO, _limit, reload=True)
    per_clicktocall: int | str = _setting(AUTO, _limit, reload=True)
    per_account: int | str = _setting(AUTO, _limit, reload=True)
    per_service: int | str = _setting(AUTO, _limit, reload=True)
    daily_minutes: int = _setting(0, _whole(0, 10_000_000), reload=True)
    challenge: str = _setting("none", _one_of("none", "proof_of_work", "captcha"))
    proof_of_work_bits: int = _setting(18, _whole(8, 32), reload=True)
    captcha_url: str = _setting("", _text("https://…", re.compile(r"https?://[^\s]+\Z")))
    captcha_secret: str = _setting("", _text(), secret=True)

    def __repr__(self) -> str:
        return "Guard(...)"


@dataclass(frozen=True, slots=True)
class Trunk:
    """One provider or PBX that calls go through."""

    name: str = _setting(
        "", _required("a name of letters, digits, - and _", re.compile(r"[\w-]{1,64}\Z"))
    )
    domain: str = _setting("", _domain)
    transport: str = _setting("udp", _one_of("udp", "tcp", "tls"))
    register: bool = _setting(True, _flag)
    username: str = _setting("", _text())
    auth_username: str = _setting("", _text())
    password: str = _setting("", _text(), secret=True)
    contact_user: str = _setting("", _text())
    outbound_proxy: str = _setting("", _proxy)
    expires: int = _setting(1800, _whole(60, 86400))
    keepalive: int = _setting(0, _zero_or(5, 3600))
    keepalive_by: Means = _setting("options", _one_of("options", "stun", "crlf"))
    outbound: bool = _setting(False, _flag)
    number_format: str = _setting("+e164", _NUMBER_FORMAT)
    number_prefix: str = _setting("", _text("digits, *, # and +", re.compile(r"[0-9*#+]+\Z")))
    identity: tuple[str, ...] = _setting(
        ("from",), _each(_one_of("from", "from-display", "pai", "ppi", "rpid"), "a list", 1)
    )
    identity_format: str = _setting("+e164", _NUMBER_FORMAT)
    region: str = _setting("", _region_or_none)
    user_phone: bool = _setting(False, _flag)
    caller_id: str = _setting("", _text())
    diversion: str = _setting("", _text("a telephone number", _TELEPHONE))
    withhold_caller: bool = _setting(False, _flag)
    privacy: tuple[str, ...] = _setting(("id",), _each(_PRIVACY, "a list", 1))
    from_user: str = _setting("number", _one_of("number", "account"))
    from_domain: str = _setting("", _host_and_port)
    codecs: tuple[str, ...] = _setting((), _each(_CODEC, "a list of codecs"))
    ptime: int = _setting(20, _ptime)
    srtp: str = _setting("off", _srtp)
    tls_server_name: str = _setting("", _text("a host name", re.compile(r"[A-Za-z0-9._-]+\Z")))
    tls_ca: str = _setting("", _text())
    tls_certificate: str = _setting("", _text())
    tls_key: str = _setting("", _text())

    def __repr__(self) -> str:
        return f"Trunk({self.name!r}, {self.domain!r})"


@dataclass(frozen=True, slots=True)
class Recording:
    """Where calls are recorded to, if their click-to-call says so; nowhere without a ``directory``.

    ``notice`` is what both parties hear first: ``beep``, ``none``, or the path of a WAV file. One call's file has
    ``call_mb`` megabytes at most, all of them ``total_mb``, for ``keep_days``.
    """

    directory: str = _setting("", _text())
    notice: str = _setting("beep", _notice)
    call_mb: int = _setting(512, _whole(1, 4000))
    total_mb: int = _setting(20_000, _whole(1, 100_000_000))
    keep_days: int = _setting(30, _whole(1, 36_500))


@dataclass(frozen=True, slots=True)
class Trace:
    """What went over the wire: of how many activations it is kept, and where it is sent besides."""

    calls: int = _setting(1000, _whole(0, 1_000_000))
    total_mb: int = _setting(200, _whole(1, 1_000_000))
    rtp_headers: int = _setting(0, _whole(0, 100_000))
    hep: str = _setting("", _text("HOST:PORT", _HOST_PORT))
    hep_agent: int = _setting(2001, _whole(0, 2**32 - 1))


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, and how; ``levels`` are those of single loggers, as ``sipstack=debug``."""

    format: str = _setting("text", _one_of("text", "json"), reload=True)
    level: str = _setting("info", _one_of(*LEVELS), reload=True)
    levels: tuple[str, ...] = _setting(
        (), _each(_text("LOGGER=LEVEL", _LEVEL), "a list of levels"), reload=True
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """Whether ``/metrics`` answers, and whom; ``networks`` empty: everybody."""

    enabled: bool = _setting(True, _flag, reload=True)
    networks: tuple[str, ...] = _setting((), _each(_network, "a list of addresses"), reload=True)


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. ``Config()`` has the defaults."""

    http: Http = Http()
    database: Database = Database()
    sip: Sip = Sip()
    media: Media = Media()
    calling: Calling = Calling()
    guard: Guard = Guard()
    webhooks: Webhooks = Webhooks()
    recording: Recording = Recording()
    trace: Trace = Trace()
    metrics: Metrics = Metrics()
    log: Log = Log()
    trunks: tuple[Trunk, ...] = ()
    #: Where those come from that are not defaults, by their full names, as ``http.listen`` and ``trunk[0].password``.
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False, repr=False)


_SECTIONS: dict[str, type[Any]] = {
    "http": Http,
    "database": Database,
    "sip": Sip,
    "media": Media,
    "calling": Calling,
    "guard": Guard,
    "webhooks": Webhooks,
    "recording": Recording,
    "trace": Trace,
    "metrics": Metrics,
    "log": Log,
}


def load(path: str | None, environ: Mapping[str, str]) -> Config:
    """The configuration: of ``path``, else of ``$C2C_SIP_CONFIG``, else of the usual file, else the defaults.

    ``C2C_SIP_SECTION__KEY`` in ``environ`` overrides a setting, ``C2C_SIP_TRUNK__0__KEY`` one of the first trunk;
    lists are written with commas.

    :raises ConfigError: with every mistake at once.
    """
    named = path or environ.get("C2C_SIP_CONFIG")
    chosen = Path(named or DEFAULT_PATH)
    document: dict[str, Any] = {}
    if named or chosen.exists():
        try:
            document = tomllib.loads(chosen.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([f"{chosen}: cannot be read: {error}"]) from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError([f"{chosen}: not TOML: {error}"]) from error
        except RecursionError as error:
            raise ConfigError([f"{chosen}: not TOML: nested too deeply"]) from error
    problems: list[str] = []
    variables = _override(document, environ, problems)
    config = _read(document, problems)
    if problems:
        raise ConfigError(problems)
    return replace(config, origins=_origins(document, variables, str(chosen)))


def check_setting(name: str, value: Any) -> Any:
    """One setting's value as it is taken, of ``http.listen`` for instance; of any trunk, ``trunk.domain``.

    :raises ConfigError: it is not accepted.
    """
    section, _, key = name.partition(".")
    kind = Trunk if section == "trunk" else _SECTIONS[section]
    (entry,) = (each for each in fields(kind) if each.name == key)
    try:
        return entry.metadata["check"](value)
    except _Wrong as error:
        raise ConfigError([f"{name}: got {value!r}, accepted: {error}"]) from error


def _override(
    document: dict[str, Any], environ: Mapping[str, str], problems: list[str]
) -> dict[str, str]:
    """Put what the environment says over what the file says; the variables, by the full names of what they set."""
    variables: dict[str, str] = {}
    for name in sorted(environ):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in NOT_SETTINGS:
            continue
        keys = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        match keys:
            case [section, key] if isinstance(document.setdefault(section, {}), dict):
                _override_one(document[section], key, environ[name])
                variables[f"{section}.{key}"] = name
            case ["trunk", index, key] if index.isdecimal() and int(index) < 64:
                trunks = document.setdefault("trunk", [])
                if isinstance(trunks, list):
                    while len(trunks) <= int(index):
                        trunks.append({})
                    if isinstance(trunks[int(index)], dict):
                        _override_one(trunks[int(index)], key, environ[name])
                        variables[f"trunk[{int(index)}].{key}"] = name
            case _:
                problems.append(
                    f"{name}: accepted: {ENVIRONMENT_PREFIX}SECTION__KEY or {ENVIRONMENT_PREFIX}TRUNK__NUMBER__KEY"
                )
    return variables


def _override_one(section: dict[str, Any], key: str, value: str) -> None:
    # What the file gives in the other way, KEY or KEY_file, is overridden with it.
    section.pop(key.removesuffix("_file") if key.endswith("_file") else f"{key}_file", None)
    section[key] = value


def _origins(
    document: Mapping[str, Any], variables: Mapping[str, str], path: str
) -> Mapping[str, Origin]:
    """Where each setting of a document comes from in which nothing is wrong."""
    sections = {name: document[name] for name in _SECTIONS if name in document}
    sections |= {f"trunk[{index}]": one for index, one in enumerate(document.get("trunk", []))}
    found: dict[str, Origin] = {}
    for where, given in sections.items():
        known = {entry.name for entry in fields(_SECTIONS.get(where, Trunk))}
        for key, value in given.items():
            if key not in known:
                name = key.removesuffix("_file")
                found[f"{where}.{name}"] = Origin("file", str(value), is_secret=True)
            elif variable := variables.get(f"{where}.{key}"):
                found[f"{where}.{key}"] = Origin("environment", variable)
            else:
                found[f"{where}.{key}"] = Origin("file", path)
    return found


def _read(document: Mapping[str, Any], problems: list[str]) -> Config:
    sections: dict[str, Any] = {}
    for name, given in document.items():
        if name == "trunk":
            continue
        if name not in _SECTIONS:
            known = ", ".join([*_SECTIONS, "trunk"])
            problems.append(f"{name}: unknown section; accepted: {known}")
        elif not isinstance(given, dict):
            problems.append(f"{name}: got {given!r}, accepted: a section [{name}]")
        else:
            sections[name] = _section(name, _SECTIONS[name], given, problems)
    trunks = document.get("trunk", [])
    if not isinstance(trunks, list) or not all(isinstance(trunk, dict) for trunk in trunks):
        problems.append("trunk: accepted: sections [[trunk]]")
        trunks = []
    read = tuple(
        _section(f"trunk[{index}]", Trunk, trunk, problems) for index, trunk in enumerate(trunks)
    )
    names = [trunk.name for trunk in read]
    for index, name in enumerate(names):
        if name and name in names[:index]:
            problems.append(f"trunk[{index}].name: got {name!r}, accepted: a name of its own")
    for index, trunk in enumerate(read):
        if trunk.register and not trunk.username:
            problems.append(
                f"trunk[{index}].username: got '', accepted: the account to register, or register = false"
            )
        if trunk.keepalive_by == "stun" and trunk.transport != "udp":
            problems.append(
                f"trunk[{index}].keepalive_by: got 'stun', accepted: options or crlf where transport is not udp"
            )
    guard = sections.get("guard", Guard())
    if guard.challenge == "captcha" and not guard.captcha_url:
        problems.append("guard.captcha_url: got '', accepted: the URL that verifies a captcha")
    return replace(Config(), **sections, trunks=read)


def _section(where: str, kind: type[Any], given: Mapping[str, Any], problems: list[str]) -> Any:
    known: dict[str, Field[Any]] = {entry.name: entry for entry in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        name = key
        if key.endswith("_file") and key.removesuffix("_file") in known:
            name = key.removesuffix("_file")
            if name in given:
                problems.append(f"{where}.{key}: got {name} too, accepted: one of the two")
                continue
            try:
                value = Path(str(value)).read_text("utf-8").rstrip("\r\n")
            except (OSError, ValueError) as error:
                problems.append(f"{where}.{key}: got {value!r}, which cannot be read: {error}")
                continue
        if name not in known:
            accepted = ", ".join(known)
            problems.append(f"{where}.{key}: unknown setting; accepted: {accepted}")
            continue
        try:
            values[name] = known[name].metadata["check"](value)
        except _Wrong as error:
            # What may be a secret is not repeated: neither one by its nature nor one that came from a file of its own.
            secret = known[name].metadata["secret"] or name != key
            shown = "..." if secret else repr(value)
            problems.append(f"{where}.{key}: got {shown}, accepted: {error}")
    if kind is Trunk:
        for name in ("name", "domain"):
            if name not in given:
                problems.append(f"{where}.{name}: missing")
    return kind(**values)


__all__ = [
    "AUTO",
    "Calling",
    "Config",
    "ConfigError",
    "Database",
    "Guard",
    "Http",
    "Media",
    "Sip",
    "Trunk",
    "check_setting",
    "load",
]
