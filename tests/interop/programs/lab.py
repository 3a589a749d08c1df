"""``c2c-sip lab``, ``uac`` and ``uas`` as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.interop.programs.base import HOST, Program, Way, until

ROOT = str(Path(__file__).parents[3])
COMMAND = [sys.executable, "-m", "c2c_sip"]


def environ(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": ROOT, "COLUMNS": "200"} | more


class Lab(Program):
    """The lab with a script; a phone finds here what it has to know to register as ``guest``."""

    way = Way()

    def __init__(self, folder: Path, script: str) -> None:
        super().__init__(folder / "lab", "lab")
        path = self.folder / "script.toml"
        path.write_text(script)
        self.launch(
            [*COMMAND, "lab", "--script", str(path), "--listen", f"udp:{HOST}:0", "--json"],
            environ(),
        )
        until(lambda: self.events("ready") or self.process.poll() is not None, 40, "the lab")
        (ready,) = self.events("ready")
        self.port = int(ready["address"].rpartition(":")[2])
        self.password = str(ready["password"])

    def events(self, name: str, **facts: Any) -> list[dict[str, Any]]:
        """What it said of a kind, of which these facts are true."""
        found = []
        # The last line may be half there.
        for line in self.printed().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                event = json.loads(line)
                if event["event"] == name and facts.items() <= event.items():
                    found.append(event)
        return found

    def saw(self, name: str, seconds: float = 20.0, **facts: Any) -> dict[str, Any]:
        until(
            lambda: self.events(name, **facts), seconds, f"{name} {facts}: {self.printed()[-3000:]}"
        )
        return self.events(name, **facts)[-1]


class Agent(Program):
    """``uac`` or ``uas``."""

    def __init__(
        self, folder: Path, *arguments: str, name: str = "", password: str = "", number: int = 0
    ) -> None:
        super().__init__(folder / (name or arguments[0]), arguments[0])
        self.messages = self.folder / "messages.log"
        with self.log.open("wb") as out, self.messages.open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments, "--json"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environ(SIP_PASSWORD=password),
                start_new_session=True,
            )

    def ready(self) -> str:
        """The URI of a uas, once it can be called."""
        until(lambda: "ready " in self.messages.read_text(), 40, "the uas")
        return self.messages.read_text().partition("ready ")[2].split()[0]

    def verdict(self, seconds: float = 60.0) -> tuple[int, dict[str, Any]]:
        """(exit code, what it printed)."""
        code = self.process.wait(seconds)
        printed = self.printed()
        assert printed, self.messages.read_text()
        return code, json.loads(printed)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
        return super().stop(number, seconds)
