"""What happens to a call, told to whoever made it."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from sipstack.lenient import readable
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
    """An answered call is over; ``by`` is ``"peer"``, ``"local"``, or ``"network"`` where the peer was lost.

    ``status`` is the one that says why the call had to be ended though nobody asked for it, else ``None``: 488 where an offer of
    ours was answered with what we cannot take.
    """

    by: Literal["peer", "local", "network"]
    q850: int | None = None
    status: int | None = None


#: How the peer of an answered call was found to be gone: it did not answer when it was asked, the session timer ran out,
#: a refresh of it or a re-INVITE had no answer, or our 2xx to its re-INVITE no ACK.
LostBy = Literal["", "silence", "timer", "refresh", "re-INVITE", "ACK"]


class Evidence(NamedTuple):
    """What was seen of a call that bears on why it went as it did; nothing that anybody has to act upon.

    Texts are the peer's own, as they came.
    """

    #: Who refused it: nobody, the peer by a final response, or we, for want of one or of one that will do.
    refused_by: Literal["", "peer", "us"] = ""
    #: The reason phrase of that response, or our own words.
    reason: str = ""
    #: What the peer says of it in its Warning header (:rfc:`3261` §20.43).
    warning: str = ""
    #: Whether anything at all was heard of whom the last INVITE was sent to.
    was_heard: bool = False
    #: Where that INVITE was sent.
    target: str = ""
    #: Whether it showed our password, and how often the call was sent on by a 3xx.
    authenticated: bool = False
    #: The realm that asked for it behind the trunk, or in the trunk's place, without being known as the trunk's.
    unknown_realm: str = ""
    redirections: int = 0
    #: How often the 2xx came again after our ACK, and where that ACK went; or why it could not be sent.
    repeated_answers: int = 0
    acknowledged_at: str = ""
    not_acknowledged: str = ""
    lost_by: LostBy = ""
    #: What was wrong with the answer to an offer within the call, for which it had to be ended.
    unusable: str = ""
    #: The interval of the session timer in seconds, 0 where there is none, and whether the refreshes are ours.
    session_interval: int = 0
    refreshes: bool = False


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
    for value in readable(message.values, "Reason"):
        protocol, *params = value.split(";")
        if protocol.strip().upper() != "Q.850":
            continue
        for param in params:
            name, _, number = param.partition("=")
            if name.strip().lower() == "cause" and number.strip().isdecimal() and len(number) < 5:
                return int(number)
    return None
