"""What a SIP message may be wrong with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipstack.message.message import Request


class ParseError(Exception):
    """A message, or a part of one, that cannot be read.

    ``status`` and ``reason`` are what a request of this kind is answered with. ``request`` is as much of a request as
    could be read, where that is enough to answer it (Via, From, To, Call-ID, CSeq); otherwise ``None``.
    """

    def __init__(self, status: int, reason: str, request: "Request | None" = None) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.request = request
