"""Whether the clock is right: by a time server, by what the trunks say, or by what this machine knows itself."""

import asyncio
import ctypes
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path

import c2c_sip
from c2c_sip.cli.doctor.findings import Finding, fail, not_checked, ok, warn
from c2c_sip.cli.doctor.sockets import host_port
from c2c_sip.config import Config

CHECK = "clock"
#: Seconds that a time server may take.
PATIENCE = 4.0
#: Seconds by which the clock may be wrong: before it is worth a word, and before tokens and records are of no use.
OFF, FAR_OFF = 5.0, 60.0
_PORT = 123
#: Seconds from 1900, which NTP counts from, to the Unix epoch.
_EPOCH = 2_208_988_800
#: What adjtimex(2) returns where nothing keeps the clock right, and room for what it writes.
_TIME_ERROR, _TIMEX = 5, 512


@dataclass(frozen=True, slots=True)
class Told:
    """A Date header, when it came (Unix seconds), and from where."""

    date: str
    moment: float
    by: str


async def examine(settings: Config, told: Sequence[Told], ntp: str) -> Finding:
    """Ask the time server ``ntp``, HOST or HOST:PORT, if there is one; else go by what was told, and by the files here."""
    if ntp:
        return await _by_ntp(ntp)
    for one in told:
        try:
            theirs = parsedate_to_datetime(one.date)
        except ValueError:
            continue
        if theirs.tzinfo is None:  # which is how "-0000" is read
            theirs = theirs.replace(tzinfo=UTC)
        return judge_clock(theirs.timestamp() - one.moment, f"the Date of {one.by}")
    return _by_itself(settings)


def judge_clock(off: float, by: str) -> Finding:
    """What it means that another clock is ``off`` seconds ahead of ours."""
    if abs(off) < OFF:
        return ok(CHECK, f"is right by {by}")
    text = f"is {abs(off):.0f} s {'behind' if off > 0 else 'ahead'} by {by}"
    remedy = "have it set by a time server: timedatectl set-ntp true, or chrony"
    return (fail if abs(off) >= FAR_OFF else warn)(CHECK, text, remedy)


def _by_itself(settings: Config) -> Finding:
    """A board without a clock of its own begins in the past, where its files have not been written yet."""
    database = settings.database.url.removeprefix("sqlite:///")
    files = [Path(c2c_sip.__file__)]
    if database != settings.database.url:
        files += [Path(database), Path(f"{database}-wal")]
    written = {file: file.stat().st_mtime for file in files if file.exists()}
    newest = max(written, key=lambda file: written[file])
    ahead = written[newest] - time.time()
    if ahead >= FAR_OFF:
        return judge_clock(ahead, f"{newest}, which was written then")
    remedy = "name a time server: --ntp HOST"
    match _kept():
        case True:
            return ok(CHECK, "is kept right by a time server, as the kernel says")
        case False:
            text = "no answer said what time it is, and no time server keeps it right, as the kernel says"
            return not_checked(CHECK, text, remedy)
        case None:
            return not_checked(CHECK, "no answer said what time it is", remedy)


def _kept() -> bool | None:
    """Whether something keeps the kernel's clock right; ``None`` where that cannot be known."""
    try:
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX))
    except (AttributeError, OSError):
        return None
    return None if state < 0 else state != _TIME_ERROR


async def _by_ntp(server: str) -> Finding:
    """Ask by SNTP (:rfc:`4330`): one datagram there, one back."""
    loop = asyncio.get_running_loop()
    host, port = host_port(server, _PORT)
    request = bytes([0x23]) + bytes(39) + struct.pack("!II", int(time.time()) + _EPOCH, 0)
    remedy = "name another time server"
    try:
        async with asyncio.timeout(PATIENCE):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            family, form, protocol, _, address = found[0]
            with socket.socket(family, form, protocol) as one:
                one.setblocking(False)
                await loop.sock_connect(one, address)
                sent = time.time()
                await loop.sock_sendall(one, request)
                answer = await loop.sock_recv(one, 512)
                came = time.time()
    except (OSError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or "no answer"
        return not_checked(CHECK, f"{server} cannot be asked: {why}", remedy)
    if len(answer) < 48 or answer[0] & 7 != 4 or answer[24:32] != request[40:48] or answer[1] == 0:
        return not_checked(CHECK, f"{server} does not tell the time", remedy)
    seconds, fraction = struct.unpack("!II", answer[40:48])
    theirs = seconds - _EPOCH + fraction / 2**32
    return judge_clock(theirs - (sent + came) / 2, f"the time server {server}")
