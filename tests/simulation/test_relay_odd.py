"""The relay and packets that are odd but allowed, or that somebody has made to do harm."""

import itertools
import random
import struct
from array import array
from collections.abc import Callable

import pytest

from c2c_sip.lab.listening import strength
from sipstack.media.g711 import ULAW_TO_ALAW, decode
from sipstack.media.relay import LARGEST
from sipstack.media.rtcp import Goodbye, parse
from sipstack.media.tones import BEEP
from sipstack.sdes import KEY_SIZE, Agreement, Crypto, Suite
from sipstack.sdp import CODECS
from tests.simulation.rtp import EVENT, PCMA, PCMU, Endpoint, Stranger, World
from tests.simulation.test_relay import US, assert_one_stream, bridged, play


def strength_of(octets: bytes, *frequencies: float) -> float:
    """The share of what is heard that these frequencies have."""
    heard = [float(sample) for sample in array("h", octets)]
    return sum(strength(heard, frequency) for frequency in frequencies)


CSRC_AND_EXTENSION = struct.pack("!IIHHI", 1, 2, 0xBEDE, 1, 0x10AA0000)


def two_laws(world: World) -> tuple[Endpoint, Endpoint]:
    """A desk that has µ-law only, and a customer that has A-law only."""
    desk = Endpoint(world, ("198.51.100.7", 4000), PCMU, ssrc=0xFFF0)
    customer = Endpoint(world, ("203.0.113.9", 6000), PCMA, ssrc=0xABCD1234)
    for end in (desk, customer):
        end.describe()
    world.relay.bridge(desk.number, customer.number)
    return desk, customer


def say(world: World, end: Endpoint, first: int, rest: bytes, kind: int = 0) -> None:
    """A packet whose first octet is this, and which has this behind its header."""
    end.sequence = end.sequence + 1 & 0xFFFF
    end.timestamp = end.timestamp + 160 & 0xFFFFFFFF
    head = struct.pack("!BBHII", first, kind, end.sequence, end.timestamp, end.ssrc)
    world.deliver(head + rest, end.address, end.gate)
    world.run(0.02)


@pytest.mark.parametrize("before", [b"", CSRC_AND_EXTENSION], ids=["plain", "csrc and extension"])
@pytest.mark.parametrize("padding", [0, 1, 4, 160])
def test_what_is_no_payload_is_not_translated(before: bytes, padding: int) -> None:
    world = World()
    desk, customer = two_laws(world)
    first = 0x80 | (0x12 if before else 0) | (0x20 if padding else 0)
    behind = bytes(max(0, padding - 1)) + bytes([padding] if padding else [])
    voice = bytes(range(160))
    for _ in range(5):
        say(world, desk, first, before + voice + behind)
    assert len(customer.raw) == 5
    for packet in customer.raw:
        assert packet[0] == first
        assert packet[12:] == before + voice.translate(ULAW_TO_ALAW) + behind


@pytest.mark.parametrize("padding", [0, 161, 255])
def test_padding_that_is_longer_than_its_packet_is_no_padding(padding: int) -> None:
    world = World()
    desk, customer = two_laws(world)
    say(world, desk, 0xA0, bytes(159) + bytes([padding]))
    # It is passed on as it is: whoever gets it will know what to think of it.
    assert len(customer.raw) == 1
    assert len(customer.raw[0]) == 172


def test_padding_is_neither_recorded_nor_a_key() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), PCMU, EVENT)
    desk.describe()
    world.relay.tap(desk.number, True)
    say(world, desk, 0xA0, b"\x11" * 160 + b"\0\0\0\x04")
    (told,) = [each for each in world.told if each[0] == "audio"]
    assert told[3] == b"\x11" * 160
    # An event that is padding throughout is none.
    say(world, desk, 0xA0, b"\x05\x0a\x00\x04", kind=101)
    assert [each for each in world.told if each[0] == "key"] == []


def test_comfort_noise_that_was_not_agreed_on_is_no_loss_and_no_sound() -> None:
    world = World()
    desk, customer = bridged(world)
    play(world, desk, None)
    for _ in range(10):
        say(world, desk, 0x80, b"\xff" * 160)
    for _ in range(5):
        say(world, desk, 0x80, b"\x40", kind=13)
    heard = world.now
    for _ in range(10):
        say(world, desk, 0x80, b"\xff" * 160)
    counters = world.relay.counters(desk.number)
    assert counters is not None
    assert (counters.packets_received, counters.lost, counters.rejected) == (25, 0, 0)
    assert counters.codec == "PCMU"
    assert {packet[1] for packet in customer.heard} == {0}
    assert len(customer.heard) == 20
    # A pause: no number is missing, and the time of it is not.
    numbers = [packet[3] for packet in customer.heard]
    assert all((two - one) & 0xFFFF == 1 for one, two in itertools.pairwise(numbers))
    assert (customer.heard[10][4] - customer.heard[9][4]) & 0xFFFFFFFF == 6 * 160
    # It says that the peer is there.
    say(world, desk, 0x80, b"\x40", kind=13)
    counters = world.relay.counters(desk.number)
    assert counters is not None
    assert (counters.last_received or 0) > heard


def test_comfort_noise_does_not_end_the_ringback() -> None:
    world = World()
    desk, customer = bridged(world)
    play(world, desk, US, until_media=True)
    world.run(0.2)
    say(world, customer, 0x80, b"\x40", kind=13)
    before = len(desk.heard)
    world.run(0.5)
    assert len(desk.heard) >= before + 24


def test_keys_become_tones_for_a_peer_that_takes_no_events() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), PCMU, EVENT, ssrc=77)
    customer = Endpoint(world, ("203.0.113.9", 6000), PCMA, ssrc=5)
    for end in (desk, customer):
        end.describe()
    world.relay.bridge(desk.number, customer.number)
    desk.talk(2.0)
    world.run(0.5)
    begun = desk.timestamp
    # It is held for longer than the tone is.
    for number in range(15):
        ended = 0x80 if number >= 12 else 0
        event = struct.pack("!BBH", 5, ended | 10, 160 * min(number + 1, 12))
        desk.sequence = desk.sequence + 1 & 0xFFFF
        head = struct.pack("!BBHII", 0x80, 101, desk.sequence, begun, desk.ssrc)
        world.deliver(head + event, desk.address, desk.gate)
        world.run(0.02)
    world.run(1.0)
    tones = [packet for packet in customer.heard if packet[6] != b"\xd5" * 160]
    heard = decode(b"".join(packet[6] for packet in tones), "PCMA")
    assert 4 <= len(tones) <= 8
    # The key 5, and nothing of the 6 beside it.
    assert strength_of(heard, 770, 1336) > 0.9
    assert strength_of(heard, 1477) < 0.05
    counters = world.relay.counters(desk.number)
    assert counters is not None
    assert counters.rejected == 0
    # Voice goes on behind it, in the one stream.
    assert customer.heard[-1][6] == b"\xd5" * 160
    numbers = [packet[3] for packet in customer.heard]
    assert all((two - one) & 0xFFFF == 1 for one, two in itertools.pairwise(numbers))


def test_a_line_that_ends_while_keys_are_pressed_is_sent_no_more() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), PCMU, EVENT)
    desk.describe()
    world.relay.press(desk.number, "0123456789")
    world.run(0.5)
    sent = world.relay.remove(desk.number).packets_sent
    assert world.relay._player.playing == 0
    world.run(1.0)
    assert len(desk.heard) == sent


def test_a_key_of_the_signalling_becomes_a_tone_too() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), PCMU)
    desk.describe()
    world.relay.press(desk.number, "9")
    world.run(1.0)
    heard = decode(b"".join(packet[6] for packet in desk.heard[:5]), "PCMU")
    assert len(desk.heard) in range(5, 9)
    assert strength_of(heard, 852, 1477) > 0.9


@pytest.mark.parametrize("address", ["0.0.0.0", "255.255.255.255", "224.0.0.1"])
def test_reports_go_to_no_address_that_is_everybody_s(address: str) -> None:
    world = World()
    desk, customer = bridged(world)
    got: list[bytes] = []
    world.endpoints[address, 4001] = lambda packet, _: got.append(packet)
    desk.describe(rtcp_address=address)
    desk.talk(12.0)
    customer.talk(12.0)
    world.run(12.0)
    assert got == []
    assert len(desk.heard) > 500


def test_whoever_sent_nothing_says_no_goodbye_and_whoever_reported_does() -> None:
    """:rfc:`3550` §6.3.7."""
    world = World()
    silent = Endpoint(world, ("198.51.100.7", 4000))
    silent.describe()
    world.relay.remove(silent.number)
    assert silent.reports == []
    listener = Endpoint(world, ("198.51.100.7", 4100))
    listener.describe()
    listener.talk(8.0)
    world.run(8.0)
    assert listener.heard == []
    assert listener.reports
    world.relay.remove(listener.number)
    *_, last = parse(listener.reports[-1])
    assert isinstance(last, Goodbye)


@pytest.mark.parametrize("hold", [{"direction": "sendonly"}, {"address": "0.0.0.0"}])
@pytest.mark.parametrize("nat", [False, True])
def test_a_stranger_that_waits_for_a_hold_is_not_taken_for_the_silent_peer(
    hold: dict[str, str], nat: bool
) -> None:
    world = World()
    desk, customer = bridged(world)
    where = {"address": "10.0.0.5"} if nat else {}
    desk.describe(**where)
    desk.talk(3.0)
    customer.talk(60.0)
    world.run(3.0)
    # It is put on hold, and its phone plays no music: it is silent, for longer than a source is kept.
    desk.describe(**where | {"direction": "sendonly"} | hold)
    stranger = Stranger(world, "198.51.100.8", 4000)
    stranger.inject(desk.gate, 0.0, 30.0)
    world.run(31.0)
    desk.describe(**where)
    stranger.inject(desk.gate, 0.0, 5.0)
    desk.talk(5.0, begin=0.1)
    world.run(5.5)
    assert stranger.heard == []
    assert b"\x66" * 160 not in [packet[6] for packet in customer.heard]
    counters = world.relay.remove(desk.number)
    assert counters.source_changes == 0
    assert counters.packets_received == (375 if nat else 400)


@pytest.mark.parametrize("tapped", [False, True])
def test_what_was_not_passed_on_during_a_hold_has_no_numbers(tapped: bool) -> None:
    """Else the peer counts it as lost."""
    world = World()
    desk, customer = bridged(world)
    world.relay.tap(customer.number, tapped)
    customer.talk(6.0)
    world.run(2.0)
    desk.describe(direction="sendonly")
    world.run(2.0)
    desk.describe()
    world.run(2.5)
    assert len(desk.heard) == 200
    assert_one_stream(desk)
    marked = [packet[2] for packet in desk.heard]
    assert marked.index(True, 1) in (100, 101)


@pytest.mark.parametrize("early", [False, True])
def test_what_a_held_peer_numbers_without_sending_it_is_no_loss_to_anybody(early: bool) -> None:
    """Asterisk counts on while its side is on hold."""
    world = World()
    desk, customer = bridged(world)
    desk.talk(2.0)
    world.run(2.0)
    desk.describe(direction="recvonly")
    world.run(3.0)
    if early:
        desk.say(skip=150)
        world.run(0.02)
        desk.describe()
    else:
        desk.describe()
        desk.say(skip=150)
        world.run(0.02)
    desk.talk(2.0)
    world.run(2.1)
    assert len(customer.heard) == 201
    assert_one_stream(customer)
    counters = world.relay.remove(desk.number)
    assert (counters.packets_received, counters.lost) == (201, 0)


@pytest.mark.parametrize("first", [0x80, 0x90])
def test_a_packet_that_may_have_been_cut_is_not_passed_on(first: int) -> None:
    world = World()
    desk, customer = bridged(world)
    for size in (160, 160, LARGEST - 13, LARGEST - 12, 9000, 160):
        say(world, desk, first, bytes(size))
    assert [len(packet) - 12 for packet in customer.raw] == [160, 160, LARGEST - 13, 160]
    world.deliver(bytes(60000), ("192.0.2.200", 7000), desk.gate)
    desk.talk(0.1)
    world.run(0.2)
    assert len(customer.raw) == 9


def test_datagrams_of_strangers_are_counted_however_short() -> None:
    world = World()
    desk, _ = bridged(world)
    for size in range(14):
        world.deliver(b"\x80" + bytes(size) if size else b"", ("192.0.2.200", 7000), desk.gate)
    world.run(0.1)
    counters = world.relay.remove(desk.number)
    assert (counters.rejected, counters.stranger) == (14, "192.0.2.200:7000")


def test_who_sends_what_fails_authentication_is_told() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    desk.describe()
    keys = [Crypto(1, Suite.TAG_80, bytes([octet]) * KEY_SIZE) for octet in (1, 2)]
    desk.describe(agreement=Agreement(*keys))
    world.deliver(bytes(200), ("192.0.2.200", 7000), desk.gate)
    world.run(0.1)
    counters = world.relay.remove(desk.number)
    assert (counters.unauthenticated, counters.stranger) == (1, "192.0.2.200:7000")


def _drawn_packet(rng: random.Random, end: Endpoint) -> bytes:
    """RTP in all its forms, RTCP, or nothing of the kind."""
    kind = rng.random()
    if kind < 0.7:
        end.sequence = end.sequence + rng.choice([1] * 8 + [0, 2, -1, 500, 30000]) & 0xFFFF
        end.timestamp = end.timestamp + 160 & 0xFFFFFFFF
        first = rng.choice([0x80] * 6 + [0xA0, 0x90, 0x8F, 0xBF, 0x40, 0xFF])
        second = rng.choice([0, 8, 9, 107, 101, 13] * 4 + [rng.randrange(256)])
        ssrc = rng.choice([end.ssrc] * 9 + [5])
        head = struct.pack("!BBHII", first, second, end.sequence, end.timestamp, ssrc)
        return head + rng.randbytes(rng.choice([160] * 5 + [0, 1, 4, 20, 300, 1400]))
    if kind < 0.85:
        return rng.randbytes(rng.randrange(60))
    return bytes([0x80 | rng.randrange(32), rng.randrange(200, 206)]) + rng.randbytes(
        2 * rng.randrange(80)
    )


@pytest.mark.parametrize("seed", range(25))
def test_no_order_of_commands_and_packets_makes_the_relay_raise_or_leaves_anything(
    seed: int,
) -> None:
    rng = random.Random(seed)
    world = World()
    relay = world.relay
    formats = [PCMU, PCMA, EVENT, CODECS["G722"], CODECS["opus"]]
    ends = [
        Endpoint(
            world,
            (f"198.51.100.{7 + number}", 4000),
            *rng.sample(formats, rng.randint(1, 5)),
            ssrc=rng.getrandbits(32),
        )
        for number in range(3)
    ]

    def describe(end: Endpoint) -> None:
        address, port = end.address
        drawn = {
            "direction": rng.choice(["sendrecv", "sendonly", "recvonly", "inactive"]),
            "rtcp_mux": rng.random() < 0.5,
            "withheld": rng.random() < 0.2,
            "codecs": tuple(rng.sample(formats, rng.randint(0, 5))),
            "address": rng.choice([address] * 5 + ["10.0.0.1", "0.0.0.0", "::1", "x"]),
            "port": rng.choice([port] * 5 + [0, 1, 65535]),
        }
        end.describe(**{name: value for name, value in drawn.items() if rng.random() < 0.6})

    def key() -> Crypto:
        return Crypto(1, rng.choice(list(Suite)), rng.randbytes(KEY_SIZE))

    commands: list[Callable[[Endpoint], object]] = [
        describe,
        lambda end: relay.bridge(end.number, rng.choice(ends).number),
        lambda end: relay.unbridge(end.number),
        lambda end: play(world, end, rng.choice([US, BEEP, None]), rng.random() < 0.5),
        lambda end: relay.press(end.number, "".join(rng.choices("0189*#AD!xé", k=3))),
        lambda end: relay.tap(end.number, rng.random() < 0.5),
        lambda end: end.describe(agreement=rng.choice([None, Agreement(key(), key())])),
        lambda end: relay.lose(end.number, rng.choice([0.0, 0.0, 0.3])),
        lambda end: relay.watch(end.number, rng.choice([0, 1, 5])),
        lambda end: world.run(rng.choice([0.001, 0.02, 0.3, 6.0])),
    ]
    for _ in range(rng.randint(20, 150)):
        end = rng.choice(ends)
        if rng.random() < 0.4:
            rng.choice(commands)(end)
            continue
        source = rng.choice([end.address] * 6 + [(end.address[0], 5), ("192.0.2.200", 9)])
        gate = rng.choice([end.gate] * 6 + [(end.gate[0], end.gate[1] + 1)])
        world.deliver(_drawn_packet(rng, end), source, gate)
    world.run(0.5)
    for end in ends:
        relay.remove(end.number)
    assert not relay._player.playing
    assert not relay._talks
    assert not world.by_fd
