"""Refusals are written down too, but so that they are no weapon: each of the first few, and the others as a number."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import peewee as pw

from c2c_sip.calling.contact import MAX_LENGTH
from c2c_sip.calling.diagnosis import refused
from c2c_sip.calling.policy import Refusal
from c2c_sip.store import StoreError
from c2c_sip.store.writer import Outcome

log = logging.getLogger(__name__)

#: Refusals of one click-to-call by one rule that have a record of their own, in so many seconds.
MOST = 20
SPAN = 600.0
#: Click-to-calls times rules that are kept in mind; what is forgotten may have as many records anew.
_REMEMBERED = 4096
#: Seconds between two writings of one number, and that a refusal waits for its record.
PAUSE = 1.0
_PATIENCE = 2.0

_CAUSES = {
    "validation": "CALL_REJECTED",
    "unavailable": "NORMAL_TEMPORARY_FAILURE",
    "throttled": "SWITCH_CONGESTION",
    "full": "SWITCH_CONGESTION",
    "stopping": "SYSTEM_SHUTDOWN",
}


class Ledger(Protocol):
    """The part of the store that refusals are written to."""

    def create_activation(self, row: Mapping[str, Any]) -> Outcome[None]:
        """Add a record; on disk once the outcome is known."""

    def update_activation(self, id: str, **changes: Any) -> None:
        """Change a record. Does not wait."""


@dataclass(slots=True)
class _Count:
    """Refusals of one click-to-call by one rule."""

    began: float
    records: int = 0
    # The record that stands for all others, and how many these are; written only every now and then.
    rest: str = ""
    times: int = 0
    written: int = 0


class Refusals:
    """Writes refusals down. ``later`` has a function called after some seconds. From any thread."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        new_id: Callable[[], str],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._ledger = ledger
        self._new_id = new_id
        self._later = later
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], _Count] = {}
        self._behind = False

    def record(
        self,
        refusal: Refusal,
        account_id: str,
        clicktocall_id: str,
        contact: object,
        client: str,
        now: float,
    ) -> None:
        """Write a refusal down, at ``now`` in Unix seconds; its record is in ``refusal.activation``, if it has one."""
        id = self._new_id()
        row = {
            "id": id,
            "account_id": account_id,
            "clicktocall_id": clicktocall_id,
            "contact": _shown(contact),
            "client": client,
            "created": now,
            "state": "ended",
            "result": "error",
            "cause": _CAUSES[refusal.kind],
            "rule": refusal.reason[:32],
            "ended": now,
            "explanation": refusal.explanation or refused(refusal.reason, refusal.message).text,
        }
        if not self._has_own_record(clicktocall_id, refusal.reason, id, now):
            return
        try:
            self._ledger.create_activation(row).result(_PATIENCE)
        except (pw.PeeweeException, StoreError, TimeoutError) as error:
            log.error("a refusal could not be written down: %s", error)
            return
        refusal.activation = row

    def _has_own_record(self, clicktocall_id: str, rule: str, id: str, now: float) -> bool:
        with self._lock:
            count = self._counts.get((clicktocall_id, rule))
            if count is None or now - count.began >= SPAN:
                if count is not None:
                    self._write(count)
                self._counts.pop((clicktocall_id, rule), None)
                count = self._counts[clicktocall_id, rule] = _Count(now)
                while len(self._counts) > _REMEMBERED:
                    self._write(self._counts.pop(next(iter(self._counts))))
            if count.records < MOST:
                count.records += 1
                return True
            count.times += 1
            if count.times == 1:
                count.rest, count.written = id, 1
                return True
            if not self._behind:
                self._behind = True
                self._later(PAUSE, self.flush)
            return False

    def flush(self) -> None:
        """Write what was counted and is not written yet. Does not wait."""
        with self._lock:
            self._behind = False
            for count in self._counts.values():
                self._write(count)

    def _write(self, count: _Count) -> None:
        if count.times > count.written:
            count.written = count.times
            self._ledger.update_activation(count.rest, times=count.times)


def _shown(contact: object) -> str:
    """A contact as it may be kept: text that is not too long, without what must not be in a record."""
    text = contact if isinstance(contact, str) else ""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:MAX_LENGTH])


__all__ = ["MOST", "Refusals"]
