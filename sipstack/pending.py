"""An INVITE without a final answer: what has to be known of it so that whoever comes after us can take it back."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sipstack.account import Account
from sipstack.agent import Agent, Handlers, Timer
from sipstack.dialog import FORKS, LEAP, Dialog
from sipstack.message import Request, Response
from sipstack.resolver import Target
from sipstack.session import locate_peer, send_in_dialog
from sipstack.transaction import make_cancel
from sipstack.transport import Address

log = logging.getLogger(__name__)

#: Seconds for which one that nothing was heard of may still be answered: as long as proxies wait, their timer C
#: (:rfc:`3261` §16.6).
PATIENCE = 180.0
#: Seconds without a word after which one that nothing was heard of is cancelled all the same. A CANCEL must not be sent before
#: a provisional response, since it could overtake its INVITE (§9.1); that one cannot be sent any more, and the response
#: may have come while nobody was there to hear it.
SILENCE = 4.0
#: Seconds from the answer to a CANCEL to the 487 of its INVITE, at the most: it may be lost and come again.
GRACE = 4.0
#: What its CANCEL and its ACK are made of. No credentials: those are not to be written down.
_KEPT = ("Via", "Route", "From", "To", "Call-ID", "CSeq")


class Pending(NamedTuple):
    """``invite`` as it was sent to ``target``; ``provisional`` tells whether a 1xx has come.

    Before one has, there must be no CANCEL (:rfc:`3261` §9.1). ``early`` are the dialogs that those have made, and
    ``others`` the same of servers that were given up before, and may have got theirs.
    """

    invite: Request
    target: Target
    provisional: bool
    early: tuple[Dialog, ...] = ()
    others: tuple["Pending", ...] = ()

    def dump(self) -> dict[str, Any]:
        """All of it in JSON's terms."""
        invite, target = self.invite, self.target
        return {
            "uri": invite.request_uri,
            "headers": [[name, value] for name, value in invite.lines if name in _KEPT],
            "transport": target.transport,
            "address": list(target.address),
            "server_name": target.server_name,
            "provisional": self.provisional,
            "early": [dialog.dump() for dialog in self.early],
            **({"others": [other.dump() for other in self.others]} if self.others else {}),
        }

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> "Pending":
        """The inverse of :meth:`dump`.

        :raises ParseError, KeyError, TypeError, ValueError: it cannot be read.
        """
        headers = [(str(name), str(value)) for name, value in dumped["headers"]]
        invite = Request("INVITE", str(dumped["uri"]), [*headers, ("Max-Forwards", "70")])
        # Read now, where it can still be said that they cannot be.
        _ = invite.uri, invite.via, invite.from_, invite.to, invite.call_id, invite.cseq
        host, port = dumped["address"]
        transport, server_name = dumped["transport"], dumped["server_name"]
        if not isinstance(transport, str) or not isinstance(server_name, str):
            raise TypeError("transport and server_name are text")
        target = Target(transport, (str(host), int(port)), server_name)
        # An older program has written none.
        early = tuple(Dialog.load(each) for each in dumped.get("early", ())[:FORKS])
        others = tuple(cls.load(each) for each in dumped.get("others", ())[:FORKS])
        return cls(invite, target, bool(dumped["provisional"]), early, others)


def withdraw(
    agent: Agent,
    pending: Pending,
    account: Account | None,
    changed: Callable[[Dialog | None], None] = lambda dialog: None,
) -> None:
    """Take back an INVITE of our last life, which went through the trunk of ``account``: CANCEL as soon as it may be
    sent; an answer that comes all the same gets its ACK and a BYE. One whom the CANCEL does not end had answered, and got
    its ACK, in the moments before we ended: its dialog is known from when it rang, and gets a BYE.

    ``changed`` is told of a dialog that has come of it, before its ACK leaves, and with ``None`` of the end of it all.

    :raises OSError: there is no way to where it was sent any more.
    """
    all_of_them = (pending, *pending.others)
    under_way = set(range(len(all_of_them)))

    def told(number: int, dialog: Dialog | None) -> None:
        if dialog is not None:
            changed(dialog)
            return
        under_way.discard(number)
        if not under_way:
            changed(None)

    for number, each in enumerate(all_of_them):
        _Withdrawal(agent, each, account, partial(told, number)).start()


class _Withdrawal:
    """One INVITE that is taken back."""

    def __init__(
        self,
        agent: Agent,
        pending: Pending,
        account: Account | None,
        changed: Callable[[Dialog | None], None],
    ) -> None:
        self._agent = agent
        self._pending = pending
        self._account = account
        self._changed = changed
        self._cancelled = False
        self._over = False
        self._give_up: Timer | None = None
        #: The ACKs of those who have answered, by tag; ``None`` as long as it is asked where their Contact leads.
        self._acks: dict[str | None, tuple[Request, Target] | None] = {}

    def start(self) -> None:
        pending = self._pending
        handlers = Handlers(self._responded, lambda status: None)
        self._agent.take_up(pending.invite, pending.target, handlers)
        self._wait(PATIENCE)
        if pending.provisional:
            self._cancel()
        else:
            self._agent.call_later(SILENCE, self._cancel)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._give_up = self._agent.call_later(seconds, self._abandon)

    def _abandon(self) -> None:
        self._over = True
        self._agent.abandon(self._pending.invite)
        self._changed(None)

    def _stop_waiting(self) -> None:
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None

    def _responded(self, response: Response, source: Address) -> None:
        if response.status < 200:
            self._cancel()
            return
        # From here on the transaction ends by its own timers.
        self._over = True
        self._stop_waiting()
        if response.status < 300:
            self._answered(response)
        else:
            self._changed(None)

    def _cancel(self) -> None:
        if self._cancelled or self._over:
            return
        self._cancelled = True
        invite = self._pending.invite
        handlers = Handlers(self._cancel_answered, lambda status: None)
        self._agent.send_cancel(invite, make_cancel(invite), handlers)

    def _cancel_answered(self, response: Response, source: Address) -> None:
        if response.status >= 200 and not self._over:
            # By then it counts as cancelled, whatever comes (RFC 3261 §9.1).
            self._wait(64 * self._agent.timers.t1)
            self._agent.call_later(GRACE, self._hang_up)

    def _hang_up(self) -> None:
        """The CANCEL was heard, and the INVITE has no final answer all the same (§9.2): it had one."""
        if self._over:
            return
        for dialog in self._pending.early:
            send_in_dialog(self._agent, dialog, self._account, "BYE", lambda *_: None)

    def _answered(self, response: Response) -> None:
        tag = response.to.tag
        if tag in self._acks:
            again = self._acks[tag]
            if again is not None:
                self._agent.send(*again)
            return
        if len(self._acks) >= FORKS:
            return
        if not self._acks:
            # Others may answer until then, and the BYEs are answered, or never.
            self._agent.call_later(64 * self._agent.timers.t1, lambda: self._changed(None))
        self._acks[tag] = None
        invite = self._pending.invite
        way = self._account.way if self._account is not None else ()
        dialog = Dialog.from_response(invite, response, way)
        self._changed(dialog)
        ack = dialog.request("ACK", invite.cseq.number)

        def acknowledge(targets: Sequence[Target]) -> None:
            self._acks[tag] = ack, targets[0]
            self._agent.send(ack, targets[0])

        def fail(why: str) -> None:
            log.warning("call %s: its answer cannot be acknowledged: %s", invite.call_id, why)

        locate_peer(self._agent, dialog, self._account, acknowledge, fail)
        dialog.local_sequence += LEAP  # there may have been PRACKs
        send_in_dialog(self._agent, dialog, self._account, "BYE", lambda *_: None)
