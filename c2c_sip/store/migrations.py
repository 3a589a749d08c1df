"""The numbered steps from an empty database to today's. A step that has run anywhere is never changed again."""

from collections.abc import Callable
from typing import Any

import peewee as pw


class StoreError(Exception):
    """The database cannot be used as it is."""


def _create_tables(database: pw.Database, models: Any) -> None:
    database.create_tables(
        [
            models.Account,
            models.User,
            models.ApiKey,
            models.Token,
            models.ClickToCall,
            models.Activation,
            models.Cdr,
        ]
    )


MIGRATIONS: dict[int, Callable[[pw.Database, Any], None]] = {1: _create_tables}
NEWEST = max(MIGRATIONS)


def migrate(database: pw.Database, models: Any) -> None:
    """Bring the database to :data:`NEWEST`, each step in a transaction of its own.

    :raises StoreError: the database was made by a newer program.
    """
    database.create_tables([models.SchemaVersion])
    found = models.SchemaVersion.select(pw.fn.MAX(models.SchemaVersion.version)).scalar() or 0
    if found > NEWEST:
        raise StoreError(
            f"the database is of version {found}, this program knows {NEWEST}: use a newer program"
        )
    for version in range(found + 1, NEWEST + 1):
        with database.atomic():
            MIGRATIONS[version](database, models)
            models.SchemaVersion.insert(version=version).execute()
