"""Keys in telephone events and in SIP INFO."""

import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipstack.media.dtmf import KEYS, Key, KeyReader, events, from_info, to_info


def sent(keys: str, seconds: float = 0.1, start: int = 0xFFFFF000) -> list[tuple[bytes, int]]:
    """Payloads and timestamps as a sender would have them."""
    packets = []
    now = began = start
    for packet in events(keys, seconds):
        if packet is not None:
            began = now if packet.first else began
            packets.append((packet.payload, began & 0xFFFFFFFF))
        now += 160
    return packets


def read(packets: list[tuple[bytes, int]]) -> str:
    reader = KeyReader()
    return "".join(reader.packet(*packet) or "" for packet in packets)


def event(number: int, duration: int, end: bool = False) -> bytes:
    return struct.pack("!BBH", number, 0x8A if end else 0x0A, duration)


def test_an_event_is_sent_as_the_rfc_says() -> None:
    packets = list(events("5"))
    assert [packet.payload.hex() for packet in packets if packet] == [
        *("050a00a0", "050a0140", "050a01e0", "050a0280"),
        *("058a0320", "058a0320", "058a0320"),
    ]
    assert [packet.first for packet in packets if packet] == [True, *[False] * 6]
    assert packets[7:] == [None] * 3


def test_the_shortest_press_still_begins() -> None:
    assert [packet.first for packet in events("1", 0.0) if packet] == [True, False, False]


def test_every_key_comes_through_and_doubles_are_two() -> None:
    assert read(sent(KEYS + "1122")) == KEYS + "1122"
    assert read(sent("a5x7")) == "A57"
    assert list(events(["", "12", "?"])) == []


@pytest.mark.parametrize("seed", range(30))
def test_loss_copies_and_disorder_cost_no_key_and_add_none(seed: int) -> None:
    rng = Random(seed)
    keys = "".join(rng.choice(KEYS) for _ in range(50))
    events_of: dict[int, list[bytes]] = {}
    for payload, timestamp in sent(keys):
        events_of.setdefault(timestamp, []).append(payload)
    received: list[tuple[bytes, int]] = []
    for timestamp, payloads in events_of.items():
        # One of each event gets through at least, whichever.
        kept = [p for p in payloads if rng.random() > 0.5] or [rng.choice(payloads)]
        kept += [p for p in kept if rng.random() < 0.2]
        rng.shuffle(kept)
        received += [(payload, timestamp) for payload in kept]
    for place in range(1, len(received)):
        if rng.random() < 0.1 and received[place - 1][1] in (
            received[place][1],
            received[place - 2][1] if place > 1 else None,
        ):
            # The last of one event comes after the first of the next.
            received[place - 1], received[place] = received[place], received[place - 1]
    assert read(received) == keys


def test_the_same_key_again_counts_though_its_first_end_was_lost() -> None:
    assert read([(event(5, 160), 1000), (event(5, 320), 1000), (event(5, 160), 2000)]) == "55"


def test_a_key_that_is_held_long_is_one() -> None:
    held = [(event(5, 0xFFFF), 0), (event(5, 160), 0xFFFF), (event(5, 400, end=True), 0xFFFF)]
    assert read(held) == "5"


def test_a_sender_whose_timestamp_runs_along_presses_once() -> None:
    assert read([(event(5, 160 * n, n == 9), 160 * n) for n in range(1, 10)]) == "5"


def test_other_events_and_rubbish_are_no_keys() -> None:
    reader = KeyReader()
    assert reader.packet(event(36, 160), 0) is None
    assert reader.packet(b"\x01\x0a\x00", 160) is None
    assert reader.packet(b"", 160) is None


@given(st.lists(st.tuples(st.binary(max_size=8), st.integers(0, 2**32 - 1)), max_size=50))
def test_no_packet_does_harm(packets: list[tuple[bytes, int]]) -> None:
    assert len(read(packets)) <= len(packets)


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", Key("5", 0.16)),
        ("Application/DTMF-Relay; charset=x", b"signal= *\nduration= 250", Key("*", 0.25)),
        ("application/dtmf-relay", b"Signal=11\r\n", Key("#")),
        ("application/dtmf-relay", b"Signal: d\r\nDuration: 1", Key("D", 0.04)),
        ("application/dtmf-relay", b"Signal=1\r\nDuration=999999", Key("1", 5.0)),
        ("application/dtmf-relay", b"Signal=1\r\nDuration=-4", Key("1")),
        ("application/dtmf-relay", b"Signal=flash", Key("!")),
        ("application/dtmf-relay", b"Duration=160", None),
        ("application/dtmf-relay", b"Signal=99", None),
        ("application/dtmf-relay", b"Signal=", None),
        ("application/dtmf-relay", b"\xff\x00" * 5000, None),
        ("application/dtmf", b"7\r\n", Key("7")),
        ("application/dtmf", b"10", Key("*")),
        ("application/dtmf", b"\xc2\xb2", None),
        ("application/dtmf", b"", None),
        ("application/media_control+xml", b"5", None),
        ("", b"5", None),
    ],
)
def test_keys_in_info(kind: str, body: bytes, key: Key | None) -> None:
    assert from_info(kind, body) == key


@pytest.mark.parametrize("key", [Key("5"), Key("#", 0.25), Key("D", 0.04), Key("!")])
def test_a_key_goes_into_an_info_and_out_again(key: Key) -> None:
    assert from_info(*to_info(key)) == key
