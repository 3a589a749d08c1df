"""SIP over UDP: one message a datagram (:rfc:`3261` §18)."""

import asyncio
import logging
import socket
from collections.abc import Callable

from sipstack.transport import Address, Receiver
from sipstack.transport.icmp import CONTROL_SPACE, ask_for_errors, why_unreachable
from sipstack.transport.route import Routes

log = logging.getLogger(__name__)

#: Datagrams, or errors, read before the loop gets to do something else, so that a flood cannot starve the timers.
BATCH = 64
#: Wake-ups in a row that found as many as were expected, after which twice as many are: a flood is soon read by the batch,
#: and where one comes now and then nobody asks each time in vain for another.
TIMES_MET = 8
#: Octets of a datagram that an ICMP error may quote: routers send no more than a minimal packet.
QUOTED = 1280
#: Errors of earlier datagrams that may get in the way of one.
ERRORS_BEFORE = 3


class UdpTransport:
    """A bound UDP socket read by the event loop."""

    name = "UDP"
    reliable = False

    def __init__(self, host: str, port: int, loop: asyncio.AbstractEventLoop) -> None:
        """Bind to ``host`` (an IP literal, wildcards allowed) and ``port`` (0: a free one).

        :raises OSError: the address cannot be bound.
        """
        self.receiver: Receiver | None = None
        #: Called with the address of a peer of which ICMP says that it is not there, with why, and with what the ICMP
        #: message quotes of the datagram that could not be delivered. Anybody may have sent it: only one that quotes what
        #: nobody but the peer and those on the way can know is to be believed.
        self.undelivered: Callable[[Address, str, bytes, UdpTransport], None] | None = None
        self._loop = loop
        #: Datagrams that the next wake-up is expected to find, and how often in a row that many were there.
        self._expected, self._met = 1, 0
        self._routes = Routes(host, loop.time)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # A burst of a few hundred calls must fit while the loop is busy with one of them.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
            self._socket.setblocking(False)
            self._errors_queued = ask_for_errors(self._socket)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        bound = self._socket.getsockname()
        self.local_address: Address = (bound[0], bound[1])
        #: What we are on every route, where that is one address.
        self._everywhere = (host, bound[1]) if self._routes.is_one else None
        loop.add_reader(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        for number in range(self._expected):
            try:
                data, source = self._socket.recvfrom(65535)
            except BlockingIOError:
                if number == 0:
                    # Woken up, but not by a datagram.
                    self._read_errors()
                self._expected, self._met = max(number, 1), 0
                return
            except OSError as error:
                log.debug("udp receive: %s", error)
                self._read_errors()
                return
            if self.receiver is not None:
                self.receiver(data, (source[0], source[1]), self)
        self._met += 1
        if self._met >= TIMES_MET:
            self._expected, self._met = min(2 * self._expected, BATCH), 0

    def _read_errors(self) -> None:
        """Empty the queue of ICMP errors, which would wake us up again and again."""
        for _ in range(BATCH if self._errors_queued else 0):
            try:
                quoted, control, _, peer = self._socket.recvmsg(
                    QUOTED, CONTROL_SPACE, socket.MSG_ERRQUEUE
                )
            except OSError:
                return  # there is no more, or the socket is closed
            why = why_unreachable(control)
            if why and self.undelivered is not None:
                self.undelivered((peer[0], peer[1]), why, quoted, self)

    def send(self, data: bytes, destination: Address, server_name: str = "") -> None:
        """Send one datagram. A full send buffer counts as loss, which SIP over UDP has timers for."""
        for left in range(ERRORS_BEFORE, -1, -1):
            try:
                self._socket.sendto(data, destination)
                return
            except BlockingIOError:
                log.warning("udp send buffer full, datagram to %s dropped", destination[0])
                return
            except OSError:
                if not left:
                    raise
                # Mostly an ICMP error of something sent earlier, maybe to somebody else. It is read later, since it
                # may end the very transaction that is sending now.
                self._loop.call_soon(self._read_errors)

    def address_towards(self, destination: Address) -> Address:
        """Our address on the route to ``destination``, found by asking the kernel."""
        return self._everywhere or (self._routes.towards(destination), self.local_address[1])

    def close(self) -> None:
        """Stop reading and close the socket."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
