"""Which sockets there are on this machine, and whose: from ``/proc``, as far as it may be read."""

import contextlib
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
#: TCP's state of a socket that waits for connections.
_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process with a socket; ``pid`` is 0 where it may not be seen."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid else "a process that we may not see"


def bind_error(kind: str, host: str, port: int) -> OSError | None:
    """Why a ``udp`` or ``tcp`` socket cannot be bound; ``None``: it can, and is let go of at once."""
    stream = kind != "udp"
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        )
        family, form, protocol, _, address = found[0]
        with socket.socket(family, form, protocol) as one:
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if stream:  # what only lingers from connections of before is in nobody's way
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(address)
    except OSError as error:
        return error
    return None


def inodes(kind: str) -> dict[int, set[str]]:
    """The sockets' inodes by local port, of ``udp`` or of listening ``tcp``; none where there is no ``/proc``."""
    found: dict[int, set[str]] = {}
    for family in ("", "6"):
        with contextlib.suppress(OSError):
            for line in (PROC / "net" / f"{kind}{family}").read_text().splitlines()[1:]:
                fields = line.split()
                if kind == "udp" or fields[3] == _LISTEN:
                    port = int(fields[1].rpartition(":")[2], 16)
                    found.setdefault(port, set()).add(fields[9])
    return found


def owners(wanted: Iterable[str]) -> dict[str, Holder]:
    """Whose sockets these inodes are, of those that may be seen."""
    looked_for = {f"socket:[{inode}]": inode for inode in wanted}
    found: dict[str, Holder] = {}
    for folder in PROC.iterdir() if looked_for and PROC.is_dir() else ():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            for entry in os.scandir(folder / "fd"):
                with contextlib.suppress(OSError):
                    inode = looked_for.get(os.readlink(entry.path))
                    if inode is not None:
                        found[inode] = Holder(int(folder.name), _name(folder))
    return found


def holder(kind: str, port: int) -> Holder:
    """Who has a port that is taken."""
    found = owners(inodes(kind).get(port, ()))
    return next(iter(found.values()), Holder(0, ""))


def is_of(pid: int, ancestor: int) -> bool:
    """Whether a process is another one, or comes from it."""
    for _ in range(16):
        if pid == ancestor:
            return True
        try:
            # After the name, which is in parentheses and may have any character: the state, and the parent.
            pid = int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return False
        if pid <= 1:
            return False
    return False


def _name(folder: Path) -> str:
    """A process's name; of Python's, the program that it runs."""
    words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    name = Path(words[0]).name if words[0] else (folder / "comm").read_text().strip()
    if name.startswith("python") and len(words) > 1:
        module = words[2] if words[1] == "-m" and len(words) > 2 else Path(words[1]).name
        name = module or name
    return "".join(c for c in name if c.isprintable())[:64]


def host_port(text: str, default: int) -> tuple[str, int]:
    """(host, port) of HOST or HOST:PORT."""
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and (":" not in host or host.startswith("[")):
        return host.strip("[]"), int(port)
    return text.strip("[]"), default
