"""A peer that is played by hand: a test receives and sends each message itself.

For what no phone does of its own accord: :mod:`tests.simulation.phone` has those that phones do.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sipstack.account import Account
from sipstack.call import Event, Outbound, OutgoingCall
from sipstack.incoming import IncomingCall
from sipstack.message import NameAddr, Request, Response, Uri, make_response, parse_datagram
from sipstack.resolver import Resolver, Target
from sipstack.sdp import LocalMedia, RemoteMedia, codec_list
from sipstack.transport import Address, Transport
from sipstack.useragent import UserAgent
from tests.simulation.clock import run
from tests.simulation.network import VirtualNetwork

US, THEM = "192.0.2.1", "192.0.2.2"
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 8 0\r\n"
)
UNUSABLE = SDP.replace(b"8 0", b"3")
"""A description of a codec that we do not have."""

T = TypeVar("T")


class Hand:
    """Whoever we talk to, at an address of its own."""

    def __init__(self, network: VirtualNetwork, host: str = THEM) -> None:
        self.host = host
        self.tag = "them"
        self.answered: list[Response] = []
        self._transport = network.transport(host, receiver=self._receive)
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._responses: asyncio.Queue[Response] = asyncio.Queue()
        self._numbers = itertools.count(1)
        self._seen: set[tuple[str, str]] = set()

    def _receive(self, octets: bytes, source: Address, transport: Transport) -> None:
        message = parse_datagram(octets)
        if isinstance(message, Response):
            self._responses.put_nowait(message)
        else:
            self._requests.put_nowait(message)

    async def request(self, method: str, within: float = 40.0) -> Request:
        """The next new request of this method; others are left out, and copies too."""
        async with asyncio.timeout(within):
            while True:
                request = await self._requests.get()
                key = (request.method, request.via.branch or "")
                if request.method == method and key not in self._seen:
                    self._seen.add(key)
                    return request

    async def response(self, method: str, least: int = 200, within: float = 40.0) -> Response:
        """The next response to a request of this method, of this status or above."""
        async with asyncio.timeout(within):
            while True:
                response = await self._responses.get()
                if response.cseq.method == method and response.status >= least:
                    return response

    def answer(
        self,
        request: Request,
        status: int,
        body: bytes = b"",
        tag: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """Answer a request, once."""
        response = make_response(request, status, to_tag=(self.tag if tag is None else tag) or None)
        if request.method in ("INVITE", "UPDATE"):
            response.add("Contact", f"<sip:them@{self.host}>")
        for name, value in headers:
            response.add(name, value)
        if body:
            response.add("Content-Type", "application/sdp")
            response.body = body
        self._transport.send(response.serialize(), (US, 5060))
        return response

    def ask(
        self,
        method: str,
        within: Request | Response | None = None,
        body: bytes = b"",
        kind: str = "application/sdp",
        headers: tuple[tuple[str, str], ...] = (),
        number: int | None = None,
        branch: str = "",
    ) -> Request:
        """Send a request: in the dialog of ``within``, our INVITE to them or our answer to theirs; else a first one."""
        request = Request(method, Uri.parse(f"sip:us@{US}"))
        number = number if number is not None else next(self._numbers)
        branch = branch or f"z9hG4bK{method}{number}"
        request.add("Via", f"SIP/2.0/UDP {self.host}:5060;branch={branch}")
        request.add("Max-Forwards", "70")
        if isinstance(within, Request):
            ours, theirs = within.from_, within.to.with_tag(self.tag)
        elif within is not None:
            ours, theirs = within.to, within.from_
        else:
            ours = NameAddr.parse(f"<sip:us@{US}>")
            theirs = NameAddr.parse(f"<sip:them@{self.host}>;tag={self.tag}")
        request.add("From", str(theirs))
        request.add("To", str(ours))
        request.add("Call-ID", within.call_id if within is not None else "by-hand")
        request.add("CSeq", f"{number} {method}")
        request.add("Contact", f"<sip:them@{self.host}>")
        for name, value in headers:
            request.add(name, value)
        if body:
            request.add("Content-Type", kind)
            request.body = body
        self._transport.send(request.serialize(), (US, 5060))
        return request


class Call:
    """One call of ours, either way, and what it said."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.media: list[RemoteMedia] = []
        self.loop = asyncio.get_running_loop()
        self.network = VirtualNetwork(1)
        self.incoming: list[IncomingCall] = []
        self.taken: Callable[[IncomingCall], None] = lambda call: None
        self.agent = UserAgent(
            [self.network.transport(US)],
            loop=self.loop,
            rng=random.Random(1),
            resolver=Resolver(clock=self.loop.time, rng=random.Random(1)),
            on_invite=self._on_invite,
        )
        self.outgoing: OutgoingCall

    def hand(self, host: str = THEM) -> Hand:
        return Hand(self.network, host)

    def dial(
        self,
        *hosts: str,
        redirect: Callable[[Uri], Outbound | None] = lambda uri: None,
        session_interval: int = 1800,
        account: Account | None = None,
    ) -> OutgoingCall:
        """Call them, at the first of these addresses that answers."""
        self.outgoing = OutgoingCall(
            self.agent,
            Outbound(Uri.parse(f"sip:them@{THEM}"), account),
            LocalMedia(US, 20000, codec_list(["PCMA", "PCMU"]), 1),
            from_=NameAddr.parse(f"<sip:us@{US}>"),
            call_id="ours",
            contact_user="us",
            on_event=self.events.append,
            on_media=self.media.append,
            redirect=redirect,
            accepts_referral=lambda uri: True,
            session_interval=session_interval,
        )
        self.outgoing.dial([Target("UDP", (host, 5060)) for host in hosts or (THEM,)])
        return self.outgoing

    async def up(self, hand: Hand, headers: tuple[tuple[str, str], ...] = ()) -> Request:
        """Dial and be answered; our INVITE."""
        self.dial()
        invite = await hand.request("INVITE")
        hand.answer(invite, 200, SDP, headers=headers)
        await hand.request("ACK")
        return invite

    def _on_invite(self, call: IncomingCall, source: Address) -> None:
        self.incoming.append(call)
        call.accept(
            LocalMedia(US, 20000, codec_list(["PCMA", "PCMU"]), 1),
            on_event=self.events.append,
            on_media=self.media.append,
        )
        self.taken(call)

    async def over(self) -> None:
        """Wait until nothing of it can be left, and see that nothing is."""
        await asyncio.sleep(300.0)
        assert (self.agent.calls, self.agent.transactions) == (0, 0)
        self.agent.close()


def play(work: Callable[[Call], Coroutine[Any, Any, T]]) -> T:
    """Run a test with a call of its own, which must be over and leave nothing at its end."""

    async def main() -> T:
        call = Call()
        result = await work(call)
        await call.over()
        return result

    return run(main(), 1)
