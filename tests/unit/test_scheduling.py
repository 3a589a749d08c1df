"""The relay's thread is scheduled before others, where that may be, and what needs the interpreter is on one processor."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sipstack import scheduling
from sipstack.scheduling import OneProcessor, Use, wanders, where_to


def in_a_thread() -> tuple[bool, int]:
    """Whether a thread comes first, and how it is scheduled then."""
    found: list[tuple[bool, int]] = []

    def work() -> None:
        before = os.sched_getscheduler(0)
        first = scheduling.come_first()
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
        alone.setattr(scheduling, "PROCESSORS", frozenset({0}))
        assert in_a_thread() == (False, usual)

    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(scheduling, "PROCESSORS", frozenset({0, 1}))
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert in_a_thread() == (False, usual)


def test_all_that_a_process_starts_may_come_first_with_it() -> None:
    found: list[tuple[bool, int, int, int]] = []

    def mine() -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)

    def work() -> None:
        all_ = scheduling.all_come_first()
        others: list[int] = []

        def last() -> None:
            others.append(mine())
            scheduling.come_last()
            others.append(mine())

        thread = threading.Thread(target=last)
        thread.start()
        thread.join()
        found.append((all_, mine(), *others))

    usual = mine()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    all_, own, other, last = found[0]
    assert (own, other) == ((-20, -20) if all_ else (usual, usual))
    assert last == max(0, usual)
    assert mine() == usual


def test_without_the_right_to_all_do_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "setpriority", refuse)
    assert not scheduling.all_come_first()


def use(
    busy: tuple[int, ...], had: int, threads: dict[int, int], placed: tuple[int, ...] = (1, 2)
) -> Use:
    return Use(
        dict(enumerate(busy)), dict.fromkeys(range(len(busy)), had), threads, frozenset(placed)
    )


NOTHING = use((0, 0, 0), 0, {1: 0, 2: 0})


@pytest.mark.parametrize(
    ("busy", "own", "to"),
    [
        pytest.param((0, 0, 0), 0, 0, id="nobody has anything to do"),
        pytest.param((90, 0, 0), 90, 0, id="it is all ours"),
        pytest.param((90, 60, 0), 90, 0, id="others are elsewhere"),
        pytest.param((90, 60, 0), 20, 2, id="others are here"),
        pytest.param((70, 60, 50), 0, 0, id="they are everywhere"),
        pytest.param((25, 0, 0), 0, 0, id="it is not worth while"),
        pytest.param((26, 1, 0), 0, 2, id="it is just worth while"),
        # Of 10 ms each: a thread is counted where another one was.
        pytest.param((20, 0, 0), 30, 0, id="the counts disagree"),
    ],
)
def test_the_processor_is_the_one_where_others_take_least(
    busy: tuple[int, ...], own: int, to: int
) -> None:
    assert where_to(0, NOTHING, use(busy, 100, {1: own // 2, 2: own - own // 2})) == to


def test_a_processor_that_was_taken_from_us_is_left() -> None:
    before, now = use((0, 0), 0, {}, ()), use((10, 10), 100, {}, ())
    assert where_to(7, before, now) in (0, 1)


def test_a_thread_that_has_begun_or_left_meanwhile_is_not_counted_as_ours() -> None:
    before = use((0, 0), 0, {1: 0, 2: 500}, placed=(1,))
    now = use((80, 0), 100, {1: 80, 2: 560, 3: 40}, placed=(1, 2, 3))
    assert where_to(0, before, now) == 0


@pytest.mark.parametrize(
    ("took", "here", "away"),
    [
        pytest.param(30, True, False, id="little, here"),
        pytest.param(31, True, True, id="much, here"),
        pytest.param(16, False, True, id="still some, away"),
        pytest.param(15, False, False, id="little again, away"),
    ],
)
def test_who_is_much_in_system_calls_leaves_and_comes_back(
    took: int, here: bool, away: bool
) -> None:
    before = use((0, 0), 1000, {9: 50})
    now = use((took, 0), 1100, {9: 50 + took}, placed=(9,) if here else ())
    assert wanders(9, before, now) is away
    # Of one that has just begun, or has ended, nothing is known.
    assert not wanders(9, use((0, 0), 1000, {}), now)
    assert not wanders(9, before, use((took, 0), 1100, {}))


def in_another(work: Callable[[], None]) -> None:
    """Do it in a thread of its own, whose place then ends with it."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def two() -> tuple[int, int]:
    assert len(scheduling.PROCESSORS) > 1, "the machine has two processors"
    first, second, *_ = sorted(scheduling.PROCESSORS)
    return first, second


def test_threads_gather_and_go_together_where_there_is_less_to_do() -> None:
    uses: list[Use] = []
    begun, done = threading.Event(), threading.Event()
    numbers: dict[str, int] = {}

    def stay(name: str) -> None:
        numbers[name] = threading.get_native_id()
        begun.set()
        assert done.wait(30)

    def work() -> None:
        here, there = two()
        processor = OneProcessor(lambda: uses.pop(0))
        processor.at = here
        uses.append(Use({here: 0, there: 0}, {here: 0, there: 0}, {}))
        assert processor.gather()
        threading.Thread(target=stay, args=("child",)).start()
        assert begun.wait(30)
        me, child = threading.get_native_id(), numbers["child"]
        both = frozenset({me, child})
        assert os.sched_getaffinity(child) == os.sched_getaffinity(0) == {here}
        nothing, had = {here: 0, there: 0}, {here: 100, there: 100}
        uses.append(Use(nothing, nothing, {me: 0, child: 0}, both))
        uses.append(Use({here: 60, there: 0}, had, {me: 0, child: 60}, both))
        processor.tidy()
        processor.tidy()
        assert os.sched_getaffinity(child) == os.sched_getaffinity(0) == {here}
        uses.append(Use({here: 130, there: 0}, {here: 200, there: 200}, {me: 0, child: 60}, both))
        processor.tidy()
        assert os.sched_getaffinity(child) == os.sched_getaffinity(0) == {there}

    try:
        in_another(work)
    finally:
        done.set()
    assert os.sched_getaffinity(0) == scheduling.PROCESSORS


def test_who_shares_a_processor_lets_others_go_on_unless_its_work_does_not_wait() -> None:
    followed: dict[str, list[int]] = {"child": [], "engine": []}

    def child() -> None:
        followed["child"].append(os.sched_getscheduler(0))

    def engine() -> None:
        followed["engine"].append(os.sched_getscheduler(0))
        scheduling.interrupt()
        followed["engine"].append(os.sched_getscheduler(0))
        scheduling.interrupt()
        followed["engine"].append(os.sched_getscheduler(0))

    def work() -> None:
        here, there = two()
        processor = OneProcessor(lambda: Use({here: 0, there: 0}, {here: 0, there: 0}, {}))
        processor.at = here
        assert processor.gather()
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
        for then in (child, engine):
            thread = threading.Thread(target=then)
            thread.start()
            thread.join(30)
        with scheduling.roaming():
            assert os.sched_getscheduler(0) == os.SCHED_OTHER
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
        scheduling.come_last()
        assert os.sched_getscheduler(0) == os.SCHED_OTHER

    in_another(work)
    assert followed["child"] == [os.SCHED_BATCH]
    assert followed["engine"] == [os.SCHED_BATCH, os.SCHED_OTHER, os.SCHED_OTHER]
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_who_was_begun_under_another_policy_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_IS_USUAL", False)

    def work() -> None:
        scheduling.let_go_on()
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        scheduling.interrupt()
        assert os.sched_getscheduler(0) == os.SCHED_BATCH

    in_another(work)


def test_where_policies_must_not_be_changed_all_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    scheduling.let_go_on()
    scheduling.interrupt()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_who_says_that_it_is_much_in_calls_may_leave_by_itself() -> None:
    uses: list[Use] = []

    def work() -> None:
        here, there = two()
        processor = OneProcessor(lambda: uses.pop(0))
        processor.at = here
        uses.append(Use({here: 0, there: 0}, {here: 0, there: 0}, {}))
        assert processor.gather()
        scheduling.much_in_calls()
        me = threading.get_native_id()
        for total, took, placed in [
            (0, 0, {me}),
            (100, 40, {me}),
            (200, 70, set()),
            (300, 80, set()),
        ]:
            uses.append(
                Use({here: 0, there: 0}, {here: total, there: total}, {me: took}, frozenset(placed))
            )
        seen = []
        for _ in range(4):
            processor.tidy()
            seen.append(os.sched_getaffinity(0))
        assert seen == [{here}, scheduling.PROCESSORS, scheduling.PROCESSORS, {here}]

    in_another(work)


def test_what_is_in_use_is_read_from_the_system() -> None:
    def work() -> None:
        here, _ = two()
        processor = OneProcessor()
        processor.at = here
        assert processor.gather()
        before = scheduling._use()
        me = threading.get_native_id()
        assert me in before.placed
        end = time.thread_time() + 0.3
        while time.thread_time() < end:
            pass
        now = scheduling._use()
        assert now.threads[me] - before.threads[me] >= 10
        assert now.busy.keys() == now.had.keys() == scheduling.PROCESSORS
        assert now.busy[here] > before.busy[here] and now.had[here] > before.had[here]
        with scheduling.roaming():
            assert os.sched_getaffinity(0) == scheduling.PROCESSORS
        assert os.sched_getaffinity(0) == {here}
        scheduling.come_last()
        assert os.sched_getaffinity(0) == scheduling.PROCESSORS

    in_another(work)


def test_nobody_gathers_where_there_is_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    def one() -> None:
        with monkeypatch.context() as alone:
            alone.setattr(scheduling, "PROCESSORS", frozenset({0}))
            assert not OneProcessor().gather()
            assert os.sched_getaffinity(0) != {0}

    in_another(one)


def test_where_only_processes_are_to_be_seen_nobody_moves_and_the_relay_still_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Path.read_text

    def hidden(path: Path) -> str:
        if path == Path("/proc/stat"):
            raise FileNotFoundError(2, "No such file or directory")
        return read(path)

    monkeypatch.setattr(Path, "read_text", hidden)

    def work() -> None:
        here, _ = two()
        processor = OneProcessor()
        processor.at = here
        assert processor.gather()
        scheduling.much_in_calls()
        processor.tidy()
        end = time.monotonic() + 10
        while os.sched_getaffinity(0) == {here} and time.monotonic() < end:
            spun = time.thread_time() + 0.3
            while time.thread_time() < spun:
                pass
            processor.tidy()
        assert os.sched_getaffinity(0) == scheduling.PROCESSORS
        assert processor.at == here

    in_another(work)


def test_where_what_others_take_cannot_be_seen_no_processor_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    placed: list[object] = []
    monkeypatch.setattr(scheduling, "PROCESSORS", frozenset({0, 1}))
    monkeypatch.setattr(scheduling, "_place", lambda *arguments: placed.append(arguments) or True)

    def hidden() -> Use:
        raise FileNotFoundError(2, "No such file or directory", "/proc/stat")

    for look in (hidden, lambda: Use({}, {}, {1: 0})):
        processor = OneProcessor(look)
        assert not processor.gather()
        for _ in range(3):
            processor.tidy()
    assert not placed


def test_what_can_be_seen_no_longer_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "PROCESSORS", frozenset({0, 1}))
    monkeypatch.setattr(scheduling, "_place", lambda *arguments: True)
    seen = [use((0, 0), 0, {}), use((0, 0), 0, {}), None, use((90, 90), 100, {})]

    def look() -> Use:
        found = seen.pop(0)
        if found is None:
            raise PermissionError(13, "Permission denied")
        return found

    processor = OneProcessor(look)
    assert processor.gather()
    for _ in range(3):
        processor.tidy()
    assert not seen


def test_who_may_not_change_how_nice_it_is_works_nonetheless(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "getpriority", lambda *arguments: -5)
    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(scheduling, "_place", lambda *arguments: True)
    scheduling.come_last()


def test_it_is_no_matter_where_the_system_knows_nothing_of_places() -> None:
    program = (
        "import os\n"
        "for name in ('sched_getaffinity', 'sched_setaffinity', 'sched_setscheduler', 'SCHED_RR'):\n"
        "    delattr(os, name)\n"
        "from sipstack import scheduling\n"
        "assert not scheduling.come_first()\n"
        "assert not scheduling.OneProcessor().gather()\n"
        "scheduling.come_last()\n"
        "with scheduling.roaming():\n"
        "    print('works')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "works\n", done.stderr
