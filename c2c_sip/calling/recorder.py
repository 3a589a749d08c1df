"""Writes down what happens to one activation: its history record and one CDR a leg that was dialled."""

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from c2c_sip.calling.diagnosis import LegFacts
from c2c_sip.calling.heard import shown
from c2c_sip.calling.plan import LegPlan
from c2c_sip.calling.tally import Tally
from c2c_sip.store.writer import Change
from sipstack.media import LegCounters

log = logging.getLogger(__name__)


class Ledger(Protocol):
    """The part of the store that a recorder writes to. Nothing here waits for the disk."""

    def update_activation(self, id: str, also: tuple[Change, ...] = (), **changes: Any) -> None:
        """Change an activation's record, and make what is ``also`` to be made in the same transaction."""

    def add_cdr(self, row: Mapping[str, Any]) -> None:
        """Add a leg's CDR."""

    def update_cdr(self, id: str, **changes: Any) -> None:
        """Change a leg's CDR. Its ``media`` and its ``dialog`` are in JSON, or come from a function."""


#: Where an activation names its two legs and their CDRs; others' are found by the activation's id.
_COLUMNS = {
    "contact": ("call_id", "cdr_id"),
    "extension": ("extension_call_id", "extension_cdr_id"),
}


class Recorder:
    """One activation's pen. ``wall`` gives the time of day in Unix seconds, ``changed`` is told of each new state,
    ``dialled`` of each leg; ``notices`` puts into the queue what webhooks are told; ``tally`` counts."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        activation_id: str,
        account_id: str,
        created: float,
        new_id: Callable[[], str],
        wall: Callable[[], float],
        changed: Callable[[str], None],
        dialled: Callable[[LegPlan], None] = lambda plan: None,
        notices: Callable[[str, Mapping[str, Any]], tuple[Change, ...]] = lambda state, changes: (),
        tally: Tally | None = None,
    ) -> None:
        self.is_connected = False
        #: In Unix seconds: when it was asked for, and when the two were connected.
        self.created = created
        self.connected_at: float | None = None
        #: The state as last written; see the contract's list.
        self.current = "initiated"
        self._ledger = ledger
        self._activation_id = activation_id
        self._account_id = account_id
        self._new_id = new_id
        self._wall = wall
        self._changed = changed
        self._dialled = dialled
        self._notices = notices
        self._tally = tally or Tally()
        self._outcome: tuple[str, int | None, str] | None = None
        #: What was seen of the legs that are over, by Call-ID.
        self._seen: dict[str, LegFacts] = {}
        #: By Call-ID, with when each rang besides.
        self._cdrs: dict[str, dict[str, Any]] = {}
        #: The CDR that stands for each role in the record: of several that ring, the first, until one has answered.
        self._named: dict[str, dict[str, Any]] = {}
        self._ringing: set[str] = set()

    def state(self, state: str, **changes: Any) -> None:
        """Enter a state."""
        self.current = state
        log.debug("%s", state)
        also = self._notices(state, changes)
        self._ledger.update_activation(self._activation_id, also, state=state, **changes)
        self._changed(state)

    def leg_dialled(self, plan: LegPlan) -> None:
        """A leg's INVITE is about to leave."""
        self._dialled(plan)
        cdr: dict[str, Any] = {
            "id": self._new_id(),
            "account_id": self._account_id,
            "activation_id": self._activation_id,
            "role": plan.role,
            "call_id": plan.call_id,
            "from_uri": str(plan.from_.uri),
            "to_uri": str(plan.outbound.uri),
            "created": self._wall(),
            "answered": None,
            "ended": None,
        }
        self._cdrs[plan.call_id] = cdr
        self._ledger.add_cdr(cdr)
        if plan.role not in self._named:
            self._name(cdr)

    def leg_pending(self, plan: LegPlan, dialog: str | Callable[[], str]) -> None:
        """A leg's INVITE leaves, was heard of for the first time, or was answered, or its peer has moved: after a crash it can
        be ended.

        Mostly the row itself is not written yet, so that this is no write of its own.
        """
        self._ledger.update_cdr(self._cdrs[plan.call_id]["id"], dialog=dialog)

    def _name(self, cdr: dict[str, Any]) -> None:
        self._named[cdr["role"]] = cdr
        call_id, cdr_id = _COLUMNS.get(cdr["role"], ("", ""))
        if cdr_id:
            changes = {call_id: cdr["call_id"], cdr_id: cdr["id"]}
            self._ledger.update_activation(self._activation_id, **changes)

    def ringing(self, plan: LegPlan) -> None:
        """A leg rings; told once, and the state once of all that ring at the same time."""
        cdr = self._cdrs[plan.call_id]
        if "ringing" not in cdr:
            cdr["ringing"] = self._wall()
        if plan.role not in self._ringing:
            self._ringing.add(plan.role)
            self.state(f"{plan.role}_ringing")

    def answered(self, plan: LegPlan) -> None:
        """A leg was answered; :meth:`leg_pending` was told its dialog before its ACK left."""
        cdr = self._cdrs[plan.call_id]
        cdr["answered"] = self._wall()
        self._ledger.update_cdr(cdr["id"], answered=cdr["answered"])
        if self._named[plan.role] is not cdr:
            self._name(cdr)

    def chosen(self, plan: LegPlan) -> None:
        """Of several that have answered, this leg has the call."""
        if self._named[plan.role] is not self._cdrs[plan.call_id]:
            self._name(self._cdrs[plan.call_id])

    def connected(self) -> None:
        """The two are connected."""
        self.is_connected = True
        self.connected_at = self._wall()
        self.state("connected", result="success")

    def now(self) -> float:
        """The time of day in Unix seconds."""
        return self._wall()

    @property
    def legs(self) -> dict[str, LegFacts]:
        """What was seen of each leg that was dialled, by Call-ID, in the order in which they were."""
        return {
            call_id: self._seen.get(call_id) or LegFacts(cdr["role"], "", **_times(cdr))
            for call_id, cdr in self._cdrs.items()
        }

    def outcome(self, cause: str, status: int | None, explanation: str = "") -> None:
        """It is known that the two will not be connected, though the extension still hears a tone."""
        self._outcome = (cause, status, explanation)
        self._ledger.update_activation(
            self._activation_id,
            result="error",
            cause=cause,
            sip_status=status,
            explanation=explanation,
        )
        self._changed("failed")

    def leg_ended(
        self,
        plan: LegPlan,
        cause: str,
        status: int | None,
        guilty: LegPlan | None,
        counters: LegCounters,
        now: float,
        seen: Callable[..., LegFacts] | None = None,
        by_us: bool = False,
    ) -> None:
        """A leg is over; ``guilty`` is the leg for whose sake the call ended, ``None`` when none is, and ``by_us`` that nobody
        there did anything, as where it rang in vain.

        ``now`` is on the media plane's clock; ``seen`` tells what is known of the leg, given its times and its audio.
        """
        cdr = self._cdrs[plan.call_id]
        ended = self._wall()
        if seen is not None:
            self._seen[plan.call_id] = seen(ended=ended, media=counters, **_times(cdr))
        cdr["ended"] = ended
        answered, rang = cdr["answered"], cdr.get("ringing")
        own_cause, own_status = cause, status
        if guilty is not None and guilty is not plan:
            # The other leg's failure is not this one's.
            own_status = 200 if answered else 487
            own_cause = "NORMAL_CLEARING" if answered else "ORIGINATOR_CANCEL"
        self._ledger.update_cdr(
            cdr["id"],
            dialog=None,
            answered=answered,
            ended=ended,
            duration_seconds=_seconds(cdr["created"], ended),
            billing_seconds=_seconds(answered, ended),
            ringing_seconds=_seconds(rang, answered or ended),
            cause=own_cause,
            sip_status=own_status if own_status is not None else (200 if answered else None),
            hangup_by="peer" if guilty is plan and not by_us else "local",
            # In the writer's thread, and only if nothing overtakes it.
            media=partial(_figures, counters, now),
        )
        self._tally.leg_ended(
            plan.role, max(0.0, (answered or ended) - rang) if rang is not None else None, counters
        )

    def ended(self, cause: str, status: int | None, explanation: str = "") -> None:
        """The call is over and everything of it is given back."""
        if self._outcome is not None:
            cause, status, explanation = self._outcome
        now, connected = self._wall(), self.connected_at
        self._tally.call_ended(
            "success" if self.is_connected else "error",
            cause,
            max(0.0, connected - self.created) if connected is not None else None,
            max(0.0, now - connected) if connected is not None else None,
        )
        ringing = self._named.get("contact") or self._named.get("extension") or {}
        self.state(
            "ended",
            result="success" if self.is_connected else "error",
            cause=cause,
            sip_status=status if status is not None else (200 if self.is_connected else None),
            explanation=explanation,
            ended=now,
            duration_seconds=_seconds(self.created, now),
            billing_seconds=_seconds(self.connected_at, now),
            # While the extension hears busy nothing rings any more.
            ringing_seconds=_seconds(
                ringing.get("ringing"), ringing.get("answered") or ringing.get("ended") or now
            ),
        )
        seconds = max(0.0, now - connected) if connected is not None else 0.0
        log.info("ended: %s, connected for %.1f s. %s", cause, seconds, explanation)
        # Who is told knows this one: neither would go without the cycle collector.
        self._changed, self._dialled = _tell_nobody, _tell_nobody


def _tell_nobody(_: object) -> None:
    """Nothing more is to come."""


def _times(cdr: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "created": cdr["created"],
        "ringing": cdr.get("ringing"),
        "answered": cdr["answered"],
    }


def _figures(counters: LegCounters, now: float) -> str:
    return json.dumps(shown(counters, now))


def _seconds(start: float | None, end: float) -> int:
    return 0 if start is None else max(0, round(end - start))
