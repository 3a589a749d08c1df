"""How one received RTP stream arrived, counted packet by packet, and how that probably sounded. Pure."""

import math
from dataclasses import dataclass
from typing import NamedTuple

#: A jump ahead of so many packets is loss; a longer one is a sender that began anew (:rfc:`3550` §A.1).
MAX_DROPOUT = 3000
#: A packet so far behind the newest is late; one further back belongs to a sender that began anew.
MAX_MISORDER = 100
#: Seconds by which timestamps and arrivals may differ between two packets before it is no jitter, but a new time base.
DISCONTINUITY = 2.0


class Snapshot(NamedTuple):
    """What has come of a stream. Times in seconds.

    ``expected`` is how many packets the sequence numbers say were sent; ``lost`` those of them that never came. ``late``
    came out of order, ``duplicate`` came again; both are in ``packets`` and ``bytes``, and a late one is not lost.
    ``jitter`` is the estimate of :rfc:`3550` §A.8 now, beside its mean and its greatest. ``longest_gap`` is the longest
    time between two arrivals. ``restarts`` counts changes of SSRC and of the sender's numbering.
    """

    packets: int = 0
    bytes: int = 0
    expected: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    jitter: float = 0.0
    mean_jitter: float = 0.0
    max_jitter: float = 0.0
    longest_gap: float = 0.0
    restarts: int = 0

    @property
    def loss(self) -> float:
        """The share of the packets, 0 to 1, that never came."""
        return self.lost / self.expected if self.expected else 0.0


@dataclass(frozen=True, slots=True)
class Reception:
    """The numbers of an RTCP reception report (:rfc:`3550` §6.4.1), as they go into it.

    ``fraction_lost`` is in 256ths since the report before, ``jitter`` in units of the timestamp.
    """

    fraction_lost: int
    cumulative_lost: int
    highest_sequence: int
    jitter: int


class StreamQuality:
    """The account of one stream of ``clock_rate`` Hz.

    :meth:`packet` is called for every packet and does little for one that comes in order; :meth:`restart` where the
    caller sees another SSRC, :meth:`pause` where silence is agreed on (hold), so that it is no gap and no loss.
    """

    __slots__ = (
        "_arrival",
        "_bad",
        "_base",
        "_bytes",
        "_cycle",
        "_duplicate",
        "_expected_before",
        "_jitter",
        "_jitter_sum",
        "_jitters",
        "_largest",
        "_late",
        "_longest_gap",
        "_max_jitter",
        "_missing",
        "_next",
        "_packets",
        "_packets_before",
        "_rate",
        "_reported",
        "_restarts",
        "_silent",
        "_silent_until",
        "_stray",
        "_timed",
        "_timestamp",
    )

    def __init__(self, clock_rate: int = 8000) -> None:
        self._rate = float(clock_rate)
        self._largest = DISCONTINUITY * clock_rate
        #: The number that comes next, 0 to 65536 (-1 before the first packet), and what extends it to count wraps.
        self._next = -1
        self._cycle = 0
        #: The first extended number since the last restart.
        self._base = 0
        #: Numbers that were passed over and may still come, bounded by MAX_MISORDER.
        self._missing: set[int] = set()
        #: The number that would confirm that the sender began anew; -1 for none.
        self._bad = -1
        self._packets = self._bytes = self._late = self._duplicate = self._stray = 0
        self._restarts = 0
        #: Whether the peer has said that it sends nothing, and how many had come when that was so last; -1: never.
        self._silent = False
        self._silent_until = -1
        self._arrival = math.inf
        #: Arrival and timestamp of the packet that jitter is measured from; no comparison holds with a NaN.
        self._timed = math.nan
        self._timestamp = 0
        self._jitter = self._max_jitter = self._jitter_sum = 0.0
        self._jitters = 0
        self._longest_gap = 0.0
        self._expected_before = self._packets_before = 0
        #: Expected and received at the last reception report.
        self._reported = (0, 0)

    def packet(self, sequence: int, timestamp: int | None, arrival: float, size: int) -> None:
        """Take a packet that came at ``arrival`` (seconds, any monotonic clock), ``size`` bytes of RTP.

        ``timestamp`` is ``None`` for a payload whose timestamp says nothing of when it was sent, as a telephone-event's.
        """
        self._packets += 1
        self._bytes += size
        gap = arrival - self._arrival
        if gap > self._longest_gap:
            self._longest_gap = gap
        self._arrival = arrival
        if sequence == self._next:
            self._next = sequence + 1
        elif not self._out_of_sequence(sequence):
            return
        if timestamp is None:
            return
        # A.8, in units of the timestamp: how much the time in transit differs from that of the packet before.
        difference = (arrival - self._timed) * self._rate - (timestamp - self._timestamp)
        if difference < 0.0:
            difference = -difference
        if difference > self._largest:
            # The timestamp may have wrapped between the two.
            difference = abs(difference - 0x100000000)
        if difference <= self._largest:
            self._jitter = jitter = self._jitter + (difference - self._jitter) / 16.0
            self._jitter_sum += jitter
            self._jitters += 1
            if jitter > self._max_jitter:
                self._max_jitter = jitter
        self._timed = arrival
        self._timestamp = timestamp

    def _out_of_sequence(self, sequence: int) -> bool:
        """Account for any number but the next; whether the packet's timestamp counts."""
        if self._next < 0:
            self._base, self._next, self._cycle = sequence, sequence + 1, 0
            return True
        ahead = (sequence - self._next) & 0xFFFF
        expected = self._cycle + self._next
        if ahead < MAX_DROPOUT:
            number = expected + ahead
            if self._silent or self._packets == self._silent_until + 1:
                # Some number what they do not send.
                self._base += ahead
                self._next, self._cycle, self._bad = sequence + 1, number - sequence, -1
                return True
            self._missing.update(range(max(expected, number - MAX_MISORDER), number))
            if len(self._missing) > 4 * MAX_MISORDER:
                oldest = number - MAX_MISORDER
                self._missing = {missing for missing in self._missing if missing >= oldest}
            self._next, self._cycle = sequence + 1, number - sequence
        elif ahead >= 0x10000 - MAX_MISORDER:
            number = expected + ahead - 0x10000
            if number in self._missing:
                self._missing.remove(number)
                self._late += 1
                return True
            if number >= self._base:
                self._duplicate += 1
            else:
                # It was sent before the first that came, so nobody has missed it.
                self._late += 1
                self._stray += 1
            return False
        elif sequence != self._bad:
            # One packet with a wild number is a stray; only the next one after it says that the sender began anew.
            self._bad = (sequence + 1) & 0xFFFF
            self._stray += 1
            return False
        else:
            # The stray before this packet was the first of the new numbering.
            self.restart()
            self._stray -= 1
            self._packets_before -= 2
            self._base, self._next, self._cycle = sequence - 1, sequence + 1, 0
        self._bad = -1
        return True

    def restart(self) -> None:
        """The next packet is of another SSRC: its numbers and its time base are new, what was counted stays."""
        if self._next < 0:
            return
        self._expected_before += self._expected()
        self._packets_before = self._packets
        self._next = self._bad = -1
        self._missing.clear()
        self._timed = math.nan
        self._restarts += 1
        self._reported = (0, 0)

    def retime(self, clock_rate: int) -> None:
        """The payloads that follow have a clock of ``clock_rate`` Hz."""
        if clock_rate != self._rate:
            factor = clock_rate / self._rate
            self._rate, self._largest = float(clock_rate), DISCONTINUITY * clock_rate
            self._jitter *= factor
            self._max_jitter *= factor
            self._jitter_sum *= factor
            self._timed = math.nan

    def pause(self, silent: bool = False) -> None:
        """Silence is meant from here on: neither a gap, nor jitter when it ends.

        While the peer is ``silent``, as it has said, and with the first packet after, numbers passed over are no loss.
        """
        self._arrival, self._timed = math.inf, math.nan
        if silent or self._silent:
            self._silent_until = self._packets
        self._silent = silent

    def _expected(self) -> int:
        return self._cycle + self._next - self._base if self._next >= 0 else 0

    def snapshot(self) -> Snapshot:
        """What has come so far."""
        expected = self._expected_before + self._expected()
        unique = self._packets - self._duplicate - self._stray
        return Snapshot(
            packets=self._packets,
            bytes=self._bytes,
            expected=expected,
            lost=max(0, expected - unique),
            late=self._late,
            duplicate=self._duplicate,
            jitter=self._jitter / self._rate,
            mean_jitter=self._jitter_sum / self._jitters / self._rate if self._jitters else 0.0,
            max_jitter=self._max_jitter / self._rate,
            longest_gap=self._longest_gap,
            restarts=self._restarts,
        )

    def reception(self) -> Reception:
        """The numbers for a reception report, of the stream since its last restart; begins the next interval.

        As :rfc:`3550` §A.3 wants it, duplicates count as received here, so that losses can be negative.
        """
        expected, received = self._expected(), self._packets - self._packets_before
        expected_now = expected - self._reported[0]
        lost_now = expected_now - (received - self._reported[1])
        self._reported = (expected, received)
        fraction = (lost_now << 8) // expected_now if expected_now > 0 and lost_now > 0 else 0
        return Reception(
            fraction_lost=min(fraction, 255),
            cumulative_lost=max(-0x800000, min(expected - received, 0x7FFFFF)),
            highest_sequence=max(self._cycle + self._next - 1, 0) & 0xFFFFFFFF,
            jitter=int(self._jitter) & 0xFFFFFFFF,
        )


#: Equipment impairment Ie and packet-loss robustness Bpl of a codec (ITU-T G.113 appendix I), see :func:`mos`.
IMPAIRMENT: dict[str, tuple[float, float]] = {
    "PCMU": (0.0, 25.1),
    "PCMA": (0.0, 25.1),
    "G722": (0.0, 25.1),
    "OPUS": (0.0, 25.1),
    "G729": (11.0, 19.0),
}
#: Seconds of a packet's audio, which the sender has to wait for before it can send.
PACKET_TIME = 0.02
#: A receiver's jitter buffer holds so many times the jitter.
BUFFERED_JITTERS = 4.0

# The E-model at G.107's default values (its table 3), of which the following are results.
_RO = 94.77  # Signal to noise: a quiet room at either end, circuit noise of -70 dBm0p.
_IS = 1.41  # Impairments that come with the voice: loudness, sidetone, quantisation.
_TELR = 65.0  # Talker echo loudness rating in dB.
_WEPL = 110.0  # Weighted echo path loss in dB.


def rating(impairment: float, robustness: float, loss: float, delay: float) -> float:
    """The E-model's R, 0 to 100, of a connection (ITU-T G.107 §7) with all else at the default values.

    ``impairment`` and ``robustness`` are the codec's Ie and Bpl; ``loss`` is the share of packets, 0 to 1, that are not
    played, at random (BurstR 1); ``delay`` the seconds from mouth to ear.
    """
    percent = 100.0 * min(max(loss, 0.0), 1.0)
    equipment = impairment + (95.0 - impairment) * percent / (percent + robustness)
    r = _RO - _IS - _delay_impairment(1000.0 * max(delay, 0.0)) - equipment
    return min(max(r, 0.0), 100.0)


def _delay_impairment(t: float) -> float:
    """Id of G.107 §7.4 for ``t`` milliseconds one way: talker echo, listener echo and the delay itself."""
    talker = 0.0
    if t >= 1.0:
        terv = _TELR - 40.0 * math.log10((1 + t / 10) / (1 + t / 150)) + 6 * math.exp(-0.3 * t * t)
        re = 80.0 + 2.5 * (terv - 14.0)
        half = (_RO - re) / 2.0
        talker = (half + math.sqrt(half * half + 100.0) - 1.0) * (1.0 - math.exp(-t))
    half = (_RO - 10.5 * (_WEPL + 7.0) * math.pow(2.0 * t + 1.0, -0.25)) / 2.0
    listener = half + math.sqrt(half * half + 169.0)
    absolute = 0.0
    if t > 100.0:
        x = math.log2(t / 100.0)
        absolute = 25.0 * (math.pow(1 + x**6, 1 / 6) - 3 * math.pow(1 + (x / 3) ** 6, 1 / 6) + 2)
    return talker + listener + absolute


def opinion(r: float) -> float:
    """The mean opinion score, 1 to 4.5, for a rating R (ITU-T G.107 annex B)."""
    if r <= 0.0:
        return 1.0
    if r >= 100.0:
        return 4.5
    # The cubic dips below 1 for a small R, where it has no meaning.
    return max(1.0, 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6)


def mos(codec: str, loss: float, jitter: float, delay: float) -> float | None:
    """The estimated mean opinion score (MOS-CQE, narrow-band scale, 1 to 4.5) of a received stream.

    ``codec`` is its encoding name, ``loss`` the share of packets lost, 0 to 1, ``jitter`` as :rfc:`3550` has it and
    ``delay`` of the network one way, both in seconds (half the round trip that RTCP shows; 0 where it is not known).
    ``None`` for a codec that nothing is known of.

    It is the E-model of ITU-T G.107 at its default values, and rests on assumptions:

    - Loss is at random (BurstR 1); bursts sound worse than this says.
    - The receiver conceals losses: Bpl 25.1 for G.711 with concealment (G.113 appendix I; without, it is 4.3). G.113
      has no narrow-band values for G.722 and opus: they are taken as no worse than G.711, and their wider band and
      opus' error correction earn nothing, since this scale ends at what G.711 can do.
    - The receiver's jitter buffer adapts and holds four times the jitter, so that next to nothing comes too late to be
      played: jitter is felt as delay, not as loss.
    - From mouth to ear it takes the network's delay, one packet of 20 ms, and that buffer. Phones cancel echo as
      well as G.107's default (TELR 65 dB).
    """
    known = IMPAIRMENT.get(codec.upper())
    if known is None:
        return None
    return opinion(rating(*known, loss, delay + PACKET_TIME + BUFFERED_JITTERS * jitter))
