"""What the entries of a socket's error queue mean."""

import errno
import socket
import struct

import pytest

from sipstack.transport.icmp import says_unreachable

V4, V6 = (socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)
LOCAL, ICMP, ICMP6 = 1, 2, 3


def entry(error: int, origin: int, kind: int, code: int = 0) -> bytes:
    return struct.pack("=IBBBBII", error, origin, kind, code, 0, 0, 0) + b"\x02\x00" + bytes(14)


@pytest.mark.parametrize(
    ("where", "octets", "expected"),
    [
        (V4, entry(errno.ECONNREFUSED, ICMP, 3, 3), True),
        (V4, entry(errno.EHOSTUNREACH, ICMP, 3, 1), True),
        (V4, entry(errno.EPROTO, ICMP, 12), True),
        (V6, entry(errno.ECONNREFUSED, ICMP6, 1, 4), True),
        # Time exceeded, a smaller MTU, and errors of our own making.
        (V4, entry(errno.EHOSTUNREACH, ICMP, 11), False),
        (V4, entry(errno.EMSGSIZE, ICMP, 3, 4), False),
        (V6, entry(errno.EMSGSIZE, ICMP6, 2), False),
        (V6, entry(errno.EHOSTUNREACH, ICMP6, 3), False),
        (V4, entry(errno.EMSGSIZE, LOCAL, 3), False),
        # Not an entry at all.
        (V4, b"\x6f\x00", False),
        ((socket.SOL_SOCKET, 29), entry(errno.ECONNREFUSED, ICMP, 3, 3), False),
    ],
)
def test_only_what_says_that_nobody_is_there_counts(
    where: tuple[int, int], octets: bytes, expected: bool
) -> None:
    assert says_unreachable([(*where, octets)]) is expected
    assert says_unreachable([]) is False
