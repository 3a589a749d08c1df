"""An event loop that looks at its sockets when it has nothing else to do.

A callback that leads to another one costs asyncio a turn of its loop, and each turn asks the kernel for news of the sockets, to
hear in most cases that there is none; while it asks, another thread may take the interpreter, and has to give it back. What is
ready is done first here; but sockets never wait for more than :data:`TURNS` turns.
"""

import asyncio
import selectors
import time

#: Turns in which no socket is looked at, one after the other, as long as there is something to do in each.
TURNS = 3


class _Busy(selectors.DefaultSelector):
    """A selector that is asked less."""

    _passed = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready of what is registered, as with any other; nothing in a turn that has something to do anyway, mostly."""
        if timeout is not None and timeout <= 0 and self._passed < TURNS:
            self._passed += 1
            return []
        self._passed = 0
        return super().select(timeout)


class Loop(asyncio.SelectorEventLoop):
    """The event loop; its clock is asked some sixty times a call."""

    #: Without the method around it.
    time = staticmethod(time.monotonic)

    def __init__(self) -> None:
        super().__init__(_Busy())
