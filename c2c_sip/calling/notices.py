"""What webhooks are told of a call: one notice for each change of its state. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from c2c_sip.store.webhooks import new_notice
from c2c_sip.store.writer import Change

STATES = (
    "initiated",
    "extension_ringing",
    "extension_answered",
    "contact_ringing",
    "contact_answered",
    "connected",
    "ended",
)
"""Those that a call may enter."""
#: After all others of a call, whatever they were.
LAST = 1_000_000

#: What a notice has of a record, where it is known already.
_RESULTS = (
    "result",
    "cause",
    "sip_status",
    "duration_seconds",
    "billing_seconds",
    "ringing_seconds",
    "explanation",
)


class Notices:
    """Those of one call.

    :param hooks: the documents of the webhooks
    :param facts: what each notice has: the identifiers, the contact, …
    :param new_id: gives a new identifier
    :param wall: gives the time in Unix seconds
    """

    def __init__(
        self,
        hooks: Sequence[Mapping[str, Any]],
        facts: Mapping[str, Any],
        new_id: Callable[[], str],
        wall: Callable[[], float],
    ) -> None:
        self._hooks = hooks
        self._facts = facts
        self._new_id = new_id
        self._wall = wall
        self._sequence = 0

    def __bool__(self) -> bool:
        """Whether anybody is to be told anything."""
        return bool(self._hooks)

    def of(
        self, state: str, changes: Mapping[str, Any], sequence: int | None = None
    ) -> tuple[Change, ...]:
        """What puts the notices of a new state into the queue.

        :param changes: what else of the record is new
        """
        if not self._hooks:
            return ()
        now = self._wall()
        number = self._sequence if sequence is None else sequence
        self._sequence += 1
        data = dict(self._facts) | {"state": state, "sequence": number}
        data |= {name: changes[name] for name in _RESULTS if name in changes}
        made = []
        for hook in self._hooks:
            if hook.get("hook", "all") not in ("all", state):
                continue
            identifier = self._new_id()
            body = {
                "id": identifier,
                "type": f"clicktocall.{state}",
                "timestamp": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
                "data": data,
            }
            if hook.get("custom_data"):
                body["custom_data"] = hook["custom_data"]
            made.append(
                new_notice(
                    identifier,
                    hook["id"],
                    data["activation_id"],
                    number,
                    now,
                    json.dumps(body, separators=(",", ":")),
                )
            )
        return tuple(made)


def facts_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What notices have of an activation's row."""
    return {
        "account_id": row["account_id"],
        "clicktocall_id": row["clicktocall_id"],
        "activation_id": row["id"],
        "contact": row["contact"],
        "call_id": row.get("call_id"),
        "extension_call_id": row.get("extension_call_id"),
        "custom_application_vars": json.loads(row.get("variables") or "{}"),
    }
