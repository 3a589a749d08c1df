"""An asyncio event loop whose clock is a number.

Nothing waits: when no callback is ready, the clock jumps to the next timer. A call of four hours
takes milliseconds, and two runs from the same seed do the same things in the same order.

What would break that is refused: sockets, threads, subprocesses. A program that waits for
something that can no longer happen does not hang but raises :class:`Deadlock`; one that spins
without the clock moving, or runs past the limit, raises :class:`Runaway`.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import base_events
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

DAY = 86400.0
SPIN_LIMIT = 100_000
"""Rounds of the loop without the clock moving, after which a program counts as spinning."""


class SimulationError(Exception):
    """The simulated program did something that a simulation can't go on from."""


class Deadlock(SimulationError):
    """Tasks wait, nothing is ready and no timer is set: nothing will ever happen again."""


class Runaway(SimulationError):
    """The program spins in place, or the virtual time limit has passed."""


class NotVirtual(SimulationError):
    """The program reached for something real: a socket, a thread, a process."""


class _Jump:
    """Stands where the loop expects its selector: instead of waiting, it moves the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop._idle(timeout)
        return []

    def close(self) -> None:
        pass


class VirtualLoop(base_events.BaseEventLoop):
    """An event loop in virtual time.

    :param seed: seeds :attr:`random`, for whatever in the simulated program needs chance or ids
    :param limit: virtual seconds after which the run is a :class:`Runaway`
    :param start: what the clock says at first; not zero, so that a time of zero stands out
    """

    _scheduled: list[asyncio.TimerHandle]  # the base class's heap

    def __init__(self, seed: int = 0, limit: float = 30 * DAY, start: float = 1000.0) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.errors: list[BaseException] = []
        self._now = start
        self._limit = start + limit
        self._spins = 0
        self._selector = _Jump(self)
        # A timer due exactly now is due; nothing later is.
        self._clock_resolution = 1e-9
        self.set_exception_handler(self._note_error)

    # What the base class needs from an event loop's platform half.

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._now

    def _idle(self, timeout: float | None) -> None:
        if timeout is None:
            raise Deadlock(f"at {self._now:.3f} nothing can happen any more\n{self.picture()}")
        if timeout <= 0:
            self._spins += 1
            if self._spins > SPIN_LIMIT:
                raise Runaway(f"the clock stands at {self._now:.3f}\n{self.picture()}")
            return
        self._spins = 0
        # To the timer itself rather than by the timeout: a sum could fall short by a rounding.
        self._now = max(self._now, self._scheduled[0].when())
        if self._now > self._limit:
            raise Runaway(f"still running after the time limit\n{self.picture()}")

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        # Called by call_soon_threadsafe. There is one thread, and it is awake.
        pass

    def _note_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.errors.append(error or SimulationError(str(context.get("message"))))

    # For tests to look at and to play with.

    def jump(self, seconds: float) -> None:
        """Let the clock jump forward at once, as after a suspended machine wakes up."""
        if seconds < 0:
            raise ValueError("a monotonic clock does not go back")
        self._now += seconds

    def timers(self) -> list[asyncio.TimerHandle]:
        """The timers that are set, soonest first."""
        return sorted(
            (timer for timer in self._scheduled if not timer.cancelled()),
            key=lambda timer: timer.when(),
        )

    def picture(self) -> str:
        """Tasks and timers that are left, as text, for the message of a failed run."""
        lines = []
        for task in sorted(asyncio.all_tasks(self), key=lambda task: task.get_name()):
            frames = task.get_stack(limit=1)
            where = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "?"
            lines.append(f"  task {task.get_name()} {task.get_coro()!r} at {where}")
        lines += [f"  timer +{timer.when() - self._now:.3f} {timer!r}" for timer in self.timers()]
        return "\n".join(lines) or "  no task, no timer"

    # What is real is refused.

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotVirtual("no sockets, threads or processes in a simulation")

    async def _refuse_async(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse()

    run_in_executor: Any = _refuse
    add_reader: Any = _refuse
    add_writer: Any = _refuse
    add_signal_handler: Any = _refuse
    getaddrinfo: Any = _refuse_async
    getnameinfo: Any = _refuse_async
    create_connection: Any = _refuse_async
    create_server: Any = _refuse_async
    create_unix_connection: Any = _refuse_async
    create_unix_server: Any = _refuse_async
    create_datagram_endpoint: Any = _refuse_async
    connect_accepted_socket: Any = _refuse_async
    connect_read_pipe: Any = _refuse_async
    connect_write_pipe: Any = _refuse_async
    subprocess_exec: Any = _refuse_async
    subprocess_shell: Any = _refuse_async
    sock_accept: Any = _refuse_async
    sock_connect: Any = _refuse_async
    sock_recv: Any = _refuse_async
    sock_recvfrom: Any = _refuse_async
    sock_sendall: Any = _refuse_async
    sock_sendto: Any = _refuse_async


def run(coro: Coroutine[Any, Any, T], seed: int = 0, limit: float = 30 * DAY) -> T:
    """Run a coroutine to its end in virtual time.

    The loop is :func:`asyncio.get_running_loop` inside. An exception in a callback or in a task
    that nobody awaited fails the run as one in the coroutine does. Tasks left over are cancelled.

    :param seed: seeds the loop's ``random``
    :param limit: virtual seconds it may take
    """
    loop = VirtualLoop(seed, limit)
    try:
        asyncio.set_event_loop(loop)
        try:
            result = loop.run_until_complete(coro)
        finally:
            coro.close()
            _cancel_all(loop)
        if loop.errors:
            raise loop.errors[0]
        return result
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _cancel_all(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop._spins = 0
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    for task in tasks:
        if not task.cancelled() and task.exception() is not None:
            loop.errors.append(task.exception() or SimulationError())
    loop.run_until_complete(loop.shutdown_asyncgens())
