"""Lists in pages, with filters: Kazoo's query strings, the contract's section 3."""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, get_args

import falcon

from c2c_sip.api import envelope, table
from c2c_sip.api.body import read_choice
from c2c_sip.api.envelope import GREGORIAN
from c2c_sip.api.errors import invalid
from c2c_sip.store import Filter, Span
from c2c_sip.store.filters import Kind

PAGE = 50
LARGEST_PAGE = 1000
#: Rows that ``paginate=false`` gives at the most; what is left is behind ``next_start_key`` all the same.
WHOLE = 10_000
#: Rows that are read at once where it is not the database that filters them.
CHUNK = 500
#: Up to 4, so that the moment is a number, and not before the epoch. A leg's has its Call-ID behind its activation's id.
_KEY = re.compile(r"[0-4][0-9a-f]{15}[0-9a-f]{32}([0-9a-f]{24})?")
#: Conditions of one request.
MOST_FILTERS = 20

Row = dict[str, Any]
Fetch = Callable[[Span], Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list request asks for; ``limit`` in ``span`` is rows a page."""

    span: Span
    filters: tuple[Filter, ...]


def read(req: falcon.Request) -> Wanted:
    """Read a list request's query.

    :raises ApiError: 400 naming the parameter.
    """
    paginate = read_choice(req, "paginate", not table.wanted(req))
    limit = _whole(req, "page_size", PAGE, 1, LARGEST_PAGE)
    ascending = read_choice(req, "ascending", False)
    descending = read_choice(req, "descending", True)
    span = Span(
        limit=limit if paginate or req.has_param("page_size") else WHOLE,
        ascending=ascending or not descending,
        start=_decode(req.get_param("start_key")),
        created_from=_moment(req, "created_from"),
        created_to=_moment(req, "created_to"),
        modified_from=_moment(req, "modified_from"),
        modified_to=_moment(req, "modified_to"),
    )
    return Wanted(span, _filters(req))


def _filters(req: falcon.Request) -> tuple[Filter, ...]:
    found: list[Filter] = []
    for name, given in req.params.items():
        values = given if isinstance(given, list) else [given]
        if name.startswith("filter_not_") and len(name) > 11:
            found += [Filter("is_not", name[11:], value) for value in values]
        elif name.startswith("filter_") and len(name) > 7:
            found += [Filter("is", name[7:], value) for value in values]
        elif name in get_args(Kind)[2:]:
            kind: Any = name
            found += [Filter(kind, key) for key in values if key]
    if len(found) > MOST_FILTERS:
        message = f"Array must not be more than {MOST_FILTERS} items"
        raise invalid({"filter": {"maxItems": {"message": message, "cause": len(found)}}})
    return tuple(found)


def _whole(req: falcon.Request, name: str, default: int, least: int, most: int) -> int:
    text = req.get_param(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < least:
        message = f"must be a whole number from {least} to {most}"
        raise invalid({name: {"type": {"message": message, "cause": text}}})
    return min(int(text), most)


def _moment(req: falcon.Request, name: str) -> float | None:
    """Gregorian seconds, as Kazoo's clients send, as Unix time."""
    text = req.get_param(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        message = "must be a time in Gregorian seconds"
        raise invalid({name: {"type": {"message": message, "cause": text}}})
    number = int(text)
    return float(number - GREGORIAN if number >= GREGORIAN else number)


def records(wanted: Wanted, columns: Mapping[str, str]) -> tuple[Filter, ...]:
    """The filters of records in the terms of the store; ``columns`` has the fields that are named otherwise there."""
    return tuple(_of_record(each, columns) for each in wanted.filters)


def _of_record(condition: Filter, columns: Mapping[str, str]) -> Filter:
    second: float | None
    match condition.key:
        case "timestamp":
            second = float(condition.value) - GREGORIAN if condition.value.isdecimal() else None
        case "unix_timestamp":
            second = float(condition.value) if condition.value.isdecimal() else None
        case "iso_8601":
            second = _from_iso(condition.value)
        case key:
            return replace(condition, key=columns.get(key, key))
    return replace(condition, key="second", value="" if second is None else f"{second:.0f}")


def _from_iso(text: str) -> float | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def documents(fetch: Fetch, wanted: Wanted) -> Fetch:
    """Filter documents, which may have any field, here and not in the database: chunk by chunk, in its order."""
    if not wanted.filters:
        return fetch

    def filtered(span: Span) -> list[Row]:
        kept: list[Row] = []
        start = span.start
        while len(kept) < span.limit:
            rows = fetch(replace(span, start=start, limit=CHUNK + 1))
            kept += [row for row in rows[:CHUNK] if all(f.matches(row) for f in wanted.filters)]
            if len(rows) <= CHUNK:
                break
            start = (rows[CHUNK]["created"], rows[CHUNK]["id"])
        return kept[: span.limit]

    return filtered


def answer(
    req: falcon.Request,
    resp: falcon.Response,
    fetch: Fetch,
    wanted: Wanted,
    shown: Callable[[Row], Row],
    columns: Sequence[str] = (),
) -> None:
    """Answer with one page of rows that have ``created`` and ``id``.

    :param shown: how a row looks
    :param columns: of the table, for lists that can be had as CSV too
    """
    span = wanted.span
    rows = list(fetch(replace(span, limit=span.limit + 1)))
    page = rows[: span.limit]
    more: dict[str, Any] = {"page_size": len(page)}
    if page:
        more["start_key"] = _encode(page[0])
    if len(rows) > span.limit:
        more["next_start_key"] = _encode(rows[span.limit])
    looks = [shown(row) for row in page]
    if columns and table.wanted(req):
        table.answer(req, resp, looks, columns, more.get("next_start_key"))
    else:
        envelope.success(req, resp, looks, **more)
    if columns:
        resp.append_header("Vary", "Accept")


def _encode(row: Row) -> str:
    """Opaque to clients: the moment's eight octets in hexadecimal, and the id."""
    return struct.pack(">d", row["created"]).hex() + str(row["id"])


def _decode(key: str | None) -> tuple[float, str] | None:
    if not key:
        return None
    if not _KEY.fullmatch(key):
        detail = {"message": "must be a key that a list has given", "cause": key}
        raise invalid({"start_key": {"pattern": detail}})
    (created,) = struct.unpack(">d", bytes.fromhex(key[:16]))
    return created, key[16:]
