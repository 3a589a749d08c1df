"""One call, made or taken, and a verdict on it: ``c2c-sip uac`` and ``c2c-sip uas``."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from c2c_sip.lab.ear import Ear
from c2c_sip.lab.script import source_of
from sipstack.events import Answered, EarlyMedia, Ended, Failed, Ringing
from sipstack.ladder import ladder, text_of
from sipstack.media import LegCounters
from sipstack.pcap import pcap
from sipstack.phone import CallFailed, Phone, PhoneCall, RegistrationFailed, Tls
from sipstack.sdes import Mode
from sipstack.trace import Trace, TracedMessage, moved
from sipstack.transport import Address, Transport

#: Messages that are kept of one run.
MOST_MESSAGES = 5000
#: Seconds that the end of a call may take: timer F, and one more.
FAREWELL = 33.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are: the account, the transport, and what we take. See :class:`sipstack.phone.Phone`."""

    listen: str
    user: str = "c2c-sip"
    domain: str = ""
    password: str = field(default="", repr=False)
    auth_user: str = ""
    proxy: str = ""
    register: bool = False
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    srtp: Mode = Mode.OFF
    tls: Tls = Tls()
    tls_server_name: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What to do in the call, and what is to be seen of it. Times in seconds.

    ``plays`` is as in a script. ``hang_up_after`` the answer; 0: the peer does, or it ends after ``lasts``. ``timeout``
    bounds the wait for the answer, or for a call.
    """

    plays: Any = "silence"
    keys: str = ""
    keys_after: float = 0.5
    hang_up_after: float = 0.0
    timeout: float = 30.0
    lasts: float = 300.0
    expect_status: int = 200
    expect_tones: tuple[float, ...] = ()
    expect_keys: str = ""
    expect_audio: bool = False
    record: str = ""
    pcap: str = ""
    #: Of a call that we make.
    headers: tuple[tuple[str, str], ...] = ()
    follow: bool = False
    #: Of one that we take: seconds of ringing, what is heard meanwhile, and the status that it is refused with.
    ringing: float = 0.0
    early_media: Any = ""
    refuse: int = 0


@dataclass(slots=True)
class Verdict:
    """What came of it. ``problems`` are all that was not as expected; without one it is ``ok``.

    ``setup`` are milliseconds, ``None`` for what did not happen: of the registration, and from the INVITE to the first sign
    of ringing, to early media and to the answer.
    """

    ok: bool = False
    status: int | None = None
    reason: str = ""
    problems: list[str] = field(default_factory=list)
    registered: bool | None = None
    uri: str = ""
    call_id: str = ""
    ended_by: str | None = None
    duration_s: float | None = None
    setup: dict[str, int | None] = field(default_factory=dict)
    media: dict[str, Any] = field(default_factory=dict)
    dtmf: str = ""
    tones: dict[str, bool] = field(default_factory=dict)
    ladder: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Agent:
    """One run. ``say`` gets what is worth telling while it goes on."""

    def __init__(
        self, identity: Identity, part: Part, say: Callable[[str], None] = lambda text: None
    ) -> None:
        """
        :raises ParseError: the domain or the proxy is none.
        :raises OSError: the file to play cannot be read.
        :raises WavError: it cannot be played.
        """
        self._identity = identity
        self._part = part
        self._say = say
        self._source = source_of(part.plays)
        self._early = source_of(part.early_media)
        self._messages: list[TracedMessage] = []
        self._verdict = Verdict()
        self._ear = Ear()
        self._call: PhoneCall | None = None
        self._coming: asyncio.Future[PhoneCall]
        self._done = asyncio.Event()

    async def call(self, target: str) -> Verdict:
        """Make a call. Who cancels it has it hung up, and gets the verdict on what there was of it.

        :raises OSError: our address is taken, or a file cannot be used or written.
        :raises ParseError: ``target`` is no SIP URI.
        """
        phone = self._phone()
        await phone.start()
        try:
            if await self._registered(phone):
                await self._make(phone, target)
        except asyncio.CancelledError:
            await self._interrupted()
        finally:
            await phone.close()
        return self._judged()

    async def take(self) -> Verdict:
        """Take the first call that comes. Who cancels it has it hung up, and gets the verdict on what there was of it.

        :raises OSError: our address is taken, or a file cannot be used or written.
        """
        self._coming = asyncio.get_running_loop().create_future()
        phone = self._phone(self._came)
        await phone.start()
        try:
            if await self._registered(phone):
                phone.prepare(self._source)
                phone.prepare(self._early)
                self._say(f"ready sip:{self._identity.user}@{self._place(phone.transport)}")
                await self._wait_for_one()
        except asyncio.CancelledError:
            await self._interrupted()
        finally:
            self._done.set()
            await phone.close()
        return self._judged()

    async def _interrupted(self) -> None:
        self._verdict.problems.append("interrupted")
        if self._call is not None:
            self._call.hang_up()
            await self._over(self._call)
            self._note(self._call)

    def _place(self, transport: Transport) -> str:
        """Where we can be called: at the registrar, or at our own address, by its transport where it is not the usual one."""
        if self._identity.domain:
            return self._identity.domain
        suffix = "" if transport.name == "UDP" else f";transport={transport.name.lower()}"
        return text_of(_called_at(transport)) + suffix

    # --- the two ways

    def _phone(self, on_call: Any = None) -> Phone:
        identity = self._identity
        trace = Trace()
        trace.watcher = self._saw
        return Phone(
            identity.listen,
            user=identity.user,
            domain=identity.domain,
            password=identity.password,
            auth_user=identity.auth_user,
            outbound_proxy=identity.proxy,
            codecs=identity.codecs,
            srtp=identity.srtp,
            tls=identity.tls,
            tls_server_name=identity.tls_server_name,
            on_call=on_call,
            trace=trace,
            name="c2c-sip",
        )

    def _saw(self, message: TracedMessage, subject: str) -> None:
        if len(self._messages) < MOST_MESSAGES:
            self._messages.append(message)

    async def _registered(self, phone: Phone) -> bool:
        if not self._identity.register:
            return True
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await phone.register(self._part.timeout)
        except RegistrationFailed as error:
            self._verdict.registered = False
            self._verdict.problems.append(f"registration: {error}")
            return False
        self._verdict.registered = True
        self._verdict.setup["registered_ms"] = round((loop.time() - began) * 1000)
        return True

    async def _make(self, phone: Phone, target: str) -> None:
        part, problems = self._part, self._verdict.problems
        phone.prepare(self._source)
        call = self._call = phone.call(target, headers=part.headers, follow=part.follow)
        call.tap(self._ear.packet)
        call.play(self._source)
        try:
            await call.answered(part.timeout)
        except CallFailed:
            pass  # which may be what is expected
        except TimeoutError:
            if part.expect_status != 487:
                problems.append(f"not answered within {part.timeout:g} s")
            call.hang_up()
        else:
            await self._talk(call)
        await self._over(call)
        self._note(call)

    async def _came(self, call: PhoneCall) -> None:
        if self._coming.done():
            call.reject(486)
            return
        self._coming.set_result(call)
        await self._done.wait()

    async def _wait_for_one(self) -> None:
        part, problems = self._part, self._verdict.problems
        try:
            async with asyncio.timeout(part.timeout):
                call = self._call = await self._coming
        except TimeoutError:
            problems.append(f"no call came within {part.timeout:g} s")
            return
        call.tap(self._ear.packet)
        self._say(f"called by {call.caller}")
        if part.early_media:
            call.ring(183, early_media=True)
            call.play(self._early)
        elif part.ringing:
            call.ring()
        gone = part.ringing > 0 and await call.ends_within(part.ringing)
        if not gone and part.refuse:
            call.reject(part.refuse)
        elif not gone:
            call.answer()
            try:
                await call.answered(FAREWELL)
            except (CallFailed, TimeoutError):
                problems.append("our answer was not acknowledged")
            else:
                call.play(self._source)
                await self._talk(call)
        await self._over(call)
        self._note(call)

    async def _talk(self, call: PhoneCall) -> None:
        part = self._part
        self._say("answered")
        if part.plays == "echo":
            call.echo()
        ends = min(part.hang_up_after or part.lasts, part.lasts)
        if part.keys:
            at = min(part.keys_after, ends)
            if await call.ends_within(at):
                return
            call.press(part.keys)
            ends -= at
        if not await call.ends_within(ends):
            if not part.hang_up_after:
                self._verdict.problems.append(f"the other side did not hang up in {ends:g} s")
            call.hang_up()

    async def _over(self, call: PhoneCall) -> None:
        try:
            await call.ended(FAREWELL)
        except TimeoutError:
            self._verdict.problems.append("the end of the call was not acknowledged")

    # --- what is said of it

    def _note(self, call: PhoneCall) -> None:
        verdict, outcome = self._verdict, call.outcome
        verdict.uri = str(call.uri)
        verdict.call_id = call.call_id
        if isinstance(outcome, Failed):
            verdict.status, verdict.reason = outcome.status, outcome.reason
        elif call.is_answered:
            verdict.status, verdict.reason = 200, "OK"
        answered = call.time_of(Answered)
        if isinstance(outcome, Ended):
            verdict.ended_by = outcome.by
        over = call.time_of(Ended)
        if answered is not None and over is not None:
            verdict.duration_s = round(over - answered, 3)
        for name, kind in (
            ("ringing", Ringing),
            ("early_media", EarlyMedia),
            ("answered", Answered),
        ):
            at = call.time_of(kind)
            verdict.setup[f"{name}_ms"] = (
                round((at - call.began) * 1000) if at is not None else None
            )
        verdict.media = figures(call.counters())
        verdict.dtmf = call.keys
        verdict.tones = {f"{hz:g}": self._ear.heard(hz) for hz in self._part.expect_tones}

    def _judged(self) -> Verdict:
        verdict, part = self._verdict, self._part
        offset = time.time() - asyncio.get_running_loop().time()
        messages = moved(self._messages, offset)
        verdict.ladder = ladder(messages)
        if part.pcap:
            Path(part.pcap).write_bytes(pcap(messages))
        if part.record:
            self._ear.write(part.record)
        problems = verdict.problems
        if verdict.status is not None:
            expected = part.refuse or part.expect_status
            if verdict.status != expected:
                problems.append(
                    f"status: got {verdict.status} {verdict.reason}, expected {expected}"
                )
            received = verdict.media["received"]["packets"]
            if part.expect_audio and not received:
                problems.append("no audio came")
            problems += [
                f"no tone of {hz} Hz was heard" for hz, ok in verdict.tones.items() if not ok
            ]
            if part.expect_keys and part.expect_keys not in verdict.dtmf:
                problems.append(f"dtmf: got {verdict.dtmf!r}, expected {part.expect_keys!r}")
        elif not problems:
            problems.append("there was no call")
        if verdict.ended_by == "network":
            problems.append("the other side was lost")
        verdict.ok = not problems
        return verdict


def _called_at(transport: Transport) -> Address:
    """An address that others can call; of those of all networks, the one on the way out."""
    host, port = transport.local_address[:2]
    if not ip_address(host).is_unspecified:
        return host, port
    outside, loopback = ("2001:db8::1", "::1") if ":" in host else ("192.0.2.1", "127.0.0.1")
    try:
        return transport.address_towards((outside, port))
    except OSError:
        return loopback, port


def figures(counters: LegCounters) -> dict[str, Any]:
    """A leg's counters, by the direction."""
    return {
        "codec": counters.codec,
        "sent": {
            "packets": counters.packets_sent,
            "bytes": counters.bytes_sent,
            "lost": counters.peer_lost,
            "jitter_ms": counters.peer_jitter_ms,
            "round_trip_ms": counters.round_trip_ms,
        },
        "received": {
            "packets": counters.packets_received,
            "bytes": counters.bytes_received,
            "lost": counters.lost,
            "late": counters.late,
            "duplicate": counters.duplicate,
            "jitter_ms": counters.mean_jitter_ms,
            "max_jitter_ms": counters.max_jitter_ms,
            "longest_gap_ms": counters.longest_gap_ms,
            "rejected": counters.rejected,
            "mos": counters.mos,
        },
    }
