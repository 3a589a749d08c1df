"""Cutting a byte stream into SIP messages by Content-Length (:rfc:`3261` §18.3). Pure."""

import re
from collections.abc import Iterator

#: Bytes of a start line with its headers, and of a body, that are waited for.
LARGEST_HEAD = 64 * 1024
LARGEST_BODY = 256 * 1024


_PING = b"\r\n\r\n"
_FOLD = re.compile(rb"\n[ \t]+")


class FramingError(Exception):
    """The stream cannot be cut any further; the connection is of no more use.

    ``head`` is that of the message whose end cannot be told, as far as one was found.
    """

    def __init__(self, why: str, head: bytes = b"") -> None:
        super().__init__(why)
        self.head = head


class Framing:
    """One direction of one connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        #: Bytes of the message that is being waited for, once its head is complete.
        self._needed = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes; the messages that are complete. An empty one is the ping of :rfc:`5626` §3.5.1: CRLF CRLF.

        :raises FramingError: after the messages before it: the head is too long, or says no length that can be read.
        """
        self._buffer += data
        while True:
            if not self._needed:
                yield from self._skip_line_ends()
                if not self._read_head():
                    return
            if len(self._buffer) < self._needed:
                return
            message = bytes(self._buffer[: self._needed])
            del self._buffer[: self._needed]
            self._needed = self._searched = 0
            yield message

    def _skip_line_ends(self) -> Iterator[bytes]:
        while self._buffer.startswith(b"\r\n"):
            if self._buffer.startswith(_PING):
                del self._buffer[:4]
                yield b""
            elif _PING.startswith(self._buffer):
                return  # may become a ping yet
            else:
                del self._buffer[:2]

    def _read_head(self) -> bool:
        end = self._buffer.find(_PING, self._searched)
        if end < 0:
            # Each byte is searched once, however small the pieces are that it comes in.
            self._searched = max(0, len(self._buffer) - 3)
            if len(self._buffer) > LARGEST_HEAD:
                raise FramingError("head too long")
            return False
        if end > LARGEST_HEAD:
            raise FramingError("head too long")
        self._needed = end + 4 + _content_length(bytes(self._buffer[:end]))
        return True


def _content_length(head: bytes) -> int:
    lengths: set[bytes] = set()
    whole = head + _PING
    # Lines are what the parser takes for lines, or the two would not agree on where a message ends.
    head = _FOLD.sub(b" ", head.replace(b"\r\n", b"\n"))
    for line in head.split(b"\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"content-length", b"l"):
            lengths.add(value.strip())
    if not lengths:
        return 0
    text = lengths.pop()
    if lengths or not text.isdigit() or len(text) > 9 or int(text) > LARGEST_BODY:
        raise FramingError("no usable Content-Length", whole)
    return int(text)
