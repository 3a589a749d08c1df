"""The whole course of a click-to-call in virtual time: each ending, and what is left after it: one record, nothing else.

``python -m tests.simulation.test_flow SEED`` replays one seed and prints what was on the wire.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest

from c2c_sip.calling.engine import SipDesk
from c2c_sip.calling.flow import TOGETHER, WATCH, Flow, _next_look
from c2c_sip.calling.plan import LegPlan, Plan
from c2c_sip.calling.recorder import Recorder
from sipstack.call import Outbound, OutgoingCall
from sipstack.media.tones import BUSY, CONGESTION, RINGBACK
from sipstack.message import NameAddr, Uri
from sipstack.sdp import codec_list
from sipstack.session import Session
from sipstack.useragent import UserAgent
from tests.simulation import scripts
from tests.simulation.clock import VirtualLoop, run
from tests.simulation.ledger import Ledger
from tests.simulation.media import SimulatedMediaPlane
from tests.simulation.network import Conditions, VirtualNetwork
from tests.simulation.phone import ScriptedPhone
from tests.simulation.scripts import Script

US, DESK, CUSTOMER, MOVED = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"
SETTLED = 300.0
"""Seconds after which nothing of a call may be left."""


@dataclass(slots=True)
class Outcome:
    """What came of an activation; :attr:`wrong` breaks an invariant."""

    ledger: Ledger
    desk: ScriptedPhone
    customer: ScriptedPhone
    moved: ScriptedPhone
    media: SimulatedMediaPlane
    network: VirtualNetwork
    took: float = 0.0
    #: The phones of the further extensions.
    others: list[ScriptedPhone] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)


Meddle = Callable[[VirtualLoop, Flow, Outcome], None]


def activate(
    desk: Script,
    customer: Script,
    *,
    seed: int = 0,
    conditions: Conditions = Conditions(),
    meddle: Meddle | None = None,
    max_duration: float = 60.0,
    media_timeout: float = 1000.0,
    third: Script = scripts.ANSWERS,
    accepted: Callable[[str], bool] = lambda host: True,
    others: Sequence[Script] = (),
    dial_first: Literal["extension", "contact"] = "extension",
    **more: Any,
) -> Outcome:
    """One activation, and all that follows until every timer has run; ``more`` is of its plan."""

    async def work() -> Outcome:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        network = VirtualNetwork(seed, conditions)
        phones = [
            ScriptedPhone(network, DESK, desk),
            ScriptedPhone(network, CUSTOMER, customer),
            ScriptedPhone(network, MOVED, third),
        ]
        rng = random.Random(seed)
        agent = UserAgent([network.transport(US)], loop=loop, rng=rng)
        media = SimulatedMediaPlane()
        ledger = Ledger()
        outcome = Outcome(ledger, *phones, media, network)
        outcome.others = [
            ScriptedPhone(network, f"192.0.2.{11 + index}", script)
            for index, script in enumerate(others)
        ]
        sip_desk = SipDesk(agent, media, loop=loop, rng=rng)  # type: ignore[arg-type]
        ids = iter(range(100))
        recorder = Recorder(
            ledger,
            activation_id="activation",
            account_id="account",
            created=loop.time(),
            new_id=lambda: f"cdr-{next(ids)}",
            wall=loop.time,
            changed=lambda state: None,
        )
        extension = _leg("extension", phones[0], 20.0)._replace(
            transfer=lambda uri: _leg("transfer", phones[2], 20.0)
        )
        plan = Plan(
            activation_id="activation",
            account_id="account",
            clicktocall_id="definition",
            extensions=(
                extension,
                *(
                    _leg("extension", phone, 20.0)._replace(call_id=f"call-other-{index}")
                    for index, phone in enumerate(outcome.others)
                ),
            ),
            dial_first=dial_first,
            contact=_leg("contact", phones[1], 20.0)._replace(accepted=accepted),
            codecs=codec_list(["PCMU", "PCMA"]),
            ringback=RINGBACK["us"],
            busy=BUSY["us"],
            congestion=CONGESTION["us"],
            busy_seconds=3.0,
            max_duration=max_duration,
            media_timeout=media_timeout,
        )
        flow = Flow(plan._replace(**more), sip_desk, recorder)
        if meddle is not None:
            meddle(loop, flow, outcome)
        began = loop.time()
        await flow.run()
        outcome.took = loop.time() - began
        if media.ports_in_use:
            outcome.wrong.append(f"{media.ports_in_use} ports in use at the record's end")
        await asyncio.sleep(SETTLED)
        _check(outcome, agent, loop)
        return outcome

    return run(work(), seed)


def _leg(role: str, phone: ScriptedPhone, timeout: float) -> LegPlan:
    return LegPlan(
        role=role,
        outbound=Outbound(Uri.parse(phone.uri)),
        from_=NameAddr("", Uri.parse("sip:c2c@example.net"), ()),
        headers=(),
        contact_user="c2c",
        call_id=f"call-{role}",
        timeout=timeout,
        redirect=lambda uri: Outbound(uri),
        accepts_referral=lambda uri: role == "extension" and uri.user != "secret",
    )


def _check(outcome: Outcome, agent: UserAgent, loop: VirtualLoop) -> None:
    outcome.wrong += outcome.ledger.faults()
    if agent.transactions or agent.calls:
        outcome.wrong.append(f"left over: {agent.transactions} transactions, {agent.calls} calls")
    if loop.timers() or len(asyncio.all_tasks(loop)) > 1:
        outcome.wrong.append(f"timers or tasks left: {loop.picture()}")
    for phone in (outcome.desk, outcome.customer, outcome.moved, *outcome.others):
        outcome.theirs.extend(phone.complaints)
        outcome.theirs.extend(
            f"a call at {phone.address} is still {call.state}"
            for call in phone.calls
            if call.state != "over" and not phone.crashed
        )


def good(*arguments: Any, **more: Any) -> Outcome:
    outcome = activate(*arguments, **more)
    problems = outcome.wrong + outcome.theirs
    assert not problems, "\n".join([*problems, outcome.network.ladder()])
    return outcome


TALKS = Script(answer_after=1.0)


@pytest.mark.parametrize(
    ("desk", "customer", "cause", "status", "legs"),
    [
        (scripts.BUSY, TALKS, "USER_BUSY", 486, 1),
        (scripts.REJECTS, TALKS, "CALL_REJECTED", 603, 1),
        (scripts.NEVER_ANSWERS, TALKS, "NO_ANSWER", None, 1),
        (scripts.DEAF, TALKS, "NO_ANSWER", None, 1),
        (scripts.UNKNOWN, TALKS, "UNALLOCATED_NUMBER", 404, 1),
        (Script(hang_up_after=3.0), scripts.NEVER_ANSWERS, "ORIGINATOR_CANCEL", None, 2),
        (TALKS, scripts.BUSY, "USER_BUSY", 486, 2),
        (TALKS, scripts.REJECTS, "CALL_REJECTED", 603, 2),
        (TALKS, scripts.NEVER_ANSWERS, "NO_ANSWER", None, 2),
        (TALKS, scripts.DEAF, "NO_ANSWER", None, 2),
        (TALKS, scripts.UNKNOWN, "UNALLOCATED_NUMBER", 404, 2),
        (Script(hang_up_after=9.0), TALKS, "NORMAL_CLEARING", 200, 2),
        (TALKS, Script(hang_up_after=5.0), "NORMAL_CLEARING", 200, 2),
    ],
)
def test_each_ending_has_its_cause_and_leaves_nothing(
    desk: Script, customer: Script, cause: str, status: int | None, legs: int
) -> None:
    outcome = good(desk, customer)
    record = outcome.ledger.record
    assert (record["cause"], record["sip_status"]) == (cause, status)
    assert len(outcome.ledger.cdrs) == legs
    assert outcome.media.ports_in_use == 0


@pytest.mark.parametrize(
    ("desk", "customer", "role", "by"),
    [
        (scripts.NEVER_ANSWERS, TALKS, "extension", "local"),
        (TALKS, scripts.NEVER_ANSWERS, "contact", "local"),
        (TALKS, scripts.BUSY, "contact", "peer"),
        (TALKS, Script(hang_up_after=5.0), "contact", "peer"),
    ],
)
def test_a_phone_that_rang_in_vain_did_not_hang_up(
    desk: Script, customer: Script, role: str, by: str
) -> None:
    assert good(desk, customer).ledger.leg(role)["hangup_by"] == by


def test_the_contact_is_invited_only_after_the_extension_s_ack() -> None:
    outcome = good(TALKS, Script(hang_up_after=2.0))
    acked = next(time for time, request in outcome.desk.requests if request.method == "ACK")
    invited = next(
        time for time, request in outcome.customer.requests if request.method == "INVITE"
    )
    assert invited >= acked - 0.002


def test_the_extension_hears_ringback_until_media_comes_and_busy_when_the_contact_is() -> None:
    outcome = good(TALKS, scripts.BUSY)
    played = outcome.media.legs[0].played
    assert played[0] == (RINGBACK["us"], True)
    assert played[-1] == (BUSY["us"], False)


def test_the_seconds_of_busy_tone_are_no_seconds_of_ringing() -> None:
    record = good(TALKS, scripts.REJECTS).ledger.record
    # One until the extension answered, two until the contact declined, three of the tone.
    assert (record["duration_seconds"], record["ringing_seconds"]) == (6, 2)


def test_early_media_is_passed_on_before_the_answer() -> None:
    outcome = good(TALKS, Script(early_media=True, answer_after=4.0, hang_up_after=1.0))
    contact = outcome.media.legs[1]
    assert len(contact.remotes) == 2
    assert outcome.ledger.record["result"] == "success"


def test_the_contact_is_offered_first_what_the_extension_took() -> None:
    outcome = good(TALKS, Script(hang_up_after=1.0))
    offered = outcome.customer.calls[0].invite.body
    assert b"m=audio 20002 RTP/AVP 0 8 101" in offered


def test_a_302_is_followed_once() -> None:
    outcome = good(TALKS, scripts.redirects(f"sip:x@{MOVED}"), max_duration=5.0)
    assert outcome.ledger.record["result"] == "success"
    assert outcome.moved.methods[0] == "INVITE"


def sent_to(outcome: Outcome, host: str) -> list[str]:
    return [str(p) for p in outcome.network.journal if p.destination[0] == host]


def test_where_the_contact_is_at_an_address_that_is_not_accepted_nobody_is_rung() -> None:
    outcome = good(TALKS, TALKS, accepted=lambda host: host != CUSTOMER)
    assert outcome.ledger.record["result"] == "error"
    assert outcome.network.journal == []


def test_a_302_to_an_address_that_is_not_accepted_leads_nowhere() -> None:
    script = scripts.redirects(f"sip:x@{MOVED}")
    outcome = good(TALKS, script, accepted=lambda host: host == CUSTOMER)
    assert outcome.ledger.record["result"] == "error"
    assert sent_to(outcome, MOVED) == []


@pytest.mark.parametrize(
    "script",
    [
        Script(hang_up_after=5.0, answers_as=f"sip:x@{MOVED}:22"),
        Script(hang_up_after=5.0, route=f"<sip:{MOVED};lr>"),
        Script(answer_after=5.0, early_media=True, reliable=True, answers_as=f"sip:x@{MOVED}"),
    ],
)
def test_no_request_in_the_dialog_goes_to_an_address_that_is_not_accepted(script: Script) -> None:
    outcome = activate(TALKS, script, accepted=lambda host: host == CUSTOMER, max_duration=5.0)
    assert outcome.wrong == []
    assert sent_to(outcome, MOVED) == []
    assert outcome.ledger.record["state"] == "ended"
    # It is where the INVITE found it, as a phone behind NAT is that names its inner address.
    assert outcome.customer.methods.count("ACK") == 1
    assert outcome.customer.call.ended_by


def test_audio_goes_to_an_address_that_is_not_accepted_only_after_it_came_from_there() -> None:
    inside = Script(hears_at="10.0.0.5")
    outcome = good(inside, inside, accepted=lambda host: host == CUSTOMER, max_duration=5.0)
    extension, contact = outcome.media.legs
    assert [remote.withheld for remote in extension.remotes] == [False]
    assert {remote.withheld for remote in contact.remotes} == {True}


def test_a_peer_that_vanishes_is_asked_and_then_given_up() -> None:
    outcome = good(TALKS, Script(crash_after=5.0), media_timeout=10.0, max_duration=600.0)
    record = outcome.ledger.record
    assert (record["result"], record["cause"]) == ("success", "RECOVERY_ON_TIMER_EXPIRE")
    # Which of the two went silent is in their records.
    silent, other = (outcome.ledger.leg(role) for role in ("contact", "extension"))
    assert (silent["hangup_by"], silent["cause"]) == ("peer", "RECOVERY_ON_TIMER_EXPIRE")
    assert (other["hangup_by"], other["cause"]) == ("local", "NORMAL_CLEARING")
    assert outcome.desk.call.ended_by == "them"


def test_a_silent_peer_that_answers_options_keeps_its_call() -> None:
    outcome = good(TALKS, TALKS, media_timeout=10.0, max_duration=100.0)
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"
    assert 3 <= outcome.customer.methods.count("OPTIONS") <= 9


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.5, 1.0005, 1.5, 2.0, 2.05, 2.2, 5.0])
def test_a_hang_up_from_outside_ends_the_call_at_any_moment(moment: float) -> None:
    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        loop.call_later(moment, flow.hang_up, "SYSTEM_SHUTDOWN")

    outcome = good(TALKS, TALKS, meddle=meddle)
    assert outcome.ledger.record["cause"] == "SYSTEM_SHUTDOWN"
    assert outcome.took < moment + 1.0


def test_a_call_whose_relay_dies_ends_with_a_record_and_a_bye_on_both_legs() -> None:
    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        loop.call_later(8.0, lambda: [leg.on_lost() for leg in outcome.media.legs])

    outcome = good(TALKS, TALKS, meddle=meddle)
    assert outcome.ledger.record["cause"] == "NORMAL_TEMPORARY_FAILURE"
    assert 8.0 <= outcome.took < 9.0
    assert outcome.desk.methods[-1] == outcome.customer.methods[-1] == "BYE"


@pytest.mark.parametrize("longest", [1.0, 5.0, 30.0])
def test_a_call_that_nobody_ends_is_ended_at_its_longest(longest: float) -> None:
    outcome = good(TALKS, TALKS, max_duration=longest)
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"
    assert outcome.ledger.record["billing_seconds"] == longest


def test_a_peer_that_always_has_something_to_say_does_not_make_the_call_longer() -> None:
    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        def say() -> None:
            call = outcome.customer.calls[0]
            if call.state == "up":
                headers = (("Content-Type", "application/dtmf-relay"),)
                outcome.customer.request_in(call, "INFO", b"Signal=1\r\n", headers)
                loop.call_later(1.0, say)

        loop.call_later(5.0, say)

    outcome = activate(
        TALKS, Script(answer_after=1.0, hang_up_after=60.0), meddle=meddle, max_duration=9.0
    )
    assert outcome.customer.calls[0].cseq > 5
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"


def test_without_ports_the_call_fails_with_a_record_and_no_leg() -> None:
    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        outcome.media.capacity = 0

    outcome = good(TALKS, TALKS, meddle=meddle)
    assert outcome.ledger.record["cause"] == "SWITCH_CONGESTION"
    assert outcome.ledger.cdrs == {}
    assert outcome.desk.methods == []


# -- hold and transfer ---------------------------------------------------------------------------


def test_hold_and_resume_on_one_leg_reach_the_other() -> None:
    holds = Script(reinvite_after=5.0, resume_after=8.0)
    outcome = good(holds, TALKS, max_duration=15.0)
    assert outcome.customer.call.directions == ["sendrecv", "sendonly", "sendrecv"]
    other_way = good(TALKS, holds, max_duration=15.0)
    assert other_way.desk.call.directions == ["sendrecv", "sendonly", "sendrecv"]


def test_who_was_on_hold_when_the_other_answered_holds_it() -> None:
    holds = Script(reinvite_after=0.5, resume_after=8.0)
    outcome = good(holds, Script(answer_after=3.0), max_duration=15.0)
    assert outcome.customer.call.directions == ["sendrecv", "sendonly", "sendrecv"]


REFERS = Script(refer_after=5.0, refer_to="sip:200@example.net")


def refer_status(outcome: Outcome) -> list[bytes]:
    return [r.body.strip() for _, r in outcome.desk.requests if r.method == "NOTIFY"]


def test_a_transfer_gives_the_contact_to_the_new_target() -> None:
    outcome = good(REFERS, TALKS, max_duration=20.0)
    assert refer_status(outcome) == [
        b"SIP/2.0 100 Trying",
        b"SIP/2.0 180 Ringing",
        b"SIP/2.0 200 OK",
    ]
    assert outcome.desk.call.ended_by == "them"
    ended = {role: outcome.ledger.leg(role)["ended"] for role in ("extension", "transfer")}
    assert ended["extension"] < ended["transfer"]
    contact, transfer = outcome.media.legs[1:]
    assert contact.bridged[-1] == transfer.rtp_port
    assert contact.played[-1] == (None, False)
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"
    assert outcome.ledger.record["billing_seconds"] > 15


def test_a_transfer_that_fails_gives_the_call_back_to_the_extension() -> None:
    outcome = good(REFERS, TALKS, max_duration=20.0, third=scripts.BUSY)
    assert refer_status(outcome) == [b"SIP/2.0 100 Trying", b"SIP/2.0 486 Busy Here"]
    assert outcome.ledger.leg("transfer")["cause"] == "USER_BUSY"
    extension, contact = outcome.media.legs[:2]
    assert contact.bridged[-1] == extension.rtp_port
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"


def test_who_was_taken_off_hold_during_a_transfer_in_vain_is_told() -> None:
    desk = replace(REFERS, reinvite_after=4.0, resume_after=7.0)
    busy = Script(status=486, refuse_after=5.0)
    outcome = good(desk, TALKS, max_duration=20.0, third=busy)
    assert outcome.customer.call.directions == ["sendrecv", "sendonly", "sendrecv"]


def test_a_contact_that_held_during_a_transfer_holds_the_new_target() -> None:
    customer = Script(answer_after=1.0, reinvite_after=5.5, resume_after=12.0)
    outcome = good(REFERS, customer, max_duration=20.0, third=Script(answer_after=4.0))
    assert outcome.moved.call.directions == ["sendrecv", "sendonly", "sendrecv"]


def test_the_extension_may_hang_up_before_the_target_answers() -> None:
    hangs_up = replace(REFERS, hang_up_after=5.5)
    outcome = good(hangs_up, TALKS, max_duration=20.0)
    assert outcome.desk.call.ended_by == "us"
    assert outcome.ledger.leg("extension")["hangup_by"] == "peer"
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"
    assert outcome.moved.call.ended_by == "them"


def test_a_transfer_that_nobody_is_left_for_ends_the_call() -> None:
    hangs_up = replace(REFERS, hang_up_after=5.5)
    outcome = good(hangs_up, TALKS, max_duration=60.0, third=scripts.NEVER_ANSWERS)
    assert outcome.ledger.record["cause"] == "NO_ANSWER"
    assert outcome.customer.call.ended_by == "them"


def test_the_contact_may_hang_up_during_a_transfer() -> None:
    outcome = good(REFERS, Script(hang_up_after=4.5), max_duration=60.0)
    assert outcome.ledger.record["cause"] == "NORMAL_CLEARING"
    assert outcome.moved.call.ended_by in ("cancelled", "them")


@pytest.mark.parametrize("desk", [replace(REFERS, refer_to="sip:secret@example.net"), TALKS])
def test_a_referral_by_whom_it_does_not_behove_changes_nothing(desk: Script) -> None:
    outcome = good(desk, REFERS if desk is TALKS else TALKS, max_duration=20.0)
    assert outcome.moved.calls == []
    assert "transfer" not in {cdr["role"] for cdr in outcome.ledger.cdrs.values()}


@pytest.mark.parametrize(
    "customer", [Script(hang_up_after=2.0), scripts.BUSY, scripts.NEVER_ANSWERS]
)
def test_what_is_over_is_gone_without_the_cycle_collector(customer: Script) -> None:
    """Its pauses would be heard."""
    gc.collect()
    gc.disable()
    try:
        activate(TALKS, customer)
        left = [
            type(o).__name__ for o in gc.get_objects() if isinstance(o, (OutgoingCall, Session))
        ]
    finally:
        gc.enable()
    assert left == []


SCRIPTS = [
    TALKS,
    *scripts.COURSES,
    scripts.GARBAGE,
    Script(reinvite_after=1.0),
    Script(reinvite_after=2.0, resume_after=5.0),
    Script(reliable=True),
    Script(session_expires=90, refresher="uac"),
    Script(session_expires=90, refresher="uas"),
    Script(refer_after=1.5, refer_to="sip:200@example.net"),
    Script(refer_after=1.5, refer_to="sip:200@example.net", hang_up_after=2.5),
]


def replay(seed: int) -> Outcome:
    chance = random.Random(seed)
    rough = Conditions(
        loss=chance.choice([0.0, 0.0, 0.1, 0.3]),
        duplicate=chance.choice([0.0, 0.3]),
        reorder=chance.choice([0.0, 0.3]),
        delay=chance.choice([(0.001, 0.001), (0.01, 0.2)]),
    )
    moment = chance.choice([None, chance.uniform(0, 10)])

    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        if moment is not None:
            loop.call_later(moment, flow.hang_up, "NORMAL_CLEARING")

    desk = TALKS if chance.random() < 0.3 else chance.choice(SCRIPTS)
    return activate(
        desk,
        chance.choice(SCRIPTS),
        seed=seed,
        conditions=rough,
        meddle=meddle,
        media_timeout=chance.choice([10.0, 1000.0]),
        third=TALKS if chance.random() < 0.5 else chance.choice(SCRIPTS),
    )


@pytest.mark.parametrize("block", range(10))
def test_whatever_happens_there_is_one_record_and_nothing_is_left(block: int) -> None:
    for seed in range(block * 30, block * 30 + 30):
        outcome = replay(seed)
        assert not outcome.wrong, (
            f"replay with: python -m tests.simulation.test_flow {seed}\n" + "\n".join(outcome.wrong)
        )


if __name__ == "__main__":
    for text in sys.argv[1:]:
        replayed = replay(int(text))
        print(replayed.network.ladder())
        print(replayed.ledger.record, *replayed.wrong, *replayed.theirs, sep="\n")


def test_looks_at_calls_that_began_apart_share_their_moments() -> None:
    began = [1000.0 + number / 1000 for number in range(1000)]
    looks = [_next_look(moment) for moment in began]
    assert len(set(looks)) <= 1.0 / TOGETHER + 1
    assert all(
        WATCH <= look - moment < WATCH + TOGETHER + 1e-6
        for look, moment in zip(looks, began, strict=True)
    )
