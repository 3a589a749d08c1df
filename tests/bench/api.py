"""The API over a full database: ``python -m tests.bench.api [--clicktocalls 10000] [--history 1000000] [--requests 2000]``.

The database has that many click-to-calls of one account, and that many ended calls (and their CDRs) of one in ten of them.
For each kind of request: how many a second from ``--clients`` connections that ask as fast as they are answered, the median
and the 99th percentile in milliseconds. Then activations at a fixed rate, from the request to the INVITE at the phone, by
sipp's clock. Beside it, in the same run, the same lists and fetches over a database that is next to empty: what the
contents cost.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench.calls import PORTS, Callers, invite_delays, percentile, process_facts
from tests.interop.programs import Service, SippUas, until

#: From when the history is, Unix seconds; its calls are a minute apart.
BEGAN = 1_700_000_000


def fill(database: Path, account: str, clicktocalls: int, history: int) -> list[str]:
    """Put the documents and records into the database, as the service would have; the click-to-calls' ids."""
    ids = [f"{number:032x}" for number in range(1, clicktocalls + 1)]
    called = ids[: max(1, clicktocalls // 10)]

    def documents() -> Iterator[tuple[Any, ...]]:
        for number, id in enumerate(ids):
            document = {"name": f"Desk {number}", "extension": str(100 + number % 900)}
            yield id, account, json.dumps(document), 1, BEGAN + number, BEGAN + number

    def activations() -> Iterator[tuple[Any, ...]]:
        for number in range(history):
            made = BEGAN + 60.0 * number
            yield (
                *(f"a{number:031x}", account, called[number % len(called)], "+12025550102", made),
                *(
                    "ended",
                    "success",
                    "NORMAL_CLEARING",
                    f"c{number}",
                    f"d{number:031x}",
                    made + 40,
                ),
            )

    def cdrs() -> Iterator[tuple[Any, ...]]:
        for number in range(history):
            made = BEGAN + 60.0 * number
            yield (
                *(f"d{number:031x}", account, f"a{number:031x}", "contact", f"c{number}"),
                *(
                    "sip:c2c@example.test",
                    "sip:+12025550102@example.test",
                    made,
                    made + 5,
                    made + 40,
                ),
            )

    with sqlite3.connect(database) as connection:
        connection.executemany(
            "INSERT INTO clicktocall (id, account_id, document, revision, created, modified)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            documents(),
        )
        connection.executemany(
            "INSERT INTO activation (id, account_id, clicktocall_id, contact, created, state, result, cause,"
            " call_id, cdr_id, ended, duration_seconds, billing_seconds, ringing_seconds, is_public, times)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 40, 35, 5, 1, 1)",
            activations(),
        )
        connection.executemany(
            "INSERT INTO cdr (id, account_id, activation_id, role, call_id, from_uri, to_uri, created, answered,"
            " ended, duration_seconds, billing_seconds, ringing_seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 40, 35, 5)",
            cdrs(),
        )
    connection.close()
    return ids


class Client:
    """A connection that stays open."""

    def __init__(self, service: Service) -> None:
        self._connection = http.client.HTTPConnection(
            service.url.removeprefix("http://"), timeout=60
        )
        self._headers = {"X-Auth-Token": service.token, "Content-Type": "application/json"}

    def ask(self, method: str, path: str, data: Any = None) -> dict[str, Any]:
        body = None if data is None else json.dumps({"data": data})
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status < 300, (method, path, answer.status, text[:300])
        found: dict[str, Any] = json.loads(text)
        return found


def rush(
    service: Service, clients: int, requests: int, ask: Callable[[Client, int], None]
) -> dict[str, float]:
    """Ask ``requests`` times in all, from that many connections."""
    numbers = iter(range(requests))
    lock = threading.Lock()
    took: list[float] = []
    failed: list[BaseException] = []

    def work() -> None:
        client = Client(service)
        try:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                began = time.perf_counter()
                ask(client, number)
                spent = time.perf_counter() - began
                with lock:
                    took.append(spent)
        except BaseException as error:
            failed.append(error)

    workers = [threading.Thread(target=work) for _ in range(clients)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    spent = time.perf_counter() - began
    if failed:
        raise failed[0]
    return {
        "a_second": round(requests / spent, 1),
        "p50_ms": round(1000 * statistics.median(took), 2),
        "p99_ms": round(1000 * percentile(took, 0.99), 2),
    }


def kinds(service: Service, ids: list[str]) -> dict[str, Callable[[Client, int], None]]:
    """What is asked, by name."""
    base, busy = service.base, f"{service.base}/clicktocall/{ids[0]}"
    deep = ""

    def at_depth(client: Client, number: int) -> None:
        nonlocal deep
        found = client.ask("GET", f"{base}/cdrs?page_size=50{deep}")
        # On and on, page by page.
        deep = f"&start_key={found['next_start_key']}" if "next_start_key" in found else ""

    return {
        "list click-to-calls": lambda c, n: void(c.ask("GET", f"{base}/clicktocall")),
        "list filtered by name": lambda c, n: void(
            c.ask("GET", f"{base}/clicktocall?filter_name=Desk%20{n % len(ids)}")
        ),
        "fetch": lambda c, n: void(c.ask("GET", f"{base}/clicktocall/{ids[n % len(ids)]}")),
        "history": lambda c, n: void(c.ask("GET", f"{busy}/history")),
        "cdrs, page by page": at_depth,
        "create": lambda c, n: void(
            c.ask("PUT", f"{base}/clicktocall", {"name": f"New {n}", "extension": "101"})
        ),
    }


def void(answer: dict[str, Any]) -> None:
    assert answer["status"] == "success"


def measure(options: argparse.Namespace, clicktocalls: int, history: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="c2c-bench-") as text:
        folder = Path(text)
        service = Service(folder)
        given = f"ports = [{service.rtp[0]}, {service.rtp[1]}]"
        config = service.config.read_text().replace(given, f"ports = [{PORTS[0]}, {PORTS[1]}]")
        service.config.write_text(config)
        began = time.perf_counter()
        ids = fill(folder / "c2c.db", service.account["id"], clicktocalls, history)
        filled = time.perf_counter() - began
        began = time.perf_counter()
        service.start()
        started = time.perf_counter() - began
        calls = round(options.rate * options.seconds)
        phone = SippUas(folder, "answer", name="desk", calls=calls)
        contact = SippUas(folder, "answer_bye", name="customer", calls=calls, pause=500)
        try:
            found: dict[str, Any] = {
                name: rush(
                    service,
                    options.clients,
                    options.requests if "filtered" not in name else options.requests // 20,
                    ask,
                )
                for name, ask in kinds(service, ids).items()
            }
            definition = service.define(extension=phone.uri, whitelist=["customer"])
            path = f"{service.base}/clicktocall/{definition}/connect"
            callers = Callers(service, path, contact.uri)
            callers.run(options.rate, options.seconds)

            def live() -> list[object]:
                time.sleep(0.3)
                return list(service.http("GET", f"{service.base}/channels")[1]["data"])

            # The phone writes down what came when it has nothing else to do.
            until(lambda: not live(), 60, "the calls to end")
            wanted = len(callers.accepted)
            until(lambda: len(invite_delays(phone, callers.accepted)) >= wanted, 30, "the INVITEs")
            delays = invite_delays(phone, callers.accepted)
            began = min(callers.accepted.values())
            slowest = sorted(zip(delays, callers.accepted.values(), strict=True))[-5:]
            found["connect"] = {
                "a_second": round(options.rate, 1),
                "p50_ms": round(1000 * statistics.median(callers.latencies), 2),
                "p99_ms": round(1000 * percentile(callers.latencies, 0.99), 2),
            }
            found["connect to INVITE"] = {
                "a_second": round(options.rate, 1),
                "p50_ms": round(percentile(delays, 0.5), 2),
                "p99_ms": round(percentile(delays, 0.99), 2),
            }
            found["facts"] = {
                "filled_s": round(filled, 1),
                "started_s": round(started, 2),
                "rss_mib": round(process_facts(service.process.pid)["rss"], 1),
                "refused": sum(callers.refused.values()),
                "invites": len(delays),
                # Where the p99 comes from: all at once is a pause, the first second is a cold start.
                "slowest_at_s": [round(at - began, 2) for _, at in slowest],
            }
            return found
        finally:
            for program in (service, phone, contact):
                program.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clicktocalls", type=int, default=10_000)
    parser.add_argument("--history", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=2_000, help="of each kind")
    parser.add_argument("--clients", type=int, default=4, help="connections at once")
    parser.add_argument("--rate", type=float, default=50.0, help="activations a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of activations")
    options = parser.parse_args()
    empty = measure(options, 10, 100)
    full = measure(options, options.clicktocalls, options.history)
    print(f"{'':24}{'a second':>20}{'p50 ms':>20}{'p99 ms':>20}   (next to empty / full)")
    for name, figures in full.items():
        if name == "facts":
            print(
                ", ".join(f"{key} {empty[name][key]} / {value}" for key, value in figures.items())
            )
            continue
        cells = (f"{empty[name][key]} / {value}" for key, value in figures.items())
        print(f"{name:24}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
