"""What comes in for one coroutine, which takes one thing after the other and waits for none for too long."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

#: Seconds by which a timer may be early.
MOMENT = 0.001

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue for one taker, in the loop's thread.

    Its timer is left where it is while it comes early enough, and is then put to what is waited for by then: most of what is
    waited for comes long before.
    """

    def __init__(self) -> None:
        self._things: deque[T] = deque()
        self._taker: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def put(self, thing: T) -> None:
        """One more."""
        self._things.append(thing)
        self._wake()

    def drop(self, unwanted: Callable[[T], bool]) -> None:
        """Take out, unseen, what nobody wants any more."""
        if self._things:
            self._things = deque([thing for thing in self._things if not unwanted(thing)])

    async def take(self, until: float) -> T:
        """The next one.

        :param until: when to give up, on the loop's clock
        :raises TimeoutError: nothing has come by then
        """
        while not self._things:
            loop = asyncio.get_running_loop()
            if loop.time() > until - MOMENT:
                raise TimeoutError
            if self._alarm is None or self._alarm.when() > until:
                self.close()
                self._alarm = loop.call_at(until, self._ring)
            self._taker = loop.create_future()
            await self._taker
        return self._things.popleft()

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _ring(self) -> None:
        self._alarm = None
        self._wake()

    def _wake(self) -> None:
        taker, self._taker = self._taker, None
        if taker is not None and not taker.done():
            taker.set_result(None)
