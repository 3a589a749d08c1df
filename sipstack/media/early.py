"""RTP that is faster than the description it goes with: kept until it is known whose it is. Pure."""

from collections import deque

from sipstack.transport import Address

#: Seconds for which it is: a phone speaks as soon as it has sent its 200, which takes longer on its way and to be read. What
#: is older than that was not meant for who answers just now.
WAIT = 0.3
#: Packets that are kept of one leg, at the most.
MOST = 32


class Early:
    """The last packets of a leg whose peer has not said yet where it is."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: deque[tuple[float, Address, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, packet: bytes, source: Address, now: float) -> int:
        """Keep one; how many are given up for it."""
        self._kept.append((now, source, packet))
        before = len(self._kept)
        while len(self._kept) > MOST or now - self._kept[0][0] > WAIT:
            self._kept.popleft()
        return before - len(self._kept)

    def take(self, now: float) -> tuple[list[tuple[float, Address, bytes]], int]:
        """(when each came, from where, and what it is), in order; and how many are too old. None are left."""
        fresh = [kept for kept in self._kept if now - kept[0] <= WAIT]
        old = len(self._kept) - len(fresh)
        self._kept.clear()
        return fresh, old
