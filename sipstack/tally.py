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
        self.transactions[side, method_name(method), status_name(status)] += 1


def method_name(method: str) -> str:
    """A method, or ``other``: not everything that somebody sends is to be kept."""
    return method if method in METHODS else "other"


def status_name(status: int | str) -> str:
    """A status that the RFCs know, or its class, as ``4xx``."""
    if isinstance(status, str) or status in REASONS:
        return str(status)
    return f"{status // 100}xx"
