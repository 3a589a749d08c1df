"""What happens in the lab, a line an event: as text, or as JSON for a program that reads it."""

import json
import time
from collections.abc import Callable


class Journal:
    """Writes lines to ``write``."""

    def __init__(
        self,
        write: Callable[[str], object],
        as_json: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._write = write
        self._as_json = as_json
        self._clock = clock

    def tell(self, event: str, **facts: object) -> None:
        """Something has happened."""
        now = self._clock()
        if self._as_json:
            self._write(json.dumps({"time": round(now, 3), "event": event, **facts}))
            return
        stamp = time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03d}"
        said = " ".join(f"{name}={_shown(value)}" for name, value in facts.items())
        self._write(f"{stamp} {event} {said}".rstrip())


def _shown(value: object) -> str:
    text = str(value)
    # One line an event, whatever a peer puts into it.
    return text if text.isprintable() and " " not in text and text else json.dumps(text)
