"""The relay: moves RTP between the legs of a call, and plays tones, in a thread of its own on epoll.

Everything about a leg belongs to the relay's thread. The methods of :class:`MediaLeg` put a command in a queue and
return at once; only opening sockets and reading counters happen in the caller's thread.
"""

import errno
import logging
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random, SystemRandom

from sipstack.media.g711 import ALAW_TO_ULAW, ULAW_TO_ALAW
from sipstack.media.latch import Latch
from sipstack.media.ports import NoPortsLeft, PortPairs
from sipstack.media.tones import FRAME, RATE, Tone
from sipstack.sdp import Codec, RemoteMedia
from sipstack.transport import Address

log = logging.getLogger(__name__)

#: Seconds of a frame.
TICK = FRAME / RATE
#: Datagrams taken from one socket before the next one has its turn.
BATCH = 16
#: Frames sent late in one go after a stall; beyond that they are skipped, as the ear would skip them.
CATCH_UP = 5
#: The largest RTP packet that is relayed, in bytes.
LARGEST = 2048
#: Sockets bound in vain, because others hold the ports, before giving up.
BIND_ATTEMPTS = 64

_HEADER = struct.Struct("!BBHII")
_TRANSCODE = {("PCMU", "PCMA"): ULAW_TO_ALAW, ("PCMA", "PCMU"): ALAW_TO_ULAW}


@dataclass(frozen=True, slots=True)
class LegCounters:
    """What went through a leg. ``rejected`` counts packets from strangers, of other formats, or that were no RTP.

    ``last_received`` is on the clock of the media plane; ``codec`` is what the peer was last heard to send.
    """

    packets_received: int = 0
    bytes_received: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    rejected: int = 0
    source_changes: int = 0
    last_received: float | None = None
    codec: str | None = None


class MediaLeg:
    """One leg's pair of ports. Made by :meth:`MediaPlane.open`."""

    def __init__(
        self, plane: "MediaPlane", address: str, rtp: socket.socket, rtcp: socket.socket, ssrc: int
    ) -> None:
        self.address = address
        self.rtp_port: int = rtp.getsockname()[1]
        self.rtcp_port = self.rtp_port + 1
        self._plane = plane
        self._closed = False
        # What follows belongs to the relay's thread.
        self.rtp = rtp
        self.rtcp = rtcp
        self.latch = Latch()
        self.remote: RemoteMedia | None = None
        self.expected: dict[int, Codec] = {}
        #: For each payload type from the peer: that of the other leg, and the translation of its payload.
        self.translation: dict[int, tuple[int, bytes | None]] = {}
        self.destination: Address | None = None
        self.other: MediaLeg | None = None
        self.tone: tuple[bytes, ...] = ()
        self.tone_source: Tone | None = None
        self.tone_position = 0
        self.tone_type = 0
        self.until_media = False
        # The one stream that the peer gets from us, whatever it is made of.
        self.ssrc = ssrc
        self.sequence = ssrc & 0xFFFF
        self.timestamp = (ssrc * 7) & 0xFFFFFFFF
        self.sent_at = 0.0
        #: The SSRC whose packets are being passed on, and what is added to their numbers.
        self.passing: int | None = None
        self.sequence_offset = 0
        self.timestamp_offset = 0
        self.packets_received = self.bytes_received = 0
        self.packets_sent = self.bytes_sent = 0
        self.rejected = self.source_changes = 0
        self.last_type: int | None = None

    def set_remote(self, remote: RemoteMedia, local_codecs: tuple[Codec, ...]) -> None:
        """Take what the peer said of its stream, and the codecs with the numbers that we receive."""
        self._plane.command(lambda: self._set_remote(remote, local_codecs))

    def bridge(self, other: "MediaLeg") -> None:
        """Pass on what either peer sends to the other, from now on."""

        def join() -> None:
            self.other, other.other = other, self
            self._wire()
            other._wire()

        self._plane.command(join)

    def unbridge(self) -> None:
        """Stop passing anything on."""

        def part() -> None:
            other, self.other = self.other, None
            if other is not None:
                other.other = None

        self._plane.command(part)

    def play(self, source: Tone | None, until_media: bool = False) -> None:
        """Play a tone to the peer instead of what the other leg sends; ``None`` ends it.

        With ``until_media`` the other leg's first packet ends it for good.
        """
        self._plane.command(lambda: self._play(source, until_media))

    def counters(self) -> LegCounters:
        """The counters so far."""
        last = self.latch.last
        codec = self.expected.get(self.last_type) if self.last_type is not None else None
        return LegCounters(
            packets_received=self.packets_received,
            bytes_received=self.bytes_received,
            packets_sent=self.packets_sent,
            bytes_sent=self.bytes_sent,
            rejected=self.rejected,
            source_changes=self.source_changes,
            last_received=last or None,
            codec=codec.name if codec else None,
        )

    def close(self) -> LegCounters:
        """Stop, and give the ports back. May be called again."""
        if not self._closed:
            self._closed = True
            self._plane.release(self)
        return self.counters()

    # --- in the relay's thread

    def _set_remote(self, remote: RemoteMedia, local_codecs: tuple[Codec, ...]) -> None:
        self.remote = remote
        self.expected = {codec.payload_type: codec for codec in local_codecs}
        address = (remote.address, remote.port)
        self.latch.signal(address)
        self._aim()
        self._wire()
        if self.other is not None:
            self.other._wire()
        if self.tone_source is not None:
            self._play(self.tone_source, self.until_media)

    def _aim(self) -> None:
        remote = self.remote
        if remote is None or remote.direction in ("sendonly", "inactive") or remote.port == 0:
            self.destination = None
        else:
            self.destination = self.latch.source or self.latch.signalled

    def _wire(self) -> None:
        """Work out the translation of this leg's payload types into the other's."""
        self.translation = {}
        other = self.other
        if other is None or other.remote is None:
            return
        for number, codec in self.expected.items():
            same = next((c for c in other.remote.codecs if c.same_as(codec)), None)
            if same is not None:
                self.translation[number] = (same.payload_type, None)
                continue
            for theirs in other.remote.codecs:
                table = _TRANSCODE.get((codec.name.upper(), theirs.name.upper()))
                if table is not None:
                    self.translation[number] = (theirs.payload_type, table)
                    break

    def _play(self, source: Tone | None, until_media: bool) -> None:
        if source is self.tone_source and self.tone:
            self.until_media = until_media
            return
        self.tone, self.tone_source, self.tone_position = (), source, 0
        self.until_media = until_media
        if source is None or self.remote is None:
            self._plane.silence(self)
            return
        codec = next((c for c in self.remote.codecs if c.name.upper() in ("PCMU", "PCMA")), None)
        if codec is None:
            self._plane.silence(self)  # nothing that we can make a tone in
            return
        self.tone = self._plane.frames(source, codec.name.upper())
        self.tone_type = codec.payload_type
        self.passing = None
        self._plane.sound(self)


class MediaPlane:
    """All legs of one process: their ports, and the thread that relays. ``ports`` are the first and last to use."""

    def __init__(
        self,
        ports: tuple[int, int],
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
    ) -> None:
        self._clock = clock
        self._rng = rng or SystemRandom()
        self._pairs = PortPairs(*ports)
        self._lock = threading.Lock()
        self._commands: deque[Callable[[], None]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, select.EPOLLIN)
        self._rtp: dict[int, MediaLeg] = {}
        self._rtcp: dict[int, MediaLeg] = {}
        self._sounding: dict[MediaLeg, None] = {}
        self._frames: dict[tuple[Tone, str], tuple[bytes, ...]] = {}
        self._next_frame = 0.0
        self._running = False
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._buffer = bytearray(LARGEST)
        self._view = memoryview(self._buffer)

    # --- in the caller's thread

    @property
    def capacity(self) -> int:
        """Legs that there are ports for."""
        return self._pairs.capacity

    @property
    def ports_in_use(self) -> int:
        """Port pairs that are given out."""
        return self._pairs.in_use

    def start(self) -> None:
        """Start the relay's thread."""
        self._running = True
        self._thread.start()

    def close(self) -> None:
        """End the thread and close all sockets."""

        def stop() -> None:
            self._running = False

        if self._thread.is_alive():
            self.command(stop)
            self._thread.join(5.0)
        for leg in self._rtp.values():
            leg.rtp.close()
            leg.rtcp.close()
        self._rtp.clear()
        self._epoll.close()
        os.close(self._wake)

    def open(self, address: str) -> MediaLeg:
        """A new leg, its ports bound on the local IP literal ``address``.

        :raises NoPortsLeft: no pair is free.
        :raises OSError: the address is not ours.
        """
        for _ in range(BIND_ATTEMPTS):
            now = self._clock()
            with self._lock:
                port = self._pairs.take(now)
            try:
                rtp, rtcp = _bind(address, port)
            except OSError as error:
                with self._lock:
                    self._pairs.give_back(port, now)
                if isinstance(error, _Taken):
                    continue
                raise
            leg = MediaLeg(self, address, rtp, rtcp, self._rng.getrandbits(32))
            self.command(partial(self._add, leg))
            return leg
        raise NoPortsLeft("the RTP ports are held by other programs")

    def command(self, work: Callable[[], None]) -> None:
        """Have ``work`` done in the relay's thread, in the order given."""
        self._commands.append(work)
        os.eventfd_write(self._wake, 1)

    def release(self, leg: MediaLeg) -> None:
        """Close a leg's sockets and give its ports back."""
        self.command(lambda: self._remove(leg))

    # --- in the relay's thread

    def _add(self, leg: MediaLeg) -> None:
        self._rtp[leg.rtp.fileno()] = leg
        self._rtcp[leg.rtcp.fileno()] = leg
        self._epoll.register(leg.rtp.fileno(), select.EPOLLIN)
        self._epoll.register(leg.rtcp.fileno(), select.EPOLLIN)

    def _remove(self, leg: MediaLeg) -> None:
        if leg.other is not None:
            leg.other.other = None
            leg.other = None
        self._sounding.pop(leg, None)
        for held, used in ((self._rtp, leg.rtp), (self._rtcp, leg.rtcp)):
            held.pop(used.fileno(), None)
            self._epoll.unregister(used.fileno())
            used.close()
        with self._lock:
            self._pairs.give_back(leg.rtp_port, self._clock())

    def frames(self, tone: Tone, encoding: str) -> tuple[bytes, ...]:
        """The frames of a tone, made once."""
        found = self._frames.get((tone, encoding))
        if found is None:
            found = self._frames[tone, encoding] = tone.frames(encoding)
        return found

    def sound(self, leg: MediaLeg) -> None:
        """The leg has a tone to play."""
        if not self._sounding:
            self._next_frame = self._clock()
        self._sounding[leg] = None

    def silence(self, leg: MediaLeg) -> None:
        """The leg has none any more."""
        self._sounding.pop(leg, None)
        leg.tone, leg.tone_source, leg.until_media = (), None, False

    def _run(self) -> None:
        while self._running:
            timeout = -1.0
            if self._sounding:
                timeout = max(0.0, self._next_frame - self._clock())
            for fd, _ in self._epoll.poll(timeout):
                leg = self._rtp.get(fd)
                if leg is not None:
                    self._relay(leg)
                elif fd == self._wake:
                    os.eventfd_read(self._wake)
                    self._obey()
                else:
                    self._drain_rtcp(fd)
            if self._sounding and self._clock() >= self._next_frame:
                self._play_frames()

    def _obey(self) -> None:
        while self._commands:
            work = self._commands.popleft()
            try:
                work()
            except Exception:
                # One leg's fault must not silence all the others.
                log.exception("the relay could not do what it was told")

    def _relay(self, leg: MediaLeg) -> None:
        """Take what has come for one leg, and pass it on."""
        receive, buffer, view, latch = leg.rtp.recvfrom_into, self._buffer, self._view, leg.latch
        now = self._clock()
        for _ in range(BATCH):
            try:
                size, source = receive(buffer)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error of what was sent: the peer's port is not open yet
            # 12 bytes of header at least, version 2.
            if size < 12 or buffer[0] & 0xC0 != 0x80:
                leg.rejected += 1
                continue
            kind = buffer[1] & 0x7F
            if kind not in leg.expected:
                leg.rejected += 1
                continue
            _, _, sequence, timestamp, ssrc = _HEADER.unpack_from(buffer)
            if source != latch.source:
                # IPv6 has two more fields, which an address from a description has not.
                source = source[:2]
                if source != latch.source:
                    if not latch.consider(source, sequence, ssrc, now):
                        leg.rejected += 1
                        continue
                    leg.source_changes += 1
                    leg._aim()
            latch.last = now
            leg.packets_received += 1
            leg.bytes_received += size
            leg.last_type = kind
            other = leg.other
            if other is None or other.destination is None:
                continue
            translated = leg.translation.get(kind)
            if translated is None:
                leg.rejected += 1
                continue
            if other.tone:
                if not other.until_media:
                    continue
                self.silence(other)
            out_kind, table = translated
            marker = buffer[1] & 0x80
            if other.passing != ssrc:
                # Another source within the one stream: its numbers go on from where ours stand.
                other.passing = ssrc
                gap = max(FRAME, round((now - other.sent_at) * RATE)) if other.sent_at else FRAME
                other.sequence_offset = other.sequence + 1 - sequence
                other.timestamp_offset = other.timestamp + gap - timestamp
                marker = 0x80
            new_sequence = (sequence + other.sequence_offset) & 0xFFFF
            new_timestamp = (timestamp + other.timestamp_offset) & 0xFFFFFFFF
            _HEADER.pack_into(
                buffer, 0, buffer[0], out_kind | marker, new_sequence, new_timestamp, other.ssrc
            )
            if table is not None:
                start = _payload_start(buffer, size)
                buffer[start:size] = buffer[start:size].translate(table)
            if (new_sequence - other.sequence) & 0xFFFF < 0x8000:
                other.sequence, other.timestamp = new_sequence, new_timestamp
            self._send(other, view[:size], size, now)

    def _send(self, leg: MediaLeg, packet: memoryview | bytes, size: int, now: float) -> None:
        assert leg.destination is not None
        try:
            leg.rtp.sendto(packet, leg.destination)
        except OSError:
            return  # a full buffer or an ICMP error of the packet before: RTP is allowed to lose one
        leg.sent_at = now
        leg.packets_sent += 1
        leg.bytes_sent += size

    def _drain_rtcp(self, fd: int) -> None:
        """Take RTCP off the socket. It moves nothing, and nothing is told to the other leg, whose SSRCs differ."""
        leg = self._rtcp.get(fd)
        if leg is None:
            return
        for _ in range(BATCH):
            try:
                leg.rtcp.recvfrom_into(self._buffer)
            except OSError:
                return

    def _play_frames(self) -> None:
        """Send each sounding leg its next frame, on an absolute schedule so that nothing drifts."""
        now = self._clock()
        late = int((now - self._next_frame) / TICK)
        for _ in range(min(late + 1, CATCH_UP)):
            for leg in list(self._sounding):
                self._play_frame(leg, now)
        skipped = max(0, late + 1 - CATCH_UP)
        if skipped:
            for leg in self._sounding:
                leg.timestamp = (leg.timestamp + skipped * FRAME) & 0xFFFFFFFF
                leg.tone_position = (leg.tone_position + skipped) % len(leg.tone)
        self._next_frame += (late + 1) * TICK

    def _play_frame(self, leg: MediaLeg, now: float) -> None:
        payload = leg.tone[leg.tone_position]
        first = leg.tone_position == 0 and leg.passing is None and leg.packets_sent == 0
        leg.tone_position = (leg.tone_position + 1) % len(leg.tone)
        leg.sequence = (leg.sequence + 1) & 0xFFFF
        leg.timestamp = (leg.timestamp + FRAME) & 0xFFFFFFFF
        if leg.destination is None:
            return
        marker = 0x80 if first else 0
        packet = _HEADER.pack(0x80, leg.tone_type | marker, leg.sequence, leg.timestamp, leg.ssrc)
        self._send(leg, packet + payload, 12 + len(payload), now)


class _Taken(OSError):
    """The port is another program's."""


def _bind(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sockets: list[socket.socket] = []
    try:
        for number in (port, port + 1):
            fresh = socket.socket(family, socket.SOCK_DGRAM)
            sockets.append(fresh)
            fresh.setblocking(False)
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


def _payload_start(buffer: bytearray, size: int) -> int:
    """Where an RTP packet's payload begins, behind contributing sources and an extension (:rfc:`3550` §5.1)."""
    start = 12 + 4 * (buffer[0] & 0x0F)
    if buffer[0] & 0x10 and start + 4 <= size:
        start += 4 + 4 * int.from_bytes(buffer[start + 2 : start + 4])
    return min(start, size)
