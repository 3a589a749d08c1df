"""Starts the programs that a test asks for, and stops them after it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.interop.programs import Program, stop_all

P = TypeVar("P", bound=Program)
Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(Class, …)`` makes a program in the test's folder."""
    running: list[Program] = []

    def launch(kind: type[P], *arguments: Any, **more: Any) -> P:
        program = kind(tmp_path, *arguments, **more)
        running.append(program)
        return program

    yield launch
    stop_all([p for p in reversed(running) if hasattr(p, "process")])
