"""Asking a trunk by OPTIONS whether it is there (:rfc:`3261` §11), which also keeps the way through a NAT open."""

import asyncio
import random
from collections.abc import Sequence

from sipstack.account import Account
from sipstack.agent import Agent, Handlers
from sipstack.message import REASONS, CSeq, NameAddr, Request, Response, Uri
from sipstack.registration import Registration
from sipstack.resolver import Target

#: Answers that are as good as none: the server says itself that it does not serve, or a proxy that nobody is behind.
_AWAY = (408, 503, 504)


class Keepalive:
    """One account's trunk, asked each ``interval`` seconds by :meth:`run` until that is cancelled.

    ``registration`` is told when the trunk sees us somewhere else, or its server is gone.
    """

    def __init__(
        self,
        agent: Agent,
        account: Account,
        *,
        interval: float,
        rng: random.Random,
        registration: Registration | None = None,
    ) -> None:
        self.account = account
        #: Whether the last OPTIONS was answered; believed until one is not.
        self.alive = True
        #: Why not.
        self.last_error = ""
        self._agent = agent
        self._interval = interval
        self._rng = rng
        self._registration = registration
        self._call_id = agent.token()
        self._tag = agent.token()
        self._sequence = 0

    async def run(self) -> None:
        """Ask, wait, and ask again; never returns."""
        while True:
            await asyncio.sleep(self._interval * self._rng.uniform(0.8, 1.0))
            await self._ask()

    async def _ask(self) -> None:
        found: asyncio.Future[Sequence[Target] | str] = asyncio.get_running_loop().create_future()

        def settle(result: Sequence[Target] | str) -> None:
            if not found.done():
                found.set_result(result)

        self._agent.locate(self.account.next_hop, self.account, settle, settle)
        targets = await found
        if isinstance(targets, str):
            self.alive, self.last_error = False, targets
            return
        target = targets[0]
        outcome = await self._exchange(target)
        if isinstance(outcome, int) or outcome.status in _AWAY:
            status = outcome if isinstance(outcome, int) else outcome.status
            self._agent.server_failed(target)
            self.alive = False
            self.last_error = f"{status} {REASONS.get(status, '')} to OPTIONS".replace("  ", " ")
            return
        self.alive, self.last_error = True, ""
        if self._registration is not None:
            self._registration.look_at(outcome, target)

    async def _exchange(self, target: Target) -> Response | int:
        done: asyncio.Future[Response | int] = asyncio.get_running_loop().create_future()

        def finish(outcome: Response | int) -> None:
            final = isinstance(outcome, int) or outcome.status >= 200
            if final and not done.done():
                done.set_result(outcome)

        account = self.account
        request = Request("OPTIONS", account.domain)
        self._sequence += 1
        for route in account.routes:
            request.add("Route", str(route))
        address = Uri("sip", account.username or None, None, account.domain.host, None, (), ())
        who = NameAddr("", address, ())
        request.add("Max-Forwards", "70")
        request.add("From", str(who.with_tag(self._tag)))
        request.add("To", str(NameAddr("", account.domain, ())))
        request.add("Call-ID", self._call_id)
        request.add("CSeq", str(CSeq(self._sequence, "OPTIONS")))
        request.add("Contact", str(self._agent.contact(target, account.contact_user)))
        request.add("Accept", "application/sdp")
        handlers = Handlers(lambda response, source: finish(response), finish)
        self._agent.send_request(request, target, handlers)
        return await done
