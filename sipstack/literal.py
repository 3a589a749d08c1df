"""IP literals, read once: the same few stand in all that is said of calls."""

import ipaddress
from functools import lru_cache

#: Characters of a literal at most, with the name of an interface behind it; nothing longer is read, or remembered.
_LONGEST = 64


def read_literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that ``host`` is as it is written; ``None`` where it is a name, or nothing at all."""
    return _read(host) if len(host) <= _LONGEST else None


@lru_cache(maxsize=4096)
def _read(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
