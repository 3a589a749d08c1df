"""The store's part that a recorder writes to, in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ORDERS = [
    [f"{first}_ringing", f"{first}_answered", f"{second}_ringing", "connected", "ended"]
    for first, second in (("extension", "contact"), ("contact", "extension"))
]
CAUSES = {404: "UNALLOCATED_NUMBER", 486: "USER_BUSY", 603: "CALL_REJECTED"}


class Ledger:
    """One activation's record, its states in order, and its CDRs."""

    def __init__(self) -> None:
        self.record: dict[str, Any] = {}
        self.states: list[str] = []
        self.cdrs: dict[str, dict[str, Any]] = {}
        #: Whether it was written by a program that died, and closed by the next one.
        self.abandoned = False

    def abandon(self, now: float) -> list[dict[str, Any]]:
        """The program dies, and the next one closes what is open, as the store does; the dialogs that were up."""
        open_ = [cdr for cdr in self.cdrs.values() if cdr["ended"] is None]
        left_up = [cdr["dialog"] for cdr in open_ if cdr.get("dialog")]
        cause = "NORMAL_TEMPORARY_FAILURE"
        for cdr in open_:
            cdr |= {"ended": now, "cause": cause, "dialog": None}
        if self.states[-1:] != ["ended"]:
            known = {"result": "error", "cause": cause} | self.record
            self.update_activation("", **known | {"state": "ended", "ended": now})
        self.abandoned = True
        return left_up

    def update_activation(self, id: str, also: object = (), **changes: Any) -> None:
        if self.abandoned:
            return
        self.record |= changes
        if "state" in changes:
            self.states.append(changes["state"])

    def add_cdr(self, row: Mapping[str, Any]) -> None:
        if self.abandoned:
            return
        self.cdrs[row["id"]] = dict(row)

    def update_cdr(self, id: str, **changes: Any) -> None:
        if self.abandoned:
            return
        for name in {"dialog", "media"} & changes.keys():
            given = changes[name]() if callable(changes[name]) else changes[name]
            changes[name] = json.loads(given) if given is not None else None
        self.cdrs[id] |= changes

    def leg(self, role: str) -> dict[str, Any]:
        (found,) = [cdr for cdr in self.cdrs.values() if cdr["role"] == role]
        return found

    def faults(self) -> list[str]:
        """What is wrong with what was written about a call that is over: one record, closed, and its CDRs."""
        wrong: list[str] = []
        record, states = self.record, self.states
        if states.count("ended") != 1 or states[-1:] != ["ended"]:
            wrong.append(f"not ended once: {states}")
        if states not in [[state for state in order if state in states] for order in ORDERS]:
            wrong.append(f"states out of order: {states}")
        if record.get("result") != ("success" if "connected" in states else "error"):
            wrong.append(f"wrong result: {record}")
        if not record.get("cause") or record.get("ended") is None:
            wrong.append(f"no cause or end: {record}")
        expected = CAUSES.get(record.get("sip_status") or 0)
        if expected is not None and record.get("cause") != expected:
            wrong.append(f"not the cause of its status: {record}")
        for cdr in self.cdrs.values():
            if cdr["ended"] is None or not cdr.get("cause"):
                wrong.append(f"an open CDR: {cdr}")
            if cdr.get("dialog") is not None:
                wrong.append(f"a dialog is left to be hung up: {cdr}")
        if len({cdr["call_id"] for cdr in self.cdrs.values()}) != len(self.cdrs):
            wrong.append("two CDRs of one leg")
        return wrong
