"""Binding requests and their answers."""

from __future__ import annotations

import random

import pytest

from sipstack.transport.stun import Binding, binding_request, may_be_stun, parse_answer

# The transaction id and the two IPv4 and IPv6 answers are the test vectors of RFC 5769 §2.2 and §2.3, without what
# authenticates them there.
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
V4 = bytes.fromhex("0101000c2112a442") + TRANSACTION + bytes.fromhex("002000080001a147e112a643")
V6 = (
    bytes.fromhex("010100182112a442")
    + TRANSACTION
    + bytes.fromhex("002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9")
)


def test_a_request_is_a_header_alone() -> None:
    octets = binding_request(TRANSACTION)
    assert octets == bytes.fromhex("000100002112a442") + TRANSACTION
    assert may_be_stun(octets)
    assert parse_answer(octets) is None


@pytest.mark.parametrize(
    ("octets", "mapped"),
    [
        (V4, ("192.0.2.1", 32853)),
        (V6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
        # An attribute before it, which is padded to four octets.
        (
            V4[:2] + b"\0\x14" + V4[4:20] + b"\x80\x22\0\x03abc\0" + V4[20:],
            ("192.0.2.1", 32853),
        ),
        # A server of RFC 3489 does not hide the address.
        (V4[:20] + bytes.fromhex("000100080001 8055 c0000201"), ("192.0.2.1", 32853)),
        # An error is an answer too.
        (b"\x01\x11\0\0" + V4[4:20], None),
        (V4[:21] + b"\x21" + V4[22:], None),
        (V4[:25] + b"\x03" + V4[26:], None),
    ],
)
def test_an_answer_says_where_we_were_seen(octets: bytes, mapped: object) -> None:
    assert parse_answer(octets) == Binding(TRANSACTION, mapped)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        V4[:19],
        V4[:-1],
        V4 + b"\0",
        V4[:4] + b"\x21\x12\xa4\x43" + V4[8:],
        V4[:22] + b"\xff\xff" + V4[24:],
        b"SIP/2.0 200 OK\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_none(octets: bytes) -> None:
    assert parse_answer(octets) is None


def test_no_datagram_does_any_harm() -> None:
    chance = random.Random(3)
    for _ in range(3000):
        octets = bytearray(chance.choice((V4, V6)))
        for _ in range(chance.randrange(4)):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        parse_answer(bytes(octets[: chance.randrange(len(octets) + 1)]))
