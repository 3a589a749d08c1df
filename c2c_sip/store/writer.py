"""One thread that writes: what comes while it commits goes into the next commit together.

A commit waits for the disk, so the number of commits a second is small on any machine; the number of writes in one is
not. And SQLite has one writer at a time anyway: here they queue instead of failing.
"""

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import peewee as pw

from c2c_sip.store.errors import StoreError

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Writes in one transaction at most, so that the first in it does not wait for too long.
BATCH = 256


class Writer:
    """Runs functions inside transactions of ``database``, in order."""

    def __init__(self, database: pw.Database) -> None:
        self._database = database
        self._closing = threading.Lock()
        self._closed = False
        self._queue: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Have ``work`` done; the future has its result once that is on disk."""
        future: Future[T] = Future()
        with self._closing:
            if not self._closed:
                self._queue.put((work, future))
                return future
        future.set_exception(StoreError("the store is closed"))
        return future

    def close(self) -> None:
        """Write what is queued, and end."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        ending = False
        while not ending:
            entries = [self._queue.get()]
            while len(entries) < BATCH and not self._queue.empty():
                entries.append(self._queue.get())
            ending = None in entries
            wanted = [entry for entry in entries if entry is not None]
            # One that was cancelled while it queued is not to be written, nor to have a result.
            self._commit([entry for entry in wanted if entry[1].set_running_or_notify_cancel()])
        if not self._database.is_closed():
            self._database.close()

    def _commit(self, entries: list[tuple[Callable[[], Any], Future[Any]]]) -> None:
        if not entries:
            return
        done: list[tuple[Future[Any], Any]] = []
        failed: list[tuple[Future[Any], BaseException]] = []
        try:
            # A server may have been restarted since the last write; asked before there is anything to lose.
            if not self._database.is_closed() and not self._answers():
                self._database.close()
            if self._database.is_closed():
                self._database.connect()
            with self._database.atomic():
                for work, future in entries:
                    try:
                        # A savepoint: one that fails must not take the others with it.
                        with self._database.atomic():
                            done.append((future, work()))
                    except pw.OperationalError:
                        raise  # the database itself is in trouble, not this write
                    except Exception as error:
                        failed.append((future, error))
        except Exception as error:
            log.exception("nothing could be written")
            # A connection to a server may be gone; the next batch begins with a fresh one.
            if not self._database.is_closed():
                self._database.close()
            for _, future in entries:
                future.set_exception(error)
            return
        for future, result in done:
            future.set_result(result)
        for future, problem in failed:
            if not isinstance(problem, pw.IntegrityError):
                log.error("a write failed", exc_info=problem)
            future.set_exception(problem)

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
