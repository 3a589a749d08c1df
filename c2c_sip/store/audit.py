"""The audit log: who has changed what, when, from where. A change and its entry are of one transaction."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from c2c_sip.store.filters import Filter
from c2c_sip.store.pages import Span, as_texts, page

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for a change: the account and the user of the token, how they signed in, and where they are."""

    account_id: str | None = None
    owner_id: str | None = None
    method: str = "internal"
    client: str = ""


NOBODY = Actor()
"""The program itself."""


class Audit:
    """The log's part of a store, as its attribute ``audit``."""

    def __init__(self, models: Any) -> None:
        self._models = models

    def add(
        self,
        by: Actor,
        account_id: str,
        action: str,
        kind: str,
        target_id: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an entry; to be called inside the transaction of the change.

        :param account_id: whose the changed thing is
        :param action: ``create``, ``update``, ``delete``, …
        :param before: the document, of which only what differs ``after`` is kept; no secret may be in either
        """
        old, new = before or {}, after or {}
        changes = {
            name: {
                word: value[name] for word, value in (("from", old), ("to", new)) if name in value
            }
            for name in sorted({*old, *new})
            if (name in old) != (name in new) or old.get(name) != new.get(name)
        }
        self._models.Audit.insert(
            id=secrets.token_hex(16),
            account_id=account_id,
            created=time.time(),
            actor_account_id=by.account_id,
            actor_id=by.owner_id,
            method=by.method,
            client=by.client,
            action=action,
            kind=kind,
            target_id=target_id,
            changes=json.dumps(changes),
        ).execute()

    def entries(self, account_id: str, span: Span, filters: Sequence[Filter] = ()) -> list[Row]:
        """What was changed in an account, in the order of time."""
        model = self._models.Audit
        conditions = [model.account_id == account_id]
        conditions += [each.condition(as_texts(model)) for each in filters]
        rows = page(model, conditions, span, model.created)
        return [row | {"changes": json.loads(row["changes"])} for row in rows]
