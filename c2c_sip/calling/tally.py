"""What has become of the calls so far, in plain numbers: adding one costs next to nothing, and any thread may read them."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from sipstack.media import LegCounters

#: The states that a call can be in, in order.
STATES = (
    *("initiated", "extension_ringing", "extension_answered"),
    *("contact_ringing", "contact_answered", "connected"),
)
#: Hangup causes that are told apart. There are some sixty; none comes from outside as it stands.
MOST_CAUSES = 100

_SETTING_UP = (1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0)
_RINGING = (0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0)
_TALKING = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)
_MOS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.3, 3.6, 3.8, 4.0, 4.2, 4.4)
_LOSS = (0.0, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
_JITTER = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2)


class Histogram:
    """How many values there were up to each of ``bounds``, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        #: Of each bound those above the one before it; the last has what is above them all.
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> "Histogram":
        """As it is now."""
        found = Histogram(self.bounds)
        found.counts, found.total = list(self.counts), self.total
        return found


class ByRole:
    """A histogram for each role that a leg may have."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.of = {role: Histogram(bounds) for role in ("extension", "contact", "transfer")}

    def add(self, role: str, value: float) -> None:
        """One more."""
        self.of[role].add(value)


class Tally:
    """Counts of calls, added to in the engine's thread only, apart from ``refused``."""

    def __init__(self) -> None:
        #: Calls that have ended, by result and hangup cause, and activations that were refused, by the rule.
        self.ended: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter()
        #: Seconds from the activation until the two were connected, and for which they then were.
        self.setup = Histogram(_SETTING_UP)
        self.duration = Histogram(_TALKING)
        #: Seconds that legs rang, and how their peers' audio came.
        self.ringing = ByRole(_RINGING)
        self.mos = ByRole(_MOS)
        self.loss = ByRole(_LOSS)
        self.jitter = ByRole(_JITTER)

    def call_ended(
        self, result: str, cause: str, setup: float | None, duration: float | None
    ) -> None:
        """A call is over; the seconds are ``None`` where the two were not connected."""
        known = (result, cause) in self.ended or len(self.ended) < MOST_CAUSES
        self.ended[result, cause if known else "OTHER"] += 1
        if setup is not None and duration is not None:
            self.setup.add(setup)
            self.duration.add(duration)

    def leg_ended(self, role: str, ringing: float | None, counters: LegCounters) -> None:
        """A leg is over, which rang for so many seconds if it did."""
        if ringing is not None:
            self.ringing.add(role, ringing)
        expected = counters.packets_received + counters.lost
        if not counters.packets_received:
            return
        self.loss.add(role, counters.lost / expected)
        self.jitter.add(role, counters.mean_jitter_ms / 1000)
        if counters.mos is not None:
            self.mos.add(role, counters.mos)
