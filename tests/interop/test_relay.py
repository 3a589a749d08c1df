"""The relay on real sockets: translation of numbers and of G.711, tones, the change from tone to voice."""

import itertools
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from c2c_sip.lab.listening import hears
from sipstack.media import MediaLeg, MediaPlane
from sipstack.media.g711 import ULAW_TO_ALAW, ulaw_to_linear
from sipstack.media.tones import BUSY, RINGBACK
from sipstack.sdp import CODECS, Codec, RemoteMedia
from tests.interop.programs import HOST, free_rtp_range

PCMU, PCMA, EVENT = CODECS["PCMU"], CODECS["PCMA"], CODECS["telephone-event"]


class Phone:
    """One end of a stream."""

    def __init__(
        self,
        leg: MediaLeg,
        theirs: tuple[Codec, ...],
        ours: tuple[Codec, ...] = (PCMU, PCMA, EVENT),
    ) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.leg = leg
        port = self.socket.getsockname()[1]
        self.remote = RemoteMedia(HOST, port, HOST, port + 1, theirs)
        leg.set_remote(self.remote, ours)
        self.sequence = 0

    def say(
        self, kind: int, payload: bytes = b"\xff" * 160, marker: bool = False, ssrc: int = 5
    ) -> None:
        self.sequence += 1
        head = struct.pack(
            "!BBHII", 0x80, kind | (0x80 if marker else 0), self.sequence, 160 * self.sequence, ssrc
        )
        self.socket.sendto(head + payload, (HOST, self.leg.rtp_port))

    def hear(self, wait: float = 1.0) -> tuple[int, bool, int, int, int, bytes]:
        """(payload type, marker, sequence, timestamp, ssrc, payload) of the next packet."""
        self.socket.settimeout(wait)
        packet = self.socket.recv(2048)
        _, kind, sequence, timestamp, ssrc = struct.unpack("!BBHII", packet[:12])
        return kind & 0x7F, bool(kind & 0x80), sequence, timestamp, ssrc, packet[12:]


@pytest.fixture
def plane() -> Iterator[MediaPlane]:
    made = MediaPlane(ports=free_rtp_range())
    made.start()
    yield made
    made.close()


def test_numbers_and_laws_are_translated_where_the_legs_differ(plane: MediaPlane) -> None:
    one = Phone(plane.open(HOST), (PCMU, EVENT), (PCMU, EVENT))
    other = Phone(
        plane.open(HOST),
        (PCMA, replace(EVENT, payload_type=97)),
        (PCMA, replace(EVENT, payload_type=97)),
    )
    one.leg.bridge(other.leg)
    payload = bytes(range(160))
    one.say(0, payload)
    kind, _, _, _, _, heard = other.hear()
    assert (kind, heard) == (8, payload.translate(ULAW_TO_ALAW))
    one.say(101, b"\x05\x8a\x03\x20")
    kind, _, _, _, _, heard = other.hear()
    assert (kind, heard) == (97, b"\x05\x8a\x03\x20")
    other.say(97, b"\x01\x0a\x00\xa0")
    assert one.hear()[0] == 101
    one.say(34)
    one.say(8)
    with pytest.raises(TimeoutError):
        other.hear(0.2)
    assert one.leg.counters().rejected == 2


def test_the_extension_hears_ringback_until_the_contact_speaks_as_one_stream(
    plane: MediaPlane,
) -> None:
    desk = Phone(plane.open(HOST), (PCMU,))
    customer = Phone(plane.open(HOST), (PCMU,))
    desk.leg.bridge(customer.leg)
    desk.leg.play(RINGBACK["us"], until_media=True)
    packets = [desk.hear() for _ in range(20)]
    samples = [float(ulaw_to_linear(o)) for p in packets for o in p[5]]
    assert hears(samples, 440.0) or hears(samples, 480.0) or max(map(abs, samples)) > 3000
    customer.say(0, b"\x55" * 160, ssrc=77)
    while True:
        packets.append(desk.hear())
        if packets[-1][5] == b"\x55" * 160:
            break
    last, before = packets[-1], packets[-2]
    assert last[1], "the marker says that something new begins"
    assert last[4] == before[4], "one SSRC"
    assert last[2] == (before[2] + 1) & 0xFFFF
    assert 160 <= (last[3] - before[3]) & 0xFFFFFFFF <= 16000
    customer.say(0, b"\x56" * 160, ssrc=77)
    following = desk.hear()
    assert following[5] == b"\x56" * 160
    assert ((following[2] - last[2]) & 0xFFFF, (following[3] - last[3]) & 0xFFFFFFFF) == (1, 160)


def test_a_tone_is_paced_at_20_ms_and_ends_when_told(plane: MediaPlane) -> None:
    desk = Phone(plane.open(HOST), (PCMA,))
    desk.leg.play(BUSY["eu"])
    desk.hear()
    began = time.monotonic()
    packets = [desk.hear() for _ in range(100)]
    assert time.monotonic() - began == pytest.approx(2.0, abs=0.3)
    assert {p[0] for p in packets} == {8}
    steps = {(b[3] - a[3]) & 0xFFFFFFFF for a, b in itertools.pairwise(packets)}
    assert steps == {160}
    desk.leg.play(None)
    time.sleep(0.1)
    desk.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            desk.socket.recv(2048)
    time.sleep(0.1)
    with pytest.raises(BlockingIOError):
        desk.socket.recv(2048)


def test_a_peer_on_hold_is_not_sent_anything(plane: MediaPlane) -> None:
    desk = Phone(plane.open(HOST), (PCMU,))
    customer = Phone(plane.open(HOST), (PCMU,))
    desk.leg.bridge(customer.leg)
    desk.leg.set_remote(desk.remote._replace(direction="sendonly"), (PCMU,))
    customer.say(0)
    with pytest.raises(TimeoutError):
        desk.hear(0.2)
    desk.leg.set_remote(desk.remote, (PCMU,))
    customer.say(0)
    assert desk.hear()[0] == 0


def test_closing_gives_the_ports_back(plane: MediaPlane) -> None:
    legs = [plane.open(HOST) for _ in range(plane.capacity)]
    assert plane.ports_in_use == plane.capacity
    for leg in legs:
        leg.close()
        leg.close()
    end = time.monotonic() + 2
    while plane.ports_in_use and time.monotonic() < end:
        time.sleep(0.01)
    assert plane.ports_in_use == 0


def test_ipv6_is_relayed_over_a_connected_socket_and_strangers_are_counted(
    plane: MediaPlane,
) -> None:
    def phone(leg: MediaLeg) -> socket.socket:
        made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        made.bind(("::1", 0))
        made.settimeout(2.0)
        port = made.getsockname()[1]
        leg.set_remote(RemoteMedia("0:0::1", port, "::1", port + 1, (PCMU,)), (PCMU,))
        return made

    legs = [plane.open("::1") for _ in range(2)]
    one, other = map(phone, legs)
    legs[0].bridge(legs[1])
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as stranger:
        for number in range(5):
            packet = struct.pack("!BBHII", 0x80, 0, number, 160 * number, 5) + bytes([number]) * 160
            one.sendto(packet, ("::1", legs[0].rtp_port))
            assert other.recv(2048)[12:] == packet[12:]
            stranger.sendto(packet, ("::1", legs[0].rtp_port))
        time.sleep(0.1)
    counters = legs[0].counters()
    assert (counters.packets_received, counters.rejected, counters.lost) == (5, 5, 0)
    one.close()
    other.close()
