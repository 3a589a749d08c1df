"""One row by its key, for what each activation asks: a query that is not put together anew each time, nor, where what was
true lately will do, asked each time.

What is written here is seen at once, what others write to the database a second later at the latest.
"""

import time
from collections.abc import Callable
from typing import Any

import peewee as pw

from c2c_sip.store.writer import Writer

Row = dict[str, Any]

#: Seconds that a row is believed, and rows that are remembered.
BELIEVED = 1.0
MOST = 1000


class Rows:
    """Rows of a database that all is written to by ``writer``, as far as this process writes it; from any thread."""

    def __init__(
        self, database: pw.Database, writer: Writer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        #: Of each query and its values: the row, what the writer had written before it was asked for, and when that was.
        self._known: dict[tuple[str, tuple[Any, ...]], tuple[Row | None, int, float]] = {}

    def find(
        self,
        query: str,
        *values: Any,
        lately: bool = False,
        shown: Callable[[Row], Row] = lambda row: row,
    ) -> Row | None:
        """The first row of ``query``, which marks its values with ``?``, by the names of its columns.

        :param lately: whether it will do as it was when it was asked for lately: the very same is what others get, and is not to
            be changed
        :param shown: what is made of it, once; always the same for one query
        """
        key = query, values
        written, now = self._writer.written, self._clock()
        known = self._known.get(key)
        if lately and known is not None and known[1] == written and now - known[2] < BELIEVED:
            return known[0]
        if any("\0" in value for value in values if isinstance(value, str)):
            return None  # which PostgreSQL has no text with
        row = self._ask(query, values)
        if row is not None:
            row = shown(row)
        if lately:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = row, written, now
        return row

    def _ask(self, query: str, values: tuple[Any, ...]) -> Row | None:
        execute: Any = self._database.execute_sql
        cursor = execute(query.replace("?", self._database.param), values)
        found = cursor.fetchone()
        if found is None:
            return None
        return dict(zip((column[0] for column in cursor.description), found, strict=True))
