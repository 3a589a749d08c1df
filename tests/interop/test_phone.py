"""Phones of the library with each other, over loopback: what becomes of calls that cannot be made, taken or answered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sipstack.call import Ended, Failed
from sipstack.media.tones import RINGBACK
from sipstack.phone import CallFailed, Phone, PhoneCall, RegistrationFailed
from tests.interop.programs.base import HOST, free_row


def uri(phone: Phone) -> str:
    return f"sip:{phone.user}@{HOST}:{phone.address[1]}"


def talk(work: Callable[[Phone, Phone], Awaitable[None]], **callee: Any) -> None:
    """Run a test with two phones; the second one takes calls by ``on_call``, or as ``callee`` says."""

    async def main() -> None:
        async with asyncio.timeout(60):
            first, second = free_row(8), free_row(8)
            async with (
                Phone(user="ann", ports=(first, first + 7)) as ann,
                Phone(user="bob", **{"ports": (second, second + 7)} | callee) as bob,
            ):
                await work(ann, bob)
            assert ann.calls == bob.calls == set()

    asyncio.run(main())


async def answers(call: PhoneCall) -> None:
    call.ring()
    await asyncio.sleep(0.1)
    call.answer()
    await call.ended()


def test_a_call_rings_is_answered_heard_and_hung_up() -> None:
    keys: list[str] = []

    async def takes(call: PhoneCall) -> None:
        call.watch_keys = keys.append
        call.play(RINGBACK["us"])
        await answers(call)

    async def work(ann: Phone, bob: Phone) -> None:
        call = ann.call(uri(bob))
        assert await call.ringing(20)
        await call.answered(20)
        assert call.is_answered and [codec.name for codec in call.codecs][:1] == ["PCMU"]
        call.press("12")
        while len(keys) < 2 or not call.counters().packets_received:
            await asyncio.sleep(0.05)
        call.hang_up()
        assert await call.ended(20) == Ended("local")

    talk(work, on_call=takes)
    assert keys == ["1", "2"]


def test_a_phone_that_takes_no_calls_says_so_and_whoever_breaks_while_it_takes_one_hangs_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refused(ann: Phone, bob: Phone) -> None:
        with pytest.raises(CallFailed) as caught:
            await ann.call(uri(bob)).answered(20)
        assert caught.value.status == 480

    talk(refused)

    async def breaks(call: PhoneCall) -> None:
        call.answer()
        while not call.is_answered:
            await asyncio.sleep(0.01)
        raise RuntimeError("on purpose")

    async def work(ann: Phone, bob: Phone) -> None:
        call = ann.call(uri(bob))
        await call.answered(20)
        assert await call.ended(20) == Ended("peer")

    talk(work, on_call=breaks)
    assert "a task of the phone bob failed" in caplog.text


def test_where_there_are_no_ports_left_a_call_is_neither_made_nor_taken() -> None:
    few = free_row(2)

    async def work(ann: Phone, bob: Phone) -> None:
        first = ann.call(uri(bob))
        await first.answered(20)
        with pytest.raises(CallFailed) as caught:
            await ann.call(uri(bob)).answered(20)
        assert caught.value.status == 503
        back = bob.call(uri(ann))
        with pytest.raises(CallFailed) as caught:
            await back.answered(20)
        assert caught.value.status == 503 and back.counters().packets_sent == 0
        first.hang_up()
        await first.ended(20)

    talk(work, on_call=answers, ports=(few, few + 1))


def test_what_leads_nowhere_fails_and_is_no_exception() -> None:
    async def work(ann: Phone, bob: Phone) -> None:
        call = ann.call("sip:x@[2001:db8::1]")
        failed = await call.ended(20)
        assert isinstance(failed, Failed) and failed.status == 503
        assert not await call.ringing(20)
        with pytest.raises(RegistrationFailed, match="nowhere to register"):
            await ann.register()

    talk(work)


def test_a_registrar_that_says_nothing_is_waited_for_so_long() -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind((HOST, 0))
            async with Phone(user="ann", domain=f"{HOST}:{mute.getsockname()[1]}") as ann:
                with pytest.raises(RegistrationFailed, match=r"no answer within 0\.2 s"):
                    await ann.register(0.2)
                assert not ann.registered

    asyncio.run(main())


def test_a_phone_that_is_closed_hangs_up_whatever_it_has() -> None:
    seen: list[Failed | Ended] = []

    async def takes(call: PhoneCall) -> None:
        call.answer()
        seen.append(await call.ended())

    async def main() -> None:
        async with Phone(user="bob", on_call=takes) as bob:
            async with Phone(user="ann") as ann:
                await ann.call(uri(bob)).answered(20)
            while not seen:
                await asyncio.sleep(0.01)

    asyncio.run(main())
    assert seen == [Ended("peer")]
