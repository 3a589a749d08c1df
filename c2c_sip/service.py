"""The service: the only place that builds the parts and joins them."""

import contextlib
import ipaddress
import logging
import os
import random
import resource
import secrets
import socket
import sys
import time
import uuid
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import peewee as pw

from c2c_sip import __version__
from c2c_sip.api import create_app
from c2c_sip.api.media import is_upload
from c2c_sip.api.server import HttpServer
from c2c_sip.api.traffic import Traffic
from c2c_sip.calling.address import is_forbidden
from c2c_sip.calling.diagnosis import cut_off
from c2c_sip.calling.door import Calling
from c2c_sip.calling.engine import Engine, Presence, knows_more, own_servers
from c2c_sip.calling.guard import networks_of
from c2c_sip.calling.notices import LAST, Notices, facts_of
from c2c_sip.calling.recording import Tape
from c2c_sip.calling.routing import escape_user
from c2c_sip.calling.tracing import Epoch, Tracing
from c2c_sip.calling.trunks import Trunks
from c2c_sip.captcha import Captcha
from c2c_sip.config import Config, Origin, Trunk
from c2c_sip.delivery import Delivery
from c2c_sip.doubts import doubts_of
from c2c_sip.metrics import Metrics, Reading
from c2c_sip.outgoing import post
from c2c_sip.reloading import Reload, reload
from c2c_sip.store import Store, claim
from c2c_sip.store.row import Row
from c2c_sip.store.standing import Standing, as_text, path_of
from c2c_sip.store.store import CUT_OFF
from c2c_sip.store.writer import Change
from sipstack.account import Account, proxy_uri
from sipstack.digest import Credentials
from sipstack.entropy import Entropy
from sipstack.hep import Exporter
from sipstack.media import MediaPlane, Source, wav
from sipstack.media.recording import Recorder
from sipstack.media.tones import BEEP, Playback
from sipstack.message import Uri
from sipstack.resolver import DnsLookup, Resolver, kinds_of
from sipstack.trace import Trace
from sipstack.transport import Transport
from sipstack.transport.own import is_own
from sipstack.transport.stream import StreamTransport
from sipstack.transport.tls import client_context, server_context
from sipstack.transport.udp import UdpTransport
from sipstack.useragent import UserAgent

if TYPE_CHECKING:
    from c2c_sip.lab import Lab
    from c2c_sip.lab.script import LabScript

log = logging.getLogger(__name__)

#: Open files that the service asks the system for: a call has six sockets.
MOST_DESCRIPTORS = 65536
#: Seconds that one thread may keep the interpreter while the relay's thread waits for it. With Python's own 5 ms, RTP
#: would be late by as much whenever the API works on something.
SWITCH_INTERVAL = 0.0005
#: Seconds beyond the longest call after which what another node has left open is nobody's.
FORGOTTEN = 3600.0


class Service:
    """The running program. ``lab`` adds the built-in trunk and its phones, and those of ``script``."""

    def __init__(
        self, config: Config, lab: bool = False, script: "LabScript | None" = None
    ) -> None:
        self.config = config
        #: The same as it was given, without what the lab adds.
        self._given = config
        self.store: Store
        self.calling: Calling
        #: What went over the wire, by Call-ID.
        self.trace = Trace()
        #: Where HTTP requests are accepted, once started.
        self.url = ""
        self.lab: Lab | None = None
        if lab:
            # Only here: pyVoIP is of no use to a service without the lab, and takes memory.
            from c2c_sip import lab as built_in

            self.lab = built_in.Lab(script=script)
        self._standing = Standing("")
        self._engine: Engine
        self._tracing: Tracing
        self._recorder: Recorder | None = None
        self._delivery: Delivery
        self._trunks: Trunks
        self._traffic = Traffic()
        self._exporter: Exporter | None = None
        self._http: HttpServer
        self._let_go: Callable[[], None]

    def start(self) -> None:
        """Open the database, bind all sockets and serve.

        :raises OSError: an address is taken.
        :raises c2c_sip.store.StoreError: the database cannot be used, or another service uses it.
        """
        _allow_descriptors()
        database = self.config.database
        # Before anything is taken for what a crash has left: it may be another's that is at work.
        self._let_go = claim(database.url)
        try:
            self._start()
        except BaseException:
            self._let_go()
            raise

    def _start(self) -> None:
        database = self.config.database
        _see_whether_free(self.config.http.listen)
        if address := self.config.media.address:
            _see_whether_ours("media.address", address)
        self.store = Store.open(database.url, database.media_directory, node_of(self.config))
        # What another node has left open for longer than any call lasts is over, whatever became of that node.
        before = time.time() - self.config.calling.max_duration - FORGOTTEN
        try:
            left_up = self._left_up(before)
            left_open = self.store.close_open_activations(
                time.time(),
                self._cut_off,
                lambda row: cut_off(row["state"], row["result"] == "success").text,
                before,
            )
            if left_open:
                log.warning("%d activations were cut off when the service last ended", left_open)
            if self.lab is not None:
                self._add_lab(self.lab.start())
            self._start_engine(left_up)
            try:
                self._start_http()
            except BaseException:
                self._engine.stop(0.0)
                raise
        except BaseException:
            if self.lab is not None:
                self.lab.stop()
            self._standing.close()
            self.store.close()
            raise

    def _left_up(self, before: float) -> list[dict[str, Any]]:
        """What it takes to end the legs that a crash has left up; kept until they are over."""
        url, chosen = self.config.database.url, self.config.database.legs_file
        self._standing = Standing(path_of(url, chosen, os.environ))
        left = dict(self._standing.left)
        for dumped in self.store.open_dialogs(before):
            call_id = dumped["call_id"]
            if call_id not in left or knows_more(dumped, left[call_id]):
                left[call_id] = dumped
                self._standing.keep(call_id, as_text(dumped))
        return list(left.values())

    def _cut_off(self, row: Row) -> tuple[Change, ...]:
        """What webhooks are told of an activation that a crash has ended."""
        notices = Notices(
            self.store.webhooks.enabled(row["account_id"]),
            facts_of(row),
            lambda: secrets.token_hex(16),
            time.time,
        )
        known = {
            "result": row["result"] or "error",
            "cause": row["cause"] or CUT_OFF,
            "explanation": row["explanation"],
        }
        return notices.of("ended", known, LAST)

    def _add_lab(self, trunk: Trunk) -> None:
        config = self.config
        # Its phones are on this machine, and may be called directly too.
        guard = replace(config.guard, networks=(*config.guard.networks, "127.0.0.0/8"))
        origins = {
            f"trunk[{len(config.trunks)}].{entry.name}": Origin("default", "--lab")
            for entry in fields(Trunk)
        }
        self.config = replace(
            config,
            trunks=(*config.trunks, trunk),
            guard=guard,
            origins={**config.origins, **origins},
        )

    def _start_engine(self, left_up: list[dict[str, Any]]) -> None:
        config = self.config
        rng = Entropy()
        accounts = {trunk.name: account_of(trunk, rng) for trunk in config.trunks}
        inner = networks_of(config)

        if config.trace.hep:
            self._exporter = Exporter(nameserver(config.trace.hep), config.trace.hep_agent, Epoch())
            self.trace.watcher = self._exporter.send

        async def build(loop: AbstractEventLoop) -> UserAgent:
            transports = await bind(config, loop)
            return UserAgent(
                transports,
                loop=loop,
                rng=rng,
                name=config.sip.user_agent,
                public_address=config.sip.public_address,
                trace=self.trace,
                resolver=Resolver(
                    DnsLookup([nameserver(text) for text in config.sip.nameservers]),
                    transports={transport.name for transport in transports},
                    kinds=kinds_of(transport.local_address[0] for transport in transports),
                    rng=rng,
                ),
                refuse_invite=own_servers(list(accounts.values())),
                accounts=list(accounts.values()),
            )

        if self.lab is None:
            for doubt in doubts_of(config):
                log.warning("%s: %s", doubt.text, doubt.remedy)
        if not config.media.workers:
            sys.setswitchinterval(SWITCH_INTERVAL)
        media = MediaPlane(
            ports=config.media.ports, workers=config.media.workers, first=config.media.realtime
        )
        self._engine = Engine(
            build,
            media,
            accounts=[
                Presence(
                    accounts[trunk.name],
                    trunk.expires if trunk.register else None,
                    trunk.keepalive,
                    trunk.keepalive_by,
                    _instance(trunk) if trunk.outbound else "",
                )
                for trunk in config.trunks
            ],
            session_interval=config.sip.session_expires,
            left_up=left_up,
            keeper=self._standing,
            accepted=lambda host: not is_forbidden(host, inner),
            media_address=config.media.address,
            rng=rng,
        )
        self._engine.start()
        self._recorder = recorder_of(config)
        if self._recorder is not None:
            self._recorder.start()
        captcha = Captcha(config.guard.captcha_url, config.guard.captcha_secret)
        self._tracing = Tracing(
            self.trace,
            self.store.traces,
            most=config.trace.calls,
            room=config.trace.total_mb * 1_000_000,
            heads=config.trace.rtp_headers,
            later=self._engine.later,
            offset=Epoch(),
        )
        networks = config.webhooks.networks
        allowed = [ipaddress.ip_network(text) for text in networks]

        def own(address: str) -> bool:
            return is_own(address) or address == config.sip.public_address

        self._delivery = Delivery(
            self.store.webhooks,
            lambda url, body, headers: post(url, body, headers, allowed, own=own),
        )
        self._delivery.start()
        self.calling = Calling(
            config,
            self.store,
            self._engine,
            accounts,
            self._tracing,
            verify_captcha=captcha.verify,
            told=self._delivery.news,
            tape=Tape(self._recorder, notice_of(config.recording.notice))
            if self._recorder is not None
            else None,
        )
        self.calling.prepare()

    def _reading(self) -> Reading:
        """What ``/metrics`` tells now."""
        engine, store = self._engine, self.store
        media = engine.media
        return Reading(
            calls=self.calling.tally,
            states=self.calling.states(),
            trunks=self._trunks.shown(),
            sip=engine.agent.tally,
            transactions=engine.agent.transactions_by_side,
            media=media.totals(),
            ports_used=media.ports_in_use,
            ports_free=media.capacity - media.ports_in_use,
            queues={
                "calls": engine.waiting,
                "writes": store.waiting,
                "requests": self._http.waiting,
                **self._webhooks_waiting(),
            },
            connections=self._http.connections,
            traffic=self._traffic,
        )

    def _webhooks_waiting(self) -> dict[str, int]:
        try:
            return {"webhooks": self.store.webhooks.length()}
        except pw.PeeweeException as error:
            # The other figures are what is wanted most while it is away.
            log.error("database: %s", error)
            return {}

    def _start_http(self) -> None:
        http = self.config.http
        self._trunks = Trunks(self.config.trunks, self._engine, self.calling.calls_by_trunk)
        app = create_app(
            store=self.store,
            calling=self.calling,
            config=self.config,
            version=__version__,
            node=socket.gethostname(),
            recorder=self._recorder,
            trunks=self._trunks.shown,
            traffic=self._traffic,
            metrics=Metrics(self._reading).exposition,
            current=lambda: self.config,
        )
        self._http = HttpServer(
            app,
            http.listen,
            http.threads,
            http.max_upload,
            is_upload,
            http.trusted_proxies,
        )
        self.url = self._http.url
        self._http.start()

    def welcome(self) -> list[str]:
        """What somebody who has just started the service may want to know."""
        found = self.lab.welcome() if self.lab is not None else []
        if not self.store.accounts():
            found.append(
                "there is no account yet, without which nothing can be asked for: c2c-sip init"
            )
        return found

    def reload(self, read: Config) -> Reload:
        """Heed settings that were read again, as far as that goes without a restart; what came of it.

        :raises OSError: the audio that they name cannot be read; nothing has changed.
        :raises WavError: nor played.
        """
        found = reload(self._given, read)
        running = reload(self.config, found.config).config
        self.calling.reconfigure(running)
        self.config, self._given = running, found.config
        return found

    def stop(self, timeout: float = 8.0) -> None:
        """Refuse new calls, hang up the live ones, write everything down and let go of all sockets.

        ``timeout`` in seconds bounds the wait for peers that do not answer.
        """
        end = time.monotonic() + timeout
        self.calling.stop(timeout / 2)
        self._http.stop()
        self._engine.stop(max(0.5, min(4.0, end - time.monotonic() - 2.0)))
        self._tracing.close()
        self._delivery.stop()
        if self._recorder is not None:
            self._recorder.close()
        if self._exporter is not None:
            self._exporter.close()
        if self.lab is not None:
            self.lab.stop()
        self._standing.close()
        self.store.close(tidy=True)
        self._let_go()


def _see_whether_free(listen: str) -> None:
    """See whether ``http.listen`` can be bound, as the service does once all else is there.

    :raises OSError: it cannot; the message names the setting.
    """
    host, _, port = listen.rpartition(":")
    with _told_of("http.listen", listen):
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, form, protocol, _, address = found[0]
        with socket.socket(family, form, protocol) as one:
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(address)


def _see_whether_ours(setting: str, address: str) -> None:
    """See whether audio can be received at an address; that it cannot would else be known with the first call.

    :raises OSError: it cannot; the message names the setting.
    """
    with _told_of(setting, address):
        found = socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
        family, form, protocol, _, bound = found[0]
        with socket.socket(family, form, protocol) as one:
            one.bind(bound)


@contextlib.contextmanager
def _told_of(setting: str, value: str) -> Iterator[None]:
    """Let an error of the system say which setting it is about."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{setting}: {value}: {error.strerror or error}") from error


def node_of(config: Config) -> str:
    """What a service is called among several on one database; the same after each start."""
    return config.database.node or f"{socket.gethostname()} {config.http.listen}"


def _allow_descriptors() -> None:
    """Take as many open files as we may have: the usual limit of 1,024 is reached with 170 calls."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, MOST_DESCRIPTORS)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def recorder_of(config: Config) -> Recorder | None:
    """Who records calls, where the settings name a directory.

    :raises OSError: it cannot be used.
    """
    recording = config.recording
    if not recording.directory:
        return None
    return Recorder(
        recording.directory,
        most_bytes=recording.call_mb * 1_000_000,
        most_total=recording.total_mb * 1_000_000,
        keep=recording.keep_days * 86400.0,
    )


def notice_of(text: str) -> Source | None:
    """What both parties hear before they are recorded."""
    if text == "none":
        return None
    return BEEP if text == "beep" else Playback(wav.load(text))


def _domain(trunk: Trunk) -> Uri:
    return Uri.parse(f"sip:{trunk.domain}")


def account_of(trunk: Trunk, rng: random.Random) -> Account:
    """The account that the settings of a trunk describe."""
    credentials = None
    if trunk.password:
        credentials = Credentials(trunk.auth_username or trunk.username, trunk.password)
    proxy = trunk.outbound_proxy
    return Account(
        name=trunk.name,
        domain=_domain(trunk),
        username=escape_user(trunk.username),
        contact_user=escape_user(trunk.contact_user),
        credentials=credentials,
        outbound_proxy=proxy_uri(proxy) if proxy else None,
        transport=trunk.transport.upper(),
        server_name=trunk.tls_server_name,
        make_cnonce=lambda: f"{rng.getrandbits(64):016x}",
        realms=trunk.realms,
    )


def _instance(trunk: Trunk) -> str:
    """The URN of this machine at a trunk, the same after each start (:rfc:`5626` §4.1)."""
    name = f"{socket.gethostname()}/{trunk.name}/{trunk.username}@{trunk.domain}"
    return uuid.uuid5(uuid.NAMESPACE_URL, name).urn


async def bind(config: Config, loop: AbstractEventLoop) -> list[Transport]:
    """The transports of ``sip.listen``, and on a free port those that only the trunks ask for.

    Whoever takes datagrams takes connections at the same port (:rfc:`3261` §18.2.1), or where that is somebody else's
    at another one: by them goes what is too large for a datagram.

    :raises OSError: an address is taken, or a certificate cannot be used.
    """
    wanted = [_listening(text) for text in config.sip.listen]
    host = wanted[0][1]
    kinds = {kind for kind, _, _ in wanted}
    # Connections are taken beside datagrams anyway.
    beside = {"tcp"} if "udp" in kinds else set()
    for kind in sorted({trunk.transport for trunk in config.trunks} - kinds - beside):
        wanted.append((kind, host, 0))
    bound: list[Transport] = []
    try:
        for kind, address, port in wanted:
            tls = _tls(config) if kind == "tls" else {}
            literal = f"[{address}]" if ":" in address else address
            with _told_of("sip.listen", f"{kind}:{literal}:{port}"):
                if kind == "udp":
                    bound.append(UdpTransport(address, port, loop))
                else:
                    bound.append(await _listening_stream(address, port, loop, **tls))
        families = {":" in one.local_address[0] for one in bound if one.name == "TCP"}
        for address, port in [one.local_address for one in bound if one.name == "UDP"]:
            if (":" in address) not in families:
                families.add(":" in address)
                bound.append(await _beside(address, port, loop))
    except OSError:
        for transport in bound:
            transport.close()
        raise
    return bound


async def _beside(host: str, port: int, loop: AbstractEventLoop) -> StreamTransport:
    try:
        return await _listening_stream(host, port, loop)
    except OSError as error:
        log.warning("no TCP at port %d, a free one is taken: %s", port, error)
        return await _listening_stream(host, 0, loop)


async def _listening_stream(
    host: str, port: int, loop: AbstractEventLoop, **tls: Any
) -> StreamTransport:
    stream = StreamTransport(host, port, loop, **tls)
    await stream.listen()
    return stream


def _tls(config: Config) -> dict[str, Any]:
    """What a :class:`StreamTransport` has to know for TLS. Without a certificate of our own it only calls out."""
    sip = config.sip
    own = sip.tls_certificate, sip.tls_key

    def shown(trunk: Trunk) -> tuple[str, str]:
        return (trunk.tls_certificate, trunk.tls_key) if trunk.tls_certificate else own

    return {
        "tls": client_context(sip.tls_ca, *own),
        "server_tls": server_context(*own) if sip.tls_certificate else None,
        "tls_by_name": {
            # Of one name there is one context: other files for it are refused with the configuration.
            trunk.tls_server_name or _domain(trunk).host: client_context(
                trunk.tls_ca or sip.tls_ca, *shown(trunk)
            )
            for trunk in config.trunks
            if trunk.transport == "tls" and (trunk.tls_ca or trunk.tls_certificate)
        },
    }


def nameserver(text: str) -> tuple[str, int]:
    """(IP literal, port) of one of ``sip.nameservers``, or of a host and port written as they are."""
    host, port = text, "53"
    if not text.endswith("]") and ":" in text:
        host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _listening(text: str) -> tuple[str, str, int]:
    """(transport, host, port) of a ``sip.listen`` entry, ``udp:ADDRESS:PORT``."""
    kind, _, address = text.partition(":")
    host, _, port = address.rpartition(":")
    return kind, host.strip("[]"), int(port)
