"""The relay where something fails or changes while it goes on: one packet or one call may suffer, and nothing else."""

from __future__ import annotations

import itertools
import logging

import pytest

from sipstack.media.tones import BEEP, RINGBACK
from sipstack.sdp import CODECS
from sipstack.transport import Address
from tests.simulation.rtp import EVENT, PCMU, Endpoint, VirtualSocket, World
from tests.simulation.test_relay import assert_one_stream, bridged, play

US = RINGBACK["us"]


def test_the_same_description_again_disturbs_nothing() -> None:
    world = World()
    desk, customer = bridged(world)
    customer.talk(5.0)
    for _ in range(5):
        world.run(1.0)
        desk.describe()
    assert len(desk.heard) == 250
    assert_one_stream(desk)


def test_a_tone_follows_its_peer_to_another_address() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    desk.describe()
    play(world, desk, US)
    world.run(1.0)
    before = len(desk.heard)
    moved: list[bytes] = []
    world.endpoints["198.51.100.7", 5000] = lambda packet, _: moved.append(packet)
    desk.describe(port=5000, rtcp_port=5001)
    world.run(1.0)
    assert len(desk.heard) == before
    assert 49 <= len(moved) <= 51


def test_a_tone_for_a_peer_that_is_not_described_yet_begins_when_it_is() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    play(world, desk, US)
    world.run(1.0)
    assert desk.raw == []
    desk.describe()
    world.run(1.0)
    assert 49 <= len(desk.heard) <= 51


def test_a_packet_that_cannot_be_sent_is_lost_and_the_next_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    desk, customer = bridged(world)
    desk.talk(3.0)
    customer.talk(3.0)
    world.run(1.0)
    sent = VirtualSocket.sendto
    refused: list[object] = []

    def refuse_some(self: VirtualSocket, packet: bytes, to: tuple[str, int]) -> None:
        if to == customer.address and len(refused) < 5:
            refused.append(to)
            raise BlockingIOError
        sent(self, packet, to)

    monkeypatch.setattr(VirtualSocket, "sendto", refuse_some)
    world.run(3.0)
    assert len(refused) == 5
    assert len(customer.heard) == 145
    assert len(desk.heard) == 150
    # The peer sees how many are missing, as of any that are lost.
    assert sorted(steps(customer)) == [1] * 143 + [6]


def steps(end: Endpoint) -> list[int]:
    """From the number of each packet to that of the next."""
    numbers = [packet[3] for packet in end.heard]
    return [(after - before) & 0xFFFF for before, after in itertools.pairwise(numbers)]


def test_reports_that_cannot_be_sent_are_not_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    desk, customer = bridged(world)
    sent = VirtualSocket.sendto

    def refuse_reports(self: VirtualSocket, packet: bytes, to: tuple[str, int]) -> None:
        if to == (customer.address[0], customer.address[1] + 1):
            raise ConnectionRefusedError
        sent(self, packet, to)

    monkeypatch.setattr(VirtualSocket, "sendto", refuse_reports)
    desk.talk(20.0)
    customer.talk(20.0)
    with caplog.at_level(logging.DEBUG):
        world.run(20.0)
    assert len(customer.heard) == len(desk.heard) == 1000
    assert customer.reports == []
    assert desk.reports
    assert "no RTCP to" in caplog.text


def test_a_payload_that_nobody_agreed_on_is_rejected_between_those_that_are_not() -> None:
    world = World()
    desk, customer = bridged(world)
    desk.talk(1.0)
    world.run(0.5)
    desk.say(b"\x01" * 33, kind=3)
    world.run(1.0)
    assert world.relay.remove(desk.number).rejected == 1
    assert b"\x01" * 33 not in [packet[6] for packet in customer.heard]
    assert len(customer.heard) == 50


def test_a_turn_that_fails_does_not_silence_the_relay(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    desk, customer = bridged(world)
    desk.talk(2.0)
    turn = type(world.relay).turn
    turns: list[int] = []

    def sometimes(relay: object) -> None:
        turns.append(1)
        if len(turns) % 7 == 0:
            raise RuntimeError("a fault of ours")
        turn(world.relay)

    monkeypatch.setattr(type(world.relay), "turn", sometimes)
    end = world.now + 3.0
    world._until = end
    world.relay.run(lambda: world.now < end)
    assert len(customer.heard) == 100
    assert "a turn of the relay has failed" in caplog.text


def test_keys_that_are_pressed_during_an_announcement_are_sent_too() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), PCMU, EVENT)
    desk.describe()
    play(world, desk, BEEP)
    world.run(0.05)
    world.relay.press(desk.number, "5")
    play(world, desk, None)
    world.run(2.0)
    assert [packet[1] for packet in desk.heard].count(101) > 3
    assert set(steps(desk)) == {1}


def test_keys_for_a_peer_that_takes_neither_events_nor_tones_are_not_sent() -> None:
    g722 = CODECS["G722"]
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), g722)
    customer = Endpoint(world, ("203.0.113.9", 6000), g722, EVENT, ssrc=5)
    for end in (desk, customer):
        end.describe()
    world.relay.bridge(desk.number, customer.number)
    for number in range(100):
        customer.say(kind=9)
        if number == 50:
            world.relay.press(desk.number, "5")
            customer.say(b"\x05\x0a\x00\xa0", kind=101)
        world.run(0.02)
    assert len(desk.heard) == 100
    assert {packet[1] for packet in desk.heard} == {9}
    assert world.relay.remove(customer.number).rejected == 1


def test_a_change_to_a_codec_of_another_clock_is_no_jitter() -> None:
    opus = CODECS["opus"]
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), PCMU, opus)
    customer = Endpoint(world, ("203.0.113.9", 6000), PCMU, opus, ssrc=5)
    for end in (desk, customer):
        end.describe()
    world.relay.bridge(desk.number, customer.number)
    desk.talk(2.0)
    world.run(2.0)
    for _ in range(100):
        desk.say(b"\x01" * 60, kind=opus.payload_type)
        desk.timestamp += 960 - 160
        world.run(0.02)
    counters = world.relay.remove(desk.number)
    assert counters.codec == "opus"
    assert counters.lost == 0
    assert counters.max_jitter_ms < 2.0
    assert len(customer.heard) == 200


def test_what_the_other_peer_cannot_take_is_rejected_and_what_it_can_goes_on() -> None:
    g722 = CODECS["G722"]
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000), PCMU, g722)
    customer = Endpoint(world, ("203.0.113.9", 6000), PCMU, ssrc=5)
    for end in (desk, customer):
        end.describe()
    world.relay.bridge(desk.number, customer.number)
    for number in range(100):
        desk.say(kind=g722.payload_type if number % 2 else 0)
        world.run(0.02)
    assert {packet[1] for packet in customer.heard} == {0}
    assert len(customer.heard) == 50
    assert world.relay.remove(desk.number).rejected == 50


def test_what_was_not_sent_while_the_peer_was_on_hold_has_no_numbers() -> None:
    """Else the peer counts it as lost, and asks where its network is bad."""
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    desk.describe()
    play(world, desk, US)
    world.run(1.0)
    desk.describe(direction="sendonly")
    world.run(2.0)
    before = len(desk.heard)
    desk.describe(direction="sendrecv")
    world.run(1.0)
    assert len(desk.heard) >= before + 49
    numbers = [packet[3] for packet in desk.heard]
    assert all((two - one) & 0xFFFF == 1 for one, two in itertools.pairwise(numbers))


def test_an_echo_sends_a_peer_what_it_sends() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    desk.describe()
    world.relay.bridge(desk.number, desk.number)
    said = [bytes([number]) * 160 for number in range(50)]
    for number, payload in enumerate(said):
        world.at(world.now + 0.02 * number, lambda payload=payload: desk.say(payload))  # type: ignore[misc]
    world.run(2.0)
    assert [packet[6] for packet in desk.heard] == said
    assert_one_stream(desk)


def test_packets_are_lost_on_purpose_both_ways_in_the_share_that_was_asked_for() -> None:
    world = World()
    desk, customer = bridged(world)
    world.relay.lose(customer.number, 0.1)
    desk.talk(40.0)
    customer.talk(40.0)
    world.run(41.0)
    for end in (desk, customer):
        assert 1700 < len(end.heard) < 1890, "some 10 % of 2000"
    lost = world.relay.counters(customer.number)
    assert lost is not None and 110 < lost.lost < 300
    world.relay.lose(customer.number, 0.0)
    before = len(desk.heard)
    customer.talk(2.0)
    world.run(3.0)
    assert len(desk.heard) == before + 100


@pytest.mark.parametrize("waiting", [1, 30])
def test_a_full_relay_does_not_ask_sockets_in_vain_for_long(
    waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each turn finds as many sockets as it serves, with ``waiting`` packets each."""
    monkeypatch.setattr("sipstack.media.relay.MOST", 2)
    world = World()
    ends = bridged(world)
    for end in ends:
        end.say()
    world.run(0.05)
    asked, vain, receive = 0, 0, VirtualSocket.recvfrom_into

    def counted(self: VirtualSocket, buffer: bytearray) -> tuple[int, Address]:
        nonlocal asked, vain
        asked += 1
        vain += not self.waiting
        return receive(self, buffer)

    monkeypatch.setattr(VirtualSocket, "recvfrom_into", counted)
    for _ in range(300):
        for end in ends:
            for _ in range(waiting):
                end.say()
        while any(one.waiting for one in world.sockets.values()):
            world.now += 0.002
            world.relay.turn()
    assert asked - vain == 600 * waiting, "all was taken"
    assert vain < asked / 10
