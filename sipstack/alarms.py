"""Very many timers on one of the loop's: nearly all that a transaction sets are moved or taken back before they are due.

A timer that is moved to a later moment is not touched but when it would be the next: then it is put to the later one. So
what is sent and answered at once, as most requests are, costs one entry in a heap instead of three timers, and nobody wakes
up for a moment that means nothing any more.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Generic, TypeVar


class Alarm:
    """What an alarm is set for; ``due`` is its moment on the loop's clock, ``None`` while there is none."""

    due: float | None = None
    #: The moment under which it is in the heap, which is never later than ``due``.
    listed: float | None = None


A = TypeVar("A", bound=Alarm)


class Alarms(Generic[A]):
    """Calls ``ring`` with each alarm at its moment, the earliest first. For the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[A], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._heap: list[tuple[float, int, A]] = []
        self._numbers = itertools.count()
        self._waiting = 0
        self._handle: asyncio.TimerHandle | None = None

    def set(self, alarm: A, due: float | None) -> None:
        """Have ``alarm`` ring at ``due`` and at no other moment; ``None``: not at all."""
        if due == alarm.due:
            return
        self._waiting += (due is not None) - (alarm.due is not None)
        alarm.due = due
        if not self._waiting:
            self._clear()
        elif due is not None and (alarm.listed is None or due < alarm.listed):
            self._list(alarm, due)
            self._arm()
        elif alarm is self._heap[0][2]:
            self._settle()

    def _settle(self) -> None:
        """Have one at the head of the heap whose moment is the one it is there under, and wait for no earlier one."""
        while self._heap:
            listed, _, alarm = self._heap[0]
            if listed == alarm.listed == alarm.due:
                break
            heapq.heappop(self._heap)
            if listed != alarm.listed:
                continue  # it was listed anew for an earlier moment
            alarm.listed = None
            if alarm.due is not None:
                self._list(alarm, alarm.due)
        if self._handle is not None and (not self._heap or self._handle.when() < self._heap[0][0]):
            self._handle.cancel()
            self._handle = None
        self._arm()

    def _list(self, alarm: A, moment: float) -> None:
        alarm.listed = moment
        heapq.heappush(self._heap, (moment, next(self._numbers), alarm))

    def _clear(self) -> None:
        """Nothing is waited for any more: leave nothing behind."""
        for _, _, alarm in self._heap:
            alarm.listed = None
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        first = self._heap[0][0] if self._heap else None
        if self._handle is not None:
            if first is not None and self._handle.when() <= first:
                return  # comes early enough, and looks for itself what is next
            self._handle.cancel()
        self._handle = None if first is None else self._loop.call_at(first, self._come, first)

    def _come(self, moment: float) -> None:
        """The first moment has come. The loop may be early by its clock's resolution."""
        self._handle = None
        now = max(self._loop.time(), moment)
        try:
            while self._heap and self._heap[0][0] <= now:
                listed, _, alarm = heapq.heappop(self._heap)
                if listed != alarm.listed:
                    continue  # it was listed anew for an earlier moment
                alarm.listed = None
                if alarm.due is None:
                    continue
                if alarm.due > now:
                    self._list(alarm, alarm.due)
                    continue
                alarm.due = None
                self._waiting -= 1
                self._ring(alarm)
        finally:
            self._arm()
