"""RTP without sockets: a virtual network that the real relay runs on, in virtual time and to the millisecond."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import struct
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

from sipstack.media.line import Line
from sipstack.media.relay import Relay
from sipstack.sdp import CODECS, Codec, RemoteMedia
from sipstack.transport import Address

PCMU, PCMA, EVENT = CODECS["PCMU"], CODECS["PCMA"], CODECS["telephone-event"]
OWN = "192.0.2.1"


class VirtualSocket:
    """A UDP socket: bound, and connected if it has a peer."""

    def __init__(self, world: World, address: Address, peer: Address | None = None) -> None:
        self.waiting: deque[tuple[bytes, Address]] = deque()
        self._world = world
        self._address = address
        self._peer = peer
        self._fd = next(world.numbers)
        world.sockets[address, peer] = world.by_fd[self._fd] = self

    def fileno(self) -> int:
        return self._fd

    def getsockname(self) -> Address:
        return self._address

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, Address]:
        if not self.waiting:
            raise BlockingIOError
        packet, source = self.waiting.popleft()
        # As the system does: what does not fit is cut off.
        packet = packet[: len(buffer)]
        buffer[: len(packet)] = packet
        return len(packet), source

    def recv_into(self, buffer: bytearray) -> int:
        return self.recvfrom_into(buffer)[0]

    def sendto(self, packet: bytes | memoryview, to: Address) -> None:
        self._world.deliver(bytes(packet), self._address, to)

    def send(self, packet: bytes | memoryview) -> None:
        assert self._peer is not None
        self.sendto(packet, self._peer)

    def close(self) -> None:
        del self._world.sockets[self._address, self._peer], self._world.by_fd[self._fd]
        self._world.registered.discard(self._fd)


class World:
    """Time, the network, and what select.epoll is to the relay."""

    def __init__(self) -> None:
        self.now = 1000.0
        #: Seconds that pass from one look at the clock to the next.
        self.slowness = 0.0
        self.numbers = itertools.count(10)
        self.sockets: dict[tuple[Address, Address | None], VirtualSocket] = {}
        self.by_fd: dict[int, VirtualSocket] = {}
        self.endpoints: dict[Address, Callable[[bytes, Address], None]] = {}
        self.rng = random.Random(0)
        #: What the relay has told: (name, line, ...).
        self.told: list[tuple[object, ...]] = []
        #: The heads of packets that it was asked for: (line, time, sent, peer, octets, length).
        self.heads: list[tuple[Any, ...]] = []
        self.relay = Relay(
            self,
            self,
            clock=self.clock,
            wall_clock=self.clock,
            sleep=self._sleep,
            connect=self._connect,  # type: ignore[arg-type]
        )
        self.registered: set[int] = set()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._until = math.inf
        self._ports = itertools.count(20000, 2)

    def clock(self) -> float:
        self.now += self.slowness
        return self.now

    def at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._order), do))

    def deliver(self, packet: bytes, source: Address, to: Address) -> None:
        found = self.sockets.get((to, source)) or self.sockets.get((to, None))
        if found is not None:
            found.waiting.append((packet, source))
        elif to in self.endpoints:
            self.endpoints[to](packet, source)

    def run(self, seconds: float) -> None:
        """Let the relay run for so long."""
        self._until = self.now + seconds
        while self.now < self._until:
            self.relay.turn()

    def line(self, known: Collection[str] = ()) -> tuple[int, Address]:
        """A line of the relay's: its number, and its address."""
        port = next(self._ports)
        guard, rtcp = VirtualSocket(self, (OWN, port)), VirtualSocket(self, (OWN, port + 1))
        self.relay.add(
            Line(port, guard, rtcp, OWN, known=known, now=self.now, rng=self.rng)  # type: ignore[arg-type]
        )
        return port, (OWN, port)

    # --- what the relay uses

    def key(self, *told: object) -> None:
        self.told.append(("key", *told))

    def head(self, *told: object) -> None:
        self.heads.append(told)

    def audio(self, *told: object) -> None:
        self.told.append(("audio", *told))

    def register(self, fd: int, eventmask: int, /) -> None:
        self.registered.add(fd)

    def poll(self, timeout: float | None, maxevents: int, /) -> list[tuple[int, int]]:
        # As epoll does, a part of a millisecond counts as a whole one.
        end = self._until if timeout is None else self.now + math.ceil(timeout * 1000) / 1000
        while not (ready := self._ready()):
            moment = min(end, self._until)
            if not self._agenda or self._agenda[0][0] > moment:
                self.now = max(self.now, moment)
                break
            self._step()
        return ready[:maxevents]

    def _ready(self) -> list[tuple[int, int]]:
        return [(fd, 1) for fd, one in self.by_fd.items() if one.waiting and fd in self.registered]

    def _step(self) -> None:
        when, _, do = heapq.heappop(self._agenda)
        self.now = max(self.now, when)
        do()

    def _sleep(self, seconds: float) -> None:
        end = self.now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self._step()
        self.now = end

    def _connect(self, guard: VirtualSocket, address: Address) -> VirtualSocket:
        return VirtualSocket(self, guard.getsockname(), address)


class Endpoint:
    """A phone's RTP: hears what comes to its address, and speaks from it."""

    def __init__(self, world: World, address: Address, *codecs: Codec, ssrc: int = 99) -> None:
        self.address = address
        self.heard: list[tuple[float, int, bool, int, int, int, bytes]] = []
        self.sequence = ssrc & 0xFFFF
        self.timestamp = ssrc * 3 & 0xFFFFFFFF
        self.codecs = codecs or (PCMU,)
        #: What came to the port of RTP, and to that of RTCP, as it came.
        self.raw: list[bytes] = []
        self.reports: list[bytes] = []
        #: What is done to a packet before it is sent.
        self.protect: Callable[[bytes], bytes | None] = bytes
        self.number, self.gate = world.line()
        self.ssrc = ssrc
        self._world = world
        world.endpoints[address] = self._hear
        world.endpoints[address[0], address[1] + 1] = lambda packet, _: self.reports.append(packet)

    def describe(self, **changes: object) -> None:
        """Let the relay know where this endpoint is."""
        host, port = self.address
        said = {"address": host, "port": port, "rtcp_address": host, "rtcp_port": port + 1}
        remote = RemoteMedia(**said | {"codecs": self.codecs} | changes)  # type: ignore[arg-type]
        self._world.relay.describe(self.number, remote, self.codecs)

    def say(
        self,
        payload: bytes = b"\xff" * 160,
        kind: int = 0,
        skip: int = 0,
        to: Address | None = None,
    ) -> None:
        """Send the next packet, ``skip`` having got lost before it."""
        self.sequence = self.sequence + 1 + skip & 0xFFFF
        self.timestamp = self.timestamp + 160 * (1 + skip) & 0xFFFFFFFF
        head = struct.pack("!BBHII", 0x80, kind, self.sequence, self.timestamp, self.ssrc)
        packet = self.protect(head + payload)
        assert packet is not None
        self._world.deliver(packet, self.address, to or self.gate)

    def talk(self, seconds: float, begin: float = 0.0, payload: bytes = b"\xff" * 160) -> None:
        """Say something each 20 ms."""
        first = self._world.now + begin

        def next_(number: int) -> None:
            self.say(payload)
            if (number + 1) * 0.02 < seconds:
                self._world.at(first + (number + 1) * 0.02, lambda: next_(number + 1))

        self._world.at(first, lambda: next_(0))

    def _hear(self, packet: bytes, source: Address) -> None:
        self.raw.append(packet)
        if 192 <= packet[1] <= 223:
            return
        _, kind, sequence, timestamp, ssrc = struct.unpack("!BBHII", packet[:12])
        self.heard.append(
            (
                self._world.now,
                kind & 0x7F,
                kind >= 0x80,
                sequence,
                timestamp,
                ssrc,
                packet[12:],
            )
        )


class Stranger:
    """Sends well-formed RTP at 100 packets a second and writes down what it gets."""

    def __init__(self, world: World, host: str, port: int) -> None:
        self.address = (host, port)
        self.heard: list[bytes] = []
        self.sent = 0
        self._world = world
        world.endpoints[self.address] = lambda packet, source: self.heard.append(packet)

    def inject(self, gate: tuple[str, int], begin: float, seconds: float, ssrc: int = 666) -> None:
        for number in range(int(seconds * 100)):
            packet = (
                struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160, ssrc) + b"\x66" * 160
            )
            self._world.at(
                self._world.now + begin + number * 0.01,
                lambda packet=packet: self._world.deliver(packet, self.address, gate),
            )
            self.sent += 1
