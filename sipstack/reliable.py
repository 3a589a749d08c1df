"""Reliable provisional responses (:rfc:`3262`), both sides. Pure."""

from dataclasses import dataclass, field

from sipstack.agent import supports
from sipstack.lenient import readable
from sipstack.message import Request, Response

_LARGEST = 2**32 - 1


@dataclass(slots=True)
class Received:
    """What one early dialog of our INVITE has got of them."""

    last: int | None = None

    def acknowledges(self, response: Response) -> str | None:
        """The RAck of the PRACK that ``response`` is owed.

        ``None`` where it is owed none: it is not reliable, a copy, or came before one that is still missing (§4), which
        its sender will send again.
        """
        number = _number(response.get("RSeq"))
        if not is_reliable(response) or number is None:
            return None
        if self.last is not None and number != self.last + 1:
            return None
        self.last = number
        return f"{number} {response.cseq}"


@dataclass(slots=True)
class Sent:
    """Those that we send to one INVITE, one at a time."""

    invite: Request
    number: int
    waiting: bool = field(default=False)

    @property
    def wanted(self) -> bool:
        """Whether the peer requires, or can take, reliable ones."""
        return supports(self.invite, "100rel")

    def mark(self, response: Response) -> None:
        """Make ``response`` a reliable one."""
        self.number = self.number % _LARGEST + 1
        self.waiting = True
        response.add("Require", "100rel")
        response.add("RSeq", str(self.number))

    def acknowledged(self, prack: Request) -> bool:
        """Whether ``prack`` is for the one that waits."""
        if not self.waiting or prack.get("RAck") is None:
            return False
        expected = f"{self.number} {self.invite.cseq}".split()
        if (prack.get("RAck") or "").split() != expected:
            return False
        self.waiting = False
        return True


def is_reliable(response: Response) -> bool:
    """Whether a provisional response has to be acknowledged."""
    if response.status == 100 or response.status >= 200:
        return False
    required = readable(response.values, "Require")
    return "100rel" in [tag.strip().lower() for tag in required]


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    return int(text) if 0 < int(text) <= _LARGEST else None
