"""The user agent between the transports and the calls: bounds, ways that are not there, addresses that are told."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sipstack import acquaintance, useragent
from sipstack.agent import Handlers
from sipstack.call import Answered, Outbound, OutgoingCall
from sipstack.incoming import IncomingCall
from sipstack.message import NameAddr, Request, Response, Uri, Via, make_response, parse_datagram
from sipstack.resolver import Answer, Resolver, Srv, Target
from sipstack.sdp import LocalMedia, codec_list
from sipstack.transport import Address, Transport
from sipstack.useragent import UserAgent
from tests.simulation.clock import run
from tests.simulation.hand import SDP, THEM, US, Call, Hand, play
from tests.simulation.network import VirtualNetwork

OUTSIDE = "9.9.9.9"
"""An address that is nobody's inner network."""


def simulate(
    work: Callable[[UserAgent, VirtualNetwork], Coroutine[Any, Any, None]],
    *,
    public_address: str = "",
    zone: dict[str, tuple[str, ...]] | None = None,
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        network = VirtualNetwork(1)

        async def look_up(name: str, kind: str) -> Answer:
            if zone is None:
                await asyncio.sleep(1e6)
            records: tuple[Srv | str, ...] = (zone or {}).get(kind, ())
            return Answer(records, 60.0)

        agent = UserAgent(
            [network.transport(US)],
            loop=loop,
            rng=random.Random(1),
            resolver=Resolver(look_up, clock=loop.time, rng=random.Random(1)),
            public_address=public_address,
        )
        try:
            await work(agent, network)
        finally:
            agent.close()

    run(main(), 1)


def request(method: str, host: str) -> Request:
    """One of ours, without a Via."""
    made = Request(method, Uri.parse(f"sip:them@{host}"))
    made.add("From", f"<sip:us@{US}>;tag=us")
    made.add("To", f"<sip:them@{host}>")
    made.add("Call-ID", "c")
    made.add("CSeq", f"1 {method}")
    return made


# -- ways that are not there -------------------------------------------------------------------------


def test_what_there_is_no_transport_for_fails_later_and_not_within_the_call() -> None:
    async def work(agent: UserAgent, network: VirtualNetwork) -> None:
        failures: list[int] = []
        handlers = Handlers(lambda response, source: None, failures.append)
        agent.send_request(request("OPTIONS", THEM), Target("TLS", (THEM, 5061)), handlers)
        assert failures == []
        await asyncio.sleep(0.1)
        assert failures == [503]
        assert agent.transactions == 0

    simulate(work)


def test_an_ack_that_cannot_be_sent_is_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def work(agent: UserAgent, network: VirtualNetwork) -> None:
        agent.send(request("ACK", THEM), Target("UDP", ("2001:db8::2", 5060)))

    simulate(work)
    assert "no UDP address for IPv6" in caplog.text


@pytest.mark.parametrize(
    ("zone", "why"),
    [({"AAAA": ("2001:db8::2",)}, "no UDP address for IPv6"), ({}, "no address for them.test")],
)
def test_a_name_that_leads_nowhere_from_here_says_why(
    zone: dict[str, tuple[str, ...]], why: str
) -> None:
    async def work(agent: UserAgent, network: VirtualNetwork) -> None:
        told: list[str] = []
        agent.locate(Uri.parse("sip:them.test"), None, lambda targets: None, told.append)
        await asyncio.sleep(1.0)
        assert len(told) == 1
        assert why in told[0]

    simulate(work, zone=zone)


def test_an_agent_that_closes_waits_for_no_name_server() -> None:
    async def work(agent: UserAgent, network: VirtualNetwork) -> None:
        agent.locate(Uri.parse("sip:them.test"), None, lambda targets: None, lambda why: None)
        await asyncio.sleep(0.1)
        assert len(agent._tasks) == 1
        agent.close()
        await asyncio.sleep(0.1)
        assert not agent._tasks

    simulate(work)


@pytest.mark.parametrize(
    ("tcp", "way", "failure"), [("", "UDP", 408), ("deaf", "TCP", 408), ("none", "UDP", 408)]
)
def test_what_is_too_large_for_a_datagram_goes_by_tcp_and_back_only_where_there_is_none(
    tcp: str, way: str, failure: int
) -> None:
    """RFC 3261 §18.1.1."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        network = VirtualNetwork(1)
        heard: list[str] = []

        def receive(octets: bytes, source: Address, transport: Transport) -> None:
            heard.append(transport.name)

        network.transport(THEM, receiver=receive)
        if tcp == "deaf":
            network.transport(THEM, name="TCP", receiver=receive)
        own = [network.transport(US)] + ([network.transport(US, name="TCP")] if tcp else [])
        agent = UserAgent(own, loop=loop, rng=random.Random(1))
        failures: list[int] = []
        handlers = Handlers(lambda response, source: None, failures.append)
        large = request("OPTIONS", THEM)
        large.add("Subject", "x" * 1500)
        agent.send_request(large, Target("UDP", (THEM, 5060)), handlers)
        await asyncio.sleep(60.0)
        assert set(heard) == {way}
        assert failures == [failure]
        # Only what is large has to go that way.
        heard.clear()
        agent.send_request(request("OPTIONS", THEM), Target("UDP", (THEM, 5060)), handlers)
        await asyncio.sleep(60.0)
        assert set(heard) == {"UDP"}
        agent.close()

    run(main(), 1)


@pytest.mark.parametrize("answer", ["", "2xx", "486"])
@pytest.mark.parametrize("tcp", [True, False])
def test_what_belongs_to_an_invite_goes_the_way_that_it_went_for_its_size(
    tcp: bool, answer: str
) -> None:
    """RFC 3261 §9.1 for CANCEL, §17.1.1.3 for the ACK of a refusal."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        network = VirtualNetwork(1)
        heard: list[tuple[str, str]] = []

        def receive(octets: bytes, source: Address, transport: Transport) -> None:
            message = parse_datagram(octets)
            assert isinstance(message, Request)
            heard.append((message.method, transport.name))

            def say(request: Request, status: int) -> None:
                response = make_response(request, status, to_tag="them")
                if request.method == "INVITE":
                    response.add("Contact", f"<sip:them@{THEM}>")
                    response.add("Content-Type", "application/sdp")
                    response.body = SDP if status == 200 else b""
                transport.send(response.serialize(), source)

            if message.method == "INVITE":
                invites.append(message)
                say(message, 180 if answer != "486" else 486)
            elif message.method == "CANCEL":
                say(message, 200)
                say(invites[0], 200 if answer == "2xx" else 487)
            elif message.method == "BYE":
                say(message, 200)

        invites: list[Request] = []
        network.transport(THEM, receiver=receive)
        if tcp:
            network.transport(THEM, name="TCP", receiver=receive)
        own = [network.transport(US), network.transport(US, name="TCP")]
        agent = UserAgent(own, loop=loop, rng=random.Random(1))
        call = OutgoingCall(
            agent,
            Outbound(Uri.parse(f"sip:them@{THEM}")),
            LocalMedia(US, 20000, codec_list(["PCMA"]), 1),
            from_=NameAddr.parse(f"<sip:us@{US}>"),
            call_id="ours",
            contact_user="us",
            headers=[("Subject", "x" * 1500)],
            on_event=lambda event: None,
            on_media=lambda remote: None,
        )
        # The first server is not there: what it was sent must not lead the CANCEL to it.
        nobody = Target("UDP", ("192.0.2.9", 5060))
        call.dial([nobody, Target("UDP", (THEM, 5060))])
        await asyncio.sleep(5.0)
        call.hang_up()
        await call.finished()
        await asyncio.sleep(40.0)
        way = "TCP" if tcp else "UDP"
        wanted = {
            "": ["INVITE", "CANCEL", "ACK"],
            "2xx": ["INVITE", "CANCEL", "ACK", "BYE"],
            "486": ["INVITE", "ACK"],
        }[answer]
        assert [method for method, _ in heard] == wanted
        # The ACK of a 2xx and the BYE are requests of their own, and small.
        own_way = {"ACK": "UDP", "BYE": "UDP"} if answer == "2xx" else {}
        assert heard == [(method, own_way.get(method, way)) for method in wanted]
        assert (agent.calls, agent.transactions) == (0, 0)
        agent.close()

    run(main(), 1)


# -- addresses that are told --------------------------------------------------------------------------


@pytest.mark.parametrize(("them", "ours"), [(OUTSIDE, "8.8.4.4"), ("10.0.0.2", US)])
def test_the_public_address_is_for_those_outside(them: str, ours: str) -> None:
    async def work(agent: UserAgent, network: VirtualNetwork) -> None:
        got: list[Request] = []

        def receive(octets: bytes, source: Address, transport: Transport) -> None:
            message = parse_datagram(octets)
            assert isinstance(message, Request)
            got.append(message)

        network.transport(them, receiver=receive)
        target = Target("UDP", (them, 5060))
        assert agent.contact(target, "us").uri.host == ours
        assert agent.own_host(target) == (US, ours)
        handlers = Handlers(lambda response, source: None, lambda status: None)
        agent.send_request(request("OPTIONS", them), target, handlers)
        await asyncio.sleep(0.1)
        assert got[0].via.host == ours

    simulate(work, public_address="8.8.4.4")


# -- bounds -------------------------------------------------------------------------------------------


def test_more_transactions_than_there_may_be_are_refused_for_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(useragent, "SERVER_TRANSACTIONS", 1)

    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.answer()
        invite = hand.ask("INVITE", body=SDP)
        answer = await hand.response("INVITE")
        hand.ask("OPTIONS", answer)
        busy = await hand.response("OPTIONS")
        assert (busy.status, busy.get("Retry-After")) == (503, "5")
        other = Hand(call.network, "192.0.2.3")
        other.tag = "other"
        other.ask("INVITE", body=SDP)
        busy = await other.response("INVITE")
        assert (busy.status, busy.get("Retry-After")) == (503, "5")
        hand.ask("ACK", answer, number=invite.cseq.number)
        await asyncio.sleep(40.0)
        # There is room again.
        hand.ask("BYE", answer)
        assert (await hand.response("BYE")).status == 200

    play(work)


def test_a_host_that_floods_is_not_heard_until_it_stops_but_whoever_we_asked_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work(agent: UserAgent, network: VirtualNetwork) -> None:
        answers: list[Response] = []

        def receive(octets: bytes, source: Address, transport: Transport) -> None:
            message = parse_datagram(octets)
            if isinstance(message, Response):
                answers.append(message)

        flooder = network.transport("192.0.2.66", receiver=receive)
        options = request("OPTIONS", US)
        options.add("Via", "SIP/2.0/UDP 192.0.2.66:5060;branch=z9hG4bKx")
        octets = options.serialize()
        for _ in range(2000):
            flooder.send(octets, (US, 5060))
        await asyncio.sleep(0.5)
        assert 0 < len(answers) < 1000
        heard = len(answers)
        # Once we have something to do with it, whatever comes from there is listened to.
        handlers = Handlers(lambda response, source: None, lambda status: None)
        target = Target("UDP", ("192.0.2.66", 5060))
        agent.send_request(request("OPTIONS", "192.0.2.66"), target, handlers)
        for _ in range(2000):
            flooder.send(octets, (US, 5060))
        await asyncio.sleep(0.5)
        assert len(answers) == heard + 2000

    with caplog.at_level(logging.WARNING):
        simulate(work)
    assert caplog.text.count("sends too much") == 1


def test_of_those_that_we_have_to_do_with_the_oldest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(acquaintance, "KNOWN", 2)

    async def work(agent: UserAgent, network: VirtualNetwork) -> None:
        handlers = Handlers(lambda response, source: None, lambda status: None)
        for number in (2, 3, 2, 4):
            host = f"192.0.2.{number}"
            agent.send_request(request("OPTIONS", host), Target("UDP", (host, 5060)), handlers)
        assert list(agent._acquaintance.known) == ["192.0.2.2", "192.0.2.4"]

    simulate(work)


# -- odd ways of odd peers -----------------------------------------------------------------------------


def test_an_ack_with_the_branch_of_its_invite_is_an_ack() -> None:
    """As RFC 2543 had it, and as some still send it."""

    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.answer()
        invite = hand.ask("INVITE", body=SDP)
        answer = await hand.response("INVITE")
        hand.ask("ACK", answer, number=invite.cseq.number, branch=invite.via.branch or "")
        await asyncio.sleep(0.1)
        assert [type(event) for event in call.events] == [Answered]
        call.incoming[0].hang_up()
        hand.answer(await hand.request("BYE"), 200)

    play(work)


def test_a_header_that_cannot_be_read_in_a_dialog_is_said_to_be_so() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await call.up(hand)
        hand.ask("REFER", invite, headers=(("Refer-To", "<<"),))
        assert (await hand.response("REFER")).status == 400
        call.outgoing.hang_up()
        hand.answer(await hand.request("BYE"), 200)

    play(work)


# -- what is counted ---------------------------------------------------------------------------------


def test_a_transaction_is_counted_once_and_each_message_that_is_sent_again() -> None:
    async def work(agent: UserAgent, network: VirtualNetwork) -> None:
        came = 0

        def answer(octets: bytes, source: Address, transport: Transport) -> None:
            nonlocal came
            came += 1
            if came == 3:  # the first two are lost
                asked = parse_datagram(octets)
                assert isinstance(asked, Request)
                for _ in range(2):
                    transport.send(make_response(asked, 200, to_tag="t").serialize(), source)

        network.transport(THEM, receiver=answer)
        handlers = Handlers(lambda response, source: None, lambda status: None)
        agent.send_request(request("OPTIONS", THEM), Target("UDP", (THEM, 5060)), handlers)
        await asyncio.sleep(40)
        assert agent.tally.transactions == {("client", "OPTIONS", "200"): 1}
        assert agent.tally.sent_again == 2
        silent = Target("UDP", ("192.0.2.99", 5060))
        agent.send_request(request("OPTIONS", "192.0.2.99"), silent, handlers)
        await asyncio.sleep(40)
        assert agent.tally.transactions["client", "OPTIONS", "timeout"] == 1
        assert agent.tally.sent_again == 2 + 10, "timer E sends ten times more until timer F"
        assert agent.transactions_by_side == {"client": 0, "server": 0}

    simulate(work)


def test_what_strangers_send_is_counted_but_not_by_name() -> None:
    async def work(agent: UserAgent, network: VirtualNetwork) -> None:
        stranger = network.transport(THEM, receiver=lambda octets, source, transport: None)
        for method in ("OPTIONS", "INVITE", "FLOOD1", "FLOOD2"):
            made = request(method, US)
            made.push_via(Via("UDP", THEM, 5060, (("branch", f"z9hG4bK{method}"),)))
            made.add("Max-Forwards", "70")
            made.add("Contact", f"<sip:{THEM}>")
            stranger.send(made.serialize(), (US, 5060))
        await asyncio.sleep(1)
        assert agent.tally.transactions == {
            ("server", "OPTIONS", "200"): 1,
            ("server", "INVITE", "403"): 1,
            ("server", "other", "501"): 2,
        }

    simulate(work)


@pytest.mark.parametrize(
    ("kind", "more", "status"),
    [
        ("text/plain", (), 415),
        ("application/sdp", (("Content-Encoding", "gzip"),), 415),
        ("text/plain", (("Content-Disposition", "icon;handling=optional"),), 403),
        ("application/sdp", (), 403),
        ("application/sdp", (("Require", "x"),), 420),
    ],
)
def test_what_is_wrong_with_an_invite_is_said_also_where_none_is_taken(
    kind: str, more: tuple[tuple[str, str], ...], status: int
) -> None:
    """RFC 3261 §8.2.3 comes before whether anybody is here to be called."""

    async def work(agent: UserAgent, network: VirtualNetwork) -> None:
        hand = Hand(network)
        hand.ask("INVITE", body=SDP, kind=kind, headers=more)
        answer = await hand.response("INVITE", within=5.0)
        assert answer.status == status
        if status == 415:
            assert answer.get("Accept") == "application/sdp"
            assert answer.get("Accept-Encoding") == "identity"
        assert agent.transactions == 0

    simulate(work)


@pytest.mark.parametrize("scheme", ["sip", "sips"])
def test_a_call_by_sips_has_a_contact_by_sips_at_either_end(scheme: str) -> None:
    """RFC 3261 §8.1.1.8 and §12.1.1: whoever answers it by its Contact must not come by anything but TLS."""

    async def main() -> tuple[Request, Response]:
        loop = asyncio.get_running_loop()
        network = VirtualNetwork(1)
        invites: list[Request] = []
        answers: list[Response] = []

        def taken(call: IncomingCall, source: Address) -> None:
            invites.append(call.invite)
            call.accept(
                LocalMedia(THEM, 20000, codec_list(["PCMU"]), 1),
                on_event=lambda event: None,
                on_media=lambda remote: None,
            )
            call.answer()

        ours, theirs = (network.transport(host, 5061, name="TLS") for host in (US, THEM))
        us = UserAgent([ours], loop=loop, rng=random.Random(1))
        them = UserAgent([theirs], loop=loop, rng=random.Random(2), on_invite=taken)
        inner, tls = ours.receiver, ";transport=tls" if scheme == "sip" else ""
        assert inner is not None

        def watched(octets: bytes, source: Address, transport: Transport) -> None:
            message = parse_datagram(octets)
            if isinstance(message, Response) and message.status == 200:
                answers.append(message)
            inner(octets, source, transport)

        ours.receiver = watched
        call = OutgoingCall(
            us,
            Outbound(Uri.parse(f"{scheme}:them@{THEM}{tls}")),
            LocalMedia(US, 20000, codec_list(["PCMU"]), 1),
            from_=NameAddr.parse(f"<sip:us@{US}>"),
            call_id="secure",
            contact_user="us",
            on_event=lambda event: None,
            on_media=lambda remote: None,
        )
        call.dial([Target("TLS", (THEM, 5061), THEM)])
        await asyncio.sleep(1.0)
        call.hang_up()
        await asyncio.sleep(100.0)
        us.close()
        them.close()
        return invites[0], answers[0]

    more = ";transport=tls" if scheme == "sip" else ""
    invite, answer = run(main(), 1)
    assert invite.get("Contact") == f"<{scheme}:us@{US}:5061{more}>"
    assert answer.get("Contact") == f"<{scheme}:them@{THEM}:5061{more}>"
