"""What all programs share: a folder, a log, ports, and an end by pid."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Way:
    """How programs speak with each other: ``udp``, ``tcp`` or ``tls``, at an address of loopback."""

    transport: str = "udp"
    host: str = HOST

    @property
    def literal(self) -> str:
        """The host as it stands in a URI."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.transport}-{'ipv6' if ':' in self.host else 'ipv4'}"


#: Each way there is.
WAYS = [Way(transport, host) for host in (HOST, "::1") for transport in ("udp", "tcp", "tls")]


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files: the authority, and a certificate of loopback with its key in one."""

    authority: Path
    own: Path


#: Where ports are looked for: below those of :func:`free_rtp_range`, and those that the system gives out by itself. It
#: gives one of these, to any connection or lookup of any program, before the one that it is meant for has bound it.
_PORTS = range(11000, 21000)
#: None that a test seeds: all who run tests at the same time would look at the same ports.
_system = random.SystemRandom()


def free_port(host: str = HOST) -> int:
    """A port that nobody had a moment ago, neither for datagrams nor for connections: most programs bind both."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(200):
        port = _system.choice(_PORTS)
        with (
            socket.socket(family, socket.SOCK_DGRAM) as datagrams,
            socket.socket(family, socket.SOCK_STREAM) as connections,
            contextlib.suppress(OSError),
        ):
            datagrams.bind((host, port))
            connections.bind((host, port))
            return port
    raise RuntimeError("no free port")


def free_row(count: int) -> int:
    """The first, which is even, of so many UDP ports in a row that were free a moment ago."""
    for _ in range(200):
        first = _system.randrange(_PORTS.start, _PORTS.stop - count, 2)
        with contextlib.ExitStack() as held:
            try:
                for port in range(first, first + count):
                    one = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    one.bind((HOST, port))
            except OSError:
                continue
            return first
    raise RuntimeError("no free ports")


#: Which of those that run tests at the same time this is, as pytest-xdist says it.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
#: Ports for RTP, below those that the system gives out by itself, which each worker has a part of to itself: a service
#: binds them only when a call begins.
_PART = range(21000 + _WORKER % 4 * 2880, 21000 + (_WORKER % 4 + 1) * 2880)
#: Where what is given next begins: it is long until anything is given again.
_next = itertools.cycle(_PART[::2])


def free_rtp_range(count: int = 120) -> tuple[int, int]:
    """Ports that nobody has, nor will soon be given; the first is even."""
    for start in itertools.islice(_next, len(_PART)):
        if start + count > _PART.stop:
            continue
        with contextlib.ExitStack() as held:
            try:
                for port in range(start, start + count):
                    one = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    one.bind((HOST, port))
            except OSError:
                continue
        for _ in range(2, count, 2):
            next(_next)
        return start, start + count - 1
    raise RuntimeError("no free ports")


#: How many times as long everything may take on a machine that does other things beside.
BUSY = 4


def until(condition: Callable[[], Any], seconds: float = 10.0, what: str = "") -> Any:
    """The first true value of ``condition``, for which a machine that is not busy may need so many seconds."""
    end = time.monotonic() + BUSY * seconds
    pause = 0.02
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {BUSY * seconds} s in vain for {what or condition}")
        # Asking takes its time too, often that of the service that is waited for.
        time.sleep(pause)
        pause = min(1.1 * pause, 0.2)


class Program:
    """A child process and what it printed."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes]

    def launch(self, command: list[str], environ: dict[str, str] | None = None) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
            )

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            # What it has started, as socat does for each peer, is of its process group and would stay.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.returncode

    def kill(self) -> None:
        """Kill it with all its children, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def printed(self) -> str:
        return self.log.read_text(errors="replace")


def udp_table() -> list[str]:
    return Path("/proc/net/udp").read_text().splitlines()[1:]


def is_bound(port: int, transport: str = "u1") -> bool:
    name = "udp" if transport in ("u1", "udp") else "tcp"
    table = [
        line
        for family in ("", "6")
        for line in Path(f"/proc/net/{name}{family}").read_text().splitlines()[1:]
    ]
    return any(int(line.split()[1].rpartition(":")[2], 16) == port for line in table)


def stop_all(programs: list[Program]) -> None:
    for program in programs:
        with contextlib.suppress(ProcessLookupError):
            program.stop(signal.SIGTERM, 5)
