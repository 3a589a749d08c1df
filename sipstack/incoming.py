"""A call that comes in: from the peer's INVITE to our answer, and on to the last BYE (:rfc:`3261` §13.3)."""

import asyncio
from collections.abc import Callable, Sequence

from sipstack.account import Account
from sipstack.agent import (
    BODIES,
    SDP,
    Agent,
    Responder,
    Timer,
    has_foreign_body,
    has_sdp,
    sdp_of,
    try_again,
)
from sipstack.dialog import Dialog
from sipstack.events import Answered, Ended, Event, Failed, q850_cause
from sipstack.message import (
    REASONS,
    NameAddr,
    ParseError,
    Request,
    Response,
    Uri,
    make_response,
)
from sipstack.pending_answer import PendingAnswer
from sipstack.reliable import Sent
from sipstack.sdp import LocalMedia, RemoteMedia, SdpError
from sipstack.session import CAPABILITIES, Session, about_us, describe
from sipstack.session_timer import MIN_SE, SessionTimer


class IncomingCall:
    """One call that somebody makes to us.

    Whoever is given one decides: :meth:`accept` says who hears of it and with which media, then :meth:`ring` and
    :meth:`answer`; or :meth:`reject`. ``on_event`` gets :class:`Answered` when the peer has acknowledged our answer,
    and :class:`Failed` or :class:`Ended` last of all: 487 where the peer gave up before the answer.

    :raises ParseError: the INVITE cannot make a dialog
    """

    def __init__(
        self,
        agent: Agent,
        invite: Request,
        responder: Responder,
        contact: NameAddr,
        account: Account | None = None,
    ) -> None:
        if has_foreign_body(invite):
            raise ParseError(415, REASONS[415])
        if not _takes_sdp(invite):
            raise ParseError(406, REASONS[406])
        self.invite = invite
        self.call_id = invite.call_id
        self.local_tag = agent.token()
        #: The last of the call's events, once it is over.
        self.outcome: Failed | Ended | None = None
        #: The session, once we have answered.
        self.session: Session | None = None
        self._agent = agent
        self._responder = responder
        self._contact = contact
        #: That of the trunk which the call came from, if any.
        self.account = account
        self._dialog = Dialog.from_request(invite, self.local_tag)
        self._sent = Sent(invite, int(agent.uniform(1, 2**20)))
        self._timer = SessionTimer()
        self._timing = self._timer.asked(invite)
        self._media: LocalMedia | None = None
        self._remote: RemoteMedia | None = None
        self._described = b""
        #: Whether our answer to the INVITE's offer has arrived, by a provisional response.
        self._agreed_early = False
        self._on_event: Callable[[Event], None] = lambda event: None
        self._on_media: Callable[[RemoteMedia], None] = lambda remote: None
        self._accepts_referral: Callable[[Uri], bool] = lambda uri: False
        self._resend: Timer | None = None
        self._answer: PendingAnswer | None = None
        self._after_prack: Callable[[], None] | None = None
        self._finished = asyncio.Event()
        agent.attach(self)

    # --- what its taker does

    def accept(
        self,
        media: LocalMedia,
        *,
        on_event: Callable[[Event], None],
        on_media: Callable[[RemoteMedia], None],
        accepts_referral: Callable[[Uri], bool] = lambda uri: False,
    ) -> None:
        """Take the call, without answering it yet. Says nothing to the peer."""
        self._media = media
        self._on_event = on_event
        self._on_media = on_media
        self._accepts_referral = accepts_referral

    def ring(self, status: int = 180, early_media: bool = False) -> None:
        """Send a provisional response, reliably where the peer knows how; with our media if that is asked for."""
        if self.outcome is not None or self.session is not None:
            return
        response = self._response(status)
        if early_media:
            try:
                self._describe(response)
            except SdpError as error:
                self.reject(488, error.reason)
                return
        if not self._sent.wanted:
            self._responder.respond(response)
        elif not self._sent.waiting:
            # One at a time (RFC 3262 §3); a second one while the first waits tells the peer nothing that matters.
            self._sent.mark(response)
            self._send_reliably(response, self._agent.timers.t1)

    def answer(self) -> None:
        """Say 200 to the call, which :meth:`accept` gave its media."""
        if self.outcome is not None or self.session is not None:
            return
        if self._sent.waiting and self._described:
            self._after_prack = (
                self.answer
            )  # the answer in the 18x has to arrive first (RFC 3262 §5)
            return
        self._stop_ringing()
        response = self._response(200)
        for name, value in self._timing:
            response.add(name, value)
        try:
            self._describe(response)
        except SdpError as error:
            self.reject(488, error.reason)
            return
        assert self._media is not None
        self.session = Session(
            self._agent,
            self._dialog,
            self._media,
            account=self.account,
            contact=self._contact,
            timer=self._timer,
            on_event=self._happened,
            on_media=self._on_media,
            on_finished=self._finish,
            accepts_referral=self._accepts_referral,
            called=True,
        )
        self._answer = PendingAnswer(
            self._agent,
            self._responder,
            response,
            self.invite.cseq.number,
            self._never_acknowledged,
        )

    def reject(
        self,
        status: int,
        reason: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Refuse the call, or redirect it with a Contact among ``headers``."""
        if self.outcome is not None or self.session is not None:
            return
        self._stop_ringing()
        self._responder.respond(
            make_response(self.invite, status, reason, to_tag=self.local_tag, headers=headers)
        )
        self._fail(Failed(status, reason or REASONS.get(status, "")))

    def hang_up(self, reason: str = "") -> None:
        """End the call in whatever state it is."""
        if self.session is None:
            self.reject(480)
        elif self._answer is not None:
            # Whoever is called may say BYE only once its 2xx is acknowledged (RFC 3261 §15).
            self._after_prack = lambda: self.hang_up(reason)
        else:
            self.session.hang_up(reason)

    async def finished(self) -> None:
        """Wait until no request of this call is under way any more."""
        await self._finished.wait()

    # --- what the user agent brings

    def cancelled(self, cancel: Request) -> None:
        """The peer's CANCEL; too late if we have answered (:rfc:`3261` §9.2)."""
        if self.outcome is None and self.session is None:
            self._give_up(Failed(487, REASONS[487], q850_cause(cancel)))

    def receive(self, request: Request, responder: Responder) -> None:
        """A request from the peer in the dialog, other than ACK."""
        if request.method == "PRACK" and request.from_.tag == self._dialog.remote_tag:
            self._pracked(request, responder)
        elif self.session is not None and not self._meets_our_offer(request):
            self.session.receive(request, responder)
        elif self.session is not None:
            responder.respond(make_response(request, 491))
        elif self.outcome is not None or request.from_.tag != self._dialog.remote_tag:
            responder.respond(make_response(request, 481))
        else:
            self._receive_early(request, responder)

    def _meets_our_offer(self, request: Request) -> bool:
        """Whether it has an offer while ours, in the 2xx to an INVITE without one, waits for the answer in its ACK."""
        if self._answer is None or self._remote is not None:
            return False
        if request.from_.tag != self._dialog.remote_tag:
            return False
        return request.method == "INVITE" or (request.method == "UPDATE" and has_sdp(request))

    def _receive_early(self, request: Request, responder: Responder) -> None:
        wrong = self._dialog.check_sequence(request)
        if wrong is not None:
            responder.respond(make_response(request, wrong.status, wrong.reason))
        elif request.method == "BYE":
            responder.respond(make_response(request, 200))
            self._give_up(Failed(487, REASONS[487], q850_cause(request)))
        elif request.method == "UPDATE" and has_sdp(request) and self._agreed_early:
            headers = [("Contact", str(self._contact)), *CAPABILITIES]
            self._take_offer(request, responder, headers)
        elif request.method == "UPDATE" and has_sdp(request):
            # Our answer to the INVITE's offer is not out yet, or not acknowledged (RFC 3311 §5.2).
            headers = [try_again(self._agent)]
            responder.respond(make_response(request, 500, headers=headers))
        elif request.method == "OPTIONS":
            headers = [("Contact", str(self._contact)), *about_us()]
            responder.respond(make_response(request, 200, headers=headers))
        elif request.method in ("UPDATE", "INFO"):
            headers = [("Contact", str(self._contact)), *CAPABILITIES]
            responder.respond(make_response(request, 200, headers=headers))
        else:
            responder.respond(make_response(request, 481))

    def acknowledged(self, ack: Request) -> None:
        """The ACK of a 2xx of ours."""
        answer = self._answer
        if self.session is None or answer is None or ack.cseq.number != answer.sequence:
            if self.session is not None:
                self.session.acknowledged(ack)
            return
        answer.stop()
        self._answer = None
        if self._remote is None:
            assert self._media is not None
            try:
                # The offer was ours, in the 2xx.
                remote = self._media.accept_answer(sdp_of(ack))
            except SdpError as error:
                self.session.give_up(error)
                return
            self._on_media(remote)
            self._remote = remote
        if self.outcome is not None:
            return
        self.session.start(self.invite)
        self._on_event(Answered(self._remote))
        self._go_on()

    # --- inside

    def _response(self, status: int) -> Response:
        headers = [("Contact", str(self._contact)), *CAPABILITIES]
        return make_response(self.invite, status, to_tag=self.local_tag, headers=headers)

    def _describe(self, response: Response) -> None:
        """Put our answer into ``response``, the same one each time; or our offer, where the INVITE has none."""
        assert self._media is not None
        if not self._described:
            if has_sdp(self.invite):
                self._described, self._remote = self._media.answer(sdp_of(self.invite))
                self._on_media(self._remote)
            elif response.status >= 200:
                self._described = self._media.offer()
        describe(response, self._described)

    def _send_reliably(self, response: Response, interval: float) -> None:
        if interval >= 64 * self._agent.timers.t1:
            self.reject(504)  # RFC 3262 §3
            return
        self._responder.respond(response)
        self._resend = self._agent.call_later(
            interval, lambda: self._send_reliably(response, 2 * interval)
        )

    def _pracked(self, prack: Request, responder: Responder) -> None:
        wrong = self._dialog.check_sequence(prack)
        if wrong is not None:
            responder.respond(make_response(prack, wrong.status, wrong.reason))
            return
        if not self._sent.acknowledged(prack):
            responder.respond(make_response(prack, 481))
            return
        self._stop_ringing()
        self._agreed_early = bool(self._described) and self.session is None
        if self._agreed_early and has_sdp(prack):
            # Our answer has arrived, and so there may be another offer (RFC 3262 §5).
            self._take_offer(prack, responder)
        else:
            responder.respond(make_response(prack, 200))
        self._go_on()

    def _take_offer(
        self, request: Request, responder: Responder, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Answer another offer of the peer's before the call is answered."""
        assert self._media is not None
        try:
            described, remote = self._media.answer(sdp_of(request))
        except SdpError as error:
            responder.respond(make_response(request, 488, error.reason))
            return
        self._described, self._remote = described, remote
        response = make_response(request, 200, headers=headers)
        describe(response, described)
        responder.respond(response)
        self._on_media(remote)

    def _go_on(self) -> None:
        then, self._after_prack = self._after_prack, None
        if then is not None:
            then()

    def _stop_ringing(self) -> None:
        self._sent.waiting = False
        if self._resend is not None:
            self._resend.cancel()
            self._resend = None

    def _give_up(self, failure: Failed) -> None:
        self._stop_ringing()
        self._responder.respond(make_response(self.invite, 487, to_tag=self.local_tag))
        self._fail(failure)

    def _never_acknowledged(self) -> None:
        self._answer = None
        if self.session is not None:
            self.session.lost()

    def _happened(self, event: Event) -> None:
        if isinstance(event, Ended):
            self.outcome = event
            if self._answer is not None:
                self._answer.stop()
                self._answer = None
        self._on_event(event)

    def _fail(self, event: Failed) -> None:
        self.outcome = event
        self._on_event(event)
        self._finish()

    def _finish(self) -> None:
        self._finished.set()
        self._agent.detach(self)
        self._on_event = lambda event: None
        self._on_media = lambda remote: None
        self._accepts_referral = lambda uri: False
        if self.session is not None:
            self.session.release()


def _takes_sdp(invite: Request) -> bool:
    """Whether the caller could read our answer; without an Accept it can (:rfc:`3261` §20.1)."""
    kinds = [value.partition(";")[0].strip().lower() for value in invite.values("Accept")]
    return not kinds or any(kind in (SDP, "application/*", "*/*") for kind in kinds)


def refused_timing(error: ParseError) -> list[tuple[str, str]]:
    """The headers that belong to the refusal of an INVITE that could not become an :class:`IncomingCall`."""
    return {
        406: [("Warning", f'399 sipstack "{SDP} is all that we can answer with"')],
        415: list(BODIES),
        422: [("Min-SE", str(MIN_SE))],
    }.get(error.status, [])


__all__ = ["IncomingCall", "refused_timing"]
