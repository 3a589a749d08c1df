"""The four transactions of :rfc:`3261` §17, with the corrections of :rfc:`6026`.

What may live in this file: the state machines, their timers, and how a message finds its
machine. Nothing here opens a socket, reads a clock or draws a random number: every call takes
``now`` (seconds, on any clock that does not go backwards) and returns effects, which the user
agent carries out in order.

A machine is two tables, to be read beside the figure of the RFC that it stands for:

- its *moves*: ``(state, event) -> (actions, next state)``. A pair that is not in the table is
  absorbed: nothing is done and the state stays.
- its *timers*: for each letter the states it runs in and how long until it first fires. Entering
  the first of those states starts it, leaving the last one stops it, and it goes on running on a
  move between two of them (timers E and F from Trying to Proceeding). ``None`` means that the
  timer is not started at all. A duration of zero fires within the same call.

Timers by letter, T1 = 0.5 s, T2 = 4 s, T4 = 5 s unless set otherwise:

====== ================================================= =========================== ============
letter what it is for                                    first, unreliable transport reliable
====== ================================================= =========================== ============
A      INVITE request retransmitted, doubling            T1                          not started
B      INVITE given up                                   64*T1                       64*T1
D      wait for responses that are sent again            at least 32 s               0
E      request retransmitted, doubling up to T2          T1                          not started
F      request given up                                  64*T1                       64*T1
G      INVITE's final response retransmitted, up to T2   T1                          not started
H      wait for the ACK given up                         64*T1                       64*T1
I      wait for ACKs that are sent again                 T4                          0
J      wait for requests that are sent again             64*T1                       0
K      wait for responses that are sent again            T4                          0
L      wait for INVITEs that are sent again after a 2xx  64*T1                       64*T1
M      wait for more 2xx (retransmitted, or forked)      64*T1                       64*T1
100    200 ms after which the machine says 100 itself    0.2 s                       0.2 s
====== ================================================= =========================== ============

Timer C is a proxy's, and there is none here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, TypeAlias

from sipstack.message import Message, Request, Response, make_response

MAGIC_COOKIE = "z9hg4bk"
"""The branch prefix of :rfc:`3261` §8.1.1.7, in lower case: parameters ignore case (§7.3.1)."""

Key: TypeAlias = tuple[str, ...]
"""What names a transaction; only ever compared and hashed."""


@dataclass(frozen=True, slots=True)
class Timers:
    """The three base values of :rfc:`3261` §17.1.1.1, in seconds; all other timers follow."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    #: 64*T1: how long either side waits before it gives up (B, F, H, J, L, M).
    transaction: float = field(init=False)
    #: Timer D: never below 32 s, since the server's H runs on the server's own T1.
    d: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "transaction", 64 * self.t1)
        object.__setattr__(self, "d", max(32.0, 64 * self.t1))


# -- effects -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transmit:
    """Give this message to the transport, to where the transaction's messages go."""

    message: Message


@dataclass(frozen=True, slots=True)
class Deliver:
    """Give this message to the transaction user (TU)."""

    message: Message


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Timer B, F or H ran out: a client's request counts as answered 408 (§8.1.3.1); a server's
    final response was never acknowledged."""


@dataclass(frozen=True, slots=True)
class TransportFailed:
    """The transport could not send: a client's request counts as answered 503 (§8.1.3.1)."""


@dataclass(frozen=True, slots=True)
class Terminated:
    """The machine is at its end and must be forgotten. Always the last effect, and only once."""


Effect: TypeAlias = Transmit | Deliver | TimedOut | TransportFailed | Terminated


# -- the words of the tables ---------------------------------------------------------------------


class _Word(Enum):
    """A word of the tables. There is one of each, so that it may be told by its place in memory."""

    __hash__ = object.__hash__


class State(_Word):
    """The states, by the RFCs' own names."""

    CALLING = "Calling"
    TRYING = "Trying"
    PROCEEDING = "Proceeding"
    COMPLETED = "Completed"
    CONFIRMED = "Confirmed"
    ACCEPTED = "Accepted"
    TERMINATED = "Terminated"


class Event(_Word):
    """What can happen to a machine, timers apart (those are events by their letter)."""

    RECEIVED_1XX = "1xx"
    RECEIVED_2XX = "2xx"
    RECEIVED_300_699 = "300-699"
    RECEIVED_REQUEST = "the request again"
    RECEIVED_ACK = "ACK"
    SENT_1XX = "1xx from TU"
    SENT_2XX = "2xx from TU"
    SENT_300_699 = "300-699 from TU"
    TRANSPORT_ERROR = "transport error"


class Timer(_Word):
    """The timers, by letter."""

    A = "A"
    B = "B"
    D = "D"
    E = "E"
    F = "F"
    G = "G"
    H = "H"
    I = "I"  # noqa: E741 - the RFC's letter
    J = "J"
    K = "K"
    L = "L"
    M = "M"
    TRYING = "100"


#: At whose ends a transaction is forgotten, and nothing else happens.
_RESTS = frozenset({Timer.D, Timer.I, Timer.J, Timer.K, Timer.L, Timer.M})


class Do(_Word):
    """What a move does."""

    SEND = "send what the TU gave, and keep it for retransmission"
    SEND_REQUEST = "send the request again"
    SEND_RESPONSE = "send the last response again, if there is one"
    SEND_TRYING = "make a 100 and send it"
    SEND_ACK = "make the ACK for this final response and send it"
    PASS_UP = "give the message to the TU"
    SAY_TIMED_OUT = "tell the TU that time ran out"
    SAY_FAILED = "tell the TU that the transport failed"


Moves: TypeAlias = Mapping[tuple[State, "Event | Timer"], tuple[tuple[Do, ...], State]]


@dataclass(frozen=True, slots=True)
class Runs:
    """Where a timer runs and how long.

    :param states: the states it runs in
    :param first: seconds to its first firing, from the base values and whether the transport
        is reliable; ``None``: not started
    :param again: seconds to the next firing, from the base values, the state it fires in and the
        interval that just ended; ``None``: it fires once
    """

    states: frozenset[State]
    first: Callable[[Timers, bool], float | None]
    again: Callable[[Timers, State, float], float] | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """A machine: where it starts, its moves and its timers.

    Timers that end something stand before those that retransmit: when a late tick finds both due,
    nothing is sent once more just before giving up.
    """

    initial: State
    moves: Moves
    timers: Mapping[Timer, Runs]
    #: The timers that run in each state.
    running: Mapping[State, Mapping[Timer, Runs]] = field(init=False)
    #: The states in which all that is left is to know copies of what has come, for a time.
    rests: frozenset[State] = field(init=False)

    def __post_init__(self) -> None:
        running = {
            state: {timer: runs for timer, runs in self.timers.items() if state in runs.states}
            for state in State
        }
        rests = {state for state, timers in running.items() if timers and timers.keys() <= _RESTS}
        object.__setattr__(self, "running", running)
        object.__setattr__(self, "rests", frozenset(rests))


def _in(*states: State) -> frozenset[State]:
    return frozenset(states)


def _64_t1(timers: Timers, reliable: bool) -> float:
    return timers.transaction


def _64_t1_if_unreliable(timers: Timers, reliable: bool) -> float:
    return 0.0 if reliable else timers.transaction


def _d_if_unreliable(timers: Timers, reliable: bool) -> float:
    return 0.0 if reliable else timers.d


def _t4_if_unreliable(timers: Timers, reliable: bool) -> float:
    return 0.0 if reliable else timers.t4


def _t1_or_never(timers: Timers, reliable: bool) -> float | None:
    return None if reliable else timers.t1


def _200_ms(timers: Timers, reliable: bool) -> float:
    return 0.2


def _doubled(timers: Timers, state: State, interval: float) -> float:
    return 2 * interval


def _doubled_up_to_t2(timers: Timers, state: State, interval: float) -> float:
    return min(2 * interval, timers.t2)


def _doubled_up_to_t2_then_t2(timers: Timers, state: State, interval: float) -> float:
    # §17.1.2.2: once a provisional answer has come, timer E is T2 from its next firing on.
    return timers.t2 if state is State.PROCEEDING else min(2 * interval, timers.t2)


CALLING, TRYING, PROCEEDING = State.CALLING, State.TRYING, State.PROCEEDING
COMPLETED, CONFIRMED, ACCEPTED = State.COMPLETED, State.CONFIRMED, State.ACCEPTED
TERMINATED = State.TERMINATED


# -- the four machines ---------------------------------------------------------------------------

# RFC 3261 §17.1.1, figure 5, as drawn anew in RFC 6026 §8.4.
INVITE_CLIENT = Chart(
    initial=CALLING,
    moves={
        (CALLING, Timer.A): ((Do.SEND_REQUEST,), CALLING),
        (CALLING, Timer.B): ((Do.SAY_TIMED_OUT,), TERMINATED),
        (CALLING, Event.RECEIVED_1XX): ((Do.PASS_UP,), PROCEEDING),
        (CALLING, Event.RECEIVED_2XX): ((Do.PASS_UP,), ACCEPTED),
        (CALLING, Event.RECEIVED_300_699): ((Do.SEND_ACK, Do.PASS_UP), COMPLETED),
        (CALLING, Event.TRANSPORT_ERROR): ((Do.SAY_FAILED,), TERMINATED),
        # Proceeding:
        # No timer: how long a phone may ring is the TU's to say. No transport error either:
        # the request has arrived, so a late one speaks of a copy that was not needed.
        (PROCEEDING, Event.RECEIVED_1XX): ((Do.PASS_UP,), PROCEEDING),
        (PROCEEDING, Event.RECEIVED_2XX): ((Do.PASS_UP,), ACCEPTED),
        (PROCEEDING, Event.RECEIVED_300_699): ((Do.SEND_ACK, Do.PASS_UP), COMPLETED),
        # Completed.
        (COMPLETED, Event.RECEIVED_300_699): ((Do.SEND_ACK,), COMPLETED),
        (COMPLETED, Event.TRANSPORT_ERROR): ((Do.SAY_FAILED,), TERMINATED),
        (COMPLETED, Timer.D): ((), TERMINATED),
        # Accepted:
        # The ACK of a 2xx is the TU's own, so it sees each copy and each fork's 2xx.
        (ACCEPTED, Event.RECEIVED_2XX): ((Do.PASS_UP,), ACCEPTED),
        (ACCEPTED, Timer.M): ((), TERMINATED),
    },
    timers={
        Timer.B: Runs(_in(CALLING), _64_t1),
        Timer.D: Runs(_in(COMPLETED), _d_if_unreliable),
        Timer.M: Runs(_in(ACCEPTED), _64_t1),
        Timer.A: Runs(_in(CALLING), _t1_or_never, _doubled),
    },
)

# RFC 3261 §17.1.2, figure 6.
NON_INVITE_CLIENT = Chart(
    initial=TRYING,
    moves={
        (TRYING, Timer.E): ((Do.SEND_REQUEST,), TRYING),
        (TRYING, Timer.F): ((Do.SAY_TIMED_OUT,), TERMINATED),
        (TRYING, Event.RECEIVED_1XX): ((Do.PASS_UP,), PROCEEDING),
        (TRYING, Event.RECEIVED_2XX): ((Do.PASS_UP,), COMPLETED),
        (TRYING, Event.RECEIVED_300_699): ((Do.PASS_UP,), COMPLETED),
        (TRYING, Event.TRANSPORT_ERROR): ((Do.SAY_FAILED,), TERMINATED),
        # Proceeding.
        (PROCEEDING, Timer.E): ((Do.SEND_REQUEST,), PROCEEDING),
        (PROCEEDING, Timer.F): ((Do.SAY_TIMED_OUT,), TERMINATED),
        (PROCEEDING, Event.RECEIVED_1XX): ((Do.PASS_UP,), PROCEEDING),
        (PROCEEDING, Event.RECEIVED_2XX): ((Do.PASS_UP,), COMPLETED),
        (PROCEEDING, Event.RECEIVED_300_699): ((Do.PASS_UP,), COMPLETED),
        (PROCEEDING, Event.TRANSPORT_ERROR): ((Do.SAY_FAILED,), TERMINATED),
        # Completed.
        (COMPLETED, Timer.K): ((), TERMINATED),
    },
    timers={
        Timer.F: Runs(_in(TRYING, PROCEEDING), _64_t1),
        Timer.K: Runs(_in(COMPLETED), _t4_if_unreliable),
        Timer.E: Runs(_in(TRYING, PROCEEDING), _t1_or_never, _doubled_up_to_t2_then_t2),
    },
)

# RFC 3261 §17.2.1, figure 7, as drawn anew in RFC 6026 §8.5. A transport error moves neither
# server machine (RFC 6026 §8.8): the next copy of the request may find the way open again.
INVITE_SERVER = Chart(
    initial=PROCEEDING,
    moves={
        (PROCEEDING, Event.RECEIVED_REQUEST): ((Do.SEND_RESPONSE,), PROCEEDING),
        (PROCEEDING, Timer.TRYING): ((Do.SEND_TRYING,), PROCEEDING),
        (PROCEEDING, Event.SENT_1XX): ((Do.SEND,), PROCEEDING),
        (PROCEEDING, Event.SENT_2XX): ((Do.SEND,), ACCEPTED),
        (PROCEEDING, Event.SENT_300_699): ((Do.SEND,), COMPLETED),
        (PROCEEDING, Event.TRANSPORT_ERROR): ((Do.SAY_FAILED,), PROCEEDING),
        # Completed.
        (COMPLETED, Event.RECEIVED_REQUEST): ((Do.SEND_RESPONSE,), COMPLETED),
        (COMPLETED, Timer.G): ((Do.SEND_RESPONSE,), COMPLETED),
        (COMPLETED, Timer.H): ((Do.SAY_TIMED_OUT,), TERMINATED),
        (COMPLETED, Event.RECEIVED_ACK): ((), CONFIRMED),
        (COMPLETED, Event.TRANSPORT_ERROR): ((Do.SAY_FAILED,), COMPLETED),
        # Confirmed.
        (CONFIRMED, Timer.I): ((), TERMINATED),
        # Accepted:
        # Copies of the INVITE are absorbed; the 2xx is sent again by the TU, on its own timers
        # (§13.3.1.4), until the ACK comes up to it.
        (ACCEPTED, Event.SENT_2XX): ((Do.SEND,), ACCEPTED),
        (ACCEPTED, Event.RECEIVED_ACK): ((Do.PASS_UP,), ACCEPTED),
        (ACCEPTED, Event.TRANSPORT_ERROR): ((Do.SAY_FAILED,), ACCEPTED),
        (ACCEPTED, Timer.L): ((), TERMINATED),
    },
    timers={
        Timer.H: Runs(_in(COMPLETED), _64_t1),
        Timer.I: Runs(_in(CONFIRMED), _t4_if_unreliable),
        Timer.L: Runs(_in(ACCEPTED), _64_t1),
        Timer.G: Runs(_in(COMPLETED), _t1_or_never, _doubled_up_to_t2),
        Timer.TRYING: Runs(_in(PROCEEDING), _200_ms),
    },
)

# RFC 3261 §17.2.2, figure 8.
NON_INVITE_SERVER = Chart(
    initial=TRYING,
    moves={
        (TRYING, Event.SENT_1XX): ((Do.SEND,), PROCEEDING),
        (TRYING, Event.SENT_2XX): ((Do.SEND,), COMPLETED),
        (TRYING, Event.SENT_300_699): ((Do.SEND,), COMPLETED),
        # Proceeding.
        (PROCEEDING, Event.RECEIVED_REQUEST): ((Do.SEND_RESPONSE,), PROCEEDING),
        (PROCEEDING, Event.SENT_1XX): ((Do.SEND,), PROCEEDING),
        (PROCEEDING, Event.SENT_2XX): ((Do.SEND,), COMPLETED),
        (PROCEEDING, Event.SENT_300_699): ((Do.SEND,), COMPLETED),
        (PROCEEDING, Event.TRANSPORT_ERROR): ((Do.SAY_FAILED,), PROCEEDING),
        # Completed.
        (COMPLETED, Event.RECEIVED_REQUEST): ((Do.SEND_RESPONSE,), COMPLETED),
        (COMPLETED, Event.TRANSPORT_ERROR): ((Do.SAY_FAILED,), COMPLETED),
        (COMPLETED, Timer.J): ((), TERMINATED),
    },
    timers={
        Timer.J: Runs(_in(COMPLETED), _64_t1_if_unreliable),
    },
)


# -- finding the machine of a message -------------------------------------------------------------


def client_key(message: Message) -> Key:
    """The client transaction of a request that we send, or of a response: :rfc:`3261` §17.1.3.

    The branch of the top Via and the method in CSeq; the method, since CANCEL has the branch of
    the request it cancels.
    """
    return ((message.via.branch or "").lower(), message.cseq.method)


def server_key(request: Request) -> Key:
    """The server transaction of a request, :rfc:`3261` §17.2.3.

    Branch, sent-by and method; an ACK has the key of the INVITE it acknowledges. An ACK of a 2xx
    has a branch of its own and so finds no transaction. Where the branch is not of RFC 3261, the
    fields that RFC 2543 compared; To is left out of them, since an ACK has the tag of the
    response and an INVITE has not, and CSeq already tells a re-INVITE from the first one.
    """
    return _server_key(request, "INVITE" if request.method == "ACK" else request.method)


def cancelled_key(cancel: Request) -> Key:
    """The key of the INVITE server transaction that a CANCEL is about, :rfc:`3261` §9.2."""
    return _server_key(cancel, "INVITE")


def _server_key(request: Request, method: str) -> Key:
    via = request.via
    branch = (via.branch or "").lower()
    # The same port whether or not it was written: a copy is byte for byte the same, but the ACK
    # or CANCEL of some stacks is written by other code.
    sent_by = f"{via.host.lower()}:{via.port or 5060}"
    if branch.startswith(MAGIC_COOKIE) and len(branch) > len(MAGIC_COOKIE):
        return (branch, sent_by, method)
    return (
        branch,
        sent_by,
        method,
        request.request_uri,
        (request.from_.tag or ""),
        request.call_id,
        str(request.cseq.number),
    )


# -- how a machine runs --------------------------------------------------------------------------


class Transaction:
    """A machine at work: its state, its running timers, the request it is about.

    :param request: the request that makes the transaction; must not be changed afterwards
    :param reliable: whether the transport retransmits by itself (TCP, TLS)
    """

    chart: ClassVar[Chart]
    #: What names the transaction of a request.
    key_of: ClassVar[Callable[[Request], Key]]

    def __init__(self, request: Request, reliable: bool, timers: Timers = Timers()) -> None:
        self.request = request
        self.reliable = reliable
        self.timers = timers
        self.state = self.chart.initial
        self.key: Key = type(self).key_of(request)
        self._due: dict[Timer, float] = {}
        self._interval: dict[Timer, float] = {}
        self._response: Response | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.request.method} {self.state.value}>"

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` has something to do, on the clock of ``now``; ``None``: never."""
        return min(self._due.values(), default=None)

    @property
    def rests(self) -> bool:
        """Whether all that is left is to know copies of what has come, until the :attr:`deadline`."""
        return self.state in self.chart.rests

    def tick(self, now: float) -> list[Effect]:
        """Fire all timers that are due. A late tick sends one retransmission, not a burst."""
        effects: list[Effect] = []
        for timer, runs in self.chart.timers.items():
            due = self._due.get(timer)
            if due is None or due > now:
                continue
            if runs.again is None:
                del self._due[timer]
            else:
                self._interval[timer] = runs.again(self.timers, self.state, self._interval[timer])
                self._due[timer] = now + self._interval[timer]
            effects += self._happen(timer, None, now)
        return effects

    def transport_failed(self, now: float) -> list[Effect]:
        """The transport could not send what was last given to it."""
        return self._happen(Event.TRANSPORT_ERROR, None, now)

    def _happen(
        self, event: Event | Timer, message: Request | Response | None, now: float
    ) -> list[Effect]:
        actions, state = self.chart.moves.get((self.state, event), ((), self.state))
        effects: list[Effect] = []
        for action in actions:
            match action, message:
                case Do.PASS_UP, Request() | Response():  # by far the most
                    effects.append(Deliver(message))
                case Do.SEND, Response():
                    self._response = message
                    # The TU has spoken, so nobody need say 100 in its place.
                    self._due.pop(Timer.TRYING, None)
                    effects.append(Transmit(message))
                case Do.SEND_REQUEST, _:
                    effects.append(Transmit(self.request))
                case Do.SEND_RESPONSE, _:
                    if self._response is not None:
                        effects.append(Transmit(self._response))
                case Do.SEND_TRYING, _:
                    self._response = make_response(self.request, 100)
                    effects.append(Transmit(self._response))
                case Do.SEND_ACK, Response():
                    effects.append(Transmit(make_ack(self.request, message)))
                case Do.SAY_TIMED_OUT, _:
                    effects.append(TimedOut())
                case Do.SAY_FAILED, _:
                    effects.append(TransportFailed())
                case _:
                    raise AssertionError(f"{action} has no message")
        if state is not self.state:
            self.state = state
            effects += self._set_timers(now)
        return effects

    def _set_timers(self, now: float) -> list[Effect]:
        """Stop and start the timers for the state just entered."""
        if self.state is TERMINATED:
            self._due.clear()
            return [Terminated()]
        running = self.chart.running[self.state]
        for timer in self._due.keys() - running.keys():
            del self._due[timer]
        for timer, runs in running.items():
            if timer in self._interval:
                continue
            first = runs.first(self.timers, self.reliable)
            if first == 0:
                return self._happen(timer, None, now)
            if first is not None:
                self._interval[timer] = first
                self._due[timer] = now + first
        return []


class ClientTransaction(Transaction):
    """The side that sends the request."""

    key_of = client_key

    def start(self, now: float) -> list[Effect]:
        """Send the request and start the timers of the first state."""
        return [Transmit(self.request), *self._set_timers(now)]

    def take_up(self) -> None:
        """Go on with a request that was sent before us, and that need not be sent again."""
        self.state = State.PROCEEDING

    def receive(self, message: Response, now: float) -> list[Effect]:
        """A response whose :func:`client_key` is this machine's has come."""
        if message.status < 200:
            return self._happen(Event.RECEIVED_1XX, message, now)
        if message.status < 300:
            return self._happen(Event.RECEIVED_2XX, message, now)
        return self._happen(Event.RECEIVED_300_699, message, now)


class ServerTransaction(Transaction):
    """The side that answers the request."""

    key_of = server_key

    @property
    def last_response(self) -> Response | None:
        """The response sent last, which a copy of the request is answered with."""
        return self._response

    def start(self, now: float) -> list[Effect]:
        """Give the request to the TU and start the timers of the first state."""
        return [Deliver(self.request), *self._set_timers(now)]

    def receive(self, message: Request, now: float) -> list[Effect]:
        """A request whose :func:`server_key` is this machine's has come: a copy, or an ACK."""
        if message.method == "ACK":
            return self._happen(Event.RECEIVED_ACK, message, now)
        return self._happen(Event.RECEIVED_REQUEST, message, now)

    def respond(self, response: Response, now: float) -> list[Effect]:
        """Send the TU's response. One that comes too late for the state is dropped (§17.2.1)."""
        if response.status < 200:
            return self._happen(Event.SENT_1XX, response, now)
        if response.status < 300:
            return self._happen(Event.SENT_2XX, response, now)
        return self._happen(Event.SENT_300_699, response, now)


class InviteClient(ClientTransaction):
    """INVITE, sent. Acknowledges 300-699 by itself; the ACK of a 2xx is the TU's."""

    chart = INVITE_CLIENT


class NonInviteClient(ClientTransaction):
    """Any request but INVITE and ACK, sent."""

    chart = NON_INVITE_CLIENT


class InviteServer(ServerTransaction):
    """INVITE, received. Retransmits 300-699 by itself; a 2xx is the TU's to send again."""

    chart = INVITE_SERVER


class NonInviteServer(ServerTransaction):
    """Any request but INVITE and ACK, received."""

    chart = NON_INVITE_SERVER


# -- ACK and CANCEL -------------------------------------------------------------------------------


def make_ack(request: Request, response: Response) -> Request:
    """The ACK for a 300-699 response to an INVITE, :rfc:`3261` §17.1.1.3.

    It belongs to the INVITE's transaction: same Request-URI, branch and Route; To, with its tag,
    from the response. Credentials of the INVITE are repeated (§22.1).
    """
    ack = Request("ACK", request.request_uri)
    ack.add("Via", str(request.via))
    for route in request.get_all("Route"):
        ack.add("Route", route)
    ack.add("Max-Forwards", "70")
    ack.add("From", request.get("From") or "")
    ack.add("To", response.get("To") or "")
    ack.add("Call-ID", request.call_id)
    ack.add("CSeq", f"{request.cseq.number} ACK")
    for name in ("Authorization", "Proxy-Authorization"):
        for value in request.get_all(name):
            ack.add(name, value)
    return ack


def make_cancel(invite: Request, reason: str = "") -> Request:
    """The CANCEL of an ``invite``, without its Via, :rfc:`3261` §9.1; ``reason`` is that of :rfc:`3326`."""
    cancel = Request("CANCEL", invite.request_uri)
    for name in ("Route", "Max-Forwards", "From", "To", "Call-ID"):
        for value in invite.get_all(name):
            cancel.add(name, value)
    cancel.add("CSeq", f"{invite.cseq.number} CANCEL")
    if reason:
        cancel.add("Reason", reason)
    return cancel
