"""Session timers (:rfc:`4028`): who refreshes an answered call, how often, and when it counts as lost. Pure."""

from dataclasses import dataclass

from sipstack.agent import supports
from sipstack.message import Message, ParseError, Request, Response

Headers = list[tuple[str, str]]

#: The shortest interval in seconds that anybody has to accept (§5).
MIN_SE = 90
#: The interval that we ask for; what the RFC recommends.
USUAL = 1800
#: Times that a 422 raises our interval before we believe that the peer plays with us.
_RAISES = 3


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both sides agreed on: the interval in seconds, and whether the refreshes are ours to send."""

    interval: int
    ours: bool

    @property
    def refresh_after(self) -> float:
        """Seconds after which the refresher refreshes (§10)."""
        return self.interval / 2

    @property
    def lost_after(self) -> float:
        """Seconds without a refresh after which the session is over (§10)."""
        return self.interval - min(32.0, self.interval / 3)


class SessionTimer:
    """One session's timer. ``interval`` is what we ask for; 0 asks for none, and still does what the peer asks."""

    def __init__(self, interval: int = USUAL) -> None:
        self.agreed: Agreed | None = None
        self._interval = interval
        self._min_se = MIN_SE
        self._raises = 0

    def ask(self) -> Headers:
        """The headers for a request of ours that makes or refreshes the session."""
        if not self._interval:
            return []
        value = str(self.agreed.interval if self.agreed else self._interval)
        if self.agreed is not None:
            value += f";refresher={'uac' if self.agreed.ours else 'uas'}"
        return [("Session-Expires", value), ("Min-SE", str(self._min_se))]

    def raised(self, response: Response) -> bool:
        """Take the Min-SE of a 422; whether it is worth asking again."""
        wanted = _seconds(response.get("Min-SE"))
        if wanted is None or wanted <= self._min_se or self._raises >= _RAISES:
            return False
        self._raises += 1
        self._min_se = wanted
        self._interval = max(self._interval, wanted)
        if self.agreed is not None:
            self.agreed = Agreed(max(self.agreed.interval, wanted), self.agreed.ours)
        return True

    def answered(self, response: Response) -> None:
        """Take the 2xx to a request of ours (§7.2). One without Session-Expires means that there is no timer."""
        asked = _session_expires(response)
        if asked is None:
            self.agreed = None
        else:
            # An interval below the least allowed would have us refresh in a loop.
            self.agreed = Agreed(max(asked[0], MIN_SE), asked[1] != "uas")

    def asked(self, request: Request) -> Headers:
        """Take the peer's INVITE or UPDATE (§9); the headers for our 2xx.

        :raises ParseError: 422, the interval is too small; the answer has to have ``Min-SE`` too.
        """
        theirs = _session_expires(request)
        able = supports(request, "timer")
        if theirs is None:
            if not able or self.agreed is None:
                self.agreed = None
                return []
            return self._answer("uas" if self.agreed.ours else "uac", able)
        interval, refresher = theirs
        if interval < MIN_SE and able:
            raise ParseError(422, "Session Interval Too Small")
        if not able:
            refresher = "uas"
        refresher = refresher or "uac"
        self.agreed = Agreed(max(interval, MIN_SE), refresher == "uas")
        return self._answer(refresher, able)

    def _answer(self, refresher: str, able: bool) -> Headers:
        assert self.agreed is not None
        headers = [("Session-Expires", f"{self.agreed.interval};refresher={refresher}")]
        if refresher == "uac" and able:
            headers.append(("Require", "timer"))
        return headers


def _seconds(text: str | None) -> int | None:
    text = (text or "").partition(";")[0].strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


def _session_expires(message: Message) -> tuple[int, str | None] | None:
    """(interval in seconds, the refresher if named); ``None`` where there is none that can be read."""
    text = message.get("Session-Expires")
    if text is None or (interval := _seconds(text)) is None:
        return None
    for param in text.split(";")[1:]:
        name, _, value = param.partition("=")
        if name.strip().lower() == "refresher" and value.strip().lower() in ("uac", "uas"):
            return interval, value.strip().lower()
    return interval, None
