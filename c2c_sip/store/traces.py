"""What went over the wire for the newest activations, each as one value that says nothing to the database."""

from collections.abc import Callable
from typing import Any

import peewee as pw

from c2c_sip.store.writer import Change, Writer

#: Traces that are stored between two looks at which are too many.
_BETWEEN = 50
#: Octets of all traces together.
ROOM = 200_000_000


class TraceRecords:
    """The part of a store for traces, as its attribute ``traces``; from any thread."""

    def __init__(self, models: Any, writer: Writer) -> None:
        self._model = models.Trace
        self._writer = writer
        self._stored = 0
        #: Octets that were stored since the last look; counted in the thread that writes.
        self._fresh = 0

    def keep(
        self,
        activation_id: str,
        created: float,
        make: Callable[[], bytes],
        most: int,
        room: int = ROOM,
    ) -> None:
        """Store a trace, and forget the oldest beyond ``most``, or beyond ``room`` octets together. Does not wait.

        :param make: gives what is stored; called in the thread that writes
        """

        def made() -> bytes:
            octets = make()
            self._fresh += len(octets)
            return octets

        columns = {"created": created, "octets": made}
        self._writer.change(Change("trace", activation_id, columns, new=True))
        self._stored += 1
        if self._stored % _BETWEEN == 1 or self._fresh > room // 10:
            self._fresh = 0
            self._writer.submit(lambda: self._prune(most, room))

    def get(self, activation_id: str) -> bytes | None:
        """A trace, if it is kept still."""
        row = self._model.get_or_none(self._model.id == activation_id)
        return bytes(row.octets) if row is not None else None

    def _prune(self, most: int, room: int) -> None:
        model = self._model
        size = pw.fn.LENGTH(model.octets)
        rows = model.select(model.created, size).order_by(model.created.desc()).tuples()
        kept = octets = 0
        for created, length in rows:
            kept, octets = kept + 1, octets + length
            if kept > most or octets > room:
                model.delete().where(model.created <= created).execute()
                return
