"""What the entries of a socket's error queue mean."""

import errno
import socket
import struct

import pytest

from sipstack.transport.icmp import why_unreachable

V4, V6 = (socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)
LOCAL, ICMP, ICMP6 = 1, 2, 3


def entry(error: int, origin: int, kind: int, code: int = 0) -> bytes:
    return struct.pack("=IBBBBII", error, origin, kind, code, 0, 0, 0) + b"\x02\x00" + bytes(14)


@pytest.mark.parametrize(
    ("where", "octets", "expected"),
    [
        (V4, entry(errno.ECONNREFUSED, ICMP, 3, 3), "nobody listens there, as ICMP says"),
        (V4, entry(errno.EHOSTUNREACH, ICMP, 3, 1), "No route to host, as ICMP says"),
        (V4, entry(errno.EPROTO, ICMP, 12), "Protocol error, as ICMP says"),
        (V6, entry(errno.ECONNREFUSED, ICMP6, 1, 4), "nobody listens there, as ICMP says"),
        # Time exceeded, a smaller MTU, and errors of our own making.
        (V4, entry(errno.EHOSTUNREACH, ICMP, 11), ""),
        (V4, entry(errno.EMSGSIZE, ICMP, 3, 4), ""),
        (V6, entry(errno.EMSGSIZE, ICMP6, 2), ""),
        (V6, entry(errno.EHOSTUNREACH, ICMP6, 3), ""),
        (V4, entry(errno.EMSGSIZE, LOCAL, 3), ""),
        # Not an entry at all.
        (V4, b"\x6f\x00", ""),
        ((socket.SOL_SOCKET, 29), entry(errno.ECONNREFUSED, ICMP, 3, 3), ""),
    ],
)
def test_only_what_says_that_nobody_is_there_counts(
    where: tuple[int, int], octets: bytes, expected: str
) -> None:
    assert why_unreachable([(*where, octets)]) == expected
    assert why_unreachable([]) == ""
