"""Catastrophic whitelists asked while a call hears tones: ``python -m tests.bench.redos [--seconds 10] [--workers 0]``.

Twenty patterns that take an ordinary matcher longer than the universe has, each asked for contacts of 256 characters
over HTTP by several threads of another process. Meanwhile one extension hears the ringback, which we make, and in a
bridged call a phone of ours sends a tone, which we pass on. Reported, while it is quiet, while the same is asked of a
harmless pattern, and during the attack: activations a second; the gaps between the ringback's packets (20 ms is none);
and how long each packet of the tone took from the phone's socket to the other's. Packets are timed by the kernel as
they arrive, and by their sender, which comes before other programs if the system lets it.

Beside each: how late two processes that have nothing to do with the service woke from sleeps of 20 ms in the same
seconds, one scheduled as the relay is and one as any program; and how long the service's threads ran and how long they
stood ready and had no processor. What the machine does to those is no pattern's doing. ``--load`` makes it busier.
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
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

from sipstack.scheduling import come_first
from tests.interop.programs import HOST, Service, SippUas, until
from tests.unit.test_pattern import CATASTROPHES

_SO_TIMESTAMPNS = 35
#: At the beginning of a mouth's audio: the packet's number, and when it was sent.
_STAMP = struct.Struct("!Id")
_APART = multiprocessing.get_context("fork")
CONTACTS = [f"sip:{'a' * 239}@example.test", f"sip:{'1' * 239}@example.test", f"sip:{'x' * 239}@example.test"]  # fmt: skip


class Ear:
    """Hears RTP, and remembers when each packet came, by the kernel's clock, and from where."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.times: list[float] = []
        #: Of each packet of a mouth's, by its number, when it was sent and when it came.
        self.heard: dict[int, tuple[float, float]] = {}
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
                    number, left = _STAMP.unpack_from(packet, 12)
                    self.heard[number] = (left, self.times[-1])

    def gaps(self, begin: float, end: float) -> list[float]:
        """Milliseconds between packets that came between two moments, shortest first."""
        times = [t for t in self.times if begin <= t <= end]
        return sorted(1000 * (b - a) for a, b in itertools.pairwise(times))


class Mouth:
    """Sends a tone to where an ear hears from, 50 packets a second, as a process of its own."""

    def __init__(self, ear: Ear) -> None:
        assert ear.source is not None
        process = _APART.Process(target=_talk, args=(ear.socket, ear.source), daemon=True)
        process.start()

    def delays(self, other: Ear, begin: float, end: float) -> list[float]:
        """Milliseconds that packets took to the other ear, shortest first; what never came took for ever."""
        of_then = {
            n: came - left for n, (left, came) in other.heard.items() if begin <= left <= end
        }
        lost = max(of_then) - min(of_then) + 1 - len(of_then)
        return sorted(1000 * delay for delay in of_then.values()) + [float("inf")] * lost


def _talk(mouth: socket.socket, to: tuple[str, int]) -> None:
    come_first()
    began, number = time.monotonic(), 0
    while True:
        time.sleep(max(0.0, began + number * 0.02 - time.monotonic()))
        number += 1
        head = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160, 0x70E)
        mouth.sendto(head + _STAMP.pack(number, time.time()) + bytes(148), to)


class Bystander:
    """A process that has nothing to do with the service, and wakes every 20 ms; ``first``: as the relay does."""

    def __init__(self, first: bool) -> None:
        self._over = _APART.Event()
        self._told, theirs = _APART.Pipe(duplex=False)
        _APART.Process(target=_wake, args=(first, self._over, theirs), daemon=True).start()

    def times(self) -> list[float]:
        """Milliseconds by which it was late, shortest first. It ends."""
        self._over.set()
        found: list[float] = self._told.recv()
        return found


def _wake(first: bool, over: Event, to: Connection) -> None:
    if first:
        come_first()
    late = []
    while not over.is_set():
        due = time.monotonic() + 0.02
        time.sleep(0.02)
        late.append(1000 * (time.monotonic() - due))
    to.send(sorted(late))


def _compute() -> None:
    while True:
        pass


def processor_times(process: int) -> tuple[float, float]:
    """Seconds that the threads of a process ran, and that they stood ready without a processor."""
    ran = waited = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        try:
            numbers = (task / "schedstat").read_text().split()
        except OSError:
            continue  # it has ended
        ran, waited = ran + int(numbers[0]), waited + int(numbers[1])
    return ran / 1e9, waited / 1e9


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
    print(f"{name:10}{what:11}" + "  ".join(f"{key} {value:.2f}" for key, value in facts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=0, help="the setting media.workers")
    parser.add_argument(
        "--apart",
        action="store_true",
        help="all but the service on one core, as if it came from elsewhere",
    )
    parser.add_argument("--load", type=int, default=0, help="processes beside that only compute")
    options = parser.parse_args()
    for _ in range(options.load):
        _APART.Process(target=_compute, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="c2c-bench-") as folder:
        env = {"C2C_SIP_MEDIA__WORKERS": str(options.workers)}
        service = Service(Path(folder), env=env).start()
        if options.apart:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        ear, near, far = Ear(), Ear(), Ear()
        desk = SippUas(Path(folder), "answer", name="desk", media_port=ear.port)
        silent = SippUas(Path(folder), "silent", name="customer")
        talks = SippUas(Path(folder), "answer", name="talks", media_port=near.port)
        # Who answers at once leaves no time for a tone, and the one that calls would not hear where we are.
        hears = SippUas(Path(folder), "answer", name="hears", media_port=far.port, pause=300)
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
            service.connect(bridged, hears.uri)
            until(lambda: near.source, 10, "what the phone hears")
            mouth = Mouth(near)
            until(lambda: len(ear.times) > 50 and len(far.times) > 50, 10, "the tones")

            def measure(name: str, work: Callable[[], object]) -> object:
                bystanders = Bystander(first=True), Bystander(first=False)
                before, began = processor_times(service.process.pid), time.time()
                found = work()
                after, ended = processor_times(service.process.pid), time.time()
                time.sleep(0.5)
                told(name, "ringback", ear.gaps(began, ended))
                told(name, "passed on", mouth.delays(far, began, ended))
                for what, bystander in zip(("as relay", "as any"), bystanders, strict=True):
                    told(name, what, bystander.times())
                ran, waited = after[0] - before[0], after[1] - before[1]
                print(
                    f"{'':10}the service ran {ran:.2f} s, and waited {waited:.2f} s for a processor"
                )
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
