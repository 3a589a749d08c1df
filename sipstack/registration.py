"""Keeping an account registered (:rfc:`3261` §10.2), and watching its trunk."""

import asyncio
import ipaddress
import logging
import random
from collections.abc import Callable, Sequence

from sipstack.account import Account, Attempt
from sipstack.agent import Agent, Handlers, retry_after
from sipstack.message import REASONS, CSeq, NameAddr, Request, Response, Uri
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
#: Seconds between two registrations for a changed address: one that changes all the time is a NAT's whim.
CALM = 30.0


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
    ) -> None:
        self.account = account
        #: Set once the registrar has answered, or not answered, for the first time.
        self.settled = asyncio.Event()
        #: Whether the registrar has us, as far as we know.
        self.registered = False
        #: Why not, in words; empty while all is well.
        self.last_error = "not registered yet"
        #: The server that took the last REGISTER.
        self.server: Target | None = None
        self._registered_at: Target | None = None
        self._agent = agent
        self._expires = expires
        self._rng = rng
        self._changed = changed
        self._call_id = agent.token()
        self._tag = agent.token()
        self._sequence = 0
        self._contact: NameAddr | None = None
        self._seen_as: tuple[str, int] | None = None
        self._retry_after = 0
        self._again = asyncio.Event()
        self._changed_at = float("-inf")

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
                delay = max(retry, self._retry_after) * self._rng.uniform(0.75, 1.25)
                retry = min(2 * retry, LAST_RETRY)
            await self._rest(delay)

    def server_failed(self, target: Target) -> None:
        """A call found a server of the trunk gone; if it is ours, register with the next one at once."""
        if self.registered and target == self.server:
            self._again.set()

    async def close(self) -> None:
        """Take our binding back; gives up after :data:`FAREWELL` seconds."""
        if not self.registered:
            return
        try:
            async with asyncio.timeout(FAREWELL):
                await self._register(0)
        except TimeoutError:
            log.warning("trunk %s did not confirm the un-REGISTER", self.account.name)
        finally:
            self._state(False, UNREGISTERED)

    async def _rest(self, delay: float) -> None:
        """Wait for the next REGISTER: ``delay`` seconds, or until there is a reason to send one before."""
        loop = asyncio.get_running_loop()
        end = loop.time() + delay
        calm = 0.0 if loop.time() - self._changed_at > CALM else loop.time() + CALM
        while (left := end - loop.time()) > 0:
            if self.registered and loop.time() >= calm and self._moved():
                log.info("trunk %s: our own address has changed", self.account.name)
                self._changed_at = loop.time()
                return
            try:
                async with asyncio.timeout(min(WATCH, left)):
                    await self._again.wait()
                    return
            except TimeoutError:
                continue

    def _moved(self) -> bool:
        """Whether the server would see another Contact of ours now, such as after a change of the interface."""
        if self.server is None or self._contact is None:
            return False
        try:
            return self._agent.contact(self.server, self.account.contact_user) != self._contact
        except OSError:
            return False  # no route at all now: nothing better to register

    # --- one REGISTER after the other

    async def _register(self, expires: int) -> int:
        """One REGISTER with its servers, challenges and 423; the seconds granted, 0 if none."""
        self._retry_after = 0
        targets = await self._locate()
        if isinstance(targets, str):
            self._state(False, targets)
            return 0
        error = ""
        for at, target in enumerate(targets):
            granted, error = await self._register_at(target, expires, at + 1 < len(targets))
            if not error:
                return granted
            if granted < 0:
                break
        self._state(False, error)
        return 0

    async def _register_at(self, target: Target, expires: int, others: bool) -> tuple[int, str]:
        """Register at one server: (seconds granted, what went wrong); -1 seconds where no other server would help."""
        attempt = Attempt(self.account)
        authorization: tuple[str, str] | None = None
        raised = False
        while True:
            outcome, source, request = await self._exchange(
                target, expires, attempt, authorization, others
            )
            if isinstance(outcome, str):
                self._agent.server_failed(target)
                return 0, outcome
            status = outcome.status
            if 200 <= status < 300:
                attempt.accepted(outcome)
                self.server = target
                if expires == 0:
                    self._state(False, UNREGISTERED)
                    return 0, ""
                return self._taken(outcome, request, target, expires), ""
            if status in (401, 407):
                authorization = attempt.answer(outcome, source, request)
                if authorization is not None:
                    continue
                refusal = "refused our password" if attempt.tried else "asked for a password"
                return -1, f"{status} {outcome.reason}: the registrar {refusal}"
            minimum = outcome.get("Min-Expires") or ""
            if status == 423 and not raised and minimum.isdecimal() and len(minimum) < 8:
                # Another request, with a challenge of its own.
                raised, authorization, attempt = True, None, Attempt(self.account)
                expires = max(expires, int(minimum))
                continue
            self._retry_after = retry_after(outcome)
            if status == 503:
                self._agent.server_failed(target, self._retry_after)
                return 0, f"{status} {outcome.reason}"
            return -1, f"{status} {outcome.reason}"

    def look_at(self, response: Response, target: Target) -> None:
        """See where a server of ours sees us (:rfc:`3581`): behind a NAT that is where it has to send to."""
        via = response.via
        host, port = via.received or via.host, via.rport or via.port or 5060
        try:
            seen_as = str(ipaddress.ip_address(host)), port
        except ValueError:
            return
        if seen_as != self._seen_as:
            self._seen_as = seen_as
            self._agent.seen_as(target, seen_as)

    def _taken(self, response: Response, request: Request, target: Target, asked: int) -> int:
        """The registrar has our binding: take what its 2xx says."""
        account = self.account
        # A binding without routes has none from now on (RFC 3608 §6.1).
        account.service_route = tuple(
            NameAddr.parse(value) for value in response.values("Service-Route")[:10]
        )
        self._contact = request.contacts[0]
        self.look_at(response, target)
        self._state(True, "")
        return self._granted(response, request, asked)

    async def _locate(self) -> Sequence[Target] | str:
        found: asyncio.Future[Sequence[Target] | str] = asyncio.get_running_loop().create_future()

        def settle(result: Sequence[Target] | str) -> None:
            if not found.done():
                found.set_result(result)

        self._agent.locate(self.account.next_hop, self.account, settle, settle)
        return await found

    async def _exchange(
        self,
        target: Target,
        expires: int,
        attempt: Attempt,
        authorization: tuple[str, str] | None,
        others: bool,
    ) -> tuple[Response | str, Address, Request]:
        done: asyncio.Future[tuple[Response | str, Address]] = (
            asyncio.get_running_loop().create_future()
        )

        def finish(outcome: Response | str, source: Address) -> None:
            if not done.done():
                done.set_result((outcome, source))

        account = self.account
        request = Request("REGISTER", account.domain)
        self._sequence += 1
        for route in account.routes:
            request.add("Route", str(route))
        address = Uri("sip", account.username, None, account.domain.host, None, (), ())
        who = NameAddr("", address, ())
        request.add("Max-Forwards", "70")
        request.add("From", str(who.with_tag(self._tag)))
        request.add("To", str(who))
        request.add("Call-ID", self._call_id)
        request.add("CSeq", str(CSeq(self._sequence, "REGISTER")))
        try:
            request.add("Contact", str(self._agent.contact(target, account.contact_user)))
        except OSError as error:  # the way to it went after it was located
            return str(error), ("", 0), request
        request.add("Expires", str(expires))
        if account.outbound_proxy is not None:
            # Only a proxy on the way has a use for it, and some home routers drop what they do not know.
            request.add("Supported", "path")
        for header in (
            [authorization] if authorization else attempt.preempt(request, target.address)
        ):
            request.add(*header)
        self._agent.send_request(
            request,
            target,
            Handlers(
                lambda response, source: (
                    finish(response, source) if response.status >= 200 else None
                ),
                lambda status: finish(f"no answer ({status} {REASONS[status]})", ("", 0)),
            ),
        )
        try:
            async with asyncio.timeout(IMPATIENCE if others else None):
                outcome, source = await done
        except TimeoutError:
            outcome, source = "no answer", ("", 0)
        return outcome, source, request

    def _granted(self, response: Response, request: Request, asked: int) -> int:
        """The seconds our own binding got: its ``expires`` parameter, the Expires header, or what was asked."""
        ours = request.contacts[0].uri
        granted: int | None = None
        for contact in response.contacts:
            if contact.uri.user == ours.user and contact.uri.host == ours.host:
                value = dict(contact.params).get("expires") or ""
                if value.isdecimal() and len(value) < 10:
                    granted = int(value)
        if granted is None:
            granted = response.expires if response.expires is not None else asked
        return max(SHORTEST, granted)

    def _state(self, registered: bool, error: str) -> None:
        if registered and self.server != self._registered_at:
            self._registered_at = self.server
            if self.server is not None:
                log.info("trunk %s: registered at %s:%d", self.account.name, *self.server.address)
        elif registered != self.registered or error != self.last_error:
            if registered or error == UNREGISTERED:
                log.info("trunk %s: %s", self.account.name, error or "registered")
            else:
                log.warning("trunk %s: not registered: %s", self.account.name, error)
        self.registered = registered
        self.last_error = error
        self.settled.set()
        self._changed()
