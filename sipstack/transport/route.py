"""Which of our addresses is on the route to another: never a wildcard."""

import ipaddress
import socket
from collections.abc import Callable

from sipstack.transport import Address

#: How long a looked-up route is believed, in seconds: long enough to cost nothing, short enough for a new DHCP lease.
ROUTE_LIFETIME = 10.0
#: Routes remembered; forgotten when full, since an attacker may choose whom we answer.
ROUTES = 1024


class Routes:
    """The local IP literals from which others are reached by a socket bound to ``host``; ``clock`` gives seconds."""

    def __init__(self, host: str, clock: Callable[[], float]) -> None:
        self._bound = None if ipaddress.ip_address(host).is_unspecified else host
        self._clock = clock
        self._known: dict[str, tuple[float, str]] = {}

    @property
    def is_one(self) -> bool:
        """Whether there is one address for all, which is that of ``host``."""
        return self._bound is not None

    def towards(self, destination: Address) -> str:
        """The local IP literal from which ``destination`` is reached.

        :raises OSError: there is no route.
        """
        if self._bound is not None:
            return self._bound
        now = self._clock()
        known = self._known.get(destination[0])
        if known is not None and known[0] > now:
            return known[1]
        found = _ask_kernel(destination)
        if len(self._known) >= ROUTES:
            self._known.clear()
        self._known[destination[0]] = (now + ROUTE_LIFETIME, found)
        return found


def _ask_kernel(destination: Address) -> str:
    family = socket.AF_INET6 if ":" in destination[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        # connect() on UDP sends nothing: it only makes the kernel choose the source address.
        probe.connect((destination[0], destination[1] or 9))
        found: str = probe.getsockname()[0]
        return found
