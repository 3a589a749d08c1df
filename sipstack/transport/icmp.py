"""What Linux's error queue of a UDP socket says (``recverr`` in ip(7) and ipv6(7)). Pure but for :func:`ask_for_errors`."""

import errno
import socket
import struct
import sys
from collections.abc import Iterable

#: Room for one control message of the queue.
CONTROL_SPACE = 512

# Python's socket module has no names for these; they are part of Linux's ABI.
_IP_RECVERR, _IPV6_RECVERR = 11, 25
#: struct sock_extended_err: errno, origin, type, code, padding, info, data.
_EXTENDED = struct.Struct("=IBBBBII")
_ORIGIN_ICMP, _ORIGIN_ICMP6 = 2, 3
#: Types of message that say that nobody is there: "unreachable" and "parameter problem" (RFC 792, RFC 4443). Not "time
#: exceeded", which RFC 3261 §18.4 wants ignored, nor "too big", which the kernel itself makes use of.
_FINAL = {_ORIGIN_ICMP: (3, 12), _ORIGIN_ICMP6: (1, 4)}


def ask_for_errors(udp: socket.socket) -> bool:
    """Have ICMP errors queued for ``udp``; False where the system has no such thing."""
    if sys.platform != "linux":
        return False
    if udp.family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        udp.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    return True


def says_unreachable(control: Iterable[tuple[int, int, bytes]]) -> bool:
    """Whether the control messages of one entry of the queue say that its datagram cannot be delivered."""
    for level, kind, octets in control:
        if (level, kind) not in (
            (socket.IPPROTO_IP, _IP_RECVERR),
            (socket.IPPROTO_IPV6, _IPV6_RECVERR),
        ):
            continue
        if len(octets) < _EXTENDED.size:
            continue
        error, origin, message_type, *_ = _EXTENDED.unpack_from(octets)
        if message_type in _FINAL.get(origin, ()) and error != errno.EMSGSIZE:
            return True
    return False
