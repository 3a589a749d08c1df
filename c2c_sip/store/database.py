"""Connections: which database a URL means, and how each connection is set up."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import sqlite3
import threading
import weakref
from typing import Any
from urllib.parse import unquote, urlsplit

import peewee

from .errors import StoreError

BUSY_SECONDS = 10.0
"""How long SQLite waits for another process that is writing (the command line's `account`)."""


class _Connections:
    """All open connections, so that they can be closed from whichever thread closes the store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: weakref.WeakSet[Any] = weakref.WeakSet()

    def add(self, connection: Any) -> Any:
        with self._lock:
            self._all.add(connection)
        return connection

    def close(self) -> None:
        with self._lock:
            connections = list(self._all)
            self._all.clear()
        for connection in connections:
            # Closing what the other side has closed already is no news.
            with contextlib.suppress(Exception):
                connection.close()


class _SqliteConnection(sqlite3.Connection):
    """One that can be referred to weakly, so that a thread's end ends its connection."""


class SqliteConnections(peewee.SqliteDatabase):
    """SQLite with a connection a thread, write-ahead log, and every commit on the disk."""

    def __init__(self, path: str) -> None:
        self.connections = _Connections()
        super().__init__(
            path,
            pragmas=[
                ("journal_mode", "wal"),
                ("synchronous", "full"),
                ("foreign_keys", 1),
            ],
            timeout=BUSY_SECONDS,
            lock_type="IMMEDIATE",
            check_same_thread=False,
            factory=_SqliteConnection,
        )

    def _connect(self) -> Any:
        return self.connections.add(super()._connect())  # type: ignore[misc]


class PostgresqlConnections(peewee.PostgresqlDatabase):
    """PostgreSQL through psycopg 3 with a connection a thread."""

    def __init__(self, url: str) -> None:
        self.connections = _Connections()
        super().__init__(
            url,
            prefer_psycopg3=True,
            connect_timeout=5,
            application_name="c2c-sip",
        )

    def _connect(self) -> Any:
        return self.connections.add(super()._connect())  # type: ignore[misc]


Connections = SqliteConnections | PostgresqlConnections


def connect(url: str) -> Connections:
    """The database of a URL: ``sqlite:///relative``, ``sqlite:////absolute``, ``postgresql://…``.

    Raises StoreError where the URL is none of these or the driver is not installed.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        path = unquote(parts.path)[1:]
        if parts.netloc or not path or path == ":memory:":
            raise StoreError(f"{url}: give a file, such as sqlite:///c2c.db")
        _make_private(pathlib.Path(path))
        return SqliteConnections(path)
    if parts.scheme in ("postgresql", "postgres"):
        if importlib.util.find_spec("psycopg") is None:
            raise StoreError("PostgreSQL needs psycopg: pip install 'c2c-sip[postgres]'")
        return PostgresqlConnections("postgresql" + url[url.index(":") :])
    raise StoreError(f"{parts.scheme or url}: not a database this program knows")


def _make_private(path: pathlib.Path) -> None:
    """Create the file so that only its owner reads it: it holds hashes and who called whom."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def run(database: Connections, statement: str, parameters: tuple[Any, ...] = ()) -> Any:
    """Execute one statement as it stands; returns the driver's cursor."""
    return database.execute_sql(statement, parameters)  # type: ignore[no-untyped-call]


def is_lost(error: peewee.DatabaseError) -> bool:
    """Whether a new connection may do better than the one that raised this."""
    return isinstance(error, peewee.OperationalError | peewee.InterfaceError) and not isinstance(
        error.__cause__, sqlite3.Error
    )
