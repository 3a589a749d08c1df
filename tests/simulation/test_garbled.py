"""Headers that cannot be read, where something depends on them: a response is taken for what it says otherwise.

Whoever sends one waits for our ACK, or for nothing at all any more: to drop it would leave a call that never ends.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from c2c_sip.config import load
from sipstack.account import Account
from sipstack.call import Answered, Ended, Failed, Outbound, Ringing
from sipstack.digest import Credentials
from sipstack.message import Request, Response, Uri, make_response, parse_datagram
from sipstack.registration import Registration
from sipstack.transport import Address, Transport
from sipstack.useragent import UserAgent
from tests.simulation.clock import run
from tests.simulation.hand import SDP, THEM, US, Call, Hand, play
from tests.simulation.network import VirtualNetwork
from tests.simulation.trunks import answers, place_call

BROKEN = ("<sip:", '"a, <sip:b@c>', "<sip:a@b:0>", "<sip:x@y>;=,", "\x7e,<", "*")
HEADERS = ("Contact", "Record-Route", "Reason", "Supported", "Require", "Allow", "Session-Expires", "RSeq", "Warning", "Retry-After", "Min-SE", "Content-Disposition")  # fmt: skip
GARBLED = [(name, value) for name in HEADERS for value in BROKEN]


def garbled(response: Response, name: str, value: str) -> Response:
    """``response`` with this header instead of its own."""
    while response.get(name) is not None:
        response.remove_first(name)
    response.add(name, value)
    return response


def say(
    hand: Hand, request: Request, status: int, wrong: tuple[str, str], body: bytes = b""
) -> None:
    """They answer our ``request``, with one header that cannot be read."""
    response = make_response(request, status, to_tag=hand.tag)
    response.add("Contact", f"<sip:them@{THEM}>")
    response.add("Record-Route", f"<sip:{THEM};lr>")
    if body:
        response.add("Content-Type", "application/sdp")
        response.body = body
    hand._transport.send(garbled(response, *wrong).serialize(), (US, 5060))


@pytest.mark.parametrize(("name", "value"), GARBLED)
def test_a_call_goes_on_whatever_else_its_answer_says(name: str, value: str) -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.dial()
        invite = await hand.request("INVITE")
        say(hand, invite, 180, (name, value))
        await asyncio.sleep(0.1)
        say(hand, invite, 200, (name, value), SDP)
        await hand.request("ACK", within=3.0)
        assert [type(event) for event in call.events] == [Ringing, Answered]
        # A re-INVITE of ours, and a BYE of theirs.
        session = call.outgoing.session
        assert session is not None
        session.offer("sendonly")
        again = await hand.request("INVITE", within=3.0)
        say(hand, again, 200, (name, value), SDP)
        await hand.request("ACK", within=3.0)
        headers = ((name, value),) if name not in ("Require", "Record-Route", "Contact") else ()
        hand.ask("BYE", invite, headers=headers, number=500)
        assert (await hand.response("BYE")).status == 200
        assert isinstance(call.events[-1], Ended) and call.events[-1].by == "peer"

    play(work)


@pytest.mark.parametrize("status", [302, 401, 422, 486, 503])
@pytest.mark.parametrize(("name", "value"), GARBLED)
def test_a_refusal_ends_the_call_whatever_else_it_says(status: int, name: str, value: str) -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.dial(redirect=Outbound)
        invite = await hand.request("INVITE")
        say(hand, invite, status, (name, value))
        await asyncio.sleep(1.0)
        led_on = not call.events
        if led_on:  # to what could be read of the Contact
            hand.answer(await hand.request("INVITE", within=3.0), 486)
            await asyncio.sleep(1.0)
        assert isinstance(call.events[-1], Failed)
        assert call.events[-1].status == (486 if led_on else status)

    play(work)


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize(
    "name",
    [
        "Contact",
        "Service-Route",
        "Path",
        "Expires",
        "Supported",
        "Flow-Timer",
        "Authentication-Info",
        "Date",
    ],
)
def test_a_registration_lasts_whatever_else_the_registrar_says(name: str, value: str) -> None:
    async def main() -> None:
        network = VirtualNetwork(1)
        seen: list[Request] = []

        def receive(octets: bytes, source: Address, transport: Transport) -> None:
            request = parse_datagram(octets)
            assert isinstance(request, Request)
            seen.append(request)
            response = make_response(request, 200, to_tag="r")
            response.add("Contact", f"{request.contacts[0]};expires=60")
            transport.send(garbled(response, name, value).serialize(), source)

        network.transport("192.0.2.7", receiver=receive)
        agent = UserAgent([network.transport("192.0.2.1")], rng=random.Random(1))
        account = Account(
            name="provider",
            domain=Uri.parse("sip:192.0.2.7"),
            username="acct",
            credentials=Credentials("acct", "pw"),
            make_cnonce=agent.token,
        )
        registration = Registration(agent, account, expires=60, rng=random.Random(2))
        task = asyncio.create_task(registration.run())
        await asyncio.sleep(4000.0)
        assert registration.registered and not task.done()
        assert len(seen) > 50
        task.cancel()
        await registration.close()
        agent.close()

    run(main(), 1)


@pytest.mark.parametrize(
    "contact",
    [
        "",
        "<sip:",
        "<tel:+123>",
        "<http://192.0.2.7/>",
        "<sip:c@192.0.2.7;transport=sctp>",
        "<sips:c@192.0.2.7>",
        "<sip:c@nobody.test>",
        "<sip:c@[2001:db8::1]>",
    ],
)
def test_where_a_contact_leads_nowhere_the_trunk_gets_the_ack_and_the_bye(
    contact: str, tmp_path: Path
) -> None:
    def trunk(request: Request) -> Response | None:
        response = answers(request)
        if response is not None and request.method == "INVITE":
            response.remove_first("Contact")
            if contact:
                response.add("Contact", contact)
        return response

    path = tmp_path / "c2c_sip.toml"
    path.write_text(
        '[guard]\ncountries = ["any"]\n[calling]\nextension_timeout = 2\n'
        '[[trunk]]\nname = "t"\ndomain = "trunk.test"\nregister = false\n'
    )
    seen = place_call(
        load(str(path), {}),
        tmp_path,
        {"extension": "101", "realm": "office.test"},
        "+12025550102",
        zone={("trunk.test", "A"): ("192.0.2.7",), ("office.test", "A"): ("192.0.2.9",)},
        answering={"192.0.2.7": trunk},
    )["192.0.2.7"]
    for user in ("101", "0102"):
        methods = [r.method for r in seen.requests if f"{user}@" in str(r.to)]
        assert methods == ["INVITE", "ACK", "BYE"], (user, methods)
