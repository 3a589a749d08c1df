"""The door between the API's threads and the engine: activations go in, states and live legs are seen from outside."""

import json
import logging
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from c2c_sip import logs
from c2c_sip.calling import channels, hours, numbering, policy, routing, variables
from c2c_sip.calling.contact import Contact
from c2c_sip.calling.engine import Engine
from c2c_sip.calling.flow import Flow
from c2c_sip.calling.guard import Guard, Minutes, Proof
from c2c_sip.calling.leg import Leg
from c2c_sip.calling.limits import client_key
from c2c_sip.calling.links import Link
from c2c_sip.calling.notices import Notices, facts_of
from c2c_sip.calling.plan import LegPlan
from c2c_sip.calling.planner import LegRoute, Planner
from c2c_sip.calling.policy import Refusal
from c2c_sip.calling.recorder import Recorder
from c2c_sip.calling.recording import Tape
from c2c_sip.calling.refusals import Refusals
from c2c_sip.calling.sounds import Sounds
from c2c_sip.calling.tally import Tally
from c2c_sip.calling.tracing import Tracing
from c2c_sip.config import Config
from c2c_sip.store import Store
from c2c_sip.store.identifiers import new_id, token
from sipstack.account import Account
from sipstack.trace import Datagram, TracedMessage

log = logging.getLogger(__name__)

#: Seconds after which a caller that found the service full or a trunk away may try again.
RETRY_AFTER = 5
#: Seconds that a call may wait for its beginning before no more are taken on.
LONGEST_WAIT = 2.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether new calls can be placed: the reasons why not, and whether it is only that all lines are taken."""

    reasons: tuple[str, ...]
    full: bool


@dataclass(slots=True)
class _Live:
    """An activation that has not ended."""

    account_id: str
    clicktocall_id: str
    contact: str
    flow: Flow
    recorder: Recorder
    started: float
    #: Legs that it may have at once.
    lines: int
    #: It was connected, has failed or ended.
    is_settled: bool = False


class Calling:
    """Takes activations and shows what became of them. All public methods may be called from any thread."""

    def __init__(
        self,
        config: Config,
        store: Store,
        engine: Engine,
        accounts: Mapping[str, Account],
        tracing: Tracing,
        wall: Callable[[], float] = time.time,
        verify_captcha: Callable[[str, str], bool] = lambda response, client: False,
        told: Callable[[], None] = lambda: None,
        tape: Tape | None = None,
    ) -> None:
        """``told`` is called when there is something new for a webhook; without a ``tape`` nothing can be recorded."""
        #: What has become of the calls so far.
        self.tally = Tally()
        self._tape = tape
        self._config = config
        self._store = store
        self._engine = engine
        self._accounts = accounts
        self._tracing = tracing
        self._wall = wall
        self._told = told
        self._rng = random.SystemRandom()
        self._sounds = Sounds(store.media, config.media.ringback, engine.media.forget)
        self._guard = Guard(config, store.guard, wall(), verify_captcha)
        self._refusals = Refusals(store, new_id=new_id, later=engine.later)
        self._planner = Planner(config, accounts, self._guard, self._sounds, tape)
        # One at a time: whitelists take the processor only, and each thread at it is one more that the interpreter
        # gives a turn before the one that sends audio.
        self._deciding = threading.Lock()
        self._lock = threading.Lock()
        self._live: dict[str, _Live] = {}
        #: Activations admitted and not ended, by click-to-call: a slot is taken before the record is written.
        self._admitted: Counter[str] = Counter()
        #: Legs that those may have together.
        self._lines = 0
        self._stopping = False
        #: Told of each call that is settled, and when none is left.
        self._news = threading.Condition(self._lock)

    def prepare(self) -> None:
        """Make what every call takes now: the first one would have all others wait for it."""
        for source in self._sounds.usual:
            self._engine.media.prepare(source)
        numbering.prepare(self._config.calling.default_region)

    # --- activation

    def activate(
        self,
        account: Mapping[str, Any],
        clicktocall: Mapping[str, Any],
        contact: object,
        *,
        authenticated: bool,
        client: str,
        local: bool = False,
        link: str = "",
        brought: Callable[[], Proof] = Proof,
        parameter: Callable[[str], str] = lambda name: "",
    ) -> dict[str, Any]:
        """Check an activation, write it down, and start the call; the history row, which is on disk on return.

        :param contact: what came as the contact, whatever it is; a link may name its own
        :param authenticated: whether the request had a valid token
        :param client: the IP address that the request came from
        :param local: whether it is a program of this very machine that asks, with no proxy in between
        :param link: the token of a link, where the request came by one
        :param brought: gives what a visitor brings to show that it is one
        :param parameter: a further parameter of the request by its name; empty where it has none such
        :raises Refusal: it must not or cannot be placed; ``refusal.activation`` is the record, where there is one.
        """
        self._engine.hold_up()
        now = self._wall()
        try:
            allowed = self._guard.read_link(link, clicktocall["id"], now) if link else None
            if allowed is not None and allowed.contact is not None:
                contact = allowed.contact
            return self._activate(
                account,
                clicktocall,
                contact,
                authenticated,
                client,
                local,
                allowed,
                brought,
                parameter,
                now,
            )
        except Refusal as refusal:
            with self._lock:
                self.tally.refused[refusal.reason] += 1
            if refusal.kind != "stopping":
                self._refusals.record(
                    refusal, account["id"], clicktocall["id"], contact, client_key(client), now
                )
            raise

    def sign_link(
        self, account: Mapping[str, Any], clicktocall: Mapping[str, Any], link: Link
    ) -> str:
        """The token of a link, whose contact may be called.

        :raises Refusal: it may not
        """
        if link.contact is not None:
            rules = self._guard.rules(account)
            policy.check(
                clicktocall,
                link.contact,
                account,
                authenticated=True,
                rules=rules,
                dialled=lambda read: self._planner.dialled(account, clicktocall, read, rules),
            )
        return self._guard.sign_link(link)

    def region(self, account: Mapping[str, Any]) -> str:
        """The region in whose way an account's numbers are written."""
        return self._guard.rules(account).region

    def get_dials(self, account: Mapping[str, Any], clicktocall: Mapping[str, Any]) -> bool:
        """Whether a GET of the activation URL dials."""
        return self._guard.get_dials(account, clicktocall)

    def _activate(
        self,
        account: Mapping[str, Any],
        clicktocall: Mapping[str, Any],
        contact: object,
        authenticated: bool,
        client: str,
        local: bool,
        link: Link | None,
        brought: Callable[[], Proof],
        parameter: Callable[[str], str],
        now: float,
    ) -> dict[str, Any]:
        guard = self._guard
        rules = guard.rules(account)
        self._check_hours(clicktocall, now)

        def dialled(read: Contact) -> list[str]:
            return self._planner.dialled(account, clicktocall, read, rules)

        with self._deciding:
            checked = policy.check(
                clicktocall,
                contact,
                account,
                authenticated=authenticated or link is not None,
                rules=rules,
                dialled=dialled,
            )
        if link is not None and link.pattern is not None:
            policy.check_link(link.pattern, checked, dialled(checked.contact))
        if clicktocall.get("record") and self._tape is None:
            # Rather no call than one that somebody relies on to be recorded.
            raise Refusal("unavailable", "calls cannot be recorded: recording.directory is not set")
        routes = self._planner.routes(account, clicktocall, checked, rules)
        called = checked.called
        guard.check_never_call(account["id"], called, contact)
        minutes = guard.minutes(account, now)
        if minutes is not None:
            minutes.check(now)
        clicktocall = _as_asked(clicktocall, authenticated, parameter)
        kept = variables.fill(clicktocall.get("custom_application_vars") or {}, parameter)
        if not authenticated and link is None and guard.wanted_proof(clicktocall) != "none":
            guard.check_proof(clicktocall, checked.text, brought(), client, now)
        away = self._trunk_away(routes)
        if why := self._engine.trunk_away(away):
            raise Refusal(
                "unavailable",
                why,
                retry_after=RETRY_AFTER,
                explanation=f"Nobody was called. {self._engine.trunk(away).text}",
            )
        counted = not authenticated and guard.counts(account, clicktocall, local)
        row: dict[str, Any] = {
            "id": new_id(),
            "account_id": account["id"],
            "clicktocall_id": clicktocall["id"],
            "contact": checked.text,
            "client": client_key(client),
            "called": called,
            "is_public": int(counted),
            "created": now,
            "state": "initiated",
            "call_id": token(12),
            "extension_call_id": token(12),
            "variables": json.dumps(kept) if kept else None,
        }
        self._admit(clicktocall, len(routes))
        about = logs.activation.set(row["id"])
        take_back: Callable[[], None] | None = None
        try:
            if counted:
                take_back = guard.admit(account, clicktocall, called, client, now, local=local)
            if link is not None:
                guard.use_link(link, now)
            hooks = self._store.webhooks.enabled(account["id"])
            notices = Notices(hooks, facts_of(row) if hooks else {}, new_id, self._wall)
            self._store.create_activation(row, notices.of("initiated", {})).result()
            live = self._prepare(row, account, clicktocall, routes, kept, minutes, notices)
            log.info("click-to-call %s from %s: %s", clicktocall["id"], client, contact)
        except BaseException:
            if take_back is not None:
                take_back()
            self._leave(clicktocall["id"], len(routes))
            raise
        finally:
            logs.activation.reset(about)
        with self._lock:
            self._live[row["id"]] = live
        self._engine.submit(lambda: self._run(row["id"], live))
        return row

    def _trunk_away(self, routes: Sequence[LegRoute]) -> str:
        """The trunk that the contact, or all the extensions, need and that cannot be used now; empty when all can."""
        contact, *extensions = [self._away(route.destination.trunk) for route in routes]
        return contact or (extensions[0] if all(extensions) else "")

    def _away(self, trunk: routing.Trunk | None) -> str:
        return trunk.name if trunk is not None and self._engine.trunk_away(trunk.name) else ""

    def _check_hours(self, clicktocall: Mapping[str, Any], now: float) -> None:
        when = clicktocall.get("hours")
        if not when or hours.is_open(when, now):
            return
        opens = hours.next_change(when, now)
        raise Refusal(
            "unavailable",
            str(when.get("message") or hours.CLOSED),
            reason="hours",
            retry_after=math.ceil(opens - now) if opens is not None else None,
        )

    def _admit(self, clicktocall: Mapping[str, Any], lines: int) -> None:
        throttle = clicktocall.get("throttle") or 0
        with self._lock:
            if self._stopping:
                raise Refusal("stopping", "the service is stopping", retry_after=RETRY_AFTER)
            if throttle and self._admitted[clicktocall["id"]] >= throttle:
                raise Refusal(
                    "throttled",
                    f"{throttle} calls of this click-to-call are active already",
                    retry_after=RETRY_AFTER,
                )
            if self._is_full(lines):
                raise Refusal("full", "all lines are in use", retry_after=RETRY_AFTER)
            if self._engine.wait > LONGEST_WAIT:
                raise Refusal("full", "too many calls begin at once", retry_after=1)
            self._admitted[clicktocall["id"]] += 1
            self._lines += lines

    def _is_full(self, lines: int = 2) -> bool:
        """Whether no call of so many legs can be had: for the setting, or for the ports that it takes."""
        limit = self._config.calling.max_calls
        return (
            0 < limit <= self._admitted.total() or self._lines + lines > self._engine.media.capacity
        )

    def _answered(self, live: _Live) -> None:
        """Of the extensions that rang only one is left."""
        with self._lock:
            self._lines -= live.lines - 2
            live.lines = 2

    def _leave(self, clicktocall_id: str, lines: int) -> None:
        with self._lock:
            self._lines -= lines
            self._admitted[clicktocall_id] -= 1
            if self._admitted[clicktocall_id] <= 0:
                del self._admitted[clicktocall_id]

    def _prepare(
        self,
        row: Mapping[str, Any],
        account: Mapping[str, Any],
        clicktocall: Mapping[str, Any],
        routes: Sequence[LegRoute],
        kept: Mapping[str, str],
        minutes: Minutes | None,
        notices: Notices,
    ) -> _Live:
        plan = self._planner.plan(
            row,
            account,
            clicktocall,
            routes,
            kept,
            watch=lambda media: self._tracing.watch(row["id"], media),
            may_go_on=lambda: minutes is None or minutes.are_left(self._wall()),
        )
        is_told = bool(notices)

        def changed(state: str) -> None:
            if minutes is not None and state == "connected":
                minutes.start(self._wall())
            if minutes is not None and state == "ended" and recorder.is_connected:
                minutes.stop(self._wall())
            if live.lines > 2 and state in ("extension_answered", "connected"):
                self._answered(live)
            if state in ("connected", "failed", "ended"):
                self._settle(live)
            if is_told:
                self._told()

        recorder = Recorder(
            self._store,
            activation_id=row["id"],
            account_id=row["account_id"],
            created=row["created"],
            new_id=new_id,
            wall=self._steady(),
            changed=changed,
            dialled=lambda leg: self._tracing.follow(row["id"], leg.call_id),
            notices=notices.of,
            tally=self.tally,
        )
        flow = Flow(plan, self._engine.desk, recorder)
        live = _Live(
            row["account_id"],
            row["clicktocall_id"],
            row["contact"],
            flow,
            recorder,
            row["created"],
            len(routes),
        )
        return live

    def _steady(self) -> Callable[[], float]:
        """The time of day as it goes on from now for one call, whose seconds are counted and paid: whoever sets the machine's
        clock meanwhile makes it no longer and no shorter."""
        now = self._engine.now
        offset = self._wall() - now()
        return lambda: offset + now()

    async def _run(self, activation_id: str, live: _Live) -> None:
        # Of this task and of all that follows from it.
        logs.activation.set(activation_id)
        try:
            await live.flow.run()
        finally:
            self._settle(live)
            self._tracing.ended(activation_id)
            self._leave(live.clicktocall_id, live.lines)
            with self._lock:
                self._live.pop(activation_id, None)
                if not self._live:
                    self._news.notify_all()

    def _settle(self, live: _Live) -> None:
        """Have whoever waits for a call go on."""
        if not live.is_settled:
            with self._lock:
                live.is_settled = True
                self._news.notify_all()

    # --- looking

    def trace(self, activation_id: str) -> list[TracedMessage] | None:
        """The SIP messages of an activation, whose times are since the epoch; ``None`` where they are not kept."""
        found = self._tracing.of(activation_id)
        if found is None:
            # It may just be on its way to the disk.
            self._store.flush()
            found = self._tracing.of(activation_id)
        return found

    def heads(self, activation_id: str) -> list[Datagram]:
        """The RTP headers of an activation whose :meth:`trace` was found, as far as they are kept."""
        return self._tracing.heads(activation_id)

    def wait(self, activation_id: str, timeout: float) -> None:
        """Block until the activation is connected, has failed or ended, and its record says so; or ``timeout`` seconds."""
        with self._news:
            live = self._live.get(activation_id)
            if live is not None:
                self._news.wait_for(lambda: live.is_settled, timeout)
        self._store.flush()

    def channels(self, account_id: str) -> list[dict[str, Any]]:
        """The live legs of an account."""
        return [
            self._channel(live, leg)
            for live in self._lives_of(account_id)
            for leg in list(live.flow.legs.values())
            if leg.call.outcome is None
        ]

    def _lives_of(self, account_id: str) -> list[_Live]:
        with self._lock:
            return [live for live in self._live.values() if live.account_id == account_id]

    def _channel(self, live: _Live, leg: Leg | LegPlan) -> dict[str, Any]:
        return channels.describe(
            live.flow,
            leg,
            live.clicktocall_id,
            live.recorder.current,
            live.started,
            live.recorder.now() - live.started,
            self._engine.now(),
        )

    def channel(self, account_id: str, call_id: str) -> dict[str, Any] | None:
        """One live leg by its Call-ID; ``None`` when there is none such."""
        for channel in self.channels(account_id):
            if channel["call_id"] == call_id:
                return channel
        return None

    def states(self) -> Counter[str]:
        """How many calls are in each state now."""
        with self._lock:
            return Counter(live.recorder.current for live in self._live.values())

    def calls_by_trunk(self) -> Counter[str]:
        """How many of the live calls have a leg that a trunk carries, by the trunk's name."""
        with self._lock:
            lives = list(self._live.values())
        found: Counter[str] = Counter()
        for live in lives:
            accounts = [leg.plan.outbound.account for leg in list(live.flow.legs.values())]
            found.update({account.name for account in accounts if account is not None})
        return found

    def hangup(self, account_id: str, call_id: str) -> dict[str, Any] | None:
        """Hang up the call that a leg is of, and show that leg; ``None`` where no live call has such a leg.

        The leg may still be to come: who has just activated knows its Call-ID from the answer, and wants no call any
        more, whomever it has reached by then.
        """
        for live in self._lives_of(account_id):
            live_legs = [leg for leg in list(live.flow.legs.values()) if leg.call.outcome is None]
            plan = live.flow.plan
            legs: list[Leg | LegPlan] = [*live_legs, *plan.extensions, plan.contact]
            for leg in legs:
                own = leg.plan if isinstance(leg, Leg) else leg
                if own.call_id == call_id:
                    shown = self._channel(live, leg)
                    self._engine.soon(lambda live=live: live.flow.hang_up("NORMAL_CLEARING"))  # type: ignore[misc]
                    return shown
        return None

    def live(self) -> int:
        """How many calls are up, or are about to be."""
        with self._lock:
            return self._admitted.total()

    def readiness(self) -> Readiness:
        """Whether a call can be placed now."""
        reasons = [why for name in self._accounts if (why := self._engine.trunk_away(name))]
        with self._lock:
            if self._stopping:
                reasons.append("the service is stopping")
            full = self._is_full()
        return Readiness(tuple(reasons), full)

    # --- other settings, and the end

    def reconfigure(self, config: Config) -> None:
        """Go by these settings from the next activation on; only those differ that may.

        :raises OSError: the audio of ``media.ringback`` cannot be read.
        :raises WavError: nor played.
        """
        self._sounds.reconfigure(config.media.ringback)
        self._guard.reconfigure(config, self._wall())
        self._planner.reconfigure(config)
        self._config = config

    def stop(self, timeout: float) -> None:
        """Take no more activations, hang up the live calls, and wait at most ``timeout`` seconds for their records."""
        with self._lock:
            self._stopping = True
            lives = list(self._live.values())
        for live in lives:
            self._engine.soon(lambda live=live: live.flow.hang_up("SYSTEM_SHUTDOWN"))  # type: ignore[misc]
        with self._news:
            self._news.wait_for(lambda: not self._live, timeout)
        self._refusals.flush()


def _as_asked(
    clicktocall: Mapping[str, Any], authenticated: bool, parameter: Callable[[str], str]
) -> Mapping[str, Any]:
    """The click-to-call as one request wants it.

    A phone that answers by itself is a microphone in a room: the public may switch that off, and not on.
    """
    asked = parameter("auto_answer").strip().lower()
    if asked == "false" or (asked == "true" and authenticated):
        return {**clicktocall, "auto_answer": asked == "true"}
    return clicktocall
