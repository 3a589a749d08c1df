"""A user agent that takes calls, on a transport that only remembers what was sent."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from sipstack.incoming import IncomingCall
from sipstack.message import Response, parse_datagram
from sipstack.transport import Address, Receiver
from sipstack.useragent import UserAgent
from tests.simulation.clock import VirtualLoop, run

SOURCE: Address = ("192.0.2.77", 5061)


class Wire:
    """A transport whose other end is a list."""

    name = "UDP"
    reliable = False

    def __init__(self) -> None:
        self.local_address: Address = ("192.0.2.1", 5060)
        self.receiver: Receiver | None = None
        self.sent: list[tuple[bytes, Address]] = []

    def send(self, data: bytes, destination: Address, server_name: str = "") -> None:
        self.sent.append((data, destination))

    def address_towards(self, destination: Address) -> Address:
        return self.local_address

    def close(self) -> None:
        self.receiver = None


@dataclass(slots=True)
class Outcome:
    """What came of a message: the answers, and the calls that it became."""

    responses: list[Response] = field(default_factory=list)
    destinations: list[Address] = field(default_factory=list)
    calls: list[IncomingCall] = field(default_factory=list)

    @property
    def status(self) -> int | None:
        """The final status that the sender got; ``None``: it was dropped, or is a call that waits to be answered."""
        finals = [r.status for r in self.responses if r.status >= 200]
        return finals[-1] if finals else None


def receive(octets: bytes) -> Outcome:
    """Have a user agent receive one datagram."""

    async def work() -> Outcome:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        wire, outcome = Wire(), Outcome()
        agent = UserAgent(
            [wire],
            loop=loop,
            rng=random.Random(1),
            on_invite=lambda call, source: outcome.calls.append(call),
        )
        assert wire.receiver is not None
        wire.receiver(octets, SOURCE, wire)
        for data, destination in wire.sent:
            response = parse_datagram(data)
            assert isinstance(response, Response)
            outcome.responses.append(response)
            outcome.destinations.append(destination)
        agent.close()
        return outcome

    return run(work())


def message(head: str, body: str | bytes = b"", length: int | str | None = None) -> bytes:
    """A message with CRLFs: ``head`` is dedented, and gets ``body``; ``{length}`` in it is the body's length."""
    octets = body.replace("\n", "\r\n").encode() if isinstance(body, str) else body
    lines = head.strip("\n").split("\n")
    indent = min(len(line) - len(line.lstrip(" ")) for line in lines[:1])
    text = "\r\n".join(line[indent:] for line in lines)
    text = text.replace("{length}", str(len(octets) if length is None else length))
    return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + octets


SDP = """\
v=0
o=mhandley 29739 7272939 IN IP4 192.0.2.3
s=-
c=IN IP4 192.0.2.4
t=0 0
m=audio 49217 RTP/AVP 0 12
m=video 3227 RTP/AVP 31
a=rtpmap:31 LPC
"""
