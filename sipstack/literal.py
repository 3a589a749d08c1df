"""IP literals, read once: the same few stand in all that is said of calls."""

import ipaddress
from functools import lru_cache

#: Characters of a literal at most, with the name of an interface behind it; nothing longer is read, or remembered.
_LONGEST = 64


def read_literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that ``host`` is as it is written; ``None`` where it is a name, or nothing at all."""
    return _read(host) if len(host) <= _LONGEST else None


def canonical(host: str) -> str:
    """The same address as everybody writes it, for IPv6 has many ways; a name is as it was."""
    return _canonical(host) if len(host) <= _LONGEST else host


def family_of(host: str) -> int:
    """4 or 6 where ``host`` is the literal of one host, or of none (0.0.0.0, ``::``); 0 for a group of them, or a name."""
    return _family_of(host) if len(host) <= _LONGEST else 0


@lru_cache(maxsize=4096)
def _canonical(host: str) -> str:
    ip = _read(host)
    return host if ip is None else str(ip)


@lru_cache(maxsize=4096)
def _family_of(host: str) -> int:
    ip = _read(host)
    return 0 if ip is None or ip.is_multicast else ip.version


@lru_cache(maxsize=4096)
def _read(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
