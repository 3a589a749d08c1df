"""What comes in for one coroutine, and how long it waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from c2c_sip.calling.inbox import Inbox
from sipstack.alarms import Alarms
from tests.simulation.clock import VirtualLoop, run


def opened() -> Inbox[int]:
    return Inbox(Alarms(asyncio.get_running_loop(), Inbox.wake))


def test_what_comes_is_taken_in_order_also_what_came_before_it_was_asked_for() -> None:
    async def work() -> list[int]:
        inbox: Inbox[int] = opened()
        loop = asyncio.get_running_loop()
        inbox.put(1)
        inbox.put(2)
        loop.call_later(1.0, inbox.put, 3)
        loop.call_later(1.0, inbox.put, 4)
        taken = [await inbox.take(loop.time() + 5.0) for _ in range(4)]
        inbox.close()
        return taken

    assert run(work()) == [1, 2, 3, 4]


def test_each_wait_ends_at_its_own_moment_whether_that_is_sooner_or_later_than_the_last() -> None:
    async def work() -> None:
        inbox: Inbox[int] = opened()
        loop = asyncio.get_running_loop()
        start = loop.time()
        for until in (10.0, 60.0, 62.0, 62.0, 50.0):
            before = loop.time()
            with pytest.raises(TimeoutError):
                await inbox.take(start + until)
            assert loop.time() == max(before, start + until)
        # What comes in between moves nothing.
        loop.call_later(1.0, inbox.put, 1)
        assert await inbox.take(start + 100.0) == 1
        with pytest.raises(TimeoutError):
            await inbox.take(start + 70.0)
        assert loop.time() == start + 70.0
        with pytest.raises(TimeoutError):
            await inbox.take(start + 100.0)
        assert loop.time() == start + 100.0

    run(work())


def test_what_is_there_is_taken_also_when_it_is_too_late() -> None:
    async def work() -> int:
        inbox: Inbox[int] = opened()
        inbox.put(1)
        return await inbox.take(0.0)

    assert run(work()) == 1


def test_who_is_cancelled_while_it_waits_misses_nothing_and_one_that_is_closed_leaves_no_timer() -> (
    None
):
    async def work() -> int:
        inbox: Inbox[int] = opened()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        taker = asyncio.create_task(inbox.take(loop.time() + 9.0))
        await asyncio.sleep(1.0)
        taker.cancel()
        inbox.put(7)
        with pytest.raises(asyncio.CancelledError):
            await taker
        taken = await inbox.take(loop.time() + 9.0)
        assert loop.timers()
        inbox.close()
        assert not loop.timers()
        return taken

    assert run(work()) == 7


def test_inboxes_that_wait_for_one_moment_share_a_timer() -> None:
    async def work() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        alarms: Alarms[Inbox[Any]] = Alarms(loop, Inbox.wake)
        until = loop.time() + 2.0

        async def wait() -> float:
            with pytest.raises(TimeoutError):
                await Inbox[int](alarms).take(until)
            return loop.time() - until

        waiting = [asyncio.create_task(wait()) for _ in range(100)]
        await asyncio.sleep(1.0)
        assert len(loop.timers()) == 1
        return list(await asyncio.gather(*waiting))

    assert run(work()) == [0.0] * 100
