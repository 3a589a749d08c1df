"""The relay: one loop that moves RTP between the legs of many calls and plays tones. It runs in one thread.

A leg's packets come in on two sockets of one port. Once it is known where the peer sends from, a second socket is
connected to that source: the kernel then gives it the peer's packets and nobody else's, with no address to make and to
compare for each, and sends without looking for a route. What strangers send stays with the first socket, the guard,
where it is weighed and counted.

A packet takes one of two roads. The regular one, next in sequence and in the format of the one before, gets as little
work as possible in :meth:`Relay._relay`. All others go through :meth:`Relay._irregular`, which also works out what will
make the next ones regular.
"""

import heapq
import logging
import math
import select
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from socket import SocketType
from typing import Protocol

from sipstack.media.dtmf import KeyReader
from sipstack.media.early import Early
from sipstack.media.g711 import ALAW_TO_ULAW, ULAW_TO_ALAW
from sipstack.media.line import (
    HEADER,
    MARKER,
    LegCounters,
    Line,
    Packet,
    Played,
    is_unspecified,
)
from sipstack.media.playing import EVENT, Frames, Player
from sipstack.media.rtcp import is_rtcp
from sipstack.media.srtp import Protector
from sipstack.sdp import Codec, RemoteMedia
from sipstack.transport import Address

log = logging.getLogger(__name__)

#: Seconds from one look at the sockets to the next. Waking up costs as much as relaying two packets, so it is done for
#: several at once; a packet waits for half of it on average.
TURN = 0.001
#: Sockets served in one turn, so that tones and commands do not wait for longer than they may.
MOST = 256
#: Seconds that all turns were full before the relay takes up to :data:`SHARE` packets from a socket: what waits then may
#: be more than the CPU's caches hold, and each socket that is looked at costs more than its packets. Where most have not
#: got as many, it is seconds before the relay tries that again: asking in vain is not for nothing.
BEHIND = 0.1
SHARE = 8
NEVER = math.inf
#: To a multiple of so many seconds an RTCP report may wait for others, where nothing else is to be done: of an interval of
#: some seconds that is nothing (RFC 3550 §6.2), and to wake up for each costs more than to send it. Nor does anybody hear
#: that a tone begins so much later.
TOGETHER = 0.04
#: Datagrams taken from a guard or an RTCP socket in one turn.
BATCH = 16
#: Bytes that are taken of a datagram. One that has as many may have had more, and is not passed on.
LARGEST = 2048

_TRANSCODE = {("PCMU", "PCMA"): ULAW_TO_ALAW, ("PCMA", "PCMU"): ALAW_TO_ULAW}
#: The payload type of comfort noise (:rfc:`3389`).
COMFORT_NOISE = 13
#: Octets of a packet that are shown to who watches a line: RTP's own header, and nothing of what was said.
HEAD = 12


class Poller(Protocol):
    """What the relay needs of :class:`select.epoll`, which looks no more at what is closed."""

    def register(self, fd: int, eventmask: int, /) -> None: ...
    def poll(self, timeout: float | None, maxevents: int, /) -> list[tuple[int, int]]: ...


class Listener(Protocol):
    """Who is told what the relay hears. Called in the relay's thread, which has no time."""

    def key(self, number: int, key: str) -> None:
        """The peer of a line has pressed a key (:rfc:`4733`)."""

    def audio(self, number: int, timestamp: int, payload: bytes, encoding: str, now: float) -> None:
        """A packet of a line that is tapped."""

    def head(
        self, number: int, now: float, sent: bool, peer: Address, head: bytes, size: int
    ) -> None:
        """How a packet of a line that is watched begins, and how long it is."""


class Relay:
    """The lines of one thread, by their numbers. All methods are for who has :attr:`hands`, which the thread itself has
    whenever it does not wait; :meth:`run` and :meth:`turn` are the thread's own, and take them.

    ``poller``, ``clock``, ``wall_clock``, ``sleep`` and ``connect`` are the world outside; ``connect`` makes the second
    socket of a guard's port, connected to an address, or ``None`` where that cannot be.
    """

    def __init__(
        self,
        poller: Poller,
        listener: Listener,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        connect: Callable[[SocketType, Address], SocketType | None] | None = None,
    ) -> None:
        self._poller = poller
        self._listener = listener
        self._clock = clock
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._connect = connect or connected
        self._lines: dict[int, Line] = {}
        self._talks: dict[int, Line] = {}
        self._guards: dict[int, Line] = {}
        self._controls: dict[int, Line] = {}
        self._doors: dict[int, Callable[[], None]] = {}
        #: Held by who does something here.
        self.hands = threading.Lock()
        #: Until when the thread waits if nothing comes, with nothing done to it meanwhile; no time at all while it is awake.
        #: It wakes up without a hand on anything: whoever looks at this looks once.
        self._waits_until = -NEVER
        #: When the first of what has come up since is due.
        self._wanted = NEVER
        self._player = Player(clock, self._wire, self._soon)
        #: Seconds that the next moment is waited for at least.
        self._pause = 0.0
        #: When each line's next RTCP report is due.
        self._reports: list[tuple[float, int]] = []
        #: When nothing was left to be read, or next to nothing.
        self._kept_up = 0.0
        self._buffer = bytearray(LARGEST)
        # A slice for each size, made once.
        whole = memoryview(self._buffer)
        self._views = [whole[:size] for size in range(LARGEST)]

    # --- what it is told

    def attend(self, fd: int, serve: Callable[[], None]) -> None:
        """Call ``serve`` whenever ``fd`` can be read."""
        self._doors[fd] = serve
        self._poller.register(fd, select.EPOLLIN)

    def add(self, line: Line) -> None:
        """Serve a line from now on."""
        self._lines[line.number] = line
        self._guards[line.guard.fileno()] = self._controls[line.rtcp.fileno()] = line
        self._poller.register(line.guard.fileno(), select.EPOLLIN)
        self._poller.register(line.rtcp.fileno(), select.EPOLLIN)
        due = line.reporter.due
        heapq.heappush(self._reports, (due, line.number))
        self._hurry(_together(due))

    def describe(self, number: int, remote: RemoteMedia, codecs: tuple[Codec, ...]) -> None:
        """Take what the peer said of its stream, the keys that were agreed on, and the codecs with the numbers that we receive.

        :raises SrtpError: there are keys, and ``pylibsrtp`` is not installed.
        """
        line = self._lines[number]
        if remote == line.remote and set(codecs) == set(line.expected.values()):
            return
        if remote.agreement != line.agreement:
            agreement = line.agreement = remote.agreement
            line.protector = Protector(agreement) if agreement is not None else None
        was_silent, line.remote = line.is_silent, remote
        line.described = self._clock()
        line.expected = {codec.payload_type: codec for codec in codecs}
        # RFC 3264 §5.1 has the peer send by our numbers; some send by those of their own description.
        for theirs in remote.codecs:
            ours = theirs.among(codecs)
            if ours is not None:
                line.expected.setdefault(theirs.payload_type, ours)
        is_silent = line.is_silent
        line.quality.pause(is_silent)
        if was_silent or is_silent:
            # Nor are numbers that it passes over any that the other one misses.
            line.passing = -1
        if remote.port and not is_unspecified(remote.address):
            # Port 0 and 0.0.0.0 say that nothing is wanted, not that the peer has moved.
            line.latch.signal(line.reachable(remote.address, remote.port))
        if line.latch.source is None:
            self._disconnect(line)
        self._aim(line)
        if line.early is not None:
            self._take_early(line, line.early)
        if line.source is not None and not self._player.sounds_right(line):
            self._player.sound(line)

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

    def learn(self, source: Played, frames: Frames) -> None:
        """What a source sounds like in every encoding."""
        self._player.learn(source, frames)

    def forget(self, source: Played) -> None:
        """No line will be told to play this any more; those that do go on."""
        self._player.forget(source)

    def play(self, number: int, source: Played | None, until_media: bool) -> None:
        """Play to the peer instead of what the other leg sends; ``None`` ends it.

        With ``until_media`` the other leg's first packet ends it for good.
        """
        line = self._lines[number]
        if source != line.source:
            self._player.begin(line, source)
        line.until_media = until_media
        if line.other is not None:
            self._wire(line.other)

    def press(self, number: int, keys: str) -> None:
        """Send keys to the peer, if it takes telephone events; meanwhile it hears nothing else."""
        line = self._lines[number]
        if self._player.press(line, keys) and line.other is not None:
            self._wire(line.other)

    def lose(self, number: int, share: float) -> None:
        """Drop this share of the packets to and from the peer, 0 to 1, as a bad network would."""
        line = self._lines[number]
        line.loss = share
        self._aim(line)

    def tap(self, number: int, wanted: bool) -> None:
        """Give the listener the audio of the peer, or do not any more."""
        line = self._lines[number]
        line.tapped = wanted
        self._wire(line)

    def watch(self, number: int, most: int) -> None:
        """Give the listener the heads of the next so many packets either way, never what is in them."""
        line = self._lines[number]
        line.unseen, line.see = most, partial(self._see, line) if most > 0 else None
        self._aim(line)

    def _see(
        self, line: Line, sent: bool, peer: Address, packet: Packet | bytearray, size: int
    ) -> None:
        line.unseen -= 1
        if line.unseen <= 0:
            line.see = None
            line.aim()
        head = bytes(packet[:HEAD])
        self._listener.head(line.number, self._clock(), sent, peer, head, size)

    @property
    def size(self) -> int:
        """How many lines there are."""
        return len(self._lines)

    def numbers(self) -> list[int]:
        """All lines."""
        return list(self._lines)

    def counters(self, number: int) -> LegCounters | None:
        """A line's counters, if there is such a line."""
        line = self._lines.get(number)
        return line.counters() if line is not None else None

    def remove(self, number: int) -> LegCounters:
        """End a line, close its sockets, and say what it has counted."""
        return self.end(number).counters()

    def end(self, number: int) -> Line:
        """The same for who has the line, and looks for itself."""
        line = self._lines.pop(number)
        if line.packets_sent or line.has_reported:
            self._report(line, self._clock(), leaving=True)
        self._part(line)
        line.pressing.clear()
        self._player.silence(line)
        self._disconnect(line)
        for held, used in ((self._guards, line.guard), (self._controls, line.rtcp)):
            del held[used.fileno()]
            used.close()
        return line

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
        """The ways to and from the peer are others."""
        line.aim()
        self._wire(line)
        if line.other is not None:
            self._wire(line.other)

    def _wire(self, line: Line) -> None:
        """How this leg's packets become the other's is another now: the next one is not regular."""
        line.lead, line.out, line.translation = -1, None, None
        if line.other is None or line.other.remote is None:
            line.passing = -1

    def _latched(self, line: Line) -> None:
        """The peer's source is known now, or is another."""
        source = line.latch.source
        assert source is not None
        line.source_changes += line.last_received > 0
        self._disconnect(line)
        line.talk = self._connect(line.guard, source)
        if line.talk is not None:
            self._talks[line.talk.fileno()] = line
            self._poller.register(line.talk.fileno(), select.EPOLLIN)
        self._aim(line)

    def _disconnect(self, line: Line) -> None:
        if line.talk is not None:
            del self._talks[line.talk.fileno()]
            line.talk.close()
            line.talk = None

    # --- the loop

    def run(self, go_on: Callable[[], bool]) -> None:
        """Take turns for as long as ``go_on``, which is asked before each, says so."""
        while go_on():
            try:
                self.turn()
            except Exception:
                # One packet's fault must not silence all calls.
                log.exception("a turn of the relay has failed")
                self._sleep(TURN)

    def turn(self) -> None:
        """Wait for something to do, do it, and let it be :data:`TURN` seconds before the next turn."""
        with self.hands:
            now, due = self._clock(), self._due
            self._waits_until, self._wanted = due, NEVER
        ready = self._poller.poll(None if due == NEVER else max(self._pause, due - now), MOST)
        self._waits_until = -NEVER
        self._pause = 0.0
        began = self._clock()
        if len(ready) == 1 and ready[0][0] in self._doors:
            # Who has one thing to say mostly has another: both, and what comes meanwhile, in one turn.
            self._sleep(TURN)
            ready = self._poller.poll(0.0, MOST)
        with self.hands:
            self._work(ready, self._clock())
        if not ready:
            # Only a moment has come: there may be nothing to gather until the next one, and one wait will do.
            self._pause = TURN
            return
        left = began + TURN - self._clock()
        if left > 0:
            self._sleep(left)

    def _work(self, ready: list[tuple[int, int]], now: float) -> None:
        """Serve the sockets that are ready, and do what is due."""
        if len(ready) < MOST:
            self._kept_up = now
        elif now - self._kept_up > BEHIND:
            ready = [event for event in ready for _ in range(SHARE)]
        if self._relay(ready, now) > MOST // 2:
            self._kept_up = now
        if self._player.playing:
            self._player.play(now)
        while self._reports and self._reports[0][0] <= now:
            line = self._lines.get(heapq.heappop(self._reports)[1])
            if line is not None:
                self._report(line, now)
                heapq.heappush(self._reports, (line.reporter.due, line.number))

    @property
    def _due(self) -> float:
        """When there is something to do though nothing comes."""
        report = _together(self._reports[0][0]) if self._reports else NEVER
        return min(report, self._player.due) if self._player.playing else report

    @property
    def oversleeps(self) -> bool:
        """Whether the thread waits for longer than is right since something was done here."""
        return self._wanted < self._waits_until - TURN

    def _soon(self) -> float:
        """When a tone begins: now, or when the thread will wake up anyhow if that is in a moment."""
        now, wakes = self._clock(), self._waits_until
        begins = wakes if now < wakes < now + TOGETHER else now
        self._hurry(begins)
        return begins

    def _hurry(self, due: float) -> None:
        if due < self._wanted:
            self._wanted = due

    def _relay(self, ready: list[tuple[int, int]], now: float) -> int:
        """Take one packet for each time that a socket is named, and pass it on; how many had not got as many.

        One from each, so that none starves another.
        """
        # Names looked up once, not for each packet.
        talks, buffer, views = self._talks, self._buffer, self._views
        unpack, pack = HEADER.unpack_from, HEADER.pack_into
        empty, emptied = -1, 0
        for fd, _ in ready:
            if fd == empty:
                continue  # it was asked for more than it had
            line = talks.get(fd)
            if line is None:
                self._serve(fd, now)
                continue
            # One packet each: asking for a second one in vain costs as much as relaying it would, and whatever is left
            # makes the socket ready for the next turn.
            try:
                size = line.receive(buffer)
            except OSError:
                # All that had come was taken, or an ICMP error of what was sent: the peer's port is not open yet.
                empty = fd
                emptied += 1
                continue
            lead, sequence, timestamp, ssrc = unpack(buffer)
            # What is true of one regular packet is true of the next with the same beginning. A datagram that is too
            # short has the tail of the one before behind it.
            if (
                lead != line.lead
                or sequence != line.following
                or ssrc != line.heard_ssrc
                or size < 12
            ):
                self._irregular(line, size, now)
                continue
            line.following = sequence + 1
            line.last_received = now
            line.count(sequence, timestamp, now, size)
            out = line.out
            if out is None:
                continue  # nobody listens, or something is played to who does
            if line.table is not None:
                buffer[12:size] = buffer[12:size].translate(line.table)
            # In the peer's stream these numbers go on from what it got before this source.
            sequence = (sequence + line.sequence_offset) & 0xFFFF
            timestamp = (timestamp + line.timestamp_offset) & 0xFFFFFFFF
            pack(buffer, 0, line.out_lead, sequence, timestamp, out.ssrc)
            try:
                out.transmit(views[size])
            except (OSError, IndexError):
                continue  # a full buffer, an ICMP error of the packet before, or cut: RTP may lose one
            out.sequence = sequence
            out.timestamp = timestamp
            out.sent_at = now
            out.packets_sent += 1
            out.bytes_sent += size
        return emptied

    def _irregular(self, line: Line, size: int, now: float) -> None:
        """Any packet of the peer's, in the buffer."""
        if size >= LARGEST:
            line.rejected += 1
            return
        buffer = self._buffer
        lead, sequence, timestamp, ssrc = HEADER.unpack_from(buffer)
        kind = lead & 0x7F
        codec = line.expected.get(kind)
        if line.shares_port and is_rtcp(self._views[size]):
            self._hear_report(line, size, now)
            return
        if size < 12 or lead & 0xC000 != 0x8000 or (codec is None and kind != COMFORT_NOISE):
            line.rejected += 1
            return
        audio = codec is not None and codec.name != EVENT
        regular = sequence == line.following & 0xFFFF and ssrc == line.passing
        newest = self._count(line, sequence, timestamp, ssrc, size, now, codec if audio else None)
        line.lead, line.out = -1, None
        if codec is None:
            # Gateways send it unasked. It shows that they are there; who has not asked for it hears a pause, not a loss.
            line.sequence_offset -= regular
            return
        key: str | None = None
        if audio:
            line.codec = codec
            if line.tapped:
                heard = bytes(buffer[_payload(buffer, size)])
                self._listener.audio(line.number, timestamp, heard, codec.name, now)
            else:
                line.lead = lead & ~MARKER
        else:
            keys = line.keys = line.keys or KeyReader()
            key = keys.packet(bytes(buffer[_payload(buffer, size)]), timestamp)
            if key is not None:
                self._listener.key(line.number, key)
        out = line.other
        if out is None:
            return
        if out.destination is None:
            # What is not sent has no number: the peer would count it as lost.
            line.passing = -1
            return
        if line.translation is None:
            line.translation = _translation(line, out)
        translated = line.translation.get(kind)
        if translated is None:
            line.lead = -1
            if audio or not self._player.takes_keys(out):
                line.rejected += 1
            else:
                # Nothing is lost to the peer by it.
                line.sequence_offset -= regular
                if key is not None and out.source is None:
                    self.press(out.number, key)
            return
        if out.group is not None:
            if not out.until_media or out.pressing:
                return
            self._player.silence(out)
        kind, table = translated
        if audio:
            out.sent_codec = codec.name
        marker = lead & MARKER
        if line.passing != ssrc:
            # Another source within the one stream: its numbers go on from where ours stand.
            line.passing = ssrc
            out.rate = codec.clock_rate
            line.sequence_offset = out.sequence + 1 - sequence
            line.timestamp_offset = out.timestamp + out.elapsed(now) - timestamp
            marker = MARKER
        if line.lead >= 0:
            line.out, line.table = out, table
            line.out_lead = lead & 0xFF00 | kind
            if table is not None and line.out_lead >> 8 != 0x80:
                line.lead = -1  # the payload does not begin where it does in a regular packet
        sequence = (sequence + line.sequence_offset) & 0xFFFF
        timestamp = (timestamp + line.timestamp_offset) & 0xFFFFFFFF
        HEADER.pack_into(buffer, 0, lead & 0xFF00 | marker | kind, sequence, timestamp, out.ssrc)
        if table is not None:
            payload = _payload(buffer, size)
            buffer[payload] = buffer[payload].translate(table)
        if out.send(self._views[size], size, now) and newest:
            out.sequence, out.timestamp = sequence, timestamp

    def _count(
        self,
        line: Line,
        sequence: int,
        timestamp: int,
        ssrc: int,
        size: int,
        now: float,
        audio: Codec | None,
    ) -> bool:
        """Count a packet; whether it is the newest of its source."""
        newest = True
        if ssrc != line.heard_ssrc:
            if line.last_received:
                line.quality.restart()
                line.keys = None
            line.heard_ssrc = ssrc
        else:
            newest = (sequence - line.following) & 0xFFFF < 0x8000
        if newest:
            line.following = sequence + 1
        line.last_received = now
        if audio is not None:
            line.quality.retime(audio.clock_rate)
        line.count(sequence, timestamp if audio is not None else None, now, size)
        return newest

    def _serve(self, fd: int, now: float) -> None:
        """Whatever can be read that is no peer's own socket."""
        if fd in self._doors:
            self._doors[fd]()
        elif fd in self._guards:
            line = self._guards[fd]
            self._weigh(line, line.guard, now)
        elif fd in self._controls:
            self._hear_reports(self._controls[fd], now)

    def _weigh(self, line: Line, used: SocketType, now: float) -> None:
        """Take what may have come from anybody: there is no known source, or this is elsewhere."""
        for _ in range(BATCH):
            try:
                size, source = used.recvfrom_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                continue
            # IPv6 has two more fields, which an address from a description has not.
            source = source[:2]
            if line.remote is None:
                early = line.early
                if early is None:
                    early = line.early = Early()
                line.rejected += early.keep(bytes(self._buffer[:size]), source, now)
            else:
                self._weigh_one(line, size, source, now)

    def _take_early(self, line: Line, early: Early) -> None:
        """Take what has come in the moment before the peer was described, as if it came now."""
        line.early = None
        fresh, old = early.take(line.described)
        line.rejected += old
        for came, source, packet in fresh:
            self._buffer[: len(packet)] = packet
            self._weigh_one(line, len(packet), source, came)

    def _weigh_one(self, line: Line, size: int, source: Address, now: float) -> None:
        """The same of one packet, in the buffer, which came at ``now``."""
        buffer, latch = self._buffer, line.latch
        if line.protector is not None and not (size := line.unprotect(buffer, size)):
            if source != latch.source:
                line.stranger = source
            return
        if source == latch.source:
            if line.see is not None:
                line.see(False, source, buffer, size)
            self._irregular(line, size, now)
            return
        lead, sequence, _, ssrc = HEADER.unpack_from(buffer)
        if (
            size < 12
            or lead & 0xC000 != 0x8000
            or lead & 0x7F not in line.expected
            or not latch.consider(
                source,
                sequence,
                ssrc,
                now,
                now if line.rests else max(line.last_received, line.described),
                (line.heard_ssrc, line.following),
            )
        ):
            line.rejected += 1
            line.stranger = source
            return
        self._latched(line)
        if line.see is not None:
            line.see(False, source, buffer, size)
        self._irregular(line, size, now)
        if line.talk is not None:
            # What came to the new socket before it was connected may be anybody's.
            self._weigh(line, line.talk, now)

    # --- RTCP

    def _hear_reports(self, line: Line, now: float) -> None:
        """Take RTCP off its socket. It ends here, for the other leg has other SSRCs, and it moves nothing."""
        for _ in range(BATCH):
            try:
                size, source = line.rtcp.recvfrom_into(self._buffer)
            except OSError:
                return
            latch = line.latch
            if source[:2] == line.control or (
                (latch.behind_nat or latch.has_moved)
                and latch.source is not None
                and source[0] == latch.source[0]
            ):
                self._hear_report(line, size, now)
            else:
                line.rejected += 1

    def _hear_report(self, line: Line, size: int, now: float) -> None:
        if size >= LARGEST:
            line.rejected += 1
            return
        datagram = bytes(self._views[size])
        if line.protector is not None:
            plain = line.protector.unprotect_rtcp(datagram)
            if plain is None:
                line.refuse_unauthenticated()
                return
            datagram = plain
        if not line.reporter.received(datagram, now, self._wall_clock()):
            line.rejected += 1

    def _report(self, line: Line, now: float, leaving: bool = False) -> None:
        """Tell the peer what it got from us, and what came of what it sent."""
        sent = heard = None
        if line.packets_sent != line.reported:
            line.reported = line.packets_sent
            octets = line.bytes_sent - 12 * line.packets_sent
            moment = line.timestamp + round((now - line.sent_at) * line.rate)
            sent = line.packets_sent, octets, moment
        if line.heard_ssrc >= 0:
            heard = line.heard_ssrc, line.quality.reception()
        report: bytes | None = line.reporter.report(
            now, self._wall_clock(), sent=sent, heard=heard, leaving=leaving
        )
        assert report is not None
        to = line.control
        if to is None:
            return
        if line.protector is not None:
            report = line.protector.protect_rtcp(report)
        if report is None:
            return
        try:
            (line.guard if line.shares_port else line.rtcp).sendto(report, to)
            line.has_reported = True
        except OSError as error:
            log.debug("no RTCP to %s: %s", to[0], error)


def _together(due: float) -> float:
    """When a report is sent that is due then."""
    return math.ceil(due / TOGETHER) * TOGETHER


def _translation(line: Line, out: Line) -> dict[int, tuple[int, bytes | None]]:
    """For each payload type from the peer of ``line``: that of ``out``, and the translation of its payload."""
    found: dict[int, tuple[int, bytes | None]] = {}
    taken = out.remote.codecs if out.remote is not None else ()
    for number, codec in line.expected.items():
        same = codec.among(taken)
        if same is not None:
            found[number] = (same.payload_type, None)
            continue
        for theirs in taken:
            table = _TRANSCODE.get((codec.name.upper(), theirs.name.upper()))
            if table is not None:
                found[number] = (theirs.payload_type, table)
                break
    return found


def connected(guard: SocketType, address: Address) -> SocketType | None:
    """A second socket on a guard's port, connected to ``address``; ``None`` where the system does not allow it."""
    fresh = SocketType(guard.family, socket.SOCK_DGRAM)
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


def _payload(buffer: bytearray, size: int) -> slice:
    """Where an RTP packet's payload is: behind contributing sources and an extension, before padding (:rfc:`3550` §5.1)."""
    start = 12 + 4 * (buffer[0] & 0x0F)
    if buffer[0] & 0x10 and start + 4 <= size:
        start += 4 + 4 * int.from_bytes(buffer[start + 2 : start + 4])
    start = min(start, size)
    padding = buffer[size - 1] if buffer[0] & 0x20 else 0
    return slice(start, size - padding if padding <= size - start else size)
