"""A copy of the database while it is in use, and back again. SQLite only: PostgreSQL has tools of its own."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from c2c_sip.store.errors import StoreError
from c2c_sip.store.migrations import NEWEST

#: What the database that a restore replaces is called then, after its own name.
BEFORE = ".before-restore"
#: What SQLite has beside a database that is in use, after its name.
_BESIDE = ("-wal", "-shm")
#: Seconds to wait for a lock.
PATIENCE = 5.0


def backup(database: str | Path, target: str | Path, overwrite: bool = False) -> int:
    """Copy an SQLite database to ``target`` as it is at one moment; its size in bytes.

    By SQLite's online backup: calls go on and are written meanwhile, since the database has a write-ahead log. Nothing
    appears at ``target`` before it is whole and checked.

    :raises StoreError: there is no such database, ``target`` is that database, is there already, or cannot be written.
    """
    source, target = Path(database), Path(target)
    if not source.is_file():
        raise StoreError(f"there is no database {source}")
    if any(_same(target, Path(f"{source}{suffix}")) for suffix in ("", *_BESIDE, "-journal")):
        # A running service would go on writing to the file that is no longer there.
        raise StoreError(f"{target} is the database itself: give the backup another name")
    if target.exists() and not overwrite:
        raise StoreError(f"{target} is there already")
    part = Path(f"{target}.part")
    try:
        _copy(source, part)
        with closing(sqlite3.connect(part)) as made:
            # One file that can be carried away, without a log beside it.
            made.execute("PRAGMA journal_mode = DELETE")
        check(part, source)
        os.replace(part, target)
        _sync(target.absolute().parent)
        return target.stat().st_size
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"the backup {target} cannot be written: {_why(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def restore(database: str | Path, source: str | Path) -> Path | None:
    """Put a backup where the database is, which must not be in use; where that one is now, if there was one.

    :raises StoreError: it is no backup of ours, or the database is in use.
    """
    place, source = Path(database), Path(source)
    if not source.is_file():
        raise StoreError(f"there is no backup {source}")
    if _same(source, place):
        raise StoreError(f"{source} is the database itself, not a backup of it")
    check(source)
    part = Path(f"{place}.part")
    before = Path(f"{place}{BEFORE}")
    kept: Path | None = None
    try:
        if place.exists():
            _take_out_of_use(place)
        _copy(source, part)
        if place.exists():
            os.replace(place, before)
            kept = before
        os.replace(part, place)
        _sync(place.absolute().parent)
        return kept
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{place} cannot be restored: {_why(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def _why(error: Exception) -> str:
    """Without the name of the file that only we know of."""
    return str(getattr(error, "strerror", None) or error)


def check(path: Path, known_as: Path | None = None) -> int:
    """See whether a file is a whole database of ours; its schema's version.

    :param known_as: what is named where it is none, if not ``path``
    :raises StoreError: it is not, or it is newer than the program.
    """
    name = known_as or path
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            (said,) = opened.execute("PRAGMA quick_check").fetchone()
            if said != "ok":
                raise StoreError(f"{name} is damaged: {said}")
            (version,) = opened.execute("SELECT max(version) FROM schema_version").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{name} is no database of c2c-sip: {error}") from error
    if version is None:
        raise StoreError(f"{name} is no database of c2c-sip: it is empty")
    if version > NEWEST:
        raise StoreError(f"{name} is of a newer c2c-sip (schema {version}, known is {NEWEST})")
    return int(version)


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    # For its owner only, as the database itself.
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        # All in one step: with several, each write from elsewhere would begin it anew.
        old.backup(new, pages=-1)
    _sync(target)


def _take_out_of_use(place: Path) -> None:
    """Bring what is in the log home, so that none is left beside another database. Fails where anybody has it open.

    :raises StoreError: it is in use.
    """
    with closing(sqlite3.connect(place, timeout=0.5)) as opened:
        try:
            (mode,) = opened.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            mode = "locked"
        except sqlite3.DatabaseError:
            return  # damaged: that may be why it is replaced
    if mode != "delete":
        raise StoreError(f"{place} is in use: stop the service first")
    for suffix in _BESIDE:
        with suppress(FileNotFoundError):
            os.unlink(f"{place}{suffix}")


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
