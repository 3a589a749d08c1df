"""SIP over TCP and TLS: messages framed by Content-Length on connections that are reused (:rfc:`3261` §18)."""

import asyncio
import logging
import os
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from sipstack.transport import Address, Receiver
from sipstack.transport.framing import Framing, FramingError
from sipstack.transport.quota import Quota, network_of
from sipstack.transport.route import Routes

log = logging.getLogger(__name__)

#: Connections held at once, of those that we make, and of those made to us; the one that was idle longest makes room.
CONNECTIONS = 512
#: Of those made to us, by one peer (of IPv6, by one network of 64 bits).
CONNECTIONS_OF_ONE = 32
#: Seconds to set up a connection, TLS handshake included.
CONNECT_TIMEOUT = 8.0
#: Seconds without a byte after which a connection made to us is closed; ours are kept open by pings.
IDLE_TIMEOUT = 300.0
#: Seconds between two pings on a connection of ours (:rfc:`5626` §4.4.1), which keep it open through a NAT and show
#: that it is; and the seconds to the pong, from a peer that has ever sent one.
PING, PONG = 60.0, 10.0
#: Seconds that what was sent may go without an acknowledgement of TCP's, as on a path that does not exist any more.
STALLED = 20
#: Seconds from the answer to what cannot be read until the connection is closed.
LAST_WORDS = 1.0
#: Bytes waiting to be sent to a peer that does not read, before it counts as dead.
SEND_BUFFER = 1024 * 1024
#: Bytes without a word from the other end that are written again on a new connection, where theirs has broken.
UNHEARD = 128 * 1024
#: Seconds in which that is done: less than a transaction lasts, or an INVITE would ring for nobody.
WAITED_FOR = 25.0
#: What is written and has no answer: pings, responses, and the one request without.
_UNANSWERED = (b"\r\n", b"SIP/2.0", b"ACK ")
#: The port that we name before there is a connection, where nothing listens: it has to be some port.
UNHEARD_PORT = 5061
#: Seconds until connections are accepted again when there are no file descriptors left.
EXHAUSTED = 1.0
#: Lines of the log about one peer: a second, and at once.
LINES = (1 / 60, 5.0)


class StreamTransport:
    """All connections of one local address. ``tls`` and ``server_tls`` make it TLS: for ours, and for those to us.

    Connections are found by the peer's address; one that we make is asked for when there is something to send. Over
    TLS, requests go only by connections that we made, and whose certificate has the name of the server that was asked
    for: neither a peer that connected to us from that address, nor the certificate of another name that leads there,
    will do. ``tls_by_name`` has contexts of their own for some names.
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
        tls_by_name: Mapping[str, ssl.SSLContext] | None = None,
    ) -> None:
        self.name = "TLS" if tls is not None else "TCP"
        self.receiver: Receiver | None = None
        #: Called with the address and server name of a peer that cannot be reached or whose connection broke, and why.
        self.unreachable: Callable[[Address, str, str, StreamTransport], None] | None = None
        #: Called with those where what had got no answer on a connection goes by a new one.
        self.broken: Callable[[Address, str, StreamTransport], None] | None = None
        self.local_address: Address = (host, port)
        self._loop = loop
        self._tls = tls
        self._server_tls = server_tls
        self._tls_by_name = dict(tls_by_name or {})
        self._routes = Routes(host, loop.time)
        #: Those that we made, by address and, over TLS, verified name; and those that were made to us.
        self._ours: dict[tuple[Address, str], _Connection] = {}
        self._guests: dict[Address, _Connection] = {}
        #: Those made to us by where they come from, from the first moment on: a TLS handshake takes its time.
        self._guests_of: Counter[str] = Counter()
        self._told = Quota(*LINES)
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Accept connections. TLS without a certificate of our own only makes them.

        :raises OSError: the address cannot be bound.
        """
        if self._tls is not None and self._server_tls is None:
            return
        host, port = self.local_address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((host, port))
            listening.listen(128)
        except OSError:
            listening.close()
            raise
        self.local_address = (host, listening.getsockname()[1])
        accepting = self._spawn(self._accept(listening))
        # Not before the loop has let go of it.
        accepting.add_done_callback(lambda _: listening.close())

    def send(self, data: bytes, destination: Address, server_name: str = "") -> None:
        """Send on the connection to ``destination``, which is made if there is none.

        A ``server_name`` is that of a request's server; an answer has none, and goes back on whatever it can.
        """
        self.connect(destination, server_name).write(data)

    def connect(
        self, destination: Address, server_name: str = "", within: float = CONNECT_TIMEOUT
    ) -> "_Connection":
        """The connection to ``destination``; a new one is given up after ``within`` seconds."""
        way = (destination, server_name if self._tls is not None else "")
        connection = self._ours.get(way)
        if connection is not None and self._has_moved(connection):
            log.info("%s: our address is another one now, connection closed", destination[0])
            self.forget(connection)
            connection.abort()
            connection = None
        if connection is None and not way[1]:
            connection = self._guests.get(destination) or self._any_of_ours(destination)
        if connection is None:
            connection = _Connection(self, way)
            if len(self._ours) >= CONNECTIONS:
                _close_oldest(self._ours)
            self._ours[way] = connection
            self._spawn(self._make(connection, way, within))
        return connection

    def _has_moved(self, connection: "_Connection") -> bool:
        """Whether a connection of ours is from an address that we would not reach its peer from any more."""
        try:
            return connection.local_host not in ("", self._routes.towards(connection.way[0]))
        except OSError:
            return False  # no way at all: that one is as good as any

    def _any_of_ours(self, destination: Address) -> "_Connection | None":
        return next((held for (peer, _), held in self._ours.items() if peer == destination), None)

    def address_towards(self, destination: Address) -> Address:
        """Our address on the route to ``destination``.

        Where nothing listens, the port is that of our connection to it, by which alone we can be reached.
        """
        port = self.local_address[1]
        if not port:
            connection = self._any_of_ours(destination)
            port = (connection and connection.local_port) or UNHEARD_PORT
        return self._routes.towards(destination), port

    def close(self) -> None:
        """Close all connections and stop accepting."""
        for task in self._tasks:
            task.cancel()
        for connection in (*self._ours.values(), *self._guests.values()):
            connection.close()
        self._ours.clear()
        self._guests.clear()

    # --- making connections, and taking them

    async def _make(
        self, connection: "_Connection", way: tuple[Address, str], within: float
    ) -> None:
        destination, name = way
        context = self._tls_by_name.get(name, self._tls)
        try:
            local = self._routes.towards(destination)
            async with asyncio.timeout(within):
                await self._loop.create_connection(
                    lambda: connection,
                    *destination,
                    ssl=context,
                    server_hostname=None if context is None else name or destination[0],
                    local_addr=(local, 0),
                )
        except (
            OSError,
            TimeoutError,
            ValueError,
        ) as error:  # ValueError: no name for a certificate
            why = why_not(error)
            log.warning("no %s connection to %s: %s", self.name, destination[0], why)
            self.lost(connection, why)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                accepted, peer = await self._loop.sock_accept(listening)
            except ConnectionError:
                continue  # gone before we looked
            except OSError as error:
                log.error("no connection can be taken: %s", error)
                await asyncio.sleep(EXHAUSTED)
                continue
            host = network_of(peer[0])
            if self._guests_of[host] >= CONNECTIONS_OF_ONE:
                self.tell_of(peer, "%s has too many connections, one more is closed", peer[0])
                accepted.close()
            elif self._guests_of.total() >= CONNECTIONS and not _close_oldest(self._guests):
                accepted.close()
            else:
                accepted.setblocking(False)
                # Now, as the next one may have to be judged before this one's task begins.
                self._guests_of[host] += 1
                self._spawn(self._take(accepted, host))

    async def _take(self, accepted: socket.socket, host: str) -> None:
        """One connection made to us, from its handshake to its end."""
        connection = _Connection(self, None)
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._server_tls,
                ssl_handshake_timeout=CONNECT_TIMEOUT if self._server_tls is not None else None,
            )
            await connection.gone
        except OSError as error:
            log.debug("no handshake with %s: %s", host, error)
        finally:
            self._guests_of[host] -= 1
            if not self._guests_of[host]:
                del self._guests_of[host]

    def tell_of(self, peer: Address, text: str, *args: object) -> None:
        """Log what a stranger does, but seldom: who does nothing but connect must not fill the disk."""
        if self._told.takes(peer[0], 0, self._loop.time()):
            log.warning(text, *args)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- what connections say

    def taken(self, peer: Address, connection: "_Connection") -> None:
        """A connection that ``peer`` made is up, and is found by its address from now on."""
        self._guests[peer] = connection

    def lost(self, connection: "_Connection", why: str = "the connection broke") -> None:
        """A connection broke or was never made; nothing if it was given up by ourselves.

        Requests since the other end last said something may have come to nobody: a server that was started anew says so
        by a reset, when we send. They go by a new connection once, where who got them knows them by their branches.
        """
        if not self.forget(connection):
            return
        unheard = connection.unheard(self._loop.time())
        if unheard:
            log.info("the connection to %s broke: a new one is made", connection.way[0][0])
            self.connect(*connection.way).write(unheard)
            if self.broken is not None:
                self.broken(*connection.way, self)
        elif self.unreachable is not None:
            self.unreachable(*connection.way, why, self)

    def forget(self, connection: "_Connection") -> bool:
        """Do not find ``connection`` any more; whether it was found until now."""
        if self._ours.get(connection.way) is connection:
            del self._ours[connection.way]
            return True
        if self._guests.get(connection.way[0]) is connection:
            del self._guests[connection.way[0]]
            return True
        return False

    def received(self, message: bytes, peer: Address) -> None:
        """One framed message from a peer."""
        if self.receiver is not None:
            self.receiver(message, peer, self)


class _Connection(asyncio.Protocol):
    """One connection, ours (the ``way`` given) or the peer's."""

    def __init__(self, owner: StreamTransport, way: tuple[Address, str] | None) -> None:
        self.last_active = owner._loop.time()
        #: The peer's address, and the name that its certificate had to have.
        self.way: tuple[Address, str] = way or (("", 0), "")
        #: Requests since the other end last said something, and when; not what made the connection necessary.
        self._unheard: list[tuple[float, bytes]] = []
        self._room = UNHEARD
        #: Set when it is over.
        self.gone: asyncio.Future[None] = owner._loop.create_future()
        self._owner = owner
        self._ours = way is not None
        self._framing = Framing()
        self._stream: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._idle: asyncio.TimerHandle | None = None
        self._pong_seen = False
        self._pong_wanted = False
        self._given_up = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._stream = transport
        if self._given_up:
            transport.abort()
            return
        transport.set_write_buffer_limits(high=SEND_BUFFER)
        _give_up_when_stalled(transport.get_extra_info("socket"))
        for octets in self._waiting:
            transport.write(octets)
        self._waiting.clear()
        if self._ours:
            self._idle = self._owner._loop.call_later(PING, self._ping)
            return
        name = transport.get_extra_info("peername")
        if name is None:  # gone before it was up
            transport.abort()
            return
        self.way = (name[0], name[1]), ""
        self._owner.taken(self.way[0], self)
        self._watch()

    def _ping(self) -> None:
        self._pong_wanted = True
        self.write(b"\r\n\r\n")
        self._idle = self._owner._loop.call_later(PONG, self._pinged)

    def _pinged(self) -> None:
        if self._pong_wanted and self._pong_seen:
            log.warning("%s does not answer on its connection any more", self.way[0])
            self.abort()
        else:
            # A peer that never answers a ping does not know what it is.
            self._idle = self._owner._loop.call_later(PING - PONG, self._ping)

    def _watch(self) -> None:
        loop = self._owner._loop
        rest = self.last_active + IDLE_TIMEOUT - loop.time()
        if rest <= 0:
            self._owner.forget(self)
            self.abort()
        else:
            self._idle = loop.call_later(rest, self._watch)

    @property
    def local_host(self) -> str:
        """Our address; empty as long as the connection is not up."""
        name = self._stream.get_extra_info("sockname") if self._stream is not None else None
        return str(name[0]) if name else ""

    @property
    def local_port(self) -> int:
        """Our port; 0 as long as the connection is not up."""
        name = self._stream.get_extra_info("sockname") if self._stream is not None else None
        return int(name[1]) if name else 0

    def write(self, octets: bytes) -> None:
        """Send, or keep until the connection is up."""
        if self._stream is None:
            self._waiting.append(octets)
        else:
            self._stream.write(octets)
            if self._ours and not octets.startswith(_UNANSWERED):
                if not self._unheard or self._room < len(octets):
                    self._unheard.clear()
                    self._room = UNHEARD
                self._unheard.append((self._owner._loop.time(), octets))
                self._room -= len(octets)

    def unheard(self, now: float) -> bytes:
        """The requests of which the other end has said nothing yet, and that are still waited for."""
        return b"".join(octets for written, octets in self._unheard if now - written < WAITED_FOR)

    def pause_writing(self) -> None:
        self._owner.tell_of(self.way[0], "%s does not read, connection closed", self.way[0])
        self.abort()

    def data_received(self, data: bytes) -> None:
        if self._given_up:
            return
        self.last_active = self._owner._loop.time()
        self._unheard.clear()
        # Whatever comes shows that the other end is there; only a line end by itself is an answer to our ping.
        self._pong_wanted = False
        self._pong_seen = self._pong_seen or (self._ours and data == b"\r\n")
        try:
            for message in self._framing.feed(data):
                if message:
                    self._owner.received(message, self.way[0])
                else:
                    self.write(b"\r\n")  # the pong of RFC 5626 §3.5.1
        except FramingError as error:
            peer = self.way[0]
            self._owner.tell_of(peer, "from %s: %s, connection closed", peer[0], error)
            self._give_up(error.head)

    def _give_up(self, head: bytes) -> None:
        """Nothing that comes can be read any more: say so to who sent ``head``, and close.

        What comes until then is thrown away. Left unread, it would take the answer with it.
        """
        self._given_up = True
        if not head:
            self.abort()
            return
        self._owner.received(head, self.way[0])
        self._owner.lost(self, "what came cannot be read")
        self._owner._loop.call_later(LAST_WORDS, self.abort)
        if self._stream is not None and self._stream.can_write_eof():
            self._stream.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if not self.gone.done():
            self.gone.set_result(None)
        self._owner.lost(self)

    def close(self) -> None:
        """Close after what is waiting has been sent."""
        self._given_up = True
        if self._stream is not None:
            self._stream.close()

    def abort(self) -> None:
        """Close at once."""
        self._given_up = True
        if self._stream is not None:
            self._stream.abort()


def why_not(error: Exception) -> str:
    """Why a connection could not be made, in the words of whoever would mend it."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate was not accepted: {error.verify_message}".rstrip(".")
        case ssl.SSLError():
            return f"no TLS: {error.reason or error}"
        case ConnectionRefusedError():
            return "connection refused"
        case TimeoutError():
            return f"no connection within {CONNECT_TIMEOUT:.0f} s"
        case OSError() if error.errno:
            return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _give_up_when_stalled(connected: socket.socket | None) -> None:
    """Have the kernel end a connection whose other end is gone without a word, where it knows how."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if connected is not None and option is not None:
        connected.setsockopt(socket.IPPROTO_TCP, option, 1000 * STALLED)


def _close_oldest(held: dict[Any, _Connection]) -> bool:
    """Close the connection that was idle longest; False if there is none."""
    if not held:
        return False
    oldest = min(held, key=lambda way: held[way].last_active)
    held.pop(oldest).abort()
    return True
