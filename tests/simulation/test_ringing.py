"""Several phones that ring at once, on the wire and in the record: whoever is first has the call, nobody is left ringing."""

from __future__ import annotations

from typing import Any

import pytest

from c2c_sip.calling.flow import Flow
from sipstack.media.tones import RINGBACK
from tests.simulation import scripts
from tests.simulation.clock import VirtualLoop
from tests.simulation.network import Conditions
from tests.simulation.phone import ScriptedPhone
from tests.simulation.scripts import Script
from tests.simulation.test_flow import Outcome, good

SOON = Script(answer_after=1.0, hang_up_after=5.0)
LATE = Script(answer_after=4.0)

ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'


def reason(phone: ScriptedPhone, method: str) -> str | None:
    (found,) = {r.get("Reason") for _, r in phone.requests if r.method == method}
    return found


def cdr_of(outcome: Outcome, phone: ScriptedPhone) -> dict[str, Any]:
    """The CDR of the last call that came to a phone."""
    call_id = phone.call.invite.call_id
    (found,) = [cdr for cdr in outcome.ledger.cdrs.values() if cdr["call_id"] == call_id]
    return found


def test_all_ring_at_once_and_the_first_to_answer_has_the_call() -> None:
    outcome = good(LATE, LATE, others=[SOON, LATE])
    desk, mobile, tablet = outcome.desk, *outcome.others
    rung = [phone.requests[0][0] for phone in (desk, mobile, tablet)]
    assert max(rung) - min(rung) < 0.1
    assert mobile.call.ended_by == "us"
    for loser in (desk, tablet):
        assert loser.call.ended_by == "cancelled"
        assert reason(loser, "CANCEL") == ELSEWHERE
        assert "BYE" not in loser.methods
        cdr = cdr_of(outcome, loser)
        assert (cdr["cause"], cdr["sip_status"], cdr["hangup_by"]) == ("LOSE_RACE", 487, "local")
        assert (cdr["billing_seconds"], cdr["role"]) == (0, "extension")
        assert cdr["ringing_seconds"] == 1
    record = outcome.ledger.record
    won = cdr_of(outcome, mobile)
    assert (record["extension_cdr_id"], record["extension_call_id"]) == (won["id"], won["call_id"])
    assert (record["result"], record["cause"]) == ("success", "NORMAL_CLEARING")
    assert len(outcome.ledger.cdrs) == 4
    assert outcome.ledger.states.count("extension_ringing") == 1


def test_nobody_is_told_of_a_missed_call_before_somebody_has_answered() -> None:
    outcome = good(LATE, LATE, others=[SOON])
    answered = cdr_of(outcome, outcome.others[0])["answered"]
    (cancelled,) = {t for t, r in outcome.desk.requests if r.method == "CANCEL"}
    assert cancelled >= answered


def test_a_200_that_crosses_the_cancel_is_acknowledged_and_hung_up() -> None:
    outcome = good(SOON, LATE, others=[Script(answer_after=1.0)])
    loser = outcome.others[0]
    if loser.call.ended_by == "us":
        loser = outcome.desk
    assert loser.methods == ["INVITE", "ACK", "BYE"] or loser.methods == ["INVITE", "CANCEL", "ACK", "BYE"]  # fmt: skip
    assert loser.call.ended_by == "them" and loser.call.acks == loser.call.byes
    assert reason(loser, "BYE") == ELSEWHERE
    assert cdr_of(outcome, loser)["cause"] == "LOSE_RACE"
    # The contact was called once, and by nobody else than the winner.
    assert len(outcome.customer.calls) == 1


@pytest.mark.parametrize("seed", range(8))
def test_crossing_answers_on_a_network_that_loses_and_swaps_leave_one_call(seed: int) -> None:
    rough = Conditions(loss=0.2, duplicate=0.3, reorder=0.3, delay=(0.05, 0.3))
    scripts_ = [Script(answer_after=1.0), Script(answer_after=1.1), Script(answer_after=1.2)]
    outcome = good(scripts_[0], LATE, others=scripts_[1:], conditions=rough, seed=seed)
    assert outcome.ledger.record["result"] == "success"
    causes = [cdr["cause"] for cdr in outcome.ledger.cdrs.values() if cdr["role"] == "extension"]
    assert causes.count("LOSE_RACE") == 2


@pytest.mark.parametrize(
    ("desk", "others", "cause", "status"),
    [
        (scripts.BUSY, [scripts.BUSY], "USER_BUSY", 486),
        (scripts.UNKNOWN, [scripts.BUSY], "USER_BUSY", 486),
        (scripts.BUSY, [scripts.UNKNOWN, scripts.REJECTS], "USER_BUSY", 486),
        (scripts.UNKNOWN, [scripts.REJECTS], "CALL_REJECTED", 603),
        (scripts.BUSY, [scripts.NEVER_ANSWERS], "NO_ANSWER", None),
        (scripts.DEAF, [scripts.REJECTS], "NO_ANSWER", None),
    ],
)
def test_when_nobody_answers_the_cause_is_what_comes_closest_to_somebody_being_there(
    desk: Script, others: list[Script], cause: str, status: int | None
) -> None:
    outcome = good(desk, LATE, others=others)
    assert (outcome.ledger.record["cause"], outcome.ledger.record["sip_status"]) == (cause, status)
    assert len(outcome.ledger.cdrs) == 1 + len(others)
    assert outcome.customer.calls == []
    assert outcome.media.ports_in_use == 0


def test_one_that_says_no_does_not_keep_the_others_from_answering() -> None:
    outcome = good(scripts.REJECTS, LATE, others=[scripts.BUSY, Script(answer_after=5.0)])
    assert outcome.ledger.record["result"] == "success"
    assert cdr_of(outcome, outcome.desk)["cause"] == "CALL_REJECTED"
    assert cdr_of(outcome, outcome.others[0])["cause"] == "USER_BUSY"


def test_an_extension_that_no_port_is_left_for_does_not_ring_and_the_others_do() -> None:
    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        outcome.media.capacity = 2

    outcome = good(LATE, LATE, others=[SOON, SOON], meddle=meddle)
    assert outcome.ledger.record["result"] == "success"
    assert outcome.others[1].methods == []


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.5, 1.0, 1.0005, 1.5, 3.0])
def test_a_hang_up_from_outside_leaves_no_phone_ringing(moment: float) -> None:
    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        loop.call_later(moment, flow.hang_up, "SYSTEM_SHUTDOWN")

    outcome = good(LATE, LATE, others=[SOON, LATE], meddle=meddle)
    assert outcome.ledger.record["cause"] == "SYSTEM_SHUTDOWN"


# -- the contact first ---------------------------------------------------------------------------


def test_the_contact_first_means_that_the_extensions_ring_once_it_has_answered() -> None:
    outcome = good(LATE, SOON, others=[SOON], dial_first="contact", max_duration=8.0)
    acked = next(time for time, r in outcome.customer.requests if r.method == "ACK")
    for phone in (outcome.desk, *outcome.others):
        assert phone.requests[0][0] >= acked - 0.002
    assert outcome.ledger.states == [
        "contact_ringing", "contact_answered", "extension_ringing", "connected", "ended",
    ]  # fmt: skip
    contact = outcome.media.legs[0]
    # Of several phones no early media: the tone goes on until one of them has answered.
    assert [tone for tone, _ in contact.played] == [RINGBACK["us"], None]
    assert len(contact.bridged) == 1
    assert b"RTP/AVP 0 8 101" in outcome.desk.call.invite.body


def test_a_contact_that_hangs_up_while_the_extensions_ring_ends_the_call() -> None:
    leaves = Script(hang_up_after=2.0)
    outcome = good(scripts.NEVER_ANSWERS, leaves, others=[LATE], dial_first="contact")
    assert outcome.ledger.record["cause"] == "ORIGINATOR_CANCEL"
    for phone in (outcome.desk, *outcome.others):
        assert phone.call.ended_by == "cancelled"
        assert reason(phone, "CANCEL") is None


def test_a_contact_that_does_not_answer_rings_no_extension() -> None:
    outcome = good(LATE, scripts.NEVER_ANSWERS, others=[LATE], dial_first="contact")
    assert outcome.ledger.record["cause"] == "NO_ANSWER"
    assert outcome.desk.methods == outcome.others[0].methods == []


def test_a_contact_whom_no_extension_answers_hears_it() -> None:
    outcome = good(scripts.BUSY, LATE, others=[scripts.BUSY], dial_first="contact")
    assert outcome.ledger.record["cause"] == "USER_BUSY"
    assert len(outcome.media.legs[0].played) == 2


def test_an_extension_that_was_called_second_may_transfer_the_contact() -> None:
    refers = Script(refer_after=3.0, refer_to="sip:200@example.net")
    outcome = good(refers, LATE, dial_first="contact", max_duration=20.0)
    assert outcome.desk.call.ended_by == "them"
    assert outcome.ledger.leg("transfer")["answered"] is not None
    assert outcome.customer.call.ended_by == "them"
