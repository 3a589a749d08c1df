"""The media plane on real sockets: a thread or a process behind it, and what may fail in either."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from sipstack.media import MediaPlane, NoPortsLeft
from sipstack.media.relay import connected
from sipstack.media.srtp import AVAILABLE, Protector
from sipstack.media.tones import BEEP, Playback
from sipstack.media.wav import Clip
from sipstack.media.worker import Worker
from sipstack.sdes import KEY_SIZE, Agreement, Crypto, Suite
from sipstack.sdp import RemoteMedia
from tests.interop.programs import HOST, free_rtp_range
from tests.interop.test_workers import EVENT, PATIENCE, PCMU, End, until


@pytest.fixture(params=[0, 1], ids=["thread", "process"])
def plane(request: pytest.FixtureRequest) -> Iterator[MediaPlane]:
    made = MediaPlane(ports=free_rtp_range(), workers=request.param)
    made.start()
    yield made
    made.close()


def bridged(plane: MediaPlane) -> tuple[End, End]:
    first = plane.open(HOST)
    second = plane.open(HOST, beside=first)
    first.bridge(second)
    ends = End(first), End(second)
    # A process needs a moment until it has heard of all that.
    for one, two in (ends, ends[::-1]):
        until(lambda one=one, two=two: passes(one, two))  # type: ignore[misc]
    time.sleep(0.2)
    for one in ends:
        drain(one)
    return ends


def passes(one: End, two: End) -> bool:
    """Whether what one end says comes to the other."""
    one.say(b"\x01" * 160)
    two.socket.settimeout(0.1)
    try:
        return two.hear() == b"\x01" * 160
    except TimeoutError:
        return False
    finally:
        two.socket.settimeout(PATIENCE)


def drain(end: End) -> None:
    """Take what has come already."""
    end.socket.setblocking(False)
    try:
        while True:
            end.hear()
    except BlockingIOError:
        end.socket.settimeout(PATIENCE)


def test_keys_are_pressed_and_heard_through_the_plane(plane: MediaPlane) -> None:
    one, two = bridged(plane)
    one.say(b"\xff" * 160)
    assert two.hear() == b"\xff" * 160
    one.leg.press("5")
    while (heard := one.hear())[0] != 5:
        pass
    assert len(heard) == 4
    pressed: list[str] = []
    two.leg.on_key = pressed.append
    two.say(b"\x07\x0a\x01\x40", kind=101)
    until(lambda: pressed == ["7"])


def test_when_a_peer_was_last_heard_is_told_without_its_other_counters(plane: MediaPlane) -> None:
    leg = plane.open(HOST)
    assert leg.last_received is None
    end = End(leg)
    began = time.monotonic()
    end.say(b"\x01" * 160)
    until(lambda: leg.last_received is not None)
    heard = leg.last_received
    assert heard is not None and began <= heard <= time.monotonic()
    assert heard == leg.counters().last_received
    leg.close()
    assert leg.last_received == heard


def test_heads_of_packets_are_seen_through_the_plane(plane: MediaPlane) -> None:
    one, two = bridged(plane)
    seen: list[tuple[object, ...]] = []
    one.leg.watch(3, lambda *head: seen.append(head))
    for _ in range(4):
        one.say(b"\x11" * 160)
        assert two.hear() == b"\x11" * 160
    until(lambda: len(seen) == 3)
    ours, theirs = (HOST, one.leg.rtp_port), one.socket.getsockname()
    assert {(head[1], head[2]) for head in seen} == {(theirs, ours)}
    assert {(len(head[3]), head[4]) for head in seen} == {(12, 172)}  # type: ignore[arg-type]


@pytest.mark.skipif(not AVAILABLE, reason="pylibsrtp is not installed")
def test_a_leg_is_encrypted_through_the_plane(plane: MediaPlane) -> None:
    one, two = bridged(plane)
    ours, theirs = (Crypto(1, Suite.TAG_80, bytes([n]) * KEY_SIZE) for n in (1, 2))
    one.leg.set_remote(one.remote._replace(agreement=Agreement(ours, theirs)), (PCMU, EVENT))
    phone = Protector(Agreement(theirs, ours))
    two.say(b"\x22" * 160)
    plain = phone.unprotect(one.socket.recv(2048))
    assert plain is not None
    assert plain[12:] == b"\x22" * 160


@pytest.mark.parametrize("host", [HOST, "203.0.113.5"])
def test_a_peer_that_says_it_is_where_we_are_is_sent_nothing(
    plane: MediaPlane, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Two that each say so would have one packet go round between them for ever."""
    legs = [plane.open(HOST, announced="203.0.113.5")]
    legs.append(plane.open(HOST, beside=legs[0], announced="203.0.113.5"))
    remotes = [RemoteMedia(host, leg.rtp_port, host, leg.rtcp_port, (PCMU, EVENT)) for leg in legs]
    for leg, remote in zip(legs, reversed(remotes), strict=True):
        leg.set_remote(remote, (PCMU, EVENT))
    legs[0].bridge(legs[1])
    legs[0].play(BEEP)
    legs[1].press("123")
    assert "says that it is where we are" in caplog.text
    time.sleep(0.5)
    counters = [leg.close() for leg in legs]
    assert [(each.packets_sent, each.packets_received) for each in counters] == [(0, 0)] * 2


def test_a_port_that_a_peer_has_named_before_we_took_it_is_not_taken(plane: MediaPlane) -> None:
    first = plane.open(HOST)
    ahead = first.rtp_port + 2
    first.set_remote(RemoteMedia(HOST, ahead, HOST, ahead + 1, (PCMU,)), (PCMU,))
    assert plane.open(HOST, beside=first).rtp_port > ahead
    # Once it names another, or is gone, it may be had.
    first.set_remote(RemoteMedia(HOST, 9, HOST, 10, (PCMU,)), (PCMU,))
    capacity = plane.capacity
    legs = [plane.open(HOST) for _ in range(capacity - 2)]
    assert ahead in {leg.rtp_port for leg in legs}


def test_a_command_that_fails_is_one_legs_fault_and_silences_no_other(
    plane: MediaPlane, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = bridged(plane)
    one.leg._relay.tell("bridge", 999_999, 999_998)
    one.leg._relay.tell("describe", 999_999, None, ())
    one.say(b"\x11" * 160)
    assert two.hear() == b"\x11" * 160
    if plane._relays[0].__class__ is not Worker:  # whose log is its own
        assert caplog.text.count("the relay could not do what it was told") == 2


def test_ports_that_other_programs_hold_are_passed_over() -> None:
    first, _ = free_rtp_range(8)
    plane = MediaPlane(ports=(first, first + 7))
    held: list[socket.socket] = []
    try:
        for port in (first, first + 3):  # an RTP port, and an RTCP port
            held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            held[-1].bind((HOST, port))
        legs = [plane.open(HOST) for _ in range(2)]
        assert {leg.rtp_port for leg in legs} == {first + 4, first + 6}
        with pytest.raises(NoPortsLeft):
            plane.open(HOST)
        assert plane.ports_in_use == 2
        for leg in legs:
            leg.close()
        assert plane.ports_in_use == 0
    finally:
        for one in held:
            one.close()
        plane.close()


def test_all_ports_in_other_hands_are_no_ports() -> None:
    first, _ = free_rtp_range(4)
    plane = MediaPlane(ports=(first, first + 3))
    held = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    try:
        for one, port in zip(held, (first, first + 2), strict=True):
            one.bind((HOST, port))
        with pytest.raises(NoPortsLeft):
            plane.open(HOST)
        assert plane.ports_in_use == 0
    finally:
        for one in held:
            one.close()
        plane.close()


def test_an_address_that_is_not_ours_is_told_and_takes_no_port() -> None:
    plane = MediaPlane(ports=free_rtp_range())
    try:
        with pytest.raises(OSError, match="assign"):
            plane.open("192.0.2.1")
        assert plane.ports_in_use == 0
    finally:
        plane.close()


def test_a_port_that_cannot_be_connected_is_used_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guard:
        guard.bind((HOST, 0))
        with caplog.at_level(logging.WARNING):
            assert connected(guard, ("255.255.255.255", 9)) is None
        assert "stays unconnected" in caplog.text
        # Nobody else may have it all the same.
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with other, pytest.raises(OSError, match="in use"):
            other.bind(guard.getsockname())


def test_a_process_that_takes_no_commands_is_ended_and_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sipstack.media.worker.ANSWER", 0.3)
    plane = MediaPlane(ports=free_rtp_range(), workers=1)
    plane.start()
    try:
        (relay,) = plane._relays
        leg = plane.open(HOST)
        lost: list[bool] = []
        leg.on_lost = lambda: lost.append(True)
        first = relay._process.pid  # type: ignore[attr-defined]
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        end = time.monotonic() + 20.0
        while not lost:
            relay.tell("unbridge", leg._number, b"x" * 100_000)
            assert time.monotonic() < end
        assert "takes no commands" in caplog.text
        until(lambda: relay.alive and relay._process.pid != first)  # type: ignore[attr-defined]
        assert isinstance(plane.open(HOST).rtp_port, int)
    finally:
        plane.close()


def test_a_process_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sipstack.media.worker.SHORTEST_LIFE", 0.1)
    plane = MediaPlane(ports=free_rtp_range(), workers=1)
    plane.start()
    try:
        (relay,) = plane._relays
        begin = type(relay)._begin  # type: ignore[attr-defined]
        tries: list[int] = []

        def sometimes(worker: object) -> None:
            tries.append(1)
            if len(tries) < 3:
                raise BlockingIOError("no more processes")
            begin(worker)

        monkeypatch.setattr(type(relay), "_begin", sometimes)
        relay._process.kill()  # type: ignore[attr-defined]
        until(lambda: len(tries) == 3 and relay.alive)
        assert caplog.text.count("cannot be started: no more processes") == 2
        assert plane.open(HOST).close().codec is None
    finally:
        plane.close()


def test_a_plane_that_closes_while_its_process_cannot_be_started_waits_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plane = MediaPlane(ports=free_rtp_range(), workers=1)
    plane.start()
    (relay,) = plane._relays
    relay._process.kill()  # type: ignore[attr-defined]
    until(lambda: not relay.alive)
    with pytest.raises(OSError, match="started again"):
        plane.open(HOST)
    assert plane.ports_in_use == 0
    plane.close()
    assert not relay._thread.is_alive()  # type: ignore[attr-defined]


def test_what_is_forgotten_is_played_to_its_end_and_can_be_learnt_again(plane: MediaPlane) -> None:
    music = Playback(Clip(b"\x07" * 1600, b"\x07" * 1600), repeats=True)
    one, two = bridged(plane)

    def hears(payload: bytes) -> bool:
        drain(one)
        return one.hear() == payload

    one.leg.play(music)
    until(lambda: hears(b"\x07" * 160))
    plane.forget(music)
    plane.forget(music)
    time.sleep(0.3)
    assert hears(b"\x07" * 160)
    one.leg.play(None)
    time.sleep(0.1)
    one.leg.play(music)
    until(lambda: hears(b"\x07" * 160))
    two.leg.close()


def test_what_went_through_all_legs_never_becomes_less(plane: MediaPlane) -> None:
    one, two = bridged(plane)
    for _ in range(5):
        one.say(b"\x01" * 160)
        two.hear()
    until(lambda: plane.totals()["packets_received"] >= 5)
    before = plane.totals()
    assert before["bytes_sent"] > before["packets_sent"] > 0
    counters = [end.leg.close() for end in (one, two)]
    after = plane.totals()
    assert all(after[name] >= before[name] for name in before)
    assert after["packets_received"] == sum(each.packets_received for each in counters)
    third, fourth = bridged(plane)
    until(lambda: plane.totals()["packets_received"] > after["packets_received"])
    third.leg.close()
    fourth.leg.close()


# --- what the relay's thread is told, and by whom it is done


@pytest.fixture
def threaded() -> Iterator[MediaPlane]:
    made = MediaPlane(ports=free_rtp_range())
    made.start()
    yield made
    made.close()


def test_what_is_told_while_the_relay_waits_is_done_when_the_call_returns(
    threaded: MediaPlane,
) -> None:
    (driver,) = threaded._relays
    for count in (1, 2, 3):
        until(lambda: driver._relay._waits_until > 0)  # type: ignore[attr-defined]
        threaded.open(HOST)
        assert driver._relay.size == count  # type: ignore[attr-defined]


def test_what_is_told_while_the_relay_works_is_done_by_its_thread_in_order(
    threaded: MediaPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    (driver,) = threaded._relays
    relay = driver._relay  # type: ignore[attr-defined]
    done: list[tuple[str, str]] = []
    for name in ("add", "end"):

        def noted(*given: object, name: str = name, real: object = getattr(relay, name)) -> object:
            done.append((name, threading.current_thread().name))
            return real(*given)  # type: ignore[operator]

        monkeypatch.setattr(relay, name, noted)
    with relay.hands:
        leg = threaded.open(HOST)
        leg.close()
        assert not done
    until(lambda: len(done) == 2)
    assert done == [("add", "relay"), ("end", "relay")]
    until(lambda: not relay.size)
    assert threaded.ports_in_use == 0


def test_a_fault_in_what_is_told_reaches_neither_who_tells_it_nor_the_relay(
    threaded: MediaPlane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (driver,) = threaded._relays
    relay = driver._relay  # type: ignore[attr-defined]

    def breaks(*given: object) -> None:
        raise RuntimeError("broken")

    until(lambda: relay._waits_until > 0)
    monkeypatch.setattr(relay, "describe", breaks)
    driver.tell("describe", 1)
    assert "could not do what it was told" in caplog.text
    threaded.open(HOST)
    until(lambda: relay.size == 1)
