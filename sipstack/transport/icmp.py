"""What Linux's error queue of a UDP socket says (``recverr`` in ip(7) and ipv6(7)). Pure but for :func:`ask_for_errors`."""

import errno
import os
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


def why_unreachable(control: Iterable[tuple[int, int, bytes]]) -> str:
    """Why the datagram of one entry of the queue cannot be delivered, by its control messages; empty: it may still be."""
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
            # Of the kernel's errors this one is a port's; the others are those of a host, or a network on the way there.
            refused = error == errno.ECONNREFUSED
            return f"{'nobody listens there' if refused else os.strerror(error)}, as ICMP says"
    return ""
