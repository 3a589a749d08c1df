"""How much one stranger may send us: a token bucket each, in bounded memory. Pure."""

import ipaddress

#: Peers remembered; who comes when there are as many shares one bucket with all who do.
PEERS = 4096
#: Octets that cost as much as the handling of a message as such.
OCTETS = 2000


def network_of(host: str) -> str:
    """What counts as one peer: an IPv4 address, or the network of 64 bits that anybody with IPv6 has for himself."""
    if ":" not in host:
        return host
    return f"{int(ipaddress.IPv6Address(host.partition('%')[0])) >> 64:x}::"


class Quota:
    """Buckets of ``burst`` messages, filled with ``rate`` messages a second."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        #: Tokens left, and when that was; a full bucket need not be remembered.
        self._buckets: dict[str, tuple[float, float]] = {}
        self._swept = float("-inf")

    def takes(self, host: str, octets: int, now: float) -> bool:
        """Whether a message of so many octets from ``host`` (an IP literal) may still be looked at."""
        peer = network_of(host)
        bucket = self._buckets.get(peer)
        if bucket is None and len(self._buckets) >= PEERS:
            self._sweep(now)
            if len(self._buckets) >= PEERS:
                peer, bucket = "", self._buckets.get("")
        tokens, since = bucket or (self._burst, now)
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        cost = 1.0 + octets / OCTETS
        if tokens < cost:
            self._buckets[peer] = tokens, now
            return False
        self._buckets[peer] = tokens - cost, now
        return True

    def _sweep(self, now: float) -> None:
        """Forget the buckets that are full again, at most once a second: a look at all of them takes its time."""
        if now - self._swept < 1.0:
            return
        self._swept = now
        full = self._burst / self._rate
        self._buckets = {
            peer: (tokens, since)
            for peer, (tokens, since) in self._buckets.items()
            if now - since < full
        }
