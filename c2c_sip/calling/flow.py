"""One click-to-call, from the click to the last hang-up: :meth:`Flow.run` reads from top to bottom as the call goes."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from c2c_sip.calling.causes import hangup_cause
from c2c_sip.calling.plan import LegPlan, Plan
from c2c_sip.calling.recorder import Recorder
from sipstack.call import (
    Answered,
    EarlyMedia,
    Ended,
    Event,
    Failed,
    OutgoingCall,
    Referred,
    Refreshed,
    Renegotiated,
    Ringing,
)
from sipstack.media import LegCounters, MediaLeg, NoPortsLeft
from sipstack.message import REASONS
from sipstack.sdp import Codec, LocalMedia, RemoteMedia

log = logging.getLogger(__name__)

#: Seconds between two looks at whether audio still comes.
WATCH = 2.0
#: The hangup cause of a call whose relay has died.
RELAY_LOST = "NORMAL_TEMPORARY_FAILURE"


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

        ``beside`` is another leg of the same call.

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


class Over(Exception):
    """The call is over: its hangup cause, the SIP status behind it, and the leg it came from."""

    def __init__(self, cause: str, status: int | None = None, role: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.status = status
        self.role = role


@dataclass(frozen=True, slots=True)
class HangUp:
    """Somebody asked for the call's end: the API, or the service that stops."""

    cause: str


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
        """What it takes to hang the leg up without us: its dialog and its trunk."""
        dialog, account = self.call.dialog, self.plan.outbound.account
        dumped = dialog.dump() if dialog is not None else {}
        return dumped | {"trunk": account.name if account is not None else None}

    def described(self, remote: RemoteMedia) -> None:
        """The peer's media was agreed on, for the first time or anew."""
        direct = self.call.outbound.account is None and not self.plan.at_home
        if direct and not all(map(self.plan.accepted, (remote.address, remote.rtcp_address))):
            remote = replace(remote, withheld=True)
        self.remote = remote
        self.media.set_remote(remote, self.local.receive_codecs)

    def close(self, reason: str = "") -> LegCounters:
        """Hang up, and give the ports back."""
        self.closed = True
        self.call.hang_up(reason)
        if self._final is None:
            self._final = self.media.close()
            self.media.on_lost = lambda: None  # which holds the flow
        return self._final

    def follow(self, other: "Leg") -> None:
        """Let the peer know what the other leg's peer does with the stream: hold it, or take it up again."""
        wanted = other.remote.direction if other.remote is not None else "sendrecv"
        if self.call.session is not None and wanted != self.local.direction:
            self.call.session.offer(wanted)

    def hears(self) -> bool:
        """Whether the peer may be expected to send audio: not while it holds us or refuses to send."""
        remote = self.remote
        return (
            remote is not None
            and not remote.on_hold
            and remote.direction
            in (
                "sendrecv",
                "sendonly",
            )
        )


class Flow:
    """One activation at work."""

    def __init__(self, plan: Plan, desk: Desk, recorder: Recorder) -> None:
        self.plan = plan
        self._desk = desk
        self._recorder = recorder
        self._events: asyncio.Queue[tuple[Leg | None, Event | HangUp]] = asyncio.Queue()
        self.legs: dict[str, Leg] = {}
        self._asked: set[str] = set()
        self._gone: dict[str, bool] = {}

    def hang_up(self, cause: str) -> None:
        """End the call from outside, with this hangup cause."""
        self._events.put_nowait((None, HangUp(cause)))

    async def run(self) -> None:
        """Make the call. Whatever happens, both legs are hung up, the ports are free, and the record is written."""
        over = Over("NORMAL_TEMPORARY_FAILURE")
        try:
            await self._check(self.plan.contact)
            extension = await self._dial(self.plan.extension, self.plan.codecs)
            try:
                await self._answer(extension)
                self._recorder.state("extension_answered")
                contact = await self._call_contact(extension)
                self._recorder.connected()
                await self._talk(extension, contact)
            except Over as ending:
                if ending.role == "contact" and not self.connected:
                    # The record need not wait for the tone.
                    self._recorder.outcome(ending.cause, ending.status)
                    await self._busy(extension)
                raise
        except Over as ending:
            # Not the exception itself: its traceback holds this very frame, and so all of the call.
            over = Over(ending.cause, ending.status, ending.role)
        except asyncio.CancelledError:
            over = Over("SYSTEM_SHUTDOWN")
            raise
        except Exception:
            log.exception("activation %s failed", self.plan.activation_id)
        finally:
            for role, leg in self.legs.items():
                counters = leg.close(self._reason(over))
                self._recorder.leg_ended(role, over.cause, over.status, over.role, counters)
            self._recorder.ended(over.cause, over.status)

    @property
    def connected(self) -> bool:
        """Whether the two were connected."""
        return self._recorder.is_connected

    async def _check(self, plan: LegPlan) -> None:
        """Nobody is rung for the sake of a contact that cannot be."""
        try:
            await self._desk.check(plan)
        except LegError as error:
            log.warning("activation %s: %s: %s", self.plan.activation_id, plan.role, error)
            raise Over("NORMAL_TEMPORARY_FAILURE", 503, plan.role) from error

    async def _dial(self, plan: LegPlan, codecs: tuple[Codec, ...]) -> Leg:
        leg: Leg | None = None

        def on_event(event: Event) -> None:
            self._events.put_nowait((leg, event))

        try:
            beside = next(iter(self.legs.values()), None)
            leg = await self._desk.open_leg(plan, codecs, on_event, beside)
        except NoPortsLeft as error:
            raise Over("SWITCH_CONGESTION", 503, plan.role) from error
        except LegError as error:
            log.warning("activation %s: %s: %s", self.plan.activation_id, plan.role, error)
            raise Over("NORMAL_TEMPORARY_FAILURE", 503, plan.role) from error
        loop = asyncio.get_running_loop()
        leg.media.on_lost = lambda: loop.call_soon_threadsafe(self.hang_up, RELAY_LOST)
        self.legs[plan.role] = leg
        self._recorder.leg_dialled(plan)
        leg.dial()
        return leg

    async def _answer(self, leg: Leg) -> None:
        """Wait for the leg's answer, for as long as it may ring, while the other leg may hang up."""
        role = leg.plan.role
        try:
            async with asyncio.timeout(leg.plan.timeout):
                while True:
                    source, event = await self._next()
                    if source is leg and isinstance(event, (Ringing, EarlyMedia)):
                        self._recorder.ringing(role)
                    elif source is leg and isinstance(event, Answered):
                        self._recorder.answered(role, leg.dialog())
                        return
        except TimeoutError:
            raise Over("NO_ANSWER", None, role) from None

    async def _take(self) -> tuple[Leg | None, Event | HangUp]:
        """The next event of a leg that is not closed, or from outside."""
        while True:
            source, event = await self._events.get()
            if source is None or not source.closed:
                return source, event

    async def _next(self) -> tuple[Leg | None, Event]:
        """The next event that does not end the call; one that does is raised as :class:`Over`."""
        source, event = await self._take()
        return source, self._judge(source, event)

    def _judge(self, source: Leg | None, event: Event | HangUp) -> Event:
        """The event, if it does not end the call.

        :raises Over: it does
        """
        role = source.plan.role if source is not None else ""
        match event:
            case HangUp(cause):
                raise Over(cause)
            case Failed(status, _, q850):
                raise Over(hangup_cause(status, q850), status, role)
            case Ended(by):
                if by == "network":
                    raise Over("RECOVERY_ON_TIMER_EXPIRE", None, role)
                raise Over("NORMAL_CLEARING" if self.connected else "ORIGINATOR_CANCEL", None, role)
            case Renegotiated() | Refreshed() if source is not None:
                self._recorder.dialog_changed(role, source.dialog())
            case Referred(_, referral) if not self.connected:
                referral.notify(603, "Decline", final=True)
        return event

    async def _call_contact(self, extension: Leg) -> Leg:
        extension.media.play(self.plan.ringback)
        contact = await self._dial(self.plan.contact, self._codecs_of(extension))
        extension.media.bridge(contact.media)
        # Early media, or the answer, ends the tone.
        extension.media.play(self.plan.ringback, until_media=not self.plan.ignore_early_media)
        await self._answer(contact)
        extension.media.play(None)
        return contact

    def _codecs_of(self, leg: Leg) -> tuple[Codec, ...]:
        """What to offer the peer that ``leg`` will be bridged to."""
        shared = leg.remote.codecs if leg.remote else ()
        # What this one took comes first, so that the other takes the same and nothing is transcoded.
        ours = dict.fromkeys((*leg.codecs, *self.plan.codecs))
        first = tuple(c for c in ours if any(c.same_as(s) for s in shared))
        rest = tuple(c for c in self.plan.codecs if c not in first)
        # Events are no voice: they stand behind what is.
        return tuple(sorted(first + rest, key=lambda codec: codec.name == "telephone-event"))

    async def _talk(self, caller: Leg, contact: Leg) -> None:
        """Wait for the end of a bridged call; always leaves by :class:`Over`.

        ``caller`` is the extension, or whom it transferred the contact to.
        """
        started = self._desk.now()
        heard = {leg: started for leg in (caller, contact)}
        while True:
            try:
                async with asyncio.timeout(WATCH):
                    source, event = await self._next()
            except TimeoutError:
                now = self._desk.now()
                if now - started >= self.plan.max_duration or not self.plan.may_go_on():
                    raise Over("ALLOTTED_TIMEOUT") from None
                for leg, since in heard.items():
                    heard[leg] = self._watch(leg, since, now)
                continue
            if isinstance(event, Renegotiated) and source in heard:
                # Hold on one leg reaches the other.
                (contact if source is caller else caller).follow(source)
            elif isinstance(event, Referred):
                caller = await self._transfer(caller, contact, event)
                heard = {leg: self._desk.now() for leg in (caller, contact)}

    # --- blind transfer

    async def _transfer(self, leaving: Leg, staying: Leg, referred: Referred) -> Leg:
        """Call where the extension's phone sends the contact; the leg that the contact has afterwards.

        That is the new one if it answers, and the old one if it does not and is still there.
        """
        plan = self.plan.transfer(referred.target)
        if plan is None:
            referred.referral.notify(603, "Decline", final=True)
            return leaving
        staying.media.play(self.plan.ringback)
        new: Leg | None = None
        try:
            new = await self._dial(plan, self._codecs_of(staying))
            staying.media.bridge(new.media)
            staying.media.play(self.plan.ringback, until_media=not self.plan.ignore_early_media)
            await self._transferred(new, leaving, referred)
        except Over as ending:
            if ending.role != plan.role:
                raise
            status = ending.status or 480
            reason = REASONS.get(status, "Not Reached")
            referred.referral.notify(status, reason, final=True)
            if new is not None:
                self._leave(new, ending, plan.role)
            if leaving.closed:
                raise
            staying.media.play(None)
            staying.media.bridge(leaving.media)
            return leaving
        referred.referral.notify(200, "OK", final=True)
        staying.media.play(None)
        if not leaving.closed:
            self._leave(leaving, Over("NORMAL_CLEARING"), "")
        staying.follow(new)
        return new

    async def _transferred(self, new: Leg, leaving: Leg, referred: Referred) -> None:
        """Wait for the new leg's answer; the one that leaves may hang up meanwhile."""
        try:
            async with asyncio.timeout(new.plan.timeout):
                while True:
                    source, event = await self._take()
                    if source is leaving and isinstance(event, Ended):
                        self._leave(leaving, Over("NORMAL_CLEARING"), leaving.plan.role)
                        continue
                    event = self._judge(source, event)
                    if source is new and isinstance(event, (Ringing, EarlyMedia)):
                        referred.referral.notify(180, "Ringing", final=False)
                    elif source is new and isinstance(event, Answered):
                        self._recorder.answered(new.plan.role, new.dialog())
                        return
        except TimeoutError:
            raise Over("NO_ANSWER", None, new.plan.role) from None

    def _leave(self, leg: Leg, over: Over, guilty: str) -> None:
        """End one leg of a call that goes on without it."""
        counters = leg.close(self._reason(over))
        self._recorder.leg_ended(leg.plan.role, over.cause, over.status, guilty, counters)
        self.legs.pop(leg.plan.role, None)

    def _watch(self, leg: Leg, since: float, now: float) -> float:
        """Ask a leg that has been silent for too long whether it is still there; when it was last known to be."""
        if not leg.hears():
            return now
        last = leg.media.counters().last_received
        since = max(since, last or 0.0)
        if now - since < self.plan.media_timeout or leg.plan.role in self._asked:
            return since
        self._asked.add(leg.plan.role)

        def answered(alive: bool) -> None:
            self._asked.discard(leg.plan.role)
            if not alive:
                leg.call.lost()

        leg.call.is_alive(answered)
        # An answer proves it to be there: the next question comes after another silence of that length.
        return now

    async def _busy(self, extension: Leg) -> None:
        """Let the extension hear that the contact cannot be had, until it hangs up."""
        if extension.call.outcome is not None or not self.plan.busy_seconds:
            return
        contact = self.legs.get("contact")
        if contact is not None:
            contact.close()
            extension.media.unbridge()
        extension.media.play(self.plan.busy)
        try:
            async with asyncio.timeout(self.plan.busy_seconds):
                while extension.call.outcome is None:
                    _, event = await self._take()
                    if isinstance(event, HangUp):
                        return
        except TimeoutError:
            return

    def _reason(self, over: Over) -> str:
        """The Reason header that tells the leg that is hung up why (:rfc:`3326`)."""
        if over.status is not None and over.status >= 300:
            return f"SIP;cause={over.status}"
        return ""
