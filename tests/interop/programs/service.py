"""``c2c-sip serve`` as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.interop.programs.base import (
    HOST,
    Certificate,
    Program,
    Way,
    free_port,
    free_rtp_range,
    udp_table,
    until,
)
from tests.interop.programs.room import Door, Room


class Service(Program):
    """``c2c-sip serve`` as a process, with an account, spoken to over HTTP only."""

    def __init__(
        self,
        folder: Path,
        settings: str = "",
        realm: str = "example.test",
        env: dict[str, str] | None = None,
        way: Way = Way(),
        certificate: Certificate | None = None,
    ) -> None:
        super().__init__(folder, "service")
        self.rtp = free_rtp_range()
        self.sip_port = free_port(way.host)
        tls = (
            f'tls_ca = "{certificate.authority}"\ntls_certificate = "{certificate.own}"\n'
            if certificate
            else ""
        )
        self.config = folder / "c2c.toml"
        self.config.write_text(
            f'[http]\nlisten = "{HOST}:0"\n[database]\nurl = "sqlite:///{folder}/c2c.db"\n'
            f'[sip]\nlisten = ["{way.transport}:{way.literal}:{self.sip_port}"]\n{tls}'
            f"[media]\nports = [{self.rtp[0]}, {self.rtp[1]}]\n{settings}"
        )
        root = str(Path(__file__).parents[3])
        self._env = os.environ | {"PYTHONPATH": root} | (env or {})
        made = self.run("account", "create", "Test", "--realm", realm, "--json")
        self.account = json.loads(made)
        self.url = ""
        self.token = ""

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "c2c_sip", *arguments, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=self._env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *options: str) -> Service:
        self.log.unlink(missing_ok=True)
        command = [sys.executable, "-m", "c2c_sip", "serve", *options, "--config", str(self.config)]
        self.launch(command, self._env)
        self.url = self.reached(
            until(
                lambda: (m := re.search(r"^ready (\S+)", self.printed(), re.M)) and m.group(1),
                20,
                "the service",
            )
        )
        _, answer = self.http("PUT", "/v1/api_auth", {"data": {"api_key": self.account["api_key"]}})
        self.token = answer["auth_token"]
        return self

    def reached(self, url: str) -> str:
        """Where the test reaches what the service calls so."""
        return url

    def allow(self, name: str, value: str) -> None:
        """Set a variable of the environment from the next start on."""
        self._env = self._env | {name: value}

    def http(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(self.url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("X-Auth-Token", self.token)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=100) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    @property
    def base(self) -> str:
        return f"/v1/accounts/{self.account['id']}"

    def define(self, **fields: Any) -> str:
        """A click-to-call; its id."""
        status, answer = self.http(
            "PUT", f"{self.base}/clicktocall", {"data": {"name": "test"} | fields}
        )
        assert status == 200, answer
        return str(answer["data"]["id"])

    def connect(self, definition: str, contact: str) -> dict[str, Any]:
        status, answer = self.http(
            "POST", f"{self.base}/clicktocall/{definition}/connect", {"contact": contact}
        )
        assert status == 200, answer
        found: dict[str, Any] = answer["data"]
        return found

    def record(self, definition: str, activation: str) -> dict[str, Any]:
        _, answer = self.http("GET", f"{self.base}/clicktocall/{definition}/history/{activation}")
        found: dict[str, Any] = answer["data"]
        return found

    def ended(self, definition: str, activation: str, seconds: float = 20.0) -> dict[str, Any]:
        def final() -> dict[str, Any] | None:
            record = self.record(definition, activation)
            return record if record["state"] == "ended" else None

        found: dict[str, Any] = until(final, seconds, "the record's end")
        return found

    def cdrs(self, activation: str) -> list[dict[str, Any]]:
        _, answer = self.http("GET", f"{self.base}/cdrs?filter_activation_id={activation}")
        found: list[dict[str, Any]] = answer["data"]
        return found

    def sent(self, definition: str, activation: str) -> list[tuple[str, str]]:
        """What we sent, in its order: to which party, and the method, or the version of a response.

        Of two phones' logs none says which of two messages was first: our own trace does.
        """
        trace = f"{self.base}/clicktocall/{definition}/history/{activation}/trace.json"
        messages = self.http("GET", trace)[1]["messages"]
        return [(m["role"], m["summary"].split()[0]) for m in messages if m["direction"] == "sent"]

    def open_rtp_ports(self) -> list[int]:
        """The RTP ports that this very process has bound."""
        inodes = set()
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                inodes.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
            except FileNotFoundError:
                continue  # closed while we looked
        ports = []
        for line in udp_table():
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[9] in inodes and self.rtp[0] <= port <= self.rtp[1]:
                ports.append(port)
        return ports


class ServiceInRoom(Service):
    """The service in a network of its own, at ``host`` there, reached through a door."""

    def __init__(
        self,
        folder: Path,
        room: Room,
        host: str,
        settings: str = "",
        env: dict[str, str] | None = None,
    ) -> None:
        self.room = room
        self.host = host
        self._door: Door | None = None
        own = {"C2C_SIP_SIP__LISTEN": f"udp:{host}:5060,tcp:{host}:5060"}
        super().__init__(folder, settings, env=own | (env or {}))

    def launch(self, command: list[str], environ: dict[str, str] | None = None) -> None:
        super().launch(self.room.command(*command), environ)

    def reached(self, url: str) -> str:
        self._door = Door(self.folder, self.room, int(url.rpartition(":")[2]))
        return f"http://{HOST}:{self._door.port}"

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
        if self._door is not None:
            self._door.stop()
        return super().stop(number, seconds)
