"""Keeping an account registered (:rfc:`3261` §10.2)."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from sipstack.account import Account, Attempt
from sipstack.agent import Agent, Handlers
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
        self._agent = agent
        self._expires = expires
        self._rng = rng
        self._changed = changed
        self._call_id = agent.token()
        self._tag = agent.token()
        self._sequence = 0

    async def run(self) -> None:
        """Register, refresh before the expiry, and try again with back-off when it fails; never returns."""
        retry = FIRST_RETRY
        while True:
            granted = await self._register(self._expires)
            if granted:
                retry = FIRST_RETRY
                # Early enough for a lost refresh to be repeated by timer E and F before the binding is gone.
                delay = max(granted * 0.5, min(granted * 0.85, granted - 40.0))
                delay *= self._rng.uniform(0.9, 1.0)
            else:
                delay = retry * self._rng.uniform(0.75, 1.25)
                retry = min(2 * retry, LAST_RETRY)
            await asyncio.sleep(delay)

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

    async def _register(self, expires: int) -> int:
        """One REGISTER with its challenges and 423; the seconds granted, 0 if none."""
        attempt = Attempt(self.account)
        authorization: tuple[str, str] | None = None
        raised = False
        while True:
            outcome, source, request = await self._exchange(expires, authorization)
            if isinstance(outcome, str):
                self._state(False, outcome)
                return 0
            status = outcome.status
            if 200 <= status < 300:
                if expires == 0:
                    self._state(False, UNREGISTERED)
                    return 0
                self._state(True, "")
                return self._granted(outcome, request, expires)
            if status in (401, 407):
                authorization = attempt.answer(outcome, source, request)
                if authorization is not None:
                    continue
                refusal = "refused our password" if attempt.tried else "asked for a password"
                self._state(False, f"{status} {outcome.reason}: the registrar {refusal}")
                return 0
            minimum = outcome.get("Min-Expires") or ""
            if status == 423 and not raised and minimum.isdecimal() and len(minimum) < 8:
                # Another request, with a challenge of its own.
                raised, authorization, attempt = True, None, Attempt(self.account)
                expires = max(expires, int(minimum))
                continue
            self._state(False, f"{status} {outcome.reason}")
            return 0

    async def _exchange(
        self, expires: int, authorization: tuple[str, str] | None
    ) -> tuple[Response | str, Address, Request]:
        done: asyncio.Future[tuple[Response | str, Address]] = (
            asyncio.get_running_loop().create_future()
        )

        def finish(outcome: Response | str, source: Address) -> None:
            if not done.done():
                done.set_result((outcome, source))

        request = Request("REGISTER", self.account.domain)

        def located(targets: Sequence[Target]) -> None:
            target = targets[0]
            account = self.account
            self._sequence += 1
            if account.outbound_proxy is not None:
                request.add("Route", str(NameAddr("", account.outbound_proxy, ())))
            address = Uri("sip", account.username, None, account.domain.host, None, (), ())
            who = NameAddr("", address, ())
            request.add("Max-Forwards", "70")
            request.add("From", str(who.with_tag(self._tag)))
            request.add("To", str(who))
            request.add("Call-ID", self._call_id)
            request.add("CSeq", str(CSeq(self._sequence, "REGISTER")))
            request.add("Contact", str(self._agent.contact(target, account.username)))
            request.add("Expires", str(expires))
            if authorization is not None:
                request.add(*authorization)
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

        self._agent.locate(
            self.account.next_hop, self.account, located, lambda why: finish(why, ("", 0))
        )
        outcome, source = await done
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
        if registered != self.registered or error != self.last_error:
            if registered or error == UNREGISTERED:
                log.info("trunk %s: %s", self.account.name, error or "registered")
            else:
                log.warning("trunk %s: not registered: %s", self.account.name, error)
        self.registered = registered
        self.last_error = error
        self.settled.set()
        self._changed()
