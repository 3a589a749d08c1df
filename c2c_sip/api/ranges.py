"""Parts of a file (:rfc:`9110` §14): what a browser's player asks for when it jumps, and who goes on with a download."""

import re
from collections.abc import Iterator
from typing import BinaryIO

import falcon

from c2c_sip.api.errors import ApiError

#: Octets that are read at once.
_PIECE = 64 * 1024
_ONE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def send(req: falcon.Request, resp: falcon.Response, file: BinaryIO, size: int) -> None:
    """Answer with a file of ``size`` octets, or with the one range of it that is asked for. The file is closed.

    Several ranges, and what is none, are answered with all of it, as is who wants a part of a certain version only: these
    have no entity tags.

    :raises ApiError: 416, there is no such range in it.
    """
    resp.set_header("Accept-Ranges", "bytes")
    begin, end = 0, size
    asked = req.get_header("Range") if req.method == "GET" else None
    match = _ONE.fullmatch((asked or "").replace(" ", ""))
    if match is not None and any(match.groups()) and req.get_header("If-Range") is None:
        first, last = match.groups()
        begin = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
        if first and last and int(last) < int(first):
            begin, end = 0, size  # no range at all
        elif begin >= size:
            file.close()
            headers = {"Content-Range": f"bytes */{size}"}
            raise ApiError(416, "range_not_satisfiable", headers=headers)
        else:
            resp.status = 206
            resp.set_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
    if req.method == "HEAD":
        file.close()
        resp.content_length = size
        return
    resp.set_stream(_Part(file, begin, end), end - begin)


class _Part:
    """What is between two places of a file, piece by piece."""

    def __init__(self, file: BinaryIO, begin: int, end: int) -> None:
        self._file = file
        self._left = end - begin
        file.seek(begin)

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._file.read(min(_PIECE, self._left)):
            self._left -= len(piece)
            yield piece

    def close(self) -> None:
        """Whoever asked has it, or is gone."""
        self._file.close()
