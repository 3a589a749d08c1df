"""One click-to-call, from the click to the last hang-up: :meth:`Flow.run` reads from top to bottom as the call goes."""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from c2c_sip.calling.bypass import Bypass
from c2c_sip.calling.causes import ANSWERED_BY_NOBODY, hangup_cause
from c2c_sip.calling.diagnosis import (
    CallFacts,
    Why,
    explain,
)
from c2c_sip.calling.inbox import MOMENT, Inbox
from c2c_sip.calling.leg import EVENT, Leg, LegError, Way
from c2c_sip.calling.plan import LegPlan, Plan
from c2c_sip.calling.recorder import Recorder
from c2c_sip.calling.recording import Running
from c2c_sip.calling.ringing import COMPLETED_ELSEWHERE, LOST, Ending, Over, RingGroup
from sipstack.alarms import Alarms
from sipstack.call import (
    Answered,
    EarlyMedia,
    Ended,
    Event,
    Failed,
    Info,
    OfferAnswered,
    Referred,
    Refreshed,
    Renegotiated,
    Ringing,
)
from sipstack.media import NoPortsLeft, Source
from sipstack.media.dtmf import from_info
from sipstack.message import REASONS
from sipstack.sdp import Codec

log = logging.getLogger(__name__)

#: Seconds between two looks at whether audio still comes, and to what their moments are rounded up: one wake-up is for the
#: looks of many calls, as long as those are not so many that others would wait for them.
WATCH, TOGETHER = 2.0, 0.1
#: The hangup cause of a call whose relay has died.
RELAY_LOST = "NORMAL_TEMPORARY_FAILURE"
#: That of one that the service's end ends.
STOPPED = "SYSTEM_SHUTDOWN"


class Desk(Protocol):
    """What a flow needs to make calls: the user agent and the media plane, put together by the engine."""

    def locate(self, plan: LegPlan) -> "asyncio.Future[Way]":
        """Find where a leg goes, and send nothing. The future may have it at once; it has a :class:`LegError` where that is
        nowhere, or where it must not go."""

    def open_leg(
        self,
        plan: LegPlan,
        way: Way,
        codecs: tuple[Codec, ...],
        on_event: Callable[[Event], None],
        beside: Leg | None,
    ) -> Leg:
        """Take a leg's RTP ports and make its call, without dialling yet.

        ``beside`` is the leg that it will be bridged with, if there is one already.

        :raises LegError: it cannot be placed.
        :raises NoPortsLeft: all are taken.
        """

    def now(self) -> float:
        """Seconds on the clock that :attr:`LegCounters.last_received` is on."""

    @property
    def alarms(self) -> Alarms[Inbox[Any]]:
        """What all flows wait by."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """Somebody asked for the call's end: the API, or the service that stops."""

    cause: str
    why: Why


@dataclass(frozen=True, slots=True)
class Pressed:
    """The peer of a leg has pressed a key."""

    key: str


#: Seconds after a transfer has failed in which who asked for it hangs up for that.
REGRET = 3.0
#: All that a flow waits for.
_Occurrence = Event | HangUp | Ending | Pressed


class Flow:
    """One activation at work."""

    def __init__(self, plan: Plan, desk: Desk, recorder: Recorder) -> None:
        self.plan = plan
        self._desk = desk
        self._recorder = recorder
        self._events: Inbox[tuple[Leg | None, _Occurrence]] = Inbox(desk.alarms)
        #: Those that are not over, by Call-ID.
        self.legs: dict[str, Leg] = {}
        #: The ways that are known of those who are not dialled yet, by Call-ID.
        self._found: dict[str, asyncio.Future[Way]] = {}
        self._asked: set[str] = set()
        #: Of the last transfer in vain: who asked for it, what became of it, and when.
        self._in_vain: tuple[LegPlan, Ending, float] | None = None
        self._recording: Running | None = None

    def hang_up(self, cause: str, why: Why = "") -> None:
        """End the call from outside, with this hangup cause."""
        asked: Why = "stopped" if cause == STOPPED else "api"
        self._events.put((None, HangUp(cause, why or asked)))

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
                ending = over.ending
        except Over as over:
            ending = over.ending
        except asyncio.CancelledError:
            ending = Ending(STOPPED, why="stopped")
            raise
        except Exception:
            log.exception("the call has failed")
        finally:
            self._events.close()
            for leg in list(self.legs.values()):
                self._leave(leg, ending)
            if self._recording is not None:
                self._recording.stop(self._desk.now())
            self._recorder.ended(ending.cause, ending.status, self._explain(ending))

    def _explain(self, ending: Ending) -> str:
        """Why it is over, in a sentence; whatever goes wrong with that, the record is written."""
        plan, recorder = self.plan, self._recorder
        legs = recorder.legs
        if self._in_vain is not None and not ending.why:
            leaving, vain, since = self._in_vain
            # Phones hang up as they hear of it, or did so before we knew: that is not what ended the call.
            if ending.plan is leaving and self._desk.now() - since < REGRET:
                ending = vain
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
            if plan.outbound.account is not None:
                return
            search = self._desk.locate(plan)
            if search.done():
                # It is at an address, and will be there when it is dialled.
                self._found[plan.call_id] = search
            try:
                await search
                return
            except LegError as error:
                log.warning("the %s cannot be called: %s", plan.role, error)
                detail = str(error)
        raise Over(Ending("NORMAL_TEMPORARY_FAILURE", 503, plans[0], "no way", detail))

    def _dial(
        self,
        plan: LegPlan,
        search: asyncio.Future[Way],
        codecs: tuple[Codec, ...],
        beside: Leg | None,
        rings: Callable[[LegPlan], None],
    ) -> Leg:
        """Dial a leg whose way was searched for; ``rings`` is called when it rings or is heard before its answer.

        :raises Over: it cannot be placed
        """
        leg: Leg | None = None
        # The log knows by it which call it is about.
        context = copy_context()

        def on_event(event: Event) -> None:
            if leg is None or leg.closed:
                return
            if isinstance(event, (Ringing, EarlyMedia)):
                # Which changes nothing: the call need not be woken up for it.
                context.run(rings, plan)
            else:
                self._events.put((leg, event))

        try:
            leg = self._desk.open_leg(plan, search.result(), codecs, on_event, beside)
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
        leg.on_pending = partial(self._recorder.leg_pending, plan)
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
        until = self._desk.now() + max([plan.timeout for plan in plans])
        searches = [self._found.get(plan.call_id) or self._desk.locate(plan) for plan in plans]

        def dial(plan: LegPlan, search: asyncio.Future[Way]) -> None:
            if search.cancelled():
                return
            try:
                dialled(self._dial(plan, search, codecs, other, self._recorder.ringing))
            except Over as over:
                self._events.put((None, over.ending))
            except Exception:
                log.exception("the %s has failed", plan.role)
                failed = Ending("NORMAL_TEMPORARY_FAILURE", None, plan, "fault")
                self._events.put((None, failed))

        try:
            for plan, search in zip(plans, searches, strict=True):
                # Beside each other: the name of one that takes long to be found keeps no other waiting.
                if search.done():
                    dial(plan, search)
                else:
                    search.add_done_callback(partial(dial, plan))
            while True:
                source, event = await self._events.take(until)
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
                if isinstance(event, Answered):
                    self._recorder.answered(source.plan)
                    if self._must_confirm(plans):
                        until = max(until, self._ask_for_a_key(source))
                        continue
                elif self._confirms(source, event):
                    self._recorder.chosen(source.plan)
                else:
                    continue
                for leg in list(self.legs.values()):
                    if leg is not source and leg.plan in group:
                        self._leave(leg, Ending(LOST, 487))
                return source
        except TimeoutError:
            for leg in list(self.legs.values()):
                if leg.plan in group:
                    self._leave(leg, Ending("NO_ANSWER", None, leg.plan, "unanswered"))
            raise Over(Ending("NO_ANSWER", None, plans[0], "unanswered")) from None
        finally:
            for search in searches:
                search.cancel()

    # --- somebody is there

    def _must_confirm(self, plans: Sequence[LegPlan]) -> bool:
        """Whether these are connected only once they have pressed a key: a voicemail presses none."""
        return bool(self.plan.confirm) and plans[0].role == "extension"

    def _ask_for_a_key(self, leg: Leg) -> float:
        """Ask whoever has answered for the key; until when to wait for it, whatever is left of the time to ring."""
        loop = asyncio.get_running_loop()
        seconds = self.plan.confirm_seconds

        def pressed(key: str) -> None:
            loop.call_soon_threadsafe(self._events.put, (leg, Pressed(key)))

        def too_late() -> None:
            if leg.media.on_key is pressed and not leg.closed:
                late = Ending("NO_USER_RESPONSE", None, leg.plan, "no key")
                self._events.put((None, late))

        leg.media.on_key = pressed
        leg.media.play(self.plan.asking)
        loop.call_later(seconds, too_late)
        return self._desk.now() + seconds + 1.0

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
                source.stands()
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
            case Ended(status=int(status)):
                return Ending(hangup_cause(status), status, plan, "unusable")
            case Ended("network"):
                return Ending("RECOVERY_ON_TIMER_EXPIRE", None, plan)
            case Ended(_, q850):
                cause = hangup_cause(200, q850)
                if cause == "NORMAL_CLEARING" and not self.connected:
                    cause = "ORIGINATOR_CANCEL"
                return Ending(cause, None, plan)
        return None

    async def _reach(self, first: Leg) -> Leg:
        """Ring the other party, while the first hears a tone, or what the other's network says."""
        plans = self.plan.second
        # Early media, or the answer, ends the tone.
        first.media.play(self.plan.ringback, until_media=not self.plan.ignore_early_media)

        def dialled(leg: Leg) -> None:
            # What several say at once nobody would understand, and a voicemail is not to be heard.
            if len(plans) == 1 and not self._must_confirm(plans):
                first.media.bridge(leg.media)

        second = await self._ring(plans, self._codecs_of(first), first, dialled)
        if len(plans) > 1 or self._must_confirm(plans):
            first.media.bridge(second.media)
        first.align(second)
        second.keep_to(first)
        first.keep_to(second)
        first.media.play(None)
        self._follow_hold(first, second)
        return second

    def _follow_hold(self, earlier: Leg, later: Leg) -> None:
        """Have whoever answered last know that the other one holds, since before there was anybody to be told."""
        if earlier.remote is not None and earlier.remote.on_hold:
            later.follow(earlier, self.plan.music)

    def _codecs_of(self, leg: Leg) -> tuple[Codec, ...]:
        """What to offer the peer that ``leg`` will be bridged to."""
        shared = leg.remote.codecs if leg.remote else ()
        # What this one took comes first, so that the other takes the same and nothing is transcoded. What the other sends then
        # is what this one decodes: its parameters are asked for.
        ours = dict.fromkeys((*leg.codecs, *self.plan.codecs))
        first = []
        for codec in ours:
            theirs = codec.among(shared)
            if theirs is not None:
                as_it_is = codec.name == EVENT or codec.fmtp == theirs.fmtp
                first.append(codec if as_it_is else replace(codec, fmtp=theirs.fmtp))
        rest = [codec for codec in self.plan.codecs if codec.among(first) is None]
        # Events are no voice: they stand behind what is.
        return tuple(sorted([*first, *rest], key=lambda codec: codec.name == EVENT))

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
        due = min(_next_look(started), end)
        while True:
            # Also between events: who sends one each second does not keep the call up by it.
            now = self._desk.now()
            if now > due - MOMENT:
                due = min(_next_look(now), end)
                if now > end - MOMENT:
                    raise Over(Ending("ALLOTTED_TIMEOUT", why="too long"))
                if not self.plan.may_go_on():
                    raise Over(Ending("ALLOTTED_TIMEOUT", why="minutes"))
                for leg, since in heard.items():
                    # Past us nothing is heard; that the two are there is what the session timers are for.
                    is_past = bypass is not None and bypass.is_on
                    heard[leg] = now if is_past else self._watch(leg, since, now)
            try:
                source, event = await self._events.take(due)
            except TimeoutError:
                continue
            event = self._judge(source, event)
            if source is not None and bypass is not None and bypass.takes(source, event):
                continue
            if isinstance(event, (Renegotiated, OfferAnswered)) and source in heard:
                (contact if source is caller else caller).keep_to(source)
            if isinstance(event, Renegotiated) and source in heard:
                # Hold on one leg reaches the other.
                (contact if source is caller else caller).follow(source, self.plan.music)
            elif isinstance(event, Info) and source in heard:
                key = from_info(event.content_type, event.body)
                if key is not None:
                    (contact if source is caller else caller).press(key, source)
            elif isinstance(event, Referred):
                if bypass is not None:
                    bypass.end()
                caller = await self._transfer(caller, contact, event)
                if bypass is not None:
                    bypass = Bypass(caller, contact)
                heard = {leg: self._desk.now() for leg in (caller, contact)}

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
            search = self._desk.locate(plan)
            with suppress(LegError):  # which is told below
                await search
            new = self._dial(
                plan,
                search,
                self._codecs_of(staying),
                staying,
                lambda plan: referred.referral.notify(180, "Ringing", final=False),
            )
            staying.media.bridge(new.media)
            staying.media.play(self.plan.ringback, until_media=not self.plan.ignore_early_media)
            await self._transferred(new, leaving)
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
            self._in_vain = leaving.plan, over.ending, self._desk.now()
            staying.media.play(None)
            staying.media.bridge(leaving.media)
            # It may have been taken off hold meanwhile.
            staying.follow(leaving, self.plan.music)
            return leaving
        referred.referral.notify(200, "OK", final=True)
        staying.media.play(None)
        staying.align(new)
        staying.keep_to(new)
        new.keep_to(staying)
        if self._recording is not None:
            self._recording.hear(new)
        if not leaving.closed:
            self._leave(leaving, Ending("NORMAL_CLEARING"))
        staying.follow(new, self.plan.music)
        self._follow_hold(staying, new)
        return new

    async def _transferred(self, new: Leg, leaving: Leg) -> None:
        """Wait for the new leg's answer; the one that leaves may hang up meanwhile."""
        until = self._desk.now() + new.plan.timeout
        try:
            while True:
                source, event = await self._events.take(until)
                if source is leaving and isinstance(event, Ended):
                    self._leave(leaving, Ending("NORMAL_CLEARING", None, leaving.plan))
                    continue
                self._judge(source, event)
                if source is new and isinstance(event, Answered):
                    self._recorder.answered(new.plan)
                    return
        except TimeoutError:
            raise Over(Ending("NO_ANSWER", None, new.plan, "unanswered")) from None

    def _leave(self, leg: Leg, ending: Ending) -> None:
        """End one leg, and write down why."""
        outcome = leg.call.outcome
        counters = leg.close(_reason(ending))
        now = self._desk.now()
        self._recorder.leg_ended(
            leg.plan,
            ending.cause,
            ending.status,
            ending.plan,
            counters,
            now,
            partial(leg.facts, outcome),
            # What ends for a reason of ours is hung up by us, whoever it is about.
            by_us=bool(ending.why),
        )
        self.legs.pop(leg.plan.call_id, None)
        self._events.drop(lambda occurred: occurred[0] is leg)

    def _watch(self, leg: Leg, since: float, now: float) -> float:
        """Ask a leg that has been silent for too long whether it is still there; when it was last known to be."""
        if not leg.hears():
            return now
        since = max(since, leg.media.last_received or 0.0)
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
        until = self._desk.now() + self.plan.busy_seconds
        try:
            while leg.call.outcome is None:
                _, event = await self._events.take(until)
                if isinstance(event, HangUp):
                    return
        except TimeoutError:
            return


def _next_look(now: float) -> float:
    """When it is looked again whether audio still comes."""
    return math.ceil((now + WATCH) / TOGETHER) * TOGETHER


def _reason(ending: Ending) -> str:
    """The Reason header that tells the leg that is hung up why (:rfc:`3326`)."""
    if ending.cause == LOST:
        return COMPLETED_ELSEWHERE
    if ending.status is not None and ending.status >= 300:
        return f"SIP;cause={ending.status}"
    return ""
