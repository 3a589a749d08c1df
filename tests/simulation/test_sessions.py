"""What goes on in an answered call, in virtual time: hold, glare, session timers, PRACK, transfer, other servers."""

from __future__ import annotations

import pytest

from sipstack.call import Answered, Ended, Failed, OutgoingCall, Referred, Renegotiated
from tests.simulation import scripts
from tests.simulation.clock import VirtualLoop
from tests.simulation.network import Conditions
from tests.simulation.phone import ScriptedPhone
from tests.simulation.scripts import Script
from tests.simulation.test_calls import (
    ELSEWHERE,
    THEM,
    Plan,
    assert_right,
    dial,
    good,
    offers,
)

START = 1000.0
"""What the clock says when a simulation begins, in seconds."""

# -- offers --------------------------------------------------------------------------------------


def test_hold_and_resume_by_the_peer_are_told() -> None:
    outcome = good(Plan(Script(reinvite_after=1.0, resume_after=3.0), 10.0))
    told = [event.remote.direction for event in outcome.events if isinstance(event, Renegotiated)]
    assert told == ["sendonly", "sendrecv"]


def test_our_hold_reaches_the_peer_and_is_acknowledged() -> None:
    outcome = good(Plan(Script(), 10.0, meddle=offers((3.0, "sendonly"), (5.0, "sendrecv"))))
    assert outcome.phone.call.directions == ["sendrecv", "sendonly", "sendrecv"]
    assert [media.direction for media in outcome.media] == ["sendrecv", "recvonly", "sendrecv"]
    assert outcome.phone.methods.count("ACK") == 3


def test_of_several_offers_at_once_the_latest_counts() -> None:
    outcome = good(
        Plan(
            Script(),
            10.0,
            Conditions(delay=(0.1, 0.1)),
            meddle=offers((3.0, "sendonly"), (3.01, "inactive"), (3.02, "sendrecv")),
        )
    )
    assert outcome.phone.call.directions == ["sendrecv", "sendonly", "sendrecv"]


def test_a_lost_ack_of_a_re_invite_is_sent_again_when_its_200_comes_again() -> None:
    plan = Plan(Script(), 60.0, meddle=offers((3.0, "sendonly")), dead_at=3.0005, alive_at=3.4)
    outcome = good(plan)
    assert outcome.phone.call.directions == ["sendrecv", "sendonly"]
    assert outcome.phone.call.unacknowledged is None
    assert "dead" in [passage.fate for passage in outcome.network.journal]
    assert outcome.phone.call.ended_by == "them"


def test_a_refused_offer_changes_nothing() -> None:
    outcome = good(
        Plan(Script(statuses=(("INVITE", 488),)), 10.0, meddle=offers((3.0, "sendonly")))
    )
    assert outcome.last == Ended("local")
    assert len(outcome.media) == 1


def test_two_offers_that_meet_are_both_made_in_the_end() -> None:
    # Both sides send theirs within one way of the network.
    script = Script(reinvite_after=2.0)
    outcome = good(
        Plan(script, 20.0, Conditions(delay=(0.1, 0.1)), meddle=offers((3.15, "sendrecv")))
    )
    statuses = [response.status for _, response in outcome.phone.responses]
    assert 491 in statuses  # ours to them
    assert outcome.phone.call.directions == ["sendrecv", "sendrecv"]
    first, second = (t for t, r in outcome.phone.requests if r.method == "INVITE" and r.to.tag)
    assert 2.1 <= second - first <= 4.2


def test_an_offer_in_the_200_is_answered_in_the_ack() -> None:
    def meddle(loop: VirtualLoop, call: OutgoingCall, phone: ScriptedPhone) -> None:
        def reinvite() -> None:
            phone.request_in(phone.call, "INVITE")

        loop.call_later(3.0, reinvite)

    outcome = dial(Plan(Script(), 60.0, meddle=meddle))
    # The phone's ACK has no answer, so the call ends; that it got an offer is what counts here.
    (answer,) = [r for _, r in outcome.phone.responses if r.cseq.method == "INVITE"]
    assert b"m=audio 20000" in answer.body
    assert outcome.last == Ended("local")


@pytest.mark.parametrize("status", [481, 408])
def test_a_dialog_that_the_peer_does_not_know_any_more_ends_with_a_bye(status: int) -> None:
    outcome = dial(
        Plan(Script(statuses=(("INVITE", status),)), 60.0, meddle=offers((3.0, "sendonly")))
    )
    assert_right(outcome)
    assert outcome.last == Ended("network")
    assert outcome.phone.methods[-1] == "BYE"


def test_a_request_that_requires_what_we_know_is_taken_and_what_we_do_not_know_refused() -> None:
    def meddle(loop: VirtualLoop, call: OutgoingCall, phone: ScriptedPhone) -> None:
        body = phone.describe(b"")
        for when, required in ((3.0, "timer"), (5.0, "100rel, foo, bar")):
            loop.call_later(
                when,
                lambda r=required: phone.request_in(phone.call, "INVITE", body, (("Require", r),)),
            )

    outcome = good(Plan(Script(), 10.0, meddle=meddle))
    fine, bad = [r for _, r in outcome.phone.responses if r.cseq.method == "INVITE"]
    assert (fine.status, bad.status, bad.get("Unsupported")) == (200, 420, "foo, bar")


# -- reliable provisional responses --------------------------------------------------------------


def test_a_reliable_response_is_acknowledged_once_and_the_call_goes_on() -> None:
    outcome = good(Plan(Script(reliable=True)))
    assert outcome.phone.methods == ["INVITE", "PRACK", "ACK", "BYE"]
    assert isinstance(outcome.events[1], Answered)


def test_a_lost_prack_is_sent_again() -> None:
    outcome = good(Plan(Script(reliable=True), 30.0, dead_at=0.1005, alive_at=0.4))
    assert outcome.phone.methods == ["INVITE", "PRACK", "ACK", "BYE"]


def test_the_numbers_go_on_after_a_prack() -> None:
    outcome = good(Plan(Script(reliable=True)))
    numbers = {r.method: r.cseq.number for _, r in outcome.phone.requests}
    assert numbers["INVITE"] == numbers["ACK"] < numbers["PRACK"] < numbers["BYE"]


# -- session timers ------------------------------------------------------------------------------


def refreshes(outcome_of: Plan) -> list[tuple[float, str]]:
    outcome = good(outcome_of)
    assert outcome.last == Ended("local")
    return [
        (round(time - START), request.method)
        for time, request in outcome.phone.requests
        if request.to.tag and request.method in ("INVITE", "UPDATE")
    ]


def test_we_refresh_with_update_where_the_peer_has_it_at_half_the_interval() -> None:
    plan = Plan(Script(session_expires=90, refresher="uac"), 200.0)
    assert refreshes(plan) == [(46, "UPDATE"), (91, "UPDATE"), (136, "UPDATE"), (181, "UPDATE")]


def test_we_refresh_with_a_re_invite_where_it_has_not() -> None:
    script = Script(session_expires=90, refresher="uac", allow="INVITE, ACK, BYE, CANCEL")
    assert refreshes(Plan(script, 100.0)) == [(46, "INVITE"), (91, "INVITE")]


def test_a_held_peer_stays_held_over_our_refresh() -> None:
    script = Script(session_expires=90, refresher="uac", allow="INVITE, ACK, BYE, CANCEL")
    outcome = good(Plan(script, 60.0, meddle=offers((3.0, "sendonly"))))
    assert outcome.phone.call.directions == ["sendrecv", "sendonly", "sendonly"]


def test_a_peer_that_should_refresh_and_does_not_has_lost_its_call() -> None:
    outcome = good(Plan(Script(session_expires=90, refresher="uas"), 200.0))
    assert outcome.last == Ended("network")
    times = [time for time, request in outcome.phone.requests if request.method == "BYE"]
    assert 60 < times[0] - START < 62  # 90 s less a third


def test_a_peer_that_wants_a_longer_interval_gets_it() -> None:
    outcome = good(Plan(Script(min_se=3600, session_expires=3600), 10.0))
    asked = [r for _, r in outcome.phone.requests if r.method == "INVITE"]
    assert [r.get("Session-Expires") for r in asked] == ["1800", "3600"]
    assert asked[1].get("Min-SE") == "3600"
    assert outcome.last == Ended("local")


def test_an_interval_that_is_too_short_for_us_is_refused() -> None:
    def meddle(loop: VirtualLoop, call: OutgoingCall, phone: ScriptedPhone) -> None:
        headers = (("Session-Expires", "30;refresher=uac"), ("Supported", "timer"))
        loop.call_later(3.0, lambda: phone.request_in(phone.call, "UPDATE", b"", headers))

    outcome = good(Plan(Script(), 10.0, meddle=meddle))
    (refused,) = [r for _, r in outcome.phone.responses if r.cseq.method == "UPDATE"]
    assert (refused.status, refused.get("Min-SE")) == (422, "90")


def test_the_peer_as_refresher_keeps_the_session_by_its_updates() -> None:
    def meddle(loop: VirtualLoop, call: OutgoingCall, phone: ScriptedPhone) -> None:
        headers = (("Session-Expires", "90;refresher=uac"), ("Supported", "timer"))
        for when in (40.0, 80.0, 120.0):
            loop.call_later(when, lambda: phone.request_in(phone.call, "UPDATE", b"", headers))

    outcome = good(Plan(Script(session_expires=90, refresher="uas"), 150.0, meddle=meddle))
    assert outcome.last == Ended("local")
    answers = [r for _, r in outcome.phone.responses if r.cseq.method == "UPDATE"]
    assert [r.get("Session-Expires") for r in answers] == ["90;refresher=uac"] * 3
    assert answers[0].get("Require") == "timer"


# -- referrals -----------------------------------------------------------------------------------


def notifies(outcome_phone: ScriptedPhone) -> list[tuple[str, bytes]]:
    return [
        (request.get("Subscription-State") or "", request.body)
        for _, request in outcome_phone.requests
        if request.method == "NOTIFY"
    ]


def test_an_accepted_referral_is_told_and_its_course_notified() -> None:
    events: list[Referred] = []

    def meddle(loop: VirtualLoop, call: OutgoingCall, phone: ScriptedPhone) -> None:
        def follow() -> None:
            (referred,) = [e for e in seen if isinstance(e, Referred)]
            events.append(referred)
            referred.referral.notify(180, "Ringing", final=False)
            referred.referral.notify(200, "OK", final=True)
            referred.referral.notify(200, "OK", final=True)

        seen = call._on_event.__self__  # type: ignore[attr-defined]
        loop.call_later(5.0, follow)

    script = Script(refer_after=1.0, refer_to="sip:carol@example.net")
    outcome = good(Plan(script, 10.0, meddle=meddle))
    assert str(events[0].target) == "sip:carol@example.net"
    assert notifies(outcome.phone) == [
        ("active;expires=180", b"SIP/2.0 100 Trying\r\n"),
        ("active;expires=180", b"SIP/2.0 180 Ringing\r\n"),
        ("terminated;reason=noresource", b"SIP/2.0 200 OK\r\n"),
    ]


@pytest.mark.parametrize(
    "target", ["sip:mallory@example.net", "sip:carol@example.net?Replaces=1%3Bto-tag%3D2"]
)
def test_a_referral_that_is_not_accepted_is_declined(target: str) -> None:
    outcome = good(Plan(Script(refer_after=1.0, refer_to=target), 10.0))
    (answer,) = [r for _, r in outcome.phone.responses if r.cseq.method == "REFER"]
    assert answer.status == 603
    assert notifies(outcome.phone) == []


# -- several servers, several places -------------------------------------------------------------


def test_a_silent_server_is_left_for_the_next_within_four_seconds() -> None:
    outcome = dial(Plan(Script(), 20.0, servers=("192.0.2.9", THEM)))
    assert outcome.last == Ended("local")
    assert outcome.phone.requests[0][0] < START + 4.0
    assert not outcome.theirs


def test_a_server_that_comes_back_late_has_its_invitation_cancelled() -> None:
    def meddle(loop: VirtualLoop, call: OutgoingCall, phone: ScriptedPhone) -> None:
        network = phone._transport._network  # type: ignore[attr-defined]
        network.cut("192.0.2.1", ELSEWHERE)
        loop.call_later(3.2, network.set, Conditions())

    outcome = good(Plan(Script(), 20.0, servers=(ELSEWHERE, THEM), meddle=meddle))
    assert outcome.last == Ended("local")
    assert "CANCEL" in outcome.elsewhere.methods, outcome.network.ladder()
    assert outcome.elsewhere.call.ended_by == "cancelled"
    assert outcome.phone.call.ended_by == "them"


def test_a_server_that_is_out_of_service_is_left_at_once() -> None:
    outcome = good(
        Plan(Script(status=503, ring_after=None), 20.0, servers=(THEM, ELSEWHERE)),
    )
    assert outcome.last == Ended("local")
    assert outcome.elsewhere.requests[0][0] < START + 1.0


def test_of_several_places_the_preferred_is_tried_first_and_then_the_next() -> None:
    contact = f"sip:gone@{THEM}>;q=0.9, <sip:bob@{ELSEWHERE}>;q=0.5, <sip:late@{THEM}"
    outcome = good(Plan(scripts.redirects(contact)))
    places = [str(request.uri) for _, request in outcome.phone.requests if request.method != "ACK"]
    assert places == [f"sip:bob@{THEM}", f"sip:late@{THEM}", f"sip:gone@{THEM}"]
    assert outcome.elsewhere.methods[0] == "INVITE"
    assert outcome.last == Ended("local")


def test_a_chain_of_redirections_has_an_end() -> None:
    def meddle(loop: VirtualLoop, call: OutgoingCall, phone: ScriptedPhone) -> None:
        def move() -> None:
            count = phone.methods.count("INVITE")
            phone.script = scripts.redirects(f"sip:{count}@{THEM}")
            if loop.time() < START + 30:
                loop.call_later(0.05, move)

        move()

    outcome = good(Plan(Script(), 60.0, meddle=meddle))
    assert isinstance(outcome.last, Failed)
    assert outcome.last.status == 302
    assert outcome.phone.methods.count("INVITE") == 6
