"""What comes in for one coroutine, which takes one thing after the other and waits for none for too long."""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sipstack.alarms import Alarm, Alarms

#: Seconds by which a timer may be early.
MOMENT = 0.001

T = TypeVar("T")


class Inbox(Alarm, Generic[T]):
    """A queue for one taker, in the loop's thread; ``alarms`` are those of all inboxes.

    Its alarm is left where it is while it comes early enough, and is then put to what is waited for by then: most of what is
    waited for comes long before.
    """

    def __init__(self, alarms: "Alarms[Inbox[Any]]") -> None:
        # Hardly ever more than two: a deque has room for sixty-four.
        self._things: list[T] = []
        self._taker: asyncio.Future[None] | None = None
        self._alarms = alarms

    def put(self, thing: T) -> None:
        """One more."""
        self._things.append(thing)
        self.wake()

    def drop(self, unwanted: Callable[[T], bool]) -> None:
        """Take out, unseen, what nobody wants any more."""
        if self._things:
            self._things = [thing for thing in self._things if not unwanted(thing)]

    async def take(self, until: float) -> T:
        """The next one.

        :param until: when to give up, on the loop's clock
        :raises TimeoutError: nothing has come by then
        """
        while not self._things:
            loop = asyncio.get_running_loop()
            if loop.time() > until - MOMENT:
                raise TimeoutError
            if self.due is None or self.due > until:
                self._alarms.set(self, until)
            self._taker = loop.create_future()
            await self._taker
        return self._things.pop(0)

    def close(self) -> None:
        """Wait for nothing any more."""
        self._alarms.set(self, None)

    def wake(self) -> None:
        """Have it looked at: something has come, or its moment."""
        taker, self._taker = self._taker, None
        if taker is not None and not taker.done():
            taker.set_result(None)
