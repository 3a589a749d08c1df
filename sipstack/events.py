"""What happens to a call, told to whoever made it."""

from dataclasses import dataclass
from typing import Protocol

from sipstack.message import Message, Uri
from sipstack.sdp import RemoteMedia


@dataclass(frozen=True, slots=True)
class Ringing:
    """A provisional answer above 100 came."""

    status: int


@dataclass(frozen=True, slots=True)
class EarlyMedia:
    """A provisional answer described the peer's media."""

    remote: RemoteMedia


@dataclass(frozen=True, slots=True)
class Answered:
    """The call was answered and acknowledged."""

    remote: RemoteMedia


@dataclass(frozen=True, slots=True)
class Renegotiated:
    """The peer changed its side of an answered call: hold, resume, another codec or address."""

    remote: RemoteMedia


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The dialog itself changed: the peer's target, or sequence numbers. Whoever keeps a copy takes a new one."""


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    """The peer has answered an offer of ours in an answered call."""

    remote: RemoteMedia


@dataclass(frozen=True, slots=True)
class OfferRefused:
    """The peer has refused an offer of ours, with this status: all is as it was before."""

    status: int


@dataclass(frozen=True, slots=True)
class Info:
    """The peer sent an INFO: its body and the type of that, in lower case without parameters."""

    content_type: str
    body: bytes


class Referral(Protocol):
    """A REFER that was accepted: whoever sent it is told how it goes."""

    def notify(self, status: int, reason: str, *, final: bool) -> None:
        """Say where the new call stands, as a status line of SIP. Nothing is sent after the final one."""


@dataclass(frozen=True, slots=True)
class Referred:
    """The peer asks for the call to go to ``target`` instead (:rfc:`3515`), and waits for word through ``referral``."""

    target: Uri
    referral: Referral


@dataclass(frozen=True, slots=True)
class Failed:
    """The call was not answered. ``status`` is the peer's, or 408 or 503 where there was no answer to be had."""

    status: int
    reason: str
    q850: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """An answered call is over; ``by`` is ``"peer"``, ``"local"``, or ``"network"`` where the peer was lost."""

    by: str
    q850: int | None = None


Event = (
    Ringing
    | EarlyMedia
    | Answered
    | Renegotiated
    | Refreshed
    | OfferAnswered
    | OfferRefused
    | Info
    | Referred
    | Failed
    | Ended
)


def q850_cause(message: Message) -> int | None:
    """The Q.850 cause of a Reason header (:rfc:`3326`), if there is one."""
    for value in message.values("Reason"):
        protocol, *params = value.split(";")
        if protocol.strip().upper() != "Q.850":
            continue
        for param in params:
            name, _, number = param.partition("=")
            if name.strip().lower() == "cause" and number.strip().isdecimal() and len(number) < 5:
                return int(number)
    return None
