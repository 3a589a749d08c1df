"""Failures that take long, or a network that loses what it should: the sentence given for each, as in docs/failures.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from c2c_sip.calling.diagnosis import of_trunk
from c2c_sip.calling.flow import Flow
from sipstack.registration import Registration
from sipstack.resolver import Answer, DnsLookup
from tests.failures import normal, told
from tests.simulation import scripts
from tests.simulation.clock import VirtualLoop
from tests.simulation.scripts import Script
from tests.simulation.test_flow import CUSTOMER, Outcome, activate, good
from tests.simulation.test_registration import Provider, simulate

TALKS = Script(answer_after=1.0)
LOOP = "".join(f"sip:{number}@{CUSTOMER}>, <" for number in range(1, 6)) + f"sip:6@{CUSTOMER}"


def later(seconds: float, what: Callable[[Flow, Outcome], object]) -> dict[str, Any]:
    """Have something done to the call."""

    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        loop.call_later(seconds, lambda: what(flow, outcome))

    return {"meddle": meddle}


def mute(flow: Flow, outcome: Outcome) -> None:
    outcome.media.legs[1].heard = 0


CASES: list[tuple[str, Script, Script, dict[str, Any]]] = [
    ("ack_lost", TALKS, Script(answers_as="sip:x@192.0.2.99"), {}),
    ("dropped_at_32_s", TALKS, Script(hang_up_after=32.0), {}),
    ("session_timer_expired", TALKS, Script(session_expires=90, refresher="uas", ignore=frozenset({"UPDATE"})), {"max_duration": 300.0}),
    ("session_refresh_unanswered", TALKS, Script(session_expires=90, refresher="uac", statuses=(("UPDATE", 481),)), {"max_duration": 300.0}),
    ("dead_call", TALKS, Script(crash_after=5.0), {"media_timeout": 10.0, "max_duration": 600.0}),
    ("redirect_loop", TALKS, scripts.redirects(LOOP), {}),
    ("one_way_audio", TALKS, Script(hears_at="192.168.1.20", hang_up_after=9.0), later(4.0, mute)),
    ("max_duration", TALKS, TALKS, {"max_duration": 30.0}),
    ("relay_died", TALKS, TALKS, later(8.0, lambda flow, outcome: [leg.on_lost() for leg in outcome.media.legs])),
    ("no_ports", TALKS, TALKS, later(0.5, lambda flow, outcome: setattr(outcome.media, "capacity", 1))),
    ("address_refused", TALKS, TALKS, {"accepted": lambda host: host != CUSTOMER}),
    ("bad_description", TALKS, Script(hears_at="nowhere.test"), {}),
    ("audio_changed", Script(codecs_later=("3 GSM/8000",)), Script(reinvite_after=5.0), {}),
    ("never_rang", TALKS, Script(ring_after=None, answer_after=None), {}),
    ("no_key", Script(answer_after=5.0), TALKS, {"confirm": "1"}),
    ("transfer_failed", Script(refer_after=3.0, refer_to="sip:x@192.0.2.4", hang_up_after=3.1), TALKS, {"third": scripts.REJECTS}),
    ("ended_over_api", TALKS, TALKS, later(8.0, lambda flow, outcome: flow.hang_up("NORMAL_CLEARING"))),
    ("minutes_used", TALKS, TALKS, {"may_go_on": lambda: False}),
    ("cancelled_there", TALKS, Script(answer_after=None, status=487), {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "extension", "contact", "more"),
    CASES,
    ids=[f"{case[0]}-{number}" for number, case in enumerate(CASES)],
)
def test_why_a_call_failed(
    name: str, extension: Script, contact: Script, more: dict[str, Any]
) -> None:
    sentence = activate(extension, contact, **more).ledger.record["explanation"]
    print(f"| `{name}` | {sentence} |")
    assert normal(sentence) in told(name)


def test_whose_new_audio_cannot_be_taken_is_hung_up_by_us() -> None:
    """The contact holds, the extension answers that with a codec that was not offered: it did not hang up, nor did the contact."""
    outcome = activate(Script(codecs_later=("3 GSM/8000",)), Script(reinvite_after=5.0))
    record, ledger = outcome.ledger.record, outcome.ledger
    assert (record["result"], record["cause"], record["sip_status"]) == (
        "success",
        "INCOMPATIBLE_DESTINATION",
        488,
    )
    assert ledger.leg("extension")["cause"] == "INCOMPATIBLE_DESTINATION"
    assert ledger.leg("contact")["cause"] == "NORMAL_CLEARING"
    assert {ledger.leg(role)["hangup_by"] for role in ("extension", "contact")} == {"local"}


@pytest.mark.parametrize("hang_up_after", [3.1, 5.5])
def test_who_hangs_up_as_the_transfer_fails_was_not_through_with_the_call(
    hang_up_after: float,
) -> None:
    sends = Script(refer_after=3.0, refer_to="sip:x@192.0.2.4", hang_up_after=hang_up_after)
    outcome = activate(sends, TALKS, third=scripts.REJECTS)
    assert normal(outcome.ledger.record["explanation"]) in told("transfer_failed")


def test_who_hangs_up_long_after_a_transfer_failed_does_so_for_reasons_of_his_own() -> None:
    sends = Script(refer_after=3.0, refer_to="sip:x@192.0.2.4", hang_up_after=15.0)
    outcome = activate(sends, TALKS, third=scripts.REJECTS)
    assert outcome.ledger.record["explanation"].endswith("the extension hung up.")


@pytest.mark.parametrize("hang_up_after", [3.0001, 5.5])
def test_a_transfer_for_which_there_is_no_port(hang_up_after: float) -> None:
    sends = Script(refer_after=3.0, refer_to="sip:x@192.0.2.4", hang_up_after=hang_up_after)
    no_more = later(0.5, lambda flow, outcome: setattr(outcome.media, "capacity", 2))
    outcome = activate(sends, TALKS, **no_more)
    sentence = outcome.ledger.record["explanation"]
    print(f"| `transfer_failed` | {sentence} |")
    assert normal(sentence) in told("transfer_failed")
    assert "No RTP port was free for the transfer target" in sentence


def test_a_phone_whose_contact_leads_nowhere_is_where_it_was_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lame(lookup: DnsLookup, name: str, kind: str) -> Answer:
        raise OSError("no answer from the name servers")

    monkeypatch.setattr(DnsLookup, "__call__", lame)
    outcome = good(TALKS, Script(answers_as="sip:x@nowhere.test", hang_up_after=40.0))
    assert outcome.ledger.record["explanation"].startswith("The two spoke for 40")
    assert outcome.customer.methods.count("ACK") == 1


def test_an_answer_that_comes_again_while_its_contact_is_looked_for_is_no_other_phones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slow(lookup: DnsLookup, name: str, kind: str) -> Answer:
        await asyncio.sleep(2.0)
        return Answer((CUSTOMER,) if kind == "A" else (), 60.0)

    monkeypatch.setattr(DnsLookup, "__call__", slow)
    outcome = good(TALKS, Script(answers_as="sip:x@customer.test:5060", hang_up_after=9.0))
    assert outcome.ledger.record["explanation"].startswith("The two spoke for 1")
    assert "BYE" not in outcome.customer.methods


def test_a_registrar_that_says_nothing() -> None:
    found: list[str] = []

    def work(registration: Registration, provider: Provider) -> None:
        provider.deaf = True
        registration._changed = lambda: found.append(
            of_trunk("provider", registration.standing, None).text
        )

    simulate(work, seconds=60.0)
    print(f"| `registrar_silent` | {found[0]} |")
    assert normal(found[0]) in told("registrar_silent")
