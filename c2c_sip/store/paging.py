"""Reading a list a page at a time, from wherever the last page ended."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LARGEST_PAGE = 50_000
"""What `paginate=false` gets at most; beyond it there is a next page all the same."""


class BadStartKey(ValueError):
    """A start key that no page of ours ever gave out."""


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list is wanted.

    `size` None is everything. `filters` are dotted field names and the text their value must
    have. `created_from` and `created_to` are unix seconds, both included.
    """

    size: int | None = 50
    start_key: str | None = None
    ascending: bool = False
    filters: Mapping[str, str] = field(default_factory=dict)
    created_from: float | None = None
    created_to: float | None = None

    @property
    def limit(self) -> int:
        """How many entries the page may have."""
        return LARGEST_PAGE if self.size is None else min(self.size, LARGEST_PAGE)


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, and the key of the first row of the next page."""

    rows: list[dict[str, Any]]
    next_start_key: str | None


def start_key(row: Mapping[str, Any]) -> str:
    """The opaque key of a page that starts at this row."""
    text = json.dumps([row["created"], row["id"]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_start_key(key: str) -> tuple[float, str]:
    """The time and id in a key of `start_key`; raises BadStartKey."""
    try:
        text = base64.urlsafe_b64decode(key.encode("ascii") + b"=" * (-len(key) % 4))
        created, row_id = json.loads(text)
        created = float(created)
    except (ValueError, TypeError, RecursionError, OverflowError, binascii.Error) as error:
        raise BadStartKey("not a start key of this list") from error
    if not isinstance(row_id, str) or "\0" in row_id or not abs(created) < 1e15:
        raise BadStartKey("not a start key of this list")
    return created, row_id


def as_text(value: Any) -> str:
    """How a value of a document is written in a filter: JSON, but strings without quotes."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def has(document: Mapping[str, Any], path: str, wanted: str) -> bool:
    """Whether the field at the dotted `path` is there and its value is written `wanted`."""
    value: Any = document
    for step in path.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return False
        value = value[step]
    return as_text(value) == wanted
