"""How often, and for how long: sliding windows and a meter of minutes. Pure.

No library counts these: ``limits``, which most use, keeps its counts in memory or in Redis, memcached, MongoDB or etcd,
and the service has a database already, whose history says all there is to count. So the counts are kept in memory,
exactly, and begun at the start with what the history has of the last hour: what was admitted is on disk before it is
dialled, and a restart forgets nothing of it.
"""

from __future__ import annotations

import ipaddress
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

HOUR = 3600.0
DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Full:
    """A limit that is reached: whose, and after how many seconds there is room again."""

    scope: str
    seconds: float


class Windows:
    """Counts what was admitted in the last ``span`` seconds, of each key of each scope.

    A scope is what a limit is about, as ``contact``; a key is one of them. Memory is bounded by what is admitted.
    """

    def __init__(self, span: float = HOUR) -> None:
        self._span = span
        self._events: deque[tuple[float, tuple[tuple[str, str], ...]]] = deque()
        self._times: dict[tuple[str, str], deque[float]] = {}

    def admit(self, keys: Mapping[str, str], limits: Mapping[str, int], now: float) -> Full | None:
        """Count one more of all these keys by scope, unless a limit is reached: then that one.

        Scopes without a limit, or one of 0, are not counted.
        """
        self._forget(now)
        limited = {scope: key for scope, key in keys.items() if limits.get(scope, 0)}
        for scope, key in limited.items():
            times = self._times.get((scope, key), ())
            if len(times) >= limits[scope]:
                return Full(scope, max(0.0, times[len(times) - limits[scope]] + self._span - now))
        self.count(limited, now)
        return None

    def count(self, keys: Mapping[str, str], now: float) -> None:
        """Count one that was admitted, whatever the limits are."""
        pairs = tuple(keys.items())
        if not pairs:
            return
        self._events.append((now, pairs))
        for pair in pairs:
            self._times.setdefault(pair, deque()).append(now)

    def take_back(self, keys: Mapping[str, str], now: float) -> None:
        """Forget the last one that was counted at ``now``: it did not come to pass."""
        for at in reversed(range(len(self._events))):
            then, pairs = self._events[at]
            if then < now:
                return
            if then == now and set(pairs) <= keys.items():
                del self._events[at]
                for pair in pairs:
                    self._drop(pair, then)
                return

    def __len__(self) -> int:
        """Keys of which there is a count."""
        return len(self._times)

    def _forget(self, now: float) -> None:
        while self._events and self._events[0][0] <= now - self._span:
            then, pairs = self._events.popleft()
            for pair in pairs:
                self._drop(pair, then)

    def _drop(self, pair: tuple[str, str], then: float) -> None:
        times = self._times[pair]
        times.remove(then)
        if not times:
            del self._times[pair]


@dataclass(slots=True)
class Meter:
    """Seconds of an account's calls today, those that are up included. A day begins at midnight, UTC."""

    day: int
    used: float = 0.0
    up: int = 0
    _since: float = field(default=0.0)
    #: What was used through other nodes, and when that was last asked for.
    elsewhere: float = 0.0
    asked: float = 0.0

    @classmethod
    def begun(cls, used: float, now: float, elsewhere: float = 0.0) -> Meter:
        """A meter that begins with what was used today before ``now``, in Unix seconds; ``elsewhere`` is a part of it."""
        return cls(int(now // DAY), used - elsewhere, 0, now, elsewhere, now)

    def read(self, now: float) -> float:
        """What was used until ``now``."""
        if now // DAY > self.day:
            self.day = int(now // DAY)
            self.used = self.elsewhere = 0.0
            self._since = self.day * DAY
        self.used += self.up * max(0.0, now - self._since)
        self._since = max(now, self._since)
        return self.used + self.elsewhere

    def start(self, now: float) -> None:
        """One more call is up."""
        self.read(now)
        self.up += 1

    def stop(self, now: float) -> None:
        """One less."""
        self.read(now)
        self.up -= 1


def until_tomorrow(now: float) -> int:
    """Seconds to the next midnight, UTC."""
    return math.ceil(DAY - now % DAY)


@lru_cache(1024)
def client_key(address: str) -> str:
    """What a client is counted by: its address, of IPv6 the /64 that a single customer has all of."""
    try:
        read = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(read, ipaddress.IPv6Address):
        if read.ipv4_mapped is not None:
            return str(read.ipv4_mapped)
        return str(ipaddress.IPv6Network((read, 64), strict=False))
    return str(read)


def stricter(*limits: int) -> int:
    """The smallest of limits of which 0 is none."""
    return min((limit for limit in limits if limit), default=0)


__all__ = ["DAY", "HOUR", "Full", "Meter", "Windows", "client_key", "stricter", "until_tomorrow"]
