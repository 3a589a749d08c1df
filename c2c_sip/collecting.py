"""When the cycle collector works: it stops all threads while it does, and the RTP with them.

What calls leave behind frees itself, so there is little for it to find; what takes its time is to look at all that lives:
0.6 s with the remains of 6,000 calls. So it looks only at what is new by itself, which takes a few milliseconds, and at
everything when no call is up.
"""

import gc
from collections.abc import Callable

#: New objects after which those are looked at.
_YOUNG = 5_000
#: Seconds without a call after which everything is looked at: what SIP remembers of a call for 32 s is gone.
_QUIET = 40.0
#: Seconds between two such looks.
_SELDOM = 300.0
#: Looks at what is new after which everything has to be looked at even though there are calls. A call makes about 230
#: objects, so that this is once in 20,000 calls of which the last was never over before the next.
_MOST = 1_000


class Collecting:
    """Has everything looked at in quiet moments.

    :param calls: how many calls are up
    :param clock: seconds
    """

    def __init__(self, calls: Callable[[], int], clock: Callable[[], float]) -> None:
        self._calls = calls
        self._clock = clock
        self._busy = self._last = clock()
        gc.collect()
        # What was made until now stays.
        gc.freeze()
        gc.set_threshold(_YOUNG, 1_000_000, 1_000_000)

    def tidy(self) -> bool:
        """Collect if it is the moment; whether it was. To be called every few seconds."""
        now = self._clock()
        if self._calls():
            self._busy = now
        is_quiet = now - self._busy >= _QUIET and now - self._last >= _SELDOM
        if not is_quiet and gc.get_count()[1] < _MOST:
            return False
        gc.collect()
        self._last = now
        return True
