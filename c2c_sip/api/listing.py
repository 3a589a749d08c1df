"""Lists in pages, with filters (the contract's section 3)."""

import base64
import binascii
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import falcon

from c2c_sip.api.envelope import GREGORIAN
from c2c_sip.api.errors import invalid

PAGE = 50
LARGEST_PAGE = 1000
#: Rows that ``paginate=false`` gives at the most.
WHOLE = 10_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list request asks for; ``start`` is (created, id) of the first row, ``limit`` rows a page."""

    limit: int
    paginate: bool
    ascending: bool
    start: tuple[float, str] | None
    filters: dict[str, str]
    created_from: float | None
    created_to: float | None


def read(req: falcon.Request) -> Wanted:
    """Read a list request's query.

    :raises ApiError: 400 naming the parameter.
    """
    paginate = (req.get_param("paginate") or "true").lower() != "false"
    limit = _whole(req, "page_size", PAGE, 1, LARGEST_PAGE)
    filters = {
        name.removeprefix("filter_"): value[-1] if isinstance(value, list) else value
        for name, value in req.params.items()
        if name.startswith("filter_") and len(name) > 7
    }
    return Wanted(
        limit=limit if paginate else WHOLE,
        paginate=paginate,
        ascending=(req.get_param("ascending") or "false").lower() == "true",
        start=_decode(req.get_param("start_key")),
        filters=filters,
        created_from=_moment(req, "created_from"),
        created_to=_moment(req, "created_to"),
    )


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


def page(
    fetch: Callable[..., Sequence[dict[str, Any]]], wanted: Wanted
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One page of rows with ``created`` and ``id``, and what the envelope says of it."""
    rows = list(
        fetch(
            start=wanted.start,
            limit=wanted.limit + 1,
            ascending=wanted.ascending,
            where=wanted.filters,
            created_from=wanted.created_from,
            created_to=wanted.created_to,
        )
    )
    more: dict[str, Any] = {"page_size": min(len(rows), wanted.limit)}
    if wanted.start is not None:
        more["start_key"] = _encode(*wanted.start)
    if len(rows) > wanted.limit and wanted.paginate:
        following = rows[wanted.limit]
        more["next_start_key"] = _encode(following["created"], following["id"])
    return rows[: wanted.limit], more


def _encode(created: float, identifier: str) -> str:
    text = f"{created!r}|{identifier}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(key: str | None) -> tuple[float, str] | None:
    if not key:
        return None
    try:
        text = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)).decode()
        created, _, identifier = text.partition("|")
        moment = float(created)
        if not math.isfinite(moment) or not identifier.isalnum():
            raise ValueError(text)
        return moment, identifier
    except (ValueError, binascii.Error) as error:
        detail = {"message": "must be a key that a list has given", "cause": key}
        raise invalid({"start_key": {"pattern": detail}}) from error
