"""The engine: the one thread that runs the event loop with all of SIP, and the desk where flows get their legs."""

import asyncio
import contextlib
import logging
import math
import os
import random
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar

from c2c_sip.calling.diagnosis import Diagnosis, of_trunk
from c2c_sip.calling.inbox import Inbox
from c2c_sip.calling.leg import NOWHERE, Keeper, Leg, LegError, Way
from c2c_sip.calling.plan import LegPlan
from c2c_sip.store.standing import as_text
from sipstack.account import Account, account_at
from sipstack.agent import Agent
from sipstack.alarms import Alarms
from sipstack.call import Event, OutgoingCall
from sipstack.dialog import Dialog
from sipstack.fence import Fence
from sipstack.keepalive import Keepalive, Means
from sipstack.media import MediaPlane
from sipstack.message import ParseError, Uri
from sipstack.pending import Pending, withdraw
from sipstack.registration import Registration
from sipstack.resolver import Target
from sipstack.scheduling import interrupt
from sipstack.sdp import Codec, LocalMedia
from sipstack.session import send_in_dialog
from sipstack.session_timer import USUAL
from sipstack.transport import Address, Transport
from sipstack.turns import Loop
from sipstack.useragent import UserAgent

log = logging.getLogger(__name__)

#: Seconds that the start waits for the trunks' first answers.
FIRST_REGISTRATION = 2.0

#: Calls that begin in one turn of the loop, which reads some dozens of messages; a call has seven to read.
BEGINNINGS = 4
#: Seconds that what is to begin may wait before those who ask for more are held up, and seconds that they are.
SOON, HELD_UP = 0.03, 0.5

#: Fences that are kept for the calls to come.
FENCES = 4

T = TypeVar("T")


#: Builds the user agent inside the running loop, where its sockets belong.
UserAgentFactory = Callable[[asyncio.AbstractEventLoop], Awaitable[UserAgent]]


class SipDesk:
    """Makes legs of a user agent and a media plane. ``media_address`` overrides the RTP's local address."""

    def __init__(
        self,
        agent: UserAgent,
        media: MediaPlane,
        *,
        loop: asyncio.AbstractEventLoop,
        rng: random.Random,
        media_address: str = "",
        session_interval: int = USUAL,
        keeper: Keeper = NOWHERE,
    ) -> None:
        self._agent = agent
        self._keeper = keeper
        self._session_interval = session_interval
        self._media = media
        self._loop = loop
        self._rng = rng
        self._media_address = media_address
        #: The loop's clock, which is the monotonic clock that the media plane counts on.
        self.now = loop.time
        self.alarms: Alarms[Inbox[Any]] = Alarms(loop, Inbox.wake)
        # What says where packets may go is one and the same for all calls, until the settings are others.
        self._fenced = lru_cache(FENCES)(partial(Fence, agent))

    def locate(self, plan: LegPlan) -> asyncio.Future[Way]:
        """See :meth:`c2c_sip.calling.flow.Desk.locate`."""
        if plan.at_home:
            fence = Fence(self._agent, plan.accepted, plan.outbound.uri)
        else:
            fence = self._fenced(plan.accepted)
        search: asyncio.Future[Way] = self._loop.create_future()

        def found(targets: Sequence[Target]) -> None:
            if not search.done():
                search.set_result(Way(fence, targets))

        def failed(why: str) -> None:
            if not search.done():
                search.set_exception(LegError(why))

        fence.locate(plan.outbound.next_hop, plan.outbound.account, found, failed)
        return search

    def open_leg(
        self,
        plan: LegPlan,
        way: Way,
        codecs: tuple[Codec, ...],
        on_event: Callable[[Event], None],
        beside: Leg | None,
    ) -> Leg:
        """See :meth:`c2c_sip.calling.flow.Desk.open_leg`."""
        targets = way.targets
        try:
            bind, announced = self._agent.own_host(targets[0])
            if self._media_address:
                if announced == bind:
                    announced = self._media_address
                bind = self._media_address
            known = {target.address[0] for target in targets}
            media = self._media.open(
                bind, known, beside.media if beside is not None else None, announced
            )
        except OSError as error:
            raise LegError(str(error)) from error
        codecs = plan.codecs_of(codecs, first=beside is None)
        session_id = self._rng.getrandbits(48)
        other = beside.remote if beside is not None else None
        local = LocalMedia(
            announced,
            media.rtp_port,
            codecs,
            session_id,
            # What this one sends, the other one gets, packet by packet.
            other.packet_time(plan.ptime) if other is not None else plan.ptime,
            plan.srtp,
            self._rng.randbytes,
        )
        leg = Leg(plan, media, local, codecs, targets, self._keeper)
        leg.call = OutgoingCall(
            way.agent,
            plan.outbound,
            local,
            from_=plan.from_,
            call_id=plan.call_id,
            contact_user=plan.contact_user,
            headers=plan.headers,
            on_event=on_event,
            on_media=leg.described,
            redirect=plan.redirect,
            accepts_referral=plan.accepts_referral,
            session_interval=self._session_interval,
            on_pending=leg.stands,
            on_finished=leg.finished,
        )
        return leg


@dataclass(frozen=True, slots=True)
class Presence:
    """How an account is kept at its trunk: the expiry to register with in seconds, ``None`` where it does not register,
    and the seconds between two questions whether it is there, with the means to ask; 0 asks as often as the registrar
    wants. ``instance`` is the URN to register with by :rfc:`5626`, empty for none."""

    account: Account
    expires: int | None
    keepalive: int = 0
    keepalive_by: Means = "options"
    instance: str = ""


class Engine:
    """Runs a user agent and the registrations of its accounts in a thread of its own."""

    def __init__(
        self,
        build: UserAgentFactory,
        media: MediaPlane,
        *,
        accounts: Sequence[Presence],
        media_address: str = "",
        rng: random.Random,
        session_interval: int = USUAL,
        left_up: Sequence[Mapping[str, Any]] = (),
        keeper: Keeper = NOWHERE,
        accepted: Callable[[str], bool] = lambda host: True,
    ) -> None:
        """``session_interval`` is that of the calls' session timers in seconds, 0 for none.

        ``left_up`` are the dialogs and INVITEs that the last run has not ended; they are hung up first of all, as far as
        that leads where packets may go, which ``accepted`` says of an IP literal. ``keeper`` is told when they are over, and of
        those of this run.
        """
        self.media = media
        self.desk: SipDesk
        self.agent: UserAgent
        self.registrations: dict[str, Registration] = {}
        self.keepalives: dict[str, Keepalive] = {}
        #: What was said last of each trunk that registers.
        self._explained: dict[str, str] = {}
        self._build = build
        self._accounts = accounts
        self._media_address = media_address
        self._rng = rng
        self._session_interval = session_interval
        self._left_up = left_up
        self._keeper = keeper
        self._accepted = accepted
        self._loop = Loop()
        #: The loop's clock, which is the monotonic clock that the media plane counts on. From any thread.
        self.now = self._loop.time
        self._tasks: set[asyncio.Task[None]] = set()
        #: What is to begin, and since when.
        self._waiting: deque[tuple[float, Callable[[], Coroutine[Any, Any, None]]]] = deque()
        self._beginning = False
        #: What is to be done at which moments.
        self._later: dict[float, list[tuple[Callable[[], None], Context]]] = {}
        #: Rung where something is to begin, once for all that the thread has not looked at yet.
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._rung = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        """Start the thread and bind the sockets.

        :raises OSError: a listening address cannot be bound.
        """
        self._thread.start()
        self.media.start()
        try:
            self.call(self._set_up())
        except BaseException:
            self.media.close()
            self._halt()
            raise

    def _run(self) -> None:
        # What has come for a call goes before what the other threads do, which let each other go on.
        interrupt()
        self._loop.run_forever()

    async def _set_up(self) -> None:
        self._loop.add_reader(self._bell, self._arrived)
        self.agent = await self._build(self._loop)
        self.desk = SipDesk(
            self.agent,
            self.media,
            loop=self._loop,
            rng=self._rng,
            media_address=self._media_address,
            session_interval=self._session_interval,
            keeper=self._keeper,
        )
        for presence in self._accounts:
            # Which servers are the trunk's has to be known before one of them challenges.
            account = presence.account
            self.agent.locate(account.next_hop, account, lambda targets: None, lambda why: None)
        by_name = {presence.account.name: presence.account for presence in self._accounts}
        hang_up_what_was_left(self.agent, by_name, self._left_up, self._accepted, self._keeper)
        for presence in self._accounts:
            self._be_present(presence)
        # Whoever waits for the service to be ready may expect it to place calls, if the trunk is there at all.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_REGISTRATION):
                for registration in self.registrations.values():
                    await registration.settled.wait()

    def _be_present(self, presence: Presence) -> None:
        account = presence.account
        if presence.expires is not None:
            registration = Registration(
                self.agent,
                account,
                expires=presence.expires,
                rng=self._rng,
                changed=lambda: self._explain(account.name),
                instance=presence.instance,
            )
            self.registrations[account.name] = registration
            self.agent.server_watchers.append(registration.server_failed)
            self.agent.connection_watchers.append(registration.connection_lost)
            self._keep(registration.run())
        if presence.keepalive or presence.expires is not None:
            keepalive = Keepalive(
                self.agent,
                account,
                interval=presence.keepalive,
                means=presence.keepalive_by,
                rng=self._rng,
                registration=self.registrations.get(account.name),
            )
            self.keepalives[account.name] = keepalive
            self._keep(keepalive.run())

    def trunk_away(self, name: str) -> str:
        """Why a trunk cannot be used now, empty when it can. From any thread."""
        registration = self.registrations.get(name)
        if registration is not None and not registration.registered:
            return f"trunk {name} is not registered: {registration.last_error}"
        keepalive = self.keepalives.get(name)
        if keepalive is not None and not keepalive.alive:
            return f"trunk {name} does not answer: {keepalive.last_error}"
        return ""

    def trunk(self, name: str) -> Diagnosis:
        """How a trunk is, in a sentence. From any thread."""
        registration = self.registrations.get(name)
        standing = registration.standing if registration is not None else None
        return of_trunk(name, standing, self.keepalives.get(name))

    def _explain(self, name: str) -> None:
        """Say once what is wrong with a trunk, however often it is tried again."""
        standing = self.registrations[name].standing
        found = of_trunk(name, standing, None).text
        if found == self._explained.get(name):
            return
        self._explained[name] = found
        if standing.state == "failed":
            log.warning("trunk %s: %s", name, found)

    def call(self, work: Coroutine[Any, Any, T], timeout: float | None = 10.0) -> T:
        """Run ``work`` in the engine's thread and wait for its result, at most ``timeout`` seconds."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def submit(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a coroutine in the engine's thread, from any thread, and return at once.

        Only a few a turn of the loop: what has come for the calls there are goes first, however many are to begin. Else none of
        them would go on in time, and what is sent again for it is more than what was to be done.
        """
        self._waiting.append((self._loop.time(), work))
        if not self._rung:
            self._rung = True
            os.eventfd_write(self._bell, 1)

    def _arrived(self) -> None:
        os.eventfd_read(self._bell)
        # Before looking: for what comes from here on it is rung again.
        self._rung = False
        if not self._beginning:
            self._beginning = True
            self._begin()

    def _begin(self) -> None:
        for _ in range(min(BEGINNINGS, len(self._waiting))):
            _, work = self._waiting.popleft()
            self._keep(work())
        self._beginning = bool(self._waiting)
        if self._beginning:
            self._loop.call_soon(self._begin)

    @property
    def wait(self) -> float:
        """Seconds that the first of those that are to begin has waited."""
        try:
            return self._loop.time() - self._waiting[0][0] if self._waiting else 0.0
        except IndexError:
            return 0.0

    def hold_up(self) -> None:
        """Wait, in another thread, until what is to begin begins soon, or for :data:`HELD_UP` seconds: who asks for more than
        can begin is to wait for his answer, and not the calls that he got already for their INVITE."""
        if not self._waiting:
            return
        end = self._loop.time() + HELD_UP
        while self.wait > SOON and self._loop.time() < end:
            time.sleep(0.01)

    @property
    def waiting(self) -> int:
        """How many are to begin."""
        return len(self._waiting)

    def soon(self, then: Callable[[], None]) -> None:
        """Have ``then`` called in the engine's thread, from any thread."""
        self._loop.call_soon_threadsafe(then)

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        """Have ``then`` called in the engine's thread in so many seconds or up to one more, from any thread.

        All that is due in one second has its turn at once: to wake up for each costs more than what is done.
        """
        moment = math.ceil(self._loop.time() + seconds)
        if threading.current_thread() is self._thread:
            self._at(moment, then)
        else:
            self._loop.call_soon_threadsafe(self._at, moment, then)

    def _at(self, moment: float, then: Callable[[], None]) -> None:
        due = self._later.get(moment)
        if due is None:
            due = self._later[moment] = []
            self._loop.call_at(moment, self._come, moment)
        # The log knows by it which call each is about.
        due.append((then, copy_context()))

    def _come(self, moment: float) -> None:
        for then, context in self._later.pop(moment):
            self._loop.call_soon(then, context=context)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the engine failed", exc_info=task.exception())

    def stop(self, grace: float) -> None:
        """Un-register, wait at most ``grace`` seconds for requests under way, and end the thread."""
        try:
            self.call(self._wind_up(grace), grace + 5.0)
        finally:
            self.media.close()
            self._halt()

    async def _wind_up(self, grace: float) -> None:
        for task in self._tasks:
            task.cancel()
        end = self._loop.time() + grace
        farewells = [registration.close() for registration in self.registrations.values()]
        for failure in await asyncio.gather(*farewells, return_exceptions=True):
            if isinstance(failure, BaseException):
                log.error("an un-REGISTER failed", exc_info=failure)
        while self.agent.calls and self._loop.time() < end:
            await asyncio.sleep(0.02)
        self.agent.close()

    def _halt(self) -> None:
        self._rung = True  # by nobody any more
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        if not self._thread.is_alive():
            self._loop.close()
            os.close(self._bell)


def hang_up_what_was_left(
    agent: Agent,
    accounts: Mapping[str, Account],
    left_up: Sequence[Mapping[str, Any]],
    accepted: Callable[[str], bool],
    keeper: Keeper = NOWHERE,
) -> None:
    """End the calls that a crash has left up; ``accounts`` are known by name.

    ``left_up`` are the legs' dialogs, or the INVITEs of those that were not answered: see :func:`left_of`. Those that
    went through no trunk are led no further than when they were made: ``accepted`` says of an IP literal whether
    packets may go there. ``keeper`` has them until they are over: another crash meanwhile changes nothing.
    """
    for dumped in left_up:
        try:
            pending = Pending.load(dumped["pending"]) if "pending" in dumped else None
            left = pending or Dialog.load(dumped)
            home = Uri.parse(dumped["home"]) if "home" in dumped else None
        except (ParseError, KeyError, TypeError, ValueError) as error:
            _not_hung_up(error)
            keeper.over(str(dumped.get("call_id")))
            continue
        trunk = dumped.get("trunk")
        fenced = agent if trunk else Fence(agent, accepted, home)
        changed = partial(_changed, keeper, dumped)
        end = partial(_end, fenced, accounts.get(trunk or ""), left, changed)
        if home is None:
            end()
        else:
            # Which also says which addresses it has, that may be sent to wherever they are.
            fenced.locate(home, None, end, end)
    if left_up:
        log.warning("%d legs of the last run were still up: hanging up", len(left_up))


def knows_more(written: Mapping[str, Any], kept: Mapping[str, Any]) -> bool:
    """Whether the database has ``written`` more of an INVITE than what is ``kept`` of it from before it left: that it was heard
    of, and which dialogs have come of it."""
    one, other = written.get("pending"), kept.get("pending")
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return False
    return bool(one.get("provisional")) and one.get("headers") == other.get("headers")


def _end(
    agent: Agent,
    account: Account | None,
    left: Pending | Dialog,
    changed: Callable[[Dialog | None], None],
    *_: object,
) -> None:
    try:
        if isinstance(left, Pending):
            withdraw(agent, left, account, changed)
        else:
            send_in_dialog(agent, left, account, "BYE", lambda *_: changed(None))
    except OSError as error:
        _not_hung_up(error)
        changed(None)


def _changed(keeper: Keeper, dumped: Mapping[str, Any], dialog: Dialog | None) -> None:
    """What is left to be ended of a leg of the last run."""
    if dialog is None:
        keeper.over(str(dumped.get("call_id")))
    else:
        more = {name: dumped[name] for name in ("trunk", "home") if name in dumped}
        keeper.keep(dialog.call_id, as_text(dialog.dump() | more))


def _not_hung_up(error: Exception) -> None:
    log.error("a leg of the last run cannot be hung up: %s", error)


def own_servers(accounts: Sequence[Account]) -> Callable[[Address], int]:
    """What an INVITE from outside gets: 480 from a trunk's servers, since nobody is here to answer; 403 from others."""

    def refuse(source: Address) -> int:
        account = account_at(accounts, source)
        if account is None:
            return 403
        log.info("trunk %s: a call from %s is refused", account.name, source[0])
        return 480

    return refuse


__all__ = ["Engine", "SipDesk", "Transport", "UserAgentFactory", "own_servers"]
