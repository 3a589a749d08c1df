"""A phone: all layers put together, for whoever wants to make and take calls without putting them together.

It runs on the asyncio loop that it was started on; the audio has a thread of its own.
"""

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sipstack.account import Account, proxy_uri
from sipstack.call import Outbound, OutgoingCall
from sipstack.digest import Credentials
from sipstack.entropy import Entropy
from sipstack.events import Answered, EarlyMedia, Ended, Event, Failed, Info, Ringing
from sipstack.incoming import IncomingCall
from sipstack.media import LegCounters, MediaLeg, MediaPlane, NoPortsLeft, Source
from sipstack.media.dtmf import from_info
from sipstack.media.plane import Tap
from sipstack.message import REASONS, NameAddr, ParseError, Request, Uri
from sipstack.registration import Registration
from sipstack.resolver import Target
from sipstack.sdes import Mode
from sipstack.sdp import Codec, LocalMedia, RemoteMedia, codec_list
from sipstack.trace import Trace
from sipstack.transport import Address, Transport
from sipstack.transport.stream import StreamTransport
from sipstack.transport.tls import client_context, server_context
from sipstack.transport.udp import UdpTransport
from sipstack.useragent import UserAgent

log = logging.getLogger(__name__)

#: Where the ports for RTP are where the caller names none, and how many of them there are.
PORTS, PORT_COUNT = (30000, 59999), 4000
#: Seconds that a registrar has to answer the first REGISTER, and that calls have to end when the phone is closed.
PATIENCE, FAREWELL = 35.0, 2.0
#: Events of one call that are kept: a peer may send re-INVITEs without end.
MOST_EVENTS = 1000
MOST_KEYS = 1000
_LISTEN = re.compile(r"(udp|tcp|tls):(\[[0-9A-Fa-f:.]+\]|[0-9.]+):([0-9]{1,5})\Z")
_PLAIN_IN_USER = "-_.!~*'()&=+$,;?/"


class RegistrationFailed(Exception):
    """The registrar does not have us; the text says why."""


class CallFailed(Exception):
    """A call was not answered. ``status`` is that of SIP, 408 or 503 where no answer came."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(f"{failed.status} {failed.reason}")
        self.status = failed.status
        self.reason = failed.reason


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: whom to believe (empty: whom the system believes), and our own certificate with its key."""

    authorities: str = ""
    certificate: str = ""
    key: str = ""


def listening(text: str) -> tuple[str, str, int]:
    """(``udp``, ``tcp`` or ``tls``, IP literal, port) of ``udp:127.0.0.1:5060``; port 0 takes a free one.

    :raises ValueError: it is no such thing.
    """
    match = _LISTEN.match(text)
    if match is None or int(match[3]) > 65535:
        raise ValueError("udp:ADDRESS:PORT, tcp:ADDRESS:PORT or tls:ADDRESS:PORT")
    return match[1], match[2].strip("[]"), int(match[3])


def some_ports(rng: random.Random) -> tuple[int, int]:
    """A range of ports for RTP that begins anywhere: all who begin at the same one are in each other's way."""
    first = rng.randrange(PORTS[0], PORTS[1] - PORT_COUNT, 2)
    return first, first + PORT_COUNT - 1


class ListenError(OSError):
    """An address of ours that cannot be bound, and why: ``udp:192.0.2.1:5060: Address already in use``."""


async def open_transport(text: str, tls: Tls = Tls()) -> UdpTransport | StreamTransport:
    """Bind what :func:`listening` reads. TLS without a certificate of our own only calls out.

    :raises ValueError: it is no such thing.
    :raises ListenError: the address is taken, or none of this machine.
    :raises OSError: a file of ``tls`` cannot be used.
    """
    kind, host, port = listening(text)
    loop = asyncio.get_running_loop()
    secured: dict[str, Any] = {}
    if kind == "tls":
        own = tls.certificate, tls.key
        secured["tls"] = client_context(tls.authorities, *own)
        secured["server_tls"] = server_context(*own) if tls.certificate else None
    try:
        if kind == "udp":
            return UdpTransport(host, port, loop)
        stream = StreamTransport(host, port, loop, **secured)
        await stream.listen()
    except OSError as error:
        raise ListenError(f"{text}: {error.strerror or error}") from error
    return stream


class Phone:
    """A phone on one address, with one account or none.

    ``listen`` is as :func:`listening` reads it, ``domain`` the registrar's host, or host and port. Without one it calls
    and is called directly. ``on_call`` is called with each call that comes in, and returns when it has done with it;
    without one, calls are refused with 480. ``media`` is shared with others where it is given.
    """

    def __init__(
        self,
        listen: str = "udp:127.0.0.1:0",
        *,
        user: str = "phone",
        domain: str = "",
        password: str = "",
        auth_user: str = "",
        outbound_proxy: str = "",
        expires: int = 300,
        codecs: Sequence[str] = ("PCMU", "PCMA"),
        srtp: Mode = Mode.OFF,
        tls: Tls = Tls(),
        tls_server_name: str = "",
        ports: tuple[int, int] | None = None,
        media: MediaPlane | None = None,
        on_call: "Callable[[PhoneCall], Awaitable[None]] | None" = None,
        trace: Trace | None = None,
        name: str = "sipstack",
    ) -> None:
        """:raises ParseError: ``domain`` or ``outbound_proxy`` is none."""
        self.user = user
        self.calls: set[PhoneCall] = set()
        self.agent: UserAgent
        self.transport: Transport
        self.account: Account | None = None
        self._listen = listen
        self._tls = tls
        self._codecs = codec_list(codecs)
        self._srtp = srtp
        self._expires = expires
        self._name = name
        self._trace = trace
        self._on_call = on_call
        self._rng = Entropy()
        self._own_media = MediaPlane(ports or some_ports(self._rng)) if media is None else None
        self._media = media or self._own_media
        self._tasks: set[asyncio.Task[None]] = set()
        self._registration: Registration | None = None
        kind = listening(listen)[0]
        self._domain = Uri.parse(f"sip:{domain}") if domain else None
        if self._domain is not None:
            self.account = Account(
                name=user,
                domain=self._domain,
                username=_escaped(user),
                credentials=Credentials(auth_user or user, password) if password else None,
                outbound_proxy=proxy_uri(outbound_proxy) if outbound_proxy else None,
                transport=kind.upper(),
                server_name=tls_server_name,
                make_cnonce=lambda: f"{self._rng.getrandbits(64):016x}",
            )

    async def __aenter__(self) -> "Phone":
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Bind the address.

        :raises ListenError: it is taken, or none of this machine.
        :raises OSError: a file of ``tls`` cannot be used.
        """
        try:
            self.transport = await open_transport(self._listen, self._tls)
        except OSError:
            if self._own_media is not None:
                self._own_media.close()
            raise
        self.agent = UserAgent(
            [self.transport],
            loop=asyncio.get_running_loop(),
            rng=self._rng,
            name=self._name,
            trace=self._trace,
            refuse_invite=lambda source: 480,
            on_invite=self._invited if self._on_call is not None else None,
            accounts=[self.account] if self.account is not None else [],
        )
        if self._own_media is not None:
            self._own_media.start()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.transport.local_address

    @property
    def registered(self) -> bool:
        """Whether the registrar has us, as far as we know."""
        return self._registration is not None and self._registration.registered

    async def register(self, timeout: float = PATIENCE) -> None:
        """Register with the domain, and stay so until :meth:`close`. Waits for the first answer.

        :raises RegistrationFailed: the registrar refused, or did not answer within ``timeout`` seconds.
        """
        if self.account is None:
            raise RegistrationFailed("a phone without a domain has nowhere to register")
        registration = self._registration
        if registration is None:
            registration = self._registration = Registration(
                self.agent, self.account, expires=self._expires, rng=self._rng
            )
            self.agent.server_watchers.append(registration.server_failed)
            self.agent.connection_watchers.append(registration.connection_lost)
            self._keep(registration.run())
        try:
            async with asyncio.timeout(timeout):
                await registration.settled.wait()
        except TimeoutError:
            raise RegistrationFailed(f"no answer within {timeout:g} s") from None
        if not registration.registered:
            raise RegistrationFailed(registration.last_error)

    def prepare(self, source: Source | None) -> None:
        """Have what is to be played made before the call: a second of sound takes some 50 ms."""
        if source is not None and self._media is not None:
            self._media.prepare(source)

    def call(
        self,
        target: str | Uri,
        *,
        headers: Sequence[tuple[str, str]] = (),
        follow: bool = False,
        watch: Callable[[Event], None] = lambda event: None,
    ) -> "PhoneCall":
        """Call a SIP URI, or a user of our domain; ``headers`` are added to the INVITE.

        With ``follow`` it goes to where a redirection leads, else that is how it ends. ``watch`` is told of each event.

        :raises ParseError: ``target`` is no SIP URI.
        """
        uri = self._uri(target)
        call = PhoneCall(self, uri, watch)
        self.calls.add(call)
        outbound = self._outbound(uri)

        def located(targets: Sequence[Target]) -> None:
            call._dial(self._outgoing(call, outbound, targets, headers, follow), targets)

        def lost(why: str) -> None:
            call._happened(Failed(503, why))
            call._finish()

        self.agent.locate(outbound.next_hop, outbound.account, located, lost)
        return call

    async def close(self) -> None:
        """Hang up, un-register, and let go of everything."""
        loop = asyncio.get_running_loop()
        for call in list(self.calls):
            call.hang_up()
        end = loop.time() + FAREWELL
        while self.calls and loop.time() < end:
            await asyncio.sleep(0.02)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._registration is not None:
            await self._registration.close()
        self.agent.close()
        for call in list(self.calls):
            call._finish()
        # The sockets are closed by the loop's next turn.
        await asyncio.sleep(0)
        if self._own_media is not None:
            self._own_media.close()

    # --- inside

    def _uri(self, target: str | Uri) -> Uri:
        if isinstance(target, str) and self._domain is not None and ":" not in target:
            return Uri("sip", _escaped(target), None, self._domain.host, self._domain.port)
        uri = Uri.parse(target) if isinstance(target, str) else target
        if uri.scheme not in ("sip", "sips") or not uri.host:
            raise ParseError(416, "Not a SIP URI")
        return uri

    def _outbound(self, uri: Uri) -> Outbound:
        """Through our account where it is at home there, or where all goes through its proxy; else straight."""
        account, domain = self.account, self._domain
        if account is None or domain is None:
            return Outbound(uri)
        at_home = (uri.host.lower(), uri.port) == (domain.host.lower(), domain.port)
        return Outbound(uri, account if at_home or account.outbound_proxy is not None else None)

    def _outgoing(
        self,
        call: "PhoneCall",
        outbound: Outbound,
        targets: Sequence[Target],
        headers: Sequence[tuple[str, str]],
        follow: bool,
    ) -> OutgoingCall | Failed:
        try:
            host = self.agent.own_host(targets[0])[0]
            media = self._open(call, host, {target.address[0] for target in targets})
        except (OSError, NoPortsLeft) as error:
            return Failed(503, str(error))
        home = self._domain.host if self._domain is not None else host
        return OutgoingCall(
            self.agent,
            outbound,
            media,
            from_=NameAddr("", Uri("sip", _escaped(self.user), None, home), ()),
            call_id=self.agent.token(),
            contact_user=_escaped(self.user),
            headers=headers,
            on_event=call._happened,
            on_media=call._described,
            redirect=lambda uri: self._outbound(uri) if follow else None,
        )

    def _open(self, call: "PhoneCall", host: str, known: set[str]) -> LocalMedia:
        assert self._media is not None
        leg = self._media.open(host, known)
        session = self._rng.getrandbits(48)
        local = LocalMedia(host, leg.rtp_port, self._codecs, session, srtp=self._srtp)
        call._has_media(leg, local)
        return local

    def _invited(self, incoming: IncomingCall, source: Address) -> None:
        call = PhoneCall(self, incoming.invite.to.uri, lambda event: None)
        try:
            host = self.transport.address_towards(source)[0]
            media = self._open(call, host, {source[0]})
        except (OSError, NoPortsLeft) as error:
            log.error("a call is refused, for want of ports: %s", error)
            incoming.reject(503)
            return
        self.calls.add(call)
        incoming.accept(media, on_event=call._happened, on_media=call._described)
        call._came(incoming)
        self._keep(self._take(call))

    async def _take(self, call: "PhoneCall") -> None:
        assert self._on_call is not None
        try:
            await self._on_call(call)
        finally:
            # Whoever took it has done with it.
            call.hang_up()

    def _keep(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the phone %s failed", self.user, exc_info=task.exception())


class PhoneCall:
    """One call of a :class:`Phone`, from the first message to the last.

    ``events`` are what happened to it, each with the loop's time; the last is ``Failed`` or ``Ended``. ``keys`` are those
    that the peer has pressed, by telephone events or INFO.
    """

    def __init__(self, phone: Phone, uri: Uri, watch: Callable[[Event], None]) -> None:
        loop = asyncio.get_running_loop()
        #: The URI that was called.
        self.uri = uri
        self.call_id = ""
        self.began = loop.time()
        self.events: list[tuple[float, Event]] = []
        self.keys = ""
        #: Told of each event, and of each key.
        self.watch = watch
        self.watch_keys: Callable[[str], None] = lambda key: None
        #: How it ended, once it has.
        self.outcome: Failed | Ended | None = None
        #: The INVITE of a call to us.
        self.invite: Request | None = None
        self._phone = phone
        self._loop = loop
        self._call: OutgoingCall | IncomingCall | None = None
        self._leg: MediaLeg | None = None
        self._local: LocalMedia | None = None
        self._counters: LegCounters | None = None
        #: What was asked for before there was anything to do it with.
        self._source: Source | None = None
        self._tap: Tap | None = None
        self._given_up = False
        self._progress = asyncio.Event()
        self._settled = asyncio.Event()
        self._over = asyncio.Event()

    # --- what it is

    @property
    def is_answered(self) -> bool:
        """Whether it was answered, whatever became of it then."""
        return self.time_of(Answered) is not None

    def time_of(self, kind: type[Event]) -> float | None:
        """When the first event of a kind came, on the loop's clock."""
        return next((at for at, event in self.events if isinstance(event, kind)), None)

    @property
    def caller(self) -> Uri | None:
        """Who calls us."""
        return self.invite.from_.uri if self.invite is not None else None

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """What was agreed on, as we receive it."""
        return self._local.receive_codecs if self._local is not None else ()

    def counters(self) -> LegCounters:
        """The figures of its audio so far."""
        if self._counters is not None:
            return self._counters
        return self._leg.counters() if self._leg is not None else LegCounters()

    # --- waiting

    async def ringing(self, timeout: float | None = None) -> bool:
        """Wait until the other side rings or says more; whether it rings.

        :raises TimeoutError: nothing of the kind within so many seconds.
        """
        async with asyncio.timeout(timeout):
            await self._progress.wait()
        return self.time_of(Ringing) is not None

    async def answered(self, timeout: float | None = None) -> None:
        """Wait until it is answered, and our answer acknowledged.

        :raises CallFailed: it was not.
        :raises TimeoutError: neither within so many seconds.
        """
        async with asyncio.timeout(timeout):
            await self._settled.wait()
        if isinstance(self.outcome, Failed):
            raise CallFailed(self.outcome)

    async def ended(self, timeout: float | None = None) -> Failed | Ended:
        """Wait until it is over, and the last request answered.

        :raises TimeoutError: not within so many seconds.
        """
        async with asyncio.timeout(timeout):
            await self._over.wait()
            if self._call is not None:
                await self._call.finished()
        assert self.outcome is not None
        return self.outcome

    async def ends_within(self, seconds: float) -> bool:
        """Wait so long; whether it was over before."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._over.wait()
        except TimeoutError:
            return False
        return True

    # --- what to do with one that came in

    def ring(self, status: int = 180, early_media: bool = False) -> None:
        """Send a provisional response; with ``early_media`` what is played is heard from then on."""
        if isinstance(self._call, IncomingCall):
            self._call.ring(status, early_media)

    def answer(self) -> None:
        """Send 200."""
        if isinstance(self._call, IncomingCall):
            self._call.answer()

    def reject(
        self, status: int, reason: str | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Refuse it, or redirect it with a 3xx and a Contact among ``headers``."""
        if isinstance(self._call, IncomingCall):
            self._call.reject(status, reason, headers)

    # --- what to do with any

    def play(self, source: Source | None) -> None:
        """Play to the peer, as soon as it is known where it is; ``None`` ends it."""
        self._source = source
        if self._leg is not None and self._counters is None:
            self._leg.play(source)

    def press(self, keys: str) -> None:
        """Send keys as telephone events (:rfc:`4733`), if the peer takes them."""
        if self._leg is not None and self._counters is None:
            self._leg.press(keys)

    def echo(self) -> None:
        """Send back to the peer what it sends."""
        if self._leg is not None and self._counters is None:
            self._leg.echo()

    def lose(self, share: float) -> None:
        """Drop this share of the RTP, 0 to 1, both ways."""
        if self._leg is not None and self._counters is None:
            self._leg.lose(share)

    def tap(self, tap: Tap | None) -> None:
        """Have the peer's audio given to ``tap``, in the thread of the audio."""
        self._tap = tap
        if self._leg is not None and self._counters is None:
            self._leg.tap(tap)

    def hold(self, direction: str = "sendonly") -> None:
        """Hold an answered call by re-INVITE: ``sendonly``, or ``inactive``."""
        session = self._call.session if self._call is not None else None
        if session is not None:
            session.offer(direction)

    def resume(self) -> None:
        """Take it back from hold."""
        self.hold("sendrecv")

    def hang_up(self, reason: str = "") -> None:
        """End it in whatever state it is; ``reason`` is the value of a Reason header (:rfc:`3326`)."""
        self._given_up = True
        if self._call is not None and self.outcome is None:
            self._call.hang_up(reason)

    # --- what the phone and the call tell it

    def _has_media(self, leg: MediaLeg, local: LocalMedia) -> None:
        self._leg, self._local = leg, local

        def pressed(key: str) -> None:
            self._loop.call_soon_threadsafe(self._pressed, key)

        leg.on_key = pressed
        if self._source is not None:
            leg.play(self._source)
        if self._tap is not None:
            leg.tap(self._tap)

    def _came(self, incoming: IncomingCall) -> None:
        self._call, self.invite, self.call_id = incoming, incoming.invite, incoming.call_id
        self._watch_end()

    def _dial(self, call: OutgoingCall | Failed, targets: Sequence[Target]) -> None:
        if self._given_up:
            call = Failed(487, REASONS[487])
        if isinstance(call, Failed):
            self._happened(call)
            self._finish()
            return
        self._call, self.call_id = call, call.call_id
        self._watch_end()
        call.dial(targets)

    def _watch_end(self) -> None:
        async def wait() -> None:
            assert self._call is not None
            await self._call.finished()
            self._finish()

        self._phone._keep(wait())

    def _described(self, remote: RemoteMedia) -> None:
        if self._leg is not None and self._local is not None and self._counters is None:
            self._leg.set_remote(remote, self._local.receive_codecs)

    def _pressed(self, key: str) -> None:
        if len(self.keys) < MOST_KEYS:
            self.keys += key
        self.watch_keys(key)

    def _happened(self, event: Event) -> None:
        if len(self.events) < MOST_EVENTS or isinstance(event, Ended | Failed):
            self.events.append((self._loop.time(), event))
        if isinstance(event, Info):
            key = from_info(event.content_type, event.body)
            if key is not None:
                self._pressed(key.character)
        if isinstance(event, Ringing | EarlyMedia | Answered | Failed):
            self._progress.set()
        if isinstance(event, Answered | Failed):
            self._settled.set()
        if isinstance(event, Failed | Ended):
            self.outcome = event
            if self._leg is not None:
                self._counters = self._leg.close()
            self._over.set()
        self.watch(event)

    def _finish(self) -> None:
        if self._leg is not None:
            self._counters = self._leg.close()
        self._phone.calls.discard(self)


def _escaped(user: str) -> str:
    return quote(user, safe=_PLAIN_IN_USER, errors="surrogateescape")
