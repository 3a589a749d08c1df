"""The settings: a section is a dataclass, a setting a field of it with its default and the check of its value.

Nothing else lists them but ``conf/c2c_sip.toml``, which a test compares with this.
"""

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from typing import Any, Literal

from c2c_sip.calling.numbering import REFUSED_KINDS
from c2c_sip.config import checks
from c2c_sip.config.checks import AUTO, LEVELS, Check
from sipstack.keepalive import Means


def setting(default: Any, check: Check, *, secret: bool = False, reload: bool = False) -> Any:
    """``secret``: never shown. ``reload``: a change is heeded on SIGHUP, without a restart."""
    return field(default=default, metadata={"check": check, "secret": secret, "reload": reload})


def accepted(entry: Field[Any]) -> str:
    """What a setting accepts, as somebody is told who gives it something else; empty: whatever can be written."""
    check = entry.metadata["check"]
    try:
        check(object())
    except checks.Wrong as error:
        return str(error)
    return ""


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

    listen: str = setting("127.0.0.1:8000", checks.listen)
    threads: int = setting(8, checks.whole(1, 256))
    allowed_origins: tuple[str, ...] = setting(
        (),
        checks.each(
            checks.required("https://HOST, https://HOST:PORT or *", checks.ORIGIN),
            "a list of origins",
        ),
        reload=True,
    )
    trusted_proxies: tuple[str, ...] = setting(
        (), checks.each(checks.network, "a list of addresses")
    )
    max_upload: int = setting(4_000_000, checks.whole(64_000, 64_000_000))


@dataclass(frozen=True, slots=True)
class Database:
    """Where the records are kept."""

    url: str = setting(
        "sqlite:///c2c.db",
        checks.database_url,
        secret=True,
    )
    media_directory: str = setting("", checks.text())
    media_quota: int = setting(256_000_000, checks.whole(64_000, 999_999_999))
    legs_file: str = setting("", checks.text())
    node: str = setting(
        "", checks.text("text of at most 200 characters", re.compile(r".{1,200}\Z"))
    )

    def __repr__(self) -> str:
        return f"Database({self.url.partition(':')[0]!r})"


@dataclass(frozen=True, slots=True)
class Sip:
    """The signalling side."""

    listen: tuple[str, ...] = setting(("udp:0.0.0.0:5060",), checks.sip_listens)
    public_address: str = setting("", checks.own_address)
    user_agent: str = setting("c2c-sip", checks.text())
    nameservers: tuple[str, ...] = setting(
        (), checks.each(checks.nameserver, "a list of name servers")
    )
    session_expires: int = setting(1800, checks.zero_or(90, 86400))
    tls_certificate: str = setting("", checks.text())
    tls_key: str = setting("", checks.text())
    tls_ca: str = setting("", checks.text())


@dataclass(frozen=True, slots=True)
class Media:
    """The RTP side; ``timeout`` in seconds of silence before a peer is asked whether it is still there."""

    address: str = setting("", checks.own_address)
    ports: tuple[int, int] = setting((20000, 29999), checks.port_range)
    codecs: tuple[str, ...] = setting(
        ("PCMU", "PCMA"), checks.each(checks.codec, "a list of codecs", 1)
    )
    workers: int = setting(0, checks.whole(0, 64))
    realtime: bool = setting(True, checks.flag)
    one_processor: bool = setting(True, checks.flag)
    timeout: int = setting(30, checks.whole(5, 3600), reload=True)
    ringback: str = setting("us", checks.sound, reload=True)
    srtp: str = setting("off", checks.srtp)


@dataclass(frozen=True, slots=True)
class Calling:
    """Limits of calls; times in seconds."""

    extension_timeout: int = setting(30, checks.whole(1, 600), reload=True)
    contact_timeout: int = setting(60, checks.whole(1, 600), reload=True)
    max_duration: int = setting(14400, checks.whole(1, 604800), reload=True)
    max_calls: int = setting(0, checks.whole(0, 100000), reload=True)
    default_region: str = setting("US", checks.region)
    busy_tone: int = setting(3, checks.whole(0, 60), reload=True)
    confirm_timeout: int = setting(15, checks.whole(3, 120), reload=True)


@dataclass(frozen=True, slots=True)
class Webhooks:
    """Who is told of calls; ``networks`` are those that may be told although they are not public."""

    networks: tuple[str, ...] = setting((), checks.each(checks.network, "a list of addresses"))


@dataclass(frozen=True, slots=True)
class Guard:
    """What the service does for whom.

    ``per_…`` are unauthenticated activations in an hour: 0 for no limit, ``auto`` for what is built in.
    """

    countries: tuple[str, ...] = setting(
        (), checks.each(checks.country, "a list of countries"), reload=True
    )
    number_kinds: tuple[str, ...] = setting(
        (), checks.each(checks.one_of(*REFUSED_KINDS), "a list of kinds"), reload=True
    )
    sip_hosts: tuple[str, ...] = setting(
        (),
        checks.each(
            checks.required("a host name", re.compile(rf"{checks.HOST}\Z")), "a list of hosts"
        ),
        reload=True,
    )
    networks: tuple[str, ...] = setting((), checks.each(checks.network, "a list of addresses"))
    connect_by_get: bool = setting(True, checks.flag, reload=True)
    per_address: int | str = setting(AUTO, checks.limit, reload=True)
    per_contact: int | str = setting(AUTO, checks.limit, reload=True)
    per_clicktocall: int | str = setting(AUTO, checks.limit, reload=True)
    per_account: int | str = setting(AUTO, checks.limit, reload=True)
    per_service: int | str = setting(AUTO, checks.limit, reload=True)
    daily_minutes: int = setting(0, checks.whole(0, 10_000_000), reload=True)
    challenge: str = setting("none", checks.one_of("none", "proof_of_work", "captcha"))
    proof_of_work_bits: int = setting(18, checks.whole(8, 32), reload=True)
    captcha_url: str = setting("", checks.text("https://…", re.compile(r"https?://[^\s]+\Z")))
    captcha_secret: str = setting("", checks.text(), secret=True)

    def __repr__(self) -> str:
        return "Guard(...)"


@dataclass(frozen=True, slots=True)
class Trunk:
    """One provider or PBX that calls go through."""

    name: str = setting(
        "", checks.required("a name of letters, digits, - and _", re.compile(r"[\w-]{1,64}\Z"))
    )
    domain: str = setting("", checks.domain)
    transport: str = setting("udp", checks.one_of("udp", "tcp", "tls"))
    register: bool = setting(True, checks.flag)
    username: str = setting("", checks.text())
    auth_username: str = setting("", checks.text())
    password: str = setting("", checks.text(), secret=True)
    realms: tuple[str, ...] = setting((), checks.each(checks.text(), "a list of realms"))
    contact_user: str = setting("", checks.text())
    outbound_proxy: str = setting("", checks.proxy)
    expires: int = setting(1800, checks.whole(60, 86400))
    keepalive: int = setting(0, checks.zero_or(5, 3600))
    keepalive_by: Means = setting("options", checks.one_of("options", "stun", "crlf"))
    outbound: bool = setting(False, checks.flag)
    number_format: str = setting("+e164", checks.number_format)
    number_prefix: str = setting("", checks.text("digits, *, # and +", re.compile(r"[0-9*#+]+\Z")))
    identity: tuple[str, ...] = setting(
        ("from",),
        checks.each(checks.one_of("from", "from-display", "pai", "ppi", "rpid"), "a list", 1),
    )
    identity_format: str = setting("+e164", checks.number_format)
    region: str = setting("", checks.region_or_none)
    user_phone: bool = setting(False, checks.flag)
    caller_id: str = setting("", checks.text())
    diversion: str = setting("", checks.text("a telephone number", checks.TELEPHONE))
    withhold_caller: bool = setting(False, checks.flag)
    privacy: tuple[str, ...] = setting(("id",), checks.each(checks.privacy, "a list", 1))
    from_user: str = setting("number", checks.one_of("number", "account"))
    from_domain: str = setting("", checks.host_and_port)
    codecs: tuple[str, ...] = setting((), checks.each(checks.codec, "a list of codecs"))
    ptime: int = setting(20, checks.ptime)
    srtp: str = setting("off", checks.srtp)
    tls_server_name: str = setting("", checks.text("a host name", re.compile(r"[A-Za-z0-9._-]+\Z")))
    tls_ca: str = setting("", checks.text())
    tls_certificate: str = setting("", checks.text())
    tls_key: str = setting("", checks.text())

    def __repr__(self) -> str:
        return f"Trunk({self.name!r}, {self.domain!r})"


@dataclass(frozen=True, slots=True)
class Recording:
    """Where calls are recorded to, if their click-to-call says so; nowhere without a ``directory``.

    ``notice`` is what both parties hear first: ``beep``, ``none``, or the path of a WAV file. One call's file has
    ``call_mb`` megabytes at most, all of them ``total_mb``, for ``keep_days``.
    """

    directory: str = setting("", checks.text())
    notice: str = setting("beep", checks.notice)
    call_mb: int = setting(512, checks.whole(1, 4000))
    total_mb: int = setting(20_000, checks.whole(1, 100_000_000))
    keep_days: int = setting(30, checks.whole(1, 36_500))


@dataclass(frozen=True, slots=True)
class Trace:
    """What went over the wire: of how many activations it is kept, and where it is sent besides."""

    calls: int = setting(1000, checks.whole(0, 1_000_000))
    total_mb: int = setting(200, checks.whole(1, 1_000_000))
    rtp_headers: int = setting(0, checks.whole(0, 100_000))
    hep: str = setting("", checks.text("HOST:PORT", checks.HOST_PORT))
    hep_agent: int = setting(2001, checks.whole(0, 2**32 - 1))


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, and how; ``levels`` are those of single loggers, as ``sipstack=debug``."""

    format: str = setting("text", checks.one_of("text", "json"), reload=True)
    level: str = setting("info", checks.one_of(*LEVELS), reload=True)
    levels: tuple[str, ...] = setting(
        (),
        checks.each(checks.required("LOGGER=LEVEL", checks.LEVEL), "a list of levels"),
        reload=True,
    )


@dataclass(frozen=True, slots=True)
class Metrics:
    """Whether ``/metrics`` answers, and whom; ``networks`` empty: everybody."""

    enabled: bool = setting(True, checks.flag, reload=True)
    networks: tuple[str, ...] = setting(
        (), checks.each(checks.network, "a list of addresses"), reload=True
    )


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


SECTIONS: dict[str, type[Any]] = {
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
