"""What came in on one RTP stream, counted a packet at a time (:rfc:`3550` §6.4.1, §A.1, §A.3, §A.8).

Only raw figures are kept here; what they mean for the ear is worked out when somebody asks. Pure.
"""

#: A jump forward of more packets than this is a new beginning, not a loss (:rfc:`3550` §A.1).
MAX_DROPOUT = 3000
#: Packets that may come this many later than their place; also the lost ones that are remembered, to tell a packet that
#: comes late from one that comes twice.
MAX_MISORDER = 100


class Reception:
    """Counts what one peer sends, through all changes of its SSRC. Times are in seconds on any one clock."""

    __slots__ = (
        "_missing",
        "_paused",
        "_transit",
        "bytes",
        "duplicate",
        "jitter",
        "last",
        "late",
        "longest_gap",
        "lost",
        "packets",
        "rate",
        "rejected",
        "sequence",
        "source_changes",
        "ssrc",
        "timestamp",
    )

    def __init__(self) -> None:
        self.packets = 0
        self.bytes = 0
        #: Packets that have not come; one that comes late is none of them.
        self.lost = 0
        self.late = 0
        self.duplicate = 0
        #: What was not taken: from strangers, of other formats, no RTP.
        self.rejected = 0
        self.source_changes = 0
        #: The interarrival jitter of the audio, in ticks of ``rate``.
        self.jitter = 0.0
        self.rate = 8000
        self.longest_gap = 0.0
        #: When the last packet came; 0 before the first.
        self.last = 0.0
        self.ssrc = -1
        #: The highest sequence number of the SSRC, and the timestamp that came with it.
        self.sequence = 0
        self.timestamp = 0
        self._transit = 0.0
        self._paused = True
        self._missing: dict[int, None] = {}

    def regular(self, sequence: int, timestamp: int, size: int, now: float) -> None:
        """Count the packet that follows the one before: same SSRC, next number, same codec. The relay's hot road."""
        self.packets += 1
        self.bytes += size
        self.sequence = sequence
        self.timestamp = timestamp
        gap = now - self.last
        if gap > self.longest_gap:
            self.longest_gap = gap
        self.last = now
        rate = self.rate
        transit = now * rate - timestamp
        change = transit - self._transit
        self._transit = transit
        # A second or more, or a timestamp that wraps, is no jitter.
        if -rate < change < rate:
            self.jitter += ((change if change > 0 else -change) - self.jitter) * 0.0625

    def take(
        self, sequence: int, timestamp: int, ssrc: int, size: int, now: float, rate: int
    ) -> bool:
        """Count any packet; whether it is the newest of its SSRC.

        ``rate`` is the clock rate of an audio codec in Hz, 0 for what tells nothing of time, as telephone events, whose
        packets share a timestamp.
        """
        newest = True
        known = ssrc == self.ssrc
        if known:
            ahead = (sequence - self.sequence) & 0xFFFF
            if 1 <= ahead <= MAX_DROPOUT:
                self._lose(self.sequence, ahead - 1)
            elif ahead == 0 or ahead >= 0x10000 - MAX_MISORDER:
                newest = False
                if sequence in self._missing:
                    del self._missing[sequence]
                    self.lost -= 1
                    self.late += 1
                else:
                    self.duplicate += 1
            else:
                known = False
        if not known:
            self._missing.clear()
        self._time(timestamp, now, rate, known)
        self.packets += 1
        self.bytes += size
        self.last = now
        self.ssrc = ssrc
        if newest:
            self.sequence, self.timestamp = sequence, timestamp
        return newest

    def pause(self) -> None:
        """What was agreed on has changed: the silence until the next packet is no gap."""
        self._paused = True

    def _lose(self, last: int, count: int) -> None:
        self.lost += count
        for number in range(max(1, count - MAX_MISORDER + 1), count + 1):
            self._missing[(last + number) & 0xFFFF] = None
        while len(self._missing) > MAX_MISORDER:
            del self._missing[next(iter(self._missing))]

    def _time(self, timestamp: int, now: float, rate: int, known: bool) -> None:
        if not self._paused:
            self.longest_gap = max(self.longest_gap, now - self.last)
        self._paused = False
        if not rate:
            return
        transit = now * rate - timestamp
        change = abs(transit - self._transit)
        if known and rate == self.rate and change < rate:
            self.jitter += (change - self.jitter) * 0.0625
        elif rate != self.rate:
            self.jitter *= rate / self.rate
        self.rate, self._transit = rate, transit
