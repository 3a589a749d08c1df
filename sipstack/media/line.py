"""One leg as the relay has it: its sockets, what came from its peer, what its peer gets, and the figures of both."""

import struct
from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from random import Random
from socket import SocketType
from typing import NamedTuple, Protocol

from sipstack.literal import canonical, family_of
from sipstack.media.dtmf import EventPacket, KeyReader, ToneFrame
from sipstack.media.early import Early
from sipstack.media.latch import Latch
from sipstack.media.quality import StreamQuality, mos
from sipstack.media.rtcp import Reporter, is_rtcp
from sipstack.media.srtp import Protector
from sipstack.media.tones import FRAME, RATE
from sipstack.sdes import Agreement
from sipstack.sdp import Codec, RemoteMedia
from sipstack.transport import Address

#: Version, padding, extension, CSRC count, marker and payload type as one number; sequence, timestamp, SSRC.
HEADER = struct.Struct("!HHII")
MARKER = 0x0080
_EVERYBODY = "255.255.255.255"

Packet = bytes | memoryview
#: Is given a packet: whether we sent it, to or from whom, itself, and its length.
See = Callable[[bool, Address, bytes | bytearray | memoryview, int], None]


class LegCounters(NamedTuple):
    """What went through a leg.

    The packets received include those that came ``late`` or twice (``duplicate``); the ``lost`` never came.
    ``rejected`` is what came from strangers, in other formats, failed authentication, or was nothing of the kind;
    ``unauthenticated`` those of them that SRTP or SRTCP refused, and ``stranger`` (HOST:PORT) the last to send RTP that was
    not taken for the peer. Jitter is that of :rfc:`3550`, now, on average and at its
    worst; ``codec`` is what the peer was last heard to send, ``mos`` how that probably sounded
    (:func:`sipstack.media.quality.mos`). ``peer_lost``, ``peer_jitter_ms`` and ``round_trip_ms`` are what the peer says of
    our stream by RTCP, ``peer_mos`` how that probably sounded there. ``last_received`` is on the clock of the media plane.
    """

    packets_received: int = 0
    bytes_received: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    jitter_ms: float = 0.0
    mean_jitter_ms: float = 0.0
    max_jitter_ms: float = 0.0
    longest_gap_ms: float = 0.0
    rejected: int = 0
    unauthenticated: int = 0
    stranger: str | None = None
    source_changes: int = 0
    last_received: float | None = None
    codec: str | None = None
    mos: float | None = None
    peer_lost: int | None = None
    peer_jitter_ms: float | None = None
    round_trip_ms: float | None = None
    peer_mos: float | None = None


class Played(Protocol):
    """What stands for a source: hashable, and as small as one likes."""

    @property
    def repeats(self) -> bool:
        """Whether it begins anew after its end."""
        ...


class Line:
    """One leg of the relay's. It belongs to the relay's thread; :meth:`counters` may be asked from any."""

    __slots__ = (
        "agreement",
        "bytes_sent",
        "chance",
        "codec",
        "count",
        "described",
        "destination",
        "early",
        "expected",
        "following",
        "frames",
        "fresh",
        "group",
        "guard",
        "has_reported",
        "heard_ssrc",
        "ip_version",
        "keys",
        "kind",
        "last_received",
        "latch",
        "lead",
        "loss",
        "number",
        "other",
        "out",
        "out_lead",
        "packets_sent",
        "passing",
        "position",
        "pressed_at",
        "pressing",
        "protector",
        "quality",
        "rate",
        "receive",
        "rejected",
        "remote",
        "repeats",
        "reported",
        "reporter",
        "rtcp",
        "see",
        "sent_at",
        "sent_codec",
        "sequence",
        "sequence_offset",
        "sound",
        "source",
        "source_changes",
        "ssrc",
        "stranger",
        "table",
        "talk",
        "tapped",
        "timestamp",
        "timestamp_offset",
        "translation",
        "transmit",
        "unauthenticated",
        "unseen",
        "until_media",
    )

    def __init__(
        self,
        number: int,
        guard: SocketType,
        rtcp: SocketType,
        own: str,
        *,
        known: Collection[str],
        now: float,
        rng: Random,
    ) -> None:
        """``guard`` and ``rtcp`` are bound at the IP literal ``own``; ``known`` as in :class:`Latch`."""
        self.number = number
        self.guard = guard
        self.ip_version = 6 if ":" in own else 4
        self.rtcp = rtcp
        #: The socket connected to the peer, once its source is known.
        self.talk: SocketType | None = None
        self.latch = Latch(own, known)
        self.remote: RemoteMedia | None = None
        #: When that was said last: a source is not given up for a silence before it.
        self.described = now
        self.expected: dict[int, Codec] = {}
        self.agreement: Agreement | None = None
        self.protector: Protector | None = None
        self.other: Line | None = None
        # What comes from the peer.
        self.quality = StreamQuality()
        self.count = self.quality.packet
        self.codec: Codec | None = None
        #: Reads the keys that it presses, once there are any.
        self.keys: KeyReader | None = None
        self.heard_ssrc = -1
        #: The sequence number after the highest so far; 65536, which there is none of, after 65535.
        self.following = -1
        self.last_received = 0.0
        #: What has come before the peer said where it is, if anything has.
        self.early: Early | None = None
        self.rejected = 0
        self.unauthenticated = 0
        #: Whose RTP was not taken, last.
        self.stranger: Address | None = None
        self.source_changes = 0
        #: Whether somebody wants to have the audio, to record it.
        self.tapped = False
        self.receive: Callable[[bytearray], int]
        #: For each payload type from the peer: that of the other leg, and the translation of its payload; ``None`` until
        #: there is a packet to be passed on.
        self.translation: dict[int, tuple[int, bytes | None]] | None = None
        #: How a regular packet begins, and how it is to begin on the other leg; -1: none is regular.
        self.lead = -1
        self.out_lead = 0
        self.table: bytes | None = None
        #: The line that regular packets are passed on to.
        self.out: Line | None = None
        #: The SSRC whose packets are being passed on, and what is added to their numbers.
        self.passing = -1
        self.sequence_offset = 0
        self.timestamp_offset = 0
        # What the peer gets: one stream, whatever it is made of. The numbers are those of its last packet.
        self.destination: Address | None = None
        self.transmit: Callable[[Packet], object]
        drawn = rng.getrandbits(176)
        self.ssrc, self.timestamp = drawn >> 48 & 0xFFFFFFFF, drawn >> 16 & 0xFFFFFFFF
        self.sequence = drawn & 0xFFFF
        self.rate = 8000
        #: The encoding of what it got last, by either law of G.711 as they sound the same; "" before that.
        self.sent_codec = ""
        self.sent_at = 0.0
        self.packets_sent = 0
        self.bytes_sent = 0
        # What is played to it: the keys that are pressed first, then the source.
        self.source: Played | None = None
        #: What that sounds like, by encoding.
        self.sound: Mapping[str, tuple[bytes, ...]] = {}
        self.frames: tuple[bytes, ...] = ()
        self.position = 0
        self.repeats = False
        self.kind = 0
        self.until_media = False
        #: The share of the packets that is dropped either way, to try out what becomes of a call then.
        self.loss = 0.0
        self.chance = rng.random
        #: Who wants to see the heads of packets, and of how many still.
        self.see: See | None = None
        self.unseen = 0
        self.pressing: deque[EventPacket | ToneFrame | None] = deque()
        #: The timestamp of the key that is being pressed.
        self.pressed_at = 0
        #: Those that are sent their frames at the same moment; ``None``: nothing is played.
        self.group: dict[Line, None] | None = None
        #: The next frame is the first of what is played.
        self.fresh = False
        self.reporter = Reporter(self.ssrc, f"{drawn >> 80:024x}", now, rng)
        #: Packets sent by the last report.
        self.reported = 0
        #: Whether the peer has been sent any: who has said nothing says no goodbye (RFC 3550 §6.3.7).
        self.has_reported = False

    def aim(self) -> None:
        """Work out the ways to and from the peer."""
        remote, latch = self.remote, self.latch
        if remote is None or remote.on_hold or remote.port == 0:
            self.destination = None
        else:
            self.destination = latch.source if remote.withheld else latch.destination
        if self.talk is not None:
            self.receive = self.talk.recv_into
            if self.protector is not None:
                self.receive = partial(_receive_protected, self, self.talk.recv_into)
            if self.loss:
                self.receive = partial(_receive_some, self, self.receive)
            if self.see is not None:
                self.receive = partial(_receive_seen, self, self.receive)
        if self.destination is None:
            return
        if self.talk is not None and self.destination == latch.source:
            self.transmit = self.talk.send
        else:
            self.transmit = partial(_send_to, self.guard, self.destination)
        if self.protector is not None:
            self.transmit = partial(_send_protected, self.protector, self.transmit)
        if self.loss:
            self.transmit = partial(_send_some, self, self.transmit)
        if self.see is not None:
            self.transmit = partial(_send_seen, self, self.transmit)

    def reachable(self, host: str, port: int) -> Address | None:
        """An address that a description names, if packets may go there: a name would have to be looked up."""
        if family_of(host) != self.ip_version or not port:
            return None
        if host == _EVERYBODY or is_unspecified(host):
            return None
        return host, port

    @property
    def shares_port(self) -> bool:
        """Whether RTCP comes and goes on the port of RTP."""
        return self.remote is not None and self.remote.rtcp_mux

    @property
    def rests(self) -> bool:
        """Whether the peer has said that it will not send, or holds us, when it may or may not.

        Nobody else is taken for it meanwhile.
        """
        return self.remote is not None and self.remote.direction != "sendrecv"

    @property
    def is_silent(self) -> bool:
        """Whether the peer has said that it will not send."""
        return self.remote is not None and self.remote.direction in ("recvonly", "inactive")

    def unprotect(self, buffer: bytearray, size: int) -> int:
        """Decrypt the packet in the buffer where it stands; its size then, 0: it was rejected."""
        if self.protector is None or (self.shares_port and is_rtcp(buffer)):
            return size
        plain = self.protector.unprotect(bytes(buffer[:size]))
        if plain is None:
            self.refuse_unauthenticated()
            return 0
        buffer[: len(plain)] = plain
        return len(plain)

    def send(self, packet: Packet, size: int, now: float) -> bool:
        """Send the peer a packet, and count it; whether that could be."""
        try:
            self.transmit(packet)
        except OSError:
            return False
        self.sent_at = now
        self.packets_sent += 1
        self.bytes_sent += size
        return True

    def elapsed(self, now: float) -> int:
        """Ticks from the last packet that the peer got to one that is sent now, a frame at least."""
        frame = self.rate * FRAME // RATE
        return max(frame, round((now - self.sent_at) * self.rate)) if self.sent_at else frame

    def refuse_unauthenticated(self) -> None:
        """Count a packet that SRTP or SRTCP does not take."""
        self.rejected += 1
        self.unauthenticated += 1

    @property
    def control(self) -> Address | None:
        """Where the peer's RTCP goes, and comes from."""
        remote, latch = self.remote, self.latch
        destination = latch.destination
        if remote is None or destination is None or self.shares_port:
            return destination
        if remote.withheld:
            destination = latch.source
            if destination is None:
                return None
        elif destination == latch.signalled or latch.has_moved:
            return self.reachable(remote.rtcp_address, remote.rtcp_port)
        return destination[0], min(destination[1] + 1, 65535)

    def counters(self) -> LegCounters:
        """The counters so far."""
        heard, reporter = self.quality.snapshot(), self.reporter
        codec, said, trip = self.codec, reporter.peer_report, reporter.round_trip
        early = self.early
        jitters = heard.jitter, heard.mean_jitter, heard.max_jitter
        jitter, mean_jitter, max_jitter = [round(1000 * seconds, 3) for seconds in jitters]
        score = peer_score = None
        delay = trip / 2 if trip is not None else 0.0
        if codec is not None:
            score = mos(codec.name, heard.loss, heard.mean_jitter, delay)
        if said is not None and self.sent_codec and self.packets_sent:
            loss = max(0, said.cumulative_lost) / self.packets_sent
            peer_score = mos(self.sent_codec, loss, said.jitter / self.rate, delay)
        return LegCounters(
            packets_received=heard.packets,
            bytes_received=heard.bytes,
            packets_sent=self.packets_sent,
            bytes_sent=self.bytes_sent,
            lost=heard.lost,
            late=heard.late,
            duplicate=heard.duplicate,
            jitter_ms=jitter,
            mean_jitter_ms=mean_jitter,
            max_jitter_ms=max_jitter,
            longest_gap_ms=_milliseconds(heard.longest_gap),
            # Of whom nothing was ever said, nobody knows whose it was.
            rejected=self.rejected + (len(early) if early is not None else 0),
            unauthenticated=self.unauthenticated,
            stranger=_written(self.stranger) if self.stranger is not None else None,
            source_changes=self.source_changes,
            last_received=self.last_received or None,
            codec=codec.name if codec is not None else None,
            mos=round(score, 2) if score is not None else None,
            peer_lost=said.cumulative_lost if said is not None else None,
            peer_jitter_ms=_milliseconds(said.jitter / self.rate) if said is not None else None,
            round_trip_ms=_milliseconds(trip) if trip is not None else None,
            peer_mos=round(peer_score, 2) if peer_score is not None else None,
        )


def _written(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 3)


def is_unspecified(address: str) -> bool:
    """Whether the address is 0.0.0.0 or ``::``, which once meant hold."""
    return canonical(address) in ("0.0.0.0", "::")  # noqa: S104


def _send_to(guard: SocketType, destination: Address, packet: Packet) -> None:
    guard.sendto(packet, destination)


def _receive_seen(line: Line, receive: Callable[[bytearray], int], buffer: bytearray) -> int:
    size = receive(buffer)
    source = line.latch.source
    if line.see is not None and source is not None and not (line.shares_port and is_rtcp(buffer)):
        line.see(False, source, buffer, size)
    return size


def _send_seen(line: Line, send: Callable[[Packet], object], packet: Packet) -> None:
    send(packet)
    if line.see is not None and line.destination is not None:
        line.see(True, line.destination, packet, len(packet))


def _send_protected(protector: Protector, send: Callable[[Packet], object], packet: Packet) -> None:
    protected = protector.protect(bytes(packet))
    if protected is None:
        raise OSError("a packet that cannot be encrypted")
    send(protected)


def _send_some(line: Line, send: Callable[[Packet], object], packet: Packet) -> None:
    if line.chance() >= line.loss:
        send(packet)


def _receive_some(line: Line, receive: Callable[[bytearray], int], buffer: bytearray) -> int:
    size = receive(buffer)
    if line.chance() < line.loss:
        raise OSError("a packet that is lost on purpose")
    return size


def _receive_protected(line: Line, receive: Callable[[bytearray], int], buffer: bytearray) -> int:
    size = line.unprotect(buffer, receive(buffer))
    if not size:
        raise OSError("a packet that fails authentication")
    return size
