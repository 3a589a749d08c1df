"""Phones that do as they are told, on the virtual network.

A :class:`ScriptedPhone` is a user agent of its own, built on the transactions and nothing above
them, so that what it checks is not checked with itself. Its :class:`~tests.simulation.scripts.Script` says what it does with
an INVITE; what it saw is in :attr:`ScriptedPhone.requests` and :attr:`ScriptedPhone.calls`, and
what its peer owed it by the RFC and did not do in :attr:`ScriptedPhone.complaints`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sipstack.message import (
    NameAddr,
    ParseError,
    Request,
    Response,
    make_response,
    parse_datagram,
)
from sipstack.transaction import (
    Deliver,
    Effect,
    InviteClient,
    InviteServer,
    Key,
    NonInviteClient,
    NonInviteServer,
    ServerTransaction,
    Terminated,
    TimedOut,
    Timers,
    Transmit,
    TransportFailed,
    cancelled_key,
    client_key,
    server_key,
)
from sipstack.transport import Address, Transport
from tests.simulation.clock import VirtualLoop
from tests.simulation.network import VirtualNetwork
from tests.simulation.scripts import ANSWERS, Script


@dataclass(slots=True, eq=False)
class PhoneCall:
    """One call as the phone sees it.

    :param state: ``early``, ``answered`` (200 sent), ``up`` (and its ACK came), ``over``
    :param ended_by: ``""`` while it lasts, then ``refused``, ``cancelled``, ``them`` (their BYE),
        ``us`` (our BYE), ``unacknowledged`` (no ACK in 64*T1)
    :param tags: our tags: the first, and that of a second answer
    :param acks: the tags of the ACKs of a 2xx that came
    :param byes: the tags of the BYEs that came
    :param directions: the directions of the descriptions that came, in order
    :param rseq: of its last reliable response
    :param pracked: whether that was acknowledged
    :param unacknowledged: the CSeq of a re-INVITE whose 200 waits for its ACK
    """

    invite: Request
    source: Address
    transaction: InviteServer
    tag: str
    state: str = "early"
    ended_by: str = ""
    cseq: int = 0
    tags: list[str] = field(default_factory=list)
    acks: list[str] = field(default_factory=list)
    byes: list[str] = field(default_factory=list)
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    directions: list[str] = field(default_factory=list)
    rseq: int = 0
    pracked: bool = False
    unacknowledged: int | None = None
    target_uri: str = ""

    @property
    def target(self) -> str:
        """The Contact of the caller: where requests in the dialog go."""
        if self.target_uri:
            return self.target_uri
        contacts = self.invite.contacts
        return str(contacts[0].uri) if contacts else str(self.invite.from_.uri)


class NoAnswer(Exception):
    """A request of the phone's own was not answered: it timed out or could not be sent."""


Server = InviteServer | NonInviteServer
Client = InviteClient | NonInviteClient


class ScriptedPhone:
    """A phone at an address of the virtual network. Make it inside the running loop.

    :param script: what it does; may be changed at any time
    :param network: the network
    :param host: its address
    """

    def __init__(
        self,
        network: VirtualNetwork,
        host: str,
        script: Script = ANSWERS,
        *,
        port: int = 5060,
        name: str = "UDP",
        timers: Timers = Timers(),
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.script = script
        self.requests: list[tuple[float, Request]] = []
        self.responses: list[tuple[float, Response]] = []
        self.calls: list[PhoneCall] = []
        self.unreadable: list[bytes] = []
        self.complaints: list[str] = []
        self.crashed = False
        self._loop = loop
        self._timers = timers
        self._transport = network.transport(host, port, name, self._receive)
        self._servers: dict[Key, tuple[Server, Address]] = {}
        self._clients: dict[Key, tuple[Client, Address, asyncio.Future[Response]]] = {}
        self._handles: dict[Key, asyncio.TimerHandle] = {}
        self._plans: list[asyncio.TimerHandle] = []

    # -- to look at

    @property
    def address(self) -> Address:
        """Where the phone is."""
        return self._transport.local_address

    @property
    def uri(self) -> str:
        """How the phone is called directly."""
        host, port = self.address
        return f"sip:phone@[{host}]:{port}" if ":" in host else f"sip:phone@{host}:{port}"

    @property
    def methods(self) -> list[str]:
        """The methods of all requests that came, copies too, in order."""
        return [request.method for _, request in self.requests]

    @property
    def call(self) -> PhoneCall:
        """The latest call."""
        return self.calls[-1]

    @property
    def transactions(self) -> int:
        """Transactions that have not ended."""
        return len(self._servers) + len(self._clients)

    # -- to do

    def crash(self) -> None:
        """Leave the network without a word."""
        self.crashed = True
        for handle in (*self._handles.values(), *self._plans):
            handle.cancel()
        for call in self.calls:
            for timer in call.timers:
                timer.cancel()
        for _, _, answer in self._clients.values():
            answer.cancel()
        self._servers.clear()
        self._clients.clear()
        self._transport.close()

    close = crash

    def hang_up(self, call: PhoneCall | None = None) -> asyncio.Future[Response]:
        """Send BYE. The future is its final response."""
        call = call or self.call
        self._end(call, "us")
        return self.request_in(call, "BYE")

    def request_in(
        self,
        call: PhoneCall,
        method: str,
        body: bytes = b"",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> asyncio.Future[Response]:
        """Send a request in a call's dialog."""
        call.cseq += 1
        invite = call.invite
        request = Request(method, call.target)
        for route in invite.record_routes:
            request.add("Route", str(route))
        request.add("From", str(_tagged(invite.to, call.tag)))
        request.add("To", str(invite.from_))
        request.add("Call-ID", invite.call_id)
        request.add("CSeq", f"{call.cseq} {method}")
        return self.send(request, call.source, body, headers)

    def request(
        self,
        method: str,
        uri: str,
        destination: Address,
        body: bytes = b"",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> asyncio.Future[Response]:
        """Send a request outside of any dialog. The future is its final response.

        :raises NoAnswer: from the future
        """
        request = Request(method, uri)
        request.add("From", f"<{self.uri}>;tag={self._token()}")
        request.add("To", f"<{uri}>")
        request.add("Call-ID", f"{self._token()}@{self.address[0]}")
        request.add("CSeq", f"1 {method}")
        return self.send(request, destination, body, headers)

    def send(
        self,
        request: Request,
        destination: Address,
        body: bytes = b"",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> asyncio.Future[Response]:
        """Send a request with a Via, Contact and Max-Forwards of ours, in a client transaction."""
        request.insert_first("Via", self._via())
        request.add("Max-Forwards", "70")
        request.add("Contact", f"<{self.uri}>")
        for name, value in headers:
            request.add(name, value)
        if body:
            request.add("Content-Type", "application/sdp")
            request.body = body
        machine = (InviteClient if request.method == "INVITE" else NonInviteClient)(
            request, self._transport.reliable, self._timers
        )
        answer: asyncio.Future[Response] = self._loop.create_future()
        # Whoever does not care about the answer need not wait for it.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._clients[machine.key] = (machine, destination, answer)
        self._run(machine, destination, machine.start(self._loop.time()))
        return answer

    # -- transactions

    def _receive(self, data: bytes, source: Address, transport: Transport) -> None:
        try:
            self._read(data, source)
        except ParseError:
            self.unreadable.append(data)

    def _read(self, data: bytes, source: Address) -> None:
        now = self._loop.time()
        message = parse_datagram(data)
        if isinstance(message, Response):
            self.responses.append((now, message))
            found = self._clients.get(client_key(message))
            if found is not None:
                machine, destination, _ = found
                self._run(machine, destination, machine.receive(message, now))
            return
        self.requests.append((now, message))
        if self.script.deaf or message.method in self.script.ignore:
            return
        for junk in self.script.garbage:
            self._transport.send(junk, source)
        held = self._servers.get(server_key(message))
        if held is not None:
            self._run(held[0], held[1], held[0].receive(message, now))
        elif message.method == "ACK":
            self._acknowledged(message)
        else:
            server = (InviteServer if message.method == "INVITE" else NonInviteServer)(
                message, self._transport.reliable, self._timers
            )
            self._servers[server.key] = (server, source)
            self._run(server, source, server.start(now))

    def _run(self, machine: Server | Client, peer: Address, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Transmit(message):
                    try:
                        self._transport.send(message.serialize(), peer)
                    except OSError:
                        self._run(machine, peer, machine.transport_failed(self._loop.time()))
                case Deliver(Request() as request):
                    self._handle(machine, request, peer)
                case Deliver(Response() as response):
                    self._answered(machine, response, peer)
                case TimedOut() | TransportFailed():
                    self._unanswered(machine, type(effect).__name__)
                case Terminated():
                    self._servers.pop(machine.key, None)
                    self._clients.pop(machine.key, None)
        self._arm(machine, peer)

    def _arm(self, machine: Server | Client, peer: Address) -> None:
        old = self._handles.pop(machine.key, None)
        if old is not None:
            old.cancel()
        deadline = machine.deadline
        if deadline is not None and not self.crashed:
            self._handles[machine.key] = self._loop.call_at(deadline, self._tick, machine, peer)

    def _tick(self, machine: Server | Client, peer: Address) -> None:
        self._run(machine, peer, machine.tick(self._loop.time()))

    def _answered(self, machine: Server | Client, response: Response, peer: Address) -> None:
        entry = self._clients.get(machine.key)
        if entry is None or response.status < 200:
            return
        if machine.request.method == "INVITE" and response.status < 300:
            self._acknowledge(machine.request, response, peer)
        if not entry[2].done():
            entry[2].set_result(response)

    def _unanswered(self, machine: Server | Client, why: str) -> None:
        if isinstance(machine, ServerTransaction) and why == "TimedOut":
            self.complaints.append(f"{machine.last_response!r}: never acknowledged")
        entry = self._clients.get(machine.key)
        if entry is not None and not entry[2].done():
            entry[2].set_exception(NoAnswer(f"{machine.request.method}: {why}"))

    def _acknowledge(self, invite: Request, response: Response, peer: Address) -> None:
        contacts = response.contacts
        ack = Request("ACK", str(contacts[0].uri) if contacts else invite.request_uri)
        ack.add("Via", self._via())
        for route in reversed(response.record_routes):
            ack.add("Route", str(route))
        ack.add("Max-Forwards", "70")
        ack.add("From", str(invite.from_))
        ack.add("To", str(response.to))
        ack.add("Call-ID", invite.call_id)
        ack.add("CSeq", f"{invite.cseq.number} ACK")
        self._transport.send(ack.serialize(), peer)

    # -- what the script says

    def _handle(self, machine: Server | Client, request: Request, source: Address) -> None:
        assert isinstance(machine, (InviteServer, NonInviteServer))
        if request.method == "ACK":
            self._acknowledged(request)
            return
        call = self._call_of(request)
        method = "re-INVITE" if call and request.method == "INVITE" else request.method
        challenged = self.script.challenge and method in self.script.challenges
        if challenged and request.get("Authorization") is None:
            challenge = (
                f'Digest realm="{self.script.challenge}", nonce="{self._token()}", '
                'algorithm=MD5, qop="auth"'
            )
            self._respond(machine, 401, ("WWW-Authenticate", challenge))
            return
        if request.method == "INVITE" and call is None:
            if request.to.tag is not None:
                self._respond(machine, 481)
            else:
                assert isinstance(machine, InviteServer)
                self._invited(machine, request, source)
            return
        status = dict(self.script.statuses).get(request.method, 200)
        if request.method == "CANCEL":
            self._cancelled(machine, request, status)
        elif request.method in ("BYE", "INVITE", "UPDATE", "INFO") and call is None:
            self._respond(machine, 481)
        elif request.method in ("INVITE", "UPDATE"):
            assert call is not None
            self._changed(machine, request, call, status)
        elif request.method == "PRACK":
            rack = f"{call.rseq} {call.invite.cseq}" if call else ""
            known = call is not None and request.get("RAck") == rack
            self._respond(machine, 200 if known else 481, tag=call.tag if call else "")
            if call is not None and known and not call.pracked:
                call.pracked = True
                if (
                    call.state == "early"
                    and self.script.answer_after is not None
                    and self.script.status is None
                ):
                    self._later(call, self.script.answer_after, self._answer)
        else:
            self._respond(machine, status, tag=call.tag if call else "")
            if request.method == "BYE" and call is not None and status < 300:
                call.byes.append(request.to.tag or "")
                if request.to.tag == call.tag:
                    self._end(call, "them")

    def _changed(self, machine: Server, request: Request, call: PhoneCall, status: int) -> None:
        """Answer a re-INVITE or UPDATE."""
        if self._too_short(request):
            self._respond(machine, 422, ("Min-SE", str(self.script.min_se)), tag=call.tag)
            return
        if request.method == "INVITE" and self._inviting(call):
            self._respond(machine, 491, tag=call.tag)
            return
        if status >= 300:
            self._respond(machine, status, tag=call.tag)
            return
        call.target_uri = str(request.contacts[0].uri) if request.contacts else call.target_uri
        headers = self._timing(request)
        direction = _direction(request.body)
        if request.body:
            call.directions.append(direction)
        answers = request.body or request.method == "INVITE"
        later = self.script.codecs_later
        body = self.describe(request.body, REVERSED[direction], later) if answers else b""
        response = make_response(request, 200, to_tag=call.tag, headers=headers)
        response.add("Contact", f"<{self.uri}>")
        response.add("Allow", self.script.allow)
        if body:
            response.add("Content-Type", "application/sdp")
            response.body = body
        self._transmit(machine, response)
        if request.method == "INVITE":
            call.unacknowledged = request.cseq.number
            end = self._loop.time() + self._timers.transaction
            self._repeat(call, machine, response, self._timers.t1, end)

    def _too_short(self, request: Request) -> bool:
        asked = (request.get("Session-Expires") or "").partition(";")[0]
        return bool(asked) and int(asked) < self.script.min_se

    def _timing(self, request: Request) -> list[tuple[str, str]]:
        script = self.script
        if script.session_expires is None:
            return []
        asked, _, params = (request.get("Session-Expires") or "").partition(";")
        named = params.partition("=")[2] or script.refresher
        interval = asked if request.to.tag and asked else str(script.session_expires)
        return [("Session-Expires", f"{interval};refresher={named}"), ("Require", "timer")]

    def _inviting(self, call: PhoneCall) -> bool:
        return any(
            machine.request.method == "INVITE"
            and machine.request.call_id == call.invite.call_id
            and not answer.done()
            for machine, _, answer in self._clients.values()
        )

    def _invited(self, machine: InviteServer, request: Request, source: Address) -> None:
        script = self.script
        call = PhoneCall(request, source, machine, self._token())
        if self._too_short(request):
            self._respond(machine, 422, ("Min-SE", str(script.min_se)), tag=call.tag)
            return
        call.tags.append(call.tag)
        self.calls.append(call)
        call.directions.append(_direction(request.body))
        if script.crash_after is not None:
            self._plans.append(self._loop.call_later(script.crash_after, self.crash))
        if script.ring_after is not None:
            self._later(call, script.ring_after, self._ring)
        if script.status is not None:
            self._later(call, script.refuse_after, self._refuse)
        elif script.answer_after is not None and not script.reliable:
            self._later(call, script.answer_after, self._answer)

    def _later(self, call: PhoneCall, delay: float, do: object) -> None:
        assert callable(do)
        call.timers.append(self._loop.call_later(delay, do, call))

    def _ring(self, call: PhoneCall) -> None:
        media = self.script.early_media
        body = self.describe(call.invite.body) if media else b""
        status = 183 if media else 180
        headers: list[tuple[str, str]] = []
        if self.script.reliable:
            call.rseq += 1
            headers = [("Require", "100rel"), ("RSeq", str(call.rseq))]
            self._again_until_pracked(call, status, headers, body, self._timers.t1)
        self._respond(call.transaction, status, *headers, tag=call.tag, body=body)

    def _again_until_pracked(
        self,
        call: PhoneCall,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
        interval: float,
    ) -> None:
        """Send a reliable response again until its PRACK comes, RFC 3262 §3."""

        def again() -> None:
            if call.pracked or call.state != "early":
                return
            if interval > 64 * self._timers.t1 / 2:
                self.complaints.append("a reliable response was never acknowledged")
                self._respond(call.transaction, 504, tag=call.tag)
                self._end(call, "refused")
                return
            self._respond(call.transaction, status, *headers, tag=call.tag, body=body)
            self._again_until_pracked(call, status, headers, body, 2 * interval)

        call.timers.append(self._loop.call_later(interval, again))

    def _refuse(self, call: PhoneCall) -> None:
        status = self.script.status or 486
        headers = [("Contact", f"<{self.script.contact}>")] if self.script.contact else []
        self._respond(call.transaction, status, *headers, tag=call.tag)
        self._end(call, "refused")

    def _answer(self, call: PhoneCall) -> None:
        script = self.script
        ok = self._ok(call, call.tag)
        self._transmit(call.transaction, ok)
        call.state = "answered"
        call.unacknowledged = call.invite.cseq.number
        end = self._loop.time() + self._timers.transaction
        self._repeat(call, call.transaction, ok, self._timers.t1, end)
        if script.answer_again_after is not None:
            self._later(call, script.answer_again_after, self._answer_again)
        if script.hang_up_early is not None:
            self._later(call, script.hang_up_early, self.hang_up)
        if script.reinvite_after is not None:
            self._later(call, script.reinvite_after, self._hold)
        if script.resume_after is not None:
            self._later(call, script.resume_after, self._resume)
        if script.refer_after is not None:
            self._later(call, script.refer_after, self._refer)

    def _answer_again(self, call: PhoneCall) -> None:
        tag = self._token()
        call.tags.append(tag)
        self._transmit(call.transaction, self._ok(call, tag))

    def _repeat(
        self, call: PhoneCall, machine: Server, ok: Response, interval: float, end: float
    ) -> None:
        """Send the 2xx again until its ACK comes, RFC 3261 §13.3.1.4."""
        number = machine.request.cseq.number

        def again() -> None:
            if call.unacknowledged != number or call.state == "over":
                return
            if self._loop.time() + 1e-6 >= end:
                self.hang_up(call)
                call.ended_by = "unacknowledged"
                self.complaints.append("a 200 was never acknowledged")
                return
            self._transmit(machine, ok)
            self._repeat(call, machine, ok, min(2 * interval, self._timers.t2), end)

        now = self._loop.time()
        call.timers.append(self._loop.call_at(min(now + interval, end), again))

    def _hold(self, call: PhoneCall) -> None:
        self.request_in(call, "INVITE", self.describe(b"", "sendonly"))

    def _resume(self, call: PhoneCall) -> None:
        self.request_in(call, "INVITE", self.describe(b""))

    def _refer(self, call: PhoneCall) -> None:
        self.request_in(call, "REFER", headers=(("Refer-To", f"<{self.script.refer_to}>"),))

    def _ok(self, call: PhoneCall, tag: str) -> Response:
        ok = make_response(call.invite, 200, to_tag=tag, headers=self._timing(call.invite))
        ok.add("Contact", f"<{self.script.answers_as or self.uri}>")
        if self.script.route:
            ok.add("Record-Route", self.script.route)
        ok.add("Allow", self.script.allow)
        ok.add("Content-Type", "application/sdp")
        ok.body = self.describe(call.invite.body)
        return ok

    def _cancelled(self, machine: Server, cancel: Request, status: int) -> None:
        key = cancelled_key(cancel)
        call = next((call for call in self.calls if call.transaction.key == key), None)
        if call is None:
            self._respond(machine, 481)
            return
        self._respond(machine, status, tag=call.tag)
        if call.state == "early":
            self._respond(call.transaction, 487, tag=call.tag)
            self._end(call, "cancelled")

    def _acknowledged(self, ack: Request) -> None:
        call = self._call_of(ack)
        if call is not None:
            call.acks.append(ack.to.tag or "")
            if ack.cseq.number == call.unacknowledged and ack.to.tag == call.tag:
                call.unacknowledged = None
            if call.state == "answered" and ack.to.tag == call.tag:
                call.state = "up"
                if self.script.hang_up_after is not None:
                    self._later(call, self.script.hang_up_after, self.hang_up)

    def _call_of(self, request: Request) -> PhoneCall | None:
        tag = request.to.tag
        for call in self.calls:
            if call.invite.call_id == request.call_id and tag in call.tags:
                return call
        return None

    def _end(self, call: PhoneCall, by: str) -> None:
        if call.state != "over":
            call.state = "over"
            call.ended_by = by
            for timer in call.timers:
                timer.cancel()

    def _respond(
        self,
        machine: Server,
        status: int,
        *headers: tuple[str, str],
        tag: str = "",
        body: bytes = b"",
    ) -> None:
        response = make_response(machine.request, status, to_tag=tag or self._token())
        if 100 < status < 300 and machine.request.method in ("INVITE", "UPDATE"):
            response.add("Contact", f"<{self.uri}>")
        for name, value in headers:
            response.add(name, value)
        if body:
            response.add("Content-Type", "application/sdp")
            response.body = body
        self._transmit(machine, response)

    def _transmit(self, machine: Server, response: Response) -> None:
        held = self._servers.get(machine.key)
        if held is not None:
            self._run(machine, held[1], machine.respond(response, self._loop.time()))

    def describe(
        self, offer: bytes, direction: str = "sendrecv", only: tuple[str, ...] = ()
    ) -> bytes:
        """The phone's description: what it takes of the offer, and telephone events where they were offered."""
        host = self.script.hears_at or self.address[0]
        family = "IP6" if ":" in host else "IP4"
        events = b"telephone-event" in offer
        number = "101"
        for line in offer.decode("utf-8", "replace").splitlines():
            if line.startswith("a=rtpmap:") and "telephone-event" in line:
                number = line[len("a=rtpmap:") :].split()[0]
        text = offer.decode("utf-8", "replace")
        codecs = [c for c in self.script.codecs if c.split()[1] in text] or self.script.codecs
        if not offer and self.script.offers:
            codecs = self.script.offers
        codecs = only or codecs
        numbers = " ".join(codec.split()[0] for codec in codecs)
        lines = [
            "v=0",
            f"o=phone 1 1 IN {family} {host}",
            "s=-",
            f"c=IN {family} {host}",
            "t=0 0",
            f"m=audio 41000 RTP/AVP {numbers}{' ' + number if events else ''}",
            *(f"a=rtpmap:{codec}" for codec in codecs),
            *([f"a=rtpmap:{number} telephone-event/8000"] if events else []),
            f"a={direction}",
        ]
        return "".join(f"{line}\r\n" for line in lines).encode()

    def _via(self) -> str:
        host, port = self.address
        host = f"[{host}]" if ":" in host else host
        name = self._transport.name
        return f"SIP/2.0/{name} {host}:{port};rport;branch=z9hG4bK{self._token()}"

    def _token(self) -> str:
        return f"{self._loop.random.getrandbits(64):016x}"


REVERSED = {"sendonly": "recvonly", "recvonly": "sendonly"} | {
    same: same for same in ("sendrecv", "inactive")
}


def _direction(description: bytes) -> str:
    """The direction that a description says."""
    for line in description.decode("utf-8", "replace").splitlines():
        if line[2:] in REVERSED:
            return line[2:]
    return "sendrecv"


def _tagged(address: NameAddr, tag: str) -> NameAddr:
    return address if address.tag is not None else address.with_tag(tag)
