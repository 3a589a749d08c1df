"""A service that is killed, at each moment of a call: its next start ends what was left up, also what was not in the
database yet."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import random
from collections.abc import Mapping
from typing import Any

import pytest

from c2c_sip.calling.engine import hang_up_what_was_left, knows_more
from c2c_sip.calling.flow import Flow
from sipstack.call import Outbound, OutgoingCall
from sipstack.dialog import Dialog
from sipstack.message import NameAddr, Request, Uri
from sipstack.pending import Pending
from sipstack.resolver import Target
from sipstack.sdp import LocalMedia, codec_list
from sipstack.useragent import UserAgent
from tests.simulation import scripts
from tests.simulation.clock import VirtualLoop
from tests.simulation.hand import THEM, Call, play
from tests.simulation.network import Conditions
from tests.simulation.scripts import Script
from tests.simulation.test_flow import US, Meddle, Outcome, activate

LATE = Script(answer_after=4.0)
ELSEWHERE_HOST = "192.0.2.66"


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


def test_an_invite_that_goes_by_datagram_after_all_is_kept_as_it_went() -> None:
    """It was too large for one, and nobody took a TCP connection."""

    async def work(call: Call) -> None:
        hand = call.hand()
        call.network.crash(US)
        both = [call.network.transport(US, name=name) for name in ("UDP", "TCP")]
        call.agent = UserAgent(both, loop=call.loop, rng=random.Random(1))
        kept: list[dict[str, Any]] = []

        def keep() -> None:
            assert outgoing.pending is not None
            kept.append(outgoing.pending.dump())

        outgoing = OutgoingCall(
            call.agent,
            Outbound(Uri.parse(f"sip:them@{THEM}")),
            LocalMedia(US, 20000, codec_list(["PCMU"]), 1),
            from_=NameAddr.parse(f"<sip:us@{US}>"),
            call_id="large",
            contact_user="us",
            headers=[("X-Much", "x" * 1000)],
            on_event=lambda event: None,
            on_media=lambda remote: None,
            on_pending=keep,
        )
        outgoing.dial([Target("UDP", (THEM, 5060))])
        invite = await hand.request("INVITE")
        loaded = Pending.load(kept[-1])
        assert (loaded.invite.via.branch, loaded.target.transport) == (invite.via.branch, "UDP")
        hand.answer(invite, 486)

    play(work)


def test_a_server_that_was_given_up_may_have_the_call_too() -> None:
    """It said nothing for three seconds, so that the next one was asked; and may have got the INVITE all the same."""

    async def work(call: Call) -> None:
        first, second = call.hand(), call.hand("192.0.2.3")
        call.dial(THEM, "192.0.2.3")
        given_up = await first.request("INVITE")
        rings = await second.request("INVITE")
        second.answer(rings, 180)
        await asyncio.sleep(0.1)
        assert call.outgoing.pending is not None
        kept = Kept()
        dumped = {"call_id": "ours", "trunk": "t", "pending": call.outgoing.pending.dump()}
        kept.keep("ours", json.dumps(dumped))
        call.network.crash(US)
        call.agent.close()
        call.agent = UserAgent([call.network.transport(US)], loop=call.loop, rng=random.Random(3))
        left = list(kept.legs.values())
        hang_up_what_was_left(call.agent, {}, left, lambda host: True, kept)
        second.answer(await second.request("CANCEL"), 200)
        second.answer(rings, 487)
        await asyncio.sleep(0.1)
        assert kept.legs, "the first one may still come"
        first.answer(given_up, 180)
        cancel = await first.request("CANCEL")
        assert cancel.via.branch == given_up.via.branch
        first.answer(cancel, 200)
        first.answer(given_up, 487)
        await first.request("ACK")
        await asyncio.sleep(0.1)
        assert not kept.legs

    play(work)


def test_of_an_invite_that_rings_the_file_has_enough_and_the_database_more() -> None:
    """With that it is taken back at once, and not only after some seconds."""
    kept = Kept()
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        flow._desk._keeper = kept  # type: ignore[attr-defined]

        def look() -> None:
            (leg,), (cdr,) = kept.legs.values(), outcome.ledger.cdrs.values()
            seen.append((cdr["dialog"], leg))

        loop.call_later(0.5, look)

    activate(scripts.NEVER_ANSWERS, LATE, meddle=meddle)
    ((written, left),) = seen
    assert (left["pending"]["provisional"], written["pending"]["provisional"]) == (False, True)
    assert not left["pending"]["early"] and written["pending"]["early"]
    assert knows_more(written, left)
    assert not knows_more(left, written)
    # Of another INVITE, of one that was answered, and what nobody can read.
    other = left["pending"] | {"headers": [["Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKother"]]}
    for more in ({"pending": other}, {"pending": None}, {"pending": "x"}):
        assert not knows_more(written, left | more)
        assert not knows_more(left | more, written)
    assert not kept.legs


# -- at each step --------------------------------------------------------------------------------


class Kept:
    """What a service has kept of its legs, until it is killed."""

    def __init__(self, legs: Mapping[str, Any] = {}) -> None:
        self.legs: dict[str, Any] = dict(legs)
        self.is_dead = False

    def keep(self, call_id: str, text: str) -> None:
        if not self.is_dead:
            self.legs[call_id] = json.loads(text)
            assert self.legs[call_id]["call_id"] == call_id

    def over(self, call_id: str) -> None:
        if not self.is_dead:
            self.legs.pop(call_id, None)


class Killer:
    """Kills the service at one of its steps, and starts it again ``down`` seconds later; at some steps of that life too.

    A step is a datagram that has come and is not looked at any more, one that is about to be sent, or one that was.
    ``steps`` are counted from the start of each life.
    """

    def __init__(self, steps: tuple[int, ...], down: float) -> None:
        self.steps = list(steps)
        self.down = down
        self.counted: list[int] = []
        self.kept = Kept()

    def __call__(self, loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        self.loop, self.outcome = loop, outcome
        flow._desk._keeper = self.kept  # type: ignore[attr-defined]
        self._watch(flow._desk._agent)  # type: ignore[attr-defined]

    def _watch(self, agent: UserAgent) -> None:
        (transport,) = agent._transports
        receive, send = transport.receiver, transport.send
        assert receive is not None
        kept, self.counted = self.kept, [*self.counted, 0]

        def is_the_end() -> bool:
            if not kept.is_dead:
                self.counted[-1] += 1
                if self.steps and self.counted[-1] == self.steps[0]:
                    self.steps.pop(0)
                    self._kill(agent)
            return kept.is_dead

        def received(*arguments: Any) -> None:
            if not is_the_end():
                receive(*arguments)

        def sent(*arguments: Any) -> None:
            if not is_the_end():
                send(*arguments)
                is_the_end()

        transport.receiver = received
        transport.send = sent  # type: ignore[method-assign]

    def _kill(self, agent: UserAgent) -> None:
        self.kept.is_dead = True
        self.outcome.network.crash(US)
        # What it has begun goes on in here, with nothing to send by and nothing to write to.
        self.loop.call_soon(agent.close)
        self.kept = Kept(copy.deepcopy(self.kept.legs))
        self.loop.call_later(self.down, self._start)

    def _start(self) -> None:
        agent = UserAgent(
            [self.outcome.network.transport(US)], loop=self.loop, rng=random.Random(1)
        )
        self._watch(agent)
        left = list(self.kept.legs.values())
        hang_up_what_was_left(agent, {}, left, lambda host: True, self.kept)


def left_up(outcome: Outcome) -> list[str]:
    """Those of the phones that were not hung up by BYE or CANCEL."""
    return [
        f"{phone.address}: {call.state} {call.ended_by}"
        for phone in (outcome.desk, outcome.customer)
        for call in phone.calls
        if call.state != "over" or call.ended_by not in ("them", "cancelled")
    ]


AT_ONCE = Script(ring_after=None, answer_after=0.2)
RINGS = Script(ring_after=0.1, answer_after=0.2)
RELIABLY = Script(ring_after=0.1, answer_after=0.2, reliable=True)


def steps_of(script: Script, customer: Script) -> int:
    killer = Killer((), 0.0)
    activate(script, customer, meddle=killer, max_duration=2.0)
    return killer.counted[0]


@pytest.mark.parametrize("down", [0.0, 1.0, 20.0])
@pytest.mark.parametrize("script", [AT_ONCE, RINGS, RELIABLY], ids=["200", "180", "100rel"])
def test_killed_at_any_step_of_a_call_it_leaves_no_leg_up(script: Script, down: float) -> None:
    count = steps_of(script, script)
    assert count >= 16
    for step in range(1, count + 1):
        killer = Killer((step,), down)
        outcome = activate(script, script, meddle=killer, max_duration=2.0)
        assert not left_up(outcome), (step, left_up(outcome), outcome.network.ladder())
        assert not killer.kept.legs


@pytest.mark.parametrize("script", [AT_ONCE, RELIABLY], ids=["200", "100rel"])
def test_killed_again_while_it_ends_what_was_left(script: Script) -> None:
    for step in range(1, steps_of(script, script) + 1):
        for again in range(1, 8):
            killer = Killer((step, again), 1.0)
            outcome = activate(script, script, meddle=killer, max_duration=2.0)
            assert not left_up(outcome), (step, again, left_up(outcome), outcome.network.ladder())
            assert not killer.kept.legs


@pytest.mark.parametrize("seed", range(40))
def test_killed_at_any_step_where_the_network_loses_and_doubles(seed: int) -> None:
    chance = random.Random(seed)
    rough = Conditions(loss=0.2, duplicate=0.2, reorder=0.2, delay=(0.001, 0.05))
    script, customer = (chance.choice([AT_ONCE, RINGS, RELIABLY]) for _ in range(2))
    killer = Killer((chance.randint(1, 25), chance.randint(1, 10)), chance.uniform(0.1, 5.0))
    outcome = activate(
        script, customer, conditions=rough, seed=seed, meddle=killer, max_duration=2.0
    )
    assert not left_up(outcome), (killer.counted, left_up(outcome), outcome.network.ladder())
    assert not killer.kept.legs


def test_who_waits_in_vain_for_its_ack_ends_the_call_itself_and_all_others_are_hung_up_however_late() -> (
    None
):
    """Half a minute after its 200 a phone that got no ACK hangs up; who got one would not."""
    for step in range(1, steps_of(AT_ONCE, AT_ONCE) + 1):
        killer = Killer((step,), 90.0)
        outcome = activate(AT_ONCE, AT_ONCE, meddle=killer, max_duration=2.0)
        for phone in (outcome.desk, outcome.customer):
            for call in phone.calls:
                assert call.state == "over", (step, outcome.network.ladder())
                assert bool(call.acks) == (call.ended_by != "unacknowledged")
        assert not killer.kept.legs
