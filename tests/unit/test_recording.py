"""Recordings: where both sides' audio ends up in the file, and what becomes of the files."""

from __future__ import annotations

import os
import struct
import wave
from array import array
from pathlib import Path
from random import Random

import pytest

from sipstack.media.g711 import linear_to_ulaw
from sipstack.media.recording import (
    CONTACT,
    EXTENSION,
    LAG,
    PIECE,
    TIDY,
    Mixer,
    Recorder,
    Recording,
)

START, FRAME, TICK = 100.0, 160, 0.02


def level(value: int) -> bytes:
    """A frame whose every sample has nearly this value."""
    return bytes([linear_to_ulaw(value)]) * FRAME


def sides(stereo: bytes) -> tuple[array[int], array[int]]:
    samples = array("h", stereo)
    return samples[0::2], samples[1::2]


def all_of(mixer: Mixer, now: float) -> bytes:
    pieces = []
    while piece := mixer.take(now, ending=True):
        pieces.append(piece)
    return b"".join(pieces)


def close_to(value: int) -> object:
    return pytest.approx(value, rel=0.05, abs=10)


def test_each_side_has_its_channel_and_gaps_are_silent() -> None:
    mixer = Mixer(START)
    for n in range(50):
        mixer.frame(EXTENSION, 5000 + n * FRAME, level(1000), "PCMU", START + n * TICK)
        if n not in (10, 11):
            mixer.frame(CONTACT, 90000 + n * FRAME, level(-2000), "PCMU", START + n * TICK)
    left, right = sides(all_of(mixer, START + 1.0))
    assert len(left) == len(right) == 8000
    assert set(left) == {left[0]}
    assert left[0] == close_to(1000)
    assert set(right[10 * FRAME : 12 * FRAME]) == {0}
    assert {right[0]} == set(right[: 10 * FRAME]) == set(right[12 * FRAME :])
    assert right[0] == close_to(-2000)


def test_packets_find_their_place_in_any_order_across_the_wrap_of_the_timestamp() -> None:
    rng = Random(3)
    first = 0x100000000 - 50 * FRAME
    order = sorted(range(100), key=lambda n: n + rng.random() * 5 if n else 0)
    mixer = Mixer(START)
    for n in order:
        timestamp = (first + n * FRAME) & 0xFFFFFFFF
        # Each comes up to a tenth of a second late; only the first one's arrival counts.
        arrival = START + n * TICK + (rng.random() * 0.1 if n else 0)
        mixer.frame(EXTENSION, timestamp, struct.pack("<160h", *[n + 1] * FRAME), "PCM", arrival)
    left, right = sides(all_of(mixer, START + 2.0))
    assert [left[n * FRAME] for n in range(100)] == list(range(1, 101))
    assert set(right) == {0}


def test_a_leg_that_comes_later_is_heard_later() -> None:
    mixer = Mixer(START)
    mixer.frame(EXTENSION, 0, level(1000), "PCMU", START)
    mixer.frame(CONTACT, 777, b"\x2a" * FRAME, "PCMA", START + 3.0)
    left, right = sides(all_of(mixer, START + 4.0))
    assert len(left) == 32000
    assert any(left[:FRAME])
    assert not any(left[FRAME:])
    assert not any(right[:24000])
    assert all(right[24000 : 24000 + FRAME])


def test_a_new_time_base_goes_on_where_it_arrives() -> None:
    mixer = Mixer(START)
    mixer.frame(EXTENSION, 1000, level(1000), "PCMU", START)
    mixer.frame(EXTENSION, 3_000_000_000, level(2000), "PCMU", START + 1.0)
    mixer.frame(EXTENSION, 3_000_000_160, level(3000), "PCMU", START + 1.3)
    left, _ = sides(all_of(mixer, START + 2.0))
    assert left[8000] == close_to(2000)
    assert left[8160] == close_to(3000)


def test_what_is_settled_comes_out_in_pieces_and_what_is_later_than_that_is_lost() -> None:
    mixer = Mixer(START)
    mixer.frame(EXTENSION, 0, level(1000), "PCMU", START)
    assert mixer.take(START + LAG + PIECE - 0.01) == b""
    assert len(mixer.take(START + LAG + PIECE)) == round(PIECE * 8000) * 4
    assert mixer.take(START + LAG + PIECE) == b""
    # Half of this one is before what was taken.
    mixer.frame(EXTENSION, 4000 - 80, level(2000), "PCMU", START + 0.6)
    mixer.frame(EXTENSION, 4000 - 800, level(3000), "PCMU", START + 0.6)
    left, _ = sides(all_of(mixer, START + 1.0))
    assert left[79] == close_to(2000)
    assert left[80] == 0


def test_other_encodings_and_giant_payloads_are_not_recorded() -> None:
    mixer = Mixer(START)
    mixer.frame(EXTENSION, 0, bytes(160), "opus", START)
    mixer.frame(EXTENSION, 0, bytes(5000), "PCMU", START)
    mixer.frame(EXTENSION, 0, b"\1\2\3", "PCM", START)
    left, _ = sides(all_of(mixer, START + 0.1))
    assert [sample for sample in left if sample] == [0x0201]


def test_hours_of_silence_need_no_memory() -> None:
    mixer = Mixer(START)
    mixer.frame(EXTENSION, 0, level(1), "PCMU", START)
    taken = 0
    for second in range(1, 4 * 3600, 10):
        while piece := mixer.take(START + second):
            taken += len(piece)
    assert taken // 32000 == pytest.approx(4 * 3600, abs=15)
    assert not any(mixer._sides)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def talk(recording: Recording, clock: Clock, seconds: float) -> None:
    for n in range(round(seconds / TICK)):
        for side in (EXTENSION, CONTACT):
            payload = memoryview(bytearray(level(1000 * (side + 1))))
            recording.frame(side, n * FRAME, payload, "PCMU", clock.now)
        clock.now += TICK


def test_a_call_becomes_a_file(tmp_path: Path, clock: Clock) -> None:
    recorder = Recorder(tmp_path / "calls", clock=clock)
    recording = recorder.record("abc-1", clock.now)
    recorder.work()
    assert not recording.path.exists()
    talk(recording, clock, 3.0)
    recorder.work()
    assert 0.5 <= recording.seconds <= 1.0
    recording.stop(clock.now)
    recording.stop(clock.now)
    recording.frame(EXTENSION, 0, level(1), "PCMU", clock.now)
    recorder.work()
    assert recording.ended.is_set()
    assert recording.error is None
    assert recording.path == recorder.path("abc-1") == tmp_path / "calls" / "abc-1.wav"
    assert recording.path.stat().st_mode & 0o777 == 0o600
    with wave.open(str(recording.path)) as file:
        assert file.getnframes() == 24000
        left, right = sides(file.readframes(24000))
    assert set(map(round, left)) == {left[0]}
    assert left[0] == close_to(1000)
    assert right[0] == close_to(2000)


def test_a_name_is_no_path(tmp_path: Path, clock: Clock) -> None:
    recorder = Recorder(tmp_path, clock=clock)
    for name in ("", "../x", "a/b", "a.wav", "a\n", "x" * 200):
        with pytest.raises(ValueError, match="no name"):
            recorder.record(name, clock.now)


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "a.wav").write_bytes(b"precious")
    recorder = Recorder(tmp_path, clock=clock)
    recording = recorder.record("a", clock.now)
    recorder.work()
    assert recording.ended.is_set()
    assert recording.error is not None
    assert (tmp_path / "a.wav").read_bytes() == b"precious"


def test_the_size_of_a_file_is_bounded(tmp_path: Path, clock: Clock) -> None:
    recorder = Recorder(tmp_path, most_bytes=32044, clock=clock)
    recording = recorder.record("a", clock.now)
    talk(recording, clock, 5.0)
    recorder.work()
    recording.stop(clock.now)
    recorder.work()
    assert recording.full
    assert recording.seconds == 1.0
    assert recording.path.stat().st_size == 32044


def test_the_queue_is_bounded_and_what_it_drops_is_counted(tmp_path: Path, clock: Clock) -> None:
    recorder = Recorder(tmp_path, room=50, clock=clock)
    recording = recorder.record("a", clock.now)
    talk(recording, clock, 1.0)
    assert recording.dropped == 51
    recording.stop(clock.now)
    recorder.work()
    assert recording.ended.is_set()


def test_what_a_dead_process_left_is_completed(tmp_path: Path, clock: Clock) -> None:
    dead = Recorder(tmp_path, clock=clock)
    recording = dead.record("a", clock.now)
    talk(recording, clock, 4.0)
    dead.work()
    dead._open[recording][1]._file.flush()
    (tmp_path / "b.wav.part").write_bytes(b"RIFF")
    Recorder(tmp_path, clock=clock)
    assert sorted(os.listdir(tmp_path)) == ["a.wav"]
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getnframes() >= 8000


def test_a_disk_that_fails_ends_one_recording_and_no_call(tmp_path: Path, clock: Clock) -> None:
    recorder = Recorder(tmp_path, clock=clock)
    bad, good = recorder.record("bad", clock.now), recorder.record("good", clock.now)
    recorder.work()
    file = recorder._open[bad][1]._file
    os.dup2(os.open("/dev/full", os.O_WRONLY), file.fileno())
    for n in range(200):
        bad.frame(EXTENSION, n * FRAME, level(1000), "PCMU", clock.now)
        good.frame(EXTENSION, n * FRAME, level(1000), "PCMU", clock.now)
        clock.now += TICK
    recorder.work()
    assert bad.error == "No space left on device"
    assert bad.ended.is_set()
    good.stop(clock.now)
    bad.stop(clock.now)
    recorder.work()
    assert good.error is None
    assert good.ended.is_set()
    assert file.closed


def test_what_was_written_before_the_disk_was_full_can_be_heard(
    tmp_path: Path, clock: Clock
) -> None:
    recorder = Recorder(tmp_path, clock=clock)
    recording = recorder.record("a", clock.now)
    talk(recording, clock, 5.0)
    recorder.work()
    file = recorder._open[recording][1]._file
    file.flush()
    written = file.tell()
    kept = os.dup(file.fileno())
    os.dup2(os.open("/dev/full", os.O_WRONLY), file.fileno())
    talk(recording, clock, 5.0)
    recorder.work()
    os.close(kept)
    assert recording.error == "No space left on device"
    with wave.open(str(recording.path)) as whole:
        assert 4 * whole.getnframes() == written - 44
    assert sorted(os.listdir(tmp_path)) == ["a.wav"]


def test_old_files_go_and_the_oldest_of_too_many(tmp_path: Path, clock: Clock) -> None:
    day = 86400.0
    for age in range(6):
        path = tmp_path / f"{age}.wav"
        path.write_bytes(bytes(1000))
        os.utime(path, (1e9 - age * day, 1e9 - age * day))
    (tmp_path / "letter.txt").write_bytes(bytes(9999))
    recorder = Recorder(
        tmp_path, keep=3.5 * day, most_total=3000, clock=clock, wall_clock=lambda: 1e9
    )
    recorder.work()
    assert sorted(os.listdir(tmp_path)) == ["0.wav", "1.wav", "2.wav", "letter.txt"]
    # Not looked at again before a minute is over.
    (tmp_path / "9.wav").write_bytes(bytes(1000))
    recorder.work()
    assert (tmp_path / "2.wav").exists()
    clock.now += TIDY
    recorder.work()
    assert not (tmp_path / "2.wav").exists()


def test_the_thread_completes_everything_when_it_is_closed(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.start()
    recording = recorder.record("a", recorder._clock())
    recording.frame(EXTENSION, 0, level(1000), "PCMU", recorder._clock())
    recorder.close()
    assert recording.ended.is_set()
    assert recording.error is None
    assert recording.path.exists()


def test_closing_one_that_was_never_started_completes_everything_too(
    tmp_path: Path, clock: Clock
) -> None:
    recorder = Recorder(tmp_path, clock=clock)
    recording = recorder.record("a", clock.now)
    recorder.close()
    assert recording.path.exists()
