"""Asking a trunk whether it is there, which also keeps the way through a NAT open.

By OPTIONS (:rfc:`3261` §11), which any server answers; or with less ado by what :rfc:`5626` §4.4 has for it, over UDP a
STUN request, for servers that answer it on their SIP port, or a line end that nobody answers.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Literal, Protocol

from sipstack.account import Account
from sipstack.agent import Agent, Handlers
from sipstack.message import REASONS, NameAddr, Response, Uri, make_request
from sipstack.registration import Failure, Registration
from sipstack.resolver import Target
from sipstack.transport.stun import Binding

#: Answers that are as good as none: the server says itself that it does not serve, or a proxy that nobody is behind.
_AWAY = (408, 503, 504)


#: How a trunk is asked.
Means = Literal["options", "stun", "crlf"]


class Asking(Agent, Protocol):
    """What a keep-alive needs of its user agent."""

    async def ping(self, target: Target) -> Binding | None:
        """Ask ``target`` by STUN where it sees us; ``None`` where no answer comes."""

    def poke(self, target: Target) -> None:
        """Send a line end to ``target``."""


class Keepalive:
    """One account's trunk, asked each ``interval`` seconds by :meth:`run` until that is cancelled.

    It is there if one of its servers is. ``registration`` is told when the trunk sees us somewhere else, or its server
    is gone; the server that it registered with is asked first. Where ``interval`` is 0, that one alone is, as often as
    it wants it, and by what it then has to know: STUN over UDP, a line end on a connection.
    """

    def __init__(
        self,
        agent: Asking,
        account: Account,
        *,
        interval: float = 0.0,
        rng: random.Random,
        means: Means = "options",
        registration: Registration | None = None,
    ) -> None:
        self.account = account
        #: Why not :attr:`alive`; empty where it is.
        self.last_error = ""
        #: The last time that no server answered, if there was one.
        self.failure: Failure | None = None
        #: Since when none has answered, on the loop's clock.
        self.away_since: float | None = None
        self._agent = agent
        self._interval = interval
        self._means = means
        self._rng = rng
        self._registration = registration
        self._call_id = agent.token()
        self._tag = agent.token()
        self._sequence = 0
        self._silent_since: float | None = None
        self._status: int | None = None
        #: The server that has answered a STUN request before, and the one that has not when it was asked first.
        self._answers: Target | None = None
        self._mute: Target | None = None

    @property
    def alive(self) -> bool:
        """Whether the trunk is there: believed until no server answers, and again as soon as one registers us.

        Where only the registrar wants to be asked, registering with it anew is what shows whether it is there.
        """
        silent, registration = self._silent_since, self._registration
        if silent is None or not self._interval:
            return True
        return registration is not None and registration.registered_since > silent

    async def run(self) -> None:
        """Ask, wait, and ask again; never returns."""
        while True:
            interval = self._interval or await self._wanted_interval()
            await asyncio.sleep(interval * self._rng.uniform(0.8, 1.0))
            if self._interval or (self._registration and self._registration.flow_wanted.is_set()):
                await self._ask()

    async def _wanted_interval(self) -> float:
        """What the registrar wants, once it does."""
        registration = self._registration
        assert registration is not None, "an interval of 0 is the registrar's to say"
        await registration.flow_wanted.wait()
        return registration.flow_timer

    async def _ask(self) -> None:
        """Ask the server that has us, and the next ones where it does not answer: one that does is enough."""
        self._status = None
        targets = await self._targets()
        wrong = targets if isinstance(targets, str) else ""
        for target in () if isinstance(targets, str) else targets:
            try:
                wrong = await self._ask_one(target)
            except OSError as error:
                wrong = str(error)
            if not wrong:
                break
            # Which has a registration there move on, and calls begin with the next server.
            self._agent.server_failed(target)
        now = asyncio.get_running_loop().time()
        if wrong:
            self.failure = Failure(self._status, wrong, now)
            self.away_since = now if self.away_since is None else self.away_since
        else:
            self.away_since = None
        self.last_error = wrong
        self._silent_since = now if wrong else None

    async def _targets(self) -> Sequence[Target] | str:
        """The servers to ask, or why there is none."""
        registration = self._registration
        ours: list[Target] = []
        if registration is not None and registration.registered and registration.server is not None:
            ours.append(registration.server)
            if not self._interval:
                return ours  # it is this flow that is kept open
        found: asyncio.Future[Sequence[Target] | str] = asyncio.get_running_loop().create_future()

        def settle(result: Sequence[Target] | str) -> None:
            if not found.done():
                found.set_result(result)

        self._agent.locate(self.account.registrar_hop, self.account, settle, settle)
        targets = await found
        if isinstance(targets, str):
            return ours or targets
        return [*ours, *(target for target in targets if target not in ours)]

    async def _ask_one(self, target: Target) -> str:
        """What is wrong with one server, empty if nothing is."""
        if not self._interval:
            return await self._by_flow(target)
        if self._means == "options":
            return await self._by_options(target)
        if self._means == "stun" and target.transport == "UDP":
            return await self._by_stun(target)
        self._agent.poke(target)
        return ""

    async def _by_flow(self, target: Target) -> str:
        """What is wrong, empty if nothing is: as :rfc:`5626` §4.4 has it for the transport."""
        if target.transport != "UDP" or target == self._mute:
            self._agent.poke(target)
            return ""
        wrong = await self._by_stun(target)
        if not wrong:
            self._answers = target
        elif target != self._answers:
            # It has outbound, or says so, but not that part of it. A line end keeps a NAT open too.
            self._mute, wrong = target, ""
        return wrong

    async def _by_stun(self, target: Target) -> str:
        """What is wrong, empty if nothing is."""
        binding = await self._agent.ping(target)
        if binding is None:
            return "no answer to a STUN request"
        if self._registration is not None and binding.mapped is not None:
            self._registration.seen_as(binding.mapped, target)
        return ""

    async def _by_options(self, target: Target) -> str:
        """What is wrong, empty if nothing is."""
        outcome = await self._exchange(target)
        if isinstance(outcome, int) or outcome.status in _AWAY:
            status = outcome if isinstance(outcome, int) else outcome.status
            self._status = None if isinstance(outcome, int) else status
            return f"{status} {REASONS.get(status, '')} to OPTIONS".replace("  ", " ")
        if self._registration is not None:
            self._registration.look_at(outcome, target)
        return ""

    async def _exchange(self, target: Target) -> Response | int:
        done: asyncio.Future[Response | int] = asyncio.get_running_loop().create_future()

        def finish(outcome: Response | int) -> None:
            final = isinstance(outcome, int) or outcome.status >= 200
            if final and not done.done():
                done.set_result(outcome)

        account = self.account
        self._sequence += 1
        address = Uri("sip", account.username or None, None, account.domain.host, None, (), ())
        request = make_request(
            "OPTIONS",
            account.domain,
            routes=account.registrar_routes,
            from_=NameAddr("", address, ()).with_tag(self._tag),
            to=NameAddr("", account.domain, ()),
            call_id=self._call_id,
            sequence=self._sequence,
        )
        request.add("Contact", str(self._agent.contact(target, account.contact_user)))
        request.add("Accept", "application/sdp")
        handlers = Handlers(lambda response, source: finish(response), finish)
        self._agent.send_request(request, target, handlers)
        return await done
