"""Catastrophic whitelists asked while a call hears tones: ``python -m tests.bench.redos [--seconds 10] [--workers 0]``.

Twenty patterns that take an ordinary matcher longer than the universe has, each asked for contacts of 256 characters
over HTTP by several threads of another process. Meanwhile one extension hears the ringback, which we make, and in a
bridged call a phone of ours sends a tone, which we pass on. Reported, while it is quiet, while the same is asked of a
harmless pattern, and during the attack: activations a second; the gaps between the ringback's packets (20 ms is none);
and how long each packet of the tone took from the phone's socket to the other's, whatever the phone's own clock did.
Packets are timed by the kernel as they arrive, so that it makes no difference when whoever listens is woken.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.interop.programs import HOST, Service, SippUas, until
from tests.unit.test_pattern import CATASTROPHES

_SO_TIMESTAMPNS = 35
CONTACTS = [f"sip:{'a' * 239}@example.test", f"sip:{'1' * 239}@example.test", f"sip:{'x' * 239}@example.test"]  # fmt: skip


class Ear:
    """Hears RTP, and remembers when each packet came, by the kernel's clock, and from where."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.times: list[float] = []
        #: When each packet of a mouth's came, by its number.
        self.heard: dict[int, float] = {}
        self.source: tuple[str, int] | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            packet, ancillary, _, source = self.socket.recvmsg(2048, 256)
            for _, kind, data in ancillary:
                if kind == _SO_TIMESTAMPNS and len(packet) >= 12:
                    seconds, nanoseconds = struct.unpack("qq", data[:16])
                    self.source = source
                    self.times.append(seconds + nanoseconds / 1e9)
                    # Of the audio, since the header is made anew on the way.
                    self.heard[int.from_bytes(packet[12:16], "big")] = self.times[-1]

    def gaps(self, begin: float, end: float) -> list[float]:
        """Milliseconds between packets that came between two moments, shortest first."""
        times = [t for t in self.times if begin <= t <= end]
        return sorted(1000 * (b - a) for a, b in itertools.pairwise(times))


class Mouth:
    """Sends a tone to where an ear hears from, 50 packets a second, and remembers when each one left."""

    def __init__(self, ear: Ear) -> None:
        self._ear = ear
        self.sent: list[tuple[float, int]] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        began, number = time.monotonic(), 0
        while True:
            time.sleep(max(0.0, began + number * 0.02 - time.monotonic()))
            number += 1
            if self._ear.source is not None:
                head = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160, 0x70E)
                self.sent.append((time.time(), number))
                payload = number.to_bytes(4, "big") + bytes(156)
                self._ear.socket.sendto(head + payload, self._ear.source)

    def delays(self, other: Ear, begin: float, end: float) -> list[float]:
        """Milliseconds that packets took to the other ear, shortest first; what never came took for ever."""
        return sorted(
            1000 * (other.heard.get(number, float("inf")) - left)
            for left, number in list(self.sent)
            if begin <= left <= end - 0.5
        )


def attack(where: str, paths: list[str], seconds: float) -> int:
    """Ask all of them from another process until the time is over; how often that was."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_attack, (where, paths, seconds))


def _attack(where: str, paths: list[str], seconds: float) -> int:
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


def told(name: str, what: str, times: list[float]) -> None:
    """Print milliseconds, shortest first."""
    facts = {
        "packets": len(times),
        "p50": times[len(times) // 2],
        "p99": times[int(len(times) * 0.99)],
        "longest": times[-1],
    }
    print(f"{name:10}{what:10}" + "  ".join(f"{key} {value:.2f}" for key, value in facts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=0, help="the setting media.workers")
    parser.add_argument(
        "--apart",
        action="store_true",
        help="all but the service on one core, as if it came from elsewhere",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="c2c-bench-") as folder:
        env = {"C2C_SIP_MEDIA__WORKERS": str(options.workers)}
        service = Service(Path(folder), env=env).start()
        if options.apart:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        ear, near, far = Ear(), Ear(), Ear()
        desk = SippUas(Path(folder), "answer", name="desk", media_port=ear.port)
        silent = SippUas(Path(folder), "silent", name="customer")
        talks = SippUas(Path(folder), "answer", name="talks", media_port=near.port)
        hears = SippUas(Path(folder), "answer", name="hears", media_port=far.port)
        try:
            made = service.define(extension=desk.uri, whitelist=["customer"])
            bridged = service.define(extension=talks.uri, whitelist=["hears"])

            def whitelisted(pattern: str) -> str:
                never = service.define(extension="101", whitelist=[pattern])
                return f"{service.base}/clicktocall/{never}/connect"

            # Such that no contact here is let through.
            harmless = [whitelisted("^never$")]
            catastrophic = [whitelisted(f"(?:{pattern})never") for pattern in CATASTROPHES]
            service.connect(made, silent.uri)
            mouth = Mouth(near)
            service.connect(bridged, hears.uri)
            until(lambda: len(ear.times) > 50 and len(far.times) > 50, 10, "the tones")

            def measure(name: str, work: Callable[[], object]) -> object:
                began = time.time()
                found = work()
                ended = time.time()
                time.sleep(0.5)
                told(name, "ringback", ear.gaps(began, ended))
                told(name, "passed on", mouth.delays(far, began, ended))
                return found

            measure("quiet", lambda: time.sleep(3.0))
            where = service.url.removeprefix("http://")
            for name, paths in (("harmless", harmless), ("attack", catastrophic)):
                asked = measure(name, lambda paths=paths: attack(where, paths, options.seconds))
                print(f"{'':10}{asked / options.seconds:.0f} activations a second were refused")
        finally:
            for program in (service, desk, silent, talks, hears):
                program.stop()


if __name__ == "__main__":
    main()
