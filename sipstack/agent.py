"""What calls and registrations need of a user agent, and what it needs of them."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from sipstack.account import Account
from sipstack.lenient import readable
from sipstack.message import Message, NameAddr, Request, Response, Uri
from sipstack.message.multipart import find_part
from sipstack.resolver import Target
from sipstack.transaction import Timers
from sipstack.transport import Address

_Q = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, PRACK, REFER, NOTIFY"
#: Extensions that we know how to use: :rfc:`3262`, :rfc:`4028`, :rfc:`4488`.
SUPPORTED = ("100rel", "timer", "norefersub")
SDP = "application/sdp"
#: Which bodies we understand, as headers.
BODIES = (("Accept", SDP), ("Accept-Encoding", "identity"))


class Handlers(NamedTuple):
    """What becomes of a request: each response with its source, or the status that stands for having none.

    ``leaving`` is called when the request has its Via, just before it is sent; again where it is sent another way.
    """

    response: Callable[[Response, Address], None]
    failure: Callable[[int], None]
    leaving: Callable[[], None] = lambda: None


class Timer(Protocol):
    """A pending callback."""

    def cancel(self) -> None:
        """Do not call it."""


class Responder(Protocol):
    """The server transaction of a request from the peer."""

    def respond(self, response: Response) -> None:
        """Send a response through the transaction."""


class Dialogue(Protocol):
    """Whoever takes the requests that come for one Call-ID and local tag."""

    call_id: str
    local_tag: str

    def receive(self, request: Request, responder: Responder) -> None:
        """A request other than ACK and CANCEL."""

    def acknowledged(self, ack: Request) -> None:
        """The ACK of a 2xx."""


class Agent(Protocol):
    """What a call needs of its user agent."""

    timers: Timers

    def token(self) -> str:
        """A fresh random token for tags and Call-IDs."""

    def uniform(self, low: float, high: float) -> float:
        """A random number between two."""

    def call_later(self, delay: float, then: Callable[[], None]) -> Timer:
        """Have ``then`` called in ``delay`` seconds."""

    def locate(
        self,
        uri: Uri,
        account: Account | None,
        then: Callable[[Sequence[Target]], None],
        failed: Callable[[str], None],
    ) -> None:
        """Find the targets of ``uri`` in the order to try, at least one: at once for an IP literal, later with DNS."""

    def server_failed(self, target: Target, retry_after: float | None = None) -> None:
        """Leave ``target`` alone for a while: it did not answer, or not now (:rfc:`3263` §4.3).

        ``retry_after`` are the seconds that it asked for itself.
        """

    def trouble(self, target: Target) -> str:
        """Why ``target`` could not be reached the last time, such as what was wrong with its certificate; empty where
        nothing is known."""

    def contact(self, target: Target, user: str) -> NameAddr:
        """Our Contact as ``target`` reaches it.

        :raises OSError: there is no way to it.
        """

    def seen_as(self, target: Target, address: Address) -> None:
        """The server at ``target`` sees us at ``address``.

        :raises OSError: there is no way to it.
        """

    def send_request(self, request: Request, target: Target, handlers: Handlers) -> None:
        """Start a client transaction; Via is added here."""

    def send(self, message: Message, target: Target) -> None:
        """Send outside of any transaction: an ACK of a 2xx; Via is added here."""

    def send_cancel(self, invite: Request, cancel: Request, handlers: Handlers) -> None:
        """Start the transaction of a CANCEL, which has the Via of its ``invite`` and goes the same way.

        Does nothing where the transaction of the ``invite`` is over.
        """

    def take_up(self, invite: Request, target: Target, handlers: Handlers) -> None:
        """Take the responses to an ``invite`` that was sent to ``target`` in our last life.

        :raises OSError: there is no way to it any more.
        """

    def abandon(self, invite: Request) -> None:
        """Destroy the client transaction of an INVITE that never got its final answer."""

    def attach(self, dialogue: Dialogue) -> None:
        """Route the requests for its Call-ID and tag to ``dialogue``."""

    def detach(self, dialogue: Dialogue) -> None:
        """Stop doing so."""


def tell_nobody(*told: object) -> None:
    """Stands for who was to be told of a call that is over: whoever made it holds it, and is to be held no more."""


def accept_nothing(*asked: object) -> bool:
    """The same for who was to be asked."""
    return False


def retry_after(response: Response) -> int:
    """The seconds of a Retry-After, at most an hour; 0 where there is none."""
    digits = (response.get("Retry-After") or "").partition(";")[0].partition("(")[0].strip()
    if not digits.isascii() or not digits.isdigit():
        return 0
    return min(int(digits[-8:]), 3600) if len(digits.lstrip("0")) < 8 else 3600


def try_again(agent: Agent) -> tuple[str, str]:
    """The Retry-After of a 500 to what met something of ours: drawn by lot (:rfc:`3261` §14.2, :rfc:`3311` §5.2)."""
    return "Retry-After", str(round(agent.uniform(0, 10)))


def preference(contact: NameAddr) -> float:
    """The q of a Contact (:rfc:`3261` §20.10), 1 where there is none that can be read."""
    text = contact.param("q") or ""
    return float(text) if _Q.fullmatch(text) else 1.0


def sdp_of(message: Message) -> bytes:
    """The session description in a message's body, also where it is one part of several; empty without one."""
    if not message.body:
        return b""
    encoding = message.get("Content-Encoding")
    if encoding is not None and encoding.strip().lower() != "identity":
        return b""
    return find_part(message.content_type, message.body, SDP) or b""


def has_sdp(message: Message) -> bool:
    """Whether there is a session description in the body."""
    return bool(sdp_of(message))


def has_foreign_body(message: Message) -> bool:
    """Whether there is a body that we should understand and do not: 415 (:rfc:`3261` §8.2.3, §20.11)."""
    if not message.body or has_sdp(message):
        return False
    disposition = (message.get("Content-Disposition") or "").lower().split(";")
    return "handling=optional" not in ["".join(part.split()) for part in disposition]


def supports(message: Message, extension: str) -> bool:
    """Whether the peer names ``extension`` in Supported or Require."""
    named = [tag for name in ("Supported", "Require") for tag in readable(message.values, name)]
    return any(tag.strip().lower() == extension for tag in named)
