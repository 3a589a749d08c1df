"""What goes wrong in the store, in its own terms."""


class StoreError(Exception):
    """The database cannot be used as it is."""


class Taken(Exception):
    """A value that has to be unique is in use; ``field`` names it."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field
