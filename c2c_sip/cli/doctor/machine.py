"""What the machine gives the service: ports, files, disk, descriptors."""

import contextlib
import errno
import os
import resource
import shutil
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peewee as pw

from c2c_sip.cli.client import Client, ServiceError, url_of
from c2c_sip.cli.doctor.findings import Finding, fail, ok, warn
from c2c_sip.cli.doctor.sockets import PROC, Holder, bind_error, holder, inodes, is_of, owners
from c2c_sip.config import Config
from c2c_sip.store.server import connect

#: Sockets of a call, and what a process has open besides.
SOCKETS, BESIDE = 6, 100
#: The most descriptors that the service asks the system for.
MOST_DESCRIPTORS = 65_536
#: Bytes of free disk, below which it gets tight, and below which nothing may be written any more.
TIGHT, NOTHING = 500_000_000, 50_000_000
_LOWEST = 1024


@dataclass(frozen=True, slots=True)
class Running:
    """The service that runs with these settings; ``pid`` is 0 where it may not be seen."""

    url: str
    pid: int

    def has(self, other: Holder) -> bool:
        """Whether a socket's holder is it, as far as can be seen."""
        return not other.pid or not self.pid or is_of(other.pid, self.pid)


def running_service(settings: Config) -> Running | None:
    """The service where the settings say that it is."""
    url = url_of(settings)
    if not url:
        return None
    try:
        if Client(url).ask("GET", "/healthz")["data"] != {"status": "ok"}:
            return None
    except ServiceError:
        return None
    return Running(url, holder("tcp", int(url.rpartition(":")[2])).pid)


def service(settings: Config, running: Running | None) -> Finding:
    """Whether it runs, and is ready."""
    check = "service"
    if running is None:
        return ok(check, "not running, which is no fault: what it will need is looked at")
    try:
        Client(running.url).ask("GET", "/readyz")
    except ServiceError as error:
        return warn(
            check,
            f"runs at {running.url}, but takes no calls now: {error.message}",
            "see the checks below, and the service's log",
        )
    return ok(check, f"runs at {running.url} and is ready")


# --- ports


def http_port(settings: Config, running: Running | None) -> Finding:
    """Whether ``http.listen`` can be had."""
    host, _, port = settings.http.listen.rpartition(":")
    return _port("http.listen", "tcp", host.strip("[]"), int(port), running)


def sip_ports(settings: Config, running: Running | None) -> list[Finding]:
    """Whether each of ``sip.listen`` can be had."""
    found = []
    for entry in settings.sip.listen:
        kind, _, address = entry.partition(":")
        host, _, port = address.rpartition(":")
        layer = "udp" if kind == "udp" else "tcp"
        found.append(_port(f"sip.listen {kind}", layer, host.strip("[]"), int(port), running))
    return found


def _port(check: str, kind: str, host: str, port: int, running: Running | None) -> Finding:
    setting = check.partition(" ")[0]
    where = f"{kind} {host} port {port}"
    error = bind_error(kind, host, port)
    if port == 0 and error is None:
        return ok(check, f"{kind} {host}: takes a free port")
    if error is None:
        return ok(check, f"{where} is free")
    if error.errno == errno.EADDRINUSE:
        who = holder(kind, port)
        if running is not None and running.has(who):
            return ok(check, f"{where} is held by the running service")
        return fail(
            check,
            f"{where} is taken by {who}",
            f"stop {who}, or give the service another port: {setting}",
        )
    if error.errno == errno.EACCES:
        remedy = f"take a port above {_LOWEST}, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the service unit"
        return fail(check, f"{where} is only for root", remedy)
    remedy = f"correct {setting}: an address of this machine (ip address shows them), or 0.0.0.0"
    return fail(check, f"{where} cannot be had: {error.strerror or error}", remedy)


def rtp_ports(settings: Config, running: Running | None) -> Finding:
    """How many of ``media.ports`` can be had, and whether they are enough."""
    check = "media.ports"
    first, last = settings.media.ports
    host = settings.media.address or "0.0.0.0"  # noqa: S104 - bound, and let go of at once
    taken: list[int] = []
    for port in range(first, last + 1):
        error = bind_error("udp", host, port)
        if error is not None and error.errno != errno.EADDRINUSE:
            return fail(
                check,
                f"no RTP at {host}: {error.strerror or error}",
                "correct media.address: an address of this machine, or empty",
            )
        if error is not None:
            taken.append(port)
    others = _not_ours(taken, running)
    lost = set(others)
    start = first + first % 2
    pairs = sum(port not in lost and port + 1 not in lost for port in range(start, last, 2))
    room, wanted = pairs // 2, settings.calling.max_calls
    names = ", ".join(sorted({str(one) for one in others.values()})[:3])
    remedy = "stop who has them, or give the service others: media.ports"
    if not room:
        return fail(check, f"none of udp {first}-{last} is left: taken by {names}", remedy)
    if others:
        text = f"{len(others)} of udp {first}-{last} are taken by {names}; room for {room} calls"
        return (fail if room < wanted else warn)(check, text, remedy)
    if room < wanted:
        text = f"udp {first}-{last} has room for {room} calls, calling.max_calls is {wanted}"
        return warn(check, text, "a wider range: a call takes four ports")
    mine = f", {len(taken)} in use by the running service" if taken else ""
    return ok(check, f"udp {first}-{last} has room for {room} calls{mine}")


def _not_ours(taken: list[int], running: Running | None) -> dict[int, Holder]:
    """Who has those of the ports that the service has not."""
    if not taken:
        return {}
    by_port = inodes("udp")
    known = owners(inode for port in taken for inode in by_port.get(port, ()))
    found: dict[int, Holder] = {}
    for port in taken:
        whose = [known.get(inode, Holder(0, "")) for inode in by_port.get(port, ())]
        who = whose[0] if whose else Holder(0, "")
        # One that is held by nobody any more was let go of since.
        if whose and not (running is not None and running.has(who)):
            found[port] = who
    return found


# --- files

#: Seconds in which a database is read through, as far as they reach.
_READING = 5.0
_BRING_BACK = "put it aside, and bring back a backup: c2c-sip restore FILE"


def database(settings: Config) -> list[Finding]:
    """Whether the database can be written, and has room."""
    url = settings.database.url
    path = url.removeprefix("sqlite:///")
    if path == url:
        return [_server(url)]
    file = Path(path).absolute()
    folder = file.parent
    found = _sqlite(file)
    return [found] if not folder.is_dir() else [found, _room("database disk", folder)]


def _sqlite(file: Path) -> Finding:
    check = "database"
    if not file.parent.is_dir():
        remedy = f"make the directory {file.parent} for the service's user, or correct database.url"
        return fail(check, f"{file}: there is no directory {file.parent}", remedy)
    if not file.exists():
        wrong = _unwritable(file.parent)
        if wrong:
            remedy = f"let the service's user write in {file.parent}, or correct database.url"
            return fail(check, f"{file} cannot be made: {wrong}", remedy)
        return warn(check, f"{file} is not there yet", "make it: c2c-sip init")
    try:
        with contextlib.closing(
            sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=10)
        ) as one:
            # The lock to write, and nothing written.
            one.execute("BEGIN IMMEDIATE")
            one.rollback()
            damage = _damage(one)
    except sqlite3.DatabaseError as error:
        if not isinstance(error, sqlite3.OperationalError):
            return fail(check, f"{file} is damaged: {error}", _BRING_BACK)
        remedy = f"let the service's user write {file} and its directory; a file that is no database is put aside"
        return fail(check, f"{file} cannot be written: {error}", remedy)
    if damage:
        return fail(check, f"{file} is damaged: {damage}", _BRING_BACK)
    # Root may write anywhere, which says nothing of whom the service runs as.
    whose = f" by root; it is {file.owner()}'s" if os.geteuid() == 0 else ""
    return ok(check, f"{file} can be written{whose}")


def _damage(database: sqlite3.Connection) -> str:
    """What SQLite finds wrong on reading all of it, empty where that is nothing, or would take too long."""
    end = time.monotonic() + _READING
    database.set_progress_handler(lambda: int(time.monotonic() > end), 10_000)
    try:
        (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return ""
        raise
    return "" if said == "ok" else str(said).splitlines()[-1]


def _server(url: str) -> Finding:
    check = "database"
    remedy = "see whether PostgreSQL runs and what database.url says; c2c-sip has to be installed as c2c-sip[postgres]"
    try:
        one = connect(url)
        execute: Any = one.execute_sql
        with one.connection_context():
            (only_read,) = execute("SHOW transaction_read_only").fetchone()
    except (pw.PeeweeException, ImportError, RuntimeError) as error:
        return fail(check, f"PostgreSQL does not answer: {str(error).strip()}", remedy)
    if only_read == "on":
        return fail(check, "PostgreSQL lets nothing be written", "name the primary in database.url")
    return ok(check, "PostgreSQL answers and can be written")


def _unwritable(folder: Path) -> str:
    """Why nothing can be made in a directory, empty where it can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def directories(settings: Config) -> list[Finding]:
    """Whether the directories of recordings and uploaded audio can be written."""
    wanted = (
        ("recording.directory", settings.recording.directory),
        ("database.media_directory", settings.database.media_directory),
    )
    found = []
    for check, text in wanted:
        if not text:
            continue
        folder = Path(text).absolute()
        # The service makes what is not there yet.
        there = next((each for each in (folder, *folder.parents) if each.exists()), Path("."))
        wrong = _unwritable(there) if there.is_dir() else f"{there} is no directory"
        if wrong:
            remedy = f"let the service's user write there, or correct {check}"
            found.append(fail(check, f"{folder} cannot be written: {wrong}", remedy))
        else:
            found.append(_room(check, there, f"{folder} can be written"))
    return found


def _room(check: str, folder: Path, also: str = "") -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{also}, " if also else ""
    text += f"{free / 1e9:.1f} GB are free in {folder}"
    if free < NOTHING:
        return fail(check, text, "make room: soon nothing can be written")
    if free < TIGHT:
        return warn(check, text, "make room before nothing can be written")
    return ok(check, text)


# --- limits


def descriptors(settings: Config, running: Running | None) -> Finding:
    """Whether there may be as many open files as the calls need."""
    check = "open files"
    first, last = settings.media.ports
    wanted = settings.calling.max_calls
    calls = wanted or (last - first + 1) // 4
    needed = calls * SOCKETS + BESIDE
    limit, whose = _limit(running)
    room = max(0, (limit - BESIDE) // SOCKETS)
    text = f"{whose} may open {limit} files, enough for {room} calls at once"
    if limit >= needed:
        return ok(check, text)
    remedy = f"LimitNOFILE={min(needed, MOST_DESCRIPTORS)} in the service unit, or ulimit -Hn; or fewer calls: calling.max_calls"
    text += f"; {calls} are allowed by " + ("calling.max_calls" if wanted else "media.ports")
    return (fail if wanted or not room else warn)(check, text, remedy)


def _limit(running: Running | None) -> tuple[int, str]:
    if running is not None and running.pid:
        with contextlib.suppress(OSError):
            for line in (PROC / str(running.pid) / "limits").read_text().splitlines():
                if line.startswith("Max open files"):
                    soft = line.split()[3]
                    limit = MOST_DESCRIPTORS if soft == "unlimited" else int(soft)
                    return limit, "the running service"
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, MOST_DESCRIPTORS)
    return limit, "what is started from here"
