"""The only sockets for signalling.

A transport moves whole SIP messages between one local socket and the addresses of others; it knows nothing of
transactions. Received bytes go to :attr:`Transport.receiver`, which the user agent sets.
"""

from collections.abc import Callable
from typing import Protocol

#: A host as an IP literal (IPv6 without brackets) and a port.
Address = tuple[str, int]

#: Called with the bytes of one message, where they came from, and the transport they came in on.
Receiver = Callable[[bytes, Address, "Transport"], None]


class Transport(Protocol):
    """What the user agent needs of a transport; UDP, and the virtual network of the simulation, have it."""

    @property
    def name(self) -> str:
        """The transport's name as a Via has it: ``UDP``, ``TCP`` or ``TLS``."""

    @property
    def reliable(self) -> bool:
        """Whether the transport itself retransmits what is lost."""

    @property
    def local_address(self) -> Address:
        """The address the socket is bound to; the host may be a wildcard."""

    receiver: Receiver | None

    def send(self, data: bytes, destination: Address, server_name: str = "") -> None:
        """Send one message; :class:`OSError` where that is known to be impossible.

        ``server_name`` is the name that the certificate of a TLS server has to have; none for an answer.
        """

    def address_towards(self, destination: Address) -> Address:
        """The local address from which ``destination`` is reached; never a wildcard.

        :raises OSError: there is no route.
        """

    def close(self) -> None:
        """Close the sockets; nothing is received afterwards."""


__all__ = ["Address", "Receiver", "Transport"]
