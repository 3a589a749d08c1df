"""The relay's thread is scheduled before others, where that may be."""

import os
import threading

import pytest

from sipstack.media import priority


def in_a_thread() -> tuple[bool, int]:
    """Whether a thread comes first, and how it is scheduled then."""
    found: list[tuple[bool, int]] = []

    def work() -> None:
        before = os.sched_getscheduler(0)
        first = priority.come_first()
        found.append((first, os.sched_getscheduler(0) if first else before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_that_comes_first_is_alone_with_that() -> None:
    usual = os.sched_getscheduler(0)
    first, how = in_a_thread()
    # Without the right to, nothing has changed and nothing is raised.
    assert how == (os.SCHED_RR | os.SCHED_RESET_ON_FORK if first else usual)
    assert os.sched_getscheduler(0) == usual


def test_without_the_right_or_on_one_processor_all_goes_on_as_usual(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = os.sched_getscheduler(0)
    with monkeypatch.context() as alone:
        alone.setattr(os, "sched_getaffinity", lambda pid: {0})
        assert in_a_thread() == (False, usual)

    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert in_a_thread() == (False, usual)


def test_all_that_a_process_starts_may_come_first_with_it() -> None:
    found: list[tuple[bool, int, int, int]] = []

    def work() -> None:
        all_ = priority.all_come_first()
        mine = os.sched_getscheduler(0)
        others: list[int] = []
        thread = threading.Thread(target=lambda: others.append(os.sched_getscheduler(0)))
        thread.start()
        thread.join()
        # The relay is before them.
        first = priority.come_first()
        found.append((all_, mine, others[0], os.sched_getparam(0).sched_priority if first else 0))

    usual = os.sched_getscheduler(0)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    all_, mine, other, relay = found[0]
    assert (mine, other) == ((os.SCHED_RR, os.SCHED_RR) if all_ else (usual, usual))
    assert relay in (0, 1, 2) and (relay == 0) is not all_
    assert os.sched_getscheduler(0) == usual
