"""For modules whose tests are to run on a database of each kind: import :func:`each_database` there."""

import pytest


@pytest.fixture(params=["sqlite", "postgresql"], name="kept_in")
def each_database(request: pytest.FixtureRequest) -> str:
    """In the place of the fixture ``kept_in`` of all modules."""
    return str(request.param)
