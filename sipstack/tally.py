"""What a user agent has done so far, in plain numbers: adding one costs next to nothing, and any thread may read them."""

from collections import Counter

from sipstack.message import REASONS

#: The methods that are told apart; anybody may send us others.
METHODS = frozenset(
    (
        *("INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "PRACK", "UPDATE", "INFO"),
        *("REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE", "PUBLISH"),
    )
)


class Tally:
    """Counts of one user agent, added to in its thread only."""

    def __init__(self) -> None:
        #: Transactions that have got, or given, their final response: by side (``client`` or ``server``), method, and
        #: status, which is ``timeout`` where none came, and ``unreachable`` where nothing could be sent.
        self.transactions: Counter[tuple[str, str, str]] = Counter()
        #: Messages that we sent again, and requests that came again.
        self.sent_again = 0
        self.came_again = 0

    def concluded(self, side: str, method: str, status: int | str) -> None:
        """A transaction has its outcome."""
        # Not everything that somebody sends is to be kept: what the RFCs do not know is taken together.
        if method not in METHODS:
            method = "other"
        if isinstance(status, int):
            status = str(status) if status in REASONS else f"{status // 100}xx"
        self.transactions[side, method, status] += 1
