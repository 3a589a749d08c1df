"""Cutting a stream into messages."""

import pytest

from sipstack.message import parse_datagram
from sipstack.transport.framing import LARGEST_BODY, LARGEST_HEAD, Framing, FramingError

ONE = b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nl: 3\r\n\r\nabc"
TWO = b"BYE sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_messages_come_out_whole_however_the_stream_is_cut(size: int) -> None:
    stream = b"\r\n" + ONE + TWO + b"\r\n\r\n" + ONE
    framing = Framing()
    found = [m for at in range(0, len(stream), size) for m in framing.feed(stream[at : at + size])]
    assert [m for m in found if m] == [ONE, TWO, ONE]
    assert found.count(b"") == 1


@pytest.mark.parametrize(
    "head",
    [
        b"A: b\r\nContent-Length: x\r\n\r\n",
        b"A: b\r\nContent-Length: -1\r\n\r\n",
        b"A: b\r\nContent-Length: +1\r\n\r\n",
        b"A: b\r\nContent-Length: 1_0\r\n\r\n",
        b"A: b\r\nContent-Length: 1\r\nl: 2\r\n\r\n",
        b"A: b\r\nContent-Length: %d\r\n\r\n" % (LARGEST_BODY + 1),
        b"A" * (LARGEST_HEAD + 1),
        b"A" * LARGEST_HEAD + b"AAAA\r\n\r\n",
    ],
)
def test_a_stream_that_cannot_be_cut_is_an_error(head: bytes) -> None:
    with pytest.raises(FramingError):
        list(Framing().feed(b"x\r\n" + head))


@pytest.mark.parametrize("start", [b"\r", b"\rX", b"\r\n\r", b"\r\n\rX", b"\n", b" "])
def test_nothing_is_kept_for_ever_whatever_it_begins_with(start: bytes) -> None:
    framing = Framing()
    with pytest.raises(FramingError):
        for octets in (start, *[b"A" * 1000] * 100):
            list(framing.feed(octets))


def test_what_came_before_the_error_is_not_lost() -> None:
    messages = Framing().feed(ONE + b"x\r\nContent-Length: x\r\n\r\n")
    assert next(messages) == ONE
    with pytest.raises(FramingError):
        next(messages)


@pytest.mark.parametrize(
    "length",
    [b"L : 3", b"content-LENGTH:\r\n 3", b"Content-Length\t:\t3\t", b"l: 3\r\nContent-Length: 3"],
)
def test_a_length_is_found_in_each_way_that_it_may_be_written(length: bytes) -> None:
    message = ONE.replace(b"l: 3", length)
    assert list(Framing().feed(message + TWO)) == [message, TWO]
    assert parse_datagram(message).body == b"abc"


def test_a_line_feed_ends_a_line_for_the_framing_too_as_the_parser_reads_it() -> None:
    message = ONE.replace(b"\r\nl: 3", b"\nl: 3")
    assert list(Framing().feed(message + TWO)) == [message, TWO]
    assert parse_datagram(message).body == b"abc"


def test_a_length_within_another_header_is_none() -> None:
    message = ONE.replace(b"l: 3", b"Subject: a\r\n l: 7\r\nl: 3")
    assert list(Framing().feed(message)) == [message]
