"""What the settings of trunks put on the wire: the service's own door, desk and user agent on a virtual network.

Whoever is sent something is a node that writes it down and answers as it is told.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from c2c_sip.calling.door import Calling
from c2c_sip.calling.engine import SipDesk
from c2c_sip.calling.recording import Tape
from c2c_sip.calling.tracing import Tracing
from c2c_sip.config import Config
from c2c_sip.service import account_of
from c2c_sip.store import Store
from sipstack.account import Account
from sipstack.message import Request, Response, make_response, parse_datagram
from sipstack.registration import Registration
from sipstack.resolver import Answer, Resolver, Srv
from sipstack.trace import Trace
from sipstack.transport import Address, Transport
from sipstack.useragent import UserAgent
from tests.simulation.clock import run
from tests.simulation.media import SimulatedMediaPlane
from tests.simulation.network import VirtualNetwork

US = "192.0.2.1"
OTHERS = ("192.0.2.7", "192.0.2.8", "192.0.2.9", "192.0.2.10")
ANSWER = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
)

Answering = Callable[[Request], Response | None]
Records = tuple[Srv | str, ...]


def refuses(request: Request) -> Response | None:
    """Takes registrations, and no call."""
    if request.method == "ACK":
        return None
    status = 200 if request.method in ("REGISTER", "OPTIONS") else 480
    return make_response(request, status, to_tag="them")


def answers(request: Request) -> Response | None:
    """Takes everything."""
    if request.method == "ACK":
        return None
    response = make_response(request, 200, to_tag="them")
    if request.method == "INVITE":
        response.add("Contact", f"<sip:them@{request.uri.host}>")
        response.add("Content-Type", "application/sdp")
        response.body = ANSWER
    return response


@dataclass
class Seen:
    """The requests that reached a node, in order, with where they came from."""

    requests: list[Request] = field(default_factory=list)
    answer: Answering = refuses

    def receive(self, octets: bytes, source: Address, transport: Transport) -> None:
        message = parse_datagram(octets)
        if isinstance(message, Request):
            self.requests.append(message)
            response = self.answer(message)
            if response is not None:
                transport.send(response.serialize(), source)

    def first(self, method: str) -> Request:
        return next(request for request in self.requests if request.method == method)


class _Engine:
    """What the door needs of an engine, in a loop that is running already."""

    def __init__(self, desk: SipDesk, media: SimulatedMediaPlane) -> None:
        self.desk = desk
        self.media = media
        self.registrations: dict[str, Registration] = {}
        self.keepalives: dict[str, Any] = {}
        self.flows: list[asyncio.Task[None]] = []
        self.wait = 0.0

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def hold_up(self) -> None:
        pass

    def trunk_away(self, name: str) -> str:
        return ""

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, then)

    def submit(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.flows.append(asyncio.get_running_loop().create_task(work()))


def place_call(
    config: Config,
    folder: Path,
    clicktocall: dict[str, Any],
    contact: str,
    *,
    zone: dict[tuple[str, str], Records],
    answering: dict[str, Answering] | None = None,
    tape: Tape | None = None,
) -> dict[str, Seen]:
    """Register all trunks, make one call, hang it up; what each node in :data:`OTHERS` got.

    ``folder`` is where the call's records are kept; ``zone`` is what DNS says; with a ``tape`` it can be recorded.
    """
    store = Store.open(f"sqlite:///{folder}/c2c.db")
    account = store.create_account("Acme")
    document = store.create_clicktocall(account["id"], {"name": "test"} | clicktocall)

    async def main() -> dict[str, Seen]:
        loop = asyncio.get_running_loop()
        network = VirtualNetwork(1)
        seen = {host: Seen(answer=(answering or {}).get(host, refuses)) for host in OTHERS}
        for host, node in seen.items():
            network.transport(host, receiver=node.receive)
        rng = random.Random(1)

        async def look_up(name: str, kind: str) -> Answer:
            return Answer(zone.get((name, kind), ()), 60.0)

        agent = UserAgent(
            [network.transport(US)],
            loop=loop,
            rng=rng,
            name=config.sip.user_agent,
            resolver=Resolver(look_up, clock=loop.time, rng=rng),
        )
        accounts = {trunk.name: account_of(trunk, rng) for trunk in config.trunks}
        await _register(config, agent, accounts, rng)
        media = SimulatedMediaPlane()
        engine = _Engine(SipDesk(agent, media, loop=loop, rng=rng), media)  # type: ignore[arg-type]
        tracing = Tracing(Trace(), store.traces, most=0, later=engine.later, offset=lambda: 0.0)
        calling = Calling(config, store, engine, accounts, tracing, tape=tape)  # type: ignore[arg-type]
        calling.activate(account, document, contact, authenticated=True, client="192.0.2.99")
        loop.call_later(20.0, lambda: [live.flow.hang_up("X") for live in calling._live.values()])
        await asyncio.gather(*engine.flows)
        await asyncio.sleep(60.0)
        agent.close()
        return seen

    try:
        return run(main(), 1)
    finally:
        store.close()


async def _register(
    config: Config, agent: UserAgent, accounts: dict[str, Account], rng: random.Random
) -> None:
    for trunk in config.trunks:
        account = accounts[trunk.name]
        if trunk.register:
            registration = Registration(agent, account, expires=trunk.expires, rng=rng)
            await registration._register(trunk.expires)
        else:
            agent.locate(account.next_hop, account, lambda targets: None, lambda why: None)
    await asyncio.sleep(1.0)
