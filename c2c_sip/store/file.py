"""A database that is one file: SQLite's."""

import logging
import os

import peewee as pw

from c2c_sip.store.errors import StoreError

log = logging.getLogger(__name__)

#: What SQLite says of a file that is none of its own, or that it cannot read through.
_DAMAGED = ("file is not a database", "malformed", "file is encrypted")


def connect(path: str) -> pw.Database:
    """The database in a file, which is made where there is none; nothing is read before it is used.

    :raises StoreError: there can be no such file.
    """
    try:
        # For its owner only: there are hashes of secrets in it, and who called whom.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"the database cannot be opened: {path}: {error.strerror}") from error
    # FULL: a record that was promised is on disk, not only in the write-ahead log's cache.
    return pw.SqliteDatabase(
        path,
        pragmas={
            "journal_mode": "wal",
            "foreign_keys": 1,
            "synchronous": "full",
            "busy_timeout": 10_000,
            "cache_size": -4096,
        },
        # Else one that reads first and then writes fails at once where another process has written.
        lock_type="IMMEDIATE",
    )


def empty_log(database: pw.Database) -> None:
    """Have all in the file itself: whoever copies that of a service that has been stopped copies everything.

    SQLite does so by itself when the last connection is closed; those of threads that have ended are not.
    """
    try:
        # Another process may still be at it, and is not waited for.
        database.execute_sql("PRAGMA busy_timeout = 500")  # type: ignore[no-untyped-call]
        database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[no-untyped-call]
    except pw.PeeweeException as error:
        log.warning("the database's log stays beside it: %s", error)


def what_to_do(error: Exception) -> str:
    """Of errors that are over only when somebody does something about them."""
    if any(words in str(error) for words in _DAMAGED):
        return "; put it aside, and bring back a backup: c2c-sip restore FILE"
    if "database is locked" in str(error):
        return "; another program has it, see: fuser FILE"
    return ""
