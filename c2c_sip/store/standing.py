"""What it takes to hang up the legs that are up, in a file that outlives a process that is killed.

The database learns of a leg some milliseconds after it has changed, since it is written many rows at a time and each
time to the disk itself. A service that is killed in between would leave a leg up that nobody knows of. This file is
written before an INVITE and before the ACK of its answer leave, to the kernel only, which is a matter of microseconds:
what the kernel has got is there whatever becomes of the process. Should the machine itself go down, the database is what
is left.
"""

import fcntl
import json
import logging
import os
import struct
import zlib
from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Any

log = logging.getLogger(__name__)

#: Octets of a leg's place in the file: a page, which the kernel takes whole or not at all.
PLACE = 4096
#: The mark of a place that is taken, the length of what is in it, and its checksum.
_HEAD = struct.Struct("<4sII")
_ROOM = PLACE - _HEAD.size
_TAKEN = b"leg1"
_FREE = bytes(_HEAD.size)
#: Made once: json.dumps with separators makes an encoder each time.
as_text = json.JSONEncoder(separators=(",", ":")).encode


class Standing:
    """The legs that are up, in the file ``path``; an empty one keeps nothing. For one thread at a time.

    Where the file cannot be used that is logged, and nothing is kept: the database has nearly all of it too.
    """

    def __init__(self, path: str) -> None:
        #: What the last process that used the file has left, by Call-ID.
        self.left: dict[str, dict[str, Any]] = {}
        self._path = path
        self._places: dict[str, int] = {}
        self._free: list[int] = []
        self._count = 0
        self._failing = False
        self._file = -1
        if path:
            self._open()

    def _open(self) -> None:
        try:
            # For its owner only: there is in it who calls whom.
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = os.fstat(self._file).st_size
            self._count = -(-size // PLACE)
            for place in range(self._count):
                self._read(place)
        except OSError as error:
            self.close()
            self._failed(error)

    def _read(self, place: int) -> None:
        octets = os.pread(self._file, PLACE, place * PLACE)
        try:
            mark, length, checksum = _HEAD.unpack_from(octets)
            body = octets[_HEAD.size : _HEAD.size + length]
            if mark == _TAKEN and zlib.crc32(body) == checksum:
                dumped = json.loads(body)
                call_id = dumped["call_id"]
                self.left[call_id], self._places[call_id] = dumped, place
                return
        except (struct.error, ValueError, KeyError, TypeError):
            log.error("%s: what is at %d cannot be read", self._path, place * PLACE)
        heappush(self._free, place)

    def keep(self, call_id: str, text: str) -> None:
        """Have ``text``, a JSON object that names the ``call_id`` too, be what is known of that leg. Does not raise."""
        if self._file < 0:
            return
        body = text.encode()
        if len(body) > _ROOM:
            body = _fitting(json.loads(text))
            if not body:
                log.error("call %s: too long to be kept for a crash", call_id)
                return
        place = self._places.get(call_id)
        if place is None:
            place = self._places[call_id] = heappop(self._free) if self._free else self._count
            self._count = max(self._count, place + 1)
        self._write(_HEAD.pack(_TAKEN, len(body), zlib.crc32(body)) + body, place)

    def over(self, call_id: str) -> None:
        """Forget a leg: it is over at both ends. Does not raise."""
        place = self._places.pop(call_id, None)
        if place is not None:
            heappush(self._free, place)
            self._write(_FREE, place)

    def _write(self, octets: bytes, place: int) -> None:
        try:
            os.pwrite(self._file, octets, place * PLACE)
            self._failing = False
        except OSError as error:
            if not self._failing:
                self._failed(error)
            self._failing = True

    def _failed(self, error: OSError) -> None:
        log.warning(
            "%s cannot be used (%s): legs of the milliseconds before a crash may be left up",
            self._path,
            error.strerror or error,
        )

    def close(self) -> None:
        """Close the file, which stays; empty, if no leg is up any more."""
        if self._file < 0:
            return
        try:
            if not self._places and self._count:
                os.ftruncate(self._file, 0)
        except OSError as error:
            self._failed(error)
        os.close(self._file)
        self._file = -1


def path_of(url: str, chosen: str, environ: Mapping[str, str]) -> str:
    """Where the file is: where it was ``chosen`` to be; else in the directory in memory that systemd keeps for a service
    until the machine goes down, if there is one; else beside an SQLite database, or in the directory of the service's state.
    """
    if chosen:
        return chosen
    beside = url.removeprefix("sqlite:///")
    runtime, state = (
        environ.get(name, "").partition(":")[0] for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY")
    )
    if not runtime and beside != url:
        return f"{beside}-legs"
    directory = runtime or state
    return os.path.join(directory, "c2c-legs") if directory else ""


def _fitting(dumped: Mapping[str, Any]) -> bytes:
    """``dumped`` in as few octets as a place has, without those other servers and early dialogs that make it too long;
    empty if it is too long all the same."""
    body = as_text(dumped).encode()
    while len(body) > _ROOM:
        pending = dumped.get("pending") or {}
        less = next((name for name in ("others", "early") if pending.get(name)), None)
        if less is None:
            return b""
        dumped = {**dumped, "pending": {**pending, less: pending[less][:-1]}}
        body = as_text(dumped).encode()
    return body


__all__ = ["PLACE", "Standing", "as_text", "path_of"]
