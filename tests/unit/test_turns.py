"""The event loop that does what is ready first, and lets no socket wait for long."""

import asyncio
import socket

import pytest

from sipstack.turns import TURNS, Loop


def turns_until_read(loop: asyncio.AbstractEventLoop) -> int:
    """Turns that a datagram waits for while there is something to do in each."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    turns = 0

    def go_on() -> None:
        nonlocal turns
        turns += 1
        if turns < 100:
            loop.call_soon(go_on)
        else:
            loop.stop()

    with ours, theirs:
        loop.add_reader(ours, loop.stop)
        theirs.send(b"news")
        loop.call_soon(go_on)
        loop.run_forever()
        loop.remove_reader(ours)
    return turns


def test_what_is_ready_goes_first_and_a_socket_waits_for_a_few_turns_at_most() -> None:
    loop = Loop()
    try:
        waited = [turns_until_read(loop) for _ in range(5)]
    finally:
        loop.close()
    assert max(waited) <= TURNS + 1
    assert waited[-1] > 1, "the kernel was asked in each turn"


def test_a_timer_comes_while_callbacks_follow_each_other() -> None:
    loop = Loop()
    rung: list[float] = []

    def go_on() -> None:
        if not rung:
            loop.call_soon(go_on)

    async def main() -> None:
        loop.call_later(0.01, lambda: rung.append(loop.time()))
        go_on()
        async with asyncio.timeout(10):
            while not rung:
                await asyncio.sleep(0)

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert len(rung) == 1


def test_with_nothing_to_do_it_sleeps_until_there_is_news() -> None:
    loop = Loop()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard: list[bytes] = []

    def read() -> None:
        heard.append(ours.recv(100))
        if len(heard) == 3:
            loop.stop()

    with ours, theirs:
        loop.add_reader(ours, read)
        for number in range(3):
            loop.call_later(0.01 * number, theirs.send, b"%d" % number)
        loop.call_later(10.0, loop.stop)
        loop.run_forever()
        loop.remove_reader(ours)
    loop.close()
    assert heard == [b"0", b"1", b"2"]


@pytest.mark.parametrize("most", [1, 50])
def test_what_other_threads_ask_for_is_done(most: int) -> None:
    loop = Loop()
    done: list[int] = []

    async def main() -> None:
        for number in range(most):
            await asyncio.to_thread(loop.call_soon_threadsafe, done.append, number)
        async with asyncio.timeout(10):
            while len(done) < most:
                await asyncio.sleep(0.001)

    try:
        loop.run_until_complete(main())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    assert done == list(range(most))
