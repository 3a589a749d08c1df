"""What goes wrong in the store, in its own terms."""

from __future__ import annotations


class StoreError(Exception):
    """The database did not do what was asked of it: unreachable, full, locked, damaged, too new."""


class Conflict(StoreError):
    """A value that has to be unique is taken already; `field` is the document's field."""

    def __init__(self, field: str, value: object) -> None:
        super().__init__(f"{field} is already taken")
        self.field = field
        self.value = value
