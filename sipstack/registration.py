"""Keeping an account registered (:rfc:`3261` §10.2), and watching its trunk."""

import asyncio
import contextlib
import ipaddress
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sipstack.account import Account, Attempt, proxy_uri
from sipstack.agent import Agent, Handlers, preference, retry_after, supports
from sipstack.dialog import as_request_uri
from sipstack.lenient import CONTACTS, readable
from sipstack.message import (
    REASONS,
    NameAddr,
    Request,
    Response,
    Uri,
    delta_seconds,
    make_request,
)
from sipstack.message.uri import hostport_text
from sipstack.resolver import Target
from sipstack.transport import Address

log = logging.getLogger(__name__)

#: Back-off after a failure, in seconds: doubled from the first to the last.
FIRST_RETRY, LAST_RETRY = 5.0, 600.0
#: A registrar's shortest expiry that is worth having; below, the refreshes would be a flood.
SHORTEST = 10
#: What :attr:`Registration.last_error` says after a binding was taken back.
UNREGISTERED = "un-registered"
#: Seconds that the un-REGISTER at the end may take.
FAREWELL = 2.0
#: Seconds without any answer after which the next server is asked, if there is one.
IMPATIENCE = 3.0
#: Seconds between two looks at whether our own address has changed.
WATCH = 10.0
#: Seconds that a registration has to last for the next reason to register anew to be taken at its word. A server that
#: ends each connection, or an address that changes all the time, is given twice as long each time.
CALM = 30.0
#: Seconds between two keep-alives over UDP where the registrar has :rfc:`5626` and does not say how many (§4.4.2).
FLOW = 29.0


#: Places that a registrar's redirections may send one REGISTER to.
REDIRECTIONS = 5
#: Statuses whose Contact is where to register, and the one whose Contact is a proxy on the way (:rfc:`3261` §21.3).
_MOVED, _USE_PROXY = (300, 301, 302), 305

#: ``registering`` until the first answer, ``unregistered`` after the farewell.
State = Literal["registering", "registered", "failed", "unregistered"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where to register: the Request-URI, and a proxy to go by where one is wanted."""

    uri: Uri
    routes: tuple[NameAddr, ...] = ()

    @property
    def hop(self) -> Uri:
        """The URI whose servers the REGISTER is sent to."""
        return self.routes[0].uri if self.routes else self.uri

    def __str__(self) -> str:
        return str(self.hop)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, and when on the loop's clock; ``status`` is that of a final response, if there was one.

    ``name``: the servers were not found; ``unreachable``, ``silent``: one of them, at ``server``, could not be reached, or
    did not answer; ``refused``: it has.
    """

    status: int | None
    reason: str
    at: float
    kind: Literal["", "name", "unreachable", "silent", "refused"] = ""
    server: str = ""
    #: The reason phrase of the response, as it came.
    phrase: str = ""
    #: Whether our password was shown to it.
    authenticated: bool = False
    #: The seconds that it wants a registration to last at the least, where those are what it refused.
    least_expires: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account stands with its registrar. Replaced as a whole, so that any thread may read it.

    Times are on the loop's clock: ``since`` when it is so, and ``expires`` when the binding ends.
    """

    state: State = "registering"
    since: float = 0.0
    server: Target | None = None
    expires: float | None = None
    #: The last failure that there was, also where all is well again.
    failure: Failure | None = None


class Registration:
    """One account's registration: kept by :meth:`run` until that is cancelled, ended by :meth:`close`."""

    def __init__(
        self,
        agent: Agent,
        account: Account,
        *,
        expires: int,
        rng: random.Random,
        changed: Callable[[], None] = lambda: None,
        instance: str = "",
    ) -> None:
        """``expires`` in seconds; ``changed`` is called with each change of what is known.

        ``instance`` is a URN that stays the same when the service starts again, and asks for :rfc:`5626`. Without it
        a REGISTER has nothing that a small registrar may not know.
        """
        self.account = account
        #: Set once the registrar has answered, or not answered, for the first time.
        self.settled = asyncio.Event()
        #: Whether the registrar has us, as far as we know.
        self.registered = False
        #: Why not, in words; empty while all is well.
        self.last_error = "not registered yet"
        #: The server that took the last REGISTER.
        self.server: Target | None = None
        #: Set while the registrar wants to hear from us each :attr:`flow_timer` seconds (:rfc:`5626` §4.4).
        self.flow_wanted = asyncio.Event()
        self.flow_timer = 0.0
        #: The same for other threads.
        self.standing = Standing()
        self._registered_at: Target | None = None
        #: Where the last REGISTER went that was taken, and where a redirection leads.
        self._place = self._home = Place(account.domain, account.registrar_routes)
        self._places: list[Place] = []
        self._agent = agent
        self._expires = expires
        self._rng = rng
        self._changed = changed
        self._instance = instance
        self._call_id = agent.token()
        self._tag = agent.token()
        self._sequence = 0
        self._contact: NameAddr | None = None
        self._retry_after = 0
        #: When what the registrar has bound ends.
        self._ends: float | None = None
        self._again = asyncio.Event()
        self._haste = 0
        self._under_way = False
        #: When the last REGISTER was taken, on the loop's clock.
        self.registered_since = float("-inf")

    async def run(self) -> None:
        """Register, refresh before the expiry, and try again with back-off when it fails; never returns."""
        retry = FIRST_RETRY
        while True:
            self._again.clear()
            granted = await self._register(self._expires)
            if granted:
                retry = FIRST_RETRY
                # Early enough for a lost refresh to be repeated by timer E and F before the binding is gone.
                delay = max(granted * 0.5, min(granted * 0.85, granted - 40.0))
                delay *= self._rng.uniform(0.9, 1.0)
            else:
                # All who wait for this registrar come at different moments, and none before it said.
                chance = self._rng.random()
                delay = max(retry * (0.75 + chance / 2), self._retry_after * (1.0 + chance / 4))
                retry = min(2 * retry, LAST_RETRY)
            await self._rest(delay)

    def server_failed(self, target: Target) -> None:
        """A call found a server of the trunk gone; if it is ours, register with the next one at once."""
        if self.registered and target == self.server:
            self._again.set()

    def connection_lost(self, target: Target) -> None:
        """A connection broke. If our registrar knows us by it, register anew (:rfc:`5626` §4.5)."""
        if self.registered and target == self.server:
            self._again.set()

    async def close(self) -> None:
        """Take our binding back, also one that is just being made; gives up after :data:`FAREWELL` seconds."""
        if not self.registered and not self._under_way:
            return
        try:
            async with asyncio.timeout(FAREWELL):
                await self._register(0)
        except TimeoutError:
            log.warning("trunk %s did not confirm the un-REGISTER", self.account.name)
        finally:
            self._state(False)

    async def _rest(self, delay: float) -> None:
        """Wait for the next REGISTER: ``delay`` seconds, or until there is a reason to send one before."""
        loop = asyncio.get_running_loop()
        end = loop.time() + delay
        while (left := end - loop.time()) > 0:
            self._look_around()
            if self._again.is_set():
                await asyncio.sleep(min(self._held_back(), left))
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(WATCH, left)):
                    await self._again.wait()

    def _held_back(self) -> float:
        """Seconds to wait where there is a reason to register at once: none, unless it was so just now too."""
        if asyncio.get_running_loop().time() - self.registered_since > CALM:
            self._haste = 0
        seconds = min(CALM * 2.0 ** (self._haste - 1), LAST_RETRY) if self._haste else 0.0
        self._haste = min(self._haste + 1, 10)
        return seconds * self._rng.uniform(0.5, 1.0)

    def _look_around(self) -> None:
        if self.registered and self._moved():
            log.info("trunk %s: our address is another one now", self.account.name)
            self._again.set()

    def _moved(self) -> bool:
        """Whether the server would see another Contact of ours now, such as after a change of the interface."""
        if self.server is None or self._contact is None:
            return False
        try:
            contact = self._agent.contact(self.server, self.account.contact_user)
        except OSError:
            return False  # no route at all now: nothing better to register
        return contact.uri != self._contact.uri

    # --- one REGISTER after the other

    async def _register(self, expires: int) -> int:
        """One REGISTER with its servers, challenges and 423; the seconds granted, 0 if none."""
        self._retry_after = 0
        if expires == 0 and self.server is not None:
            granted, failure = await self._register_at_one_of([self.server], self._place, expires)
        else:
            targets = await self._locate(self._home)
            if isinstance(targets, str):
                self._state(False, self._failed("name", targets))
                return 0
            granted, failure = await self._register_at_one_of(targets, self._home, expires)
            if failure is not None and self._places:
                granted, failure = await self._follow(expires, failure)
        if failure is not None:
            self._state(False, failure)
        return max(granted, 0)

    async def _follow(self, expires: int, failure: Failure) -> tuple[int, Failure | None]:
        """Register where a redirection leads; ``failure`` where that is nowhere.

        As the RFC has it, it holds for once: the next refresh asks the registrar of the settings again.
        """
        visited, found = [self._home], failure
        waiting = self._places
        while waiting and len(visited) <= REDIRECTIONS:
            place = waiting.pop(0)
            if place in visited:
                continue
            visited.append(place)
            targets = await self._locate(place)
            if isinstance(targets, str):
                log.info("trunk %s: redirected to %s: %s", self.account.name, place, targets)
                continue
            for target in targets:
                # It is one of the trunk's servers now: our own has said so. Its certificate has to have its own name.
                self.account.learn(*target.address)
            self._places = []
            granted, problem = await self._register_at_one_of(targets, place, expires)
            if problem is None:
                return granted, None
            if not self._places:
                found = problem
            waiting = [*self._places, *waiting]
        return 0, found

    async def _register_at_one_of(
        self, targets: Sequence[Target], place: Place, expires: int
    ) -> tuple[int, Failure | None]:
        """Register at the first of the servers that serves: (seconds granted, what went wrong)."""
        granted, failure = 0, None
        self._places = []
        for at, target in enumerate(targets):
            others = at + 1 < len(targets)
            granted, failure = await self._register_at(target, place, expires, others)
            if failure is None or granted < 0:
                break
        return granted, failure

    async def _register_at(
        self, target: Target, place: Place, expires: int, others: bool
    ) -> tuple[int, Failure | None]:
        """Register at one server: (seconds granted, what went wrong); -1 seconds where no other server would help."""
        server = hostport_text(*target.address)
        attempt = Attempt(self.account)
        raised = False
        while True:
            outcome, source, request = await self._exchange(target, place, expires, attempt, others)
            if isinstance(outcome, Failure):
                self._agent.server_failed(target)
                return 0, outcome
            status = outcome.status
            if 200 <= status < 300:
                attempt.accepted(outcome)
                self.server, self._place = target, place
                if expires == 0:
                    self._state(False)
                    return 0, None
                return self._taken(outcome, request, target, expires), None
            text = f"{status} {outcome.reason}"
            if status in (401, 407):
                if attempt.challenged(outcome, source):
                    continue
                refusal = "refused our password" if attempt.tried else "asked for a password"
                text += f": the registrar {refusal}"
                return -1, self._refused(outcome, text, server, attempt)
            minimum = outcome.get("Min-Expires") or ""
            usable = minimum.isdecimal() and len(minimum) < 8
            # What is to end has no expiry that could be raised, whatever the registrar says.
            if status == 423 and expires and not raised and usable:
                # Another request, with a challenge of its own.
                raised, attempt = True, Attempt(self.account)
                expires = max(expires, int(minimum))
                continue
            if status == 439 and self._instance:
                # A proxy on the way cannot do it (RFC 5626 §6). The registrar may know us without.
                log.warning("trunk %s: %s, done without", self.account.name, outcome.reason)
                self._instance, attempt = "", Attempt(self.account)
                continue
            self._places = places_of(outcome, source, self.account)
            self._contact = None
            self._retry_after = retry_after(outcome)
            failure = self._refused(outcome, text, server, attempt)
            if status == 503:
                self._agent.server_failed(target, self._retry_after)
                return 0, failure
            return -1, failure

    def look_at(self, response: Response, target: Target) -> None:
        """See where a server of ours sees us (:rfc:`3581`): behind a NAT that is where it has to send to."""
        via = response.via
        host, port = via.received or via.host, via.rport or via.port or 5060
        try:
            literal = str(ipaddress.ip_address(host))
        except ValueError:
            return
        self.seen_as((literal, port), target)

    def seen_as(self, seen_as: Address, target: Target) -> None:
        """The server at ``target`` sees us there."""
        with contextlib.suppress(OSError):  # no route to it just now: the next answer says it again
            self._agent.seen_as(target, seen_as)
            self._look_around()

    def _taken(self, response: Response, request: Request, target: Target, asked: int) -> int:
        """The registrar has our binding: take what its 2xx says."""
        account = self.account
        # A binding without routes has none from now on (RFC 3608 §6.1).
        account.service_route = tuple(
            readable(
                lambda: [NameAddr.parse(value) for value in response.values("Service-Route")[:10]]
            )
        )
        self._contact = request.contacts[0]
        self.registered_since = asyncio.get_running_loop().time()
        self._again.clear()
        self.flow_timer = _flow_timer(response, target)
        granted = self._granted(response, request, asked)
        self._ends = self.registered_since + granted
        self._state(True)
        self.look_at(response, target)
        return granted

    async def _locate(self, place: Place) -> Sequence[Target] | str:
        found: asyncio.Future[Sequence[Target] | str] = asyncio.get_running_loop().create_future()

        def settle(result: Sequence[Target] | str) -> None:
            if not found.done():
                found.set_result(result)

        self._agent.locate(place.hop, self.account, settle, settle)
        targets = await found
        if place is self._home or isinstance(targets, str) or self.account.transport != "TLS":
            return targets
        return [t for t in targets if t.transport == "TLS"] or "a TLS trunk is led to no other"

    async def _exchange(
        self,
        target: Target,
        place: Place,
        expires: int,
        attempt: Attempt,
        others: bool,
    ) -> tuple[Response | Failure, Address, Request]:
        done: asyncio.Future[tuple[Response | Failure, Address]] = (
            asyncio.get_running_loop().create_future()
        )
        server = hostport_text(*target.address)

        def fail(status: int) -> None:
            if status == 408:
                finish(self._failed("silent", "no answer (408 Request Timeout)", server), ("", 0))
            else:
                why = self._agent.trouble(target) or f"no answer ({status} {REASONS[status]})"
                finish(self._failed("unreachable", why, server), ("", 0))

        def finish(outcome: Response | Failure, source: Address) -> None:
            if not done.done():
                done.set_result((outcome, source))

        account = self.account
        self._sequence += 1
        address = Uri("sip", account.username, None, account.domain.host, None, (), ())
        who = NameAddr("", address, ())
        request = make_request(
            "REGISTER",
            place.uri,
            routes=place.routes,
            from_=who.with_tag(self._tag),
            to=who,
            call_id=self._call_id,
            sequence=self._sequence,
        )
        try:
            for contact in self._contacts(target, expires):
                request.add("Contact", str(contact))
        except OSError as error:  # the way to it went after it was located
            why = error.strerror or str(error)
            return self._failed("unreachable", why, server), ("", 0), request
        request.add("Expires", str(expires))
        # Only a proxy on the way has a use for it, and some home routers drop what they do not know.
        if self._instance:
            request.add("Supported", "path, outbound")
        elif account.outbound_proxy is not None:
            request.add("Supported", "path")
        attempt.authorize(request, target.address)
        self._under_way = True
        self._agent.send_request(
            request,
            target,
            Handlers(
                lambda response, source: (
                    finish(response, source) if response.status >= 200 else None
                ),
                fail,
            ),
        )
        try:
            async with asyncio.timeout(IMPATIENCE if others else None):
                outcome, source = await done
        except TimeoutError:
            outcome, source = self._failed("silent", "no answer", server), ("", 0)
        self._under_way = False
        return outcome, source, request

    def _contacts(self, target: Target, expires: int) -> list[NameAddr]:
        """The binding to make, and the one that it takes the place of; or the one to take back."""
        bound = self._contact if target == self.server else None
        if expires == 0 and bound is not None:
            return [bound]
        contact = self._agent.contact(target, self.account.contact_user)
        if self._instance:
            named = ("reg-id", "1"), ("+sip.instance", f'"<{self._instance}>"')
            return [contact.with_params(named)]  # which is what the old one is replaced by
        if bound is not None and bound.uri != contact.uri:
            return [contact, bound.with_params((("expires", "0"),))]
        return [contact]

    def _granted(self, response: Response, request: Request, asked: int) -> int:
        """The seconds our own binding got: its ``expires`` parameter, the Expires header, or what was asked.

        Where there is no such header, the only binding that is named is ours, whatever a border controller calls it.
        """
        ours = request.contacts[0].uri
        exact: list[int] = []
        similar: list[int] = []  # some registrars name the port that they see
        named = readable(CONTACTS, response)
        only = named[0].param("expires") if len(named) == 1 else None
        for contact in named:
            value = contact.param("expires")
            if value is not None and contact.uri.user == ours.user:
                if contact.uri.equivalent(ours):
                    exact.append(delta_seconds(value))
                elif contact.uri.host == ours.host:
                    similar.append(delta_seconds(value))
        general = response.expires
        if general is None:
            general = asked if only is None else delta_seconds(only)
        return max(SHORTEST, min(exact or similar or [general]))

    def _failed(
        self, kind: Literal["name", "unreachable", "silent"], reason: str, server: str = ""
    ) -> Failure:
        return Failure(None, reason, asyncio.get_running_loop().time(), kind, server)

    def _refused(self, response: Response, text: str, server: str, attempt: Attempt) -> Failure:
        minimum = response.get("Min-Expires") or ""
        return Failure(
            response.status,
            text,
            asyncio.get_running_loop().time(),
            "refused",
            server,
            response.reason,
            attempt.tried,
            int(minimum) if minimum.isdecimal() and len(minimum) < 8 else 0,
        )

    def _state(self, registered: bool, failure: Failure | None = None) -> None:
        """Neither registered nor a failure: our binding was taken back."""
        ended = not registered and failure is None
        error = failure.reason if failure is not None else UNREGISTERED if ended else ""
        if registered and self.server != self._registered_at:
            self._registered_at = self.server
            if self.server is not None:
                log.info("trunk %s: registered at %s:%d", self.account.name, *self.server.address)
        elif registered != self.registered or error != self.last_error:
            if failure is None:
                log.info("trunk %s: %s", self.account.name, error or "registered")
            else:
                log.info("trunk %s: not registered: %s", self.account.name, error)
        self.registered = registered
        self.last_error = error
        self.standing = self._standing(registered, failure)
        if registered and self.flow_timer:
            self.flow_wanted.set()
        else:
            self.flow_wanted.clear()
        self.settled.set()
        self._changed()

    def _standing(self, registered: bool, failure: Failure | None) -> Standing:
        now, before = asyncio.get_running_loop().time(), self.standing
        state: State = "registered" if registered else "failed" if failure else "unregistered"
        return Standing(
            state,
            before.since if before.state == state else now,
            self.server if registered else None,
            self._ends if registered else None,
            failure or before.failure,
        )


def places_of(response: Response, source: Address, account: Account) -> list[Place]:
    """Where a refusal leads, the preferred place first (:rfc:`3261` §8.1.3.4); only where it is the trunk's own server that says
    so."""
    if response.status not in (*_MOVED, _USE_PROXY) or not account.owns(source):
        return []
    contacts = sorted(readable(CONTACTS, response), key=preference, reverse=True)
    uris = [contact.uri for contact in contacts[:10] if contact.uri.scheme in ("sip", "sips")]
    if response.status == _USE_PROXY:
        return [Place(account.domain, (NameAddr("", proxy_uri(str(uri)), ()),)) for uri in uris]
    # A registrar has no user part (§10.2), and a Request-URI none of what a Contact may have besides.
    return [Place(as_request_uri(replace(uri, user=None, password=None))) for uri in uris]


def _flow_timer(response: Response, target: Target) -> float:
    """The seconds after which the registrar of this 2xx wants to hear from us again, 0 where it does not say so.

    A connection that it does not ask about is pinged by the transport.
    """
    text = (response.get("Flow-Timer") or "").strip()
    timer = float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0
    if target.transport == "UDP" and (timer or supports(response, "outbound")):
        timer = min(timer or FLOW, FLOW)
    return max(timer, float(SHORTEST)) if timer else 0.0
