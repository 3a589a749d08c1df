"""The relay: one loop that moves RTP between the legs of many calls and plays tones. It runs in one thread.

A leg's packets come in on two sockets of one port. Once it is known where the peer sends from, a second socket is
connected to that source: the kernel then gives it the peer's packets and nobody else's, with no address to make and to
compare for each, and sends without looking for a route. What strangers send stays with the first socket, the guard,
where it is weighed and counted.

A packet takes one of two roads. The regular one, next in sequence and in the format of the one before, gets as little
work as possible in :meth:`Relay._relay`. All others go through :meth:`Relay._irregular`, which also works out what will
make the next ones regular.
"""

import ipaddress
import logging
import select
import socket
import struct
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sipstack.media.g711 import ALAW_TO_ULAW, ULAW_TO_ALAW
from sipstack.media.latch import Latch
from sipstack.media.reception import Reception
from sipstack.media.tones import FRAME, RATE, Tone
from sipstack.sdp import Codec, RemoteMedia
from sipstack.transport import Address

log = logging.getLogger(__name__)

#: Seconds of a frame.
TICK = FRAME / RATE
#: Seconds from one look at the sockets to the next. Waking up costs as much as relaying two packets, so it is done for
#: several at once; a packet waits for half of it on average.
TURN = 0.001
#: Tones are played in this many groups, so that a thousand of them do not hold up what is relayed.
GROUPS = 20
#: Sockets served in one turn.
MOST = 8192
#: Datagrams taken from a guard in one turn.
BATCH = 16
#: Frames sent late in one go after a stall; beyond that they are skipped, as the ear would skip them.
CATCH_UP = 5
#: The largest RTP packet that is relayed, in bytes.
LARGEST = 2048

#: Version, padding, extension, CSRC count, marker and payload type as one number; sequence, timestamp, SSRC.
_HEADER = struct.Struct("!HHII")
_MARKER = 0x0080
_TRANSCODE = {("PCMU", "PCMA"): ULAW_TO_ALAW, ("PCMA", "PCMU"): ALAW_TO_ULAW}

#: The frames of a tone by the names of the encodings.
Frames = Mapping[str, tuple[bytes, ...]]


class Poller(Protocol):
    """What the relay needs of :class:`select.epoll`."""

    def register(self, fd: int, eventmask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, timeout: float | None, maxevents: int, /) -> list[tuple[int, int]]: ...


@dataclass(frozen=True, slots=True)
class LegCounters:
    """What went through a leg.

    Packets received are counted with those that came ``late`` or twice (``duplicate``); the ``lost`` never came.
    ``rejected`` is what came from strangers, in other formats, or was no RTP. Jitter and the longest gap are in
    milliseconds; ``last_received`` is on the clock of the media plane; ``codec`` is what the peer was last heard to
    send.
    """

    packets_received: int = 0
    bytes_received: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    jitter_ms: float = 0.0
    longest_gap_ms: float = 0.0
    rejected: int = 0
    source_changes: int = 0
    last_received: float | None = None
    codec: str | None = None


class Line:
    """One leg as the relay has it. Belongs to the relay's thread; :meth:`counters` may be asked from any."""

    __slots__ = (
        "bytes_sent",
        "codec",
        "destination",
        "expected",
        "fresh",
        "group",
        "guard",
        "heard",
        "latch",
        "lead",
        "other",
        "out",
        "out_lead",
        "packets_sent",
        "passing",
        "receive",
        "remote",
        "rtcp",
        "sent_at",
        "sequence",
        "sequence_offset",
        "ssrc",
        "table",
        "talk",
        "timestamp",
        "timestamp_offset",
        "tone",
        "tone_frames",
        "tone_position",
        "tone_type",
        "translation",
        "transmit",
        "until_media",
    )

    def __init__(
        self, guard: socket.socket, rtcp: socket.socket, ssrc: int, known: Collection[str] = ()
    ) -> None:
        self.guard = guard
        self.rtcp = rtcp
        #: The socket connected to the peer, once its source is known.
        self.talk: socket.socket | None = None
        self.latch = Latch(guard.getsockname()[0], known)
        self.remote: RemoteMedia | None = None
        self.expected: dict[int, Codec] = {}
        self.other: Line | None = None
        # What comes from the peer.
        self.heard = Reception()
        self.codec: Codec | None = None
        self.receive: Callable[[bytearray], int] = guard.recv_into
        #: For each payload type from the peer: that of the other leg, and the translation of its payload.
        self.translation: dict[int, tuple[int, bytes | None]] = {}
        #: How a regular packet begins, and how it is to begin on the other leg; -1: none is regular.
        self.lead = -1
        self.out_lead = 0
        self.table: bytes | None = None
        #: The leg that regular packets are passed on to.
        self.out: Line | None = None
        #: The SSRC whose packets are being passed on, and what is added to their numbers.
        self.passing = -1
        self.sequence_offset = 0
        self.timestamp_offset = 0
        # What the peer gets: one stream, whatever it is made of.
        self.destination: Address | None = None
        self.transmit: Callable[[bytes | memoryview], object]
        self.ssrc = ssrc
        self.sequence = ssrc & 0xFFFF
        self.timestamp = (ssrc * 7) & 0xFFFFFFFF
        self.sent_at = 0.0
        self.packets_sent = 0
        self.bytes_sent = 0
        self.tone: Tone | None = None
        self.tone_frames: tuple[bytes, ...] = ()
        self.tone_position = 0
        self.tone_type = 0
        #: Those that are sent their frames at the same moment.
        self.group: dict[Line, None] | None = None
        #: The tone's next frame is its first.
        self.fresh = False
        self.until_media = False

    def counters(self) -> LegCounters:
        """The counters so far."""
        heard = self.heard
        return LegCounters(
            packets_received=heard.packets,
            bytes_received=heard.bytes,
            packets_sent=self.packets_sent,
            bytes_sent=self.bytes_sent,
            lost=heard.lost,
            late=heard.late,
            duplicate=heard.duplicate,
            jitter_ms=round(1000 * heard.jitter / heard.rate, 3),
            longest_gap_ms=round(1000 * heard.longest_gap, 3),
            rejected=heard.rejected,
            source_changes=heard.source_changes,
            last_received=heard.last or None,
            codec=self.codec.name if self.codec else None,
        )


class Relay:
    """The lines of one thread, by numbers that the caller chooses. All methods are the thread's own.

    ``poller``, ``clock``, ``sleep`` and ``connect`` are the world outside; ``connect`` makes the second socket of a
    guard's port, connected to an address, or ``None`` where that cannot be.
    """

    def __init__(
        self,
        poller: Poller,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        connect: Callable[[socket.socket, Address], socket.socket | None] | None = None,
    ) -> None:
        self._poller = poller
        self._clock = clock
        self._sleep = sleep
        self._connect = connect or connected
        self._lines: dict[int, Line] = {}
        self._talks: dict[int, Line] = {}
        self._guards: dict[int, Line] = {}
        self._controls: dict[int, Line] = {}
        self._doors: dict[int, Callable[[], None]] = {}
        self._tones: dict[Tone, Frames] = {}
        self._groups: list[dict[Line, None]] = [{} for _ in range(GROUPS)]
        self._sounding = 0
        self._epoch = 0.0
        self._moment = 0
        self._buffer = bytearray(LARGEST)
        # A slice for each size, made once.
        whole = memoryview(self._buffer)
        self._views = [whole[:size] for size in range(LARGEST + 1)]

    # --- what it is told

    def attend(self, fd: int, serve: Callable[[], None]) -> None:
        """Call ``serve`` whenever ``fd`` can be read."""
        self._doors[fd] = serve
        self._poller.register(fd, select.EPOLLIN)

    def add(self, number: int, line: Line) -> None:
        """Serve a line from now on."""
        self._lines[number] = line
        self._guards[line.guard.fileno()] = self._controls[line.rtcp.fileno()] = line
        self._poller.register(line.guard.fileno(), select.EPOLLIN)
        self._poller.register(line.rtcp.fileno(), select.EPOLLIN)

    def describe(self, number: int, remote: RemoteMedia, codecs: tuple[Codec, ...]) -> None:
        """Take what the peer said of its stream, and the codecs with the numbers that we receive."""
        line = self._lines[number]
        if remote == line.remote and set(codecs) == set(line.expected.values()):
            return
        line.remote = remote
        line.expected = {codec.payload_type: codec for codec in codecs}
        line.heard.pause()
        if remote.port and not _is_unspecified(remote.address):
            # Port 0 and 0.0.0.0 say that nothing is wanted, not that the peer has moved.
            line.latch.signal(_reachable(remote, line.guard.family))
        if line.latch.source is None:
            self._disconnect(line)
        self._aim(line)
        if line.tone is not None:
            self._sound(line)

    def bridge(self, number: int, other: int) -> None:
        """Pass on what either peer sends to the other, from now on."""
        one, two = self._lines[number], self._lines[other]
        for line, new in ((one, two), (two, one)):
            if line.other not in (None, new):
                self._part(line)
            line.other = new
        self._wire(one)
        self._wire(two)

    def unbridge(self, number: int) -> None:
        """Stop passing anything on."""
        self._part(self._lines[number])

    def learn(self, tone: Tone, frames: Frames) -> None:
        """What a tone sounds like in every encoding."""
        self._tones[tone] = frames

    def play(self, number: int, tone: Tone | None, until_media: bool) -> None:
        """Play a tone to the peer instead of what the other leg sends; ``None`` ends it.

        With ``until_media`` the other leg's first packet ends it for good.
        """
        line = self._lines[number]
        if tone != line.tone:
            self._silence(line)
            line.tone, line.tone_position = tone, 0
            self._sound(line)
        line.until_media = until_media
        if line.other is not None:
            self._wire(line.other)

    def remove(self, number: int) -> LegCounters:
        """End a line and close its sockets."""
        line = self._lines.pop(number)
        self._part(line)
        self._silence(line)
        self._disconnect(line)
        for held, used in ((self._guards, line.guard), (self._controls, line.rtcp)):
            del held[used.fileno()]
            self._poller.unregister(used.fileno())
            used.close()
        return line.counters()

    def close(self) -> None:
        """End all lines."""
        for number in list(self._lines):
            self.remove(number)

    # --- what follows from it

    def _part(self, line: Line) -> None:
        other, line.other = line.other, None
        self._wire(line)
        if other is not None:
            other.other = None
            self._wire(other)

    def _aim(self, line: Line) -> None:
        """Work out where the peer's packets go, and how."""
        remote, latch = line.remote, line.latch
        if remote is None or remote.on_hold or remote.port == 0:
            line.destination = None
        else:
            line.destination = latch.destination
        if line.talk is not None and line.destination == latch.source:
            line.transmit = line.talk.send
        elif line.destination is not None:
            line.transmit = partial(_send_to, line.guard, line.destination)
        self._wire(line)
        if line.other is not None:
            self._wire(line.other)

    def _wire(self, line: Line) -> None:
        """Work out the translation of this leg's payload types into the other's. The next packet is not regular."""
        line.lead, line.out = -1, None
        line.translation = {}
        other = line.other
        if other is None or other.remote is None:
            line.passing = -1
            return
        for number, codec in line.expected.items():
            same = next((c for c in other.remote.codecs if c.same_as(codec)), None)
            if same is not None:
                line.translation[number] = (same.payload_type, None)
                continue
            for theirs in other.remote.codecs:
                table = _TRANSCODE.get((codec.name.upper(), theirs.name.upper()))
                if table is not None:
                    line.translation[number] = (theirs.payload_type, table)
                    break

    def _latched(self, line: Line) -> None:
        """The peer's source is known now, or is another."""
        source = line.latch.source
        assert source is not None
        line.heard.source_changes += line.heard.packets > 0
        self._disconnect(line)
        line.talk = self._connect(line.guard, source)
        if line.talk is not None:
            line.receive = line.talk.recv_into
            self._talks[line.talk.fileno()] = line
            self._poller.register(line.talk.fileno(), select.EPOLLIN)
        self._aim(line)

    def _disconnect(self, line: Line) -> None:
        if line.talk is not None:
            del self._talks[line.talk.fileno()]
            self._poller.unregister(line.talk.fileno())
            line.talk.close()
            line.talk = None

    # --- the loop

    def turn(self) -> None:
        """Wait for something to do, do it, and let it be :data:`TURN` seconds before the next turn."""
        timeout = None
        if self._sounding:
            timeout = max(0.0, self._epoch + self._moment * TICK / GROUPS - self._clock())
        ready = self._poller.poll(timeout, MOST)
        now = self._clock()
        self._relay(ready, now)
        if self._sounding:
            self._play(now)
        left = now + TURN - self._clock()
        if left > 0:
            self._sleep(left)

    def _relay(self, ready: list[tuple[int, int]], now: float) -> None:
        """Take one packet from each ready socket, so that none starves another, and pass it on."""
        talks, buffer, views = self._talks, self._buffer, self._views
        unpack, pack = _HEADER.unpack_from, _HEADER.pack_into
        for fd, _ in ready:
            line = talks.get(fd)
            if line is None:
                self._serve(fd, now)
                continue
            try:
                size = line.receive(buffer)
            except OSError:
                continue  # an ICMP error of what was sent: the peer's port is not open yet
            lead, sequence, timestamp, ssrc = unpack(buffer)
            heard = line.heard
            # A short datagram leaves the tail of the one before in the buffer.
            if (
                lead != line.lead
                or sequence - 1 != heard.sequence
                or ssrc != heard.ssrc
                or size < 12
            ):
                self._irregular(line, size, now)
                continue
            heard.regular(sequence, timestamp, size, now)
            out = line.out
            if out is None:
                continue
            if line.table is not None:
                buffer[12:size] = buffer[12:size].translate(line.table)
            sequence = (sequence + line.sequence_offset) & 0xFFFF
            timestamp = (timestamp + line.timestamp_offset) & 0xFFFFFFFF
            pack(buffer, 0, line.out_lead, sequence, timestamp, out.ssrc)
            try:
                out.transmit(views[size])
            except OSError:
                continue  # a full buffer or an ICMP error of the packet before: RTP may lose one
            out.sequence = sequence
            out.timestamp = timestamp
            out.sent_at = now
            out.packets_sent += 1
            out.bytes_sent += size

    def _irregular(self, line: Line, size: int, now: float) -> None:
        """Any packet of the peer's, in the buffer."""
        buffer, heard = self._buffer, line.heard
        lead, sequence, timestamp, ssrc = _HEADER.unpack_from(buffer)
        codec = line.expected.get(lead & 0x7F)
        if size < 12 or lead & 0xC000 != 0x8000 or codec is None:
            heard.rejected += 1
            return
        audio = codec.name != "telephone-event"
        newest = heard.take(sequence, timestamp, ssrc, size, now, codec.clock_rate if audio else 0)
        line.lead, line.out = -1, None
        if audio:
            line.codec = codec
            line.lead = lead & ~_MARKER
        out = line.other
        if out is None or out.destination is None:
            return
        translated = line.translation.get(lead & 0x7F)
        if translated is None:
            line.lead = -1
            heard.rejected += 1
            return
        if out.tone_frames:
            if not out.until_media:
                return
            self._silence(out)
        kind, table = translated
        marker = lead & _MARKER
        if line.passing != ssrc:
            # Another source within the one stream: its numbers go on from where ours stand.
            line.passing = ssrc
            line.sequence_offset = out.sequence + 1 - sequence
            line.timestamp_offset = out.timestamp + _elapsed(out, now, codec.clock_rate) - timestamp
            marker = _MARKER
        if audio:
            line.out, line.table = out, table
            line.out_lead = lead & 0xFF00 | kind
            if table is not None and line.out_lead >> 8 != 0x80:
                line.lead = -1  # the payload does not begin where it does in a regular packet
        sequence = (sequence + line.sequence_offset) & 0xFFFF
        timestamp = (timestamp + line.timestamp_offset) & 0xFFFFFFFF
        _HEADER.pack_into(buffer, 0, lead & 0xFF00 | marker | kind, sequence, timestamp, out.ssrc)
        if table is not None:
            start = _payload_start(buffer, size)
            buffer[start:size] = buffer[start:size].translate(table)
        if self._send(out, self._views[size], size, now) and newest:
            out.sequence, out.timestamp = sequence, timestamp

    def _send(self, line: Line, packet: bytes | memoryview, size: int, now: float) -> bool:
        try:
            line.transmit(packet)
        except OSError:
            return False
        line.sent_at = now
        line.packets_sent += 1
        line.bytes_sent += size
        return True

    def _serve(self, fd: int, now: float) -> None:
        """Whatever is no regular packet's socket."""
        if fd in self._doors:
            self._doors[fd]()
        elif fd in self._guards:
            line = self._guards[fd]
            self._weigh(line, line.guard, now)
        elif fd in self._controls:
            self._control(self._controls[fd])

    def _weigh(self, line: Line, used: socket.socket, now: float) -> None:
        """Take what may have come from anybody: there is no known source, or this is elsewhere."""
        buffer, heard, latch = self._buffer, line.heard, line.latch
        for _ in range(BATCH):
            try:
                size, source = used.recvfrom_into(buffer)
            except BlockingIOError:
                return
            except OSError:
                continue
            # IPv6 has two more fields, which an address from a description has not.
            source = source[:2]
            if source == latch.source:
                self._irregular(line, size, now)
                continue
            lead, sequence, _, ssrc = _HEADER.unpack_from(buffer)
            if (
                size < 12
                or lead & 0xC000 != 0x8000
                or lead & 0x7F not in line.expected
                or not latch.consider(source, sequence, ssrc, now, heard.last)
            ):
                heard.rejected += 1
                continue
            self._latched(line)
            self._irregular(line, size, now)
            if line.talk is not None:
                # What came to the new socket before it was connected may be anybody's.
                self._weigh(line, line.talk, now)

    def _control(self, line: Line) -> None:
        """Take RTCP off the socket. It moves nothing, and is not told to the other leg, whose SSRCs differ."""
        for _ in range(BATCH):
            try:
                line.rtcp.recvfrom_into(self._buffer)
            except OSError:
                return

    # --- tones

    def _sound(self, line: Line) -> None:
        """Have the line's tone played in an encoding that the peer takes, if there is one."""
        self._quiet(line)
        remote = line.remote
        if remote is None or line.tone is None:
            return
        codec = next((c for c in remote.codecs if c.name.upper() in ("PCMU", "PCMA")), None)
        if codec is None:
            return
        line.tone_frames = self._tones[line.tone][codec.name.upper()]
        line.tone_position %= len(line.tone_frames)
        line.tone_type = codec.payload_type
        line.fresh = True
        if not self._sounding:
            self._epoch, self._moment = self._clock(), 0
        self._sounding += 1
        line.group = self._groups[self._moment % GROUPS]
        line.group[line] = None

    def _silence(self, line: Line) -> None:
        line.tone, line.until_media = None, False
        self._quiet(line)

    def _quiet(self, line: Line) -> None:
        line.tone_frames = ()
        if line.group is not None:
            del line.group[line]
            line.group = None
            self._sounding -= 1

    def _play(self, now: float) -> None:
        """Send what is due, on an absolute schedule so that nothing drifts."""
        due = int((now - self._epoch) * GROUPS / TICK) + 1
        laps = (due - self._moment) // GROUPS - CATCH_UP
        if laps > 0:
            self._moment += laps * GROUPS
            for group in self._groups:
                for line in group:
                    line.timestamp = (line.timestamp + laps * FRAME) & 0xFFFFFFFF
                    line.tone_position = (line.tone_position + laps) % len(line.tone_frames)
        while self._moment < due:
            for line in self._groups[self._moment % GROUPS]:
                self._play_frame(line, now)
            self._moment += 1

    def _play_frame(self, line: Line, now: float) -> None:
        payload = line.tone_frames[line.tone_position]
        line.tone_position = (line.tone_position + 1) % len(line.tone_frames)
        step, marker = FRAME, 0
        if line.fresh:
            line.fresh = False
            step, marker = _elapsed(line, now, RATE), _MARKER
            if line.other is not None:
                line.other.passing = -1
        line.sequence = (line.sequence + 1) & 0xFFFF
        line.timestamp = (line.timestamp + step) & 0xFFFFFFFF
        if line.destination is None:
            return
        packet = _HEADER.pack(
            0x8000 | marker | line.tone_type, line.sequence, line.timestamp, line.ssrc
        )
        self._send(line, packet + payload, 12 + len(payload), now)


def connected(guard: socket.socket, address: Address) -> socket.socket | None:
    """A second socket on a guard's port, connected to ``address``; ``None`` where the system does not allow it."""
    fresh = socket.socket(guard.family, socket.SOCK_DGRAM)
    try:
        fresh.setblocking(False)
        both = (guard, fresh)
        for one in both:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        fresh.bind(guard.getsockname())
        fresh.connect(address)
        # From here on nobody else may have the port.
        for one in both:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    except OSError as error:
        log.warning("a relay's port stays unconnected, which costs time: %s", error)
        fresh.close()
        return None
    return fresh


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _is_unspecified(address: str) -> bool:
    ip = _ip(address)
    return ip is not None and ip.is_unspecified


def _reachable(remote: RemoteMedia, family: int) -> Address | None:
    """Where the peer said it is, unless packets cannot or must not go there: a name would have to be looked up."""
    ip = _ip(remote.address)
    if ip is None or ip.is_multicast or (ip.version == 6) != (family == socket.AF_INET6):
        return None
    return remote.address, remote.port


def _send_to(guard: socket.socket, destination: Address, packet: bytes | memoryview) -> None:
    guard.sendto(packet, destination)


def _elapsed(line: Line, now: float, rate: int) -> int:
    """Ticks from the last packet that the peer got to one that is sent now, a frame at least."""
    frame = rate * FRAME // RATE
    return max(frame, round((now - line.sent_at) * rate)) if line.sent_at else frame


def _payload_start(buffer: bytearray, size: int) -> int:
    """Where an RTP packet's payload begins, behind contributing sources and an extension (:rfc:`3550` §5.1)."""
    start = 12 + 4 * (buffer[0] & 0x0F)
    if buffer[0] & 0x10 and start + 4 <= size:
        start += 4 + 4 * int.from_bytes(buffer[start + 2 : start + 4])
    return min(start, size)
