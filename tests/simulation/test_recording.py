"""Which calls are recorded, who is on which side, and what both hear before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from c2c_sip.calling.recording import Tape
from sipstack.media.recording import CONTACT, EXTENSION, Recorder, Recording
from sipstack.media.tones import BEEP
from tests.simulation import scripts
from tests.simulation.scripts import Script
from tests.simulation.test_flow import TALKS, Outcome, good


class Kept(Recorder):
    """A recorder whose thread does not run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, clock=lambda: 0.0)


def call(folder: Path, desk: Script, customer: Script, **more: Any) -> tuple[Outcome, Kept]:
    kept = Kept(folder)
    outcome = good(desk, customer, tape=Tape(kept, BEEP), max_duration=10.0, **more)
    return outcome, kept


def sides(outcome: Outcome, kept: Kept) -> list[int | None]:
    """On which side what comes from each leg is written; ``None``: nowhere."""
    found: list[int | None] = []
    for leg in outcome.media.legs:
        kept._queue.clear()
        if leg.tapped is not None:
            leg.tapped(0, b"\xff" * 160, "PCMU", 0.0)
        found.append(kept._queue[0][1] if kept._queue else None)
    return found


@pytest.mark.parametrize("first", ["extension", "contact"])
def test_the_extension_is_left_and_the_contact_right_whoever_was_rung_first(
    tmp_path: Path, first: Any
) -> None:
    outcome, kept = call(tmp_path, TALKS, TALKS, dial_first=first)
    assert [entry[1] for entry in kept._queue] == [-1, -2], "begun once and ended once"
    expected = [EXTENSION, CONTACT] if first == "extension" else [CONTACT, EXTENSION]
    assert sides(outcome, kept) == expected
    assert all((BEEP, False) in leg.played for leg in outcome.media.legs)


@pytest.mark.parametrize("customer", [scripts.BUSY, scripts.NEVER_ANSWERS])
def test_who_does_not_talk_is_not_recorded(tmp_path: Path, customer: Script) -> None:
    outcome, kept = call(tmp_path, TALKS, customer)
    assert not kept._queue
    assert all(leg.tapped is None for leg in outcome.media.legs)


def test_whom_the_call_is_transferred_to_is_recorded_too(tmp_path: Path) -> None:
    refers = Script(answer_after=1.0, refer_after=4.0, refer_to="sip:phone@192.0.2.4")
    outcome, kept = call(tmp_path, refers, TALKS)
    assert sides(outcome, kept) == [EXTENSION, CONTACT, EXTENSION]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            {"error": "No space left on device"},
            "The recording has failed: No space left on device.",
        ),
        (
            {"full": True},
            "The recording ends before the call: its file was full (recording.call_mb).",
        ),
        ({"dropped": 7}, "The recording has gaps: 7 packets came faster than they were written."),
        ({}, None),
    ],
)
def test_the_record_says_what_is_wrong_with_the_recording(
    what: dict[str, Any], said: str | None, tmp_path: Path
) -> None:
    class Broken(Kept):
        def record(self, name: str, now: float) -> Recording:
            recording = super().record(name, now)
            for key, value in what.items():
                setattr(recording, key, value)
            return recording

    outcome = good(TALKS, TALKS, tape=Tape(Broken(tmp_path), BEEP), max_duration=10.0)
    explanation = outcome.ledger.record["explanation"]
    assert outcome.ledger.record["result"] == "success"
    assert outcome.ledger.record["cause"] == "ALLOTTED_TIMEOUT"
    assert explanation.endswith(f" {said}") if said else "recording" not in explanation


def test_a_call_that_is_recorded_does_not_go_past_us(tmp_path: Path) -> None:
    outcome, _ = call(tmp_path, TALKS, TALKS, bypass=True)
    assert len(outcome.desk.call.directions) == 1
