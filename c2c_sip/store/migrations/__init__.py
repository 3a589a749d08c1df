"""The numbered steps that bring any older database up to this program.

A step is never changed once released: a database somewhere has run it. What has to change comes
as the next number. Each step is written in the SQL that SQLite and PostgreSQL share.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import m0001_first


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: its number (from 1, without gaps), its name, and its statements in order."""

    number: int
    name: str
    statements: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = (Migration(1, "first", m0001_first.STATEMENTS),)
