"""One row by its key, for what each activation asks: a query that is not put together anew each time."""

from collections.abc import Sequence
from typing import Any

import peewee as pw

Row = dict[str, Any]


def find_row(database: pw.Database, query: str, values: Sequence[Any]) -> Row | None:
    """The first row of ``query``, which marks its values with ``?``, by the names of its columns."""
    if any("\0" in value for value in values if isinstance(value, str)):
        return None  # which PostgreSQL has no text with
    execute: Any = database.execute_sql
    cursor = execute(query.replace("?", database.param), values)
    found = cursor.fetchone()
    if found is None:
        return None
    return dict(zip((column[0] for column in cursor.description), found, strict=True))
