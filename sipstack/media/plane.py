"""The media plane as its callers see it: legs with ports, and one relay or several behind them.

The relay runs in a thread of this process, or in processes of its own: either way the methods of :class:`MediaLeg` give
it a command and return at once, and only opening sockets happens here.
"""

import errno
import itertools
import logging
import os
import select
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random
from socket import SocketType
from typing import TYPE_CHECKING, Protocol

from sipstack.entropy import Entropy
from sipstack.literal import canonical
from sipstack.media.line import LegCounters, Line
from sipstack.media.ports import NoPortsLeft, PortPairs
from sipstack.media.relay import Relay
from sipstack.media.tones import Source
from sipstack.scheduling import come_first, interrupt, much_in_calls
from sipstack.sdp import Codec, RemoteMedia
from sipstack.transport import Address

if TYPE_CHECKING:
    from sipstack.media.worker import Worker

log = logging.getLogger(__name__)

#: Sockets bound in vain, because others hold the ports, before giving up.
BIND_ATTEMPTS = 64

#: Is given a packet of the peer's audio: timestamp, payload, encoding, time.
Tap = Callable[[int, bytes, str, float], None]
#: Is given how a packet begins: time, source, destination, the first octets, the length of all of it.
Witness = Callable[[float, Address, Address, bytes, int], None]


class MediaLeg:
    """One leg's pair of ports. Made by :meth:`MediaPlane.open`.

    ``on_key`` and ``on_lost`` are called in a thread of the media plane's: a key that the peer pressed, and that the
    relay of this leg has died, after which nothing goes through any more.
    """

    def __init__(
        self,
        plane: "MediaPlane",
        relay: "_Driver",
        number: int,
        address: str,
        port: int,
        announced: str,
    ) -> None:
        self.address = address
        #: What peers are told instead, behind a NAT.
        self.announced = announced or address
        self.rtp_port = port
        self.rtcp_port = port + 1
        self.on_key: Callable[[str], object] = lambda key: None
        self.on_lost: Callable[[], object] = lambda: None
        self._plane = plane
        self._relay = relay
        self._number = number
        self._tap: Tap | None = None
        self._witness: Witness | None = None
        self._final: LegCounters | None = None

    def set_remote(self, remote: RemoteMedia, local_codecs: tuple[Codec, ...]) -> None:
        """Take what the peer said of its stream, the keys that were agreed on with it, and the codecs with the numbers that we
        receive.

        A peer that says it is at a port of ours is sent nothing.
        """
        if self._plane.names_us(self._number, remote.address, remote.port):
            # Of two that do, a packet would go from one to the other and back as fast as we can send.
            log.warning("the peer of RTP port %d says that it is where we are", self.rtp_port)
            remote = remote._replace(port=0)
        self._relay.tell("describe", self._number, remote, local_codecs)

    def bridge(self, other: "MediaLeg") -> None:
        """Pass on what either peer sends to the other, from now on. Both must be of one call, see ``beside``."""
        if other._relay is not self._relay:
            raise ValueError("legs of different relays")
        self._relay.tell("bridge", self._number, other._number)

    def unbridge(self) -> None:
        """Stop passing anything on."""
        self._relay.tell("unbridge", self._number)

    def play(self, source: Source | None, until_media: bool = False) -> None:
        """Play to the peer instead of what the other leg sends; ``None`` ends it.

        With ``until_media`` the other leg's first packet ends it for good.
        """
        cue = self._plane.teach(self._relay, source) if source is not None else None
        self._relay.tell("play", self._number, cue, until_media)

    def press(self, keys: str) -> None:
        """Send keys to the peer as telephone events, if it takes them."""
        self._relay.tell("press", self._number, keys)

    def echo(self) -> None:
        """Send back to the peer what it sends, until :meth:`unbridge`."""
        self._relay.tell("bridge", self._number, self._number)

    def lose(self, share: float) -> None:
        """Drop this share of the packets to and from the peer, 0 to 1, as a bad network would: for tests of others."""
        self._relay.tell("lose", self._number, share)

    def tap(self, tap: Tap | None) -> None:
        """Give all of the peer's audio to ``tap``, in a thread of the media plane's; ``None``: no more."""
        self._tap = tap
        self._relay.tell("tap", self._number, tap is not None)

    def watch(self, most: int, witness: Witness) -> None:
        """Give the heads of the next so many RTP packets either way to ``witness``, in a thread of the media plane's."""
        self._witness = witness
        self._relay.tell("watch", self._number, most)

    def counters(self) -> LegCounters:
        """The counters so far; those of a relay in another process are up to two seconds old."""
        if self._final is not None:
            return self._final
        found = self._relay.counters(self._number)
        # In this order: what was closed meanwhile in another thread has its last ones.
        return self._final or found

    @property
    def last_received(self) -> float | None:
        """When the peer was last heard: that one of the counters, which costs nothing to be looked at."""
        if self._final is not None:
            return self._final.last_received
        return self._relay.last_received(self._number)

    def close(self) -> LegCounters:
        """Stop, and give the ports back. May be called again."""
        if self._final is None:
            self._final = self._relay.remove(self._number)
            # Only now, for other threads may be asking for its counters.
            self._relay.drop(self._number)
            self._plane.closed(self, self._number, self._final)
        return self._final


#: What of the counters is added up over all legs.
ADDED_UP = (
    *("packets_received", "bytes_received", "packets_sent", "bytes_sent"),
    *("lost", "late", "duplicate", "rejected", "unauthenticated"),
)


@dataclass(frozen=True, slots=True)
class Cue:
    """What a relay knows a source by: minutes of audio are not sent to it each time that they are to be played."""

    number: int
    repeats: bool


class _Driver(Protocol):
    """A relay, wherever it runs; ``alive`` says whether it takes lines now."""

    @property
    def alive(self) -> bool: ...
    def start(self) -> None: ...
    def wait(self) -> None: ...
    def close(self) -> None: ...
    def add(
        self,
        number: int,
        guard: SocketType,
        rtcp: SocketType,
        own: str,
        known: Collection[str],
    ) -> None: ...
    def tell(self, name: str, *arguments: object) -> None: ...
    def counters(self, number: int) -> LegCounters: ...
    def last_received(self, number: int) -> float | None: ...
    def remove(self, number: int) -> LegCounters: ...
    def drop(self, number: int) -> None: ...


class _Thread:
    """A relay in a thread of this process."""

    alive = True

    def __init__(self, listener: "MediaPlane", rng: Random, first: bool) -> None:
        self._rng = rng
        self._first = first
        self._commands: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        #: Whether the relay has been woken for what is in there.
        self._woken = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._relay = Relay(self._epoll, listener)
        self._relay.attend(self._wake, self._awake)
        self._lines: dict[int, Line] = {}
        self._running = True
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self) -> None:
        """It takes commands from the first moment on."""

    def close(self) -> None:
        if self._thread.is_alive():
            self._running = False
            os.eventfd_write(self._wake, 1)
            self._thread.join(5.0)
        self._relay.close()
        self._epoll.close()
        os.close(self._wake)

    def add(
        self,
        number: int,
        guard: SocketType,
        rtcp: SocketType,
        own: str,
        known: Collection[str],
    ) -> None:
        line = Line(number, guard, rtcp, own, known=known, now=time.monotonic(), rng=self._rng)
        self._lines[number] = line
        self.tell("add", line)

    def counters(self, number: int) -> LegCounters:
        line = self._lines.get(number)  # none where it is just being removed
        return line.counters() if line is not None else LegCounters()

    def last_received(self, number: int) -> float | None:
        line = self._lines.get(number)
        return (line.last_received or None) if line is not None else None

    def remove(self, number: int) -> LegCounters:
        self.tell("end", number)
        return self._lines[number].counters()

    def drop(self, number: int) -> None:
        del self._lines[number]

    def tell(self, name: str, *arguments: object) -> None:
        """Do something at the relay: here and now if its thread waits for packets, for waking that costs more than most
        of what there is to do; else the thread does it, after what came before."""
        work = getattr(self._relay, name)
        hands = self._relay.hands
        if hands.acquire(blocking=False):
            try:
                if self._commands:
                    self._obey()
                self._do(work, arguments)
                late = self._relay.oversleeps
            finally:
                hands.release()
            if not late:
                return
        else:
            self._commands.append((work, arguments))
        if not self._woken:
            # Once for all that it has not looked at yet.
            self._woken = True
            os.eventfd_write(self._wake, 1)

    # --- in the relay's thread

    def _run(self) -> None:
        much_in_calls()
        interrupt()
        if self._first:
            come_first()
        self._relay.run(lambda: self._running)

    def _awake(self) -> None:
        os.eventfd_read(self._wake)
        # Before looking: who adds something from here on has it seen, or wakes the relay again.
        self._woken = False
        self._obey()

    # --- for who has the relay's hands

    def _obey(self) -> None:
        while self._commands:
            self._do(*self._commands.popleft())

    @staticmethod
    def _do(work: Callable[..., object], arguments: tuple[object, ...]) -> None:
        try:
            work(*arguments)
        except Exception:
            # One leg's fault must not silence all the others.
            log.exception("the relay could not do what it was told")


class MediaPlane:
    """All legs of one service. ``ports`` are the first and last to use.

    With ``workers`` there are so many relay processes, each of which is started again if it dies; with none the relay is
    a thread of this process. Where ``first``, relays are scheduled before all else if the system allows it.
    """

    def __init__(
        self,
        ports: tuple[int, int],
        workers: int = 0,
        rng: Random | None = None,
        first: bool = False,
    ) -> None:
        self._pairs = PortPairs(*ports)
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._legs: dict[int, MediaLeg] = {}
        self._by_port: dict[int, MediaLeg] = {}
        #: Where the peer of each leg says that it is, the even port of its pair, and how many say so of a place.
        self._named: dict[int, Address] = {}
        self._claims: Counter[Address] = Counter()
        #: The figures of all legs that are closed, and what was told last of those and the others.
        self._past: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._relays: list[_Driver]
        if workers:
            # Only here: multiprocessing takes memory, also of who has no use for it.
            from sipstack.media.worker import Worker

            self._relays = [
                Worker(self._heard, self._died, f"relay {n + 1}", first) for n in range(workers)
            ]
        else:
            self._relays = [_Thread(self, rng or Entropy(), first)]
        self._cues: dict[Source, Cue] = {}
        #: The legs of each relay, and the sources that it has been taught.
        self._load = dict.fromkeys(self._relays, 0)
        self._taught: dict[_Driver, set[Cue]] = {relay: set() for relay in self._relays}

    @property
    def capacity(self) -> int:
        """Legs that there are ports for."""
        return self._pairs.capacity

    @property
    def ports_in_use(self) -> int:
        """Port pairs that are given out."""
        return self._pairs.in_use

    def totals(self) -> dict[str, int]:
        """What went through all legs so far, by the names of :data:`ADDED_UP`; from any thread.

        None of it is ever less than before: what a relay that died had counted is only missing from what comes.
        """
        with self._lock:
            seen, legs = self._past.copy(), list(self._legs.values())
        for leg in legs:
            # One that is closed meanwhile has its last figures, and is not among the past ones here.
            self._add_up(seen, leg.counters())
        with self._lock:
            self._told |= seen
            return {name: self._told[name] for name in ADDED_UP}

    @staticmethod
    def _add_up(figures: Counter[str], counters: LegCounters) -> None:
        for name in ADDED_UP:
            figures[name] += getattr(counters, name)

    def start(self) -> None:
        """Start the relays, and wait until they are there."""
        for relay in self._relays:
            relay.start()
        for relay in self._relays:
            relay.wait()

    def close(self) -> None:
        """End the relays and close all sockets."""
        for relay in self._relays:
            relay.close()

    def open(
        self,
        address: str,
        known: Collection[str] = (),
        beside: MediaLeg | None = None,
        announced: str = "",
    ) -> MediaLeg:
        """A new leg, its ports bound on the local IP literal ``address``.

        ``known`` are the hosts that the peer's signalling is exchanged with, as IP literals: where its media is said
        to be there too, no NAT is reckoned with. ``beside`` is a leg that it may be bridged with. ``announced`` is the
        address that the peer will be told, if that is another.

        :raises NoPortsLeft: no pair is free.
        :raises OSError: the address is not ours, or the relay is not there.
        """
        for _ in range(BIND_ATTEMPTS):
            with self._lock:
                port = self._pairs.take()
                claims = self._claims
                is_claimed = (address, port) in claims or (announced, port) in claims
            try:
                if is_claimed:
                    raise _Taken(errno.EADDRINUSE, "a peer says that it has this port")
                rtp, rtcp = _bind(address, port)
            except OSError as error:
                with self._lock:
                    self._pairs.give_back(port)
                if isinstance(error, _Taken):
                    continue
                raise
            return self._place(address, port, announced, rtp, rtcp, known, beside)
        raise NoPortsLeft("the RTP ports are held by other programs")

    def _place(
        self,
        address: str,
        port: int,
        announced: str,
        rtp: SocketType,
        rtcp: SocketType,
        known: Collection[str],
        beside: MediaLeg | None,
    ) -> MediaLeg:
        with self._lock:
            relay = beside._relay if beside is not None else self._least_loaded()
            number = next(self._numbers)
            leg = MediaLeg(self, relay, number, address, port, announced)
            self._legs[number] = self._by_port[port] = leg
            self._load[relay] += 1
        try:
            relay.add(number, rtp, rtcp, address, known)
        except OSError:
            rtp.close()
            rtcp.close()
            self.closed(leg, number, LegCounters())
            raise
        return leg

    def _least_loaded(self) -> "_Driver":
        return min(self._relays, key=lambda relay: (not relay.alive, self._load[relay]))

    def teach(self, relay: _Driver, source: Source) -> Cue:
        """Let a relay know a source; its frames are made here, for the relay has no time for it."""
        with self._lock:
            cue = self._cues.get(source)
            if cue is None:
                cue = self._cues[source] = Cue(next(self._numbers), source.repeats)
            known = self._taught[relay]
            if cue in known:
                return cue
            if relay.alive:  # else it is told in vain
                known.add(cue)
        frames = {name: source.frames(name) for name in ("PCMU", "PCMA")}
        relay.tell("learn", cue, frames)
        return cue

    def prepare(self, source: Source) -> None:
        """Have what is to be played soon made now: it takes a moment that a call may not have."""
        for relay in self._relays:
            self.teach(relay, source)

    def forget(self, source: Source) -> None:
        """Give the memory back that a source takes, which is not to be played for now. Where it is, it goes on."""
        with self._lock:
            cue = self._cues.pop(source, None)
            knowing = [relay for relay, known in self._taught.items() if cue in known]
            for relay in knowing:
                self._taught[relay] -= {cue}
        for relay in knowing:
            relay.tell("forget", cue)

    def names_us(self, number: int, host: str, port: int) -> bool:
        """Whether the place that a leg's peer says it is at is a port of ours; else nobody is given it meanwhile."""
        host = canonical(host)
        port &= ~1
        with self._lock:
            self._unname(number)
            own = self._by_port.get(port)
            if own is not None and host in (own.address, own.announced):
                return True
            if number in self._legs:
                self._named[number] = host, port
                self._claims[host, port] += 1
            return False

    def _unname(self, number: int) -> None:
        place = self._named.pop(number, None)
        if place is not None:
            self._claims[place] -= 1
            if not self._claims[place]:
                del self._claims[place]

    def closed(self, leg: MediaLeg, number: int, counters: LegCounters) -> None:
        """A leg is no more; ``counters`` are its last ones."""
        with self._lock:
            self._add_up(self._past, counters)
            del self._legs[number], self._by_port[leg.rtp_port]
            self._unname(number)
            self._load[leg._relay] -= 1
            self._pairs.give_back(leg.rtp_port)

    # --- in the relays' threads

    def key(self, number: int, key: str) -> None:
        """A peer has pressed a key."""
        leg = self._legs.get(number)
        if leg is not None:
            leg.on_key(key)

    def audio(self, number: int, timestamp: int, payload: bytes, encoding: str, now: float) -> None:
        """What the peer of a tapped leg has sent."""
        leg = self._legs.get(number)
        if leg is not None and leg._tap is not None:
            leg._tap(timestamp, payload, encoding, now)

    def head(
        self, number: int, now: float, sent: bool, peer: Address, head: bytes, size: int
    ) -> None:
        """How a packet of a watched leg begins."""
        leg = self._legs.get(number)
        if leg is not None and leg._witness is not None:
            own = leg.address, leg.rtp_port
            leg._witness(now, *((own, peer) if sent else (peer, own)), head, size)

    def _heard(self, name: str, *content: object) -> None:
        getattr(self, name)(*content)

    def _died(self, relay: "Worker") -> None:
        with self._lock:
            self._taught[relay].clear()
            lost = [leg for leg in self._legs.values() if leg._relay is relay]
        for leg in lost:
            leg.on_lost()


class _Taken(OSError):
    """The port is another program's."""


def _bind(address: str, port: int) -> tuple[SocketType, SocketType]:
    # The bare sockets of the system: what Python's own class adds to them nobody needs here.
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sockets: list[SocketType] = []
    try:
        for number in (port, port + 1):
            fresh = SocketType(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sockets.append(fresh)
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
