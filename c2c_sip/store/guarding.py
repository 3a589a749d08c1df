"""What the guard has to remember: what was rung lately, who is never to be, and what may be used only so often."""

import secrets
from typing import Any

import peewee as pw

from c2c_sip.store.audit import NOBODY, Actor, Audit
from c2c_sip.store.pages import Span, page
from c2c_sip.store.row import Row, Rows
from c2c_sip.store.writer import Writer

#: The account of an entry of the never-call list that holds for all accounts.
EVERYBODY = ""
#: What an entry of it is called in the audit log, and how long a name of it may be there.
_KIND = "never_call"
_TARGET = 64


class GuardRecords:
    """The guard's part of a store, as its attribute ``guard``; from any thread."""

    def __init__(
        self, rows: Rows, models: Any, writer: Writer, audit: Audit, node: str | None
    ) -> None:
        self._rows = rows
        #: Which node of several asks; ``None`` where nobody else has the database.
        self._node = node
        self._models = models
        self._writer = writer
        self._audit = audit

    # --- what was rung lately

    def rung_since(self, moment: float, *, elsewhere: bool = False) -> list[Row]:
        """``id``, ``created``, ``client``, ``called``, ``clicktocall_id``, ``account_id`` of what the public has activated.

        :param elsewhere: through other nodes than this one
        """
        if elsewhere and self._node is None:
            return []
        model = self._models.Activation
        columns = ("id", "created", "client", "called", "clicktocall", "account")
        query = (
            model.select(*(getattr(model, column) for column in columns))
            .where(model.is_public == 1, model.created > moment)
            .order_by(model.created)
        )
        if elsewhere:
            query = query.where(model.node != self._node)
        names = ("id", "created", "client", "called", "clicktocall_id", "account_id")
        return [dict(zip(names, row, strict=True)) for row in query.tuples()]

    def billed_since(self, account_id: str, moment: float, *, elsewhere: bool = False) -> int:
        """Seconds of an account's calls that began after a moment and have ended.

        :param elsewhere: of those through other nodes than this one
        """
        if elsewhere and self._node is None:
            return 0
        model = self._models.Activation
        query = model.select(pw.fn.SUM(model.billing_seconds)).where(
            model.account == account_id, model.created >= moment
        )
        if elsewhere:
            query = query.where(model.node != self._node)
        return int(query.scalar() or 0)

    # --- who is never to be

    def is_never_called(self, account_id: str, number: str) -> bool:
        """Whether a number, in its canonical form, is on the account's list, or on everybody's."""
        query = 'SELECT 1 AS "found" FROM "never_call" WHERE "number" = ? AND "account_id" IN (?, ?) LIMIT 1'
        found = self._rows.find(query, number, account_id, EVERYBODY, lately=True)
        return found is not None

    def never_call(
        self, account_id: str, number: str, source: str, now: float, by: Actor = NOBODY
    ) -> None:
        """Put a number on an account's list; once is enough."""
        model = self._models.NeverCall

        def work() -> None:
            mine = (model.account_id == account_id) & (model.number == number)
            if model.select().where(mine).exists():
                return
            model.insert(
                id=secrets.token_hex(16),
                account_id=account_id,
                number=number,
                source=source,
                created=now,
            ).on_conflict_ignore().execute()
            said = {"number": number}
            self._audit.add(by, account_id, "create", _KIND, number[:_TARGET], None, said)

        self._writer.submit(work).result()

    def call_again(self, account_id: str, number: str, by: Actor = NOBODY) -> bool:
        """Take a number from an account's list; whether it was on it."""
        model = self._models.NeverCall

        def work() -> bool:
            mine = (model.account_id == account_id) & (model.number == number)
            if not model.delete().where(mine).execute():
                return False
            said = {"number": number}
            self._audit.add(by, account_id, "delete", _KIND, number[:_TARGET], said, None)
            return True

        return self._writer.submit(work).result()

    def never_calls(self, account_id: str, span: Span) -> list[Row]:
        """The account's list in the order of time."""
        model = self._models.NeverCall
        return page(model, [model.account_id == account_id], span, model.created)

    # --- what may be used only so often

    def spend(self, id: str, uses: int, expires: float, now: float) -> bool:
        """Use something that may be used ``uses`` times until ``expires``; whether it still might."""
        model = self._models.Spent

        def work() -> bool:
            model.delete().where(model.expires < now).execute()
            model.insert(id=id, used=0, expires=expires).on_conflict_ignore().execute()
            changed = (
                model.update({model.used: model.used + 1})
                .where(model.id == id, model.used < uses)
                .execute()
            )
            return bool(changed)

        return self._writer.submit(work).result()

    def key(self, name: str) -> bytes:
        """The secret key of this name, made when it is asked for the first time."""
        model = self._models.SigningKey

        def work() -> str:
            made = secrets.token_hex(32)
            model.insert(name=name, value=made).on_conflict_ignore().execute()
            return str(model.select(model.value).where(model.name == name).scalar())

        return bytes.fromhex(self._writer.submit(work).result())
