"""The cycle collector works in quiet moments."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from c2c_sip.collecting import Collecting


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class Time:
    def __init__(self) -> None:
        self.now = 1000.0
        self.calls = 0
        self.collecting = Collecting(lambda: self.calls, lambda: self.now)


class Knot:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.own = self


def old_garbage() -> "weakref.ref[Knot]":
    knot = Knot()
    gc.collect(0)
    gc.collect(0)  # alive still, and no longer young
    return weakref.ref(knot)


def test_everything_is_looked_at_once_it_has_been_quiet_for_a_while() -> None:
    time = Time()
    garbage = old_garbage()
    time.now += 299.0
    assert not time.collecting.tidy() and garbage() is not None
    time.now += 2.0
    assert time.collecting.tidy() and garbage() is None
    time.now += 100.0
    assert not time.collecting.tidy()


def test_while_calls_are_up_nothing_stops_for_it() -> None:
    time = Time()
    garbage = old_garbage()
    time.calls = 1
    for _ in range(100):
        time.now += 60.0
        assert not time.collecting.tidy()
    time.calls = 0
    time.now += 39.0
    assert not time.collecting.tidy() and garbage() is not None
    time.now += 2.0
    assert time.collecting.tidy() and garbage() is None


def test_by_itself_it_looks_at_what_is_new_only() -> None:
    Time()
    young, middle, old = gc.get_threshold()
    assert 0 < young <= 10_000 and middle >= 1_000_000 and old >= 1_000_000


def test_a_service_that_is_never_quiet_is_tidied_up_at_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = Time()
    time.calls = 1
    monkeypatch.setattr(gc, "get_count", lambda: (0, 5_000, 0))
    assert time.collecting.tidy()
