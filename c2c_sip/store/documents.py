"""Documents of accounts, of one kind each: made, listed, changed by whom has seen their newest revision, and audited."""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from c2c_sip.store.audit import NOBODY, Actor, Audit
from c2c_sip.store.pages import Span, page
from c2c_sip.store.writer import Writer

Row = dict[str, Any]


class Documents:
    """Those of one model, which has the columns ``id``, ``account``, ``document``, ``revision``, ``created``, ``modified``.

    :param kind: what the audit log calls them
    """

    def __init__(self, model: Any, kind: str, writer: Writer, audit: Audit) -> None:
        self._model = model
        self._kind = kind
        self._writer = writer
        self._audit = audit

    def shown(self, row: Mapping[str, Any]) -> Row:
        """A row as its document, with ``id`` and ``revision``."""
        document: Row = json.loads(row["document"])
        return document | {"id": row["id"], "revision": row["revision"]}

    def create(
        self, account_id: str, document: Mapping[str, Any], by: Actor = NOBODY, **columns: Any
    ) -> Row:
        """A new document; ``columns`` are those that only this kind has."""
        now = time.time()
        row: Row = columns | {
            "id": secrets.token_hex(16),
            "account": account_id,
            "document": json.dumps(dict(document)),
            "revision": 1,
            "created": now,
            "modified": now,
        }

        def work() -> None:
            self._model.insert(**row).execute()
            self._audit.add(by, account_id, "create", self._kind, row["id"], None, document)

        self._writer.submit(work).result()
        return self.shown(row)

    def get(self, account_id: str, identifier: str) -> Row | None:
        """One of them."""
        row = self._row(account_id, identifier)
        return self.shown(row) if row else None

    def _row(self, account_id: str, identifier: str) -> Row | None:
        model = self._model
        query = model.select().where(model.id == identifier, model.account == account_id)
        found: Row | None = query.dicts().first()
        return found

    def page(self, account_id: str, span: Span) -> list[Row]:
        """Documents of an account in the order of time, each with ``created``."""
        model = self._model
        rows = page(model, [model.account == account_id], span, model.modified)
        return [self.shown(row) | {"created": row["created"]} for row in rows]

    def update(
        self,
        account_id: str,
        identifier: str,
        document: Mapping[str, Any],
        revision: int,
        by: Actor = NOBODY,
        **columns: Any,
    ) -> Row | None:
        """Replace the document of what is still of ``revision``; ``None`` where it is not."""
        changes = columns | {"document": json.dumps(dict(document))}
        return self._change(account_id, identifier, changes, revision, "update", by)

    def _change(
        self,
        account_id: str,
        identifier: str,
        changes: Row,
        revision: int,
        action: str,
        by: Actor,
        also: Callable[[], None] = lambda: None,
    ) -> Row | None:
        """Change columns of what is still of ``revision``, with what is ``also`` to be done in that transaction."""
        model = self._model
        changes = changes | {"revision": revision + 1, "modified": time.time()}

        def work() -> Row | None:
            mine = (model.id == identifier) & (model.account == account_id)
            mine &= model.revision == revision
            before = model.select().where(mine).dicts().first()
            if before is None or not model.update(**changes).where(mine).execute():
                return None
            also()
            after = self.shown(before | changes)
            told = [
                {k: v for k, v in one.items() if k not in ("id", "revision")}
                for one in (self.shown(before), after)
            ]
            self._audit.add(by, account_id, action, self._kind, identifier, *told)
            return after

        return self._writer.submit(work).result()

    def delete(
        self,
        account_id: str,
        identifier: str,
        revision: int,
        by: Actor = NOBODY,
        also: Callable[[], None] = lambda: None,
    ) -> bool:
        """Take what is still of ``revision`` away, with what is ``also`` to be done in that transaction."""
        model = self._model

        def work() -> bool:
            query = model.delete().where(
                model.id == identifier, model.account == account_id, model.revision == revision
            )
            if not query.execute():
                return False
            also()
            self._audit.add(by, account_id, "delete", self._kind, identifier)
            return True

        return self._writer.submit(work).result()
