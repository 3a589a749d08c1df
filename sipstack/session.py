"""An answered call: what goes on in its dialog until the last BYE (:rfc:`3261` §12.2, §14, §15)."""

from collections.abc import Callable, Sequence

from sipstack.account import Account, attempt_at
from sipstack.agent import (
    ALLOW,
    BODIES,
    SDP,
    SUPPORTED,
    Agent,
    Handlers,
    Responder,
    Timer,
    accept_nothing,
    has_foreign_body,
    has_sdp,
    retry_after,
    sdp_of,
    supports,
    tell_nobody,
    try_again,
)
from sipstack.dialog import Dialog
from sipstack.events import (
    Ended,
    Event,
    Info,
    LostBy,
    OfferAnswered,
    OfferRefused,
    Referred,
    Refreshed,
    Renegotiated,
    q850_cause,
)
from sipstack.lenient import readable
from sipstack.message import (
    METHODS,
    Message,
    NameAddr,
    ParseError,
    Request,
    Response,
    Uri,
    make_response,
)
from sipstack.pending_answer import PendingAnswer
from sipstack.reliable import Received
from sipstack.resolver import Target, literal_target
from sipstack.sdp import LocalMedia, RemoteMedia, SdpError
from sipstack.session_timer import MIN_SE, SessionTimer
from sipstack.transport import Address

#: Requests that say where their sender is to be reached from now on (RFC 3261 §12.2.1.1, RFC 3515, RFC 6665).
_WITH_CONTACT = frozenset(["INVITE", "UPDATE", "REFER", "NOTIFY", "SUBSCRIBE", "OPTIONS"])
#: Seconds after which a re-INVITE that met the peer's own is tried again by the side that made the call, and by the
#: other one, so that they do not meet again (§14.1).
_CALLERS_GLARE, _CALLEES_GLARE = (2.1, 4.0), (0.0, 2.0)
#: Seconds to the next try of a refresh that was refused for now.
_REFRESH_AGAIN = 10.0
#: Re-INVITEs of ours whose 2xx may still come again.
_ACKS = 8
#: Servers that one request in a dialog is sent to, where the ones before do not serve.
_SERVERS = 3
#: INFOs of ours that wait for the answer to one before.
_TOLD = 16
#: Times that one offer of ours is repeated because of glare.
_GLARES = 5

#: What we can do, as headers.
CAPABILITIES = (("Allow", ALLOW), ("Supported", ", ".join(SUPPORTED)))

Then = Callable[[int, Response | None], None]


class Session:
    """The session of one dialog.

    ``on_media`` is called with the peer's media whenever a description was agreed on; ``on_event`` gets
    :class:`Renegotiated`, :class:`Refreshed`, :class:`OfferAnswered`, :class:`OfferRefused`, :class:`Info`, :class:`Referred` and, last, :class:`Ended`;
    ``on_finished`` is called when its BYE has been answered too. ``accepts_referral`` decides whether a REFER to a
    URI is accepted. ``called`` says that the peer made the call.
    """

    def __init__(
        self,
        agent: Agent,
        dialog: Dialog,
        media: LocalMedia,
        *,
        account: Account | None,
        contact: NameAddr,
        timer: SessionTimer,
        on_event: Callable[[Event], None],
        on_media: Callable[[RemoteMedia], None],
        on_finished: Callable[[], None],
        accepts_referral: Callable[[Uri], bool] = lambda uri: False,
        called: bool = False,
    ) -> None:
        self.dialog = dialog
        #: How it ended, once it has.
        self.outcome: Ended | None = None
        #: How its peer was found to be gone, if it was.
        self.lost_by: LostBy = ""
        #: What was wrong with an answer to an offer of ours, for which it was ended.
        self.unusable = ""
        self._agent = agent
        self._media = media
        self._account = account
        self._contact = contact
        self._timer = timer
        self._on_event: Callable[[Event], None] = on_event
        self._on_media: Callable[[RemoteMedia], None] = on_media
        self._on_finished: Callable[[], None] = on_finished
        self._accepts_referral: Callable[[Uri], bool] = accepts_referral
        self._called = called
        self._started = False
        self._peer_updates = False
        #: Whether the peer has said that it takes INFO.
        self.takes_info = False
        self._told: list[tuple[str, bytes]] = []
        self._answer: PendingAnswer | None = None
        self._answer_has_offer = False
        self._offering = False
        self._wanted: str | None = None
        self._glares = 0
        self._acks: dict[int, tuple[Request, Target]] = {}
        self._refresh: Timer | None = None
        self._lapse: Timer | None = None
        self._again: Timer | None = None
        self._referral: _Referral | None = None

    # --- its beginning and its end

    def start(self, answer: Message) -> None:
        """Begin, once our ACK is out, or the peer's is in; ``answer`` is the peer's 2xx, or its INVITE."""
        self._started = True
        allowed = [name.strip() for name in readable(answer.values, "Allow")]
        self._peer_updates = "UPDATE" in allowed
        self.takes_info = "INFO" in allowed
        self._watch()
        self._offer_again()

    def hang_up(self, reason: str = "") -> None:
        """Send BYE; ``reason`` is the value of a Reason header (:rfc:`3326`). Does nothing once it is over."""
        self._bye(Ended("local"), reason)

    def lost(self, by: LostBy = "silence") -> None:
        """The peer is gone, as ``by`` shows: BYE for the proxies between, and :class:`Ended` by network."""
        if self.outcome is None:
            self.lost_by = by
        self._bye(Ended("network"), "")

    def give_up(self, error: SdpError) -> None:
        """End it, for an offer of ours was answered with what we cannot take (:rfc:`3261` §14.1 leaves nothing else)."""
        if self.outcome is None:
            self.unusable = error.reason
        self._bye(Ended("local", status=488), 'SIP;cause=488;text="Not Acceptable Here"')

    def _bye(self, event: Ended, reason: str) -> None:
        if self.outcome is not None:
            return
        headers = [("Reason", reason)] if reason else []
        self._send("BYE", lambda status, response: self._on_finished(), headers=headers)
        self._end(event)

    def _end(self, event: Ended) -> None:
        self.outcome = event
        for timer in (self._refresh, self._lapse, self._again):
            if timer is not None:
                timer.cancel()
        if self._answer is not None:
            self._answer.stop()
            self._answer = None
        self._on_event(event)

    def release(self) -> None:
        """It is over, and nobody has to hear of it any more."""
        self._on_event = self._on_media = self._on_finished = tell_nobody
        self._accepts_referral = accept_nothing

    def is_alive(self, then: Callable[[bool], None]) -> None:
        """Ask the peer with OPTIONS; ``then`` gets False when it is gone (:rfc:`3261` §12.2.1.2)."""
        if self.outcome is not None:
            then(False)
        else:
            self._send("OPTIONS", lambda status, _: then(status not in (408, 481, 503)))

    def inform(self, content_type: str, body: bytes) -> bool:
        """Send an INFO (:rfc:`2976`), after those before have been answered; whether it will be sent.

        What the peer answers changes nothing.
        """
        if self.outcome is not None or len(self._told) >= _TOLD:
            return False
        self._told.append((content_type, body))
        if len(self._told) == 1:
            self._inform_next()
        return True

    def _inform_next(self) -> None:
        if self.outcome is None and self._told:
            content_type, body = self._told[0]
            self._send("INFO", self._informed, headers=[("Content-Type", content_type)], body=body)

    def _informed(self, status: int, response: Response | None) -> None:
        del self._told[0]
        self._inform_next()

    # --- requests from the peer

    def receive(self, request: Request, responder: Responder) -> None:
        """A request in the dialog, other than ACK.

        :raises ParseError: a header of it cannot be read.
        """
        if self.dialog.remote_tag != request.from_.tag:
            responder.respond(make_response(request, 481))
            return
        wrong = self.dialog.check_sequence(request)
        if wrong is not None:
            responder.respond(make_response(request, wrong.status, wrong.reason))
        elif request.method == "BYE":
            responder.respond(make_response(request, 200))
            if self.outcome is None:
                self._end(Ended("peer", q850_cause(request)))
                self._on_finished()
        elif self.outcome is not None:
            responder.respond(make_response(request, 481))
        elif request.method in ("INVITE", "UPDATE"):
            self._renegotiate(request, responder)
        elif request.method == "REFER":
            self._refer(request, responder)
        elif request.method == "OPTIONS":
            responder.respond(make_response(request, 200, headers=about_us()))
        elif request.method == "INFO":
            responder.respond(make_response(request, 200))
            kind = (request.content_type or "").partition(";")[0].strip().lower()
            self._on_event(Info(kind, request.body))
        elif request.method in ("PRACK", "NOTIFY"):
            # There is no provisional response, and no subscription of ours, that it could belong to.
            responder.respond(make_response(request, 481))
        else:
            responder.respond(refusal(request))

    def _renegotiate(self, request: Request, responder: Responder) -> None:
        theirs = sdp_of(request)
        offers = request.method == "INVITE" or bool(theirs)
        if self._answer is not None and offers:
            if self._answer_has_offer:
                # Our offer in that 2xx still waits for its answer (RFC 3311 §5.2).
                responder.respond(make_response(request, 491))
            else:
                # Our 2xx still waits for its ACK: one at a time (§14.2).
                headers = [try_again(self._agent)]
                responder.respond(make_response(request, 500, headers=headers))
            return
        if self._offering and offers:
            responder.respond(make_response(request, 491))
            return
        if has_foreign_body(request):
            responder.respond(make_response(request, 415, headers=BODIES))
            return
        before = self._timer.agreed
        try:
            timing = self._timer.asked(request)
        except ParseError as error:
            headers = [("Min-SE", str(MIN_SE))]
            responder.respond(make_response(request, error.status, error.reason, headers=headers))
            return
        remote: RemoteMedia | None = None
        try:
            if theirs:
                body, remote = self._media.answer(theirs)
            else:
                body = self._media.offer() if request.method == "INVITE" else b""
        except SdpError as error:
            self._timer.agreed = before  # what is refused refreshes nothing
            responder.respond(make_response(request, 488, error.reason))
            return
        self.dialog.refresh_target(request)
        response = make_response(
            request, 200, headers=[("Contact", str(self._contact)), *CAPABILITIES, *timing]
        )
        describe(response, body)
        if request.method == "INVITE":
            self._answer_has_offer = remote is None
            self._answer = PendingAnswer(
                self._agent, responder, response, request.cseq.number, self._never_acknowledged
            )
        else:
            responder.respond(response)
        self._watch()
        if remote is None:
            self._on_event(Refreshed())
        else:
            self._agreed(remote)

    def _agreed(self, remote: RemoteMedia) -> None:
        self._on_media(remote)
        self._on_event(Renegotiated(remote))

    def acknowledged(self, ack: Request) -> None:
        """The ACK of a 2xx that we sent to a re-INVITE."""
        answer = self._answer
        if answer is None or ack.cseq.number != answer.sequence:
            return
        answer.stop()
        self._answer = None
        if self._answer_has_offer:
            self._answer_has_offer = False
            # An offer in a 2xx has to be answered in the ACK (§13.2.2.4). Some who only want to see whether the call is
            # still there forget it: what was agreed on before stays, and so does the call.
            if not has_sdp(ack):
                self._media.withdraw_offer()
            else:
                try:
                    self._agreed(self._media.accept_answer(sdp_of(ack)))
                except SdpError as error:
                    self.give_up(error)
                    return
        self._offer_again()

    def _never_acknowledged(self) -> None:
        self._answer = None
        self.lost_by = self.lost_by or "ACK"
        # §14.2: a 2xx that is never acknowledged ends the session.
        self._bye(Ended("network"), 'SIP;cause=408;text="ACK Timeout"')

    # --- our own offers

    def offer(self, direction: str = "sendrecv") -> None:
        """Offer our media anew by re-INVITE, in ``direction`` as we see it: hold is ``sendonly`` or ``inactive``.

        While another offer is under way, the latest one that was asked for follows it. A refusal changes nothing.
        """
        self._wanted = direction
        self._offer_again()

    def _offer_again(self) -> None:
        if self._wanted is None or self.outcome is not None or not self._started:
            return
        if self._offering or self._answer is not None or self._again is not None:
            return  # comes back when that is done
        direction, self._wanted = self._wanted, None
        self._reinvite(direction)

    def _reinvite(self, direction: str) -> None:
        self._offering = True
        self._send(
            "INVITE",
            lambda status, response: self._reinvited(status, response, direction),
            headers=[("Accept", SDP), *CAPABILITIES, *self._timer.ask()],
            body=self._media.offer(direction),
        )

    def _reinvited(self, status: int, response: Response | None, direction: str) -> None:
        if response is not None and status < 300:
            self._reinvite_answered(response)
            return
        self._offering = False
        self._media.withdraw_offer()
        if status in (408, 481):
            self.lost("re-INVITE")
        elif status == 491 and self._glares < _GLARES and self.outcome is None:
            self._glares += 1
            self._wanted = self._wanted or direction
            glare = _CALLEES_GLARE if self._called else _CALLERS_GLARE
            self._again = self._agent.call_later(self._agent.uniform(*glare), self._after_glare)
        elif status == 422 and response is not None and self._timer.raised(response):
            self._wanted = self._wanted or direction
            self._offer_again()
        else:
            self._glares = 0
            if self.outcome is None:
                self._on_event(OfferRefused(status))
            self._offer_again()

    def _after_glare(self) -> None:
        self._again = None
        self._offer_again()

    def _reinvite_answered(self, response: Response) -> None:
        number = response.cseq.number
        sent = self._acks.get(number)
        if sent is not None:
            self._agent.send(*sent)  # the one before was lost
            return
        if not self._offering:
            return
        self._offering = False
        self._glares = 0
        self.dialog.refresh_target(response)
        ack = self.dialog.request("ACK", number)

        def send(targets: Sequence[Target]) -> None:
            self._acks[number] = (ack, targets[0])
            while len(self._acks) > _ACKS:
                del self._acks[min(self._acks)]
            self._agent.send(ack, targets[0])

        locate_peer(self._agent, self.dialog, self._account, send, lambda why: None)
        if self.outcome is not None:
            return
        self._timer.answered(response)
        self._watch()
        try:
            remote = self._media.accept_answer(sdp_of(response))
        except SdpError as error:
            self.give_up(error)
            return
        self._on_media(remote)
        self._on_event(Refreshed())
        self._on_event(OfferAnswered(remote))
        self._offer_again()

    # --- the session timer

    def _watch(self) -> None:
        """Set the timers anew after a refresh, theirs or ours."""
        for timer in (self._refresh, self._lapse):
            if timer is not None:
                timer.cancel()
        self._refresh = self._lapse = None
        agreed = self._timer.agreed
        if agreed is None or self.outcome is not None:
            return
        self._lapse = self._agent.call_later(agreed.lost_after, lambda: self.lost("timer"))
        if agreed.ours:
            self._refresh = self._agent.call_later(agreed.refresh_after, self._refresh_now)

    def _refresh_now(self) -> None:
        if self._offering:
            return  # the re-INVITE under way is the refresh
        if not self._peer_updates:
            self.offer(self._media.direction)
            return
        headers = [*CAPABILITIES, *self._timer.ask()]
        self._send("UPDATE", self._refreshed, headers=headers)

    def _refreshed(self, status: int, response: Response | None) -> None:
        if self.outcome is not None:
            return
        if response is not None and status < 300:
            self.dialog.refresh_target(response)
            self._timer.answered(response)
            self._watch()
            self._on_event(Refreshed())
        elif status in (408, 481):
            self.lost("refresh")
        elif status == 422 and response is not None and self._timer.raised(response):
            self._refresh_now()
        else:
            # Not the refresh itself but its way was refused (405, 501), or not now (491, 500): until the timer
            # lapses there is time for the other way.
            self._peer_updates = self._peer_updates and status not in (405, 501)
            self._refresh = self._agent.call_later(_REFRESH_AGAIN, self._refresh_now)

    # --- referrals

    def _refer(self, request: Request, responder: Responder) -> None:
        values = request.values("Refer-To")
        if len(values) != 1:
            responder.respond(make_response(request, 400, "One Refer-To Is Needed"))
            return
        target = NameAddr.parse(values[0]).uri
        calls = target.param("method") in (None, "INVITE")
        if not calls or target.headers or (self._referral and not self._referral.over):
            # Headers in it ask for what we cannot do, such as to replace another dialog (RFC 3891); so does a method.
            responder.respond(make_response(request, 603))
            return
        if not self._accepts_referral(target):
            responder.respond(make_response(request, 603))
            return
        silent = (request.get("Refer-Sub") or "").strip().lower().startswith("false")
        headers = [("Contact", str(self._contact)), *([("Refer-Sub", "false")] if silent else [])]
        responder.respond(make_response(request, 202, headers=headers))
        self._referral = _Referral(self, request.cseq.number, silent)
        self._referral.notify(100, "Trying", final=False)
        self._on_event(Referred(target, self._referral))

    def notify(self, number: int, status: int, reason: str, final: bool) -> None:
        """Tell the peer how its REFER of CSeq ``number`` goes (:rfc:`3515` §2.4.4, §2.4.5)."""
        if self.outcome is not None:
            return
        state = "terminated;reason=noresource" if final else "active;expires=180"
        headers = [
            ("Event", f"refer;id={number}"),
            ("Subscription-State", state),
            ("Content-Type", "message/sipfrag;version=2.0"),
        ]
        body = f"SIP/2.0 {status} {reason}\r\n".encode("utf-8", "surrogateescape")
        # A phone that does not care for our NOTIFY answers 481 or nothing; the call is not the worse for it.
        self._send("NOTIFY", lambda status, response: None, headers=headers, body=body)

    # --- sending

    def _send(
        self,
        method: str,
        then: Then,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        send_in_dialog(
            self._agent,
            self.dialog,
            self._account,
            method,
            then,
            contact=self._contact,
            headers=headers,
            body=body,
        )


class _Referral:
    """See :class:`sipstack.events.Referral`."""

    def __init__(self, session: Session, number: int, silent: bool) -> None:
        self.over = False
        self._session = session
        self._number = number
        self._silent = silent

    def notify(self, status: int, reason: str, *, final: bool) -> None:
        if self.over:
            return
        self.over = final
        if not self._silent:
            self._session.notify(self._number, status, reason, final)


def locate_peer(
    agent: Agent,
    dialog: Dialog,
    account: Account | None,
    then: Callable[[Sequence[Target]], None],
    failed: Callable[[str], None],
) -> None:
    """Find where a request of ``dialog`` goes (:meth:`sipstack.agent.Agent.locate`).

    As a rule that is the very address that the INVITE went to, to which a way is known. Where it leads nowhere from here, as a
    Contact of a transport that we have not, of no host, or of a phone behind NAT, the trunk may know the way, or without one
    whoever was called: it was there that the dialog came from.
    """

    hop, reached = dialog.next_hop(), dialog.reached
    usual = (account.transport if account is not None else "") or "UDP"
    if reached is not None and reached.transport == "UDP" and literal_target(hop, usual) == reached:
        then([reached])
        return

    def go_as_it_came(why: str) -> None:
        origin = account.next_hop if account is not None else dialog.origin
        if origin is None:
            failed(why)
        else:
            agent.locate(origin, account, then, lambda _: failed(why))

    agent.locate(hop, account, then, go_as_it_came)


def send_in_dialog(
    agent: Agent,
    dialog: Dialog,
    account: Account | None,
    method: str,
    then: Then,
    *,
    contact: NameAddr | None = None,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> None:
    """Send a request in ``dialog``, answering a challenge of the account's own servers.

    ``then`` gets its final status and response, 408 or 503 and ``None`` where there was none; for an INVITE it is
    called again with each copy of a 2xx. A body without a Content-Type among ``headers`` is a session description.
    """
    request = _InDialog(agent, dialog, account, method, then, contact, headers, body)
    locate_peer(agent, dialog, account, request.located, lambda why: then(503, None))


class _InDialog:
    """One request in a dialog, with the answer to its challenge."""

    def __init__(
        self,
        agent: Agent,
        dialog: Dialog,
        account: Account | None,
        method: str,
        then: Then,
        contact: NameAddr | None,
        headers: Sequence[tuple[str, str]],
        body: bytes,
    ) -> None:
        self._agent = agent
        self._dialog = dialog
        self._account = account
        self._method = method
        self._then = then
        self._contact = contact
        self._headers = headers
        self._body = body
        self._attempt = attempt_at(account)
        self._provisionals = Received()
        self._targets: list[Target] = []

    def located(self, targets: Sequence[Target]) -> None:
        """Send it to the first of ``targets`` that serves (:rfc:`3263` §4.3)."""
        self._targets = list(targets[:_SERVERS])
        self._transmit()

    def _transmit(self) -> None:
        target = self._targets[0]
        request = self._dialog.request(self._method)
        if self._contact is not None and self._method in _WITH_CONTACT:
            request.add("Contact", str(self._contact))
        for name, value in self._headers:
            request.add(name, value)
        request.body = self._body
        if self._body and request.content_type is None:
            request.add("Content-Type", SDP)
        self._attempt.authorize(request, target.address)
        self._agent.send_request(request, target, Handlers(self._responded, self._unanswered))

    def _next_server(self, alone: float | None = None) -> bool:
        """Send it to the next server, if there is one."""
        if len(self._targets) == 1:
            return False
        self._agent.server_failed(self._targets.pop(0), alone)
        self._attempt = attempt_at(self._account)
        self._transmit()
        return True

    def _unanswered(self, status: int) -> None:
        if not self._next_server():
            self._then(status, None)

    def _responded(self, response: Response, source: Address) -> None:
        if response.status < 200:
            rack = self._provisionals.acknowledges(response)
            if rack is not None:
                prack(self._agent, self._dialog, self._account, rack)
            return
        if response.status in (401, 407):
            if self._attempt.challenged(response, source):
                self._transmit()
                return
        elif response.status == 503 and self._next_server(retry_after(response)):
            return
        elif response.status < 300:
            self._attempt.accepted(response)
        self._then(response.status, response)


def prack(agent: Agent, dialog: Dialog, account: Account | None, rack: str) -> None:
    """Acknowledge a reliable provisional response (:rfc:`3262` §4). The INVITE goes on whatever becomes of it."""
    send_in_dialog(
        agent, dialog, account, "PRACK", lambda status, response: None, headers=[("RAck", rack)]
    )


def about_us() -> list[tuple[str, str]]:
    """What OPTIONS are answered with, within a dialog and outside of one (:rfc:`3261` §11.2)."""
    return [*BODIES, ("Accept-Language", "en"), *CAPABILITIES]


def describe(message: Message, body: bytes) -> None:
    """Give ``message``, which has no body yet, a session description, if there is one."""
    if body:
        message.add("Content-Type", SDP)
        message.body = body


def unsupported(request: Request) -> list[str]:
    """The extensions that ``request`` requires and that we do not know, each once (:rfc:`3261` §8.2.2.3)."""
    required = dict.fromkeys(request.values("Require"))
    return [tag for tag in required if tag.lower() not in SUPPORTED]


def refusal(request: Request) -> Response:
    """The answer to a request that we do not support: 405 with Allow, or 501 for a method nobody knows."""
    if request.method in METHODS:
        return make_response(request, 405, headers=[("Allow", ALLOW)])
    return make_response(request, 501, headers=[("Allow", ALLOW)])


__all__ = [
    "Session",
    "about_us",
    "describe",
    "locate_peer",
    "prack",
    "refusal",
    "send_in_dialog",
    "supports",
    "unsupported",
]
