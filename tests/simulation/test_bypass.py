"""Calls whose audio goes past us: who was told which address, and what becomes of it when somebody holds or refuses."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sipstack.message import Request, parse_datagram
from tests.simulation.scripts import Script
from tests.simulation.test_flow import CUSTOMER, DESK, TALKS, US, Outcome, good

MOVED = "192.0.2.4"
TALKS_LONG = Script(answer_after=1.0)


def told(outcome: Outcome, host: str) -> list[tuple[str, str]]:
    """(address, direction) of each description that a phone was sent in an INVITE, in order, copies left out."""
    found: dict[tuple[str, int], tuple[str, str]] = {}
    for passage in outcome.network.journal:
        message = parse_datagram(passage.data)
        if passage.destination[0] != host or not isinstance(message, Request):
            continue
        if message.method == "INVITE" and message.body:
            body = message.body.decode()
            address = re.search(r"c=IN IP4 (\S+)", body)
            direction = re.search(r"a=(sendrecv|sendonly|recvonly|inactive)", body)
            assert address is not None
            assert direction is not None
            found[message.call_id, message.cseq.number] = address[1], direction[1]
    return list(found.values())


def call(desk: Script, customer: Script, **more: Any) -> Outcome:
    return good(desk, customer, bypass=True, max_duration=30.0, **more)


def test_each_is_told_of_the_other_once_both_are_there() -> None:
    outcome = call(TALKS, TALKS)
    assert told(outcome, CUSTOMER) == [(US, "sendrecv"), (DESK, "sendrecv")]
    assert told(outcome, DESK) == [(US, "sendrecv"), (CUSTOMER, "sendrecv")]
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"


def test_it_does_not_matter_who_was_rung_first() -> None:
    outcome = call(TALKS, TALKS, dial_first="contact")
    assert told(outcome, CUSTOMER)[-1] == (DESK, "sendrecv")
    assert told(outcome, DESK)[-1] == (CUSTOMER, "sendrecv")


def test_without_it_they_hear_each_other_by_us() -> None:
    outcome = good(TALKS, TALKS, max_duration=10.0)
    assert told(outcome, DESK) == [(US, "sendrecv")]


def test_nothing_heard_by_us_is_no_silence() -> None:
    outcome = call(TALKS, TALKS, media_timeout=5.0)
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"


def test_a_contact_that_refuses_is_heard_by_us() -> None:
    outcome = call(TALKS, Script(answer_after=1.0, statuses=(("INVITE", 488),)))
    assert told(outcome, DESK) == [(US, "sendrecv")]
    assert told(outcome, CUSTOMER) == [(US, "sendrecv"), (DESK, "sendrecv")]
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"


def test_where_the_extension_refuses_the_contact_comes_back_to_us() -> None:
    outcome = call(Script(answer_after=1.0, statuses=(("INVITE", 488),)), TALKS)
    assert told(outcome, CUSTOMER) == [(US, "sendrecv"), (DESK, "sendrecv"), (US, "sendrecv")]
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"


@pytest.mark.parametrize("holder", [0, 1])
def test_hold_and_resume_go_past_us_too(holder: int) -> None:
    holds = Script(answer_after=1.0, reinvite_after=6.0, resume_after=9.0)
    outcome = call(*([holds, TALKS] if holder == 0 else [TALKS, holds]))
    mine, theirs = (DESK, CUSTOMER) if holder == 0 else (CUSTOMER, DESK)
    assert told(outcome, theirs)[-2:] == [(mine, "sendonly"), (mine, "sendrecv")]


def test_one_whose_audio_we_must_not_send_to_stays_with_us() -> None:
    """Its description leads into an inner network: nor is the extension's phone to send there."""
    outcome = call(
        TALKS,
        Script(answer_after=1.0, hears_at="10.0.0.1"),
        accepted=lambda host: not host.startswith("10."),
    )
    assert told(outcome, DESK) == [(US, "sendrecv")]


def test_who_is_transferred_hears_the_new_one_past_us() -> None:
    refers = Script(answer_after=1.0, refer_after=6.0, refer_to=f"sip:phone@{MOVED}")
    outcome = call(refers, TALKS)
    hosts = [address for address, _ in told(outcome, CUSTOMER)]
    # By us while the new one rings: the ringback is ours.
    assert hosts[:3] == [US, DESK, US]
    assert hosts[-1] == outcome.moved.address[0]
    assert told(outcome, outcome.moved.address[0])[-1] == (CUSTOMER, "sendrecv")


@pytest.mark.parametrize("loss", [0.1, 0.3])
@pytest.mark.parametrize("seed", range(20))
def test_under_loss_the_call_ends_as_any_other(seed: int, loss: float) -> None:
    from tests.simulation.network import Conditions
    from tests.simulation.test_flow import activate

    outcome = activate(
        Script(answer_after=1.0, reinvite_after=6.0, resume_after=9.0),
        TALKS,
        bypass=True,
        max_duration=30.0,
        seed=seed,
        conditions=Conditions(loss=loss, delay=(0.01, 0.3)),
    )
    assert not outcome.wrong, outcome.wrong
