"""What is counted of a received stream, and the opinion score that is estimated from it."""

from random import Random

import pytest

from sipstack.media.quality import (
    MAX_MISORDER,
    StreamQuality,
    mos,
    opinion,
    rating,
)

TICK, FRAME = 0.02, 160


def feed(quality: StreamQuality, numbers: list[int], start: float = 1.0) -> None:
    """Packets with these extended numbers, each of which comes when it is due by its place in the list."""
    for place, number in enumerate(numbers):
        arrival = start + place * TICK
        quality.packet(number & 0xFFFF, number * FRAME & 0xFFFFFFFF, arrival, 172)


def test_a_perfect_stream_has_nothing_to_report_across_the_wraps_of_both_numbers() -> None:
    quality = StreamQuality()
    wrap = 0x100000000 // FRAME
    assert wrap & 0xFFFF < 40000
    feed(quality, list(range(wrap - 40000, wrap + 100)))
    seen = quality.snapshot()
    assert seen.packets == seen.expected == 40100
    assert seen.bytes == 40100 * 172
    assert (seen.lost, seen.late, seen.duplicate, seen.restarts) == (0, 0, 0, 0)
    assert seen.max_jitter < 0.001
    assert seen.longest_gap == pytest.approx(TICK)
    assert seen.loss == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_loss_disorder_and_copies_are_told_apart_under_any_mixture(seed: int) -> None:
    rng = Random(seed)
    sent = list(range(63000, 67000))
    kept = [n for n in sent if rng.random() > 0.05 or n in (63000, 66999)]
    copies = [n for n in kept[1:-50] if rng.random() < 0.02]
    order = sorted(kept + copies, key=lambda n: n if n == 63000 else n + rng.random() * 8)
    late = duplicate = 0
    seen: set[int] = set()
    for number in order:
        if number in seen:
            duplicate += 1
        elif seen and number < max(seen):
            late += 1
        seen.add(number)
    quality = StreamQuality()
    feed(quality, order)
    snapshot = quality.snapshot()
    assert snapshot.duplicate == duplicate == len(copies)
    assert snapshot.late == late > 0
    assert snapshot.lost == 4000 - len(kept)
    assert snapshot.expected == 4000
    assert snapshot.loss == pytest.approx(0.05, abs=0.01)


def test_jitter_is_that_of_the_rfc() -> None:
    rng = Random(4)
    quality = StreamQuality()
    transit: float | None = None
    expected = 0.0
    for number in range(2000):
        arrival = 100.0 + number * TICK + rng.random() * 0.04
        quality.packet(number, number * FRAME, arrival, 172)
        now = arrival * 8000 - number * FRAME
        if transit is not None:
            expected += (abs(now - transit) - expected) / 16
        transit = now
    seen = quality.snapshot()
    assert seen.jitter == pytest.approx(expected / 8000, rel=1e-6)
    # The mean difference of two even delays between 0 and 40 ms is a third of 40 ms.
    assert seen.mean_jitter == pytest.approx(0.0133, abs=0.001)
    assert seen.max_jitter >= seen.jitter


def test_a_payload_without_a_time_of_its_own_makes_no_jitter() -> None:
    quality = StreamQuality()
    feed(quality, list(range(10)))
    for number in range(10, 20):
        quality.packet(number, None, 1.0 + number * TICK, 16)
    quality.packet(20, 20 * FRAME, 1.0 + 20 * TICK, 172)
    assert quality.snapshot().max_jitter < 1e-6
    assert quality.snapshot().packets == 21


def test_a_new_time_base_is_no_jitter() -> None:
    quality = StreamQuality()
    feed(quality, list(range(10)))
    quality.packet(10, 3_000_000_000, 1.2, 172)
    quality.packet(11, 3_000_000_160, 1.22, 172)
    assert quality.snapshot().max_jitter < 1e-6


def test_a_sender_that_begins_anew_has_lost_nothing() -> None:
    quality = StreamQuality()
    feed(quality, list(range(100)))
    feed(quality, list(range(30000, 30100)), start=3.0)
    seen = quality.snapshot()
    assert (seen.packets, seen.expected, seen.lost, seen.restarts) == (200, 200, 0, 1)
    assert quality.reception().highest_sequence == 30099


def test_a_stray_number_moves_nothing() -> None:
    quality = StreamQuality()
    feed(quality, [*range(100), 30000, *range(100, 200)])
    seen = quality.snapshot()
    assert (seen.packets, seen.expected, seen.lost, seen.restarts) == (201, 200, 0, 0)


def test_two_numberings_in_turns_never_count_as_loss() -> None:
    quality = StreamQuality()
    feed(quality, [number for n in range(500) for number in (n, n + 30000)])
    assert quality.snapshot().lost == 0


def test_an_outage_is_loss_and_a_gap() -> None:
    quality = StreamQuality()
    feed(quality, list(range(50)))
    feed(quality, list(range(200, 250)), start=1.0 + 200 * TICK)
    seen = quality.snapshot()
    assert seen.lost == 150
    assert seen.longest_gap == pytest.approx(151 * TICK)


def test_hold_is_no_gap() -> None:
    quality = StreamQuality()
    feed(quality, list(range(50)))
    quality.pause()
    feed(quality, list(range(50, 100)), start=60.0)
    seen = quality.snapshot()
    assert seen.longest_gap == pytest.approx(TICK)
    assert seen.max_jitter < 1e-6


def test_what_a_silent_sender_numbers_is_no_loss() -> None:
    """Asterisk numbers what it does not send while its side is on hold."""
    quality = StreamQuality()
    feed(quality, list(range(50)))
    quality.pause(silent=True)
    feed(quality, list(range(50, 53)), start=1.0)  # was under way
    quality.pause()
    feed(quality, list(range(200, 250)), start=4.0)
    assert (quality.snapshot().expected, quality.snapshot().lost) == (103, 0)
    # The first may be there before it is known that the hold is over.
    quality.pause(silent=True)
    feed(quality, [400], start=8.0)
    quality.pause()
    feed(quality, list(range(401, 450)), start=8.02)
    assert (quality.snapshot().expected, quality.snapshot().lost) == (153, 0)
    # What gets lost after it does count, and so does what a report says.
    feed(quality, list(range(460, 470)), start=9.2)
    assert (quality.snapshot().expected, quality.snapshot().lost) == (173, 10)
    said = quality.reception()
    assert (said.cumulative_lost, said.highest_sequence) == (10, 469)


def test_a_change_without_silence_forgives_no_loss() -> None:
    quality = StreamQuality()
    feed(quality, list(range(50)))
    quality.pause()
    feed(quality, list(range(60, 70)), start=2.0)
    assert quality.snapshot().lost == 10


def test_another_source_is_counted_on() -> None:
    quality = StreamQuality()
    feed(quality, [n for n in range(100) if n != 40])
    quality.restart()
    feed(quality, [n for n in range(7000, 7100) if n not in (7010, 7020)], start=3.0)
    seen = quality.snapshot()
    assert (seen.packets, seen.expected, seen.lost, seen.restarts) == (197, 200, 3, 1)


def test_what_was_sent_before_the_first_that_came_is_not_missed() -> None:
    quality = StreamQuality()
    feed(quality, [5, 4, 6, 7])
    seen = quality.snapshot()
    assert (seen.expected, seen.lost, seen.late, seen.duplicate) == (3, 0, 1, 0)


def test_reception_reports_tell_of_their_interval() -> None:
    quality = StreamQuality()
    assert quality.reception().fraction_lost == 0
    feed(quality, list(range(65000, 65100)))
    assert quality.reception().fraction_lost == 0
    feed(quality, [n for n in range(65100, 66100) if n % 4], start=5.0)
    report = quality.reception()
    assert report.fraction_lost == 64
    assert report.cumulative_lost == 250
    assert report.highest_sequence == 66099
    feed(quality, [66099] * 10, start=30.0)
    assert quality.reception().cumulative_lost == 240


def test_memory_is_bounded_however_much_is_missing() -> None:
    quality = StreamQuality()
    feed(quality, [n * 50 for n in range(10000)])
    assert len(quality._missing) <= 5 * MAX_MISORDER
    assert quality.snapshot().lost == 9999 * 49


# --- ITU-T G.107


@pytest.mark.parametrize(
    ("r", "score"), [(50, 2.58), (60, 3.10), (70, 3.60), (80, 4.03), (90, 4.34), (93.2, 4.41)]
)
def test_ratings_are_the_opinions_of_g107_annex_b(r: float, score: float) -> None:
    assert opinion(r) == pytest.approx(score, abs=0.007)


def test_the_default_connection_rates_what_g107_says() -> None:
    assert rating(0.0, 25.1, 0.0, 0.0) == pytest.approx(93.2, abs=0.05)


@pytest.mark.parametrize(("percent", "impaired"), [(1, 5), (2, 7), (3, 10), (5, 15), (10, 25)])
def test_loss_impairs_concealed_g711_as_in_g113_appendix_i(percent: int, impaired: int) -> None:
    assert 93.2 - rating(0.0, 25.1, percent / 100, 0.0) == pytest.approx(impaired, abs=2.1)


@pytest.mark.parametrize(
    ("milliseconds", "impaired"),
    [(50, 1.2), (100, 2.4), (150, 3.6), (200, 7.3), (250, 14), (300, 20.7)],
)
def test_delay_impairs_as_in_the_published_approximation(
    milliseconds: int, impaired: float
) -> None:
    # Cole and Rosenbluth, Voice over IP performance monitoring (2001): 0.024 d + 0.11 (d - 177.3) beyond 177.3 ms.
    assert 93.36 - rating(0.0, 25.1, 0.0, milliseconds / 1000) == pytest.approx(impaired, abs=0.5)


def test_a_score_falls_with_each_fault_and_never_leaves_its_scale() -> None:
    best = mos("pcmu", 0.0, 0.0, 0.0)
    assert best is not None
    assert 4.3 < best < 4.5
    for worse in (mos("PCMU", 0.05, 0, 0), mos("PCMU", 0, 0.05, 0), mos("PCMU", 0, 0, 0.3)):
        assert worse is not None
        assert worse < best - 0.2
    assert mos("PCMU", 1.0, 9.0, 9.0) == 1.0
    assert mos("opus", 0, 0, 0) == mos("G722", 0, 0, 0) == best
    assert mos("made-up", 0, 0, 0) is None
