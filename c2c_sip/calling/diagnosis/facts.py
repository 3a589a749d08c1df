"""What was seen of a call, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sipstack.call import Evidence
from sipstack.media import LegCounters

#: Who ended a leg; ``network`` where it was lost, or could not be had.
Outcome = Literal["", "peer", "local", "network"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The name of what happened, and the sentence."""

    name: str
    text: str


# These two are not frozen: with so many fields that takes several times as long to make, at the end of each call.
@dataclass(slots=True)
class LegFacts:
    """What was seen of one leg. Times are in seconds on one clock, ``None`` for what did not happen."""

    role: str
    #: The user part as it was dialled, and where; and what was shown as the caller's.
    dialled: str
    host: str = ""
    caller: str = ""
    #: The trunk's name; empty for straight there.
    trunk: str = ""
    created: float = 0.0
    ringing: float | None = None
    answered: float | None = None
    ended: float | None = None
    #: Who ended it, once it is over, and its final status.
    ended_by: Outcome = ""
    status: int | None = None
    evidence: Evidence = Evidence()
    #: What we offered it: codecs, and SRTP ``off``, ``optional`` or ``required``.
    codecs: tuple[str, ...] = ()
    srtp: str = "off"
    #: Where we told it to send its audio, as HOST:PORT; and where it has told us, empty where it has not.
    announced: str = ""
    described: str = ""
    #: Whether audio is to be expected from it at the end: it does not hold us, and sends past nobody.
    is_to_be_heard: bool = False
    media: LegCounters | None = None
    #: The cause of ITU-T Q.850 that its side gave for its end, in Reason (RFC 3326).
    q850: int | None = None


#: What ended a call from outside of its legs, or before there were any.
Why = Literal[
    "",
    "unanswered",
    "no key",
    "unusable",
    "no way",
    "no ports",
    "api",
    "stopped",
    "relay",
    "too long",
    "minutes",
    "fault",
]


@dataclass(slots=True)
class CallFacts:
    """What was seen of one call, at its end."""

    created: float
    ended: float
    legs: tuple[LegFacts, ...]
    #: The one that it ended with, if any.
    guilty: LegFacts | None = None
    why: Why = ""
    #: Of a leg that could not even be dialled: its role, and in words why.
    role: str = ""
    detail: str = ""
    connected: float | None = None
    first_role: str = "extension"
    timeout: float = 0.0
    #: The key that the extension had to press, and the seconds that it had for it.
    confirm: str = ""
    confirm_seconds: float = 0.0
    max_duration: float = 0.0
    media_timeout: float = 0.0
