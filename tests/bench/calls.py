"""Click-to-calls a second against two sipp UAS: ``python -m tests.bench.calls [--rate 50] [--seconds 20]``.

Reported: how many completed, CPU milliseconds a call (user and system, the service's process only), from the POST to
the INVITE at the extension, memory at the start, the peak and the end, and whether ports and SIP state are back.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

from tests.interop.programs import Service, SippUas, until


def process_facts(pid: int) -> dict[str, float]:
    """CPU seconds, RSS in MiB and threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    status = Path(f"/proc/{pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return {
        "cpu": (int(fields[11]) + int(fields[12])) / ticks,
        "rss": rss / 1024,
        "threads": float(fields[17]),
    }


class Callers:
    """Posts activations on a fixed schedule, from a few threads with connections that stay open."""

    def __init__(self, service: Service, path: str, contact: str) -> None:
        self._where = service.url.removeprefix("http://")
        self._path = path
        self._body = json.dumps({"contact": contact})
        self._lock = threading.Lock()
        self.accepted: dict[str, float] = {}
        self.refused: list[int] = []
        self.latencies: list[float] = []

    def run(self, rate: float, seconds: float, threads: int = 8) -> None:
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
                with self._lock:
                    self.latencies.append(time.perf_counter() - began)
                    if answer.status == 200:
                        self.accepted[document["data"]["extension_call_id"]] = wall
                    else:
                        self.refused.append(answer.status)

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def invite_delays(phone: SippUas, accepted: dict[str, float]) -> list[float]:
    """Milliseconds from each POST to its INVITE at the extension, by sipp's own clock."""
    midnight = time.mktime((*time.localtime()[:3], 0, 0, 0, 0, 0, -1))
    first: dict[str, float] = {}
    for moment, text in phone.received("INVITE"):
        call_id = text.partition("Call-ID: ")[2].partition("\n")[0].strip()
        first.setdefault(call_id, midnight + moment)
    return [1000 * (first[c] - sent) for c, sent in accepted.items() if c in first]


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rate", type=float, default=50.0, help="activations a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--talk", type=int, default=1000, help="milliseconds that each call is up")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    calls = round(options.rate * options.seconds)
    with tempfile.TemporaryDirectory(prefix="c2c-bench-") as folder:
        # Ports for four seconds of calls, each with two legs of two ports.
        service = Service(Path(folder))
        text = service.config.read_text().replace(
            f"ports = [{service.rtp[0]}, {service.rtp[1]}]", "ports = [22000, 31999]"
        )
        service.config.write_text(text)
        service.start()
        extension = SippUas(Path(folder), "answer", name="desk", calls=calls)
        contact = SippUas(
            Path(folder), "answer_bye", name="customer", calls=calls, pause=options.talk
        )
        try:
            definition = service.define(extension=extension.uri, whitelist=["customer"])
            path = f"{service.base}/clicktocall/{definition}/connect"
            pid = service.process.pid
            before = process_facts(pid)
            peak = [before["rss"]]
            ends = threading.Event()

            def watch() -> None:
                while not ends.wait(0.2):
                    peak.append(process_facts(pid)["rss"])

            watcher = threading.Thread(target=watch)
            watcher.start()
            callers = Callers(service, path, contact.uri)
            callers.run(options.rate, options.seconds)

            def live() -> list[object]:
                time.sleep(0.3)  # each look costs the service CPU time too
                return list(service.http("GET", f"{service.base}/channels")[1]["data"])

            until(lambda: not live(), 60, "the calls to end")
            during = process_facts(pid)
            service.rtp = (22000, 31999)
            until(lambda: not service.open_rtp_ports(), 30, "the RTP ports to be free")
            ends.set()
            watcher.join()
            listing = f"{service.base}/clicktocall/{definition}/history?paginate=false"
            records = service.http("GET", listing)[1]["data"]
            good = [
                r for r in records if r["result"] == "success" and r["cause"] == "NORMAL_CLEARING"
            ]
            time.sleep(35)  # until the last SIP timers (64*T1) have run
            after = process_facts(pid)
            delays = invite_delays(extension, callers.accepted)
            facts = {
                "rate": options.rate,
                "asked": calls,
                "accepted": len(callers.accepted),
                "refused": len(callers.refused),
                "completed": len(good),
                "completed_percent": round(100 * len(good) / calls, 3),
                "cpu_ms_a_call": round(1000 * (during["cpu"] - before["cpu"]) / calls, 2),
                "post_ms_p50": round(1000 * statistics.median(callers.latencies), 2),
                "post_ms_p99": round(1000 * percentile(callers.latencies, 0.99), 2),
                "to_invite_ms_p50": round(percentile(delays, 0.5), 2),
                "to_invite_ms_p99": round(percentile(delays, 0.99), 2),
                "rss_mib_start": round(before["rss"], 1),
                "rss_mib_peak": round(max(peak), 1),
                "rss_mib_end": round(after["rss"], 1),
                "threads_start": before["threads"],
                "threads_end": after["threads"],
                "rtp_ports_end": len(service.open_rtp_ports()),
                "channels_end": len(service.http("GET", f"{service.base}/channels")[1]["data"]),
            }
        finally:
            for program in (service, extension, contact):
                program.stop()
    if options.json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name:20} {value}")


if __name__ == "__main__":
    main()
