"""How moments are written: as Python's own datetime does."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from c2c_sip.moments import to_millisecond, to_second


@given(st.floats(0.0, 4e9))
def test_moments_are_written_as_iso_8601_has_them(moment: float) -> None:
    known = datetime.fromtimestamp(moment, UTC)
    assert to_millisecond(moment) == known.isoformat(timespec="milliseconds")[:-6] + "Z"
    assert to_second(moment) == datetime.fromtimestamp(int(moment), UTC).isoformat()[:-6] + "Z"


def test_what_is_next_to_a_second_belongs_to_it_as_soon_as_microseconds_say_so() -> None:
    assert to_millisecond(1764360000.9999996) == "2025-11-28T20:00:01.000Z"
    assert to_millisecond(1764360000.123) == "2025-11-28T20:00:00.123Z"
    assert to_second(1764360000.9999996) == "2025-11-28T20:00:00Z"
