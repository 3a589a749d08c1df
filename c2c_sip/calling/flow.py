"""One click-to-call, from the click to the last hang-up: :meth:`Flow.run` reads from top to bottom as the call goes."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
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
    Ringing,
)
from sipstack.media import LegCounters, MediaLeg, NoPortsLeft
from sipstack.sdp import Codec, LocalMedia, RemoteMedia

log = logging.getLogger(__name__)

#: Seconds between two looks at whether audio still comes.
WATCH = 2.0


class Desk(Protocol):
    """What a flow needs to make calls: the user agent and the media plane, put together by the engine."""

    async def open_leg(
        self,
        plan: LegPlan,
        codecs: tuple[Codec, ...],
        on_event: Callable[[Event], None],
    ) -> "Leg":
        """Find where the leg goes, take its RTP ports and make its call, without dialling yet.

        :raises LegError: it cannot be placed.
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
        self.remote = remote
        self.media.set_remote(remote, self.local.receive_codecs)

    def close(self, reason: str = "") -> LegCounters:
        """Hang up, and give the ports back."""
        self.call.hang_up(reason)
        if self._final is None:
            self._final = self.media.close()
        return self._final

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
            over = ending
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

    async def _dial(self, plan: LegPlan, codecs: tuple[Codec, ...]) -> Leg:
        def on_event(event: Event) -> None:
            self._events.put_nowait((self.legs.get(plan.role), event))

        try:
            leg = await self._desk.open_leg(plan, codecs, on_event)
        except NoPortsLeft as error:
            raise Over("SWITCH_CONGESTION", 503, plan.role) from error
        except LegError as error:
            log.warning("activation %s: %s: %s", self.plan.activation_id, plan.role, error)
            raise Over("NORMAL_TEMPORARY_FAILURE", 503, plan.role) from error
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

    async def _next(self) -> tuple[Leg | None, Event]:
        """The next event that does not end the call; one that does is raised as :class:`Over`."""
        source, event = await self._events.get()
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
        return source, event

    async def _call_contact(self, extension: Leg) -> Leg:
        shared = extension.remote.codecs if extension.remote else ()
        # What the extension took comes first, so that the contact takes the same and nothing is transcoded.
        first = tuple(c for c in self.plan.codecs if any(c.same_as(s) for s in shared))
        rest = tuple(c for c in self.plan.codecs if c not in first)
        extension.media.play(self.plan.ringback)
        # Events are no voice: they stand behind what is.
        offered = sorted(first + rest, key=lambda codec: codec.name == "telephone-event")
        contact = await self._dial(self.plan.contact, tuple(offered))
        extension.media.bridge(contact.media)
        # Early media, or the answer, ends the tone.
        extension.media.play(self.plan.ringback, until_media=not self.plan.ignore_early_media)
        await self._answer(contact)
        extension.media.play(None)
        return contact

    async def _talk(self, extension: Leg, contact: Leg) -> None:
        """Wait for the end of a bridged call; always leaves by :class:`Over`."""
        started = self._desk.now()
        heard = {leg: started for leg in (extension, contact)}
        while True:
            try:
                async with asyncio.timeout(WATCH):
                    await self._next()
            except TimeoutError:
                now = self._desk.now()
                if now - started >= self.plan.max_duration:
                    raise Over("ALLOTTED_TIMEOUT") from None
                for leg, since in heard.items():
                    heard[leg] = self._watch(leg, since, now)

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
                    source, event = await self._events.get()
                    if source is None and isinstance(event, HangUp):
                        return
        except TimeoutError:
            return

    def _reason(self, over: Over) -> str:
        """The Reason header that tells the leg that is hung up why (:rfc:`3326`)."""
        if over.status is not None and over.status >= 300:
            return f"SIP;cause={over.status}"
        return ""
