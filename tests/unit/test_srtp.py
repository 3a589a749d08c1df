"""SRTP: whose keys are agreed on, never silently plain RTP, and packets that fail."""

import struct
from base64 import b64encode
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipstack.media import srtp
from sipstack.media.srtp import Protector
from sipstack.sdes import (
    KEY_SIZE,
    Agreement,
    Crypto,
    Mode,
    Plan,
    SrtpError,
    Suite,
    accept,
    answer,
    offer,
    parse,
)

RANDOM = Random(7).randbytes
KEY = bytes(range(KEY_SIZE))
INLINE = "inline:" + b64encode(KEY).decode()
THEIRS_80 = f"1 AES_CM_128_HMAC_SHA1_80 {INLINE}"
THEIRS_32 = f"2 AES_CM_128_HMAC_SHA1_32 {INLINE}"
UNKNOWN = f"3 AEAD_AES_256_GCM {INLINE}"


# --- a=crypto


@pytest.mark.parametrize(
    ("value", "crypto"),
    [
        (THEIRS_80, Crypto(1, Suite.TAG_80, KEY)),
        (THEIRS_32, Crypto(2, Suite.TAG_32, KEY)),
        (THEIRS_80 + "|2^20", Crypto(1, Suite.TAG_80, KEY)),
        (THEIRS_80 + "|2^31|1:1", Crypto(1, Suite.TAG_80, KEY, 1)),
        (THEIRS_80 + "|1048576|17:4", Crypto(1, Suite.TAG_80, KEY, 4)),
        (THEIRS_80 + "|1:4", Crypto(1, Suite.TAG_80, KEY, 4)),
        (THEIRS_80 + " WSH=64 -NEW=1", Crypto(1, Suite.TAG_80, KEY)),
        (" " + THEIRS_80.replace(" ", "\t") + " ", Crypto(1, Suite.TAG_80, KEY)),
        # Whoever asks for less than SRTP gives, or for what we do not do, gets nothing.
        (THEIRS_80 + " UNENCRYPTED_SRTP", None),
        (THEIRS_80 + " UNAUTHENTICATED_SRTP", None),
        (THEIRS_80 + " KDR=1", None),
        (THEIRS_80 + f";{INLINE}|1:4", None),
        (THEIRS_80 + "|2^20|1:4|9", None),
        (THEIRS_80 + "|nonsense", None),
        (THEIRS_80 + "|1:400", None),
        (UNKNOWN, None),
        (THEIRS_80[:-1], None),
        (THEIRS_80 + "AAAA", None),
        ("1 AES_CM_128_HMAC_SHA1_80 inline:" + "?" * 40, None),
        ("1 AES_CM_128_HMAC_SHA1_80 uri:http://example.com/key", None),
        ("1 AES_CM_128_HMAC_SHA1_80", None),
        ("x" + THEIRS_80, None),
        (THEIRS_80 + " -" + "x" * 1000, None),
        ("", None),
    ],
)
def test_crypto_lines(value: str, crypto: Crypto | None) -> None:
    assert parse(value) == crypto


def test_what_is_written_is_read_again_and_no_log_shows_the_key() -> None:
    crypto = Crypto(5, Suite.TAG_32, RANDOM(KEY_SIZE))
    assert parse(str(crypto)) == crypto
    assert b64encode(crypto.key).decode() not in repr(Agreement(crypto, crypto))


@given(st.text(max_size=200), st.integers(0, 60))
def test_no_line_does_harm(text: str, cut: int) -> None:
    parse(text)
    parse(THEIRS_80[:cut] + text)
    parse(THEIRS_80 + text)


# --- offers and answers


def test_offers_by_mode() -> None:
    assert offer(Mode.OFF, RANDOM) == Plan("RTP/AVP")
    for mode, protocol in ((Mode.OPTIONAL, "RTP/AVP"), (Mode.REQUIRED, "RTP/SAVP")):
        plan = offer(mode, RANDOM)
        assert plan.protocol == protocol
        assert [crypto.suite for crypto in plan.cryptos] == [Suite.TAG_80, Suite.TAG_32]
        assert len({crypto.key for crypto in plan.cryptos}) == 2
        assert plan.agreement is None


@pytest.mark.parametrize("mode", [Mode.OPTIONAL, Mode.REQUIRED])
@pytest.mark.parametrize("value", [THEIRS_80, THEIRS_32])
def test_an_answer_with_a_key_of_the_offer_is_agreed_on(mode: Mode, value: str) -> None:
    offered = offer(mode, RANDOM)
    agreement = accept(offered, mode, offered.protocol, [value]).agreement
    assert agreement is not None
    assert agreement.theirs == parse(value)
    assert agreement.ours is offered.cryptos[0 if value == THEIRS_80 else 1]


@pytest.mark.parametrize(
    ("mode", "protocol", "values"),
    [
        (Mode.REQUIRED, "RTP/SAVP", []),
        (Mode.REQUIRED, "RTP/AVP", []),
        # Not what was offered, keys or no keys.
        (Mode.REQUIRED, "RTP/AVP", [THEIRS_80]),
        (Mode.REQUIRED, "RTP/AVPF", [THEIRS_32]),
        (Mode.REQUIRED, "RTP/SAVP", [UNKNOWN]),
        (Mode.REQUIRED, "RTP/SAVP", [THEIRS_80, THEIRS_32]),
        (Mode.REQUIRED, "RTP/SAVP", [THEIRS_80.replace("_80", "_32")]),
        (Mode.REQUIRED, "RTP/SAVP", ["9" + THEIRS_80[1:]]),
        (Mode.REQUIRED, "RTP/SAVP", [THEIRS_80 + " UNENCRYPTED_SRTP"]),
        (Mode.OPTIONAL, "RTP/SAVP", []),
        (Mode.OPTIONAL, "RTP/AVP", [UNKNOWN]),
        (Mode.OFF, "RTP/SAVP", [THEIRS_80]),
    ],
)
def test_an_answer_that_would_be_half_secure_is_refused(
    mode: Mode, protocol: str, values: list[str]
) -> None:
    with pytest.raises(SrtpError):
        accept(offer(mode, RANDOM), mode, protocol, values)


def test_plain_answers_are_taken_where_they_may_be() -> None:
    assert accept(offer(Mode.OFF, RANDOM), Mode.OFF, "RTP/AVP", []).agreement is None
    # Keys in an answer that nobody asked for mean nothing.
    assert accept(offer(Mode.OFF, RANDOM), Mode.OFF, "RTP/AVP", [THEIRS_80]).agreement is None
    offered = offer(Mode.OPTIONAL, RANDOM)
    assert accept(offered, Mode.OPTIONAL, "RTP/AVP", []) == Plan("RTP/AVP")


@pytest.mark.parametrize("mode", [Mode.OPTIONAL, Mode.REQUIRED])
@pytest.mark.parametrize("protocol", ["RTP/AVP", "RTP/SAVP", "RTP/SAVPF"])
def test_an_offer_with_keys_is_answered_with_ours(mode: Mode, protocol: str) -> None:
    plan = answer(mode, protocol, [UNKNOWN, THEIRS_32, THEIRS_80], RANDOM)
    assert plan.protocol == protocol
    assert plan.agreement is not None
    assert plan.agreement.theirs == parse(THEIRS_32)
    (ours,) = plan.cryptos
    assert ours is plan.agreement.ours
    assert (ours.tag, ours.suite) == (2, Suite.TAG_32)
    assert ours.key != KEY


@pytest.mark.parametrize(
    ("mode", "protocol", "values"),
    [
        (Mode.OFF, "RTP/SAVP", [THEIRS_80]),
        (Mode.OPTIONAL, "RTP/SAVP", []),
        (Mode.OPTIONAL, "RTP/SAVPF", [UNKNOWN]),
        (Mode.REQUIRED, "RTP/SAVP", []),
        (Mode.REQUIRED, "RTP/AVP", []),
        (Mode.REQUIRED, "RTP/AVP", [UNKNOWN]),
    ],
)
def test_an_offer_that_cannot_be_met_is_refused(
    mode: Mode, protocol: str, values: list[str]
) -> None:
    with pytest.raises(SrtpError):
        answer(mode, protocol, values, RANDOM)


@pytest.mark.parametrize(
    ("mode", "values"),
    [(Mode.OFF, []), (Mode.OFF, [THEIRS_80]), (Mode.OPTIONAL, []), (Mode.OPTIONAL, [UNKNOWN])],
)
def test_plain_offers_are_answered_plain_where_they_may_be(mode: Mode, values: list[str]) -> None:
    assert answer(mode, "RTP/AVP", values, RANDOM) == Plan("RTP/AVP")


def test_only_a_new_key_gets_a_new_key() -> None:
    first = answer(Mode.REQUIRED, "RTP/SAVP", [THEIRS_80], RANDOM).agreement
    again = answer(Mode.REQUIRED, "RTP/SAVP", [THEIRS_80], RANDOM, first).agreement
    assert again == first
    rekeyed = f"1 AES_CM_128_HMAC_SHA1_80 inline:{b64encode(KEY[::-1]).decode()}"
    other = answer(Mode.REQUIRED, "RTP/SAVP", [rekeyed], RANDOM, first).agreement
    assert first is not None
    assert other is not None
    assert other.ours.key != first.ours.key


def test_many_lines_cost_little() -> None:
    with pytest.raises(SrtpError):
        answer(Mode.REQUIRED, "RTP/SAVP", [UNKNOWN] * 500 + [THEIRS_80], RANDOM)


# --- packets


def ends(suite: Suite = Suite.TAG_80, mki: int = 0) -> tuple[Protector, Protector]:
    a, b = Crypto(1, suite, RANDOM(KEY_SIZE), mki), Crypto(1, suite, RANDOM(KEY_SIZE))
    return Protector(Agreement(a, b)), Protector(Agreement(b, a))


def rtp(sequence: int, payload: bytes = b"\xd5" * 160) -> bytes:
    number = sequence & 0xFFFF
    return struct.pack("!BBHII", 0x80, 8, number, sequence * 160 & 0xFFFFFFFF, 0xCAFE) + payload


RTCP = bytes.fromhex("80c90001 0000cafe")


def test_encryption_is_that_of_libsrtps_published_vector() -> None:
    key = bytes.fromhex("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6")
    crypto = Crypto(1, Suite.TAG_80, key)
    plain = bytes.fromhex("800f1234decafbadcafebabe") + b"\xab" * 16
    secret = bytes.fromhex(
        "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"
    )
    assert Protector(Agreement(crypto, crypto)).protect(plain) == secret
    assert Protector(Agreement(crypto, crypto)).unprotect(secret) == plain


@pytest.mark.parametrize("suite", list(Suite))
def test_both_directions_go_through_across_a_wrap_of_the_sequence(suite: Suite) -> None:
    one, other = ends(suite)
    for sequence in (*range(65000, 66000, 10), *range(66000, 140000, 500)):
        packet = one.protect(rtp(sequence))
        assert packet is not None
        assert len(packet) == 172 + suite.tag_size
        assert packet[12:172] != rtp(sequence)[12:]
        assert other.unprotect(packet) == rtp(sequence)
    back = other.protect(rtp(5))
    assert back is not None
    assert one.unprotect(back) == rtp(5)
    report = one.protect_rtcp(RTCP)
    assert report is not None
    assert other.unprotect_rtcp(report) == RTCP
    assert (other.failed, other.replayed, other.refused) == (0, 0, 0)


def test_packets_that_fail_are_counted_and_end_nothing() -> None:
    one, other = ends()
    good = one.protect(rtp(1))
    report = one.protect_rtcp(RTCP)
    assert good is not None
    assert report is not None
    wrong = bytearray(good)
    wrong[50] ^= 1
    for bad in (bytes(wrong), rtp(2), b"", b"\x80", good[:20], b"\x80" * 5000, RTCP):
        assert other.unprotect(bad) is None
    assert other.failed == 7
    for bad in (report[:-1], RTCP, b"", bytes(8)):
        assert other.unprotect_rtcp(bad) is None
    assert other.failed == 11
    assert other.unprotect(good) == rtp(1)
    assert other.unprotect(good) is None
    assert (other.failed, other.replayed) == (11, 1)


def test_what_cannot_be_sent_safely_is_not_sent() -> None:
    one, _ = ends()
    assert one.protect(rtp(1)) is not None
    # The same number with other sound would give both away.
    assert one.protect(rtp(1, b"\x00" * 160)) is None
    assert one.protect(bytes(1500)) is None
    assert one.protect(b"") is None
    assert one.refused == 3


@pytest.mark.parametrize("sends_it", [True, False])
def test_a_peer_that_names_its_key_is_understood_whether_or_not_its_packets_do(
    sends_it: bool,
) -> None:
    sender, receiver = ends(mki=4)
    for sequence in range(10):
        packet = sender.protect(rtp(sequence))
        assert packet is not None
        if sends_it:
            packet = packet[:-10] + b"\0\0\0\1" + packet[-10:]
        (plain,) = (receiver.unprotect(packet),)
        assert plain == rtp(sequence)
    assert receiver.unprotect(bytes(5)) is None
    assert receiver.unprotect(rtp(99)) is None
    assert (receiver.failed, receiver.replayed) == (2, 0)


def test_without_the_library_there_is_an_error_and_no_plain_rtp(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(srtp, "AVAILABLE", False)
    with pytest.raises(SrtpError, match="not installed"):
        ends()
