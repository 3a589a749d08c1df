"""Before which others threads are scheduled, and on which processor.

A packet that waits for a processor is late: the relay is to have one at once, whatever else the machine does. And a thread that
wakes another on a processor that sleeps pays for waking that too, ten times and more of what the same costs on its own. Threads
that take turns with one interpreter do that all the time, and only one of them can work anyway: they share one processor, all but one
that takes much of it by system calls, for which it does not need the interpreter.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: The processors that the process was given; where the system does not tell, there is nothing to choose.
PROCESSORS = frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0})
#: Whether it was begun as most processes are, and not by somebody who wants its threads to be scheduled otherwise.
_IS_USUAL = hasattr(os, "SCHED_BATCH") and os.sched_getscheduler(0) == os.SCHED_OTHER
#: How nice it was begun, at least as an ordinary one.
_NICE = max(0, os.getpriority(os.PRIO_PROCESS, 0))

#: By how much less of its time another processor must be taken by others before it is worth while to go there.
WORTH_IT = 0.25
#: What a thread takes of a processor's time that takes much.
MUCH = 0.3


def come_first() -> bool:
    """Have the calling thread run as soon as there is something for it to do (``SCHED_RR``); whether it will.

    Not where there is a single processor, where it could keep everything else from running; nor without the right to: that of
    root, ``CAP_SYS_NICE``, or a limit ``RTPRIO`` of at least 1. What runs longer than 95 % of a second is held back by the
    kernel itself.
    """
    if len(PROCESSORS) < 2:
        return False
    # Of this thread only: not of those that it starts, nor of other programs. Any real-time priority is before all others.
    policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    try:
        os.sched_setscheduler(0, policy, os.sched_param(1))
    except OSError:
        return False
    return True


def all_come_first() -> bool:
    """Give the calling thread, and those that it starts from now on, nearly all that they ask for; whether it may.

    For a process whose relay is a thread: that needs the interpreter, and would wait for as long as whichever thread has it
    waits for a processor. In real time, as the relay is, all of them are not: one that only computes would keep the others
    waiting, and by the kernel's limit all would be held back together.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    except OSError:
        return False
    if os.getsid(0) == os.getpid():
        # Sessions share the machine before their processes do (sched(7), autogroup); this one is all ours.
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text("-20")
    return True


def let_go_on() -> None:
    """Have the calling thread, and those that it starts from now on, let whoever runs go on when they wake up
    (``SCHED_BATCH``), until he waits for something or has had his time.

    For threads that share a processor and an interpreter: one that interrupts another comes as far as to the interpreter's
    lock, and has to let it go on for that. Each gets as much of the processor as before.
    """
    if _IS_USUAL:
        _follow(os.SCHED_BATCH)


def interrupt() -> None:
    """Have the calling thread interrupt whoever runs when it wakes up, as is usual: its work does not wait."""
    if _IS_USUAL and os.sched_getscheduler(0) == os.SCHED_BATCH:
        _follow(os.SCHED_OTHER)


def _follow(policy: int) -> None:
    # As above, it may have been forbidden.
    with suppress(OSError):
        os.sched_setscheduler(0, policy, os.sched_param(0))


def come_last() -> None:
    """Have the calling thread run on any processor, as an ordinary one: it works for long without the interpreter."""
    roam()
    if os.getpriority(os.PRIO_PROCESS, 0) < 0:
        # Whoever started us with that may have forbidden to change it, as by a filter of system calls.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)


def roam() -> None:
    """Have the calling thread run on any processor, and those that it starts from now on; in its own right there."""
    _place(0, PROCESSORS)
    interrupt()


@contextmanager
def roaming() -> Iterator[None]:
    """Processes that are started meanwhile run on any processor."""
    before = os.sched_getaffinity(0) if len(PROCESSORS) > 1 else PROCESSORS
    roam()
    try:
        yield
    finally:
        _place(0, before)
        if before != PROCESSORS:
            let_go_on()


def _place(thread: int, processors: Iterable[int]) -> bool:
    """Have a thread run on some processors only; whether it will. Those may have been taken from us meanwhile."""
    if len(PROCESSORS) < 2:
        return False
    try:
        os.sched_setaffinity(thread, processors)
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Use:
    """How much of each processor's time was in use so far, and how much there was of it; how much each of our threads has
    had, and which of those are on one processor only. In ticks, all of it: what they miss they miss everywhere."""

    busy: Mapping[int, int]
    had: Mapping[int, int]
    threads: Mapping[int, int]
    placed: frozenset[int] = frozenset()


def where_to(at: int, before: Use, now: Use) -> int:
    """The processor to be on: where others took least since, but the one that we are ``at`` if they are little better."""
    own = sum(now.threads[one] - before.threads[one] for one in now.placed & before.placed)
    taken = {}
    for one in now.busy.keys() & before.busy.keys():
        used = now.busy[one] - before.busy[one] - (own if one == at else 0)
        taken[one] = max(0, used) / max(1, now.had[one] - before.had[one])
    best = min(taken, key=lambda one: taken[one], default=at)
    return best if taken.get(at, 1.0) - taken.get(best, 1.0) > WORTH_IT else at


def wanders(thread: int, before: Use, now: Use) -> bool:
    """Whether a thread that is much in system calls is to leave the one processor, or to stay away from it, since it alone
    takes much of one: in those it does not need the interpreter."""
    if thread not in before.threads or thread not in now.threads:
        return False
    had = max(now.had[one] - before.had.get(one, 0) for one in now.had)
    share = (now.threads[thread] - before.threads[thread]) / max(1, had)
    return share > (MUCH if thread in now.placed else MUCH / 2)


class OneProcessor:
    """Keeps threads of this process on one processor, which is another one when others take too much of that."""

    def __init__(self, look: Callable[[], Use] = lambda: _use()) -> None:
        self._look = look
        #: Any, but not the same for all such processes.
        self.at = sorted(PROCESSORS)[os.getpid() % len(PROCESSORS)]
        self._before: Use | None = None

    def gather(self) -> bool:
        """Have the calling thread, and those that it starts from now on, run on one processor, where they let each other go
        on unless they :func:`interrupt`; whether they will.

        Not where there is but one, nor where it cannot be seen which threads there are (``/proc``).
        """
        gathered = len(PROCESSORS) > 1 and self._seen() is not None and _place(0, {self.at})
        if gathered:
            let_go_on()
        return gathered

    def _seen(self) -> Use | None:
        """How much is in use; ``None`` where that is hidden, or cannot be made sense of."""
        try:
            use = self._look()
        except (OSError, ValueError):
            return None
        return use if self.at in use.busy else None

    def tidy(self) -> None:
        """Go to a better one if there is any, and let go of who takes much of it by system calls. To be called every few
        seconds."""
        before, now = self._before, self._seen()
        self._before = now
        if before is None or now is None:
            return
        to = where_to(self.at, before, now)
        if to != self.at and _place(0, {to}):
            for thread in now.placed:
                # One that has ended meanwhile needs no place.
                _place(thread, {to})
            self.at = to
        for thread in _much_in_calls & now.threads.keys():
            away = wanders(thread, before, now)
            if away is (thread in now.placed):
                _place(thread, PROCESSORS if away else {self.at})


#: Threads of this process that are in system calls for most of their time.
_much_in_calls: set[int] = set()


def much_in_calls() -> None:
    """Say of the calling thread that it is in system calls for most of its time."""
    _much_in_calls.add(threading.get_native_id())


def _use() -> Use:
    """What :class:`Use` says, as it is now. See :manpage:`proc(5)`.

    Where only processes are to be seen (systemd's ``ProcSubset=pid``), or other processors than ours (lxcfs counts from 0), all
    look alike: nobody moves, and the system has to have others make room.
    """
    now = int(time.monotonic() * os.sysconf("SC_CLK_TCK"))
    busy, had = dict.fromkeys(PROCESSORS, 0), dict.fromkeys(PROCESSORS, now)
    threads, placed = {}, set()
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, *rest = line.split()
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in PROCESSORS:
            # user nice system idle iowait irq softirq steal; guests are in user and nice. Who is nice makes room for us.
            ticks = [int(text) for text in rest[:8]]
            had[int(name[3:])] = sum(ticks)
            busy[int(name[3:])] = sum(ticks) - ticks[1] - ticks[3] - ticks[4]
    for task in Path("/proc/self/task").iterdir():
        number = int(task.name)
        try:
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            if len(os.sched_getaffinity(number)) == 1:
                # Nobody but us has told it to.
                placed.add(number)
        except OSError:
            continue  # it has ended
        threads[number] = int(fields[11]) + int(fields[12])
    return Use(busy, had, threads, frozenset(placed))
