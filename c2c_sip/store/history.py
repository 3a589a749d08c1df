"""What an account has called, over all its click-to-calls."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import peewee as pw

from c2c_sip.store.filters import Filter
from c2c_sip.store.pages import Span, as_texts, page
from c2c_sip.store.row import Row

#: What people write into numbers, and what is left of one that is worth looking for.
_SEPARATORS = re.compile(r"[\s()./-]+")
_NUMBER = re.compile(r"\+?[0-9]{2,}")


class HistoryRecords:
    """The part of a store for the records of an account, as its attribute ``histories``; from any thread.

    :param catch_up: see :meth:`c2c_sip.store.store.Store.catch_up`
    """

    def __init__(self, models: Any, catch_up: Callable[[str | None], None]) -> None:
        self._catch_up = catch_up
        self._activation = models.Activation
        self._clicktocall = models.ClickToCall
        self._sqlite = isinstance(models.Activation._meta.database, pw.SqliteDatabase)

    def of_account(
        self, account_id: str, span: Span, filters: Sequence[Filter] = (), search: str = ""
    ) -> list[Row]:
        """Records in the order of time, also those of click-to-calls that are gone; each with ``clicktocall_name``
        and ``clicktocall_is_gone``.

        :param search: what is somewhere in the contact, or in the click-to-call's name, in small or capital letters
        """
        self._catch_up(None)
        model = self._activation
        conditions = [model.account == account_id]
        conditions += [each.condition(as_texts(model)) for each in filters]
        if search:
            conditions.append(self._found(account_id, search))
        rows = page(model, conditions, span, pw.fn.COALESCE(model.ended, model.created))
        return self._named(rows)

    def one(self, account_id: str, identifier: str) -> Row | None:
        """One of them."""
        self._catch_up(identifier)
        model = self._activation
        query = model.select().where(model.id == identifier, model.account == account_id)
        return next(iter(self._named(query.dicts())), None)

    def _found(self, account_id: str, text: str) -> Any:
        if "\0" in text:  # which no text has, and PostgreSQL fails on
            return pw.SQL("1 = 0")
        model = self._activation
        found = self._has(model.contact, text) | self._is_named(account_id, text)
        number = _SEPARATORS.sub("", text)
        if _NUMBER.fullmatch(number):
            found |= self._has(model.contact, number) | self._has(model.called, number)
        return found

    def _has(self, column: Any, text: str) -> Any:
        find = pw.fn.INSTR if self._sqlite else pw.fn.STRPOS
        # Both sides by the database: SQLite's LOWER leaves letters beyond ASCII as they are.
        return find(pw.fn.LOWER(column), pw.fn.LOWER(text)) > 0

    def _is_named(self, account_id: str, text: str) -> Any:
        """That an activation is of a click-to-call with a text in its name."""
        model, definition = self._activation, self._clicktocall
        query = definition.select(definition.id).where(definition.account == account_id)
        if self._sqlite:
            name = pw.fn.JSON_EXTRACT(definition.document, "$.name")
            return model.clicktocall.in_(query.where(self._has(name, text)))
        # PostgreSQL reads no JSON with a NUL or half a surrogate in it, of which one would fail all.
        rows = query.select_extend(definition.document).dicts()
        wanted = text.lower()
        named = [
            r["id"] for r in rows if wanted in json.loads(r["document"]).get("name", "").lower()
        ]
        # As one value, however many they are.
        return model.clicktocall == pw.fn.ANY(pw.Value(named, converter=False, unpack=False))

    def _named(self, rows: Iterable[Row]) -> list[Row]:
        found = [dict(row) for row in rows]
        model = self._clicktocall
        wanted = {row["clicktocall"] for row in found}
        columns = model.id, model.document, model.deleted
        query = model.select(*columns).where(model.id.in_(sorted(wanted)))
        known = {row["id"]: row for row in query.dicts()}
        for row in found:
            row["clicktocall_id"] = identifier = row.pop("clicktocall")
            definition = known.get(identifier, {"document": "{}", "deleted": 0.0})
            row["clicktocall_name"] = json.loads(definition["document"]).get("name", "")
            row["clicktocall_is_gone"] = definition["deleted"] is not None
        return found
