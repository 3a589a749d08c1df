"""SIP over UDP: one message a datagram (:rfc:`3261` §18)."""

import asyncio
import ipaddress
import logging
import socket

from sipstack.transport import Address, Receiver
from sipstack.transport.route import route_to

log = logging.getLogger(__name__)

#: Datagrams read before the loop gets to do something else, so that a flood cannot starve the timers.
BATCH = 32
#: How long a looked-up route is believed, in seconds: long enough to cost nothing, short enough for a new DHCP lease.
ROUTE_LIFETIME = 10.0
#: Routes remembered; cleared when full, since an attacker may choose whom we answer.
ROUTES = 1024


class UdpTransport:
    """A bound UDP socket read by the event loop."""

    name = "UDP"
    reliable = False

    def __init__(self, host: str, port: int, loop: asyncio.AbstractEventLoop) -> None:
        """Bind to ``host`` (an IP literal, wildcards allowed) and ``port`` (0: a free one).

        :raises OSError: the address cannot be bound.
        """
        self.receiver: Receiver | None = None
        self._loop = loop
        self._routes: dict[str, tuple[float, str]] = {}
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # A burst of a few hundred calls must fit while the loop is busy with one of them.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
            self._socket.setblocking(False)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self._wildcard = ipaddress.ip_address(host).is_unspecified
        bound = self._socket.getsockname()
        self.local_address: Address = (bound[0], bound[1])
        loop.add_reader(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        for _ in range(BATCH):
            try:
                data, source = self._socket.recvfrom(65535)
            except BlockingIOError:
                return
            except OSError as error:
                # An ICMP error of something sent earlier; the transaction's timer deals with the silence.
                log.debug("udp receive: %s", error)
                return
            if self.receiver is not None:
                self.receiver(data, (source[0], source[1]), self)

    def send(self, data: bytes, destination: Address) -> None:
        """Send one datagram. A full send buffer counts as loss, which SIP over UDP has timers for."""
        try:
            self._socket.sendto(data, destination)
        except BlockingIOError:
            log.warning("udp send buffer full, datagram to %s dropped", destination[0])

    def address_towards(self, destination: Address) -> Address:
        """Our address on the route to ``destination``, found by asking the kernel."""
        host, port = self.local_address
        if not self._wildcard:
            return host, port
        now = self._loop.time()
        known = self._routes.get(destination[0])
        if known is not None and known[0] > now:
            return known[1], port
        found = route_to(destination)
        if len(self._routes) >= ROUTES:
            self._routes.clear()
        self._routes[destination[0]] = (now + ROUTE_LIFETIME, found)
        return found, port

    def close(self) -> None:
        """Stop reading and close the socket."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
