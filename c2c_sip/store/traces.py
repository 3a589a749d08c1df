"""What went over the wire for the newest activations, each as one value that says nothing to the database."""

from collections.abc import Callable
from typing import Any

from c2c_sip.store.writer import Change, Writer

#: Traces that are stored between two looks at which are too many.
_BETWEEN = 50


class TraceRecords:
    """The part of a store for traces, as its attribute ``traces``; from any thread."""

    def __init__(self, models: Any, writer: Writer) -> None:
        self._model = models.Trace
        self._writer = writer
        self._stored = 0

    def keep(
        self, activation_id: str, created: float, make: Callable[[], bytes], most: int
    ) -> None:
        """Store a trace, and forget the oldest beyond ``most``. Does not wait.

        :param make: gives what is stored; called in the thread that writes
        """
        columns = {"created": created, "octets": make}
        self._writer.change(Change("trace", activation_id, columns, new=True))
        self._stored += 1
        if self._stored % _BETWEEN == 1:
            self._writer.submit(lambda: self._prune(most))

    def get(self, activation_id: str) -> bytes | None:
        """A trace, if it is kept still."""
        row = self._model.get_or_none(self._model.id == activation_id)
        return bytes(row.octets) if row is not None else None

    def _prune(self, most: int) -> None:
        model = self._model
        newest = model.select(model.created).order_by(model.created.desc())
        oldest = newest.offset(most).limit(1).scalar()
        if oldest is not None:
            model.delete().where(model.created <= oldest).execute()
