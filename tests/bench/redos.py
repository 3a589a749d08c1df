"""Catastrophic whitelists asked while a call hears a tone: ``python -m tests.bench.redos [--seconds 10]``.

Twenty patterns that take an ordinary matcher longer than the universe has, each asked for contacts of 256 characters
over HTTP by several threads, while an extension hears the ringback. Reported: activations a second, and the gaps
between the tone's packets by the kernel's own clock (20 ms is one packet): while it is quiet, while the same is asked
of a harmless pattern, and during the attack.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path

from tests.interop.programs import HOST, Service, SippUas, until
from tests.unit.test_pattern import CATASTROPHES

_SO_TIMESTAMPNS = 35
CONTACTS = [f"sip:{'a' * 239}@example.test", f"sip:{'1' * 239}@example.test", f"sip:{'x' * 239}@example.test"]  # fmt: skip


class Ear:
    """Hears RTP, and remembers when each packet came, by the kernel's clock."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.times: list[float] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            _, ancillary, _, _ = self.socket.recvmsg(2048, 256)
            for _, kind, data in ancillary:
                if kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = struct.unpack("qq", data[:16])
                    self.times.append(seconds + nanoseconds / 1e9)

    def gaps(self, begin: float, end: float) -> list[float]:
        """Milliseconds between packets that came between two moments, shortest first."""
        times = [t for t in self.times if begin <= t <= end]
        return sorted(1000 * (b - a) for a, b in itertools.pairwise(times))


def attack(where: str, paths: list[str], seconds: float) -> int:
    """Ask all of them until the time is over; how often that was."""
    end = time.monotonic() + seconds
    counts: list[int] = []

    def work(first: int) -> None:
        connection = http.client.HTTPConnection(where, timeout=30)
        asked = first
        while time.monotonic() < end:
            body = json.dumps({"contact": CONTACTS[asked % len(CONTACTS)]})
            head = {"Content-Type": "application/json"}
            connection.request("POST", paths[asked % len(paths)], body, head)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 400, answer.status
            asked += 1
        counts.append(asked - first)

    workers = [threading.Thread(target=work, args=(n * 7,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts)


def told(name: str, gaps: list[float]) -> dict[str, float]:
    """Print the gaps, and give what was printed."""
    facts = {
        "packets": len(gaps) + 1,
        "p50": gaps[len(gaps) // 2],
        "p99": gaps[int(len(gaps) * 0.99)],
        "longest": gaps[-1],
    }
    print(f"{name:10}" + "  ".join(f"{key} {value:.2f}" for key, value in facts.items()))
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="c2c-bench-") as folder:
        service = Service(Path(folder)).start()
        ear = Ear()
        desk = SippUas(Path(folder), "answer", name="desk", media_port=ear.port)
        silent = SippUas(Path(folder), "silent", name="customer")
        try:
            made = service.define(extension=desk.uri, whitelist=["customer"])

            def whitelisted(pattern: str) -> str:
                never = service.define(extension="101", whitelist=[pattern])
                return f"{service.base}/clicktocall/{never}/connect"

            # Such that no contact here is let through.
            harmless = [whitelisted("^never$")]
            catastrophic = [whitelisted(f"(?:{pattern})never") for pattern in CATASTROPHES]
            service.connect(made, silent.uri)
            until(lambda: len(ear.times) > 50, 10, "the tone")
            began = time.time()
            time.sleep(3.0)
            told("quiet", ear.gaps(began, time.time()))
            where = service.url.removeprefix("http://")
            for name, paths in (("harmless", harmless), ("attack", catastrophic)):
                began = time.time()
                asked = attack(where, paths, options.seconds)
                told(name, ear.gaps(began, time.time()))
                print(f"          {asked / options.seconds:.0f} activations a second were refused")
        finally:
            for program in (service, desk, silent):
                program.stop()


if __name__ == "__main__":
    main()
