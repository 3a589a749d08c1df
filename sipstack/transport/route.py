"""Which of our addresses is on the route to another: never a wildcard."""

import socket

from sipstack.transport import Address


def route_to(destination: Address) -> str:
    """The local IP literal from which ``destination`` is reached, found by asking the kernel.

    :raises OSError: there is no route.
    """
    family = socket.AF_INET6 if ":" in destination[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        # connect() on UDP sends nothing: it only makes the kernel choose the source address.
        probe.connect((destination[0], destination[1] or 9))
        found: str = probe.getsockname()[0]
        return found
