"""Which rows of a list are wanted, in the terms of Kazoo's query strings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import peewee as pw

Kind = Literal["is", "is_not", "has_key", "key_missing", "has_value", "missing_value"]
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition: of the field ``key``, a dotted path into the document, and for the first two kinds ``value``."""

    kind: Kind
    key: str
    value: str = ""

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Whether a document fulfils it.

        A value that is no text is compared as JSON writes it; a list is also what any of its items is.
        """
        found: Any = document
        for step in self.key.split("."):
            found = found.get(step, _MISSING) if isinstance(found, Mapping) else _MISSING
        match self.kind:
            case "is" | "is_not":
                found = [found, *found] if isinstance(found, list) else [found]
                return (self.value in map(_written, found)) is (self.kind == "is")
            case "has_key" | "key_missing":
                return (found is not _MISSING) is (self.kind == "has_key")
            case _:
                empty = found is _MISSING or found is None or found in ("", [], {})
                return empty is (self.kind == "missing_value")

    def spellings(self) -> tuple[str, ...]:
        """What a document that fulfils it has in its JSON text, one of them; empty where that cannot be said."""
        if self.kind != "is":
            return ()
        escaped = json.dumps(self.value)[1:-1]
        return (escaped,) if "\0" in self.value else tuple({escaped, self.value})

    def condition(self, columns: Mapping[str, Any]) -> Any:
        """The same in SQL, for rows whose fields are columns (texts, or casts to one); NULL is a missing field."""
        column = columns.get(self.key)
        if column is None or "\0" in self.value:
            # Nothing has a field that is not there, nor a text with NUL, which PostgreSQL does not have.
            return pw.SQL(
                "1 = 1" if self.kind in ("is_not", "key_missing", "missing_value") else "1 = 0"
            )
        match self.kind:
            case "is":
                return column == self.value
            case "is_not":
                return (column != self.value) | column.is_null()
            case "has_key":
                return column.is_null(False)
            case "key_missing":
                return column.is_null()
            case "has_value":
                return column != ""
            case _:
                return column.is_null() | (column == "")


def _written(value: Any) -> Any:
    return value if isinstance(value, str) or value is _MISSING else json.dumps(value)
