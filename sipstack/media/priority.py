"""A packet that waits for a processor is late: the relay is to have one at once, whatever else the machine does."""

import os

#: Real-time priorities, which are before all ordinary threads: the lowest, and the one before that. What runs longer than
#: 95 % of a second is held back by the kernel itself.
_LEAST, _BEFORE_THAT = 1, 2


def come_first() -> bool:
    """Have the calling thread run as soon as there is something for it to do (``SCHED_RR``); whether it will.

    Not on a single processor, where it could keep everything else from running; nor without the right to: that of root,
    ``CAP_SYS_NICE``, or a limit ``RTPRIO`` of at least 1.
    """
    # Of this thread only: not of those that it starts, nor of other programs.
    policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    return _schedule(policy, _BEFORE_THAT) or _schedule(policy, _LEAST)


def all_come_first() -> bool:
    """The same for the threads that the calling one starts from now on, and for itself.

    For a process whose relay is a thread: that needs the interpreter, and would wait for as long as whichever thread has it
    waits for a processor. Since only one of them can have it, the other processors are left to other programs.
    """
    return _schedule(os.SCHED_RR, _LEAST)


def _schedule(policy: int, priority: int) -> bool:
    if len(os.sched_getaffinity(0)) < 2:
        return False
    try:
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except OSError:
        return False
    return True
