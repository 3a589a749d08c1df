"""Parts of long lists, in the order of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import peewee as pw

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of a list is wanted: ``limit`` rows from the one with (created, id) ``start`` on; times are Unix."""

    limit: int
    start: tuple[float, str] | None = None
    ascending: bool = False
    created_from: float | None = None
    created_to: float | None = None
    modified_from: float | None = None
    modified_to: float | None = None


def page(model: Any, conditions: Sequence[Any], span: Span, modified: Any) -> list[Row]:
    """Rows that fulfil the conditions; ``modified`` is when they were last changed, in SQL."""
    conditions = list(conditions)
    # To the end of the second: times are shown in whole ones.
    if span.created_from is not None:
        conditions.append(model.created >= span.created_from)
    if span.created_to is not None:
        conditions.append(model.created < span.created_to + 1)
    if span.modified_from is not None:
        conditions.append(modified >= span.modified_from)
    if span.modified_to is not None:
        conditions.append(modified < span.modified_to + 1)
    if span.start is not None:
        # As one value, so that a page deep in a long list is found by the index.
        place, start = pw.Tuple(model.created, model.id), pw.Tuple(*span.start)
        conditions.append(place >= start if span.ascending else place <= start)
    order = (model.created, model.id)
    query = model.select().where(*conditions)
    query = query.order_by(*(order if span.ascending else (c.desc() for c in order)))
    return [dict(row) for row in query.limit(span.limit).dicts()]


def contains(column: Any, texts: tuple[str, ...]) -> Any:
    """That at least one of the texts is in a column."""
    sqlite = isinstance(column.model._meta.database, pw.SqliteDatabase)
    find = pw.fn.INSTR if sqlite else pw.fn.STRPOS
    return reduce(or_, (find(column, text) > 0 for text in texts))


def as_texts(model: Any) -> dict[str, Any]:
    """What rows are filtered by, as texts: the columns by their names, and the ``second`` of their making."""
    columns = {
        name: column if isinstance(column, (pw.CharField, pw.TextField)) else column.cast("TEXT")
        for name, column in model._meta.columns.items()
    }
    sqlite = isinstance(model._meta.database, pw.SqliteDatabase)
    # SQLite's cast cuts off, PostgreSQL's rounds.
    whole = model.created if sqlite else pw.fn.FLOOR(model.created)
    return columns | {"second": whole.cast("BIGINT").cast("TEXT")}
