"""The HTTP server: waitress, with every size, count and time of a client's bounded.

Waitress reads a request whole before one of its threads has to do with it, so a slow client holds no thread; what is
added here is that it does not hold its connection for ever either, and that one client does not hold all of them. And
the sockets are waited for in another way: waitress's own loop asks each connection at each turn what it waits for, and
is woken at the end of each request to do so; here a connection says that itself, to the kernel, whichever thread it is in.
"""

import contextlib
import copy
import errno
import json
import logging
import select
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from ipaddress import ip_address, ip_network
from typing import Any

import waitress.server
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import build_http_date

#: Connections at once, and from one address that is not a trusted proxy's.
MOST_CONNECTIONS = 500
MOST_OF_ONE = 100
#: The largest request that is read at all, in bytes; the API's own limit for a document is below it.
LARGEST_REQUEST = 256 * 1024
LARGEST_HEADER = 32 * 1024
#: Seconds that the head of a request may take, and that a connection may be idle; half a second of it when many are.
HEADER_TIME = 10.0
IDLE_TIME = 30.0
#: Bytes a second that a body has to come with, and an answer to be taken with.
SLOWEST = 8 * 1024
#: Bytes of an answer that is not through yet which are worth a packet: its head and its body mostly go together.
PACKET = 16 * 1024
#: Seconds for which nobody is accepted once there are no descriptors left.
PAUSE = 0.5

log = logging.getLogger(__name__)


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """Lets only uploads be large, and no request be for several hosts (:rfc:`9112` §3.2)."""

    adj: Any
    body_rcv: Any

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        # Several of a header come joined by commas. None at all does no harm: it is nobody's name.
        if "," in self.headers.get("HOST", ""):
            raise ParsingError("A request has one Host")
        if not self.adj.is_upload(self.path):
            self.adj = self.adj.of_documents

    def get_body_stream(self) -> Any:
        """The body as a file: what is one string already, as most are, goes through none of waitress's buffers."""
        body = self.body_rcv.getbuf() if self.body_rcv is not None else None
        return (
            super().get_body_stream()
            if body is None or body.buf is not None
            else BytesIO(body.strbuf)
        )


class _ErrorTask(ErrorTask):  # type: ignore[misc]
    """What waitress itself refuses, in the envelope of everything else."""

    def execute(self) -> None:
        error = self.request.error
        message = error.reason.lower().replace(" ", "_")
        body = json.dumps(
            {
                "data": {"message": error.reason},
                "status": "error",
                "error": str(error.code),
                "message": message,
                "request_id": "",
            }
        ).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [
            ("Content-Type", "application/json"),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Task(WSGITask):  # type: ignore[misc]
    """Answers a request: what is not long, with a head and a body that are made, and given to the channel, at once."""

    wrote_header: bool

    def write(self, data: bytes) -> None:
        length = self.content_length
        if (
            self.wrote_header
            or self.version != "1.1"
            or length is None
            or not 0 < len(data) <= min(length, PACKET)
            or not self.has_body
            or self.request.headers.get("CONNECTION", "").lower() == "close"
        ):
            super().write(data)
            return
        # What waitress makes of it too.
        lines = [f"HTTP/1.1 {self.status}", _date(int(self.start_time))]
        lines += [f"{_spelled(name)}: {value}" for name, value in self.response_headers]
        said = f"Content-Length: {length}"
        if said not in lines:
            lines.append(said)
        self.wrote_header = True
        self.content_bytes_written = len(data)
        self.channel.write_soon("\r\n".join([*lines, "\r\n"]).encode("latin-1") + data)


@lru_cache(256)
def _spelled(name: str) -> str:
    """A header's name as most write it."""
    return name.title()


@lru_cache(2)
def _date(moment: int) -> str:
    return f"Date: {build_http_date(moment)}"


class _Side:
    """The server as one connection has it: what would wake it up to look at all of them is for this one only."""

    def __init__(self, server: Any, look: Callable[[], None]) -> None:
        self.pull_trigger = look
        # What waitress asks for besides.
        self.adj, self.application, self.add_task = server.adj, server.application, server.add_task
        self.effective_port, self.server_name = server.effective_port, server.server_name
        self.active_channels = server.active_channels


class _Channel(HTTPChannel):  # type: ignore[misc]
    """One connection, which knows since when it has been waited for, and says what it waits for."""

    parser_class = _Parser
    task_class = _Task
    error_task_class = _ErrorTask

    def __init__(self, server: Any, sock: Any, addr: Any, adj: Any, map: Any = None) -> None:
        others = sum(1 for channel in server.active_channels.values() if channel.addr[0] == addr[0])
        super().__init__(server, sock, addr, adj, map=map)
        #: Since when a request is being read, an answer being taken; ``None`` where neither is.
        self.reading: float | None = None
        self.sending: float | None = None
        #: Bytes of answers that were taken since.
        self.taken = 0
        if others >= MOST_OF_ONE and not adj.is_proxy(addr[0]):
            self.will_close = True
        self._poll: select.epoll = adj.poll
        self._whole_server, self.server = server, _Side(server, self._look)
        self._poll.register(self._fileno, self._wanted())

    def del_channel(self, map: Any = None) -> None:
        super().del_channel(map)
        # Neither of the two would go without the cycle collector.
        self.server = self._whole_server

    def _wanted(self) -> int:
        """What is waited for, once; nothing while a request is being answered, unless there is much to send."""
        if self.requests and self.total_outbufs_len < self.adj.send_bytes and not self.will_close:
            return 0
        # Not EPOLLPRI, as waitress does: an urgent octet is never read, and would be told of for ever.
        reads = select.EPOLLIN if self.readable() else 0
        writes = select.EPOLLOUT if self.writable() else 0
        return (reads | writes) and reads | writes | select.EPOLLONESHOT

    def wait(self) -> None:
        """Have what happens next be told. From any thread."""
        wanted, descriptor = self._wanted(), self._fileno
        if wanted and descriptor is not None:
            # Closed meanwhile, by the server's thread. Should the number be another connection's by now, that one is told of
            # something that has not happened, which does no harm.
            with contextlib.suppress(OSError):
                self._poll.modify(descriptor, wanted)

    def _look(self) -> None:
        """Something is to be sent, or to be read again."""
        if self.total_outbufs_len:
            self._flush_exception(self._flush_some, do_close=False)
        self.wait()

    def _flush_some(self, do_close: bool = True) -> bool:
        # Of the thread that has just answered a request, and the one that hears that more can be sent. Neither closes: that
        # the other end is gone is told to the server's thread, and no other changes its lists of sockets under it.
        with self.outbuf_lock:
            if self._fileno is None:
                return False  # closed since it was decided to send
            before = self.total_outbufs_len
            sent = bool(super()._flush_some(do_close=False))
            self.taken += before - self.total_outbufs_len
            return sent

    def handle_close(self) -> None:
        # Whole, or not yet, for whoever is about to send.
        with self.outbuf_lock:
            super().handle_close()

    def received(self, data: bytes) -> bool:
        if self.reading is None:
            self.reading = time.time()
        done = bool(super().received(data))
        if self.request is None:
            self.reading = None
        return done

    def overdue(self, now: float, crowded: bool) -> bool:
        """Whether whoever is at the other end has taken too long."""
        unsent = self.total_outbufs_len
        if not unsent:
            self.sending = None
        elif self.sending is None:
            self.sending = now
            self.taken = 0
        if self.reading is not None:
            # A request before this one is still being answered: it is not the client that takes so long.
            if self.requests:
                self.reading = now
            request = self.request
            # In chunks nobody knows how long it gets.
            length = (
                max(request.content_length, request.body_bytes_received)
                if request is not None
                else 0
            )
            return now - self.reading > HEADER_TIME + length / SLOWEST
        if self.sending is not None:
            return bool(now - self.sending > HEADER_TIME + (self.taken + unsent) / SLOWEST)
        if self.requests:
            return False
        return now - float(self.last_activity) > (IDLE_TIME / 60 if crowded else IDLE_TIME)


class HttpServer:
    """Serves a WSGI application in threads.

    :param listen: ``HOST:PORT``
    :param max_upload: bytes of a request whose path is one of ``is_upload``
    :param proxies: addresses and networks of proxies, which bring many clients' connections
    :raises OSError: the address is taken
    """

    def __init__(
        self,
        app: Any,
        listen: str,
        threads: int,
        max_upload: int,
        is_upload: Callable[[str], bool],
        proxies: tuple[str, ...] = (),
    ) -> None:
        networks = [ip_network(proxy, strict=False) for proxy in (*proxies, "127.0.0.0/8", "::1")]

        def is_proxy(address: str) -> bool:
            try:
                read = ip_address(address.partition("%")[0])
            except ValueError:
                return False
            return any(read in network for network in networks)

        self._sockets: dict[int, Any] = {}
        self._server = waitress.server.create_server(
            app,
            map=self._sockets,
            listen=listen,
            threads=threads,
            ident=None,
            # Of a form around the file, too.
            max_request_body_size=max_upload + 64 * 1024,
            max_request_header_size=LARGEST_HEADER,
            connection_limit=MOST_CONNECTIONS,
            channel_timeout=120,
            clear_untrusted_proxy_headers=False,
        )
        #: Tells what happens at the sockets; at those of clients once, until they are waited for again.
        self._poll = select.epoll()
        adj = self._server.adj
        adj.poll = self._poll
        adj.send_bytes = PACKET
        adj.is_proxy = is_proxy
        adj.is_upload = is_upload
        adj.of_documents = copy.copy(adj)
        adj.of_documents.max_request_body_size = LARGEST_REQUEST
        self._listening = [
            one for one in self._sockets.values() if isinstance(one, waitress.server.BaseWSGIServer)
        ]
        for server in self._listening:
            server.channel_class = _Channel
            server.accept = self._accepting(server.accept)
        #: Which of them are waited for, and until when none is.
        self._open = set(self._listening)
        self._paused = 0.0
        for descriptor in self._sockets:
            self._poll.register(descriptor, select.EPOLLIN)
        host = listen.rpartition(":")[0]
        port = self._listening[0].effective_port
        self.url = f"http://{host}:{port}"
        # That a request waits for a thread is no news: how many do is among the metrics.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    @property
    def waiting(self) -> int:
        """Requests that no thread has taken yet."""
        return len(self._server.task_dispatcher.queue)

    @property
    def connections(self) -> int:
        """Connections there are."""
        return sum(len(server.active_channels) for server in self._listening)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Answer what has been asked, and let go of all sockets."""
        self._ends.set()
        for server in self._listening:
            server.pull_trigger()
        self._thread.join(timeout)

    def _serve(self) -> None:
        """Waitress's own loop, but one that ends: its sockets must not be closed under it by another thread."""
        swept = 0.0
        while not self._ends.is_set():
            # Somebody who connects wakes it, and whoever is too slow is looked for only where there is somebody.
            self._turn(0.2 if self.connections or len(self._open) < len(self._listening) else 5.0)
            now = time.time()
            if now - swept > 0.5:
                swept = now
                self._sweep(now)
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=2)
        # What the last requests have to say is still to be sent. Not by select: with the sockets of 170 calls, a new
        # connection's descriptor is beyond what it can do.
        wasyncore.loop(timeout=0.05, use_poll=True, map=self._sockets, count=4)
        wasyncore.close_all(map=self._sockets, ignore_all=True)
        self._poll.close()

    def _accepting(self, accept: Callable[[], Any]) -> Callable[[], Any]:
        """Accept a connection. Whoever cannot be, since there are no descriptors, still waits: not to be told of at once again."""

        def take() -> Any:
            try:
                return accept()
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
            now = time.monotonic()
            if now - self._paused > 60 or not self._paused:
                log.warning("no connection can be accepted: there are too many open files")
            self._paused = now + PAUSE
            return None

        return take

    def _turn(self, patience: float) -> None:
        """Do what has come, or comes within so many seconds."""
        paused = self._paused > time.monotonic()
        for server in self._listening:
            # Not while there are too many connections.
            accepts = server.readable() and not paused
            if accepts != (server in self._open):
                (self._open.add if accepts else self._open.discard)(server)
                self._poll.modify(server.socket.fileno(), select.EPOLLIN if accepts else 0)
        for descriptor, flags in self._poll.poll(patience):
            found = self._sockets.get(descriptor)
            if found is None:
                continue  # closed by what came before it
            wasyncore.readwrite(found, flags)
            if isinstance(found, _Channel):
                found.wait()

    def _sweep(self, now: float) -> None:
        """Let go of those who take too long; of the idle ones sooner when there is little room."""
        channels = [c for server in self._listening for c in server.active_channels.values()]
        crowded = len(channels) > MOST_CONNECTIONS * 3 // 4
        for channel in channels:
            if channel.overdue(now, crowded):
                # Not will_close: waitress looks at that when it can write, and whoever reads nothing never lets it.
                channel.handle_close()
