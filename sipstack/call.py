"""An outgoing INVITE session, from the first INVITE to the last BYE (:rfc:`3261` §13 to §15)."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sipstack.account import Account, Attempt
from sipstack.dialog import Dialog
from sipstack.message import (
    REASONS,
    CSeq,
    Message,
    NameAddr,
    Request,
    Response,
    Uri,
    make_response,
)
from sipstack.resolver import Target
from sipstack.sdp import LocalMedia, RemoteMedia, SdpError
from sipstack.transaction import Timers
from sipstack.transport import Address

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO"
SDP = "application/sdp"
#: Forks of one INVITE whose 2xx are acknowledged; no call rings more phones, and a hostile peer may invent tags.
FORKS = 16


@dataclass(frozen=True, slots=True)
class Ringing:
    """A provisional answer above 100 came."""

    status: int


@dataclass(frozen=True, slots=True)
class EarlyMedia:
    """A provisional answer described the peer's media."""

    remote: RemoteMedia


@dataclass(frozen=True, slots=True)
class Answered:
    """The call was answered and acknowledged."""

    remote: RemoteMedia


@dataclass(frozen=True, slots=True)
class Failed:
    """The call was not answered. ``status`` is the peer's, or 408 or 503 where there was no answer to be had."""

    status: int
    reason: str
    q850: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """An answered call is over; ``by`` is ``"peer"``, ``"local"``, or ``"network"`` where the peer was lost."""

    by: str
    q850: int | None = None


Event = Ringing | EarlyMedia | Answered | Failed | Ended


@dataclass(frozen=True, slots=True)
class Outbound:
    """Where a call goes: the Request-URI, and the account through whose trunk, or ``None`` for straight there."""

    uri: Uri
    account: Account | None = None

    @property
    def next_hop(self) -> Uri:
        """The URI whose servers the INVITE is sent to."""
        return self.account.next_hop if self.account else self.uri


@dataclass(frozen=True, slots=True)
class Handlers:
    """What becomes of a request: each response with its source, or the status that stands for having none."""

    response: Callable[[Response, Address], None]
    failure: Callable[[int], None]


class Timer(Protocol):
    """A pending callback."""

    def cancel(self) -> None:
        """Do not call it."""


class Responder(Protocol):
    """The server transaction of a request from the peer."""

    def respond(self, response: Response) -> None:
        """Send a response through the transaction."""


class Agent(Protocol):
    """What a call needs of its user agent."""

    timers: Timers

    def token(self) -> str:
        """A fresh random token for tags and Call-IDs."""

    def call_later(self, delay: float, then: Callable[[], None]) -> Timer:
        """Have ``then`` called in ``delay`` seconds."""

    def locate(
        self,
        uri: Uri,
        account: Account | None,
        then: Callable[[Target], None],
        failed: Callable[[str], None],
    ) -> None:
        """Find the target of ``uri``: at once for an IP literal, later where DNS is asked."""

    def contact(self, target: Target, user: str) -> NameAddr:
        """Our Contact as ``target`` reaches it."""

    def send_request(self, request: Request, target: Target, handlers: Handlers) -> None:
        """Start a client transaction; Via is added here."""

    def send(self, message: Message, target: Target) -> None:
        """Send outside of any transaction: an ACK of a 2xx; Via is added here."""

    def send_cancel(
        self, invite: Request, cancel: Request, target: Target, handlers: Handlers
    ) -> None:
        """Start the transaction of a CANCEL, which has the Via of its ``invite``."""

    def abandon(self, invite: Request) -> None:
        """Destroy the client transaction of an INVITE that never got its final answer."""

    def attach(self, call: "OutgoingCall") -> None:
        """Route requests of the call's dialogs to it."""

    def detach(self, call: "OutgoingCall") -> None:
        """Stop doing so; the call is over."""


class OutgoingCall:
    """One call that we make.

    ``on_event`` gets its events in order, the last of which is :class:`Failed` or :class:`Ended`. ``on_media`` is called with the peer's media whenever a description was agreed on: early, at the answer, and at
    each re-INVITE or UPDATE. ``redirect`` decides where a 3xx leads, ``None`` for nowhere; it is asked once.
    """

    def __init__(
        self,
        agent: Agent,
        outbound: Outbound,
        media: LocalMedia,
        *,
        from_: NameAddr,
        call_id: str,
        contact_user: str,
        headers: Sequence[tuple[str, str]] = (),
        on_event: Callable[[Event], None],
        on_media: Callable[[RemoteMedia], None],
        redirect: Callable[[Uri], Outbound | None] = lambda uri: None,
    ) -> None:
        self.call_id = call_id
        self.local_tag = agent.token()
        self.outbound = outbound
        #: The last of a call's events, once it is over.
        self.outcome: Failed | Ended | None = None
        self.answered = False
        self._agent = agent
        self._media = media
        self._from = from_.with_tag(self.local_tag)
        self._to = NameAddr("", outbound.uri, ())
        self._contact_user = contact_user
        self._headers = tuple(headers)
        self._on_media = on_media
        self._redirect = redirect
        self._redirected = False
        self._on_event = on_event
        self._finished = asyncio.Event()
        self._sequence = 0
        self._attempt = Attempt(outbound.account)
        self._invite: Request | None = None
        self._target: Target | None = None
        self._provisional = False
        self._hanging_up = False
        self._cancel_sent = False
        self._cancel_reason = ""
        self._dialog: Dialog | None = None
        self._acks: dict[str | None, tuple[Request, Target]] = {}
        self._offer_pending = False
        self._answer: _PendingAnswer | None = None
        self._give_up: Timer | None = None

    # --- what the caller does

    def dial(self, target: Target) -> None:
        """Send the INVITE to ``target``. Whatever goes wrong comes as :class:`Failed`."""
        self._agent.attach(self)
        self._transmit_invite(target, ())

    async def finished(self) -> None:
        """Wait until no request of this call is under way any more."""
        await self._finished.wait()

    def hang_up(self, reason: str = "") -> None:
        """End the call in whatever state it is: CANCEL before the answer, BYE after it. Does nothing the second time.

        ``reason`` is the value of a Reason header (:rfc:`3326`).
        """
        if self._hanging_up or self.outcome is not None:
            return
        self._hanging_up = True
        self._cancel_reason = reason
        if self._dialog is not None:
            self._send_bye(self._dialog, reason)
            self._end(Ended("local"))
        elif self._provisional:
            self._send_cancel()
        # Otherwise the first answer to the INVITE decides: a CANCEL may not be sent before it (RFC 3261 §9.1).

    @property
    def dialog(self) -> Dialog | None:
        """The dialog of an answered call."""
        return self._dialog

    def is_alive(self, then: Callable[[bool], None]) -> None:
        """Ask the peer of an answered call with OPTIONS; ``then`` gets False when it is gone (:rfc:`3261` §12.2.1.2)."""
        dialog = self._dialog
        if dialog is None or self.outcome is not None:
            then(False)
            return
        self._in_dialog(dialog, "OPTIONS", lambda status: then(status not in (408, 481, 503)))

    # --- the INVITE

    def _transmit_invite(self, target: Target, authorization: Sequence[tuple[str, str]]) -> None:
        self._sequence += 1
        self._target = target
        self._provisional = False
        account = self.outbound.account
        request = Request("INVITE", self.outbound.uri)
        if account is not None and account.outbound_proxy is not None:
            request.add("Route", str(NameAddr("", account.outbound_proxy, ())))
        request.add("Max-Forwards", "70")
        request.add("From", str(self._from))
        request.add("To", str(self._to))
        request.add("Call-ID", self.call_id)
        request.add("CSeq", str(CSeq(self._sequence, "INVITE")))
        request.add("Contact", str(self._agent.contact(target, self._contact_user)))
        for name, value in (*authorization, *self._headers):
            request.add(name, value)
        request.add("Allow", ALLOW)
        request.add("Accept", SDP)
        request.add("Content-Type", SDP)
        request.body = self._media.offer()
        self._invite = request
        self._agent.send_request(
            request, target, Handlers(self._invite_response, self._invite_failure)
        )

    def _invite_failure(self, status: int) -> None:
        self._fail(Failed(status, REASONS[status]))

    def _invite_response(self, response: Response, source: Address) -> None:
        status = response.status
        if status < 200:
            self._provisional = True
            if self._hanging_up:
                self._send_cancel()
            elif status > 100 and self.outcome is None and not self.answered:
                self._progress(response)
        elif status < 300:
            self._success(response)
        elif self._hanging_up or self.outcome is not None:
            self._fail(_failure(response))
        elif status in (401, 407):
            self._challenged(response, source)
        elif status < 400 and not self._redirected:
            self._follow(response)
        else:
            self._fail(_failure(response))

    def _progress(self, response: Response) -> None:
        if response.status != 183 or not response.body:
            self._on_event(Ringing(response.status))
        if _has_sdp(response):
            try:
                remote = self._media.accept_answer(response.body)
            except SdpError:
                return  # what the 2xx says counts, and is judged then
            self._on_media(remote)
            self._on_event(EarlyMedia(remote))

    def _challenged(self, response: Response, source: Address) -> None:
        assert self._invite is not None and self._target is not None
        header = self._attempt.answer(response, source, self._invite)
        if header is None:
            self._fail(_failure(response))
        else:
            self._transmit_invite(self._target, [header])

    def _follow(self, response: Response) -> None:
        self._redirected = True
        for contact in response.contacts:
            outbound = self._redirect(contact.uri)
            if outbound is not None:
                self.outbound = outbound
                self._attempt = Attempt(outbound.account)
                self._agent.locate(
                    outbound.next_hop,
                    outbound.account,
                    self._redirected_to,
                    lambda why: self._fail(Failed(503, why)),
                )
                return
        self._fail(_failure(response))

    def _redirected_to(self, target: Target) -> None:
        if self._hanging_up:
            self._fail(Failed(487, REASONS[487]))
        else:
            self._transmit_invite(target, ())

    def _success(self, response: Response) -> None:
        assert self._invite is not None
        ack = self._acks.get(response.to.tag)
        if ack is not None:
            self._agent.send(*ack)  # the one before was lost
            return
        if len(self._acks) >= FORKS:
            return
        dialog = self._dialog
        fresh = Dialog.from_response(self._invite, response)
        if dialog is not None:
            # Another fork answered too: take its call and end it (§13.2.2.4).
            self._acknowledge(fresh)
            self._in_dialog(fresh, "BYE", lambda status: None)
            return
        self._dialog = fresh
        self._acknowledge(fresh)
        if self._hanging_up or self.outcome is not None:
            # The answer crossed our CANCEL.
            self._send_bye(fresh, self._cancel_reason)
            self._fail(Failed(487, REASONS[487]), lingering=True)
            return
        try:
            remote = self._media.accept_answer(response.body)
        except SdpError as error:
            self._hanging_up = True
            self._send_bye(fresh, 'SIP;cause=488;text="Not Acceptable Here"')
            self._fail(Failed(488, error.reason), lingering=True)
            return
        self.answered = True
        self._on_media(remote)
        self._on_event(Answered(remote))

    def _acknowledge(self, dialog: Dialog) -> None:
        ack = dialog.request("ACK", self._sequence)

        def send(target: Target) -> None:
            self._acks[dialog.remote_tag] = (ack, target)
            self._agent.send(ack, target)

        # A Contact that cannot be resolved cannot be sent an ACK; the peer will time out and send BYE.
        self._agent.locate(dialog.next_hop(), self.outbound.account, send, lambda why: None)

    def _send_cancel(self) -> None:
        if self._cancel_sent or self._invite is None or self._target is None:
            return
        self._cancel_sent = True
        cancel = Request("CANCEL", self._invite.request_uri)
        for name in ("Route", "Max-Forwards", "From", "To", "Call-ID"):
            for value in self._invite.get_all(name):
                cancel.add(name, value)
        cancel.add("CSeq", str(CSeq(self._sequence, "CANCEL")))
        if self._cancel_reason:
            cancel.add("Reason", self._cancel_reason)
        self._agent.send_cancel(
            self._invite,
            cancel,
            self._target,
            Handlers(lambda response, source: None, lambda status: None),
        )
        # A server that lost the INVITE may never answer it: 64*T1 after the CANCEL it counts as cancelled (§9.1).
        self._give_up = self._agent.call_later(64 * self._agent.timers.t1, self._never_cancelled)

    def _never_cancelled(self) -> None:
        if self._invite is not None:
            self._agent.abandon(self._invite)
        self._fail(Failed(487, REASONS[487]))

    # --- within the dialog

    def _in_dialog(
        self, dialog: Dialog, method: str, then: Callable[[int], None], reason: str = ""
    ) -> None:
        send_in_dialog(
            self._agent,
            dialog,
            self.outbound.account,
            method,
            then,
            headers=[("Reason", reason)] if reason else (),
            contact_user=self._contact_user,
        )

    def _send_bye(self, dialog: Dialog, reason: str) -> None:
        self._in_dialog(dialog, "BYE", lambda status: self._finish(), reason)

    def receive(self, request: Request, responder: Responder) -> None:
        """A request from the peer within one of the call's dialogs, other than ACK."""
        dialog = self._dialog
        if dialog is None:
            self._receive_early(request, responder)
            return
        if dialog.remote_tag != request.from_.tag:
            responder.respond(make_response(request, 481))
            return
        wrong = dialog.check_sequence(request)
        if wrong is not None:
            responder.respond(make_response(request, wrong.status, wrong.reason))
        elif request.method == "BYE":
            responder.respond(make_response(request, 200))
            if self.outcome is None:
                self._end(Ended("peer", _q850(request)))
                self._finish()
        elif self.outcome is not None:
            responder.respond(make_response(request, 481))
        elif request.method in ("INVITE", "UPDATE"):
            self._renegotiate(dialog, request, responder)
        elif request.method in ("OPTIONS", "INFO"):
            responder.respond(make_response(request, 200, headers=[("Allow", ALLOW)]))
        else:
            responder.respond(refusal(request))

    def _receive_early(self, request: Request, responder: Responder) -> None:
        if request.method == "BYE" and self.outcome is None:
            # The peer's 200 was lost or overtaken by its own BYE: for the peer the call has ended.
            responder.respond(make_response(request, 200))
            self._send_cancel()
            self._fail(Failed(487, "Hung Up"), lingering=True)
        elif request.method == "UPDATE" and self.outcome is None and _has_sdp(request):
            try:
                body, remote = self._media.answer(request.body)
            except SdpError as error:
                responder.respond(make_response(request, 488, error.reason))
                return
            responder.respond(self._described(request, body))
            self._on_media(remote)
        else:
            responder.respond(make_response(request, 481))

    def _renegotiate(self, dialog: Dialog, request: Request, responder: Responder) -> None:
        if self._answer is not None and request.method == "INVITE":
            # Our 2xx to the last re-INVITE still waits for its ACK: one at a time (§14.2).
            response = make_response(request, 500, headers=[("Retry-After", "2")])
            responder.respond(response)
            return
        if request.body and not _has_sdp(request):
            responder.respond(make_response(request, 415, headers=[("Accept", SDP)]))
            return
        remote: RemoteMedia | None = None
        try:
            if request.body:
                body, remote = self._media.answer(request.body)
            elif request.method == "INVITE":
                body = self._media.offer()
            else:
                body = b""
        except SdpError as error:
            responder.respond(make_response(request, 488, error.reason))
            return
        dialog.refresh_target(request)
        response = self._described(request, body)
        if request.method == "INVITE":
            self._offer_pending = remote is None
            self._answer = _PendingAnswer(
                self._agent, responder, response, request.cseq.number, self._never_acknowledged
            )
        else:
            responder.respond(response)
        if remote is not None:
            self._on_media(remote)

    def _described(self, request: Request, body: bytes) -> Response:
        assert self._target is not None
        contact = self._agent.contact(self._target, self._contact_user)
        response = make_response(
            request, 200, headers=[("Contact", str(contact)), ("Allow", ALLOW)]
        )
        if body:
            response.add("Content-Type", SDP)
            response.body = body
        return response

    def acknowledged(self, ack: Request) -> None:
        """The ACK of a 2xx that we sent to a re-INVITE."""
        answer = self._answer
        if answer is None or ack.cseq.number != answer.sequence:
            return
        answer.stop()
        self._answer = None
        if self._offer_pending:
            self._offer_pending = False
            if _has_sdp(ack):
                try:
                    self._on_media(self._media.accept_answer(ack.body))
                except SdpError:
                    self.hang_up('SIP;cause=488;text="Not Acceptable Here"')

    def _never_acknowledged(self) -> None:
        self._answer = None
        if self.outcome is None and self._dialog is not None:
            # §14.2: a 2xx that is never acknowledged ends the session.
            self._hanging_up = True
            self._send_bye(self._dialog, 'SIP;cause=408;text="ACK Timeout"')
            self._end(Ended("network"))

    # --- the end

    def lost(self) -> None:
        """End an answered call whose peer is gone: BYE for the proxies between, and :class:`Ended` by network."""
        if self.outcome is None and self._dialog is not None:
            self._hanging_up = True
            self._send_bye(self._dialog, "")
            self._end(Ended("network"))

    def _fail(self, event: Failed, lingering: bool = False) -> None:
        if self.outcome is None:
            self.outcome = event
            self._on_event(event)
        if not lingering:
            self._finish()

    def _end(self, event: Ended) -> None:
        self.outcome = event
        self._on_event(event)
        if self._answer is not None:
            self._answer.stop()
            self._answer = None

    def _finish(self) -> None:
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None
        self._finished.set()
        self._agent.detach(self)


def send_in_dialog(
    agent: Agent,
    dialog: Dialog,
    account: Account | None,
    method: str,
    then: Callable[[int], None],
    *,
    headers: Sequence[tuple[str, str]] = (),
    contact_user: str = "",
) -> None:
    """Send a request in ``dialog``, answering a challenge of the account's own servers.

    ``then`` gets its final status, 408 or 503 where there was none.
    """
    attempt = Attempt(account)

    def transmit(target: Target, authorization: Sequence[tuple[str, str]]) -> None:
        request = dialog.request(method)
        request.add("Contact", str(agent.contact(target, contact_user)))
        for name, value in (*authorization, *headers):
            request.add(name, value)

        def responded(response: Response, source: Address) -> None:
            if response.status < 200:
                return
            header = (
                attempt.answer(response, source, request) if response.status in (401, 407) else None
            )
            if header is not None:
                transmit(target, [header])
            else:
                then(response.status)

        agent.send_request(request, target, Handlers(responded, then))

    agent.locate(
        dialog.next_hop(), account, lambda target: transmit(target, ()), lambda why: then(503)
    )


class _PendingAnswer:
    """Our 2xx to a re-INVITE, retransmitted until its ACK comes (:rfc:`3261` §13.3.1.4)."""

    def __init__(
        self,
        agent: Agent,
        responder: Responder,
        response: Response,
        sequence: int,
        never: Callable[[], None],
    ) -> None:
        self.sequence = sequence
        self._agent = agent
        self._responder = responder
        self._response = response
        self._interval = agent.timers.t1
        self._resend = agent.call_later(self._interval, self._again)
        self._limit = agent.call_later(64 * agent.timers.t1, self._expired)
        self._never = never
        responder.respond(response)

    def _again(self) -> None:
        self._responder.respond(self._response)
        self._interval = min(2 * self._interval, self._agent.timers.t2)
        self._resend = self._agent.call_later(self._interval, self._again)

    def _expired(self) -> None:
        self.stop()
        self._never()

    def stop(self) -> None:
        self._resend.cancel()
        self._limit.cancel()


#: Methods that a user agent may meet and that we have no use for; anything else is unknown to us.
KNOWN_METHODS = frozenset(
    [
        "INVITE",
        "ACK",
        "CANCEL",
        "BYE",
        "OPTIONS",
        "REGISTER",
        "UPDATE",
        "INFO",
        "PRACK",
        "SUBSCRIBE",
        "NOTIFY",
        "REFER",
        "MESSAGE",
        "PUBLISH",
    ]
)


def refusal(request: Request) -> Response:
    """The answer to a request that we do not support: 405 with Allow, or 501 for a method nobody knows."""
    if request.method in KNOWN_METHODS:
        return make_response(request, 405, headers=[("Allow", ALLOW)])
    return make_response(request, 501, headers=[("Allow", ALLOW)])


def _has_sdp(message: Message) -> bool:
    kind = message.content_type or ""
    return bool(message.body) and kind.partition(";")[0].strip().lower() == SDP


def _failure(response: Response) -> Failed:
    return Failed(response.status, response.reason, _q850(response))


def _q850(message: Message) -> int | None:
    """The Q.850 cause of a Reason header (:rfc:`3326`), if there is one."""
    for value in message.values("Reason"):
        protocol, *params = value.split(";")
        if protocol.strip().upper() != "Q.850":
            continue
        for param in params:
            name, _, number = param.partition("=")
            if name.strip().lower() == "cause" and number.strip().isdecimal() and len(number) < 5:
                return int(number)
    return None


__all__ = [
    "ALLOW",
    "Agent",
    "Answered",
    "EarlyMedia",
    "Ended",
    "Event",
    "Failed",
    "Handlers",
    "Outbound",
    "OutgoingCall",
    "Responder",
    "Ringing",
    "refusal",
    "send_in_dialog",
]
