"""RTCP on the wire, and what a leg says and learns by it."""

import contextlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipstack.media.quality import Reception
from sipstack.media.rtcp import (
    CNAME,
    Chunk,
    Goodbye,
    Other,
    ReceiverReport,
    ReportBlock,
    Reporter,
    RtcpError,
    SenderReport,
    SourceDescription,
    is_rtcp,
    ntp_time,
    parse,
    serialize,
)

BLOCK = ReportBlock(0xDEADBEEF, 12, -5, 0x0001FFFE, 77, 0xAABBCCDD, 65536)
#: A sender report with one block, a CNAME and a goodbye, written out by hand.
COMPOUND = bytes.fromhex(
    "81c8000c 00000001 83aa7e8080000000 000000a0 0000000a 00000640"
    "deadbeef 0cfffffb 0001fffe 0000004d aabbccdd 00010000"
    "81ca0003 00000001 0103 612e6200 0000"
    "81cb0002 00000001 03627965"
)
PARSED = (
    SenderReport(1, 0x83AA7E8080000000, 160, 10, 1600, (BLOCK,)),
    SourceDescription((Chunk(1, ((CNAME, b"a.b"),)),)),
    Goodbye((1,), b"bye"),
)


def test_a_compound_packet_is_read_and_written_as_the_rfc_draws_it() -> None:
    assert parse(COMPOUND) == PARSED
    assert serialize(*PARSED) == COMPOUND


def test_unknown_packets_and_empty_reports_pass() -> None:
    packets = (ReceiverReport(7), Other(207, 3, b"\0" * 8), Goodbye(()))
    assert parse(serialize(*packets)) == packets


numbers = st.integers(0, 0xFFFFFFFF)
blocks = st.lists(
    st.builds(
        ReportBlock,
        numbers,
        st.integers(0, 255),
        st.integers(-0x800000, 0x7FFFFF),
        numbers,
        numbers,
        numbers,
        numbers,
    ),
    max_size=31,
).map(tuple)
items = st.lists(st.tuples(st.integers(1, 8), st.binary(max_size=255)), max_size=4).map(tuple)
packets = st.lists(
    st.one_of(
        st.builds(
            SenderReport, numbers, st.integers(0, 2**64 - 1), numbers, numbers, numbers, blocks
        ),
        st.builds(ReceiverReport, numbers, blocks),
        st.builds(
            SourceDescription,
            st.lists(st.builds(Chunk, numbers, items), max_size=31).map(tuple),
        ),
        st.builds(Goodbye, st.lists(numbers, max_size=31).map(tuple), st.binary(max_size=255)),
    ),
    max_size=4,
)


@given(packets)
def test_what_is_written_is_read_again(rest: list[object]) -> None:
    whole = (ReceiverReport(1), *rest)
    assert parse(serialize(*whole)) == whole  # type: ignore[arg-type]


@given(st.binary(max_size=200), st.integers(0, 60))
def test_nothing_that_comes_in_raises_anything_but_its_error(octets: bytes, cut: int) -> None:
    for datagram in (octets, COMPOUND[:cut] + octets, COMPOUND[: len(COMPOUND) - cut]):
        with contextlib.suppress(RtcpError):
            parse(datagram)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\x80\xc9",
        COMPOUND[:-1],
        COMPOUND[:-4],
        # version 1; not a report first; the first one padded
        b"\x41" + COMPOUND[1:],
        serialize(SourceDescription(())) + serialize(ReceiverReport(1)),
        bytes.fromhex("a0c90002 00000001 00000004"),
        # two blocks said, one there; chunk that never ends; reason longer than the packet; wrong padding
        b"\x82" + COMPOUND[1:],
        serialize(ReceiverReport(1)) + bytes.fromhex("81ca0002 00000001 01026162"),
        serialize(ReceiverReport(1)) + bytes.fromhex("81cb0002 00000001 04616263"),
        serialize(ReceiverReport(1)) + bytes.fromhex("a0cc0001 00000005"),
        serialize(ReceiverReport(1)) + bytes.fromhex("a0cc0001 00000008"),
        # padding before the end
        bytes.fromhex("80c90001 00000001 a0cb0001 00000004 80cb0000"),
    ],
)
def test_what_fails_the_rfcs_checks_is_refused(wrong: bytes) -> None:
    with pytest.raises(RtcpError):
        parse(wrong)


def test_padding_at_the_end_is_taken_off() -> None:
    padded = serialize(ReceiverReport(1)) + bytes.fromhex("a1cb0002 00000009 00000004")
    assert parse(padded)[1] == Goodbye((9,))


def test_too_many_blocks_are_not_written() -> None:
    with pytest.raises(ValueError, match="too many"):
        serialize(ReceiverReport(1, (BLOCK,) * 32))


def test_rtcp_is_told_from_rtp_on_one_port() -> None:
    assert is_rtcp(COMPOUND)
    for kind in (0, 8, 9, 101, 107, 127):
        for marker in (0, 0x80):
            assert not is_rtcp(bytes([0x80, kind | marker]) + bytes(10))
    assert is_rtcp(bytes([0x80, 207]))
    assert not is_rtcp(b"\x80")


NOW, WALL = 50.0, 1_800_000_000.0


def reporter() -> Reporter:
    return Reporter(0x1234, "abc", NOW, Random(1))


def test_ntp_time_is_seconds_since_1900_in_the_upper_half() -> None:
    assert ntp_time(0.5) == 2208988800 << 32 | 1 << 31


def test_a_report_says_what_was_sent_and_heard() -> None:
    octets = reporter().report(
        NOW, WALL, sent=(10, 1600, 4800), heard=(9, Reception(3, 4, 70000, 5))
    )
    sender, description = parse(octets)
    assert sender == SenderReport(
        0x1234, ntp_time(WALL), 4800, 10, 1600, (ReportBlock(9, 3, 4, 70000, 5),)
    )
    assert description == SourceDescription((Chunk(0x1234, ((CNAME, b"abc"),)),))


def test_one_that_sent_nothing_is_a_receiver_and_says_goodbye_at_the_end() -> None:
    packets = parse(reporter().report(NOW, WALL, leaving=True))
    assert packets[0] == ReceiverReport(0x1234)
    assert packets[2] == Goodbye((0x1234,))


def test_reports_are_due_every_five_seconds_or_so() -> None:
    made = reporter()
    assert NOW + 1.0 < made.due < NOW + 3.1
    pauses = []
    for _ in range(200):
        before = made.due
        made.report(before, WALL)
        pauses.append(made.due - before)
    assert min(pauses) >= 2.5 / 1.21828
    assert max(pauses) <= 7.5 / 1.21828
    assert len(set(pauses)) > 100


def test_the_round_trip_comes_back_in_two_reports() -> None:
    ours, theirs = reporter(), Reporter(0x5678, "def", NOW, Random(2))
    # 30 ms each way, and the answer 2 s after.
    assert theirs.received(ours.report(NOW, WALL, sent=(1, 160, 0)), NOW + 0.03, WALL + 99.0)
    answer = theirs.report(NOW + 2.03, WALL + 101.0, heard=(0x1234, Reception(25, 7, 1, 80)))
    assert ours.round_trip is None
    assert ours.received(answer, NOW + 2.06, WALL + 2.06)
    assert ours.round_trip == pytest.approx(0.06, abs=0.0001)
    assert ours.peer_report is not None
    assert ours.peer_report.fraction_lost == 25
    # The clock was set back: no round trip of 18 hours.
    ours.received(answer, NOW + 2.07, WALL - 5.0)
    assert ours.round_trip == pytest.approx(0.06, abs=0.0001)


def test_reports_about_others_and_rubbish_teach_nothing() -> None:
    made = reporter()
    assert not made.received(b"rubbish!", NOW, WALL)
    assert made.received(serialize(ReceiverReport(1, (BLOCK,))), NOW, WALL)
    assert made.peer_report is None
    assert made.received(COMPOUND, NOW, WALL)
