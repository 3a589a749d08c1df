"""A packet that waits for a processor is late: the relay is to have one at once, whatever else the machine does."""

import os

#: The lowest of the real-time priorities, which is before all ordinary threads. What runs longer than 95 % of a second
#: is held back by the kernel itself.
_LEAST = 1


def come_first() -> bool:
    """Have the calling thread run as soon as there is something for it to do (``SCHED_RR``); whether it will.

    Not on a single processor, where it could keep everything else from running; nor without the right to: that of root,
    ``CAP_SYS_NICE``, or a limit ``RTPRIO`` of at least 1.
    """
    if len(os.sched_getaffinity(0)) < 2:
        return False
    try:
        # Of this thread only: not of those that it starts, nor of other programs.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(_LEAST))
    except OSError:
        return False
    return True
