"""Those who misuse a public activation URL, the trunk that they would have called, and the table of what they got."""

from __future__ import annotations

import http.client
import json
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.interop.programs import HOST, Service


@dataclass
class Table:
    """Attack → what it was answered with, how long that took, and what was sent for it."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, attack: str, answered: object, milliseconds: list[float], sent: str = "none") -> None:  # fmt: skip
        times = [f"{statistics.median(milliseconds):.1f}"] if milliseconds else ["-"]
        if len(milliseconds) > 1:
            times.append(f"{max(milliseconds):.0f}")
        self.rows.append((attack, str(answered), " / ".join(times), sent))

    def __str__(self) -> str:
        rows = [("attack", "status", "ms (median / longest)", "sent"), *self.rows]
        widths = [max(len(row[n]) for row in rows) for n in range(4)]
        lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)


class BusyTrunk:
    """A trunk at which everybody is busy: each call that is attempted there is one Call-ID."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.packets = 0
        self.dialled: dict[str, str] = {}
        #: As they came.
        self.invites: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def settings(self) -> str:
        return f'\n[[trunk]]\nname = "t"\ndomain = "{HOST}:{self.port}"\nregister = false\n'

    def _run(self) -> None:
        while True:
            try:
                data, source = self.socket.recvfrom(65535)
            except OSError:
                return
            self.packets += 1
            head = data.decode(errors="replace").split("\r\n\r\n")[0].split("\r\n")
            if not head[0].startswith("INVITE"):
                continue
            fields = {line.partition(":")[0]: line for line in head[1:]}
            self.dialled[fields["Call-ID"]] = head[0].split()[1]
            self.invites.append(data.decode())
            to = fields["To"] + ";tag=busy"
            kept = [fields["Via"], fields["From"], to, fields["Call-ID"], fields["CSeq"]]
            answer = ["SIP/2.0 486 Busy Here", *kept, "Content-Length: 0", "", ""]
            self.socket.sendto("\r\n".join(answer).encode(), source)

    def close(self) -> None:
        self.socket.close()


class Attacker:
    """Posts without a token, on connections that stay open."""

    def __init__(self, service: Service) -> None:
        self._where = service.url.removeprefix("http://")
        self.statuses: Counter[int] = Counter()
        self.took = 0.0
        #: Milliseconds of each request.
        self.times: list[float] = []

    def one(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:  # fmt: skip
        connection = http.client.HTTPConnection(self._where, timeout=30)
        try:
            return self._ask(connection, method, path, body, headers or {})
        finally:
            connection.close()

    def page(self, method: str, path: str, form: str, token: str) -> tuple[str, str]:
        """The type and the text of what a browser would get."""
        connection = http.client.HTTPConnection(self._where, timeout=30)
        headers = {"X-Auth-Token": token, "Content-Type": "application/x-www-form-urlencoded"}
        began = time.perf_counter()
        connection.request(method, path, form or None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        self.times.append(1000 * (time.perf_counter() - began))
        connection.close()
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        return answer.headers["Content-Type"] or "", text

    def many(self, count: int, path: str, body: Callable[[int], Any], headers: Callable[[int], dict[str, str]] = lambda n: {}, threads: int = 6) -> None:  # fmt: skip
        numbers = iter(range(count))
        lock = threading.Lock()

        def work() -> None:
            connection = http.client.HTTPConnection(self._where, timeout=30)
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    connection.close()
                    return
                status, _ = self._ask(connection, "POST", path, body(number), headers(number))
                with lock:
                    self.statuses[status] += 1

        began = time.monotonic()
        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.took = time.monotonic() - began

    def _ask(self, connection: http.client.HTTPConnection, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:  # fmt: skip
        content = body if isinstance(body, (bytes, str)) or body is None else json.dumps(body)
        kind = {"Content-Type": "application/json"} if content is not None else {}
        began = time.perf_counter()
        connection.request(method, path, content, kind | headers)
        answer = connection.getresponse()
        octets = answer.read()
        self.times.append(1000 * (time.perf_counter() - began))
        return answer.status, json.loads(octets) if octets[:1] == b"{" else {}


def reason(answer: dict[str, Any]) -> str:
    data = answer["data"]
    if "reason" in data:
        return str(data["reason"])
    return next(
        (str(d.get("reason", rule)) for rules in data.values() for rule, d in rules.items()), ""
    )
