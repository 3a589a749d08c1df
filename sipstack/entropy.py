"""Randomness that nobody can foretell, from the system, taken in larger portions than a tag has."""

import os
import random
import threading

#: Bytes asked of the system at once.
_PORTION = 4096


class Entropy(random.SystemRandom):
    """The system's randomness without a system call for each token. For any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._portion = b""
        self._used = 0
        self._lock = threading.Lock()

    def getrandbits(self, k: int, /) -> int:
        """A number of ``k`` random bits."""
        if k < 0:
            raise ValueError("number of bits must be non-negative")
        count = (k + 7) // 8
        return int.from_bytes(self.randbytes(count), "big") >> (count * 8 - k)

    def randbytes(self, n: int) -> bytes:
        """So many random bytes."""
        with self._lock:  # nothing is given twice
            start = self._used
            if len(self._portion) - start < n:
                self._portion, start = os.urandom(max(_PORTION, n)), 0
            self._used = start + n
            return self._portion[start : start + n]

    def random(self) -> float:
        """A number from 0 to 1, without 1."""
        return (int.from_bytes(self.randbytes(7), "big") >> 3) / (1 << 53)
