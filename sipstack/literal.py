"""IP literals, read once: the same few stand in all that is said of calls."""

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4096)
def read_literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that ``host`` is as it is written; ``None`` where it is a name, or nothing at all."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
