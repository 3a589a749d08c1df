"""A leg's audio in figures, as CDRs and channels show them."""

from typing import Any

from sipstack.media import LegCounters


def shown(counters: LegCounters, now: float) -> dict[str, Any]:
    """The figures by their names in the API; ``now`` is on the media plane's clock."""
    found = counters._asdict()
    # A moment of the media plane's clock says nothing to anybody else.
    last = found.pop("last_received")
    found["silent_seconds"] = None if last is None else round(max(0.0, now - last), 1)
    return found
