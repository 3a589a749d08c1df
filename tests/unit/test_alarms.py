"""Very many timers on one of the loop's."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

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
