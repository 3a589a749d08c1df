"""The library as the other side: baresip registers with it, calls it, is called by it, and takes its binding back."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from sipstack.call import Outbound, OutgoingCall
from sipstack.digest import DigestServer
from sipstack.events import Answered, Ended, Event
from sipstack.incoming import IncomingCall
from sipstack.message import NameAddr, Request, Response, Uri
from sipstack.registrar import Registrar
from sipstack.sdp import LocalMedia, codec_list
from sipstack.transport import Address, Transport
from sipstack.transport.stream import StreamTransport
from sipstack.transport.stun import may_be_stun
from sipstack.transport.udp import UdpTransport
from sipstack.useragent import UserAgent
from tests.interop.conftest import Start
from tests.interop.programs import WAYS, Baresip, Service, Way, free_port, until

T = TypeVar("T")


@dataclass
class Exchange:
    """A registrar that takes calls, on a loop in a thread of its own. A phone finds here what it has to know."""

    way: Way
    port: int = 0
    password: str = "s3cret"

    def __post_init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.registrar = Registrar(
            # baresip 1.0 gives up at the first algorithm that it does not know.
            DigestServer("exchange", b"secret", algorithms=("MD5",)),
            {"1001": self.password}.get,
            new_tag=lambda: f"{random.getrandbits(64):x}",
        )
        #: Added to each 200 to a REGISTER.
        self.says: list[tuple[str, str]] = []
        self.registers: list[Request] = []
        self.events: list[Event] = []
        self.came_in: list[IncomingCall] = []
        self.do(self._start())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def soon(self, then: Callable[[], None]) -> None:
        self.loop.call_soon_threadsafe(then)

    async def _start(self) -> None:
        transport: UdpTransport | StreamTransport
        if self.way.transport == "udp":
            transport = self.udp = UdpTransport(self.way.host, 0, self.loop)
        else:
            transport = StreamTransport(self.way.host, 0, self.loop)
            await transport.listen()
        self.port = transport.local_address[1]
        self.agent = UserAgent(
            [transport],
            loop=self.loop,
            rng=random.SystemRandom(),
            on_request=self._register,
            on_invite=self._take,
        )

    def _register(self, request: Request, source: Address) -> Response | None:
        if request.method != "REGISTER":
            return None
        self.registers.append(request)
        response = self.registrar.receive(request, source, self.loop.time())
        for header in self.says if response.status == 200 else ():
            response.add(*header)
        return response

    def _media(self) -> LocalMedia:
        port = free_port(self.way.host)
        return LocalMedia(self.way.host, port, codec_list(["PCMU", "PCMA"]), random.getrandbits(48))

    def _take(self, call: IncomingCall, source: Address) -> None:
        self.came_in.append(call)
        call.accept(self._media(), on_event=self.events.append, on_media=lambda remote: None)
        call.ring()
        self.loop.call_later(0.2, call.answer)

    def call(self, uri: Uri) -> OutgoingCall:
        async def dial() -> OutgoingCall:
            call = OutgoingCall(
                self.agent,
                Outbound(uri),
                self._media(),
                from_=NameAddr("", Uri.parse(f"sip:exchange@{self.way.literal}"), ()),
                call_id=self.agent.token(),
                contact_user="exchange",
                on_event=self.events.append,
                on_media=lambda remote: None,
            )
            self.agent.locate(uri, None, call.dial, lambda why: None)
            return call

        return self.do(dial())

    def bindings(self) -> list[Uri]:
        async def held() -> list[Uri]:
            return [b.contact for b in self.registrar.bindings("1001", self.loop.time())]

        return self.do(held())

    def saw(self, kind: type[Event]) -> None:
        until(lambda: any(isinstance(event, kind) for event in self.events), 10, str(kind))

    def close(self) -> None:
        async def end() -> None:
            self.agent.close()
            await asyncio.sleep(0)

        self.do(end())
        self.soon(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


@pytest.mark.parametrize("way", [way for way in WAYS if way.transport != "tls"], ids=str)
def test_a_phone_registers_calls_is_called_and_goes(start: Start, way: Way) -> None:
    exchange = Exchange(way)
    try:
        phone = start(Baresip, "1001", exchange, 700)
        until(exchange.bindings, 10, "the binding")
        (contact,) = exchange.bindings()

        phone.command(
            "dial", f"sip:service@{way.literal}:{exchange.port};transport={way.transport}"
        )
        exchange.saw(Answered)
        until(lambda: phone.printed().count("Call established") == 1, 5, "the phone's own call")
        (call,) = exchange.came_in
        exchange.soon(call.hang_up)
        exchange.saw(Ended)
        until(lambda: phone.printed().count("session closed") == 1, 5, "the end of it")

        exchange.events.clear()
        exchange.call(contact)
        exchange.saw(Answered)
        until(lambda: phone.printed().count("Call established") == 2, 5, "the call to the phone")
        phone.hang_up()
        exchange.saw(Ended)

        phone.stop()
        until(lambda: not exchange.bindings(), 5, "the un-REGISTER")
        until(lambda: not exchange.agent.calls, 5, "the end of all")
    finally:
        exchange.close()


def test_the_service_keeps_a_flow_open_where_its_registrar_wants_it_and_is_one_instance(
    start: Start,
) -> None:
    """By RFC 5626: with what it takes from the REGISTER on, and the same name at the next start."""
    exchange = Exchange(WAYS[0])
    exchange.says.append(("Flow-Timer", "10"))
    asked: list[bytes] = []
    receive = exchange.udp.receiver
    assert receive is not None

    def listen(octets: bytes, source: Address, transport: Transport) -> None:
        if may_be_stun(octets):
            asked.append(octets)
        receive(octets, source, transport)

    exchange.udp.receiver = listen
    try:
        service = start(
            Service,
            f'[[trunk]]\nname = "t"\ndomain = "{WAYS[0].host}:{exchange.port}"\nusername = "1001"\n'
            f'password = "{exchange.password}"\noutbound = true\n',
        ).start()
        until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
        first = exchange.registers[-1].contacts[0]
        assert first.param("reg-id") == "1"
        until(lambda: asked, 12, "a STUN request")
        service.stop()
        assert not exchange.bindings()
        service.start()
        until(exchange.bindings, 10, "the binding")
        second = exchange.registers[-1].contacts[0]
        assert first.param("+sip.instance") == second.param("+sip.instance") != ""
    finally:
        exchange.close()
