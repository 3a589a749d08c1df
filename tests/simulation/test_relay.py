"""The relay in virtual time: long streams to the last packet."""

import itertools
import math
import random
import struct
from dataclasses import replace

import pytest

from sipstack.media.dtmf import KeyReader
from sipstack.media.g711 import ULAW_TO_ALAW
from sipstack.media.quality import mos
from sipstack.media.relay import TOGETHER
from sipstack.media.rtcp import (
    Goodbye,
    Packet,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    parse,
    serialize,
)
from sipstack.media.srtp import AVAILABLE, Protector
from sipstack.media.tones import BEEP, BUSY, RINGBACK, Source
from sipstack.sdes import KEY_SIZE, Agreement, Crypto, Suite
from sipstack.sdp import CODECS
from tests.simulation.rtp import EVENT, OWN, PCMA, PCMU, Endpoint, Stranger, World

US = RINGBACK["us"]

OPUS = CODECS["opus"]


def play(world: World, to: Endpoint, tone: Source | None, until_media: bool = False) -> None:
    if tone is not None:
        world.relay.learn(tone, {name: tone.frames(name) for name in ("PCMU", "PCMA")})
    world.relay.play(to.number, tone, until_media)


def bridged(world: World, *others: Endpoint) -> tuple[Endpoint, Endpoint]:
    """Two endpoints on one host each, described and bridged."""
    desk = Endpoint(world, ("198.51.100.7", 4000), ssrc=0xFFF0)
    customer = Endpoint(world, ("203.0.113.9", 6000), ssrc=0xABCD1234)
    for end in (desk, customer):
        end.describe()
    world.relay.bridge(desk.number, customer.number)
    return desk, customer


def assert_one_stream(end: Endpoint, frame: int = 160) -> None:
    """Numbers without a gap or a step back, whatever the stream was made of."""
    for before, after in itertools.pairwise(end.heard):
        assert after[5] == before[5], "one SSRC"
        assert (after[3] - before[3]) & 0xFFFF == 1
        step = (after[4] - before[4]) & 0xFFFFFFFF
        assert step == frame or (after[2] and frame < step < 8000 * 60), "time goes on"


def test_an_hour_of_ringback_is_exact_to_the_packet() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    desk.describe()
    play(world, desk, US)
    began = world.now
    world.run(3600.0)
    assert len(desk.heard) in (180_000, 180_001)
    assert_one_stream(desk)
    frames = US.frames("PCMU")
    for number, packet in enumerate(desk.heard):
        assert abs(packet[0] - began - number * 0.02) < 0.003
        assert packet[2] == (number == 0), "the marker is where the tone begins"
        assert packet[6] == frames[number % len(frames)]


def test_the_relay_wakes_up_for_a_tone_no_more_often_than_the_tone_has_frames() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    desk.describe()
    play(world, desk, US)
    end, turns = world.now + 10.0, 0
    while world.now < end:
        world.relay.turn()
        turns += 1
    assert len(desk.heard) in (500, 501)
    assert turns < 520, "and a report or two"


def test_reports_of_many_silent_lines_share_a_wake_up_and_none_is_much_later_for_it() -> None:
    world = World()
    desks = [Endpoint(world, ("198.51.100.7", 4000 + 2 * number)) for number in range(400)]
    for desk in desks:
        desk.describe()
    end, turns, late = world.now + 10.0, 0, 0.0
    while world.now < end:
        due = world.relay._reports[0][0]
        world.relay.turn()
        turns += 1
        late = max(late, world.now - due)
    told = sum(len(desk.reports) for desk in desks)
    assert told > 800
    assert turns <= 10.0 / TOGETHER + 2
    assert late <= TOGETHER + 0.002


def test_whoever_does_something_while_the_relay_waits_wakes_it_only_for_what_is_due_sooner() -> (
    None
):
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    desk.describe()
    late: list[bool] = []

    def begins() -> None:
        play(world, desk, US)
        late.append(world.relay.oversleeps)

    def another() -> None:
        world.line()
        late.append(world.relay.oversleeps)

    world.run(0.1)
    # In the middle of a wait, which is as long as it is until the first line's report.
    world.at(world.now + 0.010, another)
    world.at(world.now + 0.020, begins)
    world.run(0.030)
    assert late == [False, True]
    assert not world.relay.oversleeps, "it does not wait now"


def test_a_tone_waits_for_the_moment_at_which_the_relay_wakes_up_anyhow() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    desk.describe()
    wakes = math.ceil(world.relay._reports[0][0] / TOGETHER) * TOGETHER
    late: list[bool] = []

    def begins() -> None:
        play(world, desk, US)
        late.append(world.relay.oversleeps)

    world.at(wakes - 0.030, begins)
    world.run(wakes - world.now + 1.0)
    assert late == [False]
    assert len(desk.heard) in (50, 51)
    for number, packet in enumerate(desk.heard):
        assert abs(packet[0] - wakes - number * 0.02) < 0.003
    assert_one_stream(desk)


def test_the_relay_may_wake_up_while_somebody_looks_whether_it_has_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    desk.describe()
    relay, awake = world.relay, world.relay._waits_until
    looked: list[bool] = []

    def clock() -> float:
        # Its thread comes in between, as it does where many calls begin.
        relay._waits_until = awake
        return world.now

    def look() -> None:
        with monkeypatch.context() as between:
            between.setattr(relay._player, "_clock", clock)
            between.setattr(relay, "_clock", clock)
            play(world, desk, US)
            looked.append(relay.oversleeps)

    world.at(world.now + 0.010, look)
    world.run(0.1)
    assert looked == [False]
    assert desk.heard


@pytest.mark.parametrize("later", [0.001, 0.0075, 0.0125, 0.0193])
def test_a_tone_that_begins_beside_another_is_even_from_its_first_frame(later: float) -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    customer = Endpoint(world, ("203.0.113.9", 6000))
    desk.describe()
    customer.describe()
    play(world, desk, US)
    # As it is with a command: it comes while the relay waits, and wakes it.
    world.at(world.now + 1.0 + later, lambda: play(world, customer, US))
    world.at(world.now + 1.0 + later, customer.say)
    world.run(2.0)
    assert len(customer.heard) >= 49
    for end in (desk, customer):
        for before, after in itertools.pairwise(end.heard):
            assert 0.017 < after[0] - before[0] < 0.023


def test_a_bridged_hour_after_ringback_is_one_stream_to_the_packet() -> None:
    world = World()
    desk, customer = bridged(world)
    play(world, desk, US, until_media=True)
    world.run(5.0)
    silence = b"\xff" * 160
    customer.talk(3600.0, begin=0.007, payload=silence)
    desk.talk(3600.0, begin=0.013, payload=silence)
    world.run(3601.0)
    for end in (desk, customer):
        assert_one_stream(end)
        change = max(number for number, packet in enumerate(end.heard) if packet[2])
        assert change in ((250, 251) if end is desk else (0,))
        voice = end.heard[change:]
        assert len(voice) == 180_000
        assert (voice[-1][4] - voice[0][4]) & 0xFFFFFFFF == 160 * 179_999
        assert {packet[6] for packet in voice} == {silence}
    counters = world.relay.remove(customer.number)
    assert (counters.packets_received, counters.lost, counters.rejected) == (180_000, 0, 0)
    assert counters.packets_sent == 180_000
    assert counters.jitter_ms < 1.0
    assert counters.longest_gap_ms < 23
    assert counters.codec == "PCMU"


def test_a_tone_does_not_begin_anew_when_the_peer_is_described_anew() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    desk.describe()
    play(world, desk, US)
    world.run(1.0)
    desk.describe(direction="recvonly")
    world.run(1.0)
    assert [number for number, packet in enumerate(desk.heard) if packet[2]] == [0]
    assert len(desk.heard) in (100, 101)


def test_tones_and_voices_in_turn_are_one_stream() -> None:
    world = World()
    desk, customer = bridged(world)
    for _ in range(3):
        play(world, desk, US)
        customer.talk(2.0, payload=b"\x11" * 160)
        world.run(2.0)
        play(world, desk, None)
        customer.talk(1.0, payload=b"\x22" * 160)
        world.run(3.0)
        play(world, desk, BUSY["eu"])
        world.run(1.0)
    assert_one_stream(desk)
    payloads = [packet[6] for packet in desk.heard]
    assert b"\x11" * 160 not in payloads, "a tone is not interrupted"
    assert payloads.count(b"\x22" * 160) == 150


def test_a_tone_goes_on_after_a_stall_and_skips_what_nobody_would_hear() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    desk.describe()
    play(world, desk, US)
    world.run(1.0)
    world.now += 1.0
    world.run(1.0)
    gaps = [(after[4] - before[4]) & 0xFFFFFFFF for before, after in itertools.pairwise(desk.heard)]
    assert sum(gaps) // 160 in (149, 150), "after the stall it sounds as if there had been none"
    assert len([gap for gap in gaps if gap != 160]) == 1
    assert len(desk.heard) < 115
    assert all(
        (after[3] - before[3]) & 0xFFFF == 1 for before, after in itertools.pairwise(desk.heard)
    )


def test_a_payload_type_and_a_law_are_translated_in_every_kind_of_packet() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), PCMU, EVENT)
    customer = Endpoint(world, ("203.0.113.9", 6000), PCMA, EVENT)
    for end in (desk, customer):
        end.describe()
    world.relay.bridge(desk.number, customer.number)
    ramp = bytes(range(160))
    for number in range(100):
        desk.say(ramp, kind=0x80 if number % 10 == 0 else 0, skip=number % 7 == 0)
        world.run(0.02)
        if number % 25 == 0:
            desk.say(b"\x05\x8a\x03\x20", kind=101)
            world.run(0.001)
    audio = [packet for packet in customer.heard if packet[1] == 8]
    assert {packet[6] for packet in audio} == {ramp.translate(ULAW_TO_ALAW)}
    assert len(audio) == 100
    assert [packet[2] for packet in audio] == [number % 10 == 0 for number in range(100)]
    assert [packet[6] for packet in customer.heard if packet[1] == 101] == [b"\x05\x8a\x03\x20"] * 4
    sent = [packet[3] for packet in customer.heard]
    assert sent == [(sent[0] + n) & 0xFFFF for n in _places(100)]


def test_a_peer_that_sends_by_its_own_numbers_is_heard_and_ours_count_first() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), OPUS, EVENT)
    customer = Endpoint(world, ("203.0.113.9", 6000), OPUS, EVENT)
    desk.describe()
    # It has renumbered both, and to 101 it wants audio.
    renumbered = replace(OPUS, payload_type=101), replace(EVENT, payload_type=97)
    customer.describe(codecs=renumbered)
    world.relay.bridge(desk.number, customer.number)
    for kind in (OPUS.payload_type, 97, 101):
        customer.say(kind=kind)
        desk.say(kind=kind)
        world.run(0.02)
    assert [packet[1] for packet in desk.heard] == [OPUS.payload_type, 101, 101]
    assert [packet[1] for packet in customer.heard] == [101, 97]
    assert world.relay.remove(customer.number).rejected == 0
    assert world.relay.remove(desk.number).rejected == 1


def _places(count: int) -> list[int]:
    """Where the packets of the test above belong in the stream, losses counted in."""
    place, places = -1, []
    for number in range(count):
        place += 1 + (number % 7 == 0)
        places.append(place)
        if number % 25 == 0:
            place += 1
            places.append(place)
    return [place - places[0] for place in places]


@pytest.mark.parametrize("seed", range(8))
def test_loss_lateness_and_duplicates_are_counted_exactly(seed: int) -> None:
    rng = random.Random(seed)
    world = World()
    desk, customer = bridged(world)
    lost = late = duplicate = 0
    order: list[tuple[float, bytes]] = []
    for number in range(5000):
        head = struct.pack(
            "!BBHII", 0x80, 0, (65000 + number) & 0xFFFF, number * 160 & 0xFFFFFFFF, 7
        )
        packet, at = head + bytes(160), 0.02 * number
        chance = rng.random()
        if 10 < number < 4980 and chance < 0.05:
            lost += 1
            continue
        if 10 < number < 4980 and chance < 0.08:
            at += 0.03 + 0.02 * rng.randrange(5)
        order.append((at, packet))
        if chance > 0.98:
            order.append((at + 0.001, packet))
            duplicate += 1
    highest = -1
    order.sort(key=lambda entry: entry[0])
    seen = set()
    for at, packet in order:
        number = int.from_bytes(packet[4:8]) // 160
        if number < highest and number not in seen:
            late += 1
        seen.add(number)
        highest = max(highest, number)
        world.at(
            world.now + at, lambda packet=packet: world.deliver(packet, desk.address, desk.gate)
        )
    world.run(101.0)
    counters = world.relay.remove(desk.number)
    assert (counters.lost, counters.late, counters.duplicate) == (lost, late, duplicate)
    assert counters.packets_received == len(order) == counters.bytes_received // 172
    assert len(customer.heard) == len(order)


def test_a_peer_that_begins_anew_loses_nothing_by_it() -> None:
    world = World()
    desk, customer = bridged(world)
    desk.talk(1.0)
    world.run(1.1)
    desk.sequence = (desk.sequence + 20000) & 0xFFFF
    desk.talk(1.0)
    world.run(1.1)
    desk.ssrc = 12
    desk.sequence, desk.timestamp = 5, 10
    desk.talk(1.0)
    world.run(1.1)
    assert world.relay.remove(desk.number).lost == 0
    assert len(customer.heard) == 150
    assert {packet[5] for packet in customer.heard} == {customer.heard[0][5]}


def test_hold_in_either_style_is_quiet_both_ways_and_resumes_where_it_was() -> None:
    for held in ({"direction": "sendonly"}, {"address": "0.0.0.0", "direction": "sendonly"}):
        world = World()
        desk, customer = bridged(world)
        desk.talk(9.0)
        customer.talk(9.0)
        world.run(3.0)
        desk.describe(**held)
        before = len(desk.heard)
        world.run(3.0)
        assert len(desk.heard) == before
        assert len(customer.heard) > 290, "the one who holds may play music"
        desk.describe()
        world.run(3.5)
        assert len(desk.heard) in range(295, 305)
        assert world.relay.remove(desk.number).source_changes == 0


def test_a_description_that_names_no_usable_address_is_sent_nothing() -> None:
    for host in ("example.com", "224.0.0.5", "2001:db8::1", "nonsense"):
        world = World()
        desk, customer = bridged(world)
        desk.describe(address=host)
        customer.talk(1.0)
        desk.talk(1.0)
        world.run(1.5)
        assert desk.heard == customer.heard == []


# --- RTCP


def reports(packets: list[bytes]) -> list[Packet]:
    return [packet for datagram in packets for packet in parse(datagram)]


def test_both_peers_get_reports_of_what_they_sent_and_got_and_a_goodbye() -> None:
    world = World()
    desk, customer = bridged(world)
    desk.talk(60.0)
    for number in range(3000):
        if number % 10:
            world.at(world.now + number * 0.02, customer.say)
        else:
            world.at(world.now + number * 0.02, lambda: customer.say(to=("192.0.2.9", 9)))
    world.run(61.0)
    for end in (desk, customer):
        world.relay.remove(end.number)
        told = reports(end.reports)
        senders = [packet for packet in told if isinstance(packet, SenderReport)]
        assert 8 <= len(senders) <= 20
        ssrc = end.heard[0][5]
        assert {packet.ssrc for packet in senders} == {ssrc}
        assert senders[-1].packets == len(end.heard)
        assert senders[-1].octets == 160 * len(end.heard)
        last = senders[-1].reports[0]
        assert last.ssrc == end.ssrc
        assert last.cumulative_lost == (299 if end is customer else 0)
        if end is customer:
            assert last.fraction_lost in range(20, 27)
        # The timestamp is that of the moment of the report: a second on, 8000 further.
        first = senders[1]
        seconds = (last_sr := senders[-2]).ntp_time / 2**32 - first.ntp_time / 2**32
        ticks = (last_sr.timestamp - first.timestamp) & 0xFFFFFFFF
        assert abs(ticks - 8000 * seconds) < 200
        assert isinstance(told[-1], Goodbye)
        assert told[-1].sources == (ssrc,)
        names = {packet.chunks[0].items for packet in told if isinstance(packet, SourceDescription)}
        assert len(names) == 1


def test_what_the_peer_reports_is_in_the_counters_and_only_what_the_peer_reports() -> None:
    world = World()
    desk, customer = bridged(world)
    desk.talk(3.0)
    customer.talk(3.0)
    world.run(3.0)
    ssrc = desk.heard[0][5]
    block = ReportBlock(ssrc, 10, 42, 1000, 80)
    gate = (desk.gate[0], desk.gate[1] + 1)
    said = serialize(ReceiverReport(desk.ssrc, (block,)))
    world.deliver(said, ("198.51.100.7", 9999), gate)
    world.deliver(b"nonsense", ("198.51.100.7", 4001), gate)
    world.run(0.1)
    assert world.relay.counters(desk.number).peer_lost is None
    world.deliver(said, ("198.51.100.7", 4001), gate)
    world.run(0.1)
    counters = world.relay.remove(desk.number)
    assert (counters.peer_lost, counters.peer_jitter_ms, counters.rejected) == (42, 10.0, 2)
    # 42 of 150 lost are heard; what came from it was whole.
    assert counters.packets_sent == 150
    assert counters.peer_mos == round(mos("PCMU", 42 / 150, 0.01, 0.0) or 0.0, 2)
    assert counters.mos is not None
    assert 1.0 < counters.peer_mos < 2.5 < 4.3 < counters.mos


def test_rtcp_shares_the_port_where_both_want_it() -> None:
    world = World()
    desk, customer = bridged(world)
    desk.describe(rtcp_mux=True)
    desk.talk(20.0)
    customer.talk(20.0)
    world.run(3.0)
    ssrc = desk.heard[0][5]
    world.deliver(
        serialize(ReceiverReport(desk.ssrc, (ReportBlock(ssrc, 0, 7, 1, 0),))),
        desk.address,
        desk.gate,
    )
    world.run(18.0)
    assert desk.reports == [], "nothing comes to the odd port"
    shared = [packet for packet in desk.raw if 192 <= packet[1] <= 223]
    assert any(isinstance(packet, SenderReport) for packet in reports(shared))
    counters = world.relay.remove(desk.number)
    assert (counters.peer_lost, counters.rejected, counters.lost) == (7, 0, 0)


# --- keys, announcements, recording, encryption


def test_keys_are_told_once_and_pressed_as_events_between_the_voice() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), PCMU, EVENT)
    customer = Endpoint(world, ("203.0.113.9", 6000), PCMU, EVENT, ssrc=5)
    for end in (desk, customer):
        end.describe()
    world.relay.bridge(desk.number, customer.number)
    desk.talk(3.0)
    customer.talk(3.0)
    world.run(1.0)
    for _ in range(4):
        customer.say(b"\x05\x0a\x01\x40", kind=101)
        customer.timestamp -= 160
        world.run(0.02)
    world.relay.press(desk.number, "1#")
    world.run(2.0)
    assert world.told == [("key", customer.number, "5")]
    reader = KeyReader()
    pressed = [reader.packet(p[6], p[4]) for p in desk.heard if p[1] == 101]
    assert [key for key in pressed if key] == ["5", "1", "#"]
    assert [p[2] for p in desk.heard if p[1] == 101].count(True) == 2
    assert all((b[3] - a[3]) & 0xFFFF == 1 for a, b in itertools.pairwise(desk.heard))
    assert desk.heard[-1][1] == 0, "the voice goes on"


def test_keys_of_another_source_are_told_whatever_its_timestamps_are() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), PCMU, EVENT)
    desk.describe()
    desk.timestamp = 0x7000_0000
    for key in (b"\x01", b"\x02"):
        desk.say(key + b"\x0a\x01\x40", kind=101)
        desk.timestamp = 0x1000  # before what is read of the first one
        world.run(0.1)
    desk.ssrc += 1
    desk.say(b"\x03\x0a\x01\x40", kind=101)
    world.run(0.1)
    assert [told[2] for told in world.told] == ["1", "3"]


def test_an_announcement_is_heard_once_and_then_the_other_leg_is() -> None:
    world = World()
    desk, customer = bridged(world)
    customer.talk(3.0, payload=b"\x22" * 160)
    world.run(0.5)
    play(world, desk, BEEP)
    world.run(2.5)
    frames = BEEP.frames("PCMU")
    heard = [packet[6] for packet in desk.heard]
    begin = heard.index(frames[0])
    assert tuple(heard[begin : begin + len(frames)]) == frames
    assert set(heard[:begin]) == set(heard[begin + len(frames) :]) == {b"\x22" * 160}
    assert_one_stream(desk)


def test_a_tapped_leg_gives_all_its_audio() -> None:
    world = World()
    desk, customer = bridged(world)
    desk.talk(2.0)
    world.run(1.0)
    world.relay.tap(desk.number, True)
    world.run(0.5)
    world.relay.tap(desk.number, False)
    world.run(1.0)
    told = [entry[3:5] for entry in world.told]
    assert told == [(b"\xff" * 160, "PCMU")] * 25
    assert len(customer.heard) == 100


@pytest.mark.skipif(not AVAILABLE, reason="pylibsrtp is not installed")
def test_an_encrypted_leg_is_plain_on_the_other_and_takes_nothing_else() -> None:
    world = World()
    desk, customer = bridged(world)
    ours, theirs = (Crypto(1, Suite.TAG_80, bytes([n]) * KEY_SIZE) for n in (1, 2))
    desk.describe(agreement=Agreement(ours, theirs))
    phone = Protector(Agreement(theirs, ours))
    desk.protect = phone.protect
    customer.talk(5.0, payload=b"\x22" * 160)
    desk.talk(5.0, payload=b"\x11" * 160)
    forger = Stranger(world, "198.51.100.66", 4000)
    forger.address = desk.address
    forger.inject(desk.gate, 0.0, 5.0)
    world.run(15.0)
    counters = world.relay.remove(desk.number)
    assert len(customer.heard) == 250
    assert {packet[6] for packet in customer.heard} == {b"\x11" * 160}
    plain = [phone.unprotect(packet) for packet in desk.raw]
    assert [packet[12:] for packet in plain if packet] == [b"\x22" * 160] * 250
    assert phone.failed == 0
    assert (counters.rejected, counters.unauthenticated) == (500, 500)
    secret = [phone.unprotect_rtcp(packet) for packet in desk.reports]
    assert isinstance(reports(list(filter(None, secret)))[-1], Goodbye)


def test_a_removed_line_is_gone_and_its_peer_is_left_in_silence() -> None:
    world = World()
    desk, customer = bridged(world)
    desk.talk(1.0)
    world.run(0.5)
    world.relay.remove(desk.number)
    before = len(customer.heard)
    world.run(1.0)
    assert len(customer.heard) == before
    assert all(address[1] not in (desk.gate[1], desk.gate[1] + 1) for address, _ in world.sockets)
    assert customer.gate[0] == OWN


def test_what_has_piled_up_on_many_sockets_is_worked_off_in_order() -> None:
    world = World()
    ends = []
    for number in range(300):
        end = Endpoint(world, ("198.51.100.7", 4000 + 2 * number), ssrc=number)
        end.describe()
        ends.append(end)
    for one, two in zip(ends[::2], ends[1::2], strict=True):
        world.relay.bridge(one.number, two.number)
    for end in ends:
        end.say()
    world.run(0.1)
    for _ in range(40):
        for end in ends:
            end.say()
    # Each look at the clock finds that it is later, as on a machine that is too slow.
    world.slowness = 0.005
    world.run(3.0)
    for end in ends:
        assert len(end.heard) == 41
        assert_one_stream(end)


@pytest.mark.parametrize("seed", range(20))
def test_no_datagram_whatsoever_makes_the_relay_raise(seed: int) -> None:
    rng = random.Random(seed)
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), PCMU, EVENT)
    customer = Endpoint(world, ("203.0.113.9", 6000), PCMA, EVENT)
    for end in (desk, customer):
        end.describe(rtcp_mux=rng.random() < 0.5)
        end.say(kind=0 if end is desk else 8)
        world.relay.tap(end.number, rng.random() < 0.5)
    world.relay.bridge(desk.number, customer.number)
    if AVAILABLE and rng.random() < 0.3:
        keys = [Crypto(1, Suite.TAG_32, rng.randbytes(KEY_SIZE)) for _ in range(2)]
        desk.describe(agreement=Agreement(*keys))
    sent = 0
    for _ in range(3000):
        end = rng.choice((desk, customer))
        host, port = end.address
        source = rng.choice([end.address, (host, port + 1), (host, 9), ("10.9.9.9", 77)])
        gate = end.gate[0], end.gate[1] + rng.randrange(2)
        size = rng.choice([0, 1, 7, 11, 12, 13, 20, 60, 172, 2048])
        packet = bytearray(rng.randbytes(size))
        if size and rng.random() < 0.7:
            packet[0] = rng.choice([0x80, 0x90, 0x8F, 0xA0, 0xB1])
            packet[1:2] = rng.choice(
                [b"\x00", b"\x08", b"\x65", b"\xe5", b"\xc8", b"\xc9", b"\xcb"]
            )
        world.deliver(bytes(packet), source, gate)
        sent += 1
        world.run(0.001 * rng.randrange(3))
    world.run(1.0)
    figures = [world.relay.remove(end.number) for end in (desk, customer)]
    assert sum(f.rejected + f.packets_received for f in figures) <= sent + 2
    assert all(f.rejected > 0 for f in figures)
    assert len(world.by_fd) == 0


def test_who_watches_a_line_sees_how_packets_begin_and_only_so_many() -> None:
    world = World()
    desk, customer = bridged(world)
    world.relay.watch(desk.number, 60)
    desk.talk(4.0)
    customer.talk(4.0, 0.01)
    world.run(5.0)
    assert len(desk.heard) == len(customer.heard) == 200, "nothing is lost by it"
    assert len(world.heads) == 60
    came = [head for head in world.heads if not head[2]]
    sent = [head for head in world.heads if head[2]]
    assert len(came) == len(sent) == 30
    for _, _, _, peer, octets, length in world.heads:
        assert peer == desk.address and len(octets) == 12 and length == 172
    numbers = [struct.unpack(">H", head[4][2:4])[0] for head in came]
    assert numbers == [(numbers[0] + step) & 0xFFFF for step in range(30)]
    assert {struct.unpack(">I", head[4][8:12])[0] for head in came} == {0xFFF0}
    world.relay.watch(desk.number, 0)
    world.run(1.0)
    assert len(world.heads) == 60
