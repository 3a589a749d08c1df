"""RTP port pairs: an even port for RTP, the odd one above it for RTCP (:rfc:`3550` §11)."""

from collections import deque


class NoPortsLeft(Exception):
    """All port pairs are in use."""


class PortPairs:
    """Gives out pairs of ``first``..``last`` in turn. A pair given back rests for ``rest`` seconds, so that what is
    still under way to it does not reach the next call; it is reused sooner only when nothing else is left.
    """

    def __init__(self, first: int, last: int, rest: float = 5.0) -> None:
        #: Those that nobody has had yet: most of them never will be had, and so are not written down one by one.
        self._fresh = range(first + first % 2, last, 2)
        #: Those that were given back, and when each may be had again.
        self._free: deque[tuple[int, float]] = deque()
        self._rest = rest
        self.capacity = len(self._fresh)

    @property
    def in_use(self) -> int:
        """Pairs that are given out."""
        return self.capacity - len(self._fresh) - len(self._free)

    def take(self, now: float) -> int:
        """The RTP port of a pair.

        :raises NoPortsLeft: there is none.
        """
        if self._fresh:
            port, self._fresh = self._fresh[0], self._fresh[1:]
            return port
        if not self._free:
            raise NoPortsLeft("all RTP ports are in use")
        for _ in range(min(len(self._free), 64)):
            port, ready = self._free.popleft()
            if ready <= now:
                return port
            self._free.append((port, ready))
        return self._free.popleft()[0]

    def give_back(self, port: int, now: float) -> None:
        """A pair is no longer used."""
        self._free.append((port, now + self._rest))
