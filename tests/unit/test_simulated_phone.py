"""The scripted phones themselves, one calling the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from sipstack.message import Request, Response
from tests.simulation import scripts
from tests.simulation.clock import run
from tests.simulation.network import Conditions, VirtualNetwork
from tests.simulation.phone import NoAnswer, ScriptedPhone
from tests.simulation.scripts import Script

A, B = "192.0.2.1", "192.0.2.2"
Scene = Callable[[ScriptedPhone, ScriptedPhone, VirtualNetwork], Awaitable[None]]


def play(
    script: Script, scene: Scene, conditions: Conditions = Conditions(), name: str = "UDP"
) -> None:
    """Let one phone that answers call another that follows a script."""

    async def main() -> None:
        network = VirtualNetwork(11, conditions)
        caller = ScriptedPhone(network, A, name=name)
        callee = ScriptedPhone(network, B, script, name=name)
        await scene(caller, callee, network)
        await asyncio.sleep(100)
        assert caller.transactions == 0, caller._clients
        assert callee.transactions == 0 or callee.crashed

    run(main(), seed=3)


def invite(caller: ScriptedPhone, callee: ScriptedPhone) -> asyncio.Future[Response]:
    offer = caller.describe(b"telephone-event")
    return caller.request("INVITE", callee.uri, callee.address, offer)


@pytest.mark.parametrize("name", ["UDP", "TCP"])
def test_an_answered_call_is_acknowledged_once(name: str) -> None:
    async def scene(caller: ScriptedPhone, callee: ScriptedPhone, net: VirtualNetwork) -> None:
        answer = await invite(caller, callee)
        await asyncio.sleep(1)
        assert answer.status == 200
        assert b"m=audio 41000 RTP/AVP 0 101" in answer.body
        assert callee.call.state == "up"
        assert callee.methods == ["INVITE", "ACK"]
        assert [response.status for _, response in caller.responses][-2:] == [180, 200]

    play(scripts.ANSWERS, scene, name=name)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (scripts.BUSY, 486),
        (scripts.REJECTS, 603),
        (scripts.UNKNOWN, 404),
        (scripts.ROGUE, 401),
        (scripts.redirects("sip:elsewhere@192.0.2.9"), 302),
    ],
)
def test_refusals_are_acknowledged_by_the_transaction(script: Script, status: int) -> None:
    async def scene(caller: ScriptedPhone, callee: ScriptedPhone, net: VirtualNetwork) -> None:
        answer = await invite(caller, callee)
        assert answer.status == status
        await asyncio.sleep(1)
        assert callee.methods == ["INVITE", "ACK"]
        if status == 302:
            assert str(answer.contacts[0].uri) == "sip:elsewhere@192.0.2.9"
        if status == 401:
            assert 'realm="sip.provider.example"' in (answer.get("WWW-Authenticate") or "")

    play(script, scene)


def test_a_deaf_phone_times_the_call_out_after_32_seconds() -> None:
    async def scene(caller: ScriptedPhone, callee: ScriptedPhone, net: VirtualNetwork) -> None:
        started = asyncio.get_running_loop().time()
        with pytest.raises(NoAnswer, match="TimedOut"):
            await invite(caller, callee)
        assert asyncio.get_running_loop().time() - started == pytest.approx(32)
        assert callee.methods == ["INVITE"] * 7

    play(scripts.DEAF, scene)


def test_early_media_comes_with_a_description() -> None:
    async def scene(caller: ScriptedPhone, callee: ScriptedPhone, net: VirtualNetwork) -> None:
        await invite(caller, callee)
        early = next(r for _, r in caller.responses if r.status == 183)
        assert b"m=audio" in early.body

    play(scripts.EARLY_MEDIA, scene)


def test_a_200_without_ack_is_repeated_and_then_the_phone_hangs_up() -> None:
    async def scene(caller: ScriptedPhone, callee: ScriptedPhone, net: VirtualNetwork) -> None:
        answer = await invite(caller, callee)
        assert answer.status == 200
        # From here on nothing of the caller's arrives, its ACKs neither.
        await asyncio.sleep(40)
        assert callee.call.ended_by == "unacknowledged"
        copies = [r for _, r in caller.responses if r.status == 200 and r.cseq.method == "INVITE"]
        assert len(copies) == 11

    def cut_after_invite(network: VirtualNetwork) -> None:
        asyncio.get_running_loop().call_later(0.5, network.cut, A, B)

    async def cut_scene(c: ScriptedPhone, e: ScriptedPhone, net: VirtualNetwork) -> None:
        cut_after_invite(net)
        await scene(c, e, net)

    play(scripts.ANSWERS, cut_scene)


def test_a_phone_hangs_up_when_its_script_says_so() -> None:
    async def scene(caller: ScriptedPhone, callee: ScriptedPhone, net: VirtualNetwork) -> None:
        await invite(caller, callee)
        await asyncio.sleep(10)
        assert callee.call.ended_by == "us"
        assert "BYE" in caller.methods

    play(scripts.HANGS_UP, scene)


def test_a_second_answer_has_its_own_tag_and_ends_on_its_own() -> None:
    async def scene(caller: ScriptedPhone, callee: ScriptedPhone, net: VirtualNetwork) -> None:
        await invite(caller, callee)
        await asyncio.sleep(5)
        tags = {r.to.tag for _, r in caller.responses if r.status == 200}
        assert tags == set(callee.call.tags) == set(callee.call.acks)
        assert len(tags) == 2
        assert callee.call.state == "up"

    play(scripts.ANSWERS_TWICE, scene)


def test_a_call_can_be_cancelled_while_it_rings() -> None:
    async def scene(caller: ScriptedPhone, callee: ScriptedPhone, net: VirtualNetwork) -> None:
        answer = invite(caller, callee)
        await asyncio.sleep(0.5)
        request = callee.call.invite
        cancel = Request("CANCEL", request.request_uri)
        for name in ("From", "To", "Call-ID"):
            cancel.add(name, request.get(name) or "")
        cancel.add("CSeq", f"{request.cseq.number} CANCEL")
        cancel.add("Via", str(request.via))
        caller._transport.send(cancel.serialize(), callee.address)
        assert (await answer).status == 487
        assert callee.call.ended_by == "cancelled"

    play(scripts.NEVER_ANSWERS, scene)


def test_a_crashed_phone_says_nothing_more() -> None:
    async def scene(caller: ScriptedPhone, callee: ScriptedPhone, net: VirtualNetwork) -> None:
        answer = invite(caller, callee)
        await asyncio.sleep(10)
        assert callee.crashed
        assert not answer.done()
        answer.cancel()
        caller.crash()

    play(scripts.CRASHES_RINGING, scene)


def test_garbage_does_not_keep_two_phones_from_talking() -> None:
    async def scene(caller: ScriptedPhone, callee: ScriptedPhone, net: VirtualNetwork) -> None:
        assert (await invite(caller, callee)).status == 200
        await asyncio.sleep(1)
        assert callee.call.state == "up"

    play(scripts.GARBAGE, scene)


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE"])
def test_requests_outside_of_any_dialog_get_481_and_options_200(method: str) -> None:
    async def scene(caller: ScriptedPhone, callee: ScriptedPhone, net: VirtualNetwork) -> None:
        answer = await caller.request(method, callee.uri, callee.address)
        assert answer.status == 481
        assert (await caller.request("OPTIONS", callee.uri, callee.address)).status == 200

    play(scripts.ANSWERS, scene)


def test_calls_get_through_a_bad_network() -> None:
    rough = Conditions(loss=0.3, duplicate=0.2, reorder=0.2, delay=(0.01, 0.2))

    async def scene(caller: ScriptedPhone, callee: ScriptedPhone, net: VirtualNetwork) -> None:
        answers = []
        for _ in range(20):
            answers.append(await invite(caller, callee))
            await asyncio.sleep(40)
        assert [answer.status for answer in answers] == [200] * 20
        assert {call.ended_by for call in callee.calls} == {"us"}
        assert len(callee.calls) == 20

    play(replace(scripts.HANGS_UP, hang_up_after=1.0), scene, rough)
