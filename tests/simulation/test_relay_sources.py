"""Whom the relay listens to and sends to: strangers who would like to be part of a call, and phones behind NAT."""

import random
import struct

import pytest

from sipstack.media.early import WAIT
from sipstack.media.latch import PAUSE
from tests.simulation.rtp import Endpoint, Stranger, World
from tests.simulation.test_relay import US, assert_one_stream, bridged, play


def test_what_is_withheld_is_sent_only_where_it_came_from() -> None:
    world = World()
    desk, customer = bridged(world)
    customer.describe(withheld=True)
    desk.talk(2.0)
    world.run(1.0)
    assert (customer.raw, customer.reports) == ([], [])
    customer.talk(6.0)
    desk.talk(6.0)
    world.run(6.0)
    assert len(customer.heard) > 250
    assert len(desk.heard) > 250


def test_reports_do_not_go_to_an_address_that_is_withheld() -> None:
    world = World()
    desk, customer = bridged(world)
    inside = Endpoint(world, ("10.0.0.5", 7000))
    customer.describe(withheld=True, rtcp_address="10.0.0.5", rtcp_port=7000)
    for end in (desk, customer):
        end.talk(12.0)
    world.run(12.0)
    assert inside.raw == []
    assert len(customer.reports) > 0


@pytest.mark.parametrize("seed", range(25))
def test_a_stranger_neither_hears_nor_is_heard(seed: int) -> None:
    rng = random.Random(seed)
    world = World()
    desk, customer = bridged(world)
    strangers = []
    for end in (desk, customer):
        host = rng.choice([end.address[0], end.address[0][:-1] + "8", "192.0.2.200", "10.1.1.1"])
        stranger = Stranger(world, host, rng.choice([end.address[1], 5000, 7000]) + 2)
        # It may come before the peer speaks, but a peer takes less than that to begin.
        begin = rng.uniform(0.0, 2.5)
        stranger.inject(end.gate, begin, rng.uniform(1.0, 12.0), ssrc=rng.choice([666, desk.ssrc]))
        strangers.append(stranger)
        end.talk(15.0, begin=rng.uniform(0.0, 2.5))
    play(world, desk, US, until_media=True)
    world.run(20.0)
    for end, stranger in zip((desk, customer), strangers, strict=True):
        assert stranger.heard == []
        assert b"\x66" * 160 not in [packet[6] for packet in end.heard]
        counters = world.relay.remove(end.number)
        assert counters.packets_received == 750
        assert counters.rejected == stranger.sent
        assert counters.stranger == "{}:{}".format(*stranger.address)
        assert counters.source_changes == 0


def test_rtcp_from_anywhere_moves_nothing() -> None:
    world = World()
    desk, customer = bridged(world)
    desk.talk(5.0, begin=1.0)
    customer.talk(5.0)
    report = struct.pack("!BBHIIIIII", 0x80, 200, 6, 666, 0, 0, 0, 0, 0) + bytes(140)
    stranger = Stranger(world, "198.51.100.7", 4003)
    for number in range(500):
        for gate in (desk.gate, (desk.gate[0], desk.gate[1] + 1)):
            world.at(
                world.now + number * 0.01,
                lambda gate=gate: world.deliver(report, stranger.address, gate),
            )
    world.run(7.0)
    assert stranger.heard == []
    assert len(desk.heard) == 250
    assert world.relay.remove(desk.number).rejected == 1000


def test_a_phone_behind_nat_is_heard_after_half_a_second_and_hears() -> None:
    world = World()
    desk = Endpoint(world, ("203.0.113.77", 61000))
    desk.describe(address="10.0.0.5", port=4000)
    play(world, desk, US)
    world.run(1.0)
    assert desk.heard == []
    desk.talk(2.0)
    world.run(2.0)
    assert 70 <= len(desk.heard) <= 76
    assert world.relay.remove(desk.number).rejected in range(24, 27)


def test_a_phone_behind_nat_is_found_in_spite_of_loss_and_disorder() -> None:
    for seed in range(10):
        rng = random.Random(seed)
        world = World()
        desk = Endpoint(world, ("203.0.113.77", 61000))
        desk.describe(address="10.0.0.5", port=4000)
        for number in range(250):
            if rng.random() < 0.05:
                continue
            packet = struct.pack("!BBHII", 0x80, 0, number, number * 160, 7) + bytes(160)
            world.at(
                world.now + number * 0.02 + rng.uniform(0, 0.04),
                lambda packet=packet, desk=desk, world=world: world.deliver(
                    packet, desk.address, desk.gate
                ),
            )
        world.run(6.0)
        assert world.relay.remove(desk.number).packets_received > 100


def test_a_flood_of_sources_does_not_keep_the_described_one_out() -> None:
    world = World()
    desk, customer = bridged(world)
    for number in range(200):
        Stranger(world, f"198.51.{number}.3", 9000 + number).inject(desk.gate, 0.0, 4.0)
    desk.talk(3.0, begin=1.0)
    world.run(5.0)
    assert len(customer.heard) == 150
    assert {packet[6] for packet in customer.heard} == {b"\xff" * 160}


@pytest.mark.parametrize("described", [("10.0.0.5", 4000), ("203.0.113.77", 61000)])
def test_a_nat_that_gives_a_phone_another_port_costs_no_more_than_a_moment(
    described: tuple[str, int],
) -> None:
    """Be the NAT known of, or has the phone described its outer address, as with STUN. Meanwhile a stranger tries, too."""
    world = World()
    desk = Endpoint(world, ("203.0.113.77", 61000), ssrc=0x1234)
    customer = Endpoint(world, ("203.0.113.9", 6000))
    desk.describe(address=described[0], port=described[1])
    customer.describe()
    world.relay.bridge(desk.number, customer.number)
    desk.talk(10.0)
    customer.talk(10.0)
    stranger = Stranger(world, "203.0.113.77", 4444)
    stranger.inject(desk.gate, 0.0, 10.0, ssrc=0x1234)

    def rebind() -> None:
        heard, world.endpoints[desk.address] = world.endpoints[desk.address], lambda *_: None
        desk.address = ("203.0.113.77", 61007)
        world.endpoints[desk.address] = heard

    world.at(world.now + 5.0, rebind)
    world.run(5.0)
    before = len(customer.heard), len(desk.heard)
    world.run(5.5)
    lost = round(PAUSE / 0.02) + 1
    # The packet before the one that decided was not taken either; what was sent to the old port is gone.
    for end, then in ((customer, before[0]), (desk, before[1])):
        assert 250 - lost - 2 <= len(end.heard) - then <= 250
    assert stranger.heard == []
    counters = world.relay.remove(desk.number)
    assert counters.source_changes == 1
    assert b"\x66" * 160 not in [packet[6] for packet in customer.heard]


# --- what comes before it is known whose it is


def test_who_speaks_before_its_answer_is_read_loses_nothing() -> None:
    """RFC 3264 §5.1: whoever has offered has to be ready for media from then on. The description takes 50 ms here."""
    world = World()
    desk, customer = Endpoint(world, ("198.51.100.7", 4000)), Endpoint(world, ("203.0.113.9", 6000))
    desk.describe()
    world.relay.bridge(desk.number, customer.number)
    customer.talk(2.0)
    world.at(world.now + 0.05, customer.describe)
    world.run(3.0)
    assert len(desk.heard) == 100
    assert_one_stream(desk)
    counters = world.relay.remove(customer.number)
    assert (counters.packets_received, counters.rejected, counters.stranger) == (100, 0, None)
    assert counters.lost == 0 and counters.jitter_ms < 1.0


def test_only_the_last_moment_before_an_answer_is_heard() -> None:
    world = World()
    desk, customer = Endpoint(world, ("198.51.100.7", 4000)), Endpoint(world, ("203.0.113.9", 6000))
    desk.describe()
    world.relay.bridge(desk.number, customer.number)
    customer.talk(10.0)
    world.at(world.now + 9.01, customer.describe)
    world.run(11.0)
    late = round(WAIT / 0.02)
    assert len(desk.heard) in (50 + late - 1, 50 + late, 50 + late + 1)
    counters = world.relay.remove(customer.number)
    assert counters.rejected + counters.packets_received == 500


def test_a_stranger_who_is_early_is_a_stranger_still() -> None:
    world = World()
    desk, customer = Endpoint(world, ("198.51.100.7", 4000)), Endpoint(world, ("203.0.113.9", 6000))
    desk.describe()
    world.relay.bridge(desk.number, customer.number)
    stranger = Stranger(world, "192.0.2.200", 7000)
    stranger.inject(customer.gate, 0.0, 1.0)
    customer.talk(1.0, begin=0.9)
    world.at(world.now + 1.0, customer.describe)
    world.run(3.0)
    # Of the two together only so many are kept.
    assert 50 - 5 <= len(desk.heard) <= 50
    assert {packet[6] for packet in desk.heard} == {b"\xff" * 160}
    counters = world.relay.remove(customer.number)
    assert counters.rejected == stranger.sent + 50 - len(desk.heard)
    assert counters.stranger == "192.0.2.200:7000"


def test_what_was_never_described_is_counted_when_the_line_ends() -> None:
    world = World()
    desk = Endpoint(world, ("198.51.100.7", 4000))
    desk.talk(0.1)
    world.run(0.2)
    counters = world.relay.remove(desk.number)
    assert (counters.packets_received, counters.rejected) == (0, 5)
