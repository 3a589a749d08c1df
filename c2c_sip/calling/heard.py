"""A leg's audio in figures, as CDRs and channels show them."""

from dataclasses import fields
from operator import attrgetter
from typing import Any

from sipstack.media import LegCounters

# A moment of the media plane's clock says nothing to anybody else.
_SHOWN = tuple(field.name for field in fields(LegCounters) if field.name != "last_received")
#: All are plain values, which need no copy of each as :func:`dataclasses.asdict` would make.
_VALUES = attrgetter(*_SHOWN)


def shown(counters: LegCounters, now: float) -> dict[str, Any]:
    """The figures by their names in the API; ``now`` is on the media plane's clock."""
    found: dict[str, Any] = dict(zip(_SHOWN, _VALUES(counters), strict=True))
    last = counters.last_received
    found["silent_seconds"] = None if last is None else round(max(0.0, now - last), 1)
    return found
