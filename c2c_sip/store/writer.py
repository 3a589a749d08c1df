"""One thread that writes: what comes while it commits goes into the next commit together.

A commit waits for the disk, so the number of commits a second is small on any machine; the number of writes in one is
not. And SQLite has one writer at a time anyway: here they queue instead of failing.

Most of what is written are changes of a few columns of a row that is changed again soon. Such a :class:`Change` is data,
not code: those of one row that meet in a batch become one statement, and nobody waits for them, so that they may wait
for each other. They do so too while rows that somebody waits for come and are written: whoever is to be told that a
call has begun waits for the pages of its own row, and not for those of all that has become of the others.
"""

import logging
import math
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import peewee as pw

from c2c_sip.store.errors import StoreError

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Writes in one transaction at most, so that the first in it does not wait for too long.
BATCH = 256
#: Seconds that a change which nobody waits for may wait for others.
LINGER = 0.1
#: Seconds between two tries where the database is out of reach, and until what is queued at the end is given up.
RETRY, FAREWELL = 1.0, 5.0
#: Times that changes are tried which the database does not take although it answers, and nothing else is in its way.
TRIES = 10
#: What SQLite says of the disk, and of others at the file; and classes of what PostgreSQL does, with "this is the standby".
_IN_THE_WAY = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)
_IN_THE_WAY_THERE = ("53", "57", "58", "25006")
#: Peewee's own, around all that its execute_sql does: what a driver raises becomes what Peewee calls it.
_translated: Any = pw.__exception_wrapper__  # type: ignore[attr-defined]
#: Changes that are kept for a database that is out of reach.
MOST_KEPT = 100_000


@dataclass(slots=True)
class Change:
    """Columns of one row to be written, by the names they have in the database; ``new`` makes the row.

    A value may be a function, which is called for it when it is written: whoever makes a change need not take the time.
    ``also`` are rows that are made in the same transaction, with nothing further.
    """

    table: str
    id: str
    columns: dict[str, Any]
    new: bool = False
    also: "tuple[Change, ...]" = ()


class Outcome(Generic[T]):
    """What becomes of a write, for the one who waits for it: of :class:`concurrent.futures.Future` what that takes."""

    __slots__ = ("_error", "_known", "_value")

    def __init__(self) -> None:
        self._value: T | None = None
        self._error: BaseException | None = None
        #: Held until it is known.
        self._known = threading.Lock()
        self._known.acquire()

    def result(self, timeout: float | None = None) -> T:
        """Wait, at most for so many seconds, until it is on disk; what came of it.

        :raises TimeoutError: it is not known yet
        :raises Exception: it was not written, for this reason
        """
        if not self._known.acquire(timeout=-1 if timeout is None else timeout):
            raise TimeoutError
        self._known.release()
        if self._error is not None:
            raise self._error
        return cast(T, self._value)

    def succeed(self, value: T) -> None:
        """It is on disk."""
        self._value = value
        self._known.release()

    def fail(self, error: BaseException) -> None:
        """It is not, nor will it be."""
        self._error = error
        self._known.release()


@dataclass(slots=True)
class _Entry:
    """Something to be written; somebody waits for it if it has an outcome."""

    work: Callable[[], Any] | Change
    outcome: Outcome[Any] | None = None
    #: How often the database, which was there, has not taken it.
    tries: int = 0


class Writer:
    """Writes to ``database`` in transactions, in order; but a row that is waited for goes before what nobody waits for.

    While it is out of reach, what somebody waits for fails at once; changes that nobody waits for are kept until it is back.
    """

    def __init__(self, database: pw.Database) -> None:
        self._database = database
        self._cursor: Callable[[], Any] = database.cursor
        self._statements: dict[tuple[str, bool, tuple[str, ...]], str] = {}
        #: Rows that are waited for, and all else, in order.
        self._rows: deque[_Entry] = deque()
        self._entries: deque[_Entry] = deque()
        #: How many of the latter are waited for, and by when the others are to be written.
        self._waited_for = 0
        self._due = math.inf
        #: Held around these. The thread that writes sleeps until the bell is rung, which is a lock that is held otherwise.
        self._lock = threading.Lock()
        self._bell = threading.Lock()
        self._bell.acquire()
        self._asleep = False
        #: Counts transactions with more in them than changes of single rows; before those who wait hear of it.
        self.written = 0
        self._closed = False
        #: Whether the last batch failed, and by when all is given up once the writer is closed.
        self._failing = False
        self._give_up: float | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    @property
    def failing(self) -> bool:
        """Whether the last that was to be written could not be."""
        return self._failing

    @property
    def waiting(self) -> int:
        """Writes that no transaction has taken yet."""
        return len(self._rows) + len(self._entries)

    def holds(self, id: str) -> bool:
        """Whether a change of such a row waits for others."""
        with self._lock:
            works = [entry.work for entry in self._entries]
        return any(isinstance(work, Change) and work.id == id for work in works)

    def submit(self, work: Callable[[], T]) -> Outcome[T]:
        """Have ``work`` done, once or, where the first try is rolled back, again; its result is known when that is on disk,
        and all that was asked for before."""
        outcome: Outcome[T] = Outcome()
        with self._lock:
            closed = self._closed
            if not closed:
                self._entries.append(_Entry(work, outcome))
                self._waited_for += 1
                self._wake()
        if closed:
            outcome.fail(StoreError("the store is closed"))
        return outcome

    def make(self, change: Change) -> Outcome[None]:
        """Have a row made, which can be waited for. What it refers to has been waited for before."""
        outcome: Outcome[None] = Outcome()
        with self._lock:
            closed = self._closed
            if not closed:
                self._rows.append(_Entry(change, outcome))
                self._wake()
        if closed:
            outcome.fail(StoreError("the store is closed"))
        return outcome

    def change(self, change: Change) -> None:
        """Have a row made or changed soon. What goes wrong is logged."""
        with self._lock:
            closed = self._closed
            if not closed:
                self._entries.append(_Entry(change))
                if self._due == math.inf:
                    self._due = time.monotonic() + LINGER
                    self._wake()
        if closed:
            log.error("the store is closed: %s of %s is lost", change.table, change.id)

    def close(self) -> None:
        """Write what is queued, and end."""
        with self._lock:
            self._closed = True
            self._wake()
        self._thread.join()

    def _wake(self) -> None:
        if self._asleep:
            self._asleep = False
            self._bell.release()

    # --- the thread

    def _run(self) -> None:
        while True:
            entries = self._gather()
            if not entries:
                break
            self._commit(entries)
        if not self._database.is_closed():
            self._database.close()

    def _sleep(self, seconds: float | None) -> None:
        """Let go of the lock until there is news, or for so long."""
        self._asleep = True
        self._lock.release()
        rung = self._bell.acquire(timeout=-1 if seconds is None else seconds)
        self._lock.acquire()
        if not rung and not self._asleep:
            self._bell.acquire()  # it was at the last moment
        self._asleep = False

    def _gather(self) -> list[_Entry]:
        """The next batch; an empty one is the end."""
        with self._lock:
            closed, again = self._closed, time.monotonic() + RETRY
            while not (self._rows or self._waited_for or self._closed > closed):
                if not self._entries and self._closed:
                    return []
                if not self._entries:
                    self._sleep(None)
                    continue
                due = again if self._failing else 0.0 if self._closed else self._due
                rest = due - time.monotonic()
                if rest <= 0:
                    break
                self._sleep(rest)
            entries = _taken(self._rows, BATCH)
            # What nobody waits for stays until it is due: there are pages that are then written once for all of it.
            if self._waited_for or self._closed or self._due <= time.monotonic():
                others = _taken(self._entries, BATCH - len(entries))
                entries += others
                if self._entries:
                    self._waited_for -= sum(entry.outcome is not None for entry in others)
                else:
                    self._waited_for, self._due = 0, math.inf
        return entries

    def _commit(self, entries: list[_Entry]) -> None:
        answers = False
        try:
            # A server may have been restarted since the last write; asked before there is anything to lose.
            if not self._database.is_closed() and not self._answers():
                self._database.close()
            if self._database.is_closed():
                self._database.connect()
            answers = True
            try:
                with self._transaction(entries):
                    results = self._write(entries)
                failed: dict[int, BaseException] = {}
            except pw.OperationalError:
                raise  # the database itself is in trouble, not one of the writes
            except Exception:
                # One that fails must not take the others with it: all again, each by itself.
                with self._database.transaction():
                    results, failed = self._write_apart(entries)
        except Exception as error:
            if not self._failing:
                log.exception("nothing could be written")
            obstacle = _obstacle(error)
            if obstacle is not None:
                # No fault of the changes: they can be written as soon as there is room for them.
                answers, error = False, pw.OperationalError(str(obstacle))
            # A connection to a server may be gone; the next batch begins with a fresh one.
            if not self._database.is_closed():
                self._database.close()
            self._not_written(entries, error, answers)
            return
        self.written += not all([isinstance(entry.work, Change) for entry in entries])
        if self._failing:
            self._failing = False
            log.warning("the database can be written again")
        for at, problem in failed.items():
            if entries[at].outcome is None or not isinstance(problem, pw.IntegrityError):
                log.error("a write failed", exc_info=problem)
        for at, entry in enumerate(entries):
            if entry.outcome is None:
                continue
            if at in failed:
                entry.outcome.fail(failed[at])
            else:
                entry.outcome.succeed(results[at])

    def _transaction(self, entries: Sequence[_Entry]) -> Any:
        """What makes one of a batch: a row that comes alone, as most do that are waited for, is one by itself."""
        work = entries[0].work
        if len(entries) == 1 and isinstance(work, Change) and not work.also:
            return nullcontext()
        return self._database.transaction()

    def _not_written(self, entries: list[_Entry], error: Exception, answers: bool) -> None:
        """Tell those who wait, also those behind them in the queue, and put the rest back to its head."""
        with self._lock:
            self._failing = True
            queued = [*self._rows, *self._entries]
            self._rows.clear()
            self._entries.clear()
            self._waited_for = 0
            if self._closed:
                now = time.monotonic()
                self._give_up = self._give_up or now + FAREWELL
            for entry in entries:
                entry.tries += answers
            kept = [
                entry
                for entry in (*entries, *queued)
                if entry.outcome is None and entry.tries < TRIES
            ]
            if self._give_up is not None and time.monotonic() > self._give_up:
                kept = []
            kept = kept[-MOST_KEPT:]
            self._entries.extend(kept)
            self._due = 0.0 if kept else math.inf
        lost = sum(entry.outcome is None for entry in (*entries, *queued)) - len(kept)
        if lost:
            log.error("%d changes are lost: %s", lost, error)
        for entry in (*entries, *queued):
            if entry.outcome is not None:
                entry.outcome.fail(error)

    def _write(self, entries: Sequence[_Entry]) -> list[Any]:
        """Do a batch, the changes of one row together."""
        results: list[Any] = [None] * len(entries)
        waiting: dict[tuple[str, str], Change] = {}
        cursor: Any = self._cursor()
        for at, entry in enumerate(entries):
            work = entry.work
            if isinstance(work, Change):
                held = waiting.get((work.table, work.id))
                if held is None:
                    copy = Change(work.table, work.id, dict(work.columns), work.new, work.also)
                    waiting[work.table, work.id] = copy
                else:
                    held.columns.update(work.columns)
                    held.also += work.also
                continue
            self._execute(cursor, waiting.values())
            waiting.clear()
            results[at] = work()
        self._execute(cursor, waiting.values())
        return results

    def _write_apart(self, entries: Sequence[_Entry]) -> tuple[list[Any], dict[int, BaseException]]:
        """Do a batch, each in a savepoint; the results, and what went wrong with which."""
        results: list[Any] = [None] * len(entries)
        failed: dict[int, BaseException] = {}
        for at, entry in enumerate(entries):
            try:
                with self._database.atomic():
                    if isinstance(entry.work, Change):
                        self.execute(entry.work)
                    else:
                        results[at] = entry.work()
            except pw.OperationalError:
                raise
            except Exception as error:
                failed[at] = error
        return results, failed

    def execute(self, change: Change) -> None:
        """Write a change now; to be called in work that was submitted."""
        self._execute(self._cursor(), [change])

    def _execute(self, cursor: Any, changes: Iterable[Change]) -> None:
        """Write changes of different rows, those together that take the same statement.

        With one cursor: Peewee's own way makes one for each, and looks each time whether to log it.
        """
        alike: dict[tuple[str, bool, tuple[str, ...]], list[list[Any]]] = {}
        for change in changes:
            for one in (change, *change.also):
                values = [v() if callable(v) else v for v in one.columns.values()]
                values.append(one.id)
                alike.setdefault((one.table, one.new, tuple(one.columns)), []).append(values)
        with _translated:
            for key, rows in alike.items():
                statement = self._statements.get(key)
                if statement is None:
                    statement = self._statements[key] = self._statement(*key)
                cursor.executemany(statement, rows)

    def _statement(self, table: str, new: bool, names: tuple[str, ...]) -> str:
        mark = self._database.param
        if new:
            columns = ", ".join(f'"{name}"' for name in (*names, "id"))
            marks = ", ".join([mark] * (len(names) + 1))
            return f'INSERT INTO "{table}" ({columns}) VALUES ({marks})'  # noqa: S608 - names are ours
        columns = ", ".join(f'"{name}" = {mark}' for name in names)
        return f'UPDATE "{table}" SET {columns} WHERE "id" = {mark}'  # noqa: S608

    def _answers(self) -> bool:
        """Whether the server at the other end of the connection is still there; a file always is."""
        if isinstance(self._database, pw.SqliteDatabase):
            return True
        ask: Any = self._database.execute_sql
        try:
            ask("SELECT 1")
        except pw.PeeweeException as error:
            log.warning("connecting to the database anew: %s", error)
            return False
        return True


def _obstacle(error: BaseException) -> BaseException | None:
    """What is in the way of every write, a full disk for instance; also where it was met by a rollback that failed too."""
    found: BaseException | None = error
    while found is not None:
        code = getattr(found, "sqlite_errorcode", None)
        state = getattr(found, "sqlstate", None) or ""
        if code is not None and code & 0xFF in _IN_THE_WAY:
            return found
        if state.startswith(_IN_THE_WAY_THERE):
            return found
        found = found.__cause__ or found.__context__
    return None


def _taken(queue: deque[_Entry], most: int) -> list[_Entry]:
    """The first so many of a queue, which are in it no more."""
    if len(queue) <= most:
        found = list(queue)
        queue.clear()
        return found
    return [queue.popleft() for _ in range(most)]


def new_row(table: str, row: Mapping[str, Any]) -> Change:
    """The change that makes a row, which names its ``id``."""
    columns = dict(row)
    return Change(table, columns.pop("id"), columns, new=True)
