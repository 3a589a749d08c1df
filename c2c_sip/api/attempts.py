"""Whoever guesses passwords is shut out for a while; whoever he guesses for is not."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from c2c_sip.api.errors import ApiError
from c2c_sip.calling.limits import client_key

#: Wrong ones that an address has for one account, and for any, before it is shut out; what is forgotten when.
MOST_FOR_ONE = 10
MOST_FOR_ANY = 50
#: Seconds from the first wrong one until it starts anew.
WINDOW = 900.0
#: Addresses that are remembered.
MOST_KEYS = 20_000


class ShutOut(ApiError):
    """Whoever was wrong too often; 429."""


class Attempts:
    """Counts what was wrong, by who tried and for whom.

    Never by whom it was for alone: else anybody could shut out anybody.

    :param at_once: attempts that may be checked at the same time, since each takes a while
    :param clock: seconds
    """

    def __init__(self, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._slots = threading.BoundedSemaphore(at_once)
        self._clock = clock
        self._lock = threading.Lock()
        #: (how many, since when)
        self._wrong: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    @contextmanager
    def checking(self, client: str, account: str) -> Iterator[Callable[[], None]]:
        """Around a check; what it gives is called if the attempt was wrong.

        :param account: what the client calls the account that it wants in
        :raises ShutOut: whoever was wrong too often
        :raises ApiError: 503 when too many are being checked already
        """
        address = client_key(client)
        keys = {(address, account.lower()[:256]): MOST_FOR_ONE, (address, ""): MOST_FOR_ANY}
        self._refuse(keys)
        if not self._slots.acquire(blocking=False):
            raise ApiError(
                503,
                "too_many_requests",
                {"message": "too many sign in at the same time"},
                {"Retry-After": "1"},
            )
        try:
            yield lambda: self._count(keys)
        finally:
            self._slots.release()

    def _refuse(self, keys: dict[tuple[str, str], int]) -> None:
        now = self._clock()
        with self._lock:
            left = 0.0
            for key, most in keys.items():
                wrong, since = self._wrong.get(key, (0, now))
                if wrong >= most and now < since + WINDOW:
                    left = max(left, since + WINDOW - now)
        if left:
            raise ShutOut(
                429,
                "too_many_requests",
                {"message": "too many wrong credentials from this address"},
                {"Retry-After": str(int(left) + 1)},
            )

    def _count(self, keys: dict[tuple[str, str], int]) -> None:
        now = self._clock()
        with self._lock:
            for key in keys:
                wrong, since = self._wrong.pop(key, (0, now))
                if now >= since + WINDOW:
                    wrong, since = 0, now
                self._wrong[key] = (wrong + 1, since)
            while len(self._wrong) > MOST_KEYS:
                self._wrong.popitem(last=False)
