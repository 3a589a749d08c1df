"""A trunk that is asked whether it is there, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable

from sipstack.account import Account
from sipstack.keepalive import Keepalive
from sipstack.message import Request, Uri, make_response, parse_datagram
from sipstack.symmetric import note_source, reply_address
from sipstack.transport import Address, Transport
from sipstack.useragent import UserAgent
from tests.simulation.clock import VirtualLoop, run
from tests.simulation.network import VirtualNetwork

US, TRUNK = "192.0.2.1", "192.0.2.7"


def watch(
    status: Callable[[float], int], seconds: float
) -> tuple[list[tuple[float, bool, str]], list[float]]:
    """What a keep-alive of 20 s says of a trunk each 10 s, and when it asked; status 0 is no answer."""

    async def main() -> tuple[list[tuple[float, bool, str]], list[float]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        start = loop.time()
        network = VirtualNetwork(1)
        asked: list[float] = []

        def receive(octets: bytes, source: Address, transport: Transport) -> None:
            request = parse_datagram(octets)
            assert isinstance(request, Request)
            assert request.method == "OPTIONS"
            asked.append(loop.time() - start)
            note_source(request, source)
            answer = status(loop.time() - start)
            if answer:
                octets = make_response(request, answer, to_tag="t").serialize()
                transport.send(octets, reply_address(request, source))

        network.transport(TRUNK, receiver=receive)
        agent = UserAgent([network.transport(US)], loop=loop, rng=random.Random(1))
        account = Account(
            name="trunk", domain=Uri.parse(f"sip:{TRUNK}"), username="u", make_cnonce=agent.token
        )
        keepalive = Keepalive(agent, account, interval=20.0, rng=random.Random(2))
        task = loop.create_task(keepalive.run())
        seen = []
        while loop.time() - start < seconds:
            await asyncio.sleep(10)
            seen.append((loop.time() - start, keepalive.alive, keepalive.last_error))
        task.cancel()
        agent.close()
        return seen, asked

    return run(main())


def test_a_trunk_that_answers_is_there_whatever_it_answers() -> None:
    for status in (200, 404, 405, 401):
        seen, asked = watch(lambda now, s=status: s, 300.0)  # type: ignore[misc]
        assert all(alive for _, alive, _ in seen)
        gaps = [b - a for a, b in itertools.pairwise(asked)]
        assert len(asked) > 10
        assert all(15.9 <= gap <= 20.1 for gap in gaps)


def test_a_trunk_that_does_not_answer_or_not_serve_is_away_until_it_does() -> None:
    seen, _ = watch(lambda now: 0 if 60 <= now < 150 else 200, 400.0)
    assert seen[4][1]
    assert not any(alive for at, alive, _ in seen if 120 <= at <= 150)
    assert "408 Request Timeout" in next(why for _, alive, why in seen if not alive)
    assert seen[-1][1:] == (True, "")
    refused, _ = watch(lambda now: 503, 60.0)
    assert refused[-1][1:] == (False, "503 Service Unavailable to OPTIONS")
