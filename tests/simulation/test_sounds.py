"""What the parties of a call hear besides each other, and the key that shows that somebody is there."""

from __future__ import annotations

from typing import Any

import pytest

from c2c_sip.calling.flow import Flow
from sipstack.events import Info
from sipstack.media.tones import BUSY, CONGESTION, PRESS_A_KEY, RINGBACK, Playback
from sipstack.media.wav import Clip
from tests.simulation import scripts
from tests.simulation.clock import VirtualLoop
from tests.simulation.scripts import Script
from tests.simulation.test_flow import TALKS, Meddle, Outcome, good

MUSIC = Playback(Clip(bytes(160), bytes(160)), repeats=True)
HOLDS = Script(answer_after=1.0, reinvite_after=3.0, resume_after=4.0)


def at(seconds: float, number: int, key: str) -> Meddle:
    """The peer of the leg that was opened as the ``number``-th presses a key."""

    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        loop.call_later(seconds, lambda: outcome.media.legs[number].on_key(key))

    return meddle


def by_info(seconds: float, role: str, body: bytes) -> Meddle:
    def meddle(loop: VirtualLoop, flow: Flow, outcome: Outcome) -> None:
        def send() -> None:
            leg = next(leg for leg in flow.legs.values() if leg.plan.role == role)
            flow._events.put((leg, Info("application/dtmf-relay", body)))

        loop.call_later(seconds, send)

    return meddle


def sources(outcome: Outcome, number: int) -> list[Any]:
    return [source for source, _ in outcome.media.legs[number].played]


@pytest.mark.parametrize(
    ("customer", "tone"),
    [
        (scripts.BUSY, BUSY["us"]),
        (scripts.REJECTS, BUSY["us"]),
        (scripts.NEVER_ANSWERS, BUSY["us"]),
        (scripts.UNKNOWN, CONGESTION["us"]),
        (Script(ring_after=None, status=503), CONGESTION["us"]),
    ],
)
def test_nobody_there_sounds_other_than_no_way_there(customer: Script, tone: object) -> None:
    assert sources(good(TALKS, customer), 0)[-1] == tone


@pytest.mark.parametrize("holder", [0, 1])
def test_who_is_on_hold_hears_the_music_until_the_other_is_back(holder: int) -> None:
    pair = [HOLDS, TALKS] if holder == 0 else [TALKS, HOLDS]
    outcome = good(*pair, music=MUSIC, max_duration=20.0)
    held = 1 - holder
    assert sources(outcome, held)[-2:] == [MUSIC, None]
    assert MUSIC not in sources(outcome, holder)
    phone = (outcome.desk, outcome.customer)[held]
    assert phone.call.directions[-2:] == ["sendonly", "sendrecv"]


def test_without_music_the_one_on_hold_hears_what_the_other_sends() -> None:
    outcome = good(HOLDS, TALKS, max_duration=20.0)
    assert sources(outcome, 1) == []


def test_the_contact_is_dialled_once_the_extension_has_pressed_the_key() -> None:
    outcome = good(TALKS, TALKS, confirm="1", meddle=at(6.0, 0, "1"), max_duration=10.0)
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"
    assert sources(outcome, 0) == [PRESS_A_KEY, None, RINGBACK["us"], None]
    invite = next(p for p in outcome.network.journal if b"INVITE sip:" in p.data[:20] and b"call-contact" in p.data)  # fmt: skip
    answered = next(p for p in outcome.network.journal if p.data.startswith(b"ACK"))
    assert invite.sent - answered.sent > 4.5


@pytest.mark.parametrize("meddle", [None, at(6.0, 0, "2")])
def test_a_voicemail_presses_no_key(meddle: Meddle | None) -> None:
    outcome = good(TALKS, TALKS, confirm="1", meddle=meddle)
    assert outcome.customer.calls == []
    assert outcome.ledger.record["cause"] == "NO_USER_RESPONSE"
    assert outcome.ledger.record["result"] == "error"
    assert outcome.took == pytest.approx(16.1, abs=0.5)


def test_a_voicemail_that_hangs_up_has_answered_nothing() -> None:
    outcome = good(Script(answer_after=1.0, hang_up_after=5.0), TALKS, confirm="1")
    assert outcome.customer.calls == []
    assert outcome.ledger.record["result"] == "error"


def test_the_key_may_come_by_info() -> None:
    meddle = by_info(6.0, "extension", b"Signal=#\r\nDuration=100")
    outcome = good(TALKS, TALKS, confirm="#", meddle=meddle, max_duration=10.0)
    assert "connected" in outcome.ledger.states


def test_of_several_the_first_to_press_has_the_call() -> None:
    """The voicemail of the first picks up long before."""
    late = Script(answer_after=4.0)
    outcome = good(
        TALKS, TALKS, others=[late], confirm="1", meddle=at(8.0, 1, "1"), max_duration=20.0
    )
    assert "connected" in outcome.ledger.states
    assert outcome.ledger.record["extension_call_id"] == "call-other-0"
    assert outcome.desk.call.ended_by == "them"
    causes = {cdr["call_id"]: cdr["cause"] for cdr in outcome.ledger.cdrs.values()}
    assert causes["call-extension"] == "LOSE_RACE"


def test_a_contact_that_was_rung_first_does_not_hear_the_voicemail() -> None:
    outcome = good(TALKS, TALKS, dial_first="contact", confirm="1")
    assert outcome.ledger.record["cause"] == "NO_USER_RESPONSE"
    assert [leg.bridged for leg in outcome.media.legs] == [[], []]


def test_a_contact_that_was_rung_first_is_connected_after_the_key() -> None:
    outcome = good(
        TALKS,
        TALKS,
        dial_first="contact",
        confirm="1",
        meddle=at(6.0, 1, "1"),
        max_duration=10.0,
    )
    assert "connected" in outcome.ledger.states
    assert outcome.media.legs[0].bridged


@pytest.mark.parametrize(("role", "hears"), [("extension", 1), ("contact", 0)])
def test_a_key_by_info_goes_on_with_the_audio(role: str, hears: int) -> None:
    outcome = good(TALKS, TALKS, meddle=by_info(8.0, role, b"Signal=5"), max_duration=10.0)
    assert [leg.pressed for leg in outcome.media.legs] == (["", "5"] if hears else ["5", ""])
