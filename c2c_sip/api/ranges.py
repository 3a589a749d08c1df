"""Parts of a file (:rfc:`9110` §14): what a browser's player asks for when it jumps, and who goes on with a download."""

import os
import re
from typing import BinaryIO

import falcon

from c2c_sip.api.errors import ApiError

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
    resp.set_stream(_Part(file, begin, end), end - begin)  # type: ignore[arg-type]


class _Part:
    """What is between two places of a file, as a file: the server takes as much of it as the client does."""

    def __init__(self, file: BinaryIO, begin: int, end: int) -> None:
        self._file = file
        self._begin = begin
        self._size = end - begin
        file.seek(begin)

    def read(self, most: int = -1) -> bytes:
        """At most so many octets, all that are left by default."""
        left = self._size - self.tell()
        return self._file.read(left if most < 0 else min(most, left))

    def tell(self) -> int:
        """How many were read."""
        return self._file.tell() - self._begin

    def seek(self, to: int, whence: int = os.SEEK_SET) -> int:
        """Go elsewhere; where that is."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        return self._file.seek(self._begin + base + to) - self._begin

    def close(self) -> None:
        """Whoever asked has it, or is gone."""
        self._file.close()
