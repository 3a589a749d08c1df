"""Very many timers on one of the loop's."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipstack.alarms import Alarm, Alarms
from tests.simulation.clock import VirtualLoop


class Bed:
    """Alarms on a loop in virtual time, from 1000 s on: which rang when, and when the loop's own timers did."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = VirtualLoop()
        self.rung: list[tuple[float, Alarm]] = []
        self.woken: list[float] = []
        self.alarms: Alarms[Alarm] = Alarms(
            self.loop, lambda alarm: self.rung.append((self.loop.time(), alarm))
        )
        call_at = self.loop.call_at

        def counted(when: float, callback: Callable[..., object], *given: Any) -> Any:
            def woken() -> None:
                self.woken.append(self.loop.time())
                callback(*given)

            return call_at(when, woken)

        monkeypatch.setattr(self.loop, "call_at", counted)

    def run(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(0))
        end = self.loop.time() + seconds
        ends = self.loop.create_future()
        VirtualLoop.call_at(self.loop, end, ends.set_result, None)
        self.loop.run_until_complete(ends)


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> Bed:
    return Bed(monkeypatch)


def test_each_rings_at_its_moment_the_earliest_first(bed: Bed) -> None:
    one, two, three = Alarm(), Alarm(), Alarm()
    bed.alarms.set(one, 1003.0)
    bed.alarms.set(two, 1001.0)
    bed.alarms.set(three, 1002.0)
    bed.alarms.set(three, None)
    bed.run(10)
    assert bed.rung == [(1001.0, two), (1003.0, one)]
    assert one.due is two.due is None


def test_nobody_wakes_up_for_what_is_put_off_or_taken_back(bed: Bed) -> None:
    answered = [Alarm() for _ in range(20)]
    for number, alarm in enumerate(answered):
        # As with requests: each would be sent again half a second later, and is answered at once.
        bed.alarms.set(alarm, 1000.5 + number / 100)
        bed.alarms.set(alarm, 1032.0)
    silent = Alarm()
    bed.alarms.set(silent, 1005.0)
    taken_back = Alarm()
    bed.alarms.set(taken_back, 1002.0)
    bed.alarms.set(taken_back, None)
    bed.run(40)
    assert bed.rung == [(1005.0, silent), *((1032.0, alarm) for alarm in answered)]
    assert bed.woken == [1005.0, 1032.0]


def test_after_a_ring_nobody_wakes_up_for_what_was_put_off_behind_it(bed: Bed) -> None:
    first, last = Alarm(), Alarm()
    bed.alarms.set(first, 1000.5)
    bed.alarms.set(last, 1005.0)
    for number in range(20):
        answered = Alarm()
        bed.alarms.set(answered, 1000.6 + number / 100)
        bed.alarms.set(answered, 1005.0 if number % 2 else None)
    bed.run(10)
    assert bed.woken == [1000.5, 1005.0]
    assert len(bed.rung) == 12


def test_one_that_is_put_off_behind_others_and_forward_again_rings_once(bed: Bed) -> None:
    one, other = Alarm(), Alarm()
    bed.alarms.set(other, 1001.0)
    bed.alarms.set(one, 1002.0)
    bed.alarms.set(one, 1009.0)
    bed.alarms.set(one, 1001.5)
    bed.alarms.set(other, 1009.0)
    bed.run(20)
    assert bed.rung == [(1001.5, one), (1009.0, other)]


def test_an_alarm_may_be_set_anew_while_it_rings(bed: Bed) -> None:
    alarm = Alarm()
    rings: list[float] = []

    def ring(rung: Alarm) -> None:
        rings.append(bed.loop.time())
        if len(rings) < 3:
            bed.alarms.set(rung, bed.loop.time() + 1.0)

    bed.alarms = Alarms(bed.loop, ring)
    bed.alarms.set(alarm, 1001.0)
    bed.run(10)
    assert rings == [1001.0, 1002.0, 1003.0]


def test_those_of_one_moment_ring_in_turn_but_for_those_that_were_moved(bed: Bed) -> None:
    alarms = [Alarm() for _ in range(8)]
    for alarm in alarms:
        bed.alarms.set(alarm, 1002.0)
    bed.alarms.set(alarms[7], 1004.0)
    bed.alarms.set(alarms[0], None)
    bed.alarms.set(alarms[3], 1001.0)
    bed.alarms.set(alarms[5], 1001.0)
    bed.alarms.set(alarms[5], 1002.0)
    bed.alarms.set(alarms[6], None)
    bed.alarms.set(alarms[6], 1002.0)
    bed.run(10)
    first, *rest = bed.rung
    assert first == (1001.0, alarms[3])
    assert rest[-1] == (1004.0, alarms[7])
    assert sorted(alarms.index(alarm) for _, alarm in rest[:-1]) == [1, 2, 4, 5, 6]
    assert {moment for moment, _ in rest[:-1]} == {1002.0}
    assert all(alarm.due is alarm.listed is None for alarm in alarms)


def test_one_that_fails_as_it_rings_keeps_no_other_from_it(bed: Bed) -> None:
    one, other, later = Alarm(), Alarm(), Alarm()
    rung: list[Alarm] = []

    def ring(alarm: Alarm) -> None:
        rung.append(alarm)
        bed.alarms.set(later, None)
        if alarm is one:
            raise ValueError("one")

    bed.alarms = Alarms(bed.loop, ring)
    for alarm in (one, other, later):
        bed.alarms.set(alarm, 1001.0)
    bed.run(10)
    assert rung == [one, other]
    assert [str(error) for error in bed.loop.errors] == ["one"]


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(1, 6), st.integers(0, 1))))
def test_whatever_is_set_and_moved_each_rings_once_at_its_moment(
    steps: list[tuple[int, int | None, int]],
) -> None:
    loop = VirtualLoop()
    rung: list[tuple[float, Alarm]] = []
    alarms: Alarms[Alarm] = Alarms(loop, lambda alarm: rung.append((loop.time(), alarm)))
    those = [Alarm() for _ in range(6)]
    expected: list[tuple[float, Alarm]] = []

    async def play() -> None:
        due: dict[Alarm, float] = {}
        for which, after, pause in steps:
            moment = None if after is None else loop.time() + after / 2
            alarms.set(those[which], moment)
            due.pop(those[which], None)
            if moment is not None:
                due[those[which]] = moment
            if pause:
                await asyncio.sleep(0.75)
                over = [alarm for alarm, when in due.items() if when <= loop.time()]
                expected.extend((due.pop(alarm), alarm) for alarm in over)
        await asyncio.sleep(10)
        expected.extend((when, alarm) for alarm, when in due.items())

    loop.run_until_complete(play())

    def by_moment(one: tuple[float, Alarm]) -> tuple[float, int]:
        return one[0], those.index(one[1])

    assert sorted(rung, key=by_moment) == sorted(expected, key=by_moment)
    assert [moment for moment, _ in rung] == sorted(moment for moment, _ in rung)
