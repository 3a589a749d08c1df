"""The small print of RFC 3261, 3262, 3311 and 4028: what few peers look at, and some rely on."""

from __future__ import annotations

import asyncio

import pytest

from sipstack.message import Request, Response
from tests.simulation.hand import SDP, UNUSABLE, Call, Hand, play

ABOUT_US = {
    "Accept": "application/sdp",
    "Accept-Encoding": "identity",
    "Accept-Language": "en",
}


async def hung_up(call: Call, hand: Hand) -> None:
    call.outgoing.hang_up()
    hand.answer(await hand.request("BYE"), 200)


def is_told(response: Response) -> None:
    """Whether an answer to OPTIONS says what RFC 3261 §11.2 wants it to."""
    assert response.status == 200
    assert {name: response.get(name) for name in ABOUT_US} == ABOUT_US
    assert "INVITE" in (response.get("Allow") or "")
    assert "100rel" in (response.get("Supported") or "")


def test_options_are_answered_within_a_call_as_outside_of_one() -> None:
    """§11.2: the answer is the same."""

    async def work(call: Call) -> None:
        hand = call.hand()
        hand.ask("OPTIONS")
        is_told(await hand.response("OPTIONS"))
        call.dial()
        invite = await hand.request("INVITE")
        hand.answer(invite, 180)
        await asyncio.sleep(0.1)
        hand.ask("OPTIONS", invite)
        is_told(await hand.response("OPTIONS"))
        hand.answer(invite, 200, SDP)
        await hand.request("ACK")
        hand.ask("OPTIONS", invite)
        is_told(await hand.response("OPTIONS"))
        await hung_up(call, hand)

    play(work)


def test_options_are_answered_in_a_call_that_came_in() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.ring()
        invite = hand.ask("INVITE", body=SDP)
        ringing = await hand.response("INVITE", 180)
        hand.ask("OPTIONS", ringing)
        is_told(await hand.response("OPTIONS"))
        _cancel(hand, invite)
        await hand.response("INVITE", 487)

    play(work)


def _cancel(hand: Hand, invite: Request) -> None:
    branch = invite.via.branch or ""
    cancel = Request("CANCEL", invite.request_uri)
    cancel.add("Via", f"SIP/2.0/UDP {hand.host}:5060;branch={branch}")
    for name in ("Max-Forwards", "From", "To", "Call-ID"):
        cancel.add(name, invite.get(name) or "")
    cancel.add("CSeq", f"{invite.cseq.number} CANCEL")
    hand._transport.send(cancel.serialize(), ("192.0.2.1", 5060))


def test_a_cancel_and_its_invite_are_answered_with_the_same_tag() -> None:
    """§9.2."""

    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.ring()
        invite = hand.ask("INVITE", body=SDP)
        ringing = await hand.response("INVITE", 180)
        _cancel(hand, invite)
        cancelled = await hand.response("CANCEL")
        ended = await hand.response("INVITE", 487)
        assert cancelled.status == 200
        assert cancelled.to.tag == ringing.to.tag == ended.to.tag
        _cancel(hand, invite)
        assert (await hand.response("CANCEL")).to.tag == cancelled.to.tag
        hand.ask("ACK", ended, number=invite.cseq.number, branch=invite.via.branch or "")

    play(work)


def test_a_100_has_the_timestamp_of_its_request() -> None:
    """§8.2.6.1: by which whoever sent it measures the way."""

    async def work(call: Call) -> None:
        hand = call.hand()
        # Nobody rings: the transaction says 100 by itself.
        invite = hand.ask("INVITE", body=SDP, headers=(("Timestamp", "54.21"),))
        trying = await hand.response("INVITE", 100)
        assert (trying.status, trying.get("Timestamp")) == (100, "54.21")
        _cancel(hand, invite)
        ended = await hand.response("INVITE", 487)
        assert ended.get("Timestamp") is None
        hand.ask("ACK", ended, number=invite.cseq.number, branch=invite.via.branch or "")

    play(work)


def test_who_has_to_ask_again_is_told_to_do_so_at_no_certain_moment() -> None:
    """§14.2 and RFC 3311 §5.2: between 0 and 10 seconds, drawn by lot, or two who met once would meet again."""

    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await call.up(hand)
        first = hand.ask("INVITE", invite, SDP)
        await hand.response("INVITE")
        told = set()
        for _ in range(12):
            hand.ask("UPDATE", invite, SDP)
            again = await hand.response("UPDATE")
            assert again.status == 500
            told.add(int(again.get("Retry-After") or "-1"))
        assert len(told) > 3 and told <= set(range(11))
        hand.ask("ACK", invite, number=first.cseq.number)
        await hung_up(call, hand)

    play(work)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_refresh_that_is_refused_refreshes_nothing(method: str) -> None:
    """RFC 3261 §14.1, RFC 4028 §9: all stays as it was, and so does the session's timer."""

    async def work(call: Call) -> None:
        hand = call.hand()
        call.dial(session_interval=1800)
        invite = await hand.request("INVITE")
        timing = ("Session-Expires", "1800;refresher=uac"), ("Require", "timer")
        hand.answer(invite, 200, SDP, headers=timing)
        await hand.request("ACK")
        asked = ("Session-Expires", "90;refresher=uac"), ("Supported", "timer")
        refused = hand.ask(method, invite, UNUSABLE, headers=asked)
        answer = await hand.response(method)
        assert answer.status == 488
        if method == "INVITE":
            hand.ask("ACK", invite, number=refused.cseq.number, branch=refused.via.branch or "")
        assert call.outgoing.evidence.session_interval == 1800
        assert call.outgoing.evidence.refreshes
        await hung_up(call, hand)

    play(work)


def test_the_numbers_of_an_early_dialog_go_on_in_the_call() -> None:
    """§12.2.2: what comes with a lower number than the last before the answer is out of order after it too."""

    async def work(call: Call) -> None:
        hand = call.hand()
        call.dial()
        invite = await hand.request("INVITE")
        hand.answer(invite, 183, SDP)
        await asyncio.sleep(0.1)
        hand.ask("UPDATE", invite, number=20)
        assert (await hand.response("UPDATE")).status == 200
        hand.answer(invite, 200, SDP)
        await hand.request("ACK")
        hand.ask("OPTIONS", invite, number=19)
        assert (await hand.response("OPTIONS")).status == 500
        hand.ask("OPTIONS", invite, number=21)
        assert (await hand.response("OPTIONS")).status == 200
        await hung_up(call, hand)

    play(work)


def test_a_refer_outside_of_a_call_is_forbidden_not_unknown() -> None:
    """§21.4.6: 405 names in Allow what is allowed, and REFER is within a call."""

    async def work(call: Call) -> None:
        hand = call.hand()
        hand.ask("REFER", headers=(("Refer-To", "<sip:x@example.net>"),))
        assert (await hand.response("REFER")).status == 403
        hand.ask("PUBLISH")
        refused = await hand.response("PUBLISH")
        assert refused.status == 405 and "PUBLISH" not in (refused.get("Allow") or "")

    play(work)


def test_offers_that_follow_our_early_answer_are_answered() -> None:
    """RFC 3262 §5 (in the PRACK of the answer), and RFC 3311 §5.2: by UPDATE once the answer has arrived."""

    async def work(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.ring(183, early_media=True)
        invite = hand.ask("INVITE", body=SDP, headers=(("Supported", "100rel"),), number=10)
        early = await hand.response("INVITE", 183)
        assert b"m=audio 20000" in early.body
        hand.ask("UPDATE", early, SDP.replace(b"4000", b"4500"), number=11)
        assert (await hand.response("UPDATE")).status == 500, "the answer may not have arrived"
        rack = (("RAck", f"{early.get('RSeq')} 10 INVITE"),)
        hand.ask("PRACK", early, SDP.replace(b"4000", b"5000"), headers=rack, number=12)
        acknowledged = await hand.response("PRACK")
        assert (acknowledged.status, b"m=audio 20000" in acknowledged.body) == (200, True)
        hand.ask("UPDATE", early, SDP.replace(b"4000", b"6000"), number=13)
        taken = await hand.response("UPDATE")
        assert (taken.status, b"m=audio 20000" in taken.body) == (200, True)
        hand.ask("UPDATE", early, UNUSABLE, number=14)
        assert (await hand.response("UPDATE")).status == 488
        assert [remote.port for remote in call.media] == [4000, 5000, 6000]
        (incoming,) = call.incoming
        incoming.answer()
        answer = await hand.response("INVITE")
        assert answer.body == taken.body
        hand.ask("ACK", answer, number=invite.cseq.number)
        await asyncio.sleep(0.1)
        incoming.hang_up()
        hand.answer(await hand.request("BYE"), 200)

    play(work)
