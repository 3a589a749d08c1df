"""Click-to-calls a second against two sipp UAS: ``python -m tests.bench.calls [--rate 50 100 150 200] [--seconds 30]``.

For each rate, with a service and a database of its own, history and durability on: how many completed and how many were
lost, CPU milliseconds a call (user and system, the service's process only), the time from the POST to the INVITE at the
extension (by sipp's clock), memory at the start, the peak and the end, and what of ports, calls and threads is left.
Beside it the CPU time of the phones and callers, and how busy the machine was in all: where that is near 100 %, it is the
machine that was measured.

``--asterisk ROOT`` measures an Asterisk 22 in the same minutes (:mod:`tests.bench.asterisk` says where it comes from).
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import sqlite3
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.bench.asterisk import Asterisk
from tests.interop.programs import Program, Service, SippUas, until

TICKS = os.sysconf("SC_CLK_TCK")
#: RTP ports for the calls of ten seconds: two legs of two ports each, and their rest after use.
PORTS = (22000, 31999)


def process_facts(pid: int) -> dict[str, float]:
    """CPU seconds, RSS in MiB and threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return {
        # Its CPU clock (clock_getcpuclockid(3)). The ticks in its stat are samples, and who is woken by a timer is there
        # whenever one is taken.
        "cpu": time.clock_gettime(~pid << 3 | 2),
        "rss": rss / 1024,
        "threads": float(fields[17]),
    }


def machine() -> tuple[float, float]:
    """CPU seconds that the whole machine has worked, and has had."""
    fields = [int(f) for f in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS, sum(fields) / TICKS


class Callers:
    """Posts activations on a fixed schedule, from a few threads with connections that stay open."""

    def __init__(self, service: Service, path: str, contact: str) -> None:
        self._where = service.url.removeprefix("http://")
        self._path = path
        self._body = json.dumps({"contact": contact})
        self._lock = threading.Lock()
        #: When each was asked for, by the Call-ID of the leg to the extension.
        self.accepted: dict[str, float] = {}
        self.refused: Counter[int] = Counter()
        self.latencies: list[float] = []

    def run(self, rate: float, seconds: float, threads: int = 16) -> None:
        total = round(rate * seconds)
        start = time.monotonic() + 0.2
        numbers = iter(range(total))

        def work() -> None:
            connection = http.client.HTTPConnection(self._where, timeout=30)
            while True:
                with self._lock:
                    number = next(numbers, None)
                if number is None:
                    return
                time.sleep(max(0.0, start + number / rate - time.monotonic()))
                began, wall = time.perf_counter(), time.time()
                connection.request(
                    "POST", self._path, self._body, {"Content-Type": "application/json"}
                )
                answer = connection.getresponse()
                document = json.loads(answer.read())
                took = time.perf_counter() - began
                with self._lock:
                    self.latencies.append(took)
                    if answer.status == 200:
                        self.accepted[document["data"]["extension_call_id"]] = wall
                    else:
                        self.refused[answer.status] += 1

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def invite_delays(
    phone: SippUas,
    asked: dict[str, float],
    mark: re.Pattern[str] = re.compile(r"^Call-ID: (\S+)", re.M),
) -> list[float]:
    """Milliseconds from each request to its INVITE at the extension, by sipp's own clock; ``mark`` finds in the INVITE
    what the request goes by in ``asked``."""
    midnight = time.mktime((*time.localtime()[:3], 0, 0, 0, 0, 0, -1))
    first: dict[str, float] = {}
    for moment, text in phone.received("INVITE"):
        found = mark.search(text)
        assert found is not None, text
        first.setdefault(found[1], midnight + moment)
    return [1000 * (first[c] - sent) for c, sent in asked.items() if c in first]


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class Watch:
    """Looks at processes from time to time: the largest RSS of each in MiB, and the CPU seconds it was last seen with."""

    def __init__(self, *pids: int) -> None:
        self.rss = dict.fromkeys(pids, 0.0)
        self.cpu = dict.fromkeys(pids, 0.0)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._ends.wait(0.2):
            for pid in self.rss:
                try:
                    facts = process_facts(pid)
                except (OSError, StopIteration):
                    continue  # it has ended
                self.rss[pid] = max(self.rss[pid], facts["rss"])
                self.cpu[pid] = facts["cpu"]

    def end(self) -> None:
        self._ends.set()
        self._thread.join()


def completed(database: Path) -> int:
    """The calls that were connected and hung up in order, with both of their CDRs, by what is on disk."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        (count,) = connection.execute(
            "SELECT COUNT(*) FROM activation a WHERE state = 'ended' AND result = 'success'"
            " AND cause = 'NORMAL_CLEARING' AND 2 = (SELECT COUNT(*) FROM cdr WHERE activation_id = a.id"
            " AND answered IS NOT NULL AND ended IS NOT NULL AND dialog IS NULL)"
        ).fetchone()
    return int(count)


def causes(database: Path) -> dict[str, int]:
    """What became of the others: state, cause and SIP status, and how many."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "SELECT state, cause, sip_status, COUNT(*) FROM activation"
            " WHERE NOT (state = 'ended' AND result = 'success' AND cause = 'NORMAL_CLEARING') GROUP BY 1, 2, 3"
        ).fetchall()
    return {f"{state} {cause} {status}": count for state, cause, status, count in rows}


def measure(rate: float, seconds: float, talk: int, settle: float) -> dict[str, Any]:
    """One rate, with everything started afresh."""
    calls = round(rate * seconds)
    with tempfile.TemporaryDirectory(prefix="c2c-bench-") as text:
        folder = Path(text)
        service = Service(folder)
        config = service.config.read_text()
        given = f"ports = [{service.rtp[0]}, {service.rtp[1]}]"
        service.config.write_text(config.replace(given, f"ports = [{PORTS[0]}, {PORTS[1]}]"))
        service.rtp = PORTS
        service.start()
        extension = SippUas(folder, "answer", name="desk", calls=calls, lasts=seconds + 90)
        contact = SippUas(
            folder, "answer_bye", name="customer", calls=calls, pause=talk, lasts=seconds + 90
        )
        pid = service.process.pid
        phones = [phone.process.pid for phone in (extension, contact)]
        try:
            definition = service.define(extension=extension.uri, whitelist=["customer"])
            callers = Callers(
                service, f"{service.base}/clicktocall/{definition}/connect", contact.uri
            )
            watch = Watch(pid, *phones)
            before, begun, worked = process_facts(pid), time.monotonic(), machine()
            own = sum(os.times()[:2])
            callers.run(rate, seconds)
            asked_for, busy = time.monotonic() - begun, machine()
            own = sum(os.times()[:2]) - own

            def live() -> list[object]:
                time.sleep(0.3)  # each look costs the service CPU time too
                return list(service.http("GET", f"{service.base}/channels")[1]["data"])

            until(lambda: not live(), 60, "the calls to end")
            during = process_facts(pid)
            by_phones = sum(watch.cpu[phone] for phone in phones)
            until(lambda: not service.open_rtp_ports(), 30, "the RTP ports to be free")
            time.sleep(settle)
            after = process_facts(pid)
            watch.end()
            good = completed(folder / "c2c.db")
            delays = invite_delays(extension, callers.accepted)
            return {
                "rate": rate,
                "asked": calls,
                "asked_in_s": round(asked_for, 1),
                "refused": dict(callers.refused),
                "completed": good,
                "lost": len(callers.accepted) - good,
                "lost_by": causes(folder / "c2c.db"),
                "cpu_ms_a_call": round(1000 * (during["cpu"] - before["cpu"]) / calls, 2),
                "post_ms_p50": round(1000 * statistics.median(callers.latencies), 2),
                "post_ms_p99": round(1000 * percentile(callers.latencies, 0.99), 2),
                "to_invite_ms_p50": round(percentile(delays, 0.5), 2),
                "to_invite_ms_p99": round(percentile(delays, 0.99), 2),
                "rss_mib_start": round(before["rss"], 1),
                "rss_mib_peak": round(watch.rss[pid], 1),
                "rss_mib_end": round(after["rss"], 1),
                "threads_left": int(after["threads"] - before["threads"]),
                "rtp_ports_left": len(service.open_rtp_ports()),
                "channels_left": len(service.http("GET", f"{service.base}/channels")[1]["data"]),
                "phones_cpu_ms_a_call": round(1000 * by_phones / calls, 2),
                "callers_cpu_ms_a_call": round(1000 * own / calls, 2),
                "machine_busy_percent": round(100 * (busy[0] - worked[0]) / (busy[1] - worked[1])),
            }
        finally:
            for program in (service, extension, contact):
                program.stop()


def measure_asterisk(root: Path, rate: float, seconds: float, talk: int) -> dict[str, Any]:
    """The same of an Asterisk, as far as there is the same."""
    calls = round(rate * seconds)
    with tempfile.TemporaryDirectory(prefix="c2c-bench-") as text:
        folder = Path(text)
        extension = SippUas(folder, "answer", name="desk", calls=calls, lasts=seconds + 90)
        contact = SippUas(
            folder, "answer_bye", name="customer", calls=calls, pause=talk, lasts=seconds + 90
        )
        programs: list[Program] = [extension, contact]
        try:
            peer = Asterisk(root, folder, extension.uri, contact.uri, PORTS)
            programs.append(peer)
            watch = Watch(peer.process.pid)
            before, begun, worked = process_facts(peer.process.pid), time.monotonic(), machine()
            asked, took = peer.run_calls(rate, seconds)
            asked_for, busy = time.monotonic() - begun, machine()
            end = time.monotonic() + 15
            while peer.completed() < calls and time.monotonic() < end:
                time.sleep(0.3)
            during = process_facts(peer.process.pid)
            watch.end()
            delays = invite_delays(extension, asked, re.compile(r'^From: "(\d+)"', re.M))
            return {
                "rate": f"Asterisk {rate:g}",
                "asked": calls,
                "asked_in_s": round(asked_for, 1),
                "completed": peer.completed(),
                "lost": calls - peer.completed(),
                "cpu_ms_a_call": round(1000 * (during["cpu"] - before["cpu"]) / calls, 2),
                "post_ms_p50": round(1000 * statistics.median(took), 2),
                "post_ms_p99": round(1000 * percentile(took, 0.99), 2),
                "to_invite_ms_p50": round(percentile(delays, 0.5), 2),
                "to_invite_ms_p99": round(percentile(delays, 0.99), 2),
                "rss_mib_start": round(before["rss"], 1),
                "rss_mib_peak": round(watch.rss[peer.process.pid], 1),
                "machine_busy_percent": round(100 * (busy[0] - worked[0]) / (busy[1] - worked[1])),
            }
        finally:
            for program in reversed(programs):
                program.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rate", type=float, nargs="+", default=[50.0, 100.0, 150.0, 200.0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--talk", type=int, default=1000, help="milliseconds that each call is up")
    parser.add_argument(
        "--settle",
        type=float,
        default=35.0,
        help="seconds to wait before looking what is left; the last SIP timers run for 32",
    )
    parser.add_argument("--asterisk", type=Path, metavar="ROOT", help="measure the one there too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    columns: list[dict[str, Any]] = []
    for rate in options.rate:
        columns.append(measure(rate, options.seconds, options.talk, options.settle))
        if options.asterisk is not None:
            columns.append(measure_asterisk(options.asterisk, rate, options.seconds, options.talk))
    if options.json:
        print("\n".join(map(json.dumps, columns)))
        return
    for name in columns[0]:
        print(f"{name:24}" + "".join(f"{column.get(name, '')!s:>14}" for column in columns))


if __name__ == "__main__":
    main()
