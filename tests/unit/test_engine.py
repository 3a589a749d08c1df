"""The engine begins calls no faster than it can go on with those there are."""

import asyncio
import itertools
import math
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from c2c_sip.calling.engine import BEGINNINGS, HELD_UP, SOON, Engine
from sipstack.media import MediaPlane


class Idle:
    """A user agent with nothing to do."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.server_watchers: list[Any] = []

    def close(self) -> None:
        pass


@pytest.fixture
def engine() -> Iterator[Engine]:
    async def build(loop: asyncio.AbstractEventLoop) -> Any:
        return Idle()

    made = Engine(build, MediaPlane(ports=(40000, 40010)), accounts=[], rng=random.Random(1))
    made.start()
    yield made
    made.stop(0.1)


def test_of_very_many_calls_only_a_few_begin_in_a_turn_of_the_loop(engine: Engine) -> None:
    begun: list[int] = []
    turns: list[int] = []

    async def call(number: int) -> None:
        begun.append(number)

    async def watch() -> None:
        for number in range(50):
            engine.submit(lambda number=number: call(number))  # type: ignore[misc]
        assert engine.wait >= 0.0
        for _ in range(30):
            turns.append(len(begun))
            await asyncio.sleep(0)

    engine.call(watch())
    assert begun == list(range(50))
    steps = [after - before for before, after in itertools.pairwise(turns)]
    assert 0 < max(steps) <= 2 * BEGINNINGS
    assert engine.wait == 0.0


def test_calls_begin_again_after_all_have_begun(engine: Engine) -> None:
    begun: list[int] = []

    async def call(number: int) -> None:
        begun.append(number)

    async def rest() -> None:
        await asyncio.sleep(0.01)

    for number in range(3):
        engine.submit(lambda number=number: call(number))  # type: ignore[misc]
        engine.call(rest())
    assert begun == [0, 1, 2]


def test_what_is_for_later_has_its_turn_with_all_else_of_that_second(engine: Engine) -> None:
    done: list[tuple[str, float]] = []
    ends = threading.Event()
    loop = engine._loop

    def note(name: str) -> None:
        done.append((name, loop.time()))
        if len(done) == 3:
            ends.set()

    async def from_within() -> float:
        engine.later(0.3, lambda: note("within"))
        return loop.time()

    # Begun where a second has just begun, so that all three are due in the next one.
    time.sleep(math.ceil(loop.time()) - loop.time() + 0.01)
    began = engine.call(from_within())
    engine.later(0.2, lambda: note("beside"))
    engine.later(0.4, lambda: note("beside"))
    assert ends.wait(30)
    assert sorted(name for name, _ in done) == ["beside", "beside", "within"]
    assert all(moment >= math.ceil(began) for _, moment in done)
    assert len({handle for handle in loop._scheduled}) == 0  # type: ignore[attr-defined]


def test_who_asks_for_more_than_can_begin_is_held_up_for_a_moment(engine: Engine) -> None:
    engine.hold_up()  # nothing is to begin
    busy, gate = threading.Event(), threading.Event()

    def block() -> None:
        busy.set()
        gate.wait(30)

    async def begin() -> None:
        pass

    engine.soon(block)
    assert busy.wait(30)
    engine.submit(begin)
    began = time.monotonic()
    while engine.wait <= SOON:
        time.sleep(0.01)
    engine.hold_up()
    assert time.monotonic() - began > SOON + HELD_UP - 0.1
    assert engine.waiting == 1
    held = threading.Thread(target=engine.hold_up)
    held.start()
    gate.set()
    held.join(30)
    assert not engine.waiting
