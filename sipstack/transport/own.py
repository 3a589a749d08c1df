"""Which addresses are this machine's own."""

import ipaddress
import socket

#: Of nobody (:rfc:`5737`, :rfc:`3849`): where these can be bound, any address can.
_NOBODYS = ("192.0.2.1", "2001:db8::1")


def is_own(address: str) -> bool:
    """Whether an IP address is one of this machine's: others cannot be bound.

    ``False`` also for what is no address, and where the system lets a program bind any.
    """
    return _can_be_bound(address) and not any(map(_can_be_bound, _NOBODYS))


def _can_be_bound(address: str) -> bool:
    try:
        is_ipv4 = ipaddress.ip_address(address).version == 4
        with socket.socket(
            socket.AF_INET if is_ipv4 else socket.AF_INET6, socket.SOCK_DGRAM
        ) as one:
            one.bind((address, 0))
    except (ValueError, OSError):
        return False
    return True
