"""On which processors the threads of a real service run, and whom they interrupt."""

import os
from pathlib import Path

import pytest

from sipstack.scheduling import PROCESSORS
from tests.interop.programs import Service


def places(pid: int) -> list[frozenset[int]]:
    """The processors that each thread of a process may run on."""
    return [
        frozenset(os.sched_getaffinity(int(task.name)))
        for task in Path(f"/proc/{pid}/task").iterdir()
    ]


def policies(pid: int) -> list[int]:
    """How each thread of a process is scheduled."""
    return [
        os.sched_getscheduler(int(task.name)) & ~os.SCHED_RESET_ON_FORK
        for task in Path(f"/proc/{pid}/task").iterdir()
    ]


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(text) for text in (task / "children").read_text().split()]
    return found


@pytest.fixture(params=["", "workers = 1", "one_processor = false"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    assert len(PROCESSORS) > 1, "the machine has two processors"
    made = Service(tmp_path, settings=request.param)
    request.addfinalizer(made.stop)
    return made.start()


def test_what_takes_turns_with_the_interpreter_does_it_on_one_processor(service: Service) -> None:
    settings = service.config.read_text()
    found = places(service.process.pid)
    assert len(found) > 10
    if "one_processor" in settings:
        assert set(found) == {PROCESSORS}
        return
    # Hashes of secrets, as of the key that has signed in, are made elsewhere.
    assert found.count(PROCESSORS) == 1
    (one,) = set(found) - {PROCESSORS}
    assert len(one) == 1
    # Nor are relay processes ours to place.
    relays = [place for child in children(service.process.pid) for place in places(child)]
    assert set(relays) == ({PROCESSORS} if "workers" in settings else set())


def test_what_has_come_for_a_call_interrupts_and_the_rest_lets_it_go_on(service: Service) -> None:
    settings, pid = service.config.read_text(), service.process.pid
    found = policies(pid)
    relays = [policy for child in children(pid) for policy in policies(child)]
    if "one_processor" in settings:
        assert os.SCHED_BATCH not in found
    else:
        # The engine, the hashes of secrets, and a relay that may not be in real time.
        assert 2 <= found.count(os.SCHED_OTHER) <= 3
        rest = len(found) - found.count(os.SCHED_OTHER) - found.count(os.SCHED_RR)
        assert found.count(os.SCHED_BATCH) == rest > 8
    assert os.SCHED_BATCH not in relays
    assert bool(relays) is ("workers" in settings)
