"""How property tests draw: the same examples in each run, unless ``HYPOTHESIS_PROFILE=explore`` asks for many others.

And the PostgreSQL of the tests that want one.
"""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.postgres import Postgres, running

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", max_examples=20_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# A shell starts what it does not wait for with SIGINT ignored, and programs hand that on: those of the tests are to be
# interrupted all the same.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL, which is started for the first test that wants one."""
    with running() as made:
        yield made
