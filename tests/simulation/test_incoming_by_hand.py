"""What no caller does of its own accord, and the RFCs have an answer to: calls to us, played by hand by a test."""

from __future__ import annotations

import asyncio

import pytest

from sipstack.call import Answered, Ended, Failed
from sipstack.incoming import IncomingCall
from sipstack.message import Response, Uri
from tests.simulation.hand import SDP, THEM, UNUSABLE, US, Call, play

ELSEWHERE = "192.0.2.3"


def test_an_offer_that_cannot_be_used_is_refused_when_it_would_ring_or_be_answered() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.ring(183, early_media=True)
        hand.ask("INVITE", body=UNUSABLE)
        assert (await hand.response("INVITE")).status == 488
        call.taken = lambda incoming: incoming.answer()
        hand.ask("INVITE", body=UNUSABLE)
        assert (await hand.response("INVITE")).status == 488
        assert [type(event) for event in call.events] == [Failed, Failed]

    play(work)


def test_before_our_answer_a_caller_may_ask_but_not_offer() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.ring()
        hand.ask("INVITE", body=SDP, number=10)
        ringing = await hand.response("INVITE", 180)
        for method, body, number, status in (
            ("UPDATE", SDP, 11, 500),
            ("UPDATE", b"", 12, 200),
            ("OPTIONS", b"", 13, 200),
            ("OPTIONS", b"", 9, 500),
            ("REFER", b"", 14, 481),
        ):
            hand.ask(method, ringing, body, number=number)
            response = await hand.response(method)
            assert response.status == status, method
            assert ((response.get("Retry-After") or "-").isdecimal()) == (body == SDP)
        hand.tag = "other"
        hand.ask("OPTIONS", _from(ringing, "other"), number=20)
        assert (await hand.response("OPTIONS")).status == 481
        call.incoming[0].reject(486)
        assert (await hand.response("INVITE")).status == 486
        hand.ask("OPTIONS", ringing, number=21)
        assert (await hand.response("OPTIONS")).status == 481

    play(work)


@pytest.mark.parametrize("offered", [True, False])
def test_an_offer_before_the_ack_meets_ours_where_the_answer_has_one(offered: bool) -> None:
    """RFC 5407 §3.1.5: the ACK may be lost, and only where it was to answer our offer is there one open."""

    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.answer()
        hand.ask("INVITE", body=SDP if offered else b"", number=10)
        answer = await hand.response("INVITE")
        for number, method in ((11, "UPDATE"), (12, "INVITE")):
            hand.ask(method, answer, SDP, number=number)
            response = await hand.response(method)
            while response.cseq.number != number:  # our first answer, again
                response = await hand.response(method)
            assert response.status == (200 if offered else 491)
        if offered:
            hand.ask("ACK", answer, number=12)
        hand.ask("ACK", answer, b"" if offered else SDP, number=10)
        await asyncio.sleep(0.1)
        assert isinstance(call.events[-1], Answered)
        call.incoming[0].hang_up()
        hand.answer(await hand.request("BYE"), 200)

    play(work)


def _from(response: Response, tag: str) -> Response:
    """The same, as if another tag had been in From."""
    other = Response(response.status, response.reason)
    for name, value in response.headers:
        other.add(name, f"<sip:them@{THEM}>;tag={tag}" if name == "From" else value)
    return other


def test_a_bye_before_our_answer_ends_the_call() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.ring()
        hand.ask("INVITE", body=SDP)
        ringing = await hand.response("INVITE", 180)
        hand.ask("BYE", ringing, headers=(("Reason", "Q.850;cause=16"),))
        assert (await hand.response("INVITE")).status == 487
        assert call.events == [Failed(487, "Request Terminated", 16)]
        await call.incoming[0].finished()

    play(work)


def test_a_reliable_response_that_is_never_acknowledged_ends_the_call() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.ring()
        hand.ask("INVITE", body=SDP, headers=(("Supported", "100rel"),), number=1)
        ringing = await hand.response("INVITE", 180)
        for rack, number in (("1 1 INVITE", 2), ("x", 3), (None, 4)):
            headers = () if rack is None else (("RAck", rack),)
            hand.ask("PRACK", ringing, headers=headers, number=number)
            assert (await hand.response("PRACK")).status == 481
        hand.ask("PRACK", ringing, headers=(("RAck", "1 1 INVITE"),), number=1)
        assert (await hand.response("PRACK")).status == 500
        # 64*T1 after the first, not when the next copy would be due (RFC 3262 §3).
        assert (await hand.response("INVITE", within=33.0)).status == 504

    play(work)


def test_an_answer_that_is_never_acknowledged_ends_the_call() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.answer()
        hand.ask("INVITE", body=SDP)
        assert (await hand.response("INVITE")).status == 200
        hand.answer(await hand.request("BYE"), 200)
        assert call.events[-1] == Ended("network")

    play(work)


def test_a_call_that_was_offered_our_media_and_answers_with_none_is_ended() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.answer()
        invite = hand.ask("INVITE")
        offer = await hand.response("INVITE")
        assert b"m=audio 20000" in offer.body
        hand.ask("ACK", offer, UNUSABLE, number=invite.cseq.number)
        bye = await hand.request("BYE")
        hand.answer(bye, 200)
        assert bye.get("Reason") == 'SIP;cause=488;text="Not Acceptable Here"'
        assert call.events[-1] == Ended("local", status=488)

    play(work)


def test_a_call_without_an_offer_is_answered_with_ours_and_its_answer_is_in_the_ack() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.answer()
        invite = hand.ask("INVITE")
        offer = await hand.response("INVITE")
        assert call.media == []
        hand.ask("ACK", offer, SDP, number=invite.cseq.number)
        await asyncio.sleep(0.1)
        assert [media.port for media in call.media] == [4000]
        assert call.events == [Answered(call.media[0])]
        hand.ask("BYE", offer)
        assert (await hand.response("BYE")).status == 200

    play(work)


def test_a_bye_that_overtakes_the_ack_ends_the_call_once() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.answer()
        invite = hand.ask("INVITE", body=SDP)
        answer = await hand.response("INVITE")
        hand.ask("BYE", answer)
        assert (await hand.response("BYE")).status == 200
        hand.ask("ACK", answer, number=invite.cseq.number)
        await asyncio.sleep(1.0)
        assert call.events == [Ended("peer")]

    play(work)


def test_a_call_that_is_over_cannot_be_rung_answered_or_rejected() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        hand.ask("INVITE", body=SDP)
        await asyncio.sleep(0.1)
        (incoming,) = call.incoming
        assert isinstance(incoming, IncomingCall)
        incoming.hang_up()
        assert (await hand.response("INVITE")).status == 480
        incoming.ring()
        incoming.answer()
        incoming.reject(486)
        with pytest.raises(TimeoutError):
            while (await hand.response("INVITE", 180)).status == 480:
                pass  # the refusal again: nobody has acknowledged it
        assert [type(event) for event in call.events] == [Failed]

    play(work)


def test_a_call_may_be_redirected() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        place = ("Contact", f"<sip:elsewhere@{ELSEWHERE}>")
        call.taken = lambda incoming: incoming.reject(302, headers=[place])
        hand.ask("INVITE", body=SDP)
        moved = await hand.response("INVITE")
        assert moved.contacts[0].uri == Uri.parse(f"sip:elsewhere@{ELSEWHERE}")
        assert moved.to.uri.host == US

    play(work)
