"""A PostgreSQL of the tests' own: no service of the machine's, no password, nothing left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
#: Who it belongs to inside.
OWNER = "c2c"
#: Who runs it where root runs the tests: it refuses root. Debian's package makes this user.
UNPRIVILEGED = "postgres"
#: What a power cut would do to it is not what is tested.
HASTE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
HASTE |= {"autovacuum": "off", "wal_level": "minimal", "max_wal_senders": "0"}
#: Seconds for it to start on a busy machine.
START = 60.0


def _binaries() -> Path:
    """Where ``initdb`` and ``postgres`` are: Debian keeps them out of the path, by version."""
    found = shutil.which("postgres")
    versions = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(versions, key=lambda path: float(path.parts[-3]), default=None)
    if newest is None and found is None:
        raise RuntimeError("there is no PostgreSQL: apt-get install postgresql, as tests/run does")
    return newest.parent if newest is not None else Path(str(found)).resolve().parent


def _ends_with_us() -> None:
    """Have the system end the child with this process, also where that is killed and can end nothing itself."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG


class Postgres:
    """A cluster in a folder of its own, from :meth:`start` to :meth:`close`."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="c2c-postgres-"))
        self._bin = _binaries()
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        command = [self._bin / "initdb", "-D", self._folder / "data", "-U", OWNER, "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, timeout=120, **self._as
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(self._bin / "postgres"), "-D", str(self._folder / "data")]
        settings = HASTE | {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "max_connections": "100",
        }
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_ends_with_us,
                **self._as,
            )
        end = time.monotonic() + START
        while True:
            try:
                self.execute("SELECT 1")
                return
            except Exception:
                printed = self._log.read_text(errors="replace")[-2000:]
                assert self._process.poll() is None, printed
                assert time.monotonic() < end, printed
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it, with all its connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(20)
            self._process = None

    def close(self) -> None:
        """Stop it, and leave nothing."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql://{OWNER}@{HOST}:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Have it do one statement, by itself; the rows, if it has any."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def make(self, template: str = "template0") -> str:
        """A new database's name."""
        name = f"c2c_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """The URL of a database for as long as the block takes."""
        name = self.make(template)
        try:
            yield self.url(name)
        finally:
            self.drop(name)


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """One that runs for as long as the block takes."""
    made = Postgres()
    try:
        made.start()
        yield made
    finally:
        made.close()
