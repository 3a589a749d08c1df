"""Several phones that ring at once, on the wire and in the record: whoever is first has the call, nobody is left ringing."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import pytest

from c2c_sip.calling.engine import hang_up_what_was_left
from c2c_sip.calling.flow import Flow
from sipstack.dialog import Dialog
from sipstack.media.tones import RINGBACK
from sipstack.message import NameAddr, Request, Uri
from sipstack.pending import Pending
from sipstack.resolver import Target
from sipstack.useragent import UserAgent
from tests.simulation import scripts
from tests.simulation.clock import VirtualLoop
from tests.simulation.hand import THEM, Call, play
from tests.simulation.network import Conditions
from tests.simulation.phone import ScriptedPhone
from tests.simulation.scripts import Script
from tests.simulation.test_flow import US, Meddle, Outcome, activate, good

SOON = Script(answer_after=1.0, hang_up_after=5.0)
LATE = Script(answer_after=4.0)
ELSEWHERE_HOST = "192.0.2.66"
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


# -- a crash -------------------------------------------------------------------------------------


def killed(moment: float, behind: float = 0.0) -> Meddle:
    """Kill the service at that moment, and start it again at once: what was written down, so many seconds before, is all
    that it knows."""

    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        on_disk: list[dict[str, Any]] = []

        def write() -> None:
            on_disk.extend(json.loads(json.dumps(list(outcome.ledger.cdrs.values()))))

        def crash() -> None:
            if not behind:
                write()
            outcome.network.crash(US)
            flow._desk._agent.close()  # type: ignore[attr-defined]
            agent = UserAgent([outcome.network.transport(US)], loop=loop, rng=random.Random(1))
            left_up = [cdr["dialog"] for cdr in on_disk if cdr.get("dialog") and not cdr["ended"]]
            hang_up_what_was_left(agent, {}, left_up, lambda host: True)
            loop.call_later(390.0, still_at_work, agent)

        def still_at_work(agent: UserAgent) -> None:
            if agent.transactions:
                outcome.wrong.append(f"after the crash: {agent.transactions} transactions are left")
            agent.close()

        if behind:
            loop.call_later(moment - behind, write)
        loop.call_later(moment, crash)

    return meddle


@pytest.mark.parametrize(
    "moment", [0.001, 0.0015, 0.003, 0.5, 0.9995, 1.0005, 1.01, 1.2, 1.5, 2.2, 3.0, 5.0]
)
@pytest.mark.parametrize("dial_first", ["extension", "contact"])
def test_after_a_crash_no_leg_is_left_up_or_ringing(moment: float, dial_first: str) -> None:
    outcome = activate(
        Script(answer_after=1.0),
        Script(answer_after=1.0),
        others=[Script(answer_after=1.005), LATE, scripts.NEVER_ANSWERS],
        dial_first=dial_first,
        meddle=killed(moment),
        max_duration=10.0,
    )
    assert not [w for w in outcome.wrong if w.startswith("after the crash")]
    for phone in (outcome.desk, outcome.customer, *outcome.others):
        for call in phone.calls:
            assert call.state == "over", outcome.network.ladder()
            assert call.ended_by in ("them", "cancelled")
            assert call.acks == call.byes or call.ended_by == "cancelled"


@pytest.mark.parametrize("conditions", [Conditions(), Conditions(loss=0.2, duplicate=0.3)])
def test_who_had_answered_a_moment_before_a_crash_is_hung_up_too(conditions: Conditions) -> None:
    """Its answer is not on disk yet, and it has its ACK: it does not answer again, and no CANCEL ends it."""
    script = Script(ring_after=0.1, answer_after=1.0)
    outcome = activate(script, LATE, conditions=conditions, meddle=killed(1.02, behind=0.03))
    assert "CANCEL" in outcome.desk.methods
    assert outcome.desk.call.state == "over", outcome.network.ladder()
    assert outcome.desk.call.ended_by == "them"


def test_a_crash_while_an_extension_rings_is_followed_by_the_cancel_of_its_very_invite() -> None:
    outcome = activate(scripts.NEVER_ANSWERS, LATE, meddle=killed(2.0))
    (invite,) = [r for _, r in outcome.desk.requests if r.method == "INVITE"]
    (cancel,) = [r for _, r in outcome.desk.requests if r.method == "CANCEL"]
    assert cancel.request_uri == invite.request_uri
    assert cancel.via.branch == invite.via.branch
    for name in ("Via", "Route", "From", "To", "Call-ID"):
        assert cancel.get_all(name) == invite.get_all(name)
    assert cancel.cseq.number == invite.cseq.number
    assert outcome.desk.call.ended_by == "cancelled"
    # The 487 is acknowledged by who has taken the transaction over.
    assert outcome.desk.methods[-1] == "ACK"


@pytest.mark.parametrize(
    ("ring_after", "answer_after", "moment", "methods"),
    [
        # The answer crosses the CANCEL; the next start hears of the leg by its 100, or only by its answer.
        (0.1, 1.999, 2.0, ["INVITE", "CANCEL", "ACK", "BYE"]),
        (None, 30.0, 0.1, ["INVITE", "CANCEL", "ACK"]),
        (None, 0.15, 0.1, ["INVITE", "ACK", "BYE"]),
    ],
)
def test_what_comes_of_an_invite_after_a_crash_is_ended_too(
    ring_after: float | None, answer_after: float, moment: float, methods: list[str]
) -> None:
    script = Script(ring_after=ring_after, answer_after=answer_after)
    outcome = activate(script, LATE, meddle=killed(moment))
    call = outcome.desk.call
    assert outcome.desk.methods == methods, outcome.network.ladder()
    assert call.state == "over"
    if "BYE" in methods:
        assert call.ended_by == "them" and call.acks == call.byes
    else:
        assert call.ended_by == "cancelled"


@pytest.mark.parametrize("seed", range(8))
def test_a_crash_on_a_network_that_loses_and_doubles_leaves_no_leg_up(seed: int) -> None:
    rough = Conditions(loss=0.2, duplicate=0.3, reorder=0.3, delay=(0.05, 0.3))
    script = Script(ring_after=0.1, answer_after=2.2)
    outcome = activate(script, LATE, conditions=rough, seed=seed, meddle=killed(2.0))
    assert not [w for w in outcome.wrong if w.startswith("after the crash")]
    assert outcome.desk.call.state == "over", outcome.network.ladder()
    assert outcome.desk.call.ended_by in ("them", "cancelled"), outcome.network.ladder()


def test_a_row_that_cannot_be_read_keeps_no_other_leg_from_being_taken_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = {
        "headers": [],
        "address": ["192.0.2.9"],
        "uri": "nowhere",
        "transport": "SCTP",
        "server_name": 5,
    }

    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        def spoil() -> None:
            cdrs = outcome.ledger.cdrs
            whole = next(iter(cdrs.values()))
            for name, value in wrong.items():
                pending = whole["dialog"]["pending"] | {name: value}
                spoilt = whole | {"dialog": {"pending": pending}, "call_id": name}
                cdrs = {name: spoilt} | cdrs
            outcome.ledger.cdrs = cdrs

        loop.call_later(1.999, spoil)
        killed(2.0)(loop, flow, outcome)

    outcome = activate(scripts.NEVER_ANSWERS, LATE, meddle=meddle)
    assert caplog.text.count("cannot be hung up") == len(wrong)
    assert outcome.desk.call.ended_by == "cancelled"


@pytest.mark.parametrize(
    ("led_to", "more", "reached"),
    [
        (ELSEWHERE_HOST, {}, False),
        (THEM, {}, True),
        # A phone of the account's own, wherever that is: its address is what was dialled, and what may be sent to.
        (ELSEWHERE_HOST, {"home": f"sip:desk@{ELSEWHERE_HOST}"}, True),
        (THEM, {"home": f"sip:desk@{ELSEWHERE_HOST}"}, True),
        ("192.0.2.77", {"home": f"sip:desk@{ELSEWHERE_HOST}"}, False),
        # By a trunk, also one that is not there any more, calls go where it says.
        (ELSEWHERE_HOST, {"trunk": "gone"}, True),
    ],
)
@pytest.mark.parametrize("answered", [True, False])
def test_what_a_crash_left_up_is_hung_up_only_where_it_may_be_sent_to(
    led_to: str, more: dict[str, str], reached: bool, answered: bool
) -> None:
    """The Contact of whoever was called says where ACK and BYE go; here it says so to the service's next life."""

    async def work(call: Call) -> list[str]:
        there = call.hand(led_to)
        them = there if led_to == THEM else call.hand()
        dumped: dict[str, Any] = {"trunk": None} | more
        if answered:
            dialog = Dialog(
                "c",
                NameAddr.parse(f"<sip:us@{US}>;tag=us"),
                NameAddr.parse(f"<sip:them@{THEM}>;tag=them"),
                1,
                None,
                Uri.parse(f"sip:them@{led_to}"),
                (),
            )
            dumped |= dialog.dump()
        else:
            invite = Request("INVITE", Uri.parse(f"sip:them@{THEM}"))
            invite.add("Via", f"SIP/2.0/UDP {US}:5060;branch=z9hG4bKlast")
            invite.add("From", f"<sip:us@{US}>;tag=us")
            invite.add("To", f"<sip:them@{THEM}>")
            invite.add("Call-ID", "c")
            invite.add("CSeq", "1 INVITE")
            dumped["pending"] = Pending(invite, Target("UDP", (THEM, 5060)), False).dump()
        hang_up_what_was_left(call.agent, {}, [dumped], lambda host: host == THEM)
        if not answered:
            them.host = led_to
            them.answer(invite, 200)
        seen: list[str] = []
        for method in ("BYE",) if answered else ("ACK", "BYE"):
            with contextlib.suppress(TimeoutError):
                request = await there.request(method, within=2.0)
                seen.append(method)
                if method == "BYE":
                    there.answer(request, 200)
        return seen

    wanted = (["BYE"] if answered else ["ACK", "BYE"]) if reached else []
    assert play(work) == wanted
