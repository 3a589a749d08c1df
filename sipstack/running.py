"""The transactions that have not ended: their timers on an event loop, and where what comes of them goes."""

import asyncio
import logging
import math
from collections.abc import Callable
from contextvars import copy_context

from sipstack.agent import Dialogue, Handlers
from sipstack.alarms import Alarm, Alarms
from sipstack.message import Message, ParseError, Request, Response, make_response
from sipstack.resolver import Target
from sipstack.tally import Tally
from sipstack.transaction import (
    Deliver,
    Effect,
    InviteClient,
    InviteServer,
    Key,
    NonInviteClient,
    NonInviteServer,
    Terminated,
    TimedOut,
    Timers,
    Transmit,
    TransportFailed,
    client_key,
)
from sipstack.transport import Address, Transport
from sipstack.ways import Ways

log = logging.getLogger(__name__)

#: What stays the same of an INVITE on each way that it may come: Call-ID, From tag, number (:rfc:`3261` §8.2.2.2).
Merged = tuple[str, str | None, int]


class Running:
    """All transactions of a user agent; ``transmit`` sends what they want sent, or raises ``OSError``."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timers: Timers,
        transmit: Callable[[Message, Transport, Target], None],
        ways: Ways,
        tally: Tally,
    ) -> None:
        self.clients: dict[Key, Client] = {}
        self.servers: dict[Key, Server] = {}
        #: INVITEs that came in and have not ended.
        self.invited: set[Merged] = set()
        self._loop = loop
        self._timers = timers
        self._transmit = transmit
        self._ways = ways
        self._tally = tally
        self._alarms: Alarms[Client | Server] = Alarms(loop, self._tick)

    def close(self) -> None:
        """Forget all, and stop their timers."""
        entries: list[Client | Server] = [*self.clients.values(), *self.servers.values()]
        for entry in entries:
            self._alarms.set(entry, None)
        self.clients.clear()
        self.servers.clear()

    # --- those that we begin

    def begin(
        self, request: Request, transport: Transport, target: Target, handlers: Handlers
    ) -> None:
        """Send ``request``, which has its Via, in a client transaction."""
        machine = (InviteClient if request.method == "INVITE" else NonInviteClient)(
            request, transport.reliable, self._timers
        )
        entry = Client(machine, transport, target, handlers)
        self.clients[machine.key] = entry
        self._run(entry, machine.start(self._loop.time()), None)

    def take_up(
        self, invite: Request, transport: Transport, target: Target, handlers: Handlers
    ) -> None:
        """Go on with the transaction of an ``invite`` that was sent before us: nothing is sent, no timer runs."""
        machine = InviteClient(invite, transport.reliable, self._timers)
        machine.take_up()
        self.clients[machine.key] = Client(machine, transport, target, handlers)

    def abandon(self, invite: Request) -> None:
        """Destroy the client transaction of ``invite`` without a word."""
        entry = self.clients.pop(client_key(invite), None)
        if entry is not None:
            self._alarms.set(entry, None)

    def undelivered(
        self, transport: Transport, peer: Address, why: str, concerns: "Callable[[Client], bool]"
    ) -> None:
        """What was sent to ``peer`` did not arrive, for those of its transactions that it ``concerns``."""
        for entry in list(self.clients.values()):
            if entry.transport is transport and entry.target.address == peer and concerns(entry):
                self._ways.note_trouble(transport.name, peer, why)
                self._go_on(entry, entry.machine.transport_failed(self._loop.time()))

    # --- those that others begin

    def serve(self, request: Request, transport: Transport, target: Target) -> "Server":
        """A server transaction for ``request``, whose answers go to ``target``: not started yet."""
        machine = (InviteServer if request.method == "INVITE" else NonInviteServer)(
            request, transport.reliable, self._timers
        )
        entry = Server(machine, transport, target, self)
        self.servers[machine.key] = entry
        return entry

    def dismiss(self, entry: "Server") -> None:
        """Forget one that was not started."""
        del self.servers[entry.machine.key]

    def start(self, entry: "Server", call: Dialogue, source: Address) -> None:
        """Begin with a request that is for ``call``, and give it to that."""
        entry.call = call
        self._run(entry, entry.machine.start(self._loop.time()), source)

    def start_invited(
        self, entry: "Server", call: Dialogue, merged: Merged, source: Address
    ) -> None:
        """Begin with an INVITE of which ``call`` was made."""
        entry.call = call
        entry.merged = merged
        self.invited.add(merged)
        # The transaction's own delivery of the INVITE is what the call is made of already.
        effects = entry.machine.start(self._loop.time())
        self._run(entry, [e for e in effects if not isinstance(e, Deliver)], source)

    def respond(self, entry: "Server", response: Response) -> None:
        """Send ``response`` through the server transaction of ``entry``."""
        if response.status >= 200:
            self._conclude(entry, response.status)
        self._run(entry, entry.machine.respond(response, self._loop.time()), None)

    # --- both

    def receive_response(self, entry: "Client", response: Response, source: Address) -> None:
        """A response has come for a transaction of ours."""
        effects = entry.machine.receive(response, self._loop.time())
        self._go_on(entry, effects, source)

    def receive_again(self, entry: "Server", request: Request, source: Address) -> None:
        """The request of a transaction has come again, or the ACK that ends it."""
        self._go_on(entry, entry.machine.receive(request, self._loop.time()), source)

    def _run(self, entry: "Client | Server", effects: list[Effect], source: Address | None) -> None:
        for effect in effects:
            match effect:
                case Transmit(message):
                    try:
                        self._transmit(message, entry.transport, entry.target)
                    except OSError as error:
                        log.warning("cannot send to %s: %s", entry.target.address[0], error)
                        why = error.strerror or str(error)
                        self._ways.note_trouble(entry.transport.name, entry.target.address, why)
                        failed = entry.machine.transport_failed(self._loop.time())
                        self._run(entry, failed, None)
                case Deliver(Response() as response):
                    if response.status >= 200:
                        self._conclude(entry, response.status)
                    assert isinstance(entry, Client) and source is not None
                    entry.handlers.response(response, source)
                case Deliver(Request() as request):
                    assert isinstance(entry, Server)
                    entry.receive(request)
                case TimedOut():
                    self._conclude(entry, "timeout")
                    entry.failed(408)
                case TransportFailed():
                    self._conclude(entry, "unreachable")
                    entry.failed(503)
                case Terminated():
                    self._forget(entry)
                    return
        due = entry.machine.deadline
        if due is not None and entry.machine.rests:
            # Nobody waits for that: many end together, for waking up costs more than forgetting one does.
            due = math.ceil(due / self._timers.t1) * self._timers.t1
        self._alarms.set(entry, due)

    def _forget(self, entry: "Client | Server") -> None:
        self._alarms.set(entry, None)
        if isinstance(entry, Client):
            self.clients.pop(entry.machine.key, None)
        else:
            self.servers.pop(entry.machine.key, None)
            self.invited.discard(entry.merged)

    def _tick(self, entry: "Client | Server") -> None:
        if entry.machine.rests:
            self._forget(entry)  # which is all that comes of its last timer
            return
        # A timer may come a clock's resolution early; the deadline itself is what is meant.
        now = max(self._loop.time(), entry.machine.deadline or 0.0)
        effects = entry.machine.tick(now)
        for effect in effects:
            # A 100 is said for the first time.
            if isinstance(effect, Transmit) and getattr(effect.message, "status", 0) != 100:
                self._tally.sent_again += 1
        self._go_on(entry, effects)

    def _go_on(
        self, entry: "Client | Server", effects: list[Effect], source: Address | None = None
    ) -> None:
        """Where it is the network or a timer that goes on with a transaction, not who has begun it."""
        # A copy, for a context cannot be entered twice, and one thing may lead to another.
        entry.context.copy().run(self._run, entry, effects, source)

    def _conclude(self, entry: "Client | Server", outcome: int | str) -> None:
        """Count a transaction, once: a 2xx may come again, and a request that was answered can still time out."""
        if not entry.concluded:
            entry.concluded = True
            side = "client" if isinstance(entry, Client) else "server"
            self._tally.concluded(side, entry.machine.request.method, outcome)


class _Entry(Alarm):
    """A transaction, whose alarm is its next deadline."""

    def __init__(self, transport: Transport, target: Target) -> None:
        self.transport = transport
        self.target = target
        #: Whether its outcome was counted.
        self.concluded = False
        #: That of who has begun it.
        self.context = copy_context()


class Client(_Entry):
    """One that we have begun."""

    def __init__(
        self,
        machine: InviteClient | NonInviteClient,
        transport: Transport,
        target: Target,
        handlers: Handlers,
    ) -> None:
        super().__init__(transport, target)
        self.machine = machine
        #: Whoever sent the request.
        self.handlers = handlers

    def failed(self, status: int) -> None:
        """No response will come; ``status`` stands for it."""
        self.handlers.failure(status)


class Server(_Entry):
    """One that somebody else has begun: the :class:`~sipstack.agent.Responder` of its request."""

    def __init__(
        self,
        machine: InviteServer | NonInviteServer,
        transport: Transport,
        target: Target,
        running: Running,
    ) -> None:
        super().__init__(transport, target)
        self.machine = machine
        self.call: Dialogue
        self.merged: Merged = ("", None, 0)
        self._running = running

    def receive(self, request: Request) -> None:
        """The request, or its ACK, for its call."""
        if request.method == "ACK":
            self.call.acknowledged(request)
            return
        try:
            self.call.receive(request, self)
        except ParseError as error:
            self.respond(make_response(request, error.status, error.reason))

    def respond(self, response: Response) -> None:
        """Send a response through the transaction."""
        self._running.respond(self, response)

    def failed(self, status: int) -> None:
        """The ACK did not come."""
        # The call's own timer for the missing ACK is what ends it; a lost refusal ends nothing.
        log.debug("no ACK for %s (%s)", self.machine.request.method, status)
