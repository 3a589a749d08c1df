"""Which source a leg's RTP is taken from (symmetric RTP, :rfc:`4961`), decided so that no stranger gets into a call.

Three kinds of sources may be the peer, and the better one wins:

1. The address and port that its description names: at once, whenever they speak.
2. The network of that address, or a host that the signalling comes from, as with some gateways: after
   :data:`PATIENCE`. It is listened to; what we send still goes where the description says.
3. Any source, where the described address is one that a NAT may hide: after :data:`NAT_WINDOW`, those of kind 2 first.
   Then what we send goes there too.

For the last two, the described address must have been silent all that time, while the source kept sending an agreed
payload type with one SSRC, its numbers going up, several of them one by one. What was decided stays until the peer
describes another address, or until the source has been silent for :data:`FORGET` seconds; and if then another one is
believed, the first has its place back as soon as it speaks. Only of the third kind one makes room for one of the second: a
stranger may have been faster than the phone. RTCP decides nothing.

A NAT may give the phone another port in the middle of a call, as when its router has been restarted. That it is still the same
phone is seen at once by what a stranger would have to guess, 42 bits of it: the very SSRC that was taken last, whose
numbers go on where they stood, from the same address, two packets in turn once the old port has been silent for
:data:`PAUSE` seconds. Then what we send follows too, if it went to the old port. Pure.
"""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass

from sipstack.literal import canonical, read_literal
from sipstack.transport import Address

#: Packets one right after the other before a source that was not described is believed.
PROBATION = 4
#: Seconds that a source behind a NAT has to be steady.
NAT_WINDOW = 0.5
#: Seconds that a source has to be steady where no NAT explains why it is not the described one.
PATIENCE = 3.0
#: Seconds of silence after which a source may be replaced.
FORGET = 10.0
#: Sources that are weighed at a time, and the seconds of silence after which one of them makes room for another.
CANDIDATES = 8
STALE = 0.2
#: Seconds of silence after which the same stream may go on from another port of its address.
PAUSE = 0.1
#: How far a sequence number may be from the one before in a steady stream.
REACH = 50

_PRIVATE = [
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10",
    )
]  # fmt: skip

_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(slots=True)
class _Candidate:
    """A source that is being weighed: what it sent last, since when, and its packets one after the other, at best."""

    ssrc: int
    sequence: int
    since: float
    last: float
    run: int = 1
    best: int = 1


class Latch:
    """The choice for one leg, whose own IP literal is ``own``.

    ``known`` are the hosts that the peer's signalling is exchanged with: there is no NAT before an address of theirs.
    """

    __slots__ = (
        "_candidates",
        "_first",
        "_follows",
        "_known",
        "_own",
        "_signalled_ip",
        "_source_is_near",
        "_went_on",
        "behind_nat",
        "signalled",
        "source",
    )

    def __init__(self, own: str, known: Collection[str] = ()) -> None:
        self._own = own
        self._known = known
        #: What the peer's description says.
        self.signalled: Address | None = None
        #: The source whose packets are taken; ``None`` before the first.
        self.source: Address | None = None
        self._signalled_ip: _Ip | None = None
        #: Whether that is of the first or the second kind.
        self._source_is_near = False
        #: Whether a NAT may hide where the peer is.
        self.behind_nat = False
        #: Who was believed first, unless who was described came later: its first word is enough.
        self._first: Address | None = None
        self._candidates: dict[Address, _Candidate] = {}
        #: Whether the described port has become another one, by a NAT that we knew nothing of.
        self._follows = False
        #: The last packet that went on with the stream from another port.
        self._went_on: tuple[Address, int] | None = None

    @property
    def destination(self) -> Address | None:
        """Where the peer listens, as far as is known."""
        moves = self.behind_nat or self._follows
        return self.source if moves and self.source is not None else self.signalled

    @property
    def has_moved(self) -> bool:
        """Whether the peer listens at another port than the one that it described, though no NAT was known of."""
        return self._follows

    def signal(self, address: Address | None) -> None:
        """The peer said where it is: an IP literal and a port, or nowhere. What differs from before begins anew."""
        if address is not None:
            address = (canonical(address[0]), address[1])
        if address != self.signalled:
            self.signalled = address
            ip = self._signalled_ip = _read(address[0]) if address is not None else None
            # Who is known to be there, by what is signalled, has no NAT before it.
            is_known = address is not None and address[0] in self._known
            self.behind_nat = ip is not None and not is_known and self._is_hidden(ip)
            self.source = self._first = None
            self._follows = False
            self._candidates.clear()

    def _is_hidden(self, ip: _Ip) -> bool:
        """Whether what is sent from there may reach us as from somewhere else."""
        own = _read(self._own)
        if _network(ip) == _network(own):
            return False
        # Who reaches our loopback address is on this machine, whatever address it takes for its own.
        return is_private(ip) or (own.is_loopback and not ip.is_loopback)

    def consider(
        self,
        source: Address,
        sequence: int,
        ssrc: int,
        now: float,
        last: float,
        awaited: tuple[int, int] = (-1, 0),
    ) -> bool:
        """A packet from a source other than the chosen one, with an agreed payload type: whether to take it.

        ``last`` is when a packet was taken for the last time; ``awaited`` are its SSRC and the number after its own, -1 for
        none yet.
        """
        if self._signalled_ip is None:
            return False
        if now - last >= PAUSE and self._goes_on(source, sequence, ssrc, awaited):
            return self._has_rebound(source, sequence)
        outranked = False
        if source not in (self.signalled, self._first):
            if self.source is not None and now - last < FORGET:
                if self._source_is_near:
                    self._candidates.clear()
                    return False
                outranked = self._is_near(source)
                if not outranked:
                    return False
            if not self._proved(source, sequence, ssrc, now):
                return False
        self.source = source
        self._follows = False
        self._source_is_near = source == self.signalled or self._is_near(source)
        if source == self.signalled or self._first is None or outranked:
            self._first = source
        self._candidates.clear()
        return True

    def _goes_on(self, source: Address, sequence: int, ssrc: int, awaited: tuple[int, int]) -> bool:
        """Whether it is the stream that was taken so far, from another port."""
        if self.source is None or source[0] != self.source[0] or source == self.signalled:
            return False
        return ssrc == awaited[0] and (sequence - awaited[1]) & 0xFFFF < REACH

    def _has_rebound(self, source: Address, sequence: int) -> bool:
        before, self._went_on = self._went_on, (source, sequence)
        if before != (source, (sequence - 1) & 0xFFFF):
            return False
        self._follows = self._follows or self.source == self.signalled
        if self._first == self.source != self.signalled:
            self._first = source
        self.source = source
        self._candidates.clear()
        return True

    def _proved(self, source: Address, sequence: int, ssrc: int, now: float) -> bool:
        near = self._is_near(source)
        if not near and not self.behind_nat:
            return False
        candidate = self._weigh(source, sequence, ssrc, now)
        if candidate is None or candidate.best < PROBATION:
            return False
        if now - candidate.since < (NAT_WINDOW if self.behind_nat else PATIENCE):
            return False
        # Where one from the described network is on its way, one from elsewhere has to wait for how that ends.
        return near or not any(
            now - other.last < STALE and self._is_near(address)
            for address, other in self._candidates.items()
        )

    def _is_near(self, source: Address) -> bool:
        """Whether a source is of the described network, or where the signalling comes from."""
        assert self._signalled_ip is not None
        network = _network(self._signalled_ip)
        return source[0] in self._known or _network(_read(source[0])) == network

    def _weigh(self, source: Address, sequence: int, ssrc: int, now: float) -> _Candidate | None:
        """What is known of a source with this packet; ``None`` while others take all the room."""
        candidates = self._candidates
        found = candidates.get(source)
        if found is not None:
            ahead = (sequence - found.sequence) & 0xFFFF
            within = ahead <= REACH or ahead >= 0x10000 - REACH
            if ssrc == found.ssrc and within and now - found.last < 5 * STALE:
                found.last = now
                if 0 < ahead <= REACH:
                    found.sequence = sequence
                found.run = found.run + 1 if ahead == 1 else 1
                found.best = max(found.best, found.run)
                return found
        elif len(candidates) >= CANDIDATES:
            oldest = min(candidates, key=lambda address: candidates[address].last)
            if now - candidates[oldest].last < STALE:
                return None
            del candidates[oldest]
        candidates[source] = _Candidate(ssrc, sequence, now, now)
        return candidates[source]


def _read(host: str) -> _Ip:
    ip = read_literal(host)
    assert ip is not None, host
    return ip


def _network(ip: _Ip) -> int:
    """The network that an address is taken to be of: 24 bits of IPv4, 64 of IPv6."""
    return int(ip) >> 8 if ip.version == 4 else int(ip) >> 64


def is_private(ip: _Ip) -> bool:
    """Whether the address is one that NATs translate (:rfc:`1918`, :rfc:`6598`, :rfc:`3927`, :rfc:`4193`)."""
    return any(ip.version == network.version and ip in network for network in _PRIVATE)
