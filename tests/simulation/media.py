"""A media plane without sockets or threads: ports are counted, what was asked for is written down."""

from __future__ import annotations

from collections.abc import Callable, Collection

from sipstack.media import LegCounters, NoPortsLeft, Source
from sipstack.sdes import Agreement
from sipstack.sdp import Codec, RemoteMedia


class SimulatedLeg:
    """One leg; ``last_received`` is when its peer was last heard, and ``heard`` how much, set by the test."""

    def __init__(self, plane: SimulatedMediaPlane, address: str, port: int) -> None:
        self.address = address
        self.rtp_port = port
        self.rtcp_port = port + 1
        self.remotes: list[RemoteMedia] = []
        self.played: list[tuple[Source | None, bool]] = []
        self.other: SimulatedLeg | None = None
        #: The ports of those it was bridged with, in order.
        self.bridged: list[int] = []
        self.last_received: float | None = None
        #: Packets that its peer has sent; a test may say that there were none.
        self.heard = 500
        self.closed = False
        self.on_lost: Callable[[], object] = lambda: None
        self.on_key: Callable[[str], object] = lambda key: None
        self.agreement: Agreement | None = None
        self.tapped: Callable[..., None] | None = None
        #: The keys that its peer was sent.
        self.pressed = ""
        self._plane = plane

    def set_remote(self, remote: RemoteMedia, local_codecs: tuple[Codec, ...]) -> None:
        self.remotes.append(remote)
        self.agreement = remote.agreement

    def bridge(self, other: SimulatedLeg) -> None:
        self.other, other.other = other, self
        self.bridged.append(other.rtp_port)
        other.bridged.append(self.rtp_port)

    def unbridge(self) -> None:
        if self.other is not None:
            self.other.other = None
        self.other = None

    def play(self, source: Source | None, until_media: bool = False) -> None:
        self.played.append((source, until_media))

    def tap(self, tap: Callable[..., None] | None) -> None:
        self.tapped = tap

    def watch(self, most: int, witness: Callable[..., None]) -> None:
        pass

    def press(self, keys: str) -> None:
        self.pressed += keys

    def counters(self) -> LegCounters:
        return LegCounters(packets_received=self.heard, last_received=self.last_received)

    def close(self) -> LegCounters:
        if not self.closed:
            self.closed = True
            self.unbridge()
            self._plane.ports_in_use -= 1
        return self.counters()


class SimulatedMediaPlane:
    """Gives out ``capacity`` legs."""

    def __init__(self, capacity: int = 100) -> None:
        self.capacity = capacity
        self.ports_in_use = 0
        self.legs: list[SimulatedLeg] = []

    def forget(self, source: Source) -> None:
        pass

    def open(
        self,
        address: str,
        known: Collection[str] = (),
        beside: SimulatedLeg | None = None,
        announced: str = "",
    ) -> SimulatedLeg:
        if self.ports_in_use >= self.capacity:
            raise NoPortsLeft("all in use")
        self.ports_in_use += 1
        self.legs.append(SimulatedLeg(self, address, 20000 + 2 * len(self.legs)))
        return self.legs[-1]
