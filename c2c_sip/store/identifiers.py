"""The identifiers of rows that are made for each call, and other names that nobody can guess."""

import time
from collections.abc import Callable

from sipstack.entropy import Entropy

#: Of the whole process, so that the system is asked for randomness once in some hundred times only.
_entropy = Entropy()


def token(octets: int) -> str:
    """So many random octets, in hexadecimal digits."""
    return _entropy.randbytes(octets).hex()


def new_id(wall: Callable[[], float] = time.time) -> str:
    """A new identifier, of 32 hexadecimal digits: 40 bits of the time in 1/256 s, and 88 random ones.

    Those that are made one after the other are beside each other in a table's index, so that what writes many of them
    writes few pages (:rfc:`9562` §2.1, of UUIDs of version 7); and 88 bits are more than anybody can try.
    """
    return f"{int(wall() * 256) & 0xFF_FFFF_FFFF:010x}{token(11)}"
