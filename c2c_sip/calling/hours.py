"""The hours in which a click-to-call calls. Pure: the time comes in."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SPAN = r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]-(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
"""One span of a day, as ``09:00-17:30``; one that ends no later than it begins ends on the day after."""

CLOSED = "Nobody is here to call you now."

_DAY = 24 * 60
_WEEK = 7 * _DAY


def is_open(hours: Mapping[str, Any], now: float) -> bool:
    """Whether ``now``, in Unix seconds, is within the hours, as a clock on the wall of their time zone shows it.

    Without any day they are open always.
    """
    minute = _minute(_local(hours, now))
    always = not any(day in hours for day in DAYS)
    return always or any((minute - begin) % _WEEK < length for begin, length in _spans(hours))


def next_change(hours: Mapping[str, Any], now: float) -> float | None:
    """When they will be open if they are not, or closed if they are, in Unix seconds; ``None``: never."""
    state = is_open(hours, now)
    local = _local(hours, now)
    minute = _minute(local)
    edges = {e % _WEEK for begin, length in _spans(hours) for e in (begin, begin + length)}
    start = local.replace(second=0, microsecond=0)
    for ahead in sorted((edge - minute) % _WEEK or _WEEK for edge in edges):
        # The clock on the wall: a day on which it is changed is longer or shorter than others.
        moment = _shown_at(start + timedelta(minutes=ahead))
        if is_open(hours, moment) != state:
            return moment
    return None


def _shown_at(wall: datetime) -> float:
    """When a clock shows this time; where it is put forward past it, the moment of that."""
    late, early = wall.timestamp(), wall.replace(fold=1).timestamp()
    if early >= late:
        return late  # shown once, or twice: the first time

    def offset(moment: float) -> timedelta | None:
        return datetime.fromtimestamp(moment, wall.tzinfo).utcoffset()

    while late - early > 1:
        middle = (early + late) // 2
        early, late = (early, middle) if offset(middle) == offset(late) else (middle, late)
    return late


def _local(hours: Mapping[str, Any], now: float) -> datetime:
    # Only here: half a megabyte, for those whose calls keep hours.
    from zoneinfo import ZoneInfo

    return datetime.fromtimestamp(now, ZoneInfo(str(hours.get("timezone") or "UTC")))


def _minute(local: datetime) -> int:
    return local.weekday() * _DAY + local.hour * 60 + local.minute


def _spans(hours: Mapping[str, Any]) -> list[tuple[int, int]]:
    """The minutes of the week at which spans begin, and how many they have."""
    found = []
    for day, name in enumerate(DAYS):
        for span in hours.get(name) or ():
            begin, end = map(_clock, span.split("-"))
            found.append((day * _DAY + begin, end - begin if end > begin else end - begin + _DAY))
    return found


def _clock(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)
