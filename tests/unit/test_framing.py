"""Cutting a stream into messages."""

import pytest

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
        b"A: b\r\nContent-Length: 1\r\nl: 2\r\n\r\n",
        b"A: b\r\nContent-Length: %d\r\n\r\n" % (LARGEST_BODY + 1),
        b"A" * (LARGEST_HEAD + 1),
        b"A" * LARGEST_HEAD + b"AAAA\r\n\r\n",
    ],
)
def test_a_stream_that_cannot_be_cut_is_an_error(head: bytes) -> None:
    with pytest.raises(FramingError):
        Framing().feed(b"x\r\n" + head)
