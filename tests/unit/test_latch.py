"""Whose RTP is believed."""

import random

import pytest

from sipstack.media.latch import (
    CANDIDATES,
    FORGET,
    NAT_WINDOW,
    PATIENCE,
    PROBATION,
    Latch,
)

OWN = "192.0.2.1"
PEER, BESIDE, STRANGER = ("203.0.113.9", 4000), ("203.0.113.9", 4444), ("198.51.100.66", 4000)
INSIDE, NAT = ("10.0.0.9", 4000), ("203.0.113.5", 61000)


def latch(signalled: tuple[str, int] = PEER, known: tuple[str, ...] = ()) -> Latch:
    made = Latch(OWN, known)
    made.signal(signalled)
    return made


def steady(
    made: Latch, source: tuple[str, int], seconds: float, begin: float = 0.0, last: float = 0.0
) -> float | None:
    """When a steady stream from ``source`` is taken, if it is, in seconds from its beginning."""
    for number in range(int(seconds / 0.02)):
        if made.consider(source, number & 0xFFFF, 7, begin + number * 0.02, last):
            return number * 0.02
    return None


def test_nothing_is_taken_before_the_peer_has_said_where_it_is() -> None:
    assert steady(Latch(OWN), STRANGER, 60.0) is None
    made = latch()
    made.signal(None)
    assert steady(made, PEER, 60.0) is None


def test_the_described_address_is_taken_at_its_first_packet() -> None:
    made = latch()
    assert made.consider(PEER, 0, 7, 0.0, 0.0)
    assert (made.source, made.destination) == (PEER, PEER)


def test_an_address_may_be_written_in_any_way() -> None:
    made = Latch("2001:db8::1")
    made.signal(("2001:0DB8:0::0009", 4000))
    assert made.consider(("2001:db8::9", 4000), 0, 7, 0.0, 0.0)


def test_the_described_network_is_listened_to_after_patience_and_never_sent_to() -> None:
    made = latch()
    assert steady(made, BESIDE, 60.0) == pytest.approx(PATIENCE, abs=0.03)
    assert (made.source, made.destination) == (BESIDE, PEER)
    assert made.consider(PEER, 5, 9, 100.0, 100.0), "who was described has the last word"
    assert made.source == PEER
    assert steady(made, BESIDE, 5.0, 100.0, 100.0) is None


def test_where_no_nat_can_be_nobody_else_is_taken_ever() -> None:
    for made in (
        latch(),
        latch(("8.8.8.8", 4000)),
        latch(("127.0.0.1", 4000)),
        latch(INSIDE, known=("10.0.0.9",)),
    ):
        assert steady(made, STRANGER, 60.0) is None
    neighbour = Latch("10.0.0.1")
    neighbour.signal(INSIDE)
    assert steady(neighbour, STRANGER, 60.0) is None


def test_a_source_behind_nat_is_taken_and_sent_to_after_a_steady_while() -> None:
    made = latch(INSIDE)
    taken = steady(made, NAT, 60.0)
    assert taken is not None
    assert taken == pytest.approx(NAT_WINDOW, abs=0.03)
    assert taken >= PROBATION * 0.02
    assert (made.source, made.destination) == (NAT, NAT)


def test_behind_nat_the_described_network_goes_first() -> None:
    made = latch(INSIDE)
    near = ("10.0.0.200", 5000)
    taken = None
    for number in range(100):
        now = number * 0.02
        if made.consider(NAT, number, 7, now, 0.0):
            taken = NAT
        if number > 20 and taken is None and made.consider(near, number, 8, now, 0.0):
            taken = near
        if taken:
            break
    assert taken == near


def test_behind_nat_the_signalling_s_host_goes_first() -> None:
    made = latch(INSIDE, known=(NAT[0],))
    for number in range(60):
        now = number * 0.02
        assert not made.consider(STRANGER, number, 7, now, 0.0)
        if number >= 20 and made.consider(NAT, number, 8, now, 0.0):
            break
    assert made.source == NAT


def test_on_the_loopback_interface_a_peer_may_take_itself_for_somebody_else() -> None:
    made = Latch("127.0.0.1", {"127.0.0.1"})
    made.signal(("192.0.2.2", 4000))
    assert steady(made, ("127.0.0.1", 4000), 1.0) is not None
    assert made.destination == ("127.0.0.1", 4000)


@pytest.mark.parametrize("fault", ["gaps", "ssrc", "sources", "jumps", "pauses", "repeats"])
def test_an_unsteady_source_is_never_believed(fault: str) -> None:
    made = latch(INSIDE)
    rng = random.Random(fault)
    for n in range(500):
        sequence = {"gaps": n * 2, "jumps": rng.getrandbits(16), "repeats": 5}.get(fault, n)
        ssrc = n if fault == "ssrc" else 7
        source = (NAT[0], 6000 + n) if fault == "sources" else NAT
        step = 1.5 if fault == "pauses" else 0.02
        assert not made.consider(source, sequence, ssrc, n * step, 0.0)


def test_what_was_decided_stays_until_silence_and_comes_back_with_the_first_word() -> None:
    made = latch(INSIDE)
    other = ("198.51.100.66", 5000)
    assert steady(made, NAT, 1.0) is not None
    assert steady(made, other, 9.0, begin=1.0, last=1.0) is None
    assert steady(made, other, 60.0, begin=1.0 + FORGET, last=1.0) is not None
    assert made.source == other
    assert made.consider(NAT, 77, 7, 100.0, 100.0)
    assert made.source == NAT


def test_who_came_too_early_from_elsewhere_makes_room_for_the_signalling_s_host() -> None:
    made = latch(INSIDE, known=(NAT[0],))
    others = ("198.51.100.77", 5000)
    assert steady(made, STRANGER, 1.0) is not None
    taken = None
    for number in range(100):
        now = 1.0 + number * 0.02
        # The one who was taken goes on, and so do more of his kind.
        assert not made.consider(others, number, 9, now, now)
        if made.consider(NAT, number, 8, now, now):
            taken = number * 0.02
            break
    assert taken == pytest.approx(NAT_WINDOW, abs=0.03)
    assert made.destination == NAT
    # And there is no way back.
    assert steady(made, STRANGER, 9.0, begin=now, last=now) is None
    beside = (NAT[0], 61002)
    assert steady(made, beside, 9.0, begin=now, last=now) is None


def test_another_description_begins_anew_and_the_same_one_changes_nothing() -> None:
    made = latch()
    made.consider(PEER, 0, 1, 0.0, 0.0)
    made.signal(PEER)
    assert made.source == PEER
    made.signal(("203.0.113.10", 4000))
    assert made.source is None
    assert made.destination == ("203.0.113.10", 4000)


def test_many_sources_take_bounded_memory_and_keep_out_only_each_other() -> None:
    made = latch(INSIDE)
    rng = random.Random(1)
    for number in range(20000):
        source = (f"198.51.{rng.randrange(256)}.{rng.randrange(256)}", rng.randrange(1, 65536))
        assert not made.consider(source, rng.getrandbits(16), 7, number * 0.0005, 0.0)
    assert len(made._candidates) <= CANDIDATES
    assert steady(made, NAT, 2.0, begin=10.5) is not None


# -- a NAT that gives the phone another port -----------------------------------------------------

AGAIN = (NAT[0], 61007)


def rebound(made: Latch, source: tuple[str, int], *numbers: int, ssrc: int = 7) -> int | None:
    """With which packet the stream of SSRC 7, of which 1000 is awaited, is taken from ``source``; the old port is silent."""
    for count, number in enumerate(numbers, 1):
        now = 100.1 + count * 0.02
        if made.consider(source, number & 0xFFFF, ssrc, now, 100.0, (7, 1000)):
            return count
    return None


def test_a_stream_that_goes_on_from_another_port_of_its_address_is_the_same_phone() -> None:
    made = latch(INSIDE)
    steady(made, NAT, 1.0)
    assert rebound(made, AGAIN, 1000, 1001) == 2
    assert (made.source, made.destination) == (AGAIN, AGAIN)
    # Not as long as it is heard from where it was.
    assert not made.consider((NAT[0], 9), 1002, 7, 100.0, 99.95, (7, 1002))
    assert not made.consider((NAT[0], 9), 1003, 7, 100.02, 100.0, (7, 1003))
    # Some were lost meanwhile; and the numbers begin anew after 65535.
    third = (NAT[0], 61019)
    assert rebound(made, third, 1040, 1041) == 2
    assert made.consider((NAT[0], 2), 65535, 7, 200.0, 199.0, (7, 65535)) is False
    assert made.consider((NAT[0], 2), 0, 7, 200.02, 199.0, (7, 65535)) is True


def test_what_is_described_and_was_heard_from_there_is_followed_as_well() -> None:
    """A phone that knows its NAT's address by STUN, or whose router has been started anew."""
    made = latch()
    assert made.consider(PEER, 0, 7, 0.0, 0.0)
    assert rebound(made, BESIDE, 1000, 1001) == 2
    assert (made.destination, made.has_moved) == (BESIDE, True)
    assert made.consider(PEER, 5, 9, 101.0, 101.0), "who was described has the last word"
    assert (made.destination, made.has_moved) == (PEER, False)


def test_what_never_came_from_where_it_listens_is_still_sent_to_there() -> None:
    made = latch()
    assert steady(made, BESIDE, 60.0) is not None
    other = (PEER[0], 4555)
    assert rebound(made, other, 1000, 1001) == 2
    assert (made.source, made.destination) == (other, PEER)


@pytest.mark.parametrize(
    ("source", "numbers", "ssrc"),
    [
        # It would have to guess the SSRC, the number, and be at the same address.
        (AGAIN, range(1000, 1100), 8),
        (AGAIN, range(2000, 2100), 7),
        (AGAIN, range(900, 999), 7),
        (("198.51.100.66", 61000), range(1000, 1100), 7),
        (AGAIN, [1000, 1002, 1004, 1006], 7),
        (AGAIN, [1000], 7),
    ],
)
def test_whoever_is_not_known_again_waits_as_before(
    source: tuple[str, int], numbers: list[int], ssrc: int
) -> None:
    made = latch(INSIDE)
    steady(made, NAT, 1.0)
    assert rebound(made, source, *numbers, ssrc=ssrc) is None
    assert made.source == NAT


def test_before_anything_was_heard_nothing_can_go_on() -> None:
    made = latch(INSIDE)
    assert not made.consider(NAT, 0, 7, 0.0, 0.0, (-1, -1))
    assert not made.consider(NAT, 1, 7, 0.02, 0.0, (-1, -1))
