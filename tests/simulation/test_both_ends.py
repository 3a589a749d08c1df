"""Two user agents of ours call each other, in virtual time: what one end owes the other, each checks on the other.

``python -m tests.simulation.test_both_ends SEED`` replays one seed and prints what was on the wire.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from sipstack.call import Answered, Ended, Event, Failed, Outbound, OutgoingCall, Renegotiated
from sipstack.incoming import IncomingCall
from sipstack.message import NameAddr, Request, Response, Uri, make_response
from sipstack.resolver import Target
from sipstack.sdp import LocalMedia, RemoteMedia, codec_list
from sipstack.transport import Address
from sipstack.useragent import UserAgent
from tests.simulation.clock import VirtualLoop, run
from tests.simulation.network import Conditions, VirtualNetwork
from tests.simulation.phone import ScriptedPhone

CALLER, CALLEE, PHONE = "192.0.2.1", "192.0.2.2", "192.0.2.3"
SETTLED = 250.0


@dataclass(frozen=True, slots=True)
class Callee:
    """What whoever is called does, in seconds after the INVITE; ``None``: not."""

    ring: float | None = 0.1
    early_media: bool = False
    answer: float | None = 1.0
    reject: float | None = None
    hang_up: float | None = None
    offers: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """What the caller does, in seconds after its INVITE."""

    hang_up: float | None = 10.0
    offers: tuple[tuple[float, str], ...] = ()
    without_100rel: bool = False


@dataclass(slots=True)
class Side:
    agent: UserAgent
    events: list[Event] = field(default_factory=list)
    media: list[RemoteMedia] = field(default_factory=list)

    @property
    def last(self) -> Event:
        return self.events[-1]


@dataclass(slots=True)
class Outcome:
    caller: Side
    callee: Side
    network: VirtualNetwork
    wrong: list[str] = field(default_factory=list)


def call(
    caller: Caller, callee: Callee, conditions: Conditions = Conditions(), seed: int = 0
) -> Outcome:
    """One call from one user agent to another, until all must be over."""

    async def work() -> Outcome:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        network = VirtualNetwork(seed, conditions)
        called = Side(answering(network, loop, callee, lambda side: sides.append(side)))
        sides: list[Side] = [called]
        calling = Side(UserAgent([network.transport(CALLER)], loop=loop, rng=random.Random(seed)))
        outgoing = OutgoingCall(
            calling.agent,
            Outbound(Uri.parse(f"sip:bob@{CALLEE}")),
            LocalMedia(CALLER, 20000, codec_list(["PCMU", "PCMA"]), 1),
            from_=NameAddr("", Uri.parse("sip:alice@example.net"), ()),
            call_id="call",
            contact_user="alice",
            on_event=calling.events.append,
            on_media=calling.media.append,
        )
        outgoing.dial([Target("UDP", (CALLEE, 5060))])
        if caller.hang_up is not None:
            loop.call_later(caller.hang_up, outgoing.hang_up)
        for when, direction in caller.offers:
            loop.call_later(when, offer, outgoing, direction)
        await asyncio.sleep((caller.hang_up or 0) + (callee.hang_up or 0) + SETTLED)
        called.events = sides[1].events if len(sides) > 1 else []
        called.media = sides[1].media if len(sides) > 1 else []
        outcome = Outcome(calling, called, network)
        # Where all answers get lost, the last copy of an INVITE can come when its transaction is forgotten.
        check(outcome, loop, len(sides) if conditions.loss <= 0.1 else 2)
        return outcome

    return run(work(), seed)


def answering(
    network: VirtualNetwork,
    loop: VirtualLoop,
    callee: Callee,
    taken: Callable[[Side], None],
    on_request: Callable[[Request, Address], Response | None] = lambda request, source: None,
) -> UserAgent:
    """A user agent that takes each call as ``callee`` says."""

    def on_invite(incoming: IncomingCall, source: Address) -> None:
        side = Side(agent)
        taken(side)
        incoming.accept(
            LocalMedia(CALLEE, 30000, codec_list(["PCMA", "PCMU"]), 2),
            on_event=side.events.append,
            on_media=side.media.append,
        )
        if callee.ring is not None:
            loop.call_later(callee.ring, incoming.ring, 180, callee.early_media)
        if callee.reject is not None:
            loop.call_later(callee.reject, incoming.reject, 486)
        if callee.answer is not None:
            loop.call_later(callee.answer, incoming.answer)
        if callee.hang_up is not None:
            loop.call_later(callee.hang_up, incoming.hang_up)
        for when, direction in callee.offers:
            loop.call_later(when, offer, incoming, direction)

    agent = UserAgent(
        [network.transport(CALLEE)],
        loop=loop,
        rng=random.Random(7),
        on_invite=on_invite,
        on_request=on_request,
    )
    return agent


def offer(of: OutgoingCall | IncomingCall, direction: str) -> None:
    if of.session is not None:
        of.session.offer(direction)


def check(outcome: Outcome, loop: VirtualLoop, sides: int) -> None:
    wrong = outcome.wrong
    if sides > 2:
        wrong.append(f"the callee saw {sides - 1} calls")
    for name, side in (("caller", outcome.caller), ("callee", outcome.callee)):
        finals = [event for event in side.events if isinstance(event, (Failed, Ended))]
        if side.events and (len(finals) != 1 or side.last is not finals[0]):
            wrong.append(f"{name}: not one final event at the end: {side.events}")
        if side.agent.transactions or side.agent.calls:
            wrong.append(
                f"{name}: left over: {side.agent.transactions} transactions, {side.agent.calls} calls"
            )
    if not outcome.caller.events:
        wrong.append("the caller heard of no end")
    if loop.timers() or len(asyncio.all_tasks(loop)) > 1:
        wrong.append(f"timers or tasks left: {loop.picture()}")


def good(*arguments: object, **more: object) -> Outcome:
    outcome = call(*arguments, **more)  # type: ignore[arg-type]
    assert not outcome.wrong, "\n".join([*outcome.wrong, outcome.network.ladder()])
    return outcome


def sent(outcome: Outcome, source: str) -> list[str]:
    """The first words of what one side sent."""
    words = []
    for passage in outcome.network.journal:
        if passage.source[0] == source:
            first = passage.data.split(b"\r\n")[0].decode()
            words.append(first.split()[1] if first.startswith("SIP/2.0") else first.split()[0])
    return words


def test_a_call_is_answered_and_ended_by_the_caller() -> None:
    outcome = good(Caller(), Callee())
    assert [type(event) for event in outcome.callee.events] == [Answered, Ended]
    assert (outcome.caller.last, outcome.callee.last) == (Ended("local"), Ended("peer"))
    # Both sides know the extension, so the 180 is acknowledged too.
    assert sent(outcome, CALLEE) == ["180", "200", "200", "200"]
    assert sent(outcome, CALLER) == ["INVITE", "PRACK", "ACK", "BYE"]


def test_a_call_is_ended_by_the_callee() -> None:
    outcome = good(Caller(hang_up=None), Callee(hang_up=4.0))
    assert (outcome.caller.last, outcome.callee.last) == (Ended("peer"), Ended("local"))


def test_a_callee_that_hangs_up_at_once_waits_for_the_ack() -> None:
    outcome = good(
        Caller(hang_up=None), Callee(answer=1.0, hang_up=1.01), Conditions(delay=(0.2, 0.2))
    )
    assert outcome.callee.last == Ended("local")
    assert sent(outcome, CALLEE)[-1] == "BYE"
    assert outcome.caller.last == Ended("peer")


def test_a_rejection_and_a_cancel() -> None:
    refused = good(Caller(), Callee(answer=None, reject=1.0))
    assert isinstance(refused.caller.last, Failed) and refused.caller.last.status == 486
    cancelled = good(Caller(hang_up=2.0), Callee(answer=None))
    assert isinstance(cancelled.callee.last, Failed) and cancelled.callee.last.status == 487
    assert isinstance(cancelled.caller.last, Failed) and cancelled.caller.last.status == 487


def test_an_answer_in_a_reliable_183_is_the_answer() -> None:
    outcome = good(Caller(), Callee(early_media=True))
    assert len(outcome.caller.media) == 2
    assert len(outcome.callee.media) == 1


def test_a_200_waits_for_the_prack_of_an_answer() -> None:
    late = Conditions(delay=(0.4, 0.4))
    outcome = good(Caller(hang_up=20.0), Callee(ring=0.1, early_media=True, answer=0.11), late)
    said = sent(outcome, CALLEE)
    assert said.index("200") > said.index("180")
    assert [type(e) for e in outcome.callee.events] == [Answered, Ended]


def test_offers_of_both_sides_at_once_are_both_settled() -> None:
    outcome = good(
        Caller(hang_up=30.0, offers=((5.0, "sendonly"),)),
        Callee(offers=((5.0, "sendonly"),)),
        Conditions(delay=(0.1, 0.1)),
    )
    assert "491" in sent(outcome, CALLEE) and "491" in sent(outcome, CALLER)
    held = [e for e in outcome.callee.events if isinstance(e, Renegotiated)]
    assert held[-1].remote.direction == "sendonly"


@pytest.mark.parametrize("body", [True, False])
def test_an_invite_without_an_offer_gets_one_in_the_200(body: bool) -> None:
    async def work() -> tuple[Response, list[Event]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        network = VirtualNetwork(0)
        sides: list[Side] = []
        answering(network, loop, Callee(), sides.append)
        phone = ScriptedPhone(network, PHONE)
        offered = phone.describe(b"") if body else b""
        answer = await phone.request("INVITE", f"sip:bob@{CALLEE}", (CALLEE, 5060), offered)
        await asyncio.sleep(1)
        assert b"m=audio 30000" in answer.body
        return answer, sides[0].events

    answer, events = run(work())
    assert answer.status == 200
    # The phone's ACK has no answer in it: without one there is no session.
    assert isinstance(events[-1], Answered if body else Ended)


def test_the_same_invite_on_two_ways_is_one_call_and_482() -> None:
    async def work() -> list[int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        network = VirtualNetwork(0)
        answering(network, loop, Callee(), lambda side: None)
        phone = ScriptedPhone(network, PHONE)
        statuses = []
        futures = []
        for _ in range(2):
            request = Request("INVITE", f"sip:bob@{CALLEE}")
            request.add("From", "<sip:a@example.net>;tag=1")
            request.add("To", f"<sip:bob@{CALLEE}>")
            request.add("Call-ID", "forked")
            request.add("CSeq", "1 INVITE")
            futures.append(phone.send(request, (CALLEE, 5060), phone.describe(b"")))
        for future in futures:
            statuses.append((await future).status)
        return statuses

    assert run(work()) == [200, 482]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((("Require", "100rel, replaces"),), 420),
        ((("Session-Expires", "20"), ("Supported", "timer")), 422),
        ((("Content-Type", "text/plain"),), 415),
    ],
)
def test_what_is_wrong_with_an_invite_decides_its_refusal(
    headers: tuple[tuple[str, str], ...], status: int
) -> None:
    async def work() -> Response:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        network = VirtualNetwork(0)
        answering(network, loop, Callee(), lambda side: None)
        phone = ScriptedPhone(network, PHONE)
        typed = any(name == "Content-Type" for name, _ in headers)
        body = b"" if typed else phone.describe(b"")
        request = Request("INVITE", f"sip:bob@{CALLEE}")
        request.add("From", "<sip:a@example.net>;tag=1")
        request.add("To", f"<sip:bob@{CALLEE}>")
        request.add("Call-ID", "wrong")
        request.add("CSeq", "1 INVITE")
        if typed:
            request.body = b"hello"
        return await phone.send(request, (CALLEE, 5060), body, headers)

    assert run(work()).status == status


def test_other_requests_from_outside_may_be_answered_by_whoever_runs_the_agent() -> None:
    async def work() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        network = VirtualNetwork(0)

        def on_request(request: Request, source: Address) -> Response | None:
            return make_response(request, 200, to_tag="x") if request.method == "REGISTER" else None

        answering(network, loop, Callee(), lambda side: None, on_request)
        phone = ScriptedPhone(network, PHONE)
        return (await phone.request("REGISTER", f"sip:{CALLEE}", (CALLEE, 5060))).status

    assert run(work()) == 200


def random_call(seed: int) -> tuple[Caller, Callee, Conditions]:
    chance = random.Random(seed)
    rough = Conditions(
        loss=chance.choice([0.0, 0.05, 0.1, 0.3]),
        duplicate=chance.choice([0.0, 0.1, 0.5]),
        reorder=chance.choice([0.0, 0.1, 0.5]),
        delay=chance.choice([(0.001, 0.001), (0.01, 0.1), (0.1, 0.6)]),
        hold=chance.choice([0.01, 0.2, 1.0]),
    )

    def offers() -> tuple[tuple[float, str], ...]:
        directions = ("sendrecv", "sendonly", "inactive")
        count = chance.choice([0, 0, 1, 3])
        return tuple((chance.uniform(0, 6), chance.choice(directions)) for _ in range(count))

    caller = Caller(chance.choice([0.0, 0.1, 1.0, chance.uniform(0, 5), 20.0]), offers())
    callee = Callee(
        ring=chance.choice([None, 0.0, 0.1]),
        early_media=chance.random() < 0.4,
        answer=chance.choice([None, 0.0, 0.1, 1.0, 1.5]),
        reject=chance.choice([None, None, None, 0.0, 1.0]),
        hang_up=chance.choice([None, None, 0.5, 1.0, chance.uniform(0, 6)]),
        offers=offers(),
    )
    return caller, callee, rough


@pytest.mark.parametrize("block", range(10))
def test_whatever_happens_both_ends_come_to_an_end(block: int) -> None:
    for seed in range(block * 30, block * 30 + 30):
        outcome = call(*random_call(seed), seed)
        assert not outcome.wrong, (
            f"replay with: python -m tests.simulation.test_both_ends {seed}\n"
            + "\n".join(outcome.wrong)
        )


if __name__ == "__main__":
    for text in sys.argv[1:]:
        print(*random_call(int(text)))
        replayed = call(*random_call(int(text)), int(text))
        print(replayed.network.ladder())
        print(replayed.caller.events, replayed.callee.events, *replayed.wrong, sep="\n")
