"""The user agent: messages in from the transports, through the transactions, to the calls, and back out."""

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from dataclasses import replace
from typing import Any

from sipstack.account import Account, account_at
from sipstack.acquaintance import Acquaintance
from sipstack.agent import BODIES, Dialogue, Handlers, Timer, has_foreign_body
from sipstack.dialog import secured
from sipstack.entropy import Entropy
from sipstack.incoming import IncomingCall, refused_timing
from sipstack.lenient import readable
from sipstack.message import (
    Message,
    NameAddr,
    ParseError,
    Request,
    Response,
    Uri,
    Via,
    check_request,
    check_response,
    make_response,
    parse_datagram,
)
from sipstack.resolver import ResolveError, Resolver, Target, kinds_of, literal_target
from sipstack.running import Client, Running, Server
from sipstack.session import CAPABILITIES, about_us, refusal, unsupported
from sipstack.symmetric import note_source, reply_address
from sipstack.tally import Tally
from sipstack.trace import Trace, TracedMessage
from sipstack.transaction import Timers, cancelled_key, client_key, server_key
from sipstack.transport import Address, Transport
from sipstack.transport.stream import StreamTransport
from sipstack.transport.stun import (
    TRANSACTION,
    Binding,
    binding_request,
    may_be_stun,
    parse_answer,
)
from sipstack.transport.udp import UdpTransport
from sipstack.ways import Ways

log = logging.getLogger(__name__)

#: Tokens that are drawn at once.
TOKENS = 64
#: Server transactions held at once. They exist only within dialogs, so only a peer of a live call can make them.
SERVER_TRANSACTIONS = 20_000


#: Octets above which a request goes by TCP, where the path's MTU is not known (:rfc:`3261` §18.1.1).
LARGEST_DATAGRAM = 1300
#: About what our Via adds to it.
_VIA = 90
#: Seconds for which a peer that takes no TCP connection is not asked for one again.
NO_STREAM = 600.0
#: Seconds that it has to take one, where datagrams would do.
STREAM_PATIENCE = 1.5
#: Seconds to wait after each sending of a ping (RFC 8489 §6.2.1, but less stubborn: the next one comes soon).
PING_WAITS = (0.5, 1.0, 2.0, 4.0)


class UserAgent:
    """A SIP user agent on a running asyncio loop, ``loop`` or the one that it is made on.

    ``rng`` makes tags, branches and Call-IDs; only a test has another than the system's. ``refuse_invite`` gives the
    status for an INVITE from outside where no calls are taken, which is where ``on_invite`` is not given: it gets each
    call that comes in, with its source, and must accept or reject it at once. ``on_request`` may answer any other
    request outside of a dialog, as a registrar does. ``accounts`` are those of whose trunks calls may come in.
    """

    def __init__(
        self,
        transports: Sequence[Transport],
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        rng: random.Random | None = None,
        resolver: Resolver | None = None,
        timers: Timers = Timers(),
        name: str = "",
        public_address: str = "",
        trace: Trace | None = None,
        refuse_invite: Callable[[Address], int] = lambda source: 403,
        on_invite: Callable[[IncomingCall, Address], None] | None = None,
        on_request: Callable[[Request, Address], Response | None] = lambda request, source: None,
        accounts: Sequence[Account] = (),
    ) -> None:
        self.timers = timers
        self.trace = trace
        self.tally = Tally()
        #: Told of each server that did not serve us, and of each to which a connection broke.
        self.server_watchers: list[Callable[[Target], None]] = []
        self.connection_watchers: list[Callable[[Target], None]] = []
        self._transports = list(transports)
        self._loop = loop = loop or asyncio.get_running_loop()
        self._rng = rng = rng or Entropy()
        self._tokens: list[str] = []
        self._resolver = resolver or Resolver(
            transports={transport.name for transport in transports},
            kinds=kinds_of(transport.local_address[0] for transport in transports),
            clock=loop.time,
            rng=rng,
        )
        self._name = name
        self._refuse_invite = refuse_invite
        self._on_invite = on_invite
        self._on_request = on_request
        self._accounts = accounts
        self._ways = Ways(self._transports, public_address)
        self._running = Running(loop, timers, self._transmit, self._ways, self.tally)
        #: With the context that each was made in: as with the loop's own callbacks, what comes for it is done in that.
        self._calls: dict[tuple[str, str], tuple[Dialogue, Context]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._secret = self.token().encode()
        self._has_tcp = any(transport.name == "TCP" for transport in self._transports)
        self._no_stream: dict[Address, float] = {}
        self._pings: dict[bytes, tuple[Address, asyncio.Future[Binding]]] = {}
        self._acquaintance = Acquaintance()
        for transport in self._transports:
            transport.receiver = self._receive
            if isinstance(transport, StreamTransport):
                transport.unreachable = self._unreachable
                transport.broken = self._broken
            elif isinstance(transport, UdpTransport):
                transport.undelivered = self._undelivered

    # --- what is left, for those who check that nothing is

    @property
    def transactions(self) -> int:
        """Transactions that have not ended."""
        return len(self._running.clients) + len(self._running.servers)

    @property
    def transactions_by_side(self) -> dict[str, int]:
        """The same of those that we began (``client``), and of the others' (``server``)."""
        return {"client": len(self._running.clients), "server": len(self._running.servers)}

    @property
    def calls(self) -> int:
        """Calls with something still under way."""
        return len(self._calls)

    def close(self) -> None:
        """Forget all transactions, stop their timers and close the transports. Sends nothing."""
        self._running.close()
        for task in self._tasks:
            task.cancel()
        for transport in self._transports:
            transport.receiver = None
            transport.close()

    # --- what calls and registrations use (see sipstack.agent.Agent)

    def token(self) -> str:
        """A fresh random token of 96 bits."""
        if not self._tokens:
            drawn = self._rng.randbytes(12 * TOKENS).hex()
            self._tokens = [drawn[at : at + 24] for at in range(0, len(drawn), 24)]
        return self._tokens.pop()

    def uniform(self, low: float, high: float) -> float:
        """A random number between two."""
        return self._rng.uniform(low, high)

    def call_later(self, delay: float, then: Callable[[], None]) -> Timer:
        """Have ``then`` called in ``delay`` seconds of the loop's clock."""
        return self._loop.call_later(delay, then)

    def locate(
        self,
        uri: Uri,
        account: Account | None,
        then: Callable[[Sequence[Target]], None],
        failed: Callable[[str], None],
    ) -> None:
        """Find the targets of ``uri``. The servers that an account's own next hop resolves to become the trunk's."""
        literal = literal_target(uri, (account.transport if account else "") or "UDP")
        if literal is None:
            self._spawn(self._look_up(uri, account, then, failed))
            return
        reachable, why = self._ways.usable([literal], uri, account)
        if reachable:
            then(reachable)
        else:
            self._loop.call_soon(failed, why)

    async def _look_up(
        self,
        uri: Uri,
        account: Account | None,
        then: Callable[[Sequence[Target]], None],
        failed: Callable[[str], None],
    ) -> None:
        try:
            targets = await self._resolver.resolve(uri, account.transport if account else "")
        except ResolveError as error:
            failed(str(error))
            return
        reachable, why = self._ways.usable(targets, uri, account)
        if reachable:
            then(reachable)
        else:
            failed(why)

    def server_failed(self, target: Target, retry_after: float | None = None) -> None:
        """Have ``target`` come last among the targets for a while."""
        log.warning("%s:%d (%s) does not serve us now", *target.address, target.transport)
        self._resolver.failed(target, retry_after)
        for watcher in self.server_watchers:
            watcher(target)

    def trouble(self, target: Target) -> str:
        """Why ``target`` could not be reached the last time."""
        return self._ways.trouble(target)

    def _unreachable(self, peer: Address, server_name: str, why: str, transport: Transport) -> None:
        """A connection could not be made, or broke: what was sent on it counts as undelivered."""
        self._ways.note_trouble(transport.name, peer, why)
        self._running.undelivered(
            transport, peer, why, lambda entry: server_name in ("", entry.target.server_name)
        )
        self._broken(peer, server_name, transport)

    def _broken(self, peer: Address, server_name: str, transport: Transport) -> None:
        """A connection broke: who is known by it has to say so anew."""
        for watcher in self.connection_watchers:
            watcher(Target(transport.name, peer, server_name))

    def _undelivered(self, peer: Address, why: str, quoted: bytes, transport: Transport) -> None:
        """ICMP says that nobody can be reached at ``peer``, and why (:rfc:`3261` §18.4).

        Believed only for a request of which the message quotes the branch, which who is not on the way cannot know.
        """

        def is_quoted(entry: Client) -> bool:
            return (entry.machine.request.via.branch or "").encode() in quoted

        self._running.undelivered(transport, peer, why, is_quoted)

    def contact(self, target: Target, user: str) -> NameAddr:
        """Our Contact as seen from ``target``."""
        return self._ways.contact(target, user)

    async def ping(self, target: Target) -> Binding | None:
        """Ask ``target``, over UDP, by STUN where it sees us; ``None`` where no answer comes.

        :raises OSError: there is no way to it.
        """
        transaction = self._rng.getrandbits(8 * TRANSACTION).to_bytes(TRANSACTION, "big")
        answer: asyncio.Future[Binding] = self._loop.create_future()
        self._pings[transaction] = target.address, answer
        self._acquaintance.know(target.address[0])
        try:
            for seconds in PING_WAITS:
                self._ways.transport_for(target).send(binding_request(transaction), target.address)
                done, _ = await asyncio.wait([answer], timeout=seconds)
                if done:
                    return answer.result()
            return None
        finally:
            del self._pings[transaction]

    def poke(self, target: Target) -> None:
        """Send ``target`` the ping of :rfc:`5626` §3.5.1, which over UDP nobody answers.

        :raises OSError: there is no way to it.
        """
        self._ways.transport_for(target).send(b"\r\n\r\n", target.address, target.server_name)

    def seen_as(self, target: Target, address: Address) -> None:
        """The server at ``target`` says that it sees us at ``address``, behind a NAT: it is told that one from now on.

        Only where datagrams come and go by the same port, and only what is said to the server itself.
        """
        self._ways.seen_as(target, address)

    def send_request(self, request: Request, target: Target, handlers: Handlers) -> None:
        """Send ``request`` in a client transaction of its own.

        One that would not fit a datagram goes by TCP if there is one at both ends, and else by UDP all the same
        (:rfc:`3261` §18.1.1).
        """
        if self._name:
            request.set("User-Agent", self._name)
        stream = self._by_stream(request, target)
        if stream is not None:
            self._send_by(request, stream, self._or_by_datagram(request, target, handlers))
        else:
            self._send_by(request, target, handlers)

    def _send_by(self, request: Request, target: Target, handlers: Handlers) -> None:
        try:
            transport = self._ways.transport_for(target)
            self._add_via(request, transport, target)
        except OSError as error:
            self._unsendable(error, handlers)
            return
        handlers.leaving()
        self._running.begin(request, transport, target, handlers)

    def _by_stream(self, request: Request, target: Target) -> Target | None:
        """The TCP target for a request that is too large for UDP, if one may be there."""
        if target.transport != "UDP" or not self._has_tcp:
            return None
        if request.size + _VIA <= LARGEST_DATAGRAM:
            return None
        if self._no_stream.get(target.address, 0.0) > self._loop.time():
            return None
        stream = replace(target, transport="TCP")
        try:
            transport = self._ways.transport_for(stream)
        except OSError:
            return None
        if isinstance(transport, StreamTransport):
            # It is only worth a try, given up soon where something swallows what asks for a connection.
            transport.connect(stream.address, within=STREAM_PATIENCE)
        return stream

    def _or_by_datagram(self, request: Request, target: Target, handlers: Handlers) -> Handlers:
        """Handlers that send ``request`` by UDP after all, where no TCP connection could be made."""
        answered = False

        def respond(response: Response, source: Address) -> None:
            nonlocal answered
            answered = True
            handlers.response(response, source)

        def fail(status: int) -> None:
            if answered or status != 503:
                handlers.failure(status)
                return
            if len(self._no_stream) >= 1000:
                self._no_stream.clear()
            self._no_stream[target.address] = self._loop.time() + NO_STREAM
            request.remove_first("Via")
            self._send_by(request, target, handlers)

        return Handlers(respond, fail, handlers.leaving)

    def send_cancel(self, invite: Request, cancel: Request, handlers: Handlers) -> None:
        """Send ``cancel`` with the Via of the ``invite`` it cancels, to where that went and by the same transport
        (:rfc:`3261` §9.1), which is not always that of its target: see :meth:`send_request`.

        Does nothing where the transaction of the ``invite`` is over.
        """
        cancelled = self._running.clients.get(client_key(invite))
        if cancelled is not None:
            cancel.insert_first("Via", str(invite.via))
            self._running.begin(cancel, cancelled.transport, cancelled.target, handlers)

    def send(self, message: Message, target: Target) -> None:
        """Send an ACK of a 2xx: a transaction by itself, with a Via of its own."""
        try:
            transport = self._ways.transport_for(target)
            if not message.has_via:
                self._add_via(message, transport, target)
            self._transmit(message, transport, target)
        except OSError as error:
            # The 2xx comes again, and so does the ACK.
            log.warning("cannot send to %s: %s", target.address[0], error)

    def take_up(self, invite: Request, target: Target, handlers: Handlers) -> None:
        """Take the responses to an ``invite`` that was sent to ``target`` in our last life.

        :raises OSError: there is no way to it any more.
        """
        self._acquaintance.know(target.address[0])
        self._running.take_up(invite, self._ways.transport_for(target), target, handlers)

    def abandon(self, invite: Request) -> None:
        """Destroy the client transaction of ``invite`` without a word."""
        self._running.abandon(invite)

    def attach(self, dialogue: Dialogue) -> None:
        """Requests for the Call-ID and tag of ``dialogue`` go to it from now on."""
        self._calls[dialogue.call_id, dialogue.local_tag] = dialogue, copy_context()

    def detach(self, dialogue: Dialogue) -> None:
        """It is over; what still comes for it gets 481."""
        self._calls.pop((dialogue.call_id, dialogue.local_tag), None)

    # --- sending

    def own_host(self, target: Target) -> tuple[str, str]:
        """(the local IP literal on the route to ``target``, the one to be told to it) for RTP.

        :raises OSError: there is no route or no transport.
        """
        return self._ways.own_host(target)

    def _add_via(self, message: Message, transport: Transport, target: Target) -> None:
        host, port = self._ways.own_address(transport, target.address)
        message.push_via(Via.of_ours(transport.name, host, port, f"z9hG4bK{self.token()}"))

    def _transmit(self, message: Message, transport: Transport, target: Target) -> None:
        octets = message.serialize()
        destination = target.address
        if isinstance(message, Request):
            self._acquaintance.know(destination[0])
        transport.send(octets, destination, target.server_name)
        self._record(message, octets, destination, transport, sent=True)

    def _unsendable(self, error: OSError, handlers: Handlers) -> None:
        log.warning("cannot send: %s", error)
        # Later, as any other answer: nobody expects one before the request was started.
        self._loop.call_soon(handlers.failure, 503)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- receiving

    def _receive(self, octets: bytes, source: Address, transport: Transport) -> None:
        if source[0] not in self._acquaintance.known and not self._acquaintance.listens_to(
            source[0], len(octets), self._loop.time()
        ):
            return
        try:
            if not octets[:1].isalpha():  # as nearly each message begins
                if not octets.strip(b"\r\n\0 "):
                    return  # a keep-alive
                if may_be_stun(octets):
                    self._receive_answer(octets, source)
                    return
            message = parse_datagram(octets)
            if isinstance(message, Response):
                self._receive_response(message, octets, source, transport)
            else:
                self._receive_request(message, octets, source, transport)
        except ParseError as error:
            log.debug("from %s: %s %s", source[0], error.status, error.reason)
            self._refuse(error, source, transport)

    def _refuse(self, wrong: ParseError, source: Address, transport: Transport) -> None:
        """Say what is wrong with a request, if that is what it was; nobody waits for an answer to an ACK."""
        request = wrong.request
        if request is None or request.method == "ACK":
            return
        try:
            note_source(request, source)
        except ParseError as error:
            log.debug("from %s: %s: nothing can be noted in it", source[0], error.reason)
        headers = CAPABILITIES if wrong.status == 501 else ()
        self._answer(request, wrong.status, wrong.reason, source, transport, headers)

    def _receive_answer(self, octets: bytes, source: Address) -> None:
        binding = parse_answer(octets)
        asked, answer = self._pings.get(binding.transaction if binding else b"", (None, None))
        if binding is not None and answer is not None and asked == source and not answer.done():
            answer.set_result(binding)

    def _receive_response(
        self, response: Response, octets: bytes, source: Address, transport: Transport
    ) -> None:
        entry = self._running.clients.get(client_key(response))
        if entry is None:
            return  # a response to nothing
        wrong = check_response(response)
        if wrong is not None:
            log.debug("from %s: response dropped: %s", source[0], wrong.reason)
            return
        self._record(response, octets, source, transport)
        self._running.receive_response(entry, response, source)

    def _receive_request(
        self, request: Request, octets: bytes, source: Address, transport: Transport
    ) -> None:
        wrong = check_request(request)
        if wrong is not None:
            self._refuse(wrong, source, transport)
            return
        note_source(request, source)
        held = self._running.servers.get(server_key(request))
        if held is not None:
            if request.method != "ACK":
                self.tally.came_again += 1
            self._record(request, octets, source, transport)
            self._running.receive_again(held, request, source)
            return
        tag = request.to.tag
        call, context = self._calls.get((request.call_id, tag or ""), (None, None))
        if request.method == "ACK":
            if call is not None and context is not None:
                self._acquaintance.know(source[0])
                self._record(request, octets, source, transport)
                context.copy().run(call.acknowledged, request)
            return
        if request.method == "CANCEL":
            cancelled = self._running.servers.get(cancelled_key(request))
            status = 481 if cancelled is None else 200
            # As its INVITE is answered (RFC 3261 §9.2).
            same = cancelled.call.local_tag if cancelled is not None else None
            self._answer(request, status, None, source, transport, to_tag=same)
            if cancelled is not None and isinstance(cancelled.call, IncomingCall):
                cancelled.call.cancelled(request)
        elif call is not None and context is not None:
            self._record(request, octets, source, transport)
            context.copy().run(self._receive_in_dialog, call, request, source, transport)
        elif tag:
            self._answer(request, 481, None, source, transport)
        else:
            self._receive_stray(request, source, transport)

    def _receive_in_dialog(
        self, call: Dialogue, request: Request, source: Address, transport: Transport
    ) -> None:
        unknown = unsupported(request)
        if unknown:
            headers = [("Unsupported", ", ".join(unknown))]
            self._answer(request, 420, None, source, transport, headers)
            return
        if len(self._running.servers) >= SERVER_TRANSACTIONS:
            headers = [("Retry-After", "5")]
            self._answer(request, 503, None, source, transport, headers)
            return
        self._acquaintance.know(source[0])
        self._running.start(self._serve(request, source, transport), call, source)

    def _serve(self, request: Request, source: Address, transport: Transport) -> Server:
        """A server transaction for ``request``, not started yet."""
        target = Target(transport.name, _reply_to(request, source, transport))
        return self._running.serve(request, transport, target)

    def _receive_invite(self, request: Request, source: Address, transport: Transport) -> None:
        """An INVITE that may become a call to us."""
        assert self._on_invite is not None
        merged = (request.call_id, request.from_.tag, request.cseq.number)
        if merged in self._running.invited:
            self._answer(request, 482, None, source, transport)
            return
        if len(self._running.servers) >= SERVER_TRANSACTIONS:
            headers = [("Retry-After", "5")]
            self._answer(request, 503, None, source, transport, headers)
            return
        entry = self._serve(request, source, transport)
        user = request.uri.user or ""
        hops = readable(lambda: request.record_routes or request.contacts)
        way = [request.uri, *(hop.uri for hop in hops[:1])]
        contact = secured(self.contact(entry.target, user), *way)
        account = account_at(self._accounts, source, user)
        try:
            call = IncomingCall(self, request, entry, contact, account)
        except ParseError as error:
            self._running.dismiss(entry)
            headers = refused_timing(error)
            self._answer(request, error.status, error.reason, source, transport, headers)
            return
        self._record(request, request.serialize(), source, transport)
        self._running.start_invited(entry, call, merged, source)
        self._on_invite(call, source)

    def _receive_stray(self, request: Request, source: Address, transport: Transport) -> None:
        """A request outside of any dialog: OPTIONS is answered, anything else refused.

        Answered without state (:rfc:`3261` §8.2.7): whoever sends us requests must not fill our memory.
        """
        unknown = unsupported(request)
        if unknown:
            headers = [("Unsupported", ", ".join(unknown))]
            self._answer(request, 420, None, source, transport, headers)
            return
        answer = self._on_request(request, source) if request.method != "INVITE" else None
        if answer is not None:
            transport.send(answer.serialize(), _reply_to(request, source, transport))
            self.tally.concluded("server", request.method, answer.status)
        elif request.method == "OPTIONS":
            headers = about_us()
            self._answer(request, 200, None, source, transport, headers)
        elif request.method == "INVITE" and self._on_invite is not None:
            self._receive_invite(request, source, transport)
        elif request.method == "INVITE" and has_foreign_body(request):
            self._answer(request, 415, None, source, transport, BODIES)
        elif request.method == "INVITE":
            self._answer(request, self._refuse_invite(source), None, source, transport)
        elif request.method in ("BYE", "UPDATE", "INFO", "PRACK", "NOTIFY"):
            self._answer(request, 481, None, source, transport)
        elif request.method == "REFER":
            # Within a call we know what it is, so that 405 would be untrue.
            self._answer(request, 403, None, source, transport)
        else:
            refused = refusal(request)
            self._answer(request, refused.status, None, source, transport, CAPABILITIES)

    def _answer(
        self,
        request: Request,
        status: int,
        reason: str | None,
        source: Address,
        transport: Transport,
        headers: Sequence[tuple[str, str]] = (),
        to_tag: str | None = None,
    ) -> None:
        """Answer once, without a transaction. The tag is the same for each copy of the request."""
        same = [request.get(name) for name in ("Via", "From", "Call-ID", "CSeq")]
        digest = hashlib.blake2b(
            repr(same).encode("utf-8", "surrogateescape"), key=self._secret, digest_size=8
        )
        try:
            response = make_response(
                request, status, reason, to_tag=to_tag or digest.hexdigest(), headers=list(headers)
            )
            transport.send(response.serialize(), _reply_to(request, source, transport))
            self.tally.concluded("server", request.method, status)
        except (ParseError, ValueError, OSError) as error:
            log.debug("no answer to %s: %s", source[0], error)

    def _record(
        self,
        message: Message,
        octets: bytes,
        remote: Address,
        transport: Transport,
        *,
        sent: bool = False,
    ) -> None:
        if self.trace is not None:
            local = transport.address_towards(remote)
            seen = TracedMessage(self._loop.time(), sent, transport.name, local, remote, octets)
            self.trace.add(message.call_id, seen)


def _reply_to(request: Request, source: Address, transport: Transport) -> Address:
    # A connection is known by its far end, and is what the answer goes back on (RFC 3261 §18.2.2).
    if transport.reliable:
        return source
    try:
        return reply_address(request, source)
    except ParseError:
        return source  # a Via that cannot be read: only where it came from is left
