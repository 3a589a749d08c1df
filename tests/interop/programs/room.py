"""Network namespaces: machines of their own, as far as the network goes, with cables between them."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from tests.interop.programs.base import HOST, Program, free_port, until


class Room(Program):
    """A network of its own, in which nothing is but a loopback, until :meth:`cable` leads to another one.

    Whoever is not root makes the first one as a user namespace's; the others are then made from within it.
    """

    def __init__(self, folder: Path, name: str, beside: Room | None = None) -> None:
        super().__init__(folder / name, "room")
        self.name = name
        make = ["unshare", "--net"]
        if beside is not None:
            make = beside.command(*make)
        elif os.geteuid():
            make += ["--user", "--map-root-user"]
        # It is gone by itself if nobody comes to end it.
        self.launch([*make, "sh", "-c", "ip link set lo up && echo made && exec sleep 600"])
        until(
            lambda: "made" in self.printed() or self.process.poll() is not None, 10, "a namespace"
        )
        assert self.process.poll() is None, f"no network namespace: {self.printed()}"

    def command(self, *words: str) -> list[str]:
        """The words that run a program in it."""
        namespaces = [f"--net=/proc/{self.process.pid}/ns/net"]
        if os.geteuid():
            namespaces += [f"--user=/proc/{self.process.pid}/ns/user", "--preserve-credentials"]
        return ["nsenter", *namespaces, "--", *words]

    def run(self, *words: str, given: str | None = None) -> str:
        """What a program prints that runs in it, and does well."""
        done = subprocess.run(
            self.command(*words), input=given, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def cable(self, own: str, other: Room, its: str) -> None:
        """Join the two, each with its address and the bits of its network, as ``192.0.2.1/24``."""
        here, there = f"to-{other.name}", f"to-{self.name}"
        peer = ["peer", "name", there, "netns", str(other.process.pid)]
        self.run("ip", "link", "add", here, "type", "veth", *peer)
        for room, link, address in ((self, here, own), (other, there, its)):
            room.run("ip", "address", "add", address, "dev", link)
            room.run("ip", "link", "set", link, "up")

    def rules(self, text: str) -> None:
        """Have its firewall go by these, in the language of nft."""
        self.run("nft", "-f", "-", given=text)

    def is_bound(self, port: int) -> bool:
        table = Path(f"/proc/{self.process.pid}/net/udp").read_text().splitlines()[1:]
        return any(int(line.split()[1].rpartition(":")[2], 16) == port for line in table)


class Door:
    """A TCP port of this machine that leads to one of a room's loopback, by way of a file, which no network holds back."""

    def __init__(self, folder: Path, room: Room, port: int) -> None:
        self.port = free_port()
        self._inner = Program(folder, "door-inner")
        self._inner.launch(room.command("socat", "UNIX-LISTEN:door,fork", f"TCP:{HOST}:{port}"))
        until((folder / "door").exists, 10, "socat")
        self._outer = Program(folder, "door-outer")
        self._outer.launch(
            ["socat", f"TCP-LISTEN:{self.port},bind={HOST},fork,reuseaddr", "UNIX-CONNECT:door"]
        )
        until(lambda: is_open(self.port), 10, "socat")

    def stop(self) -> None:
        for one in (self._outer, self._inner):
            one.stop()


def is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex((HOST, port)) == 0
