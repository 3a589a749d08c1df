"""The user agent's calls to scripted phones, in virtual time, on good networks and bad ones.

``python -m tests.simulation.test_calls SEED`` replays one seed and prints what was on the wire.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from sipstack.account import Account
from sipstack.call import Answered, Ended, Event, Failed, Outbound, OutgoingCall, Ringing
from sipstack.digest import Credentials
from sipstack.message import NameAddr, ParseError, Request, Uri, parse_datagram
from sipstack.resolver import Target
from sipstack.sdp import LocalMedia, RemoteMedia, codec_list
from sipstack.useragent import UserAgent
from tests.simulation import scripts
from tests.simulation.clock import VirtualLoop, run
from tests.simulation.network import Conditions, VirtualNetwork
from tests.simulation.phone import ScriptedPhone
from tests.simulation.scripts import Script

US, THEM, ELSEWHERE = "192.0.2.1", "192.0.2.2", "192.0.2.3"
SETTLED = 200.0
"""Seconds after which nothing of a call may be left: twice 64*T1 for the INVITE, CANCEL and BYE."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One call: whom, under which conditions, and when we hang up (seconds after the INVITE)."""

    script: Script
    hang_up: float | None = 20.0
    conditions: Conditions = Conditions()
    transport: str = "UDP"
    dead_at: float | None = None
    alive_at: float | None = None
    dead_way: tuple[str, str] = (US, THEM)
    through_trunk: bool = False
    session_interval: int = 1800
    servers: tuple[str, ...] = (THEM,)
    meddle: Callable[[VirtualLoop, OutgoingCall, ScriptedPhone], None] | None = None


@dataclass(slots=True)
class Outcome:
    """What came of it. :attr:`wrong` is ours, :attr:`theirs` is what the phones were left with."""

    events: list[Event]
    phone: ScriptedPhone
    elsewhere: ScriptedPhone
    network: VirtualNetwork
    media: list[RemoteMedia] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)

    @property
    def last(self) -> Event:
        return self.events[-1]


def dial(plan: Plan, seed: int = 0) -> Outcome:
    """Make the call and wait until all must be over."""
    return run(_dial(plan, seed), seed)


async def _dial(plan: Plan, seed: int) -> Outcome:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    network = VirtualNetwork(seed, plan.conditions)
    phone = ScriptedPhone(network, THEM, plan.script, name=plan.transport)
    elsewhere = ScriptedPhone(network, ELSEWHERE, name=plan.transport)
    agent = UserAgent(
        [network.transport(US, name=plan.transport)], loop=loop, rng=random.Random(seed)
    )
    outcome = Outcome([], phone, elsewhere, network)
    transport = "" if plan.transport == "UDP" else f";transport={plan.transport.lower()}"
    account = None
    if plan.through_trunk:
        account = Account(
            name="provider",
            domain=Uri.parse(f"sip:{ELSEWHERE}"),
            username="acct",
            credentials=Credentials("acct", "secret"),
            make_cnonce=agent.token,
        )
        account.learn(ELSEWHERE)
    uri = Uri.parse(f"sip:bob@{THEM}{transport}")
    call = OutgoingCall(
        agent,
        Outbound(uri, account),
        LocalMedia(US, 20000, codec_list(["PCMU", "PCMA"]), 1),
        from_=NameAddr("", Uri.parse("sip:alice@example.net"), ()),
        call_id=f"call-{seed}",
        contact_user="alice",
        on_event=outcome.events.append,
        on_media=outcome.media.append,
        redirect=lambda to: Outbound(to),
        accepts_referral=lambda to: to.user == "carol",
        session_interval=plan.session_interval,
    )
    if plan.meddle is not None:
        plan.meddle(loop, call, phone)
    call.dial([Target(plan.transport, (host, 5060)) for host in plan.servers])
    if plan.hang_up is not None:
        loop.call_later(plan.hang_up, call.hang_up)
    if plan.dead_at is not None:
        loop.call_later(plan.dead_at, network.cut, *plan.dead_way)
    if plan.alive_at is not None:
        loop.call_later(plan.alive_at, network.set, plan.conditions)
    await asyncio.sleep((plan.hang_up or 0) + SETTLED)
    _check(outcome, agent, loop)
    return outcome


def _check(outcome: Outcome, agent: UserAgent, loop: VirtualLoop) -> None:
    """The invariants at the end of every call."""
    wrong = outcome.wrong
    finals = [event for event in outcome.events if isinstance(event, (Failed, Ended))]
    if len(finals) != 1 or outcome.last is not finals[0]:
        wrong.append(f"not one final event at the end: {outcome.events}")
    answers = [event for event in outcome.events if isinstance(event, Answered)]
    if len(answers) > 1 or (answers and isinstance(outcome.last, Failed)):
        wrong.append(f"answered and failed, or answered twice: {outcome.events}")
    if agent.transactions or agent.calls:
        wrong.append(f"left over: {agent.transactions} transactions, {agent.calls} calls")
    for phone in (outcome.phone, outcome.elsewhere):
        outcome.theirs.extend(phone.complaints)
        if phone.transactions:
            outcome.theirs.append(
                f"left over at {phone.address}: {phone.transactions} transactions"
            )
        outcome.theirs.extend(
            f"a call at {phone.address} is still {call.state}"
            for call in phone.calls
            if call.state != "over" and not phone.crashed
        )
    if loop.timers():
        wrong.append(f"timers left: {loop.picture()}")
    if len(asyncio.all_tasks(loop)) > 1:
        wrong.append(f"tasks left: {loop.picture()}")
    seen: dict[tuple[str, int, str], str] = {}
    for passage in outcome.network.journal:
        if passage.source[0] != US:
            continue
        if passage.destination[0] not in (THEM, ELSEWHERE):
            wrong.append(f"sent to a stranger: {passage}")
        try:
            message = parse_datagram(passage.data)
        except ParseError as error:
            wrong.append(f"we sent garbage: {error.reason}: {passage}")
            continue
        if b"uthorization:" in passage.data:
            wrong.append(f"a credential left: {passage}")
        if isinstance(message, Request) and message.method != "ACK":
            # A copy has the branch of its first; the same number on another request is an error.
            key = (message.call_id, message.cseq.number, f"{message.method} {message.to.tag}")
            branch = message.via.branch or ""
            if seen.setdefault(key, branch) != branch:
                wrong.append(f"CSeq used twice: {passage}")


def good(plan: Plan, seed: int = 0) -> Outcome:
    outcome = dial(plan, seed)
    assert_right(outcome)
    assert not outcome.theirs, "\n".join([*outcome.theirs, outcome.network.ladder()])
    return outcome


def assert_right(outcome: Outcome) -> None:
    assert not outcome.wrong, "\n".join([*outcome.wrong, outcome.network.ladder()])


# -- one script after the other on a good network ------------------------------------------------


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param(scripts.BUSY, 486, id="busy"),
        pytest.param(scripts.REJECTS, 603, id="rejects"),
        pytest.param(scripts.UNKNOWN, 404, id="unknown"),
        pytest.param(scripts.DEAF, 408, id="deaf"),
        pytest.param(scripts.NEVER_ANSWERS, 487, id="never answers"),
        pytest.param(scripts.ROGUE, 401, id="rogue"),
        pytest.param(scripts.CRASHES_RINGING, 487, id="crashes ringing"),
        pytest.param(
            replace(scripts.NEVER_ANSWERS, ignore=frozenset({"CANCEL"})), 487, id="ignores CANCEL"
        ),
    ],
)
def test_a_call_that_is_not_answered_fails_with_its_status(
    script: Script, status: int, transport: str
) -> None:
    outcome = dial(Plan(script, transport=transport))
    assert_right(outcome)
    assert bool(outcome.theirs) == bool(script.ignore)
    assert isinstance(outcome.last, Failed)
    if transport == "TCP" and script in (scripts.CRASHES_RINGING,):
        return  # the connection is refused: whichever request meets that first decides
    assert outcome.last.status == status


@pytest.mark.parametrize(
    ("script", "by", "ended"),
    [
        pytest.param(scripts.ANSWERS, "local", "them", id="we hang up"),
        pytest.param(scripts.EARLY_MEDIA, "local", "them", id="early media"),
        pytest.param(scripts.GARBAGE, "local", "them", id="garbage"),
        pytest.param(scripts.HANGS_UP, "peer", "us", id="hangs up"),
        pytest.param(scripts.HANGS_UP_AT_ONCE, "peer", "us", id="at once"),
        pytest.param(scripts.ANSWERS_TWICE, "local", "them", id="twice"),
        pytest.param(scripts.ROGUE_LATER, "local", "", id="rogue at BYE"),
        pytest.param(Script(reinvite_after=2.0), "local", "them", id="hold"),
        pytest.param(Script(statuses=(("BYE", 481),)), "local", "", id="481 to BYE"),
        pytest.param(scripts.CRASHES_TALKING, "local", "", id="crashes"),
    ],
)
def test_an_answered_call_ends_once_on_both_sides(script: Script, by: str, ended: str) -> None:
    outcome = dial(Plan(script))
    assert_right(outcome)
    if ended:
        assert not outcome.theirs
        assert outcome.phone.call.ended_by == ended
    assert outcome.last == Ended(by)
    assert outcome.media


def test_a_second_answer_is_acknowledged_and_ended_by_itself() -> None:
    outcome = good(Plan(scripts.ANSWERS_TWICE))
    call = outcome.phone.call
    assert set(call.acks) == set(call.tags)
    assert sorted(call.byes) == sorted(call.tags)


def test_a_redirection_is_followed_but_not_in_a_circle() -> None:
    outcome = good(Plan(scripts.redirects(f"sip:bob@{ELSEWHERE}")))
    assert outcome.last == Ended("local")
    assert outcome.elsewhere.call.ended_by == "them"
    again = good(Plan(scripts.redirects(f"sip:bob@{THEM}")))
    assert isinstance(again.last, Failed)
    assert again.phone.methods.count("INVITE") == 1


@pytest.mark.parametrize("hang_up", [0.0, 0.05, 0.1005, 0.5, 0.9995, 1.0, 1.0005, 1.001, 1.002])
def test_we_hang_up_at_every_moment_of_the_setting_up(hang_up: float) -> None:
    outcome = good(Plan(scripts.ANSWERS, hang_up))
    assert outcome.phone.call.ended_by in ("them", "cancelled")


def test_a_cancel_crossing_a_200_hangs_up_with_bye() -> None:
    slow = Conditions(delay=(0.1, 0.1))
    outcome = good(Plan(scripts.ANSWERS, 1.15, slow))
    assert isinstance(outcome.last, Failed)
    assert "CANCEL" in outcome.phone.methods
    assert outcome.phone.call.ended_by == "them"


def test_a_trunks_password_does_not_answer_a_contact_in_its_realm() -> None:
    for script in (scripts.ROGUE, scripts.ROGUE_LATER):
        outcome = dial(Plan(script, through_trunk=True))
        assert_right(outcome)


def test_ringing_is_told_before_the_answer() -> None:
    outcome = good(Plan(scripts.ANSWERS))
    assert [type(event) for event in outcome.events] == [Ringing, Answered, Ended]


@pytest.mark.parametrize("way", [(US, THEM), (THEM, US)])
@pytest.mark.parametrize("at", [0.0, 0.3, 1.0015, 5.0])
def test_a_direction_that_dies_leaves_nothing_behind_with_us(
    way: tuple[str, str], at: float
) -> None:
    assert_right(dial(Plan(scripts.ANSWERS, dead_at=at, dead_way=way)))


def test_a_lost_ack_is_sent_again_when_the_200_comes_again() -> None:
    outcome = good(Plan(scripts.ANSWERS, 60.0, dead_at=1.0005, alive_at=1.4))
    assert outcome.phone.call.ended_by == "them"
    assert [passage.fate for passage in outcome.network.journal].count("dead") == 1


# -- anything with anything ----------------------------------------------------------------------

SCRIPTS = [
    scripts.ANSWERS,
    *scripts.COURSES,
    scripts.ROGUE,
    scripts.GARBAGE,
    scripts.redirects(f"sip:bob@{ELSEWHERE}"),
    Script(reinvite_after=1.0),
    Script(ring_after=None, answer_after=0.0, hang_up_after=0.0),
    Script(reliable=True),
    Script(reliable=True, early_media=True, hang_up_after=2.0),
    Script(reliable=True, status=486),
    Script(session_expires=90, refresher="uac"),
    Script(session_expires=90, refresher="uac", allow="INVITE, ACK, BYE, CANCEL"),
    Script(session_expires=90, refresher="uas"),
    Script(min_se=3600, session_expires=3600),
    Script(reinvite_after=1.0, resume_after=3.0),
    Script(refer_after=1.0, refer_to="sip:carol@example.net"),
]


def offers(*moments: tuple[float, str]) -> Callable[[VirtualLoop, OutgoingCall, object], None]:
    """Re-INVITEs of ours at these seconds, in these directions."""

    def meddle(loop: VirtualLoop, call: OutgoingCall, phone: object) -> None:
        for when, direction in moments:
            loop.call_later(when, offer, call, direction)

    def offer(call: OutgoingCall, direction: str) -> None:
        if call.session is not None:
            call.session.offer(direction)

    return meddle


def random_plan(seed: int) -> Plan:
    chance = random.Random(seed)
    rough = Conditions(
        loss=chance.choice([0.0, 0.05, 0.1, 0.3]),
        duplicate=chance.choice([0.0, 0.1, 0.5]),
        reorder=chance.choice([0.0, 0.1, 0.5]),
        delay=chance.choice([(0.001, 0.001), (0.01, 0.1), (0.1, 0.6)]),
        hold=chance.choice([0.01, 0.2, 1.0]),
    )
    moments = [0.0, 0.1, 0.2, 1.0, chance.uniform(0, 3), chance.uniform(0, 40), 20.0, 60.0]
    hang_up = chance.choice([*moments, 300.0])
    script = chance.choice(SCRIPTS)
    meddle = None
    if chance.random() < 0.3:
        meddle = offers(*((chance.uniform(0, 5), d) for d in ("sendonly", "sendrecv", "inactive")))
    servers = (ELSEWHERE, THEM) if chance.random() < 0.1 else (THEM,)
    return Plan(script, hang_up, rough, meddle=meddle, servers=servers)


def violations(seed: int) -> list[str]:
    """What one seed breaks: by us, and by the phones unless a lost message explains it."""
    plan = random_plan(seed)
    outcome = dial(plan, seed)
    return outcome.wrong + (outcome.theirs if plan.conditions.loss <= 0.1 else [])


def test_a_next_server_that_cannot_be_reached_from_here_ends_the_call() -> None:
    outcome = dial(Plan(Script(), servers=("192.0.2.99", "2001:db8::1")))
    assert isinstance(outcome.last, Failed)
    assert outcome.last.status == 503
    # That nobody is at the first of them is what this is about.
    assert [wrong for wrong in outcome.wrong if "192.0.2.99" not in wrong] == []


@pytest.mark.parametrize("block", range(10))
def test_whatever_happens_each_call_ends_once_and_nothing_is_left(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        wrong = violations(seed)
        assert not wrong, (
            f"replay with: python -m tests.simulation.test_calls {seed}\n" + "\n".join(wrong)
        )


if __name__ == "__main__":
    for text in sys.argv[1:]:
        print(random_plan(int(text)))
        replayed = dial(random_plan(int(text)), int(text))
        print(replayed.network.ladder())
        print(*replayed.events, *replayed.wrong, *replayed.theirs, sep="\n")
