"""Asterisk 22 as a click-to-call service, by AMI's Originate: what ``tests.bench.calls`` is measured beside.

:mod:`tests.interop.programs.asterisk` says which root folder it is run from.
"""

from __future__ import annotations

import csv
import socket
import subprocess
import time
from pathlib import Path

from tests.interop.programs import Program, free_port, until
from tests.interop.programs.asterisk import command_of, directories

_FILES = {
    "modules.conf": "[modules]\nautoload=yes\n",
    "pjsip.conf": """
[udp]
type=transport
protocol=udp
bind=127.0.0.1:{port}
[peer]
type=endpoint
context=none
disallow=all
allow=ulaw
direct_media=no
""",
    "rtp.conf": "[general]\nrtpstart={first}\nrtpend={last}\n",
    "manager.conf": """
[general]
enabled = yes
bindaddr = 127.0.0.1
port = {manager}
[bench]
secret = bench
read = none
write = originate
""",
    "extensions.conf": "[out]\nexten => s,1,Dial(PJSIP/peer/{contact},60,r)\n",
    "cdr.conf": "[general]\nenable=yes\n[csv]\nusegmtime=yes\n",
    "indications.conf": "[general]\ncountry=us\n[us]\ndescription = us\nring = 440+480/2000,0/4000\n",
    "logger.conf": "[general]\n[logfiles]\nconsole => error\n",
}  # fmt: skip


class Asterisk(Program):
    """A running Asterisk that calls ``extension``, and where that answers ``contact``, for each activation."""

    def __init__(
        self, root: Path, folder: Path, extension: str, contact: str, ports: tuple[int, int]
    ) -> None:
        super().__init__(folder / "asterisk", "asterisk")
        self._extension = extension
        manager = free_port()
        values = {
            "port": free_port(), "manager": manager, "contact": contact, "first": ports[0], "last": ports[1],
        }  # fmt: skip
        written = {"asterisk.conf": directories(root, self.folder)} | {
            name: text.format_map(values) for name, text in _FILES.items()
        }
        for name, text in written.items():
            (self.folder / "etc" / name).write_text(text)
        asterisk = command_of(root, self.folder / "etc")
        # As many descriptors as it may have, as its unit file asks for.
        raised = ["sh", "-c", 'ulimit -n "$(ulimit -H -n)"; exec "$@"', "sh"]
        self.launch([*raised, *asterisk, "-f"])

        def reached() -> socket.socket | None:
            try:
                return socket.create_connection(("127.0.0.1", manager), 5)
            except OSError:
                return None

        try:
            self._manager: socket.socket = until(reached, 20, "the manager's port")
            subprocess.run(
                [*asterisk, "-rx", "core waitfullybooted"],
                check=True,
                timeout=30,
                stdout=subprocess.DEVNULL,
            )
        except BaseException:
            self.stop()
            raise
        self._answers = self._manager.makefile("rb")
        self._answers.readline()  # its greeting
        self._ask("Action: Login\r\nUsername: bench\r\nSecret: bench\r\nEvents: off")

    def _ask(self, action: str) -> bytes:
        self._manager.sendall(f"{action}\r\n\r\n".encode())
        answer = b"".join(iter(self._answers.readline, b"\r\n"))
        assert b"Response: Success" in answer, answer
        return answer

    def run_calls(self, rate: float, seconds: float) -> tuple[dict[str, float], list[float]]:
        """Ask for a call on a fixed schedule; by the number that each shows, when it was asked for, and how many seconds
        each request took."""
        total = round(rate * seconds)
        asked: dict[str, float] = {}
        took: list[float] = []
        start = time.monotonic() + 0.2
        for number in range(total):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            began, wall = time.perf_counter(), time.time()
            self._ask(
                f"Action: Originate\r\nChannel: PJSIP/peer/{self._extension}\r\nContext: out\r\nExten: s\r\n"
                f'Priority: 1\r\nAsync: true\r\nCallerID: "{number}" <{number}>'
            )
            took.append(time.perf_counter() - began)
            asked[str(number)] = wall
        return asked, took

    def completed(self) -> int:
        """The calls that were connected and have ended, by its call detail records."""
        records = self.folder / "log" / "cdr-csv" / "Master.csv"
        if not records.exists():
            return 0
        with records.open(newline="") as rows:
            return sum(row[7] == "Dial" and row[14] == "ANSWERED" for row in csv.reader(rows))
