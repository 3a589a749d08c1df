"""RTCP (:rfc:`3550` §6): packets as values from and to the wire, and one leg's side of the reports. Pure.

A leg of ours is an RTP participant of its own: it has one SSRC towards its peer, whatever it passes on or plays. So
RTCP ends at the leg. What the peer reports is read (:meth:`Reporter.received`), and the peer is told of what it sent to
us and got from us (:meth:`Reporter.report`), never of the SSRCs behind the bridge, which it does not know.
"""

import struct
from dataclasses import dataclass
from random import Random

from sipstack.media.quality import Reception

SR, RR, SDES, BYE = 200, 201, 202, 203
CNAME = 1
#: Reports, chunks or sources in one packet: what its 5-bit count can say.
MOST = 31
#: Seconds between the Unix and the NTP epoch.
NTP_EPOCH = 2208988800
#: Seconds between reports, before they are spread (:rfc:`3550` §6.2).
INTERVAL = 5.0
#: A longer round trip in seconds is a clock that was set, or a lie.
LONGEST_ROUND_TRIP = 30.0

_HEAD = struct.Struct("!BBH")
_SSRC = struct.Struct("!I")
_SENDER = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IIIIII")


class RtcpError(ValueError):
    """A datagram that is no valid compound RTCP packet."""


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says of the stream ``ssrc`` (§6.4.1).

    ``fraction_lost`` in 256ths; ``jitter`` in units of the timestamp; ``last_sr`` the middle 32 bits of the NTP time of
    the last sender report from there, and ``delay`` the time since then, both in 65536ths of a second, 0 without one.
    """

    ssrc: int
    fraction_lost: int
    cumulative_lost: int
    highest_sequence: int
    jitter: int
    last_sr: int = 0
    delay: int = 0


@dataclass(frozen=True, slots=True)
class SenderReport:
    """What a sender sent until ``ntp_time`` (64 bits of NTP), which is ``timestamp`` on its RTP clock."""

    ssrc: int
    ntp_time: int
    timestamp: int
    packets: int
    octets: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """The reports of one that sends nothing itself."""

    ssrc: int
    reports: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The items, (type, text), that describe one source."""

    ssrc: int
    items: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """Who the sources are."""

    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The sources that leave."""

    sources: tuple[int, ...]
    reason: bytes = b""


@dataclass(frozen=True, slots=True)
class Other:
    """A packet of another type (APP, feedback, extended reports): its type, the header's count field, the rest."""

    kind: int
    count: int
    body: bytes


Packet = SenderReport | ReceiverReport | SourceDescription | Goodbye | Other


def is_rtcp(datagram: bytes | bytearray | memoryview) -> bool:
    """Whether a datagram on a port shared by RTP and RTCP is RTCP (:rfc:`5761` §4)."""
    return len(datagram) > 1 and 192 <= datagram[1] <= 223


def parse(datagram: bytes) -> tuple[Packet, ...]:
    """Read a compound packet.

    :raises RtcpError: it fails the checks of :rfc:`3550` §A.2, or what is in a packet does not fit into it.
    """
    if len(datagram) < 8 or len(datagram) % 4:
        raise RtcpError("no whole words")
    if datagram[1] not in (SR, RR) or datagram[0] & 0x20:
        raise RtcpError("a compound packet begins with an unpadded report")
    packets: list[Packet] = []
    at = 0
    while at < len(datagram):
        first, kind, words = _HEAD.unpack_from(datagram, at)
        end = at + 4 * (words + 1)
        if first & 0xC0 != 0x80:
            raise RtcpError("not version 2")
        if end > len(datagram):
            raise RtcpError("longer than the datagram")
        body = datagram[at + 4 : end]
        if first & 0x20:
            if end != len(datagram) or not body or not 4 <= body[-1] <= len(body) or body[-1] % 4:
                raise RtcpError("malformed padding")
            body = body[: -body[-1]]
        packets.append(_packet(kind, first & 0x1F, body))
        at = end
    return tuple(packets)


def _packet(kind: int, count: int, body: bytes) -> Packet:
    # Whatever follows the fields in SR, RR and BYE is a profile's extension, which nobody needs here.
    try:
        if kind == SR:
            ssrc, time, timestamp, packets, octets = _SENDER.unpack_from(body)
            reports = _blocks(count, body, _SENDER.size)
            return SenderReport(ssrc, time, timestamp, packets, octets, reports)
        if kind == RR:
            (ssrc,) = _SSRC.unpack_from(body)
            return ReceiverReport(ssrc, _blocks(count, body, _SSRC.size))
        if kind == SDES:
            return _description(count, body)
        if kind == BYE:
            sources = struct.unpack_from(f"!{count}I", body)
            rest = body[4 * count :]
            if rest and rest[0] >= len(rest):
                raise RtcpError("reason longer than its packet")
            return Goodbye(sources, rest[1 : 1 + rest[0]] if rest else b"")
        return Other(kind, count, body)
    except struct.error as error:
        raise RtcpError("shorter than its count says") from error


def _blocks(count: int, body: bytes, start: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for index in range(count):
        ssrc, lost, *rest = _BLOCK.unpack_from(body, start + index * _BLOCK.size)
        cumulative = lost & 0xFFFFFF
        if cumulative & 0x800000:
            cumulative -= 0x1000000
        blocks.append(ReportBlock(ssrc, lost >> 24, cumulative, *rest))
    return tuple(blocks)


def _description(count: int, body: bytes) -> SourceDescription:
    chunks = []
    at = 0
    for _ in range(count):
        (ssrc,) = _SSRC.unpack_from(body, at)
        at += 4
        items = []
        while at < len(body) and body[at]:
            if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
                raise RtcpError("item longer than its packet")
            items.append((body[at], body[at + 2 : at + 2 + body[at + 1]]))
            at += 2 + body[at + 1]
        if at >= len(body):
            raise RtcpError("chunk without an end")
        at = at // 4 * 4 + 4
        chunks.append(Chunk(ssrc, tuple(items)))
    return SourceDescription(tuple(chunks))


def serialize(*packets: Packet) -> bytes:
    """One compound packet; numbers are cut to the width of their fields, texts to 255 bytes.

    :raises ValueError: more than 31 reports, chunks or sources in one packet.
    """
    return b"".join(_octets(packet) for packet in packets)


def _octets(packet: Packet) -> bytes:
    match packet:
        case SenderReport():
            sender = _SENDER.pack(
                packet.ssrc,
                packet.ntp_time & 0xFFFFFFFFFFFFFFFF,
                packet.timestamp & 0xFFFFFFFF,
                packet.packets & 0xFFFFFFFF,
                packet.octets & 0xFFFFFFFF,
            )
            return _framed(SR, len(packet.reports), sender + _packed(packet.reports))
        case ReceiverReport():
            body = _SSRC.pack(packet.ssrc) + _packed(packet.reports)
            return _framed(RR, len(packet.reports), body)
        case SourceDescription():
            return _framed(SDES, len(packet.chunks), b"".join(map(_chunk, packet.chunks)))
        case Goodbye():
            body = struct.pack(f"!{len(packet.sources)}I", *packet.sources)
            if packet.reason:
                reason = packet.reason[:255]
                body += bytes([len(reason)]) + reason
                body += bytes(-len(body) % 4)
            return _framed(BYE, len(packet.sources), body)
        case Other():
            return _framed(packet.kind, packet.count, packet.body)


def _framed(kind: int, count: int, body: bytes) -> bytes:
    if not 0 <= count <= MOST:
        raise ValueError("too many for one RTCP packet")
    return _HEAD.pack(0x80 | count, kind, len(body) // 4) + body


def _packed(blocks: tuple[ReportBlock, ...]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            (block.fraction_lost & 0xFF) << 24 | block.cumulative_lost & 0xFFFFFF,
            block.highest_sequence & 0xFFFFFFFF,
            block.jitter & 0xFFFFFFFF,
            block.last_sr & 0xFFFFFFFF,
            block.delay & 0xFFFFFFFF,
        )
        for block in blocks
    )


def _chunk(chunk: Chunk) -> bytes:
    octets = _SSRC.pack(chunk.ssrc)
    for kind, text in chunk.items:
        octets += bytes([kind, len(text[:255])]) + text[:255]
    # At least one zero ends the items, more fill the word.
    return octets + bytes(4 - len(octets) % 4)


def ntp_time(unix_time: float) -> int:
    """The 64 bits of NTP for Unix time in seconds."""
    return round((unix_time + NTP_EPOCH) * 65536) << 16 & 0xFFFFFFFFFFFFFFFF


class Reporter:
    """One leg's RTCP: what it hears from its peer, and what it says.

    ``ssrc`` is that of the RTP we send, ``cname`` names this leg and nobody. Times: ``now`` is a monotonic clock in
    seconds, ``unix_time`` the time of day.
    """

    def __init__(self, ssrc: int, cname: str, now: float, rng: Random) -> None:
        self.ssrc = ssrc
        #: When the next report is due; the first one half as late as the others (§6.2).
        self.due = now + 0.5 * self._interval(rng)
        #: What the peer last said of the stream that it gets from us, and the round trip in seconds.
        self.peer_report: ReportBlock | None = None
        self.round_trip: float | None = None
        self._cname = cname.encode()
        self._rng = rng
        self._last_sr = 0
        self._last_sr_at = 0.0

    @staticmethod
    def _interval(rng: Random) -> float:
        # §6.3.1: spread by half around the interval, with the factor that makes up for reconsideration.
        return INTERVAL * (0.5 + rng.random()) / 1.21828

    def received(self, datagram: bytes, now: float, unix_time: float) -> bool:
        """Take what came from the peer's RTCP port; ``False``: it is not RTCP, and was passed over."""
        try:
            packets = parse(datagram)
        except RtcpError:
            return False
        for packet in packets:
            match packet:
                case SenderReport():
                    self._last_sr = packet.ntp_time >> 16 & 0xFFFFFFFF
                    self._last_sr_at = now
                    self._learn(packet.reports, unix_time)
                case ReceiverReport():
                    self._learn(packet.reports, unix_time)
                case _:  # what leaves, or describes itself, changes nothing for us
                    pass
        return True

    def _learn(self, blocks: tuple[ReportBlock, ...], unix_time: float) -> None:
        block = next((block for block in blocks if block.ssrc == self.ssrc), None)
        if block is None:
            return
        self.peer_report = block
        if block.last_sr:
            now = ntp_time(unix_time) >> 16 & 0xFFFFFFFF
            trip = ((now - block.last_sr - block.delay) & 0xFFFFFFFF) / 65536
            if trip <= LONGEST_ROUND_TRIP:
                self.round_trip = trip

    def report(
        self,
        now: float,
        unix_time: float,
        *,
        sent: tuple[int, int, int] | None = None,
        heard: tuple[int, Reception] | None = None,
        leaving: bool = False,
    ) -> bytes:
        """The report that is due, as a datagram; the next one is then due about five seconds later.

        ``sent``, where anything was since the report before: the packets and payload octets sent so far, and the RTP
        timestamp that a sample of this moment would have. ``heard``: the SSRC of the peer's stream, and what came of
        it. With ``leaving`` it is the last one and says goodbye.
        """
        blocks: tuple[ReportBlock, ...] = ()
        if heard is not None:
            source, reception = heard
            delay = round((now - self._last_sr_at) * 65536) if self._last_sr else 0
            blocks = (
                ReportBlock(
                    source,
                    reception.fraction_lost,
                    reception.cumulative_lost,
                    reception.highest_sequence,
                    reception.jitter,
                    self._last_sr,
                    min(delay, 0xFFFFFFFF),
                ),
            )
        packets: list[Packet] = []
        if sent is None:
            packets.append(ReceiverReport(self.ssrc, blocks))
        else:
            count, octets, timestamp = sent
            time = ntp_time(unix_time)
            packets.append(SenderReport(self.ssrc, time, timestamp, count, octets, blocks))
        packets.append(SourceDescription((Chunk(self.ssrc, ((CNAME, self._cname),)),)))
        if leaving:
            packets.append(Goodbye((self.ssrc,)))
        else:
            self.due = now + self._interval(self._rng)
        return serialize(*packets)
