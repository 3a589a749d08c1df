"""Very many timers on one of the loop's: nearly all that a transaction sets are moved or taken back before they are due.

A timer that is moved to a later moment is not touched but when it would be the next: then it is put to the later one. So
what is sent and answered at once, as most requests are, costs one entry in a heap instead of three timers, and nobody wakes
up for a moment that means nothing any more. Those of one moment share an entry: the many that only have to be forgotten are
put to few moments, and thousands of them make no heap that is worth speaking of.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar


class Alarm:
    """What an alarm is set for; ``due`` is its moment on the loop's clock, ``None`` while there is none."""

    due: float | None = None
    #: The moment that it is listed under, which is never later than ``due``.
    listed: float | None = None


A = TypeVar("A", bound=Alarm)


class Alarms(Generic[A]):
    """Calls ``ring`` with each alarm at its moment, the earliest first. For the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[A], None]) -> None:
        self._loop = loop
        self._ring = ring
        #: The moments, the earliest first, and what is listed under each; some of that was listed anew for an earlier one.
        self._moments: list[float] = []
        self._listed: dict[float, deque[A]] = {}
        self._waiting = 0
        self._handle: asyncio.TimerHandle | None = None
        #: When that comes.
        self._comes = 0.0

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
        elif alarm.listed == self._moments[0]:
            self._settle()

    def _settle(self) -> None:
        """Have one listed under the first moment that is to ring then, and wait for no earlier moment."""
        while self._moments:
            moment = self._moments[0]
            listed = self._listed[moment]
            if listed and moment == listed[-1].listed == listed[-1].due:
                break
            if listed:
                self._put_off(listed.pop(), moment)
            else:
                self._drop_first()
        if self._handle is not None and (not self._moments or self._comes < self._moments[0]):
            self._handle.cancel()
            self._handle = None
        self._arm()

    def _put_off(self, alarm: A, moment: float) -> None:
        """List anew what was taken from under a ``moment`` at which it is not to ring."""
        if alarm.listed == moment:  # else it was listed anew for an earlier one
            alarm.listed = None
            if alarm.due is not None:
                self._list(alarm, alarm.due)

    def _list(self, alarm: A, moment: float) -> None:
        alarm.listed = moment
        listed = self._listed.get(moment)
        if listed is None:
            self._listed[moment] = deque((alarm,))
            heapq.heappush(self._moments, moment)
        else:
            listed.append(alarm)

    def _drop_first(self) -> None:
        del self._listed[heapq.heappop(self._moments)]

    def _clear(self) -> None:
        """Nothing is waited for any more: leave nothing behind."""
        for listed in self._listed.values():
            for alarm in listed:
                alarm.listed = None
        self._moments.clear()
        self._listed.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self) -> None:
        first = self._moments[0] if self._moments else None
        if self._handle is not None:
            if first is not None and self._comes <= first:
                return  # comes early enough, and looks for itself what is next
            self._handle.cancel()
            self._handle = None
        if first is not None:
            self._comes = first
            self._handle = self._loop.call_at(first, self._come, first)

    def _come(self, moment: float) -> None:
        """The first moment has come. The loop may be early by its clock's resolution."""
        self._handle = None
        now = max(self._loop.time(), moment)
        try:
            # Who rings may set others, and himself: each time it is looked anew what is the first.
            while self._moments and (first := self._moments[0]) <= now:
                listed = self._listed[first]
                if not listed:
                    self._drop_first()
                    continue
                alarm = listed.popleft()
                if alarm.listed != first or alarm.due is None or alarm.due > now:
                    self._put_off(alarm, first)
                    continue
                alarm.listed = alarm.due = None
                self._waiting -= 1
                self._ring(alarm)
        finally:
            self._settle()
