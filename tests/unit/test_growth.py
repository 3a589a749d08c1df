"""Reading takes steps in proportion to what is read: ten times the input, about ten times the lines executed.

Steps rather than seconds, so that the machine's load decides nothing. What a regular expression does is one step here;
``tests.bench.growth`` has seconds.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from sipstack.message import ParseError
from tests.bench.growth import SHAPES


def steps(work: Callable[[], object]) -> int:
    """Lines of Python executed."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except ParseError:
        pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_steps_grow_no_faster_than_the_input(shape: Any) -> None:
    small, large = shape.make(100), shape.make(1000)
    shape.read(small)  # what is read once and remembered is remembered by now
    assert 5 * len(small) < len(large) < 12 * len(small)
    assert steps(lambda: shape.read(large)) <= 12 * steps(lambda: shape.read(small)) + 100
