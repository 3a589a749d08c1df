"""Relay processes: the same as the thread, until one of them dies."""

import contextlib
import logging
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sipstack.media import LegCounters, MediaLeg, MediaPlane, worker
from sipstack.media.tones import RINGBACK
from sipstack.sdp import CODECS, RemoteMedia
from tests.interop.programs import HOST, free_rtp_range

PCMU, EVENT = CODECS["PCMU"], CODECS["telephone-event"]
#: Seconds that a busy machine may take to start a process and have it send something.
PATIENCE = 30.0


class End:
    """A peer's socket, described to a leg."""

    def __init__(self, leg: MediaLeg) -> None:
        self.leg = leg
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.socket.settimeout(PATIENCE)
        port = self.socket.getsockname()[1]
        self.sequence = 0
        self.remote = RemoteMedia(HOST, port, HOST, port + 1, (PCMU, EVENT))
        leg.set_remote(self.remote, (PCMU, EVENT))

    def say(self, payload: bytes, kind: int = 0) -> None:
        self.sequence += 1
        head = struct.pack("!BBHII", 0x80, kind, self.sequence, 160 * self.sequence, 9)
        self.socket.sendto(head + payload, (HOST, self.leg.rtp_port))

    def hear(self) -> bytes:
        return self.socket.recv(2048)[12:]


def until(true: Callable[[], object], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it has not come to it"
        time.sleep(0.01)


@pytest.fixture
def plane() -> Iterator[MediaPlane]:
    made = MediaPlane(ports=free_rtp_range(), workers=2)
    made.start()
    yield made
    made.close()


def pids(plane: MediaPlane) -> list[int]:
    return [relay._process.pid for relay in plane._relays]  # type: ignore[attr-defined]


def test_a_call_goes_through_a_worker_with_tones_keys_audio_and_counters(
    plane: MediaPlane,
) -> None:
    one = End(plane.open(HOST))
    other = End(plane.open(HOST, beside=one.leg))
    keys, audio = [], []
    other.leg.on_key = keys.append
    other.leg.tap(lambda *packet: audio.append(packet))
    one.leg.play(RINGBACK["eu"])
    frames = RINGBACK["eu"].frames("PCMU")
    assert [one.hear() for _ in range(3)] == list(frames[:3])
    one.leg.play(None)
    one.leg.bridge(other.leg)
    # Until the relay has heard of it, nothing is passed on.
    said = 0
    other.socket.settimeout(0.2)
    heard = b""
    while heard != b"\x11" * 160 and said < 100:
        one.say(b"\x11" * 160)
        said += 1
        with contextlib.suppress(TimeoutError):
            heard = other.hear()
    other.socket.settimeout(PATIENCE)
    assert heard == b"\x11" * 160
    other.say(b"\x22" * 160)
    while one.hear() != b"\x22" * 160:
        pass
    other.say(b"\x05\x0a\x01\x40", kind=101)
    assert one.hear() == b"\x05\x0a\x01\x40"
    until(lambda: keys == ["5"])
    assert [packet[1:3] for packet in audio] == [(b"\x22" * 160, "PCMU")]
    until(lambda: other.leg.counters().packets_received == 2)
    final = one.leg.close()
    assert (final.packets_received, final.codec) == (said, "PCMU")
    assert final == one.leg.counters() == one.leg.close()
    assert other.leg.close().packets_sent == 1
    assert plane.ports_in_use == 0


def test_calls_are_spread_and_those_of_one_call_stay_together(plane: MediaPlane) -> None:
    legs = [plane.open(HOST) for _ in range(4)]
    assert sorted(plane._load.values()) == [2, 2]
    beside = [plane.open(HOST, beside=legs[0]) for _ in range(3)]
    assert sorted(plane._load.values()) == [2, 5]
    beside[0].bridge(legs[0])
    with pytest.raises(ValueError, match="different relays"):
        legs[0].bridge(legs[1])


def test_a_dead_worker_ends_its_own_calls_and_is_started_again(plane: MediaPlane) -> None:
    legs = [plane.open(HOST) for _ in range(2)]
    lost: list[MediaLeg] = []
    event = threading.Event()
    for leg in legs:
        leg.on_lost = lambda leg=leg: (lost.append(leg), event.set())  # type: ignore[misc]
    before = pids(plane)
    victim = legs[0]._relay
    os.kill(victim._process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    assert event.wait(20.0)
    assert lost == [legs[0]]
    assert legs[0].close().packets_received == 0
    survivor = End(legs[1])
    survivor.leg.play(RINGBACK["eu"])
    assert len(survivor.hear()) == 160
    until(lambda: victim.alive and pids(plane) != before, 30.0)
    fresh = End(plane.open(HOST))
    assert fresh.leg._relay is victim
    fresh.leg.play(RINGBACK["eu"])
    assert len(fresh.hear()) == 160


def test_a_process_that_hangs_holds_up_nothing_but_its_own_calls_and_is_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # As a process does that is in a trap of the kernel: it does not die, and says nothing.
    monkeypatch.setattr(worker, "DEAF", 6)
    plane = MediaPlane(ports=free_rtp_range(), workers=1)
    plane.start()
    try:
        legs = [plane.open(HOST) for _ in range(8)]
        lost: list[MediaLeg] = []
        legs[-1].on_lost = lambda: lost.append(legs[-1])
        before = pids(plane)
        os.kill(before[0], signal.SIGSTOP)
        begin = time.monotonic()
        for leg in legs[:-1]:
            leg.close()
        # One waits for its last counters, in vain: no other does, or it would be seven times as long.
        assert time.monotonic() - begin < 6 * worker.ANSWER
        until(lambda: lost)
        assert "says nothing any more" in caplog.text
        (relay,) = plane._relays
        until(lambda: relay.alive and pids(plane) != before)
        fresh = End(plane.open(HOST))
        fresh.leg.play(RINGBACK["eu"])
        assert len(fresh.hear()) == 160
    finally:
        plane.close()


def test_a_process_that_hangs_does_not_hold_up_the_end() -> None:
    plane = MediaPlane(ports=free_rtp_range(), workers=1)
    plane.start()
    (pid,) = pids(plane)
    os.kill(pid, signal.SIGSTOP)
    try:
        plane.close()
        until(lambda: not os.path.exists(f"/proc/{pid}"))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_what_is_prepared_while_a_process_is_started_again_can_be_played(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plane = MediaPlane(ports=free_rtp_range(), workers=1)
    plane.start()
    try:
        (relay,) = plane._relays
        begin = type(relay)._begin  # type: ignore[attr-defined]
        prepared = threading.Event()

        def later(one: object) -> None:
            prepared.wait(PATIENCE)
            begin(one)

        monkeypatch.setattr(type(relay), "_begin", later)
        event = threading.Event()
        plane.open(HOST).on_lost = event.set
        os.kill(pids(plane)[0], signal.SIGKILL)
        assert event.wait(PATIENCE)
        assert not relay.alive
        plane.prepare(RINGBACK["eu"])
        prepared.set()
        until(lambda: relay.alive)
        fresh = End(plane.open(HOST))
        fresh.leg.play(RINGBACK["eu"])
        assert len(fresh.hear()) == 160
    finally:
        plane.close()


def test_what_nobody_listens_to_takes_bounded_memory() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        teller = worker._Teller(ours)
        handler = worker._Log(teller)
        record = logging.LogRecord("x", logging.ERROR, "", 1, "y" * 5000, None, None)
        for number in range(3000):
            teller.key(number, "5")
            teller.audio(number, 0, bytes(1000), "PCMU", 0.0)
            teller.offer("counters", {number: LegCounters()})
            handler.emit(record)
        assert len(teller._waiting) < worker.MOST_WAITING + 10_000
        before = len(teller._waiting)
        # This is waited for.
        teller.tell("removed", 1, LegCounters())
        assert len(teller._waiting) > before


def slowly(*arguments: Any) -> None:
    """A relay process of a machine that is busy or small."""
    time.sleep(worker.ANSWER + 1.0)
    run(*arguments)


run = worker.run


def test_a_process_that_takes_its_time_to_start_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "run", slowly)
    plane = MediaPlane(ports=free_rtp_range(), workers=1)
    plane.start()
    try:
        (relay,) = plane._relays
        before = pids(plane)
        end = End(plane.open(HOST))
        # More than a channel holds that nobody reads.
        for country in ("us", "de", "au", "eu"):
            end.leg.play(RINGBACK[country])
        frames = RINGBACK["eu"].frames("PCMU")
        until(lambda: end.hear() in frames[5:20])
        assert relay.alive
        assert pids(plane) == before
    finally:
        plane.close()


def test_closing_ends_the_processes(plane: MediaPlane) -> None:
    running = pids(plane)
    leg = plane.open(HOST)
    plane.close()
    for pid in running:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(OSError, match="started again"):
        plane.open(HOST)
    leg.close()
    assert plane.ports_in_use == 0
