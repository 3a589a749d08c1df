"""The one thread that writes, and why it is quick: many writes share one commit.

With SQLite a commit is an fsync, so writing each row on its own would cap the service at the
disk's rate. All that is waiting when a commit ends goes into the next one; each piece has a
savepoint of its own, so one that fails takes nobody with it. Writes happen in the order asked.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import peewee

from .database import Connections, PostgresqlConnections, run
from .errors import StoreError

T = TypeVar("T")
Work = Callable[[Connections], T]

LARGEST_GROUP = 512

log = logging.getLogger(__name__)


class Writer:
    """Runs pieces of work on the database, in order, in one thread, in shared transactions."""

    def __init__(self, database: Connections) -> None:
        self._database = database
        self._queue: queue.SimpleQueue[tuple[Work[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T]) -> Future[T]:
        """Queue `work`; the future resolves once the transaction it ran in is committed."""
        future: Future[T] = Future()
        with self._lock:
            if not self._closed:
                self._queue.put((work, future))
                return future
        future.set_exception(StoreError("the store is closed"))
        return future

    def close(self, timeout: float) -> bool:
        """Take no more work, finish what is queued; False where that took too long."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        open_for_work = True
        while open_for_work:
            group: list[tuple[Work[Any], Future[Any]]] = []
            entry = self._queue.get()
            while True:
                if entry is None:
                    open_for_work = False
                    break
                group.append(entry)
                if len(group) == LARGEST_GROUP:
                    break
                try:
                    entry = self._queue.get_nowait()
                except queue.Empty:
                    break
            group = [(work, future) for work, future in group if _claim(future)]
            if group:
                self._commit(group)

    def _commit(self, group: list[tuple[Work[Any], Future[Any]]]) -> None:
        outcomes: list[tuple[Future[Any], Any, Exception | None]] = []
        try:
            with self._begin():
                for work, future in group:
                    try:
                        with self._database.savepoint():
                            outcomes.append((future, work(self._database), None))
                    except Exception as error:  # noqa: BLE001 - whoever asked gets it, by the future
                        outcomes.append((future, None, error))
        except Exception as error:  # noqa: BLE001 - as above, and for all of them
            log.error("a transaction of %d writes failed: %s", len(group), error)
            self._reset()
            for _, future in group:
                failure = StoreError(f"not written: {error}")
                failure.__cause__ = error
                future.set_exception(failure)
            return
        for future, result, failed in outcomes:
            if failed is None:
                future.set_result(result)
            else:
                future.set_exception(_translated(failed))

    def _begin(self) -> Any:
        """A begun transaction; one that the server dropped meanwhile is opened anew, once."""
        if isinstance(self._database, PostgresqlConnections) and not self._database.is_closed():
            try:
                run(self._database, "SELECT 1")
            except peewee.DatabaseError:
                self._reset()
        return self._database.transaction()

    def _reset(self) -> None:
        try:
            self._database.close()
        except peewee.PeeweeException as error:
            log.warning("closing the writing connection: %s", error)
            self._database.dispose()


def _claim(future: Future[Any]) -> bool:
    return future.set_running_or_notify_cancel()


def _translated(error: Exception) -> Exception:
    if isinstance(error, peewee.PeeweeException):
        failure = StoreError(str(error))
        failure.__cause__ = error
        return failure
    return error
