"""A call that we make: from the INVITE to the answer, and on to the last BYE (:rfc:`3261` §13)."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sipstack.account import Account, attempt_at
from sipstack.agent import (
    SDP,
    Agent,
    Handlers,
    Responder,
    Timer,
    accept_nothing,
    has_sdp,
    preference,
    retry_after,
    sdp_of,
    tell_nobody,
)
from sipstack.dialog import FORKS, Dialog, secured
from sipstack.events import (
    Answered,
    EarlyMedia,
    Ended,
    Event,
    Evidence,
    Failed,
    Info,
    OfferAnswered,
    OfferRefused,
    Referred,
    Refreshed,
    Renegotiated,
    Ringing,
    q850_cause,
)
from sipstack.invitation import Early, Invitation
from sipstack.lenient import CONTACTS, readable
from sipstack.message import (
    REASONS,
    NameAddr,
    Request,
    Response,
    Uri,
    make_request,
    make_response,
)
from sipstack.message.uri import hostport_text
from sipstack.pending import Pending
from sipstack.reliable import is_reliable
from sipstack.resolver import Target
from sipstack.sdp import LocalMedia, RemoteMedia, SdpError
from sipstack.session import (
    CAPABILITIES,
    Session,
    about_us,
    describe,
    locate_peer,
    prack,
    send_in_dialog,
)
from sipstack.session_timer import USUAL, SessionTimer
from sipstack.transaction import make_cancel
from sipstack.transport import Address

#: Headers that only the trunk is to see which the call was first made through.
_IN_CONFIDENCE = frozenset(
    ["p-asserted-identity", "p-preferred-identity", "remote-party-id", "diversion"]
)
#: What is known of a call that nobody has refused.
_NOTHING = Evidence()
#: Places that redirections may send one call to (RFC 3261 §8.1.3.4 wants a limit).
REDIRECTIONS = 5
#: Seconds without any answer after which the next server is tried, if there is one: timer B would be half a minute.
IMPATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Outbound:
    """Where a call goes: the Request-URI, and the account through whose trunk, or ``None`` for straight there."""

    uri: Uri
    account: Account | None = None

    @property
    def next_hop(self) -> Uri:
        """The URI whose servers the INVITE is sent to."""
        return self.account.next_hop if self.account else self.uri


class OutgoingCall:
    """One call that we make.

    ``on_event`` gets its events in order, the last of which is :class:`Failed` or :class:`Ended`. ``on_media`` is
    called with the peer's media whenever a description was agreed on: early, at the answer, and at each re-INVITE or
    UPDATE. ``redirect`` decides where the Contact of a 3xx leads, ``None`` for nowhere. ``session_interval`` is that of
    the session timer in seconds, 0 for none of our own. ``on_pending`` is called when it takes something else than before
    to end the call without us, :attr:`pending` or :attr:`dialog`: before an INVITE leaves, when it is heard of, and before
    the ACK of its answer leaves. ``on_finished`` is called when no request of it is under way any more.
    """

    # Of each there is one for half a minute after its end, and so many attributes take less room here than in a dict.
    __slots__ = (
        "_accepts_referral",
        "_account",
        "_acks",
        "_agent",
        "_answered_by",
        "_attempt",
        "_contact_user",
        "_finished",
        "_from",
        "_give_up",
        "_hanging_up",
        "_headers",
        "_impatience",
        "_invitations",
        "_is_finished",
        "_media",
        "_not_acknowledged",
        "_on_event",
        "_on_finished",
        "_on_media",
        "_on_pending",
        "_places",
        "_reason",
        "_redirect",
        "_refusal",
        "_repeated_answers",
        "_sequence",
        "_targets",
        "_timer",
        "_to",
        "_visited",
        "call_id",
        "local_tag",
        "outbound",
        "outcome",
        "session",
    )

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
        accepts_referral: Callable[[Uri], bool] = lambda uri: False,
        session_interval: int = USUAL,
        on_pending: Callable[[], None] = lambda: None,
        on_finished: Callable[[], None] = lambda: None,
    ) -> None:
        self.call_id = call_id
        self.local_tag = agent.token()
        self.outbound = outbound
        #: The last of a call's events, once it is over.
        self.outcome: Failed | Ended | None = None
        #: The session, once the call is answered.
        self.session: Session | None = None
        self._agent = agent
        self._media = media
        self._from = from_.with_tag(self.local_tag)
        self._to = NameAddr("", outbound.uri, ())
        self._contact_user = contact_user
        self._headers = tuple(headers)
        self._on_event: Callable[[Event], None] = on_event
        self._on_media: Callable[[RemoteMedia], None] = on_media
        self._on_pending: Callable[[], None] = on_pending
        self._on_finished: Callable[[], None] = on_finished
        self._redirect: Callable[[Uri], Outbound | None] = redirect
        self._accepts_referral: Callable[[Uri], bool] = accepts_referral
        self._account = outbound.account
        self._timer = SessionTimer(session_interval)
        #: Set when it is; made for whoever waits for that.
        self._finished: asyncio.Event | None = None
        self._is_finished = False
        self._sequence = 0
        self._attempt = attempt_at(outbound.account)
        self._targets: list[Target] = []
        self._places: list[Outbound] = []
        self._visited: list[Uri] = [outbound.uri]
        self._invitations: list[Invitation] = []
        #: The tags of those who have answered, and what their answers were acknowledged with.
        self._answered_by: set[str | None] = set()
        self._acks: dict[str | None, tuple[Request, Target]] = {}
        self._hanging_up = False
        self._reason = ""
        self._refusal = _NOTHING
        self._repeated_answers = 0
        self._not_acknowledged = ""
        self._impatience: Timer | None = None
        self._give_up: Timer | None = None

    # --- what the caller does

    def dial(self, targets: Sequence[Target]) -> None:
        """Send the INVITE to the first of ``targets`` that is there. Whatever goes wrong comes as :class:`Failed`."""
        self._agent.attach(self)
        self._targets = list(targets)
        self._invite()

    async def finished(self) -> None:
        """Wait until no request of this call is under way any more."""
        if not self._is_finished:
            self._finished = self._finished or asyncio.Event()
            await self._finished.wait()

    def hang_up(self, reason: str = "") -> None:
        """End the call in whatever state it is: CANCEL before the answer, BYE after it. Does nothing the second time.

        ``reason`` is the value of a Reason header (:rfc:`3326`).
        """
        if self._hanging_up or self.outcome is not None:
            return
        self._hanging_up = True
        self._reason = reason
        if self.session is not None:
            self.session.hang_up(reason)
        else:
            for invitation in self._invitations:
                # Not before its first answer: a CANCEL could overtake the INVITE (RFC 3261 §9.1).
                if invitation.provisional:
                    self._cancel(invitation)

    @property
    def answered(self) -> bool:
        """Whether the call was answered, however it ended."""
        return self.session is not None

    @property
    def dialog(self) -> Dialog | None:
        """The dialog of an answered call."""
        return self.session.dialog if self.session is not None else None

    @property
    def pending(self) -> Pending | None:
        """The INVITE that is out, as long as it has no final answer."""
        if self.session is not None or not self._invitations or self._invitations[-1].over:
            return None
        out = [each for each in self._invitations if not each.over and each.request.has_via]
        return out[-1].pending(out[:-1]) if out else None

    @property
    def evidence(self) -> Evidence:
        """What was seen so far that bears on why the call went as it did."""
        last = self._invitations[-1] if self._invitations else None
        _, acknowledged = next(iter(self._acks.values()), (None, None))
        agreed = self._timer.agreed
        refusal = self._refusal
        return Evidence(
            refusal.refused_by,
            refusal.reason,
            refusal.warning,
            was_heard=last is not None and last.was_heard,
            target=hostport_text(*last.target.address) if last is not None else "",
            authenticated=last is not None and last.authenticated,
            unknown_realm=self._attempt.unknown_realm,
            redirections=len(self._visited) - 1,
            repeated_answers=self._repeated_answers,
            acknowledged_at=hostport_text(*acknowledged.address) if acknowledged else "",
            not_acknowledged=self._not_acknowledged,
            lost_by=self.session.lost_by if self.session is not None else "",
            unusable=self.session.unusable if self.session is not None else "",
            session_interval=agreed.interval if agreed is not None else 0,
            refreshes=agreed is not None and agreed.ours,
        )

    def is_alive(self, then: Callable[[bool], None]) -> None:
        """Ask the peer of an answered call whether it is there; ``then`` gets False when it is gone."""
        if self.session is None:
            then(False)
        else:
            self.session.is_alive(then)

    def lost(self) -> None:
        """End an answered call whose peer is gone."""
        if self.session is not None:
            self.session.lost()

    # --- the INVITE

    def _invite(self) -> None:
        """Send an INVITE to the first of the targets."""
        account, target = self.outbound.account, self._targets[0]
        try:
            contact = self._agent.contact(target, self._contact_user)
        except OSError as error:  # the way to it went after it was located
            self._stop_waiting()
            self._refusal = Evidence("us", error.strerror or str(error))
            failure = Failed(503, str(error))
            self._agent.call_later(0.0, lambda: self._fail(failure))
            return
        used = [
            early.dialog.local_sequence for i in self._invitations for early in i.early.values()
        ]
        self._sequence = max([self._sequence, *used]) + 1
        routes = account.routes if account is not None else ()
        contact = secured(contact, self.outbound.uri, *[route.uri for route in routes[:1]])
        headers: Sequence[tuple[str, str]] = self._headers
        if account is not self._account:
            # Who calls is told to whom the caller chose to trust with it, not to where that one sends us (RFC 3325 §5).
            headers = [line for line in headers if line[0].lower() not in _IN_CONFIDENCE]
        request = make_request(
            "INVITE",
            self.outbound.uri,
            routes=routes,
            from_=self._from,
            to=self._to,
            call_id=self.call_id,
            sequence=self._sequence,
            headers=[
                ("Contact", str(contact)),
                *headers,
                *CAPABILITIES,
                *self._timer.ask(),
                ("Accept", SDP),
            ],
        )
        describe(request, self._media.offer())
        shown = self._attempt.authorize(request, target.address)
        invitation = Invitation(request, target, contact, authenticated=shown)
        self._invitations.append(invitation)
        self._agent.send_request(
            request,
            target,
            Handlers(
                partial(self._response, invitation),
                partial(self._no_response, invitation),
                lambda: self._on_pending(),
            ),
        )
        self._stop_waiting()
        if len(self._targets) > 1:
            self._impatience = self._agent.call_later(IMPATIENCE, self._next_server)

    def _stop_waiting(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def _current(self, invitation: Invitation) -> bool:
        return invitation is self._invitations[-1]

    def _next_server(self, alone: float | None = None) -> None:
        """Leave the server that was asked, and ask the next (:rfc:`3263` §4.3).

        The one that was left may still have got the INVITE: it is cancelled as soon as it says so.
        """
        if not self._hanging_up:
            self._agent.server_failed(self._targets.pop(0), alone)
            self._attempt = attempt_at(self.outbound.account)
            self._invite()

    def _no_response(self, invitation: Invitation, status: int) -> None:
        invitation.over = True
        if not self._current(invitation) or self.answered:
            return
        if len(self._targets) > 1 and not self._hanging_up and not invitation.provisional:
            self._next_server()
        else:
            self._agent.server_failed(invitation.target)
            # Of a server that can be reached and says nothing there is nothing more to tell.
            why = self._agent.trouble(invitation.target) if status == 503 else ""
            why = why or REASONS[status]
            self._refusal = Evidence("us", why)
            self._fail(Failed(status, why))

    def _response(self, invitation: Invitation, response: Response, source: Address) -> None:
        status = response.status
        self._stop_waiting()
        invitation.was_heard = True
        if status < 200:
            self._provisional(invitation, response)
        elif status < 300:
            self._success(invitation, response)
        else:
            invitation.over = True
            if self._current(invitation):
                self._refused(invitation, response, source)

    def _provisional(self, invitation: Invitation, response: Response) -> None:
        is_first, invitation.provisional = not invitation.provisional, True
        if self._hanging_up or not self._current(invitation) or self.outcome is not None:
            self._cancel(invitation)
            return
        if self.answered:
            return
        known = len(invitation.early)
        is_news = response.status != 100 and self._early(invitation, response)
        if is_first or len(invitation.early) > known:
            self._on_pending()
        if not is_news:
            return
        if response.status != 183 or not response.body:
            self._on_event(Ringing(response.status))
        description = sdp_of(response)
        if description:
            try:
                remote = self._media.accept_answer(description)
            except SdpError:
                return  # what the 2xx says counts, and is judged then
            early = invitation.early.get(response.to.tag)
            if early is not None:
                early.answer, early.updated = description, None
            self._on_media(remote)
            self._on_event(EarlyMedia(remote))

    def _early(self, invitation: Invitation, response: Response) -> bool:
        """Keep the early dialog of ``response``, and acknowledge it if it is reliable; whether it is news."""
        tag = response.to.tag
        if tag is None:
            return True
        early = invitation.early.get(tag)
        if early is None:
            if len(invitation.early) >= FORKS:
                return False
            early = Early(self._dialog_of(invitation, response))
            invitation.early[tag] = early
        if not is_reliable(response):
            return True
        rack = early.provisionals.acknowledges(response)
        if rack is None:
            return False
        prack(self._agent, early.dialog, self.outbound.account, rack)
        return True

    def _dialog_of(self, invitation: Invitation, response: Response) -> Dialog:
        account = self.outbound.account
        return Dialog.from_response(
            invitation.request, response, account.way if account else (), invitation.target
        )

    def _refused(self, invitation: Invitation, response: Response, source: Address) -> None:
        status = response.status
        failure = Failed(status, response.reason, q850_cause(response))
        self._refusal = Evidence("peer", response.reason, response.get("Warning") or "")
        if self._hanging_up or self.outcome is not None:
            self._fail(failure)
        elif status in (401, 407):
            if self._attempt.challenged(response, source):
                self._invite()
            else:
                self._fail(failure)
        elif status == 422 and self._timer.raised(response):
            # This one was let in; the next may be asked again.
            self._attempt = attempt_at(self.outbound.account)
            self._invite()
        elif status == 503 and len(self._targets) > 1:
            self._next_server(retry_after(response))
        elif status < 400:
            self._follow(response, failure)
        elif self._places and status < 600:
            self._go_on(failure)
        else:
            self._fail(failure)

    # --- redirections

    def _follow(self, response: Response, failure: Failed) -> None:
        """Take the places that a 3xx names before those that are left, best q first (:rfc:`3261` §8.1.3.4)."""
        places: list[Outbound] = []
        for contact in sorted(readable(CONTACTS, response), key=preference, reverse=True):
            if len(self._visited) > REDIRECTIONS or contact.uri in self._visited:
                continue
            outbound = self._redirect(contact.uri)
            if outbound is not None:
                self._visited.append(contact.uri)
                places.append(outbound)
        self._places[:0] = places
        self._go_on(failure)

    def _go_on(self, failure: Failed) -> None:
        """Try the next place, or end with ``failure`` if there is none."""
        if not self._places:
            self._fail(failure)
            return
        self.outbound = outbound = self._places.pop(0)
        self._attempt = attempt_at(outbound.account)
        self._agent.locate(
            outbound.next_hop,
            outbound.account,
            self._redirected,
            self._not_redirected,
        )

    def _not_redirected(self, why: str) -> None:
        self._refusal = Evidence("us", why)
        self._go_on(Failed(503, why))

    def _redirected(self, targets: Sequence[Target]) -> None:
        if self._hanging_up:
            self._fail(Failed(487, REASONS[487]))
        else:
            self._targets = list(targets)
            self._invite()

    # --- the answer

    def _success(self, invitation: Invitation, response: Response) -> None:
        tag = response.to.tag
        if tag in self._answered_by:
            self._repeated(invitation, response)
            return
        if len(self._answered_by) >= FORKS:
            return
        self._answered_by.add(tag)
        self._attempt.accepted(response)
        fresh = self._dialog_of(invitation, response)
        early = invitation.early.get(tag)
        if early is not None:
            # The PRACKs had numbers too, and what the peer has asked in it.
            fresh.local_sequence = early.dialog.local_sequence
            fresh.remote_sequence = early.dialog.remote_sequence
        if self.session is not None:
            # Another fork answered first: take its call and end it (§13.2.2.4).
            self._acknowledge(invitation, fresh)
            send_in_dialog(self._agent, fresh, self.outbound.account, "BYE", lambda *_: None)
            return
        for other in self._invitations:
            if other is not invitation and not other.over and other.provisional:
                self._cancel(other)
        self._invitations.remove(invitation)
        self._invitations.append(invitation)
        self.session = session = Session(
            self._agent,
            fresh,
            self._media,
            account=self.outbound.account,
            contact=invitation.contact,
            timer=self._timer,
            on_event=self._happened,
            on_media=self._on_media,
            on_finished=self._finish,
            accepts_referral=self._accepts_referral,
        )
        self._on_pending()  # before there is no other way to learn the tag of who has answered
        self._acknowledge(invitation, fresh)
        if self._hanging_up or self.outcome is not None:
            # The answer crossed our CANCEL, or the peer's own BYE.
            self._stillborn(session, Failed(487, REASONS[487]), self._reason)
            return
        try:
            remote = self._agreed_with(early, response)
        except SdpError as error:
            self._refusal = Evidence("us", error.reason)
            why = 'SIP;cause=488;text="Not Acceptable Here"'
            self._stillborn(session, Failed(488, error.reason), why)
            return
        self._timer.answered(response)
        session.start(response)
        self._on_media(remote)
        self._on_event(Answered(remote))

    def _agreed_with(self, early: Early | None, answered: Response) -> RemoteMedia:
        """The media of who has answered. A 2xx after a description need not have another (:rfc:`3261` §13.2.1).

        :raises SdpError: there is none, or it is of no use
        """
        description = sdp_of(answered)
        if early is None or description:
            return self._media.accept_answer(description)
        return early.updated or self._media.accept_answer(early.answer)

    def _repeated(self, invitation: Invitation, response: Response) -> None:
        """A 2xx comes again: our ACK was lost, or is not out yet since it is still asked where its Contact leads."""
        self._repeated_answers += 1
        ack = self._acks.get(response.to.tag)
        if ack is not None:
            self._agent.send(*ack)
        elif self._not_acknowledged:
            self._not_acknowledged = ""
            self._acknowledge(invitation, self._dialog_of(invitation, response))

    def _stillborn(self, session: Session, failure: Failed, reason: str) -> None:
        """End a session that comes too late or is of no use; for whoever made the call it was never answered."""
        self._hanging_up = True
        self._fail(failure, lingering=True)
        session.hang_up(reason)

    def _happened(self, event: Event) -> None:
        if self.outcome is not None:
            return
        if isinstance(event, Ended):
            self.outcome = event
        self._on_event(event)

    def _acknowledge(self, invitation: Invitation, dialog: Dialog) -> None:
        ack = dialog.request("ACK", invitation.request.cseq.number)
        account = self.outbound.account

        def send(targets: Sequence[Target]) -> None:
            if account is not None and account.owns(targets[0].address):
                # An ACK cannot be challenged: it carries what its INVITE did (§22.1), but only to the trunk itself.
                for name in ("Authorization", "Proxy-Authorization"):
                    for value in invitation.request.get_all(name):
                        ack.add(name, value)
            self._acks[dialog.remote_tag] = (ack, targets[0])
            self._agent.send(ack, targets[0])

        def fail(why: str) -> None:
            self._not_acknowledged = why

        # Where neither its Contact nor the INVITE's own way can be found the peer will time out and send BYE.
        locate_peer(self._agent, dialog, account, send, fail)

    # --- giving up before the answer

    def _cancel(self, invitation: Invitation) -> None:
        if invitation.cancelled or invitation.over:
            return
        invitation.cancelled = True
        invite = invitation.request
        cancel = make_cancel(invite, self._reason)
        handlers = Handlers(tell_nobody, tell_nobody)
        self._agent.send_cancel(invite, cancel, handlers)
        # A server that lost the INVITE may never answer it: 64*T1 after the CANCEL it counts as cancelled (§9.1).
        wait = 64 * self._agent.timers.t1
        give_up = self._agent.call_later(wait, lambda: self._never_cancelled(invitation))
        if self._current(invitation):
            self._give_up = give_up

    def _never_cancelled(self, invitation: Invitation) -> None:
        invitation.over = True
        self._agent.abandon(invitation.request)
        if self._current(invitation) and not self.answered:
            self._fail(Failed(487, REASONS[487]))

    # --- requests from the peer

    def receive(self, request: Request, responder: Responder) -> None:
        """A request from the peer within one of the call's dialogs, other than ACK."""
        if self.session is not None:
            self.session.receive(request, responder)
            return
        early = self._invitations[-1].early.get(request.from_.tag)
        wrong = early.dialog.check_sequence(request) if early is not None else None
        if wrong is not None:
            responder.respond(make_response(request, wrong.status, wrong.reason))
        elif request.method == "BYE" and self.outcome is None:
            # The peer's 200 was lost or overtaken by its own BYE: for the peer the call has ended.
            responder.respond(make_response(request, 200))
            if self._invitations[-1].provisional:
                self._cancel(self._invitations[-1])
            self._fail(Failed(487, "Hung Up"), lingering=True)
        elif early is None or self.outcome is not None:
            responder.respond(make_response(request, 481))
        elif request.method == "OPTIONS":
            responder.respond(make_response(request, 200, headers=about_us()))
        elif request.method == "UPDATE":
            self._early_update(early, request, responder)
        elif request.method == "INVITE":
            # Ours is under way in this dialog (RFC 3261 §14.2).
            responder.respond(make_response(request, 491))
        else:
            responder.respond(make_response(request, 481))

    def _early_update(self, early: Early, request: Request, responder: Responder) -> None:
        """An UPDATE before the answer (:rfc:`3311`): another offer, such as of an announcement's server."""
        contact = str(self._invitations[-1].contact)
        response = make_response(request, 200, headers=[("Contact", contact), *CAPABILITIES])
        remote: RemoteMedia | None = None
        if has_sdp(request):
            if not early.answer and early.updated is None:
                # Our own offer has no answer yet (RFC 3311 §5.2).
                responder.respond(make_response(request, 491))
                return
            try:
                body, remote = self._media.answer(sdp_of(request))
            except SdpError as error:
                responder.respond(make_response(request, 488, error.reason))
                return
            describe(response, body)
        early.dialog.refresh_target(request)
        responder.respond(response)
        if remote is not None:
            early.updated = remote
            self._on_media(remote)

    def acknowledged(self, ack: Request) -> None:
        """The ACK of a 2xx that we sent to a re-INVITE."""
        if self.session is not None:
            self.session.acknowledged(ack)

    # --- the end

    def _fail(self, event: Failed, lingering: bool = False) -> None:
        self._stop_waiting()
        if self.outcome is None:
            self.outcome = event
            self._on_event(event)
        if not lingering:
            self._finish()

    def _finish(self) -> None:
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None
        self._is_finished = True
        if self._finished is not None:
            self._finished.set()
        self._agent.detach(self)
        self._on_finished()
        # Whoever made the call holds it, and is held no more: what is over must not wait for the cycle collector,
        # whose pauses are heard in the RTP.
        self._on_event = self._on_media = self._on_pending = self._on_finished = tell_nobody
        self._redirect = tell_nobody
        self._accepts_referral = accept_nothing
        if self.session is not None:
            self.session.release()


__all__ = [
    "Answered",
    "EarlyMedia",
    "Ended",
    "Event",
    "Evidence",
    "Failed",
    "Info",
    "OfferAnswered",
    "OfferRefused",
    "Outbound",
    "OutgoingCall",
    "Referred",
    "Refreshed",
    "Renegotiated",
    "Ringing",
]
