"""The messages of RFC 4475 and RFC 5118, octet for octet, and an endpoint to give them to.

``rfc4475`` is what the archive in the RFC's appendix holds. The archive of RFC 5118 has line feeds where SIP has CRLF;
``rfc5118`` has CRLF, and the three Content-Lengths that do not fit their bodies in the RFC are those of the bodies.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sipstack.agent import Handlers
from sipstack.events import Event
from sipstack.incoming import IncomingCall
from sipstack.message import Request, Response, parse_datagram
from sipstack.resolver import Target
from sipstack.sdp import LocalMedia, RemoteMedia, codec_list
from sipstack.transport import Address, Receiver, Transport
from sipstack.useragent import UserAgent
from tests.simulation.clock import VirtualLoop

_HERE = Path(__file__).parent
PEER = ("192.0.2.99", 5060)


def octets(rfc: str, name: str) -> bytes:
    """The message of this name as the RFC has it."""
    return (_HERE / rfc / f"{name}.dat").read_bytes()


@dataclass
class Wire:
    """A transport that keeps what it is given to send."""

    name: str = "UDP"
    reliable: bool = False
    local_address: Address = ("192.0.2.200", 5060)
    receiver: Receiver | None = None
    sent: list[tuple[bytes, Address]] = field(default_factory=list)

    def send(self, data: bytes, destination: Address, server_name: str = "") -> None:
        self.sent.append((data, destination))

    def address_towards(self, destination: Address) -> Address:
        return self.local_address

    def close(self) -> None:
        """Nothing to close."""


class Endpoint:
    """A user agent that answers each call it gets, on a wire of its own."""

    def __init__(
        self,
        on_request: Callable[[Request, Address], Response | None] = lambda request, source: None,
        local: Address = ("192.0.2.200", 5060),
        peer: Address = PEER,
    ) -> None:
        self.peer = peer
        self.wire = Wire(local_address=local)
        self.calls: list[IncomingCall] = []
        self.media: list[RemoteMedia] = []
        self.events: list[Event] = []
        self.agent = UserAgent(
            [self.wire],
            loop=VirtualLoop(),
            rng=random.Random(1),
            on_invite=self._called,
            on_request=on_request,
        )

    def _called(self, call: IncomingCall, source: Address) -> None:
        self.calls.append(call)
        media = LocalMedia("192.0.2.200", 20000, codec_list(["PCMU", "PCMA"]), 1)
        call.accept(media, on_event=self.events.append, on_media=self.media.append)
        call.answer()

    def receive(self, message: bytes, source: Address | None = None) -> None:
        """One datagram from ``source``, or else from the peer."""
        receiver: Callable[[bytes, Address, Transport], None] | None = self.wire.receiver
        assert receiver is not None
        receiver(message, source or self.peer, self.wire)

    def answers(self, message: bytes) -> list[Response]:
        """What the endpoint says to one datagram."""
        before = len(self.wire.sent)
        self.receive(message)
        said = [parse_datagram(data) for data, _ in self.wire.sent[before:]]
        assert all(isinstance(each, Response) for each in said)
        return [each for each in said if isinstance(each, Response)]

    def answer(self, message: bytes) -> Response:
        """The one answer to one datagram."""
        said = self.answers(message)
        assert len(said) == 1, [each.start_line() for each in said]
        return said[0]

    def hears(self, response: bytes) -> Response | None:
        """What reaches the sender of a request that ``response`` belongs to: only its branch is put into that."""
        heard: list[Response] = []
        method = response.partition(b"CSeq: ")[2].partition(b"\r\n")[0].split()[1].decode()
        request = Request(method, "sip:user@example.com")
        request.add("From", "<sip:user@example.com>;tag=1")
        request.add("To", "<sip:user@example.com>")
        request.add("Call-ID", "torture")
        request.add("CSeq", f"1 {method}")
        handlers = Handlers(lambda each, source: heard.append(each), lambda status: None)
        self.agent.send_request(request, Target("UDP", self.peer), handlers)
        branch = f"branch={request.via.branch}".encode()
        self.receive(re.sub(rb"branch=[^;,\s]+", branch, response, count=1))
        assert len(heard) <= 1
        return heard[0] if heard else None
