"""SIP over TCP and TLS: messages framed by Content-Length on connections that are reused (:rfc:`3261` §18)."""

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Callable

from sipstack.transport import Address, Receiver
from sipstack.transport.framing import Framing, FramingError
from sipstack.transport.route import route_to

log = logging.getLogger(__name__)

#: Connections held at once, ours and those made to us; the oldest idle one makes room.
CONNECTIONS = 512
#: Seconds to set up a connection, TLS handshake included.
CONNECT_TIMEOUT = 8.0
#: Seconds without a byte after which a connection made to us is closed; ours are kept open by SIP itself.
IDLE_TIMEOUT = 300.0
#: Of those, by one peer's address.
CONNECTIONS_OF_ONE = 32
#: Seconds between two pings on a connection of ours (:rfc:`5626` §4.4.1), which keep it open through a NAT and show
#: that it is; and the seconds to the pong, from a peer that has ever sent one.
PING, PONG = 60.0, 10.0
#: Bytes waiting to be sent to a peer that does not read, before it counts as dead.
SEND_BUFFER = 1024 * 1024


class StreamTransport:
    """All connections of one local address. ``tls`` and ``server_tls`` make it TLS: for ours, and for those to us.

    Connections are found by the peer's address; one that we make is asked for when there is something to send.
    """

    reliable = True

    def __init__(
        self,
        host: str,
        port: int,
        loop: asyncio.AbstractEventLoop,
        *,
        tls: ssl.SSLContext | None = None,
        server_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = "TLS" if tls is not None else "TCP"
        self.receiver: Receiver | None = None
        #: Called with the address of a peer that cannot be reached or whose connection broke.
        self.unreachable: Callable[[Address, StreamTransport], None] | None = None
        self.local_address: Address = (host, port)
        self._loop = loop
        self._tls = tls
        self._server_tls = server_tls
        self._server: asyncio.Server | None = None
        self._connections: dict[Address, _Connection] = {}
        self._names: dict[Address, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Accept connections. TLS without a certificate of our own only makes them.

        :raises OSError: the address cannot be bound.
        """
        if self._tls is not None and self._server_tls is None:
            return
        host, port = self.local_address
        self._server = await self._loop.create_server(
            lambda: _Connection(self, None), host, port, ssl=self._server_tls, backlog=128
        )
        self.local_address = (host, self._server.sockets[0].getsockname()[1])

    def expect(self, destination: Address, server_name: str) -> None:
        """Say which name the certificate of ``destination`` has to have."""
        if len(self._names) >= CONNECTIONS:
            self._names.clear()
        self._names[destination] = server_name

    def send(self, data: bytes, destination: Address) -> None:
        """Send on the connection to ``destination``, which is made if there is none."""
        connection = self._connections.get(destination)
        if connection is None:
            connection = _Connection(self, destination)
            self._hold(destination, connection)
            task = self._loop.create_task(self._connect(connection, destination))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        connection.write(data)

    def address_towards(self, destination: Address) -> Address:
        """Our address on the route to ``destination``."""
        host, port = self.local_address
        if not ipaddress.ip_address(host).is_unspecified:
            return host, port
        return route_to(destination), port

    def close(self) -> None:
        """Close all connections and stop accepting."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        for connection in list(self._connections.values()):
            connection.close()
        self._connections.clear()

    async def _connect(self, connection: "_Connection", destination: Address) -> None:
        host = self.local_address[0]
        local = None if ipaddress.ip_address(host).is_unspecified else (host, 0)
        name = self._names.get(destination, destination[0]) if self._tls else None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._loop.create_connection(
                    lambda: connection,
                    *destination,
                    ssl=self._tls,
                    server_hostname=name,
                    local_addr=local,
                )
        except (OSError, TimeoutError) as error:
            log.warning("no %s connection to %s: %s", self.name, destination[0], error or "timeout")
            self.lost(destination, connection)

    def _hold(self, peer: Address, connection: "_Connection") -> None:
        if len(self._connections) >= CONNECTIONS:
            oldest = min(self._connections, key=lambda a: self._connections[a].last_active)
            self._connections.pop(oldest).close()
        self._connections[peer] = connection

    def made(self, peer: Address, connection: "_Connection") -> None:
        """A connection is up; one that a peer made is found by its address from now on."""
        if sum(held[0] == peer[0] for held in self._connections) >= CONNECTIONS_OF_ONE:
            log.warning("%s has too many connections, one more is closed", peer[0])
            connection.abort()
            return
        if self._connections.get(peer) is not connection:
            self._hold(peer, connection)

    def lost(self, peer: Address, connection: "_Connection") -> None:
        """A connection broke or was never made."""
        if self._connections.get(peer) is connection:
            del self._connections[peer]
            if self.unreachable is not None:
                self.unreachable(peer, self)

    def received(self, message: bytes, peer: Address) -> None:
        """One framed message from a peer."""
        if self.receiver is not None:
            self.receiver(message, peer, self)


class _Connection(asyncio.Protocol):
    """One connection, ours (``peer`` given) or the peer's."""

    def __init__(self, owner: StreamTransport, peer: Address | None) -> None:
        self.last_active = owner._loop.time()
        self._owner = owner
        self._peer = peer
        self._ours = peer is not None
        self._framing = Framing()
        self._stream: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._idle: asyncio.TimerHandle | None = None
        self._pong_seen = False
        self._pong_wanted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._stream = transport
        transport.set_write_buffer_limits(high=SEND_BUFFER)
        if self._peer is None:
            name = transport.get_extra_info("peername")
            self._peer = (name[0], name[1])
        self._owner.made(self._peer, self)
        for octets in self._waiting:
            transport.write(octets)
        self._waiting.clear()
        if self._ours:
            self._idle = self._owner._loop.call_later(PING, self._ping)
        else:
            self._watch()

    def _ping(self) -> None:
        self._pong_wanted = True
        self.write(b"\r\n\r\n")
        self._idle = self._owner._loop.call_later(PONG, self._pinged)

    def _pinged(self) -> None:
        if self._pong_wanted and self._pong_seen:
            log.warning("%s does not answer on its connection any more", self._peer)
            self.abort()
        else:
            # A peer that never answers a ping does not know what it is.
            self._idle = self._owner._loop.call_later(PING - PONG, self._ping)

    def _watch(self) -> None:
        loop = self._owner._loop
        rest = self.last_active + IDLE_TIMEOUT - loop.time()
        if rest <= 0:
            self.close()
        else:
            self._idle = loop.call_later(rest, self._watch)

    def write(self, octets: bytes) -> None:
        """Send, or keep until the connection is up."""
        if self._stream is None:
            self._waiting.append(octets)
        else:
            self._stream.write(octets)

    def pause_writing(self) -> None:
        log.warning("%s does not read, connection closed", self._peer)
        self.abort()

    def data_received(self, data: bytes) -> None:
        self.last_active = self._owner._loop.time()
        assert self._peer is not None
        # Whatever comes shows that the other end is there; only a line end by itself is an answer to our ping.
        self._pong_wanted = False
        self._pong_seen = self._pong_seen or (self._ours and data == b"\r\n")
        try:
            for message in self._framing.feed(data):
                if message:
                    self._owner.received(message, self._peer)
                else:
                    self.write(b"\r\n")  # the pong of RFC 5626 §3.5.1
        except FramingError as error:
            log.warning("from %s: %s, connection closed", self._peer[0], error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._peer is not None:
            self._owner.lost(self._peer, self)

    def close(self) -> None:
        """Close after what is waiting has been sent."""
        if self._stream is not None:
            self._stream.close()

    def abort(self) -> None:
        """Close at once."""
        if self._stream is not None:
            self._stream.abort()
