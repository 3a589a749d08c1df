"""How many requests there were, and how long they took."""

import threading
from collections import Counter

from c2c_sip.calling.tally import Histogram

#: What a request with no route of ours counts for: what strangers ask for must not be kept.
NOWHERE = "none"
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Traffic:
    """Counts of the API, from all of its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._seconds: dict[str, Histogram] = {}

    def count(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """One more: ``route`` is its template, as ``/v1/accounts/{account_id}``, ``None`` where there is none."""
        method = method if method in _METHODS else "other"
        route = route or NOWHERE
        with self._lock:
            self._requests[method, route, str(status)] += 1
            taken = self._seconds.get(route)
            if taken is None:
                taken = self._seconds[route] = Histogram(_SECONDS)
            taken.add(seconds)

    def requests(self) -> dict[tuple[str, str, str], int]:
        """How many by method, route and status."""
        with self._lock:
            return dict(self._requests)

    def seconds(self) -> dict[str, Histogram]:
        """How long they took, by route."""
        with self._lock:
            return {route: taken.copy() for route, taken in self._seconds.items()}
