"""The media plane as its callers see it: legs with ports, and a relay behind them.

The methods of :class:`MediaLeg` put a command in the relay's queue and return at once; only opening sockets and reading
counters happen in the caller's thread.
"""

import errno
import itertools
import logging
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from random import Random, SystemRandom

from sipstack.media.ports import NoPortsLeft, PortPairs
from sipstack.media.relay import LegCounters, Line, Relay
from sipstack.media.tones import Tone
from sipstack.sdp import Codec, RemoteMedia

log = logging.getLogger(__name__)

#: Sockets bound in vain, because others hold the ports, before giving up.
BIND_ATTEMPTS = 64


class MediaLeg:
    """One leg's pair of ports. Made by :meth:`MediaPlane.open`."""

    def __init__(self, plane: "MediaPlane", number: int, address: str, line: Line) -> None:
        self.address = address
        self.rtp_port: int = line.guard.getsockname()[1]
        self.rtcp_port = self.rtp_port + 1
        self.number = number
        self._plane = plane
        self._line = line
        self._closed = False

    def set_remote(self, remote: RemoteMedia, local_codecs: tuple[Codec, ...]) -> None:
        """Take what the peer said of its stream, and the codecs with the numbers that we receive."""
        self._plane.tell(Relay.describe, self.number, remote, local_codecs)

    def bridge(self, other: "MediaLeg") -> None:
        """Pass on what either peer sends to the other, from now on."""
        self._plane.tell(Relay.bridge, self.number, other.number)

    def unbridge(self) -> None:
        """Stop passing anything on."""
        self._plane.tell(Relay.unbridge, self.number)

    def play(self, source: Tone | None, until_media: bool = False) -> None:
        """Play a tone to the peer instead of what the other leg sends; ``None`` ends it.

        With ``until_media`` the other leg's first packet ends it for good.
        """
        if source is not None:
            self._plane.teach(source)
        self._plane.tell(Relay.play, self.number, source, until_media)

    def counters(self) -> LegCounters:
        """The counters so far."""
        return self._line.counters()

    def close(self) -> LegCounters:
        """Stop, and give the ports back. May be called again."""
        if not self._closed:
            self._closed = True
            self._plane.release(self)
        return self.counters()


class MediaPlane:
    """All legs of one process: their ports, and the thread that relays. ``ports`` are the first and last to use."""

    def __init__(
        self,
        ports: tuple[int, int],
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
    ) -> None:
        self._clock = clock
        self._rng = rng or SystemRandom()
        self._pairs = PortPairs(*ports)
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._taught: set[Tone] = set()
        self._commands: deque[Callable[[], object]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._relay = Relay(self._epoll, clock)
        self._relay.attend(self._wake, self._obey)
        self._running = False
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    @property
    def capacity(self) -> int:
        """Legs that there are ports for."""
        return self._pairs.capacity

    @property
    def ports_in_use(self) -> int:
        """Port pairs that are given out."""
        return self._pairs.in_use

    def start(self) -> None:
        """Start the relay's thread."""
        self._running = True
        self._thread.start()

    def close(self) -> None:
        """End the thread and close all sockets."""
        if self._thread.is_alive():
            self._command(self._stop)
            self._thread.join(5.0)
        self._relay.close()
        self._epoll.close()
        os.close(self._wake)

    def open(self, address: str, known: Collection[str] = ()) -> MediaLeg:
        """A new leg, its ports bound on the local IP literal ``address``.

        ``known`` are the hosts that the peer's signalling is exchanged with, as IP literals: where its media is said
        to be there too, no NAT is reckoned with.

        :raises NoPortsLeft: no pair is free.
        :raises OSError: the address is not ours.
        """
        for _ in range(BIND_ATTEMPTS):
            now = self._clock()
            with self._lock:
                port = self._pairs.take(now)
            try:
                rtp, rtcp = _bind(address, port)
            except OSError as error:
                with self._lock:
                    self._pairs.give_back(port, now)
                if isinstance(error, _Taken):
                    continue
                raise
            line = Line(rtp, rtcp, self._rng.getrandbits(32), known)
            leg = MediaLeg(self, next(self._numbers), address, line)
            self.tell(Relay.add, leg.number, line)
            return leg
        raise NoPortsLeft("the RTP ports are held by other programs")

    def teach(self, tone: Tone) -> None:
        """Let the relay know a tone; made here, for the relay has no time for it."""
        if tone not in self._taught:
            self._taught.add(tone)
            self.tell(Relay.learn, tone, {name: tone.frames(name) for name in ("PCMU", "PCMA")})

    def tell(self, method: Callable[..., object], *arguments: object) -> None:
        """Have the relay's thread do it, in the order given."""
        self._command(partial(method, self._relay, *arguments))

    def release(self, leg: MediaLeg) -> None:
        """Close a leg's sockets and give its ports back."""

        def release() -> None:
            self._relay.remove(leg.number)
            with self._lock:
                self._pairs.give_back(leg.rtp_port, self._clock())

        self._command(release)

    def _command(self, work: Callable[[], object]) -> None:
        self._commands.append(work)
        os.eventfd_write(self._wake, 1)

    # --- in the relay's thread

    def _run(self) -> None:
        while self._running:
            self._relay.turn()

    def _stop(self) -> None:
        self._running = False

    def _obey(self) -> None:
        os.eventfd_read(self._wake)
        while self._commands:
            work = self._commands.popleft()
            try:
                work()
            except Exception:
                # One leg's fault must not silence all the others.
                log.exception("the relay could not do what it was told")


class _Taken(OSError):
    """The port is another program's."""


def _bind(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sockets: list[socket.socket] = []
    try:
        for number in (port, port + 1):
            fresh = socket.socket(family, socket.SOCK_DGRAM)
            sockets.append(fresh)
            fresh.setblocking(False)
            try:
                fresh.bind((address, number))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise _Taken(*error.args) from error
                raise
    except OSError:
        for fresh in sockets:
            fresh.close()
        raise
    return sockets[0], sockets[1]
