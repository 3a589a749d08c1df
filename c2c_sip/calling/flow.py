"""One click-to-call, from the click to the last hang-up: :meth:`Flow.run` reads from top to bottom as the call goes."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from c2c_sip.calling.bypass import Bypass
from c2c_sip.calling.causes import ANSWERED_BY_NOBODY, hangup_cause
from c2c_sip.calling.diagnosis import (
    CallFacts,
    LegFacts,
    Outcome,
    Why,
    explain,
)
from c2c_sip.calling.plan import LegPlan, Plan
from c2c_sip.calling.recorder import Recorder
from c2c_sip.calling.recording import Running
from c2c_sip.calling.ringing import COMPLETED_ELSEWHERE, LOST, Ending, Over, RingGroup
from sipstack.call import (
    Answered,
    EarlyMedia,
    Ended,
    Event,
    Failed,
    Info,
    OutgoingCall,
    Referred,
    Refreshed,
    Renegotiated,
    Ringing,
)
from sipstack.media import LegCounters, MediaLeg, NoPortsLeft, Source
from sipstack.media.dtmf import from_info
from sipstack.message import REASONS
from sipstack.message.uri import hostport_text
from sipstack.sdp import Codec, LocalMedia, RemoteMedia

log = logging.getLogger(__name__)

#: Seconds between two looks at whether audio still comes.
WATCH = 2.0
#: Seconds by which a timer may be early.
MOMENT = 0.001
EVENT = "telephone-event"
#: The hangup cause of a call whose relay has died.
RELAY_LOST = "NORMAL_TEMPORARY_FAILURE"
#: That of one that the service's end ends.
STOPPED = "SYSTEM_SHUTDOWN"


class Desk(Protocol):
    """What a flow needs to make calls: the user agent and the media plane, put together by the engine."""

    async def open_leg(
        self,
        plan: LegPlan,
        codecs: tuple[Codec, ...],
        on_event: Callable[[Event], None],
        beside: "Leg | None",
    ) -> "Leg":
        """Find where the leg goes, take its RTP ports and make its call, without dialling yet.

        ``beside`` is the leg that it will be bridged with, if there is one already.

        :raises LegError: it cannot be placed.
        """

    async def check(self, plan: LegPlan) -> None:
        """Find where the leg would go, and send nothing.

        :raises LegError: nowhere, or to where it must not.
        """

    def now(self) -> float:
        """Seconds on the clock that :attr:`LegCounters.last_received` is on."""


class LegError(Exception):
    """A leg that could not be placed: no route, no ports, no address."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """Somebody asked for the call's end: the API, or the service that stops."""

    cause: str
    why: Why


@dataclass(frozen=True, slots=True)
class Pressed:
    """The peer of a leg has pressed a key."""

    key: str


#: All that a flow waits for.
_Occurrence = Event | HangUp | Ending | Pressed


class Leg:
    """One leg: its SIP call and its RTP ports, which end together."""

    def __init__(
        self, plan: LegPlan, media: MediaLeg, local: LocalMedia, codecs: tuple[Codec, ...]
    ) -> None:
        self.plan = plan
        self.media = media
        self.local = local
        self.codecs = codecs
        self.call: OutgoingCall
        self.remote: RemoteMedia | None = None
        self.closed = False
        #: Called when there is news of the INVITE that has no final answer yet; see :meth:`dialog`.
        self.on_pending: Callable[[], None] = lambda: None
        self._final: LegCounters | None = None
        self._dial: Callable[[], None]

    def attach(self, call: OutgoingCall, dial: Callable[[], None]) -> None:
        """Give the leg its call and the way to dial it."""
        self.call = call
        self._dial = dial

    def dial(self) -> None:
        """Send the INVITE."""
        self._dial()

    def dialog(self) -> dict[str, Any]:
        """What it takes to hang the leg up without us: its dialog, or before there is one its INVITE; and its trunk, or
        where else it may lead."""
        dialog, account = self.call.dialog, self.call.outbound.account
        dumped = dialog.dump() if dialog is not None else {}
        pending = self.call.pending
        if pending is not None:
            dumped["pending"] = pending.dump()
        if account is None and self.plan.at_home:
            dumped["home"] = str(self.plan.outbound.uri)
        return dumped | {"trunk": account.name if account is not None else None}

    def described(self, remote: RemoteMedia) -> None:
        """The peer's media was agreed on, for the first time or anew."""
        direct = self.call.outbound.account is None and not self.plan.at_home
        if direct and not all(map(self.plan.accepted, (remote.address, remote.rtcp_address))):
            remote = replace(remote, withheld=True)
        self.remote = remote
        self.media.secure(remote.agreement)
        self.media.set_remote(remote, self.local.receive_codecs)

    def facts(self) -> LegFacts:
        """What was seen of it, but for the times and the audio."""
        uri, account = self.plan.outbound.uri, self.plan.outbound.account
        outcome, evidence = self.call.outcome, self.call.evidence
        match outcome:
            case Ended(by):
                ended_by: Outcome = by
            case Failed():
                ended_by = "peer" if evidence.refused_by == "peer" else "network"
            case _:
                ended_by = "local"
        remote = self.remote
        return LegFacts(
            role=self.plan.role,
            dialled=uri.user or uri.host,
            caller=self.plan.from_.uri.user or "",
            trunk=account.name if account is not None else "",
            ended_by=ended_by,
            status=outcome.status if isinstance(outcome, Failed) else None,
            evidence=evidence,
            codecs=tuple(codec.name for codec in _voices(self.codecs)),
            srtp=self.plan.srtp.value,
            announced=hostport_text(self.local.address, self.local.port),
            described=hostport_text(remote.address, remote.port) if remote is not None else "",
            # Past us nothing is heard.
            is_to_be_heard=self.hears() and not self.local.stands_for_another,
        )

    def close(self, reason: str = "") -> LegCounters:
        """Hang up, and give the ports back."""
        self.closed = True
        self.on_pending = lambda: None  # which holds the flow
        self.call.hang_up(reason)
        if self._final is None:
            self._final = self.media.close()
            self.media.on_lost = lambda: None  # and so does this
            self.media.on_key = lambda key: None
        return self._final

    def follow(self, other: "Leg", music: Source | None) -> None:
        """Let the peer know what the other leg's peer does with the stream: hold it, or take it up again.

        While it is held it hears ``music``, if there is any.
        """
        wanted = other.remote.direction if other.remote is not None else "sendrecv"
        is_held = other.remote is not None and other.remote.on_hold
        if music is not None:
            self.media.play(music if is_held else None)
            wanted = "sendonly" if is_held else wanted
        if self.call.session is not None and wanted != self.local.direction:
            self.call.session.offer(wanted)

    def align(self, other: "Leg") -> None:
        """Have the peer use a codec that the other leg's peer has, where what it took cannot be passed on.

        Two of G.711 can be: the relay makes one of the other. And have it send no longer packets than that one can take.
        """
        if self.remote is None or other.remote is None or self.call.session is None:
            return
        ours, theirs = _voices(self.remote.codecs), _voices(other.remote.codecs)
        passes = _passes(ours[:1], theirs) and _passes(theirs[:1], ours)
        if self.local.ptime > (other.remote.maxptime or self.local.ptime):
            self.local.ptime = other.remote.packet_time(self.local.ptime)
            if passes:
                self.call.session.offer(self.local.direction)
        if passes:
            return
        shared = tuple(c for c in self.codecs if c.name == EVENT or _passes((c,), theirs))
        if not _voices(shared):
            log.warning("call %s: no codec that both have: %s", self.plan.call_id, theirs)
            return
        self.local.restrict(shared)
        self.call.session.offer(self.local.direction)

    def hears(self) -> bool:
        """Whether the peer may be expected to send audio: not while it holds us or refuses to send."""
        return self.remote is not None and self.remote.direction == "sendrecv"


def _voices(codecs: Sequence[Codec]) -> tuple[Codec, ...]:
    return tuple(codec for codec in codecs if codec.name.lower() != EVENT)


def _passes(some: Sequence[Codec], others: Sequence[Codec]) -> bool:
    """Whether what comes in one of these can be sent on to who takes the others."""
    return any(
        codec.same_as(other) or {codec.name.upper(), other.name.upper()} <= {"PCMU", "PCMA"}
        for codec in some
        for other in others
    )


class Flow:
    """One activation at work."""

    def __init__(self, plan: Plan, desk: Desk, recorder: Recorder) -> None:
        self.plan = plan
        self._desk = desk
        self._recorder = recorder
        self._events: asyncio.Queue[tuple[Leg | None, _Occurrence]] = asyncio.Queue()
        #: Those that are not over, by Call-ID.
        self.legs: dict[str, Leg] = {}
        self._asked: set[str] = set()
        self._recording: Running | None = None

    def hang_up(self, cause: str, why: Why = "") -> None:
        """End the call from outside, with this hangup cause."""
        asked: Why = "stopped" if cause == STOPPED else "api"
        self._events.put_nowait((None, HangUp(cause, why or asked)))

    async def run(self) -> None:
        """Make the call. Whatever happens, all legs are hung up, the ports are free, and the record is written."""
        ending = Ending("NORMAL_TEMPORARY_FAILURE", why="fault")
        try:
            await self._check(self.plan.second)
            first = await self._ring(self.plan.first, self.plan.codecs)
            try:
                self._recorder.state(f"{first.plan.role}_answered")
                second = await self._reach(first)
                self._recorder.connected()
                if self.plan.dial_first == "extension":
                    await self._talk(first, second)
                else:
                    await self._talk(second, first)
            except Over as over:
                guilty = over.ending.plan
                if guilty is not None and guilty is not first.plan and not self.connected:
                    # The record need not wait for the tone.
                    explanation = self._explain(over.ending)
                    self._recorder.outcome(over.ending.cause, over.ending.status, explanation)
                    no_one = over.ending.cause in ANSWERED_BY_NOBODY
                    await self._busy(first, self.plan.busy if no_one else self.plan.congestion)
                raise
        except Over as over:
            ending = over.ending
        except asyncio.CancelledError:
            ending = Ending(STOPPED, why="stopped")
            raise
        except Exception:
            log.exception("the call has failed")
        finally:
            for leg in list(self.legs.values()):
                self._leave(leg, ending)
            if self._recording is not None:
                self._recording.stop(self._desk.now())
            self._recorder.ended(ending.cause, ending.status, self._explain(ending))

    def _explain(self, ending: Ending) -> str:
        """Why it is over, in a sentence; whatever goes wrong with that, the record is written."""
        plan, recorder = self.plan, self._recorder
        legs = recorder.legs
        culprit = ending.plan
        told = ""
        try:
            told = explain(
                CallFacts(
                    created=recorder.created,
                    ended=recorder.now(),
                    legs=tuple(legs.values()),
                    guilty=legs.get(culprit.call_id) if culprit is not None else None,
                    why=ending.why,
                    role=culprit.role if culprit is not None else "",
                    detail=ending.detail,
                    connected=recorder.connected_at,
                    first_role=plan.dial_first,
                    timeout=culprit.timeout if culprit is not None else 0.0,
                    confirm=plan.confirm,
                    confirm_seconds=plan.confirm_seconds,
                    max_duration=plan.max_duration,
                    media_timeout=plan.media_timeout,
                )
            ).text
        except Exception:
            log.exception("no explanation")
        problem = self._recording.problem if self._recording is not None else ""
        return " ".join(filter(None, (told, problem)))

    @property
    def connected(self) -> bool:
        """Whether the two were connected."""
        return self._recorder.is_connected

    async def _check(self, plans: Sequence[LegPlan]) -> None:
        """Nobody is rung for the sake of somebody who cannot be."""
        detail = ""
        for plan in plans:
            try:
                await self._desk.check(plan)
                return
            except LegError as error:
                log.warning("the %s cannot be called: %s", plan.role, error)
                detail = str(error)
        raise Over(Ending("NORMAL_TEMPORARY_FAILURE", 503, plans[0], "no way", detail))

    async def _dial(self, plan: LegPlan, codecs: tuple[Codec, ...], beside: Leg | None) -> Leg:
        leg: Leg | None = None

        def on_event(event: Event) -> None:
            self._events.put_nowait((leg, event))

        try:
            leg = await self._desk.open_leg(plan, codecs, on_event, beside)
        except NoPortsLeft as error:
            raise Over(Ending("SWITCH_CONGESTION", 503, plan, "no ports")) from error
        except LegError as error:
            log.warning("the %s cannot be called: %s", plan.role, error)
            ending = Ending("NORMAL_TEMPORARY_FAILURE", 503, plan, "no way", str(error))
            raise Over(ending) from error
        loop = asyncio.get_running_loop()
        leg.media.on_lost = lambda: loop.call_soon_threadsafe(self.hang_up, RELAY_LOST, "relay")
        self.legs[plan.call_id] = leg
        self._recorder.leg_dialled(plan)
        self.plan.watch(leg.media)
        dialled = leg
        leg.on_pending = lambda: self._recorder.leg_pending(plan, dialled.dialog())
        leg.dial()
        return leg

    async def _ring(
        self,
        plans: Sequence[LegPlan],
        codecs: tuple[Codec, ...],
        other: Leg | None = None,
        dialled: Callable[[Leg], None] = lambda leg: None,
    ) -> Leg:
        """Ring them all: the first to answer has the call, and the others are let go.

        ``other`` is the other party, which may hang up meanwhile; ``None`` where these are rung first.
        """
        group = RingGroup(plans)

        async def dial(plan: LegPlan) -> None:
            try:
                dialled(await self._dial(plan, codecs, other))
            except Over as over:
                self._events.put_nowait((None, over.ending))
            except Exception:
                log.exception("the %s has failed", plan.role)
                failed = Ending("NORMAL_TEMPORARY_FAILURE", None, plan, "fault")
                self._events.put_nowait((None, failed))

        # Beside each other: the name of one that takes long to be found keeps no other waiting.
        dialling = [asyncio.create_task(dial(plan)) for plan in plans]
        try:
            async with asyncio.timeout(max(plan.timeout for plan in plans)) as limit:
                while True:
                    source, event = await self._take()
                    ending = self._ending(source, event)
                    if ending is not None and ending.plan in group:
                        leg = source or self.legs.get(ending.plan.call_id if ending.plan else "")
                        if leg is not None:
                            self._leave(leg, ending)
                        group.refused(ending)
                        continue
                    event = self._judge(source, event)
                    if source is None or source.plan not in group:
                        continue
                    if isinstance(event, (Ringing, EarlyMedia)):
                        self._recorder.ringing(source.plan)
                        continue
                    if isinstance(event, Answered):
                        self._recorder.answered(source.plan, source.dialog())
                        if self._must_confirm(plans):
                            self._ask_for_a_key(source, limit)
                            continue
                    elif self._confirms(source, event):
                        self._recorder.chosen(source.plan)
                    else:
                        continue
                    for leg in [leg for leg in self.legs.values() if leg.plan in group]:
                        if leg is not source:
                            self._leave(leg, Ending(LOST, 487))
                    return source
        except TimeoutError:
            for leg in [leg for leg in self.legs.values() if leg.plan in group]:
                self._leave(leg, Ending("NO_ANSWER", None, leg.plan))
            raise Over(Ending("NO_ANSWER", None, plans[0], "unanswered")) from None
        finally:
            for task in dialling:
                task.cancel()

    # --- somebody is there

    def _must_confirm(self, plans: Sequence[LegPlan]) -> bool:
        """Whether these are connected only once they have pressed a key: a voicemail presses none."""
        return bool(self.plan.confirm) and plans[0].role == "extension"

    def _ask_for_a_key(self, leg: Leg, limit: asyncio.Timeout) -> None:
        """Ask whoever has answered for the key, and wait for so long, whatever is left of the time to ring."""
        loop = asyncio.get_running_loop()
        seconds = self.plan.confirm_seconds

        def pressed(key: str) -> None:
            loop.call_soon_threadsafe(self._events.put_nowait, (leg, Pressed(key)))

        def too_late() -> None:
            if leg.media.on_key is pressed and not leg.closed:
                late = Ending("NO_USER_RESPONSE", None, leg.plan, "no key")
                self._events.put_nowait((None, late))

        leg.media.on_key = pressed
        leg.media.play(self.plan.asking)
        loop.call_later(seconds, too_late)
        limit.reschedule(max(limit.when() or 0.0, loop.time() + seconds + 1.0))

    def _confirms(self, leg: Leg, event: Event | Ending | Pressed) -> bool:
        """Whether this is the key that was asked for."""
        if isinstance(event, Info):
            key = from_info(event.content_type, event.body)
            event = Pressed(key.character if key is not None else "")
        if not self.plan.confirm or event != Pressed(self.plan.confirm):
            return False
        leg.media.on_key = lambda key: None
        leg.media.play(None)
        return True

    async def _take(self) -> tuple[Leg | None, _Occurrence]:
        """The next event of a leg that is not closed, or from outside."""
        while True:
            source, event = await self._events.get()
            if source is None or not source.closed:
                return source, event

    async def _next(self) -> tuple[Leg | None, Event | Ending | Pressed]:
        """The next event that does not end the call; one that does is raised as :class:`Over`."""
        source, event = await self._take()
        return source, self._judge(source, event)

    def _judge(self, source: Leg | None, event: _Occurrence) -> Event | Ending | Pressed:
        """The event, if it does not end the call.

        :raises Over: it does
        """
        match event:
            case Ending() | Pressed():  # a leg that is not waited for any more
                return event
            case HangUp(cause, why):
                raise Over(Ending(cause, why=why))
            case Renegotiated() | Refreshed() if source is not None:
                self._recorder.dialog_changed(source.plan, source.dialog())
            case Referred(_, referral) if not self.connected:
                referral.notify(603, "Decline", final=True)
        ending = self._ending(source, event)
        if ending is not None:
            raise Over(ending)
        return event

    def _ending(self, source: Leg | None, event: _Occurrence) -> Ending | None:
        """What ``event`` means for the leg that it comes from, if that is over."""
        plan = source.plan if source is not None else None
        match event:
            case Ending():
                return event
            case Failed(status, _, q850):
                return Ending(hangup_cause(status, q850), status, plan)
            case Ended("network"):
                return Ending("RECOVERY_ON_TIMER_EXPIRE", None, plan)
            case Ended():
                cause = "NORMAL_CLEARING" if self.connected else "ORIGINATOR_CANCEL"
                return Ending(cause, None, plan)
        return None

    async def _reach(self, first: Leg) -> Leg:
        """Ring the other party, while the first hears a tone, or what the other's network says."""
        plans = self.plan.second
        first.media.play(self.plan.ringback)

        def dialled(leg: Leg) -> None:
            # What several say at once nobody would understand, and a voicemail is not to be heard.
            if len(plans) == 1 and not self._must_confirm(plans):
                first.media.bridge(leg.media)
                # Early media, or the answer, ends the tone.
                first.media.play(self.plan.ringback, until_media=not self.plan.ignore_early_media)

        second = await self._ring(plans, self._codecs_of(first), first, dialled)
        if len(plans) > 1 or self._must_confirm(plans):
            first.media.bridge(second.media)
        first.align(second)
        first.media.play(None)
        return second

    def _codecs_of(self, leg: Leg) -> tuple[Codec, ...]:
        """What to offer the peer that ``leg`` will be bridged to."""
        shared = leg.remote.codecs if leg.remote else ()
        # What this one took comes first, so that the other takes the same and nothing is transcoded. What the other sends then
        # is what this one decodes: its parameters are asked for.
        ours = dict.fromkeys((*leg.codecs, *self.plan.codecs))
        first = tuple(
            codec if codec.name == EVENT else replace(codec, fmtp=theirs.fmtp)
            for codec in ours
            for theirs in shared
            if codec.same_as(theirs)
        )
        rest = tuple(c for c in self.plan.codecs if not any(c.same_as(known) for known in first))
        # Events are no voice: they stand behind what is.
        return tuple(sorted(first + rest, key=lambda codec: codec.name == EVENT))

    async def _talk(self, caller: Leg, contact: Leg) -> None:
        """Wait for the end of a bridged call; always leaves by :class:`Over`.

        ``caller`` is the extension, or whom it transferred the contact to.
        """
        started = self._desk.now()
        heard = {leg: started for leg in (caller, contact)}
        tape = self.plan.tape
        if tape is not None:
            self._recording = tape.start(self.plan.activation_id, caller, contact, started)
        # What goes past us cannot be recorded.
        bypass = Bypass(caller, contact) if self.plan.bypass and tape is None else None
        end = started + self.plan.max_duration
        due = min(started + WATCH, end)
        while True:
            # Also between events: who sends one each second does not keep the call up by it.
            now = self._desk.now()
            if now > due - MOMENT:
                due = min(now + WATCH, end)
                if now > end - MOMENT:
                    raise Over(Ending("ALLOTTED_TIMEOUT", why="too long"))
                if not self.plan.may_go_on():
                    raise Over(Ending("ALLOTTED_TIMEOUT", why="minutes"))
                for leg, since in heard.items():
                    # Past us nothing is heard; that the two are there is what the session timers are for.
                    is_past = bypass is not None and bypass.is_on
                    heard[leg] = now if is_past else self._watch(leg, since, now)
            try:
                async with asyncio.timeout(due - now):
                    source, event = await self._next()
            except TimeoutError:
                continue
            if source is not None and bypass is not None and bypass.takes(source, event):
                continue
            if isinstance(event, Renegotiated) and source in heard:
                # Hold on one leg reaches the other.
                (contact if source is caller else caller).follow(source, self.plan.music)
            elif isinstance(event, Info) and source in heard:
                self._pass_on(event, contact if source is caller else caller)
            elif isinstance(event, Referred):
                if bypass is not None:
                    bypass.end()
                caller = await self._transfer(caller, contact, event)
                if bypass is not None:
                    bypass = Bypass(caller, contact)
                heard = {leg: self._desk.now() for leg in (caller, contact)}

    def _pass_on(self, info: Info, to: Leg) -> None:
        """A key that came with the signalling goes on with the audio."""
        key = from_info(info.content_type, info.body)
        if key is not None:
            to.media.press(key.character)

    # --- blind transfer

    async def _transfer(self, leaving: Leg, staying: Leg, referred: Referred) -> Leg:
        """Call where the extension's phone sends the contact; the leg that the contact has afterwards.

        That is the new one if it answers, and the old one if it does not and is still there.
        """
        plan = leaving.plan.transfer(referred.target)
        if plan is None:
            referred.referral.notify(603, "Decline", final=True)
            return leaving
        staying.media.play(self.plan.ringback)
        new: Leg | None = None
        try:
            new = await self._dial(plan, self._codecs_of(staying), staying)
            staying.media.bridge(new.media)
            staying.media.play(self.plan.ringback, until_media=not self.plan.ignore_early_media)
            await self._transferred(new, leaving, referred)
        except Over as over:
            if over.ending.plan is not plan:
                raise
            status = over.ending.status or 480
            reason = REASONS.get(status, "Not Reached")
            referred.referral.notify(status, reason, final=True)
            if new is not None:
                self._leave(new, over.ending)
            if leaving.closed:
                raise
            staying.media.play(None)
            staying.media.bridge(leaving.media)
            return leaving
        referred.referral.notify(200, "OK", final=True)
        staying.media.play(None)
        staying.align(new)
        if self._recording is not None:
            self._recording.hear(new)
        if not leaving.closed:
            self._leave(leaving, Ending("NORMAL_CLEARING"))
        staying.follow(new, self.plan.music)
        return new

    async def _transferred(self, new: Leg, leaving: Leg, referred: Referred) -> None:
        """Wait for the new leg's answer; the one that leaves may hang up meanwhile."""
        try:
            async with asyncio.timeout(new.plan.timeout):
                while True:
                    source, event = await self._take()
                    if source is leaving and isinstance(event, Ended):
                        self._leave(leaving, Ending("NORMAL_CLEARING", None, leaving.plan))
                        continue
                    self._judge(source, event)
                    if source is new and isinstance(event, (Ringing, EarlyMedia)):
                        referred.referral.notify(180, "Ringing", final=False)
                    elif source is new and isinstance(event, Answered):
                        self._recorder.answered(new.plan, new.dialog())
                        return
        except TimeoutError:
            raise Over(Ending("NO_ANSWER", None, new.plan, "unanswered")) from None

    def _leave(self, leg: Leg, ending: Ending) -> None:
        """End one leg, and write down why."""
        seen = leg.facts()
        counters = leg.close(_reason(ending))
        now = self._desk.now()
        self._recorder.leg_ended(
            leg.plan, ending.cause, ending.status, ending.plan, counters, now, seen
        )
        self.legs.pop(leg.plan.call_id, None)

    def _watch(self, leg: Leg, since: float, now: float) -> float:
        """Ask a leg that has been silent for too long whether it is still there; when it was last known to be."""
        if not leg.hears():
            return now
        last = leg.media.counters().last_received
        since = max(since, last or 0.0)
        if now - since < self.plan.media_timeout or leg.plan.call_id in self._asked:
            return since
        self._asked.add(leg.plan.call_id)

        def answered(alive: bool) -> None:
            self._asked.discard(leg.plan.call_id)
            if not alive:
                leg.call.lost()

        leg.call.is_alive(answered)
        # An answer proves it to be there: the next question comes after another silence of that length.
        return now

    async def _busy(self, leg: Leg, tone: Source) -> None:
        """Let it hear that the other party cannot be had, until it hangs up."""
        if leg.call.outcome is not None or not self.plan.busy_seconds:
            return
        leg.media.unbridge()
        leg.media.play(tone)
        try:
            async with asyncio.timeout(self.plan.busy_seconds):
                while leg.call.outcome is None:
                    _, event = await self._take()
                    if isinstance(event, HangUp):
                        return
        except TimeoutError:
            return


def _reason(ending: Ending) -> str:
    """The Reason header that tells the leg that is hung up why (:rfc:`3326`)."""
    if ending.cause == LOST:
        return COMPLETED_ELSEWHERE
    if ending.status is not None and ending.status >= 300:
        return f"SIP;cause={ending.status}"
    return ""
