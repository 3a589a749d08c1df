"""What went over the wire for the newest activations, each as one value that says nothing to the database."""

from collections.abc import Callable
from typing import Any

import peewee as pw

from c2c_sip.store.writer import Change, Writer

#: Traces that are stored between two looks at how many there are. How many octets they have is looked at when a twentieth of
#: what they may have has come.
_BETWEEN = 50
#: Octets of all traces together.
ROOM = 200_000_000


class TraceRecords:
    """The part of a store for traces, as its attribute ``traces``; from any thread."""

    def __init__(self, models: Any, writer: Writer) -> None:
        self._model = models.Trace
        self._writer = writer
        self._stored = 0
        #: Octets that were stored since they were looked at; counted in the thread that writes.
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
        if self._stored == 1 or self._fresh > room // 20:
            self._fresh = 0
            self._writer.submit(lambda: self._prune(most, room))
        elif self._stored % _BETWEEN == 0:
            self._writer.submit(lambda: self._prune(most))

    def get(self, activation_id: str) -> bytes | None:
        """A trace, if it is kept still."""
        row = self._model.get_or_none(self._model.id == activation_id)
        return bytes(row.octets) if row is not None else None

    def _prune(self, most: int, room: int | None = None) -> None:
        """Forget the oldest: the first that is one too many, or with which there are too many octets, and all before it."""
        model = self._model
        newest = model.select(model.created).order_by(model.created.desc())
        last = newest.offset(most).limit(1).scalar()
        if room is not None:
            # Each is looked at, some thousands: by number alone the index is enough.
            sizes = newest.select(model.created, pw.fn.LENGTH(model.octets))
            octets = 0
            for created, length in sizes.tuples().iterator():
                octets += length
                if octets > room or created == last:
                    last = created
                    break
        if last is not None:
            model.delete().where(model.created <= last).execute()
