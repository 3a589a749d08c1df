"""What went over the wire for the newest activations, each as one value that says nothing to the database."""

from typing import Any

from c2c_sip.store.writer import Writer

#: Traces that are stored between two looks at which are too many.
_BETWEEN = 20


class TraceRecords:
    """The part of a store for traces, as its attribute ``traces``; from any thread."""

    def __init__(self, models: Any, writer: Writer) -> None:
        self._model = models.Trace
        self._writer = writer
        self._stored = 0

    def keep(self, activation_id: str, created: float, octets: bytes, most: int) -> None:
        """Store a trace, and forget the oldest beyond ``most``. Does not wait."""

        def work() -> None:
            self._model.delete().where(self._model.id == activation_id).execute()
            self._model.insert(id=activation_id, created=created, octets=octets).execute()
            self._stored += 1
            if self._stored % _BETWEEN == 1:
                self._prune(most)

        self._writer.submit(work)

    def get(self, activation_id: str) -> bytes | None:
        """A trace, if it is kept still."""
        row = self._model.get_or_none(self._model.id == activation_id)
        return bytes(row.octets) if row is not None else None

    def _prune(self, most: int) -> None:
        model = self._model
        oldest = (
            model.select(model.created)
            .order_by(model.created.desc())
            .offset(most)
            .limit(1)
            .scalar()
        )
        if oldest is not None:
            model.delete().where(model.created <= oldest).execute()
