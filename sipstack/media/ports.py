"""RTP port pairs: an even port for RTP, the odd one above it for RTCP (:rfc:`3550` §11)."""

from collections import deque


class NoPortsLeft(Exception):
    """All port pairs are in use."""


class PortPairs:
    """Gives out pairs of ``first``..``last`` in turn: those that nobody has had yet, then the one that was given back
    first. So what is still under way to a pair does not reach the next call, unless hardly any other is left.
    """

    def __init__(self, first: int, last: int) -> None:
        #: Those that nobody has had yet: most of them never will be had, and so are not written down one by one.
        self._fresh = range(first + first % 2, last, 2)
        self._free: deque[int] = deque()
        self.capacity = len(self._fresh)

    @property
    def in_use(self) -> int:
        """Pairs that are given out."""
        return self.capacity - len(self._fresh) - len(self._free)

    def take(self) -> int:
        """The RTP port of a pair.

        :raises NoPortsLeft: there is none.
        """
        if self._fresh:
            port, self._fresh = self._fresh[0], self._fresh[1:]
            return port
        if not self._free:
            raise NoPortsLeft("all RTP ports are in use")
        return self._free.popleft()

    def give_back(self, port: int) -> None:
        """A pair is no longer used."""
        self._free.append(port)
