"""What no phone does of its own accord, and the RFCs have an answer to: calls whose other end a test plays by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from sipstack.call import Answered, EarlyMedia, Ended, Failed, Outbound, Ringing
from sipstack.message import Request, Response, Uri
from sipstack.resolver import Target
from sipstack.session import Session
from tests.simulation.hand import SDP, THEM, UNUSABLE, Call, Hand, play

UPDATES = (("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE"),)
ELSEWHERE = "192.0.2.3"


async def ringing(call: Call, hand: Hand) -> Request:
    """Our INVITE, which rings."""
    call.dial()
    invite = await hand.request("INVITE")
    hand.answer(invite, 180)
    await asyncio.sleep(0.1)
    return invite


async def answered(call: Call, hand: Hand, invite: Request) -> None:
    """They answer, and we hang up."""
    hand.answer(invite, 200, SDP)
    await hand.request("ACK")
    await hung_up(call, hand)


async def hung_up(call: Call, hand: Hand) -> Request:
    call.outgoing.hang_up()
    bye = await hand.request("BYE")
    hand.answer(bye, 200)
    return bye


# -- before the answer ------------------------------------------------------------------------------


def test_another_offer_before_the_answer_is_taken_and_a_wrong_one_refused() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await ringing(call, hand)
        hand.answer(invite, 183, SDP)
        await asyncio.sleep(0.1)
        hand.ask("UPDATE", invite, SDP.replace(b"4000", b"5000"))
        taken = await hand.response("UPDATE")
        assert (taken.status, b"m=audio 20000" in taken.body) == (200, True)
        hand.ask("UPDATE", invite, UNUSABLE)
        assert (await hand.response("UPDATE")).status == 488
        hand.ask("UPDATE", invite)
        empty = await hand.response("UPDATE")
        assert (empty.status, empty.body) == (200, b"")
        assert [media.port for media in call.media] == [4000, 5000]
        await answered(call, hand, invite)

    play(work)


def test_an_offer_before_ours_is_answered_is_glare() -> None:
    # RFC 3311 §5.2, RFC 3261 §14.2.
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await ringing(call, hand)
        hand.ask("UPDATE", invite, SDP.replace(b"4000", b"5000"))
        assert (await hand.response("UPDATE")).status == 491
        hand.ask("INVITE", invite, SDP.replace(b"4000", b"5000"))
        assert (await hand.response("INVITE")).status == 491
        hand.ask("UPDATE", invite)
        assert (await hand.response("UPDATE")).status == 200
        assert call.media == []
        await answered(call, hand, invite)

    play(work)


@pytest.mark.parametrize("reliable", [True, False])
def test_an_answer_after_a_description_needs_no_other(reliable: bool) -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.dial()
        invite = await hand.request("INVITE")
        numbered = (("Require", "100rel"), ("RSeq", "5")) if reliable else ()
        hand.answer(invite, 183, SDP, headers=numbered)
        if reliable:
            hand.answer(await hand.request("PRACK"), 200)
        await asyncio.sleep(0.1)
        hand.answer(invite, 200)
        await hand.request("ACK")
        assert [type(event) for event in call.events] == [EarlyMedia, Answered]
        assert [media.port for media in call.media] == [4000, 4000]
        await hung_up(call, hand)

    play(work)


def test_an_answer_without_a_description_means_what_an_update_has_changed() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.dial()
        invite = await hand.request("INVITE")
        hand.answer(invite, 183, SDP)
        await asyncio.sleep(0.1)
        hand.ask("UPDATE", invite, SDP.replace(b"4000", b"5000"))
        assert (await hand.response("UPDATE")).status == 200
        hand.answer(invite, 200)
        await hand.request("ACK")
        assert [media.port for media in call.media] == [4000, 5000, 5000]
        await hung_up(call, hand)

    play(work)


def test_an_answer_of_another_fork_needs_a_description_of_its_own() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.dial()
        invite = await hand.request("INVITE")
        hand.answer(invite, 183, SDP)
        await asyncio.sleep(0.1)
        hand.tag = "other"
        hand.answer(invite, 200)
        await hand.request("ACK")
        hand.answer(await hand.request("BYE"), 200)
        assert isinstance(call.events[-1], Failed) and call.events[-1].status == 488

    play(work)


def test_requests_of_an_early_dialog_are_answered_in_order() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await ringing(call, hand)
        hand.ask("OPTIONS", invite, number=20)
        assert (await hand.response("OPTIONS")).status == 200
        hand.ask("INFO", invite, number=21)
        assert (await hand.response("INFO")).status == 481
        hand.ask("OPTIONS", invite, number=19)
        late = await hand.response("OPTIONS")
        assert (late.status, late.reason) == (500, "CSeq Out Of Order")
        hand.tag = "nobody"
        hand.ask("OPTIONS", invite, number=22)
        assert (await hand.response("OPTIONS")).status == 481
        hand.tag = "them"
        await answered(call, hand, invite)

    play(work)


def test_a_bye_before_the_answer_ends_the_call_and_cancels_what_rings() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await ringing(call, hand)
        hand.ask("BYE", invite)
        assert (await hand.response("BYE")).status == 200
        cancel = await hand.request("CANCEL")
        hand.answer(cancel, 200)
        hand.answer(invite, 487)
        await hand.request("ACK")
        assert call.events[-1] == Failed(487, "Hung Up")

    play(work)


def test_the_reason_goes_with_the_cancel() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await ringing(call, hand)
        call.outgoing.hang_up('SIP;cause=200;text="Call completed elsewhere"')
        cancel = await hand.request("CANCEL")
        assert cancel.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
        hand.answer(cancel, 200)
        hand.answer(invite, 487)
        await call.outgoing.finished()

    play(work)


def test_early_media_that_cannot_be_used_is_not_the_end() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.dial()
        invite = await hand.request("INVITE")
        hand.answer(invite, 180, UNUSABLE)
        await asyncio.sleep(0.1)
        assert call.events == [Ringing(180)]
        await answered(call, hand, invite)
        assert isinstance(call.events[1], Answered)

    play(work)


@pytest.mark.parametrize("body", [UNUSABLE, b"", b"v=1\r\n"])
def test_an_answer_that_cannot_be_used_is_acknowledged_and_ended_with_its_reason(
    body: bytes,
) -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await ringing(call, hand)
        hand.answer(invite, 200, body)
        await hand.request("ACK")
        bye = await hand.request("BYE")
        hand.answer(bye, 200)
        assert bye.get("Reason") == 'SIP;cause=488;text="Not Acceptable Here"'
        assert isinstance(call.events[-1], Failed)
        assert call.events[-1].status == 488

    play(work)


def test_it_rings_also_where_nobody_has_a_tag_yet() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.dial()
        invite = await hand.request("INVITE")
        hand.answer(invite, 180, tag="")
        await asyncio.sleep(0.1)
        assert call.events == [Ringing(180)]
        await answered(call, hand, invite)

    play(work)


def test_a_server_that_was_left_and_answers_all_the_same_has_the_call() -> None:
    async def work(call: Call) -> None:
        hand, other = call.hand(), call.hand(ELSEWHERE)
        call.dial(THEM, ELSEWHERE)
        invite = await hand.request("INVITE")
        next_ = await other.request("INVITE")
        other.answer(next_, 180)
        await asyncio.sleep(0.1)
        hand.answer(invite, 200, SDP)
        await hand.request("ACK")
        cancel = await other.request("CANCEL")
        other.answer(cancel, 200)
        other.answer(next_, 487)
        await other.request("ACK")
        assert isinstance(call.events[-1], Answered)
        await hung_up(call, hand)

    play(work)


def test_more_forks_than_any_call_has_are_not_followed() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.dial()
        invite = await hand.request("INVITE")
        for number in range(30):
            headers = (("Require", "100rel"), ("RSeq", "1"))
            hand.answer(invite, 180, tag=f"fork{number}", headers=headers)
        for number in range(16):
            prack = await hand.request("PRACK")
            assert prack.to.tag == f"fork{number}"
            hand.answer(prack, 200)
        with pytest.raises(TimeoutError):
            await hand.request("PRACK")
        for number in range(30):
            hand.answer(invite, 200, SDP, tag=f"fork{number}")
        acknowledged = [(await hand.request("ACK")).to.tag for _ in range(16)]
        assert acknowledged == [f"fork{number}" for number in range(16)]
        with pytest.raises(TimeoutError):
            await hand.request("ACK")
        call.outgoing.hang_up()

    play(work)


def test_of_reliable_responses_only_the_next_one_is_acknowledged() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.dial()
        invite = await hand.request("INVITE")
        for number in ("0", "4294967296", "x", "7", "7", "9", "8"):
            hand.answer(invite, 183, headers=(("Require", "100rel"), ("RSeq", number)))
            await asyncio.sleep(0.01)
        for number in ("7", "8"):
            prack = await hand.request("PRACK")
            assert prack.get("RAck") == f"{number} {invite.cseq.number} INVITE"
            hand.answer(prack, 200)
        with pytest.raises(TimeoutError):
            await hand.request("PRACK")
        await answered(call, hand, invite)

    play(work)


def test_the_next_place_of_a_redirection_is_tried_where_the_first_refuses() -> None:
    async def work(call: Call) -> None:
        hand, other = call.hand(), call.hand(ELSEWHERE)
        call.dial(redirect=Outbound)
        invite = await hand.request("INVITE")
        places = (("Contact", f"<sip:one@{ELSEWHERE}>"), ("Contact", f"<sip:two@{ELSEWHERE}>"))
        hand.answer(invite, 302, headers=places)
        first = await other.request("INVITE")
        other.answer(first, 404)
        second = await other.request("INVITE")
        assert [first.uri.user, second.uri.user] == ["one", "two"]
        await answered(call, other, second)

    play(work)


def test_a_redirection_whose_place_is_found_after_the_hang_up_is_not_followed() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        later: list[object] = []
        call.agent.locate = lambda uri, account, then, failed: later.append(  # type: ignore[method-assign, assignment]
            lambda: then([call.outgoing._targets[0]])
        )
        call.dial(redirect=Outbound)
        invite = await hand.request("INVITE")
        hand.answer(invite, 302, headers=(("Contact", f"<sip:one@{ELSEWHERE}>"),))
        await hand.request("ACK")
        call.outgoing.hang_up()
        (then,) = later
        assert callable(then)
        then()
        assert call.events[-1] == Failed(487, "Request Terminated")
        with pytest.raises(TimeoutError):
            await hand.request("INVITE")

    play(work)


def test_a_peer_of_a_call_that_is_not_answered_is_not_alive() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await ringing(call, hand)
        told: list[bool] = []
        call.outgoing.is_alive(told.append)
        call.outgoing.lost()  # nothing to lose yet
        assert told == [False]
        await answered(call, hand, invite)
        call.outgoing.is_alive(told.append)
        assert told == [False, False]

    play(work)


# -- in the session ---------------------------------------------------------------------------------


def test_an_offer_while_ours_waits_for_its_answer_is_glare() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await call.up(hand)
        theirs = hand.ask("INVITE", invite)
        offer = await hand.response("INVITE")
        assert b"m=audio" in offer.body
        hand.ask("UPDATE", invite, SDP)
        assert (await hand.response("UPDATE")).status == 491
        hand.ask("ACK", invite, SDP.replace(b"4000", b"5000"), number=theirs.cseq.number)
        await asyncio.sleep(0.1)
        assert call.media[-1].port == 5000
        await hung_up(call, hand)

    play(work)


def test_infos_go_one_after_the_other_and_not_without_end() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await call.up(hand, headers=(("Allow", "INVITE, ACK, BYE, INFO"),))
        session = call.outgoing.session
        assert session is not None and session.takes_info
        sent = [session.inform("application/dtmf-relay", b"Signal=%d" % n) for n in range(40)]
        assert sent == [True] * 16 + [False] * 24
        numbers = []
        for n in range(16):
            info = await hand.request("INFO")
            assert (info.content_type, info.body) == ("application/dtmf-relay", b"Signal=%d" % n)
            numbers.append(info.cseq.number)
            # Whatever the peer says to it: it is no reason to end the call, or to keep back the next.
            hand.answer(info, (200, 415, 500)[n % 3])
        assert numbers == sorted(set(numbers))
        hand.ask("BYE", invite)
        await hand.response("BYE")
        assert not session.inform("application/dtmf-relay", b"Signal=1")

    play(work)


def test_who_made_the_call_waits_longer_after_glare_than_who_was_called() -> None:
    async def waited(call: Call, hand: Hand, within: Request | Response, session: Session) -> float:
        session.offer()
        hand.answer(await hand.request("INVITE"), 491)
        await hand.request("ACK")
        began = call.loop.time()
        again = await hand.request("INVITE")
        hand.answer(again, 200, SDP)
        await hand.request("ACK")
        took = call.loop.time() - began
        hand.ask("BYE", within)
        await hand.response("BYE")
        return took

    async def caller(call: Call) -> None:
        hand = call.hand()
        invite = await call.up(hand)
        assert call.outgoing.session is not None
        assert 2.1 <= await waited(call, hand, invite, call.outgoing.session) <= 4.1

    async def callee(call: Call) -> None:
        hand = call.hand()
        call.taken = lambda incoming: incoming.answer()
        invite = hand.ask("INVITE", body=SDP)
        answer = await hand.response("INVITE")
        hand.ask("ACK", answer, number=invite.cseq.number)
        await asyncio.sleep(0.1)
        session = call.incoming[0].session
        assert session is not None
        assert await waited(call, hand, answer, session) <= 2.1

    play(caller)
    play(callee)


@pytest.mark.parametrize("silent", [True, False])
def test_a_request_of_the_dialog_goes_to_the_next_server_where_the_first_does_not_serve(
    silent: bool,
) -> None:
    async def work(call: Call) -> None:
        hand, other = call.hand(), call.hand(ELSEWHERE)
        servers = [Target("UDP", (host, 5060)) for host in (THEM, ELSEWHERE)]
        call.agent.locate = lambda uri, account, then, failed: then(servers)  # type: ignore[method-assign]
        await call.up(hand, headers=(("Record-Route", "<sip:edge.example.net;lr>"),))
        call.outgoing.hang_up()
        first = await hand.request("BYE")
        if not silent:
            hand.answer(first, 503)
        second = await other.request("BYE")
        other.answer(second, 200)
        assert second.cseq.number > first.cseq.number
        assert second.via.branch != first.via.branch

    play(work)


@pytest.mark.parametrize(
    ("route", "searched"),
    [
        ("", []),
        (f"<sip:{THEM};lr>", []),
        (f"<sip:{THEM}:5061;lr>", ["ACK", "BYE"]),
        (f"<sip:{THEM};transport=tcp;lr>", ["ACK", "BYE"]),
        (f"<sip:{ELSEWHERE};lr>", ["ACK", "BYE"]),
        (f"<sip:{THEM};maddr={ELSEWHERE};lr>", ["ACK", "BYE"]),
    ],
)
def test_the_way_to_where_the_invite_went_is_not_searched_for_again(
    route: str, searched: list[str]
) -> None:
    async def work(call: Call) -> None:
        hand, other = call.hand(), call.hand(ELSEWHERE)
        found: list[str] = []

        def locate(
            uri: Uri,
            account: object,
            then: Callable[[Sequence[Target]], None],
            failed: Callable[[str], None],
        ) -> None:
            found.append(uri.host)
            then([Target("UDP", (ELSEWHERE, 5060))])

        call.agent.locate = locate  # type: ignore[method-assign, assignment]
        call.dial()
        invite = await hand.request("INVITE")
        hand.answer(invite, 200, SDP, headers=(("Record-Route", route),) if route else ())
        to = other if searched else hand
        await to.request("ACK")
        call.outgoing.hang_up()
        to.answer(await to.request("BYE"), 200)
        assert len(found) == len(searched)

    play(work)


def test_a_request_that_comes_too_late_is_out_of_order() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await call.up(hand)
        hand.ask("OPTIONS", invite, number=20)
        assert (await hand.response("OPTIONS")).status == 200
        hand.ask("BYE", invite, number=19)
        late = await hand.response("BYE")
        assert (late.status, late.reason) == (500, "CSeq Out Of Order")
        assert call.outgoing.outcome is None
        await hung_up(call, hand)

    play(work)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b"{}", "application/json", 415), (UNUSABLE, "application/sdp", 488)],
)
def test_a_re_invite_that_cannot_be_taken_changes_nothing(
    body: bytes, kind: str, status: int
) -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await call.up(hand)
        hand.ask("INVITE", invite, body, kind)
        refusal = await hand.response("INVITE")
        assert refusal.status == status
        assert (refusal.get("Accept") == "application/sdp") == (status == 415)
        assert len(call.media) == 1
        await hung_up(call, hand)

    play(work)


def test_a_re_invite_that_is_never_acknowledged_ends_the_call() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await call.up(hand)
        hand.ask("INVITE", invite, SDP)
        bye = await hand.request("BYE")
        hand.answer(bye, 200)
        assert bye.get("Reason") == 'SIP;cause=408;text="ACK Timeout"'
        assert call.events[-1] == Ended("network")

    play(work)


def test_an_ack_without_the_answer_that_it_owes_changes_nothing() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await call.up(hand)
        for _ in range(2):
            theirs = hand.ask("INVITE", invite)
            await hand.response("INVITE")
            hand.ask("ACK", invite, number=theirs.cseq.number)
        assert len(call.media) == 1
        # The next offer of either side is taken as if there had been none.
        theirs = hand.ask("INVITE", invite, SDP)
        assert (await hand.response("INVITE")).status == 200
        hand.ask("ACK", invite, number=theirs.cseq.number)
        assert len(call.media) == 2
        await hung_up(call, hand)

    play(work)


def test_an_ack_whose_answer_cannot_be_used_ends_the_call() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await call.up(hand)
        theirs = hand.ask("INVITE", invite)
        await hand.response("INVITE")
        hand.ask("ACK", invite, UNUSABLE, number=theirs.cseq.number)
        bye = await hand.request("BYE")
        hand.answer(bye, 200)
        assert bye.get("Reason") == 'SIP;cause=488;text="Not Acceptable Here"'
        assert call.events[-1] == Ended("local", status=488)
        assert call.outgoing.evidence.unusable == "No codec in common"

    play(work)


def test_an_answer_to_our_offer_that_cannot_be_used_ends_the_call() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        await call.up(hand)
        assert call.outgoing.session is not None
        call.outgoing.session.offer("sendonly")
        hand.answer(await hand.request("INVITE"), 200, UNUSABLE)
        await hand.request("ACK")
        bye = await hand.request("BYE")
        hand.answer(bye, 200)
        assert bye.get("Reason") == 'SIP;cause=488;text="Not Acceptable Here"'
        assert call.events[-1] == Ended("local", status=488)
        assert call.outgoing.evidence.unusable == "No codec in common"

    play(work)


def test_an_offer_whose_interval_is_too_small_is_made_again_with_a_longer_one() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        await call.up(hand)
        assert call.outgoing.session is not None
        call.outgoing.session.offer("sendonly")
        first = await hand.request("INVITE")
        hand.answer(first, 422, headers=(("Min-SE", "3600"),))
        second = await hand.request("INVITE")
        assert (first.get("Min-SE"), second.get("Min-SE")) == ("90", "3600")
        assert (second.get("Session-Expires") or "").startswith("3600")
        assert b"a=sendonly" in second.body
        hand.answer(second, 200, SDP)
        await hand.request("ACK")
        await hung_up(call, hand)

    play(work)


def test_a_reliable_response_to_a_re_invite_is_acknowledged() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        await call.up(hand)
        assert call.outgoing.session is not None
        call.outgoing.session.offer("sendonly")
        offer = await hand.request("INVITE")
        hand.answer(offer, 183, headers=(("Require", "100rel"), ("RSeq", "5")))
        prack = await hand.request("PRACK")
        assert prack.get("RAck") == f"5 {offer.cseq.number} INVITE"
        hand.answer(prack, 200)
        hand.answer(offer, 200, SDP)
        await hand.request("ACK")
        await hung_up(call, hand)

    play(work)


def test_the_acks_of_old_re_invites_are_forgotten_and_that_of_the_last_is_not() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        await call.up(hand)
        session = call.outgoing.session
        assert session is not None
        last = None
        for _ in range(12):
            session.offer("sendrecv")
            last = await hand.request("INVITE")
            hand.answer(last, 200, SDP)
            await hand.request("ACK")
        assert last is not None
        assert len(session._acks) == 8
        assert last.cseq.number in session._acks
        await hung_up(call, hand)

    play(work)


@pytest.mark.parametrize("status", [408, 481])
def test_a_refresh_that_the_peer_does_not_know_the_dialog_of_ends_the_call(status: int) -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        await call.up(hand, (*UPDATES, ("Session-Expires", "90;refresher=uac")))
        update = await hand.request("UPDATE", 60.0)
        hand.answer(update, status)
        hand.answer(await hand.request("BYE", 1.0), 200)
        assert call.events[-1] == Ended("network")

    play(work)


def test_a_refresh_whose_interval_is_too_small_asks_for_more() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        await call.up(hand, (*UPDATES, ("Session-Expires", "90;refresher=uac")))
        first = await hand.request("UPDATE", 60.0)
        hand.answer(first, 422, headers=(("Min-SE", "300"),))
        second = await hand.request("UPDATE", 1.0)
        assert second.get("Session-Expires") == "300;refresher=uac"
        hand.answer(second, 200, headers=(("Session-Expires", "300;refresher=uac"),))
        third = await hand.request("UPDATE", 200.0)
        hand.answer(third, 200)
        await hung_up(call, hand)

    play(work)


@pytest.mark.parametrize(("status", "method"), [(405, "INVITE"), (501, "INVITE"), (500, "UPDATE")])
def test_a_refresh_that_is_refused_is_tried_again_the_way_that_is_left(
    status: int, method: str
) -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        timing = (("Session-Expires", "90;refresher=uac"),)
        await call.up(hand, (*UPDATES, *timing))
        hand.answer(await hand.request("UPDATE", 60.0), status)
        again = await hand.request(method, 15.0)
        hand.answer(again, 200, SDP if method == "INVITE" else b"", headers=timing)
        if method == "INVITE":
            await hand.request("ACK")
        await hung_up(call, hand)

    play(work)


def test_an_offer_under_way_is_the_refresh() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        timing = (("Session-Expires", "90;refresher=uac"),)
        await call.up(hand, (*UPDATES, *timing))
        await asyncio.sleep(44.9)
        assert call.outgoing.session is not None
        call.outgoing.session.offer("sendonly")
        offer = await hand.request("INVITE")
        hand.answer(offer, 100)
        await asyncio.sleep(5.0)
        hand.answer(offer, 200, SDP, headers=timing)
        await hand.request("ACK")
        with pytest.raises(TimeoutError):
            await hand.request("UPDATE", 30.0)
        await hung_up(call, hand)

    play(work)


def test_a_peer_that_takes_no_refresher_s_role_has_none_when_it_leaves_the_timer_out() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await call.up(hand, (*UPDATES, ("Session-Expires", "90;refresher=uac")))
        hand.ask("UPDATE", invite, headers=(("Supported", "timer"),))
        kept = await hand.response("UPDATE")
        assert kept.get("Session-Expires") == "90;refresher=uas"
        hand.ask("UPDATE", invite)
        dropped = await hand.response("UPDATE")
        assert dropped.get("Session-Expires") is None
        with pytest.raises(TimeoutError):
            await hand.request("UPDATE", 200.0)
        await hung_up(call, hand)

    play(work)


def test_without_a_timer_of_our_own_the_peer_s_is_kept_all_the_same() -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        call.dial(session_interval=0)
        invite = await hand.request("INVITE")
        assert invite.get("Session-Expires") is None
        hand.answer(invite, 200, SDP)
        await hand.request("ACK")
        hand.ask("UPDATE", invite, headers=(("Session-Expires", "120"),))
        update = await hand.response("UPDATE")
        # It does not say that it knows the timer itself, so the refreshing is ours.
        assert update.get("Session-Expires") == "120;refresher=uas"
        assert update.get("Require") is None
        refresh = await hand.request("INVITE", 61.0)
        hand.answer(refresh, 200, SDP)
        await hand.request("ACK")
        await hung_up(call, hand)

    play(work)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 400),
        ((("Refer-To", "<sip:a@b.test>"), ("Refer-To", "<sip:c@b.test>")), 400),
        ((("Refer-To", "nonsense"),), 400),
        ((("Refer-To", "<sip:a@b.test?Replaces=x>"),), 603),
        ((("Refer-To", "<sip:a@b.test;method=BYE>"),), 603),
    ],
)
def test_a_referral_that_cannot_be_followed_is_refused(
    headers: tuple[tuple[str, str], ...], status: int
) -> None:
    async def work(call: Call) -> None:
        hand = call.hand()
        invite = await call.up(hand)
        hand.ask("REFER", invite, headers=headers)
        assert (await hand.response("REFER")).status == status
        await hung_up(call, hand)

    play(work)
