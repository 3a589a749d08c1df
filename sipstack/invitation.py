"""The INVITEs of an outgoing call, each with the dialogs that come of it before the answer (:rfc:`3261` §12.1, §13.2)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sipstack.dialog import Dialog
from sipstack.message import NameAddr, Request
from sipstack.pending import Pending
from sipstack.reliable import Received
from sipstack.resolver import Target
from sipstack.sdp import RemoteMedia


@dataclass(slots=True, eq=False)
class Invitation:
    """One INVITE that we sent, and what became of it so far."""

    request: Request
    target: Target
    contact: NameAddr
    authenticated: bool = False
    was_heard: bool = False
    provisional: bool = False
    cancelled: bool = False
    over: bool = False
    early: dict[str | None, "Early"] = field(default_factory=dict)

    def pending(self, others: Sequence["Invitation"] = ()) -> Pending:
        """What has to be known to take it back, and the ``others`` with it."""
        target, transport = self.target, self.request.via.transport
        if transport != target.transport:
            # One that is too large for a datagram went by another transport than its target names.
            target = replace(target, transport=transport)
        early = tuple([early.dialog for early in self.early.values()])
        more = tuple([other.pending() for other in others]) if others else ()
        return Pending(self.request, target, self.provisional, early, more)


@dataclass(slots=True)
class Early:
    """An early dialog, made by a provisional response with a tag of its own."""

    dialog: Dialog
    provisionals: Received = field(default_factory=Received)
    #: The answer to our offer, and what an UPDATE made of it since.
    answer: bytes = b""
    updated: RemoteMedia | None = None
