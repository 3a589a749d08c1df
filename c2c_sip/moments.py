"""Moments as ISO 8601 writes them, in UTC: most that are to be written are of the second of the one before."""

from functools import lru_cache
from time import gmtime


def to_second(moment: float) -> str:
    """Unix seconds to the second, what is beyond cut off."""
    return f"{_second(int(moment))}Z"


def to_millisecond(moment: float) -> str:
    """Unix seconds to the millisecond, what is beyond cut off."""
    second, rest = divmod(round(moment * 1e6), 1_000_000)
    return f"{_second(second)}.{rest // 1000:03d}Z"


@lru_cache(256)
def _second(moment: int) -> str:
    # Not by datetime, nor by strftime, which take longer.
    return "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}".format(*gmtime(moment)[:6])
