"""The relay beside rtpengine in userspace, in one run: ``python -m tests.bench.relay [--calls 200 400] [--seconds 10]``.

With ``--all`` it also transcodes, encrypts, runs in two processes, and is measured while the API is asked, some ten minutes in all;
each goal has a verdict. ``--memory 1000`` tells what the whole service takes at rest, and for each of so many bridged calls.

Each call is two ends that send PCMU at 50 packets a second through the relay to each other. Reported for each: CPU
microseconds a packet (user and system, of the relay and its worker processes), packets lost, the delay that the relay
adds (from the generator's send to its read, so that its own share is in both), memory at rest and a call's share of it.

``others`` is how many CPUs other programs had meanwhile, ``lag`` by how much the generator was ever late: a run with
much of either measures the machine, not the relay.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import multiprocessing.connection
import os
import random
import select
import socket
import struct
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sipstack.media import MediaPlane
from sipstack.media.srtp import Protector
from sipstack.sdes import Agreement, Crypto, Suite
from sipstack.sdp import CODECS, RemoteMedia
from tests.bench.rtpengine import HOST, Rtpengine

PAYLOAD = 160
RATE = 50
#: Sockets of the generator, half of them for each side of the calls.
ENDPOINTS = 16
#: Packets that the generator sends before it looks for answers, when it is late.
BURST = 16
#: Seconds before the measuring begins.
WARM_UP = 1.5
#: The first of our relay's ports: below those that the system gives to whoever asks for any.
PORTS = 10000
#: Requests a second with ``--api``.
REQUESTS = 50

Ports = list[tuple[int, int]]
#: What the first end of each call encrypts with, and what is encrypted for it.
THEIRS, OURS = (Crypto(1, Suite.TAG_80, bytes([n]) * 30) for n in (1, 2))


@dataclass(frozen=True)
class Setting:
    """What the calls are like, and what else goes on."""

    workers: int = 0
    transcode: bool = False
    srtp: bool = False
    api: bool = False


@dataclass
class Running:
    """A relay with its calls: its process, the ports to send to, its memory in MiB before there was a call."""

    pid: int
    ports: Ports
    idle: float
    #: Seconds that each answer of the API took.
    answers: list[float] | None = None


#: Takes the ports of the two ends of each call.
Relay = Callable[[Ports, Setting], AbstractContextManager[Running]]


def _family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = [pid]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        children = (thread / "children").read_text().split()
        found += [member for child in children for member in _family(int(child))]
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children."""
    total = 0
    for member in _family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Resident memory of a process and its children in MiB, what they share counted once (PSS)."""
    total = 0
    for member in _family(pid):
        text = Path(f"/proc/{member}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def busy_seconds() -> float:
    """CPU seconds that all programs of the machine have had."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    ticks = [int(field) for field in fields]
    # All but idle and waiting for a disk; what a hypervisor has taken counts too.
    return (sum(ticks[:8]) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


# --- the two relays


def _our_relay(pipe: multiprocessing.connection.Connection, setting: Setting, count: int) -> None:
    plane = MediaPlane(ports=(PORTS, PORTS + 4 * count + 40), workers=setting.workers)
    plane.start()
    _serve_calls(pipe, setting, plane, "")
    plane.close()


def _our_service(pipe: multiprocessing.connection.Connection, setting: Setting, count: int) -> None:
    # Only here: what the service takes is not the relay's.
    from c2c_sip.config import Config, Database, Http, Media, Sip
    from c2c_sip.service import Service

    with tempfile.TemporaryDirectory() as folder:
        config = Config(
            http=Http(listen=f"{HOST}:0"),
            database=Database(url=f"sqlite:///{folder}/bench.db"),
            sip=Sip(listen=(f"udp:{HOST}:0",)),
            media=Media(ports=(PORTS, PORTS + 4 * count + 40), workers=setting.workers),
        )
        service = Service(config)
        service.start()
        account = service.store.create_account("bench")
        where = json.dumps([service.url, account["id"], account["api_key"]])
        _serve_calls(pipe, setting, service._engine.media, where)
        service.stop()


def _serve_calls(
    pipe: multiprocessing.connection.Connection, setting: Setting, plane: MediaPlane, where: str
) -> None:
    pipe.send(where)
    calls: Ports = pipe.recv()
    event = CODECS["telephone-event"]
    laws = (CODECS["PCMU"], CODECS["PCMA"] if setting.transcode else CODECS["PCMU"])
    given: Ports = []
    for pair in calls:
        first = plane.open(HOST)
        legs = (first, plane.open(HOST, beside=first))
        for leg, port, law in zip(legs, pair, laws, strict=True):
            keys = Agreement(ours=OURS, theirs=THEIRS) if setting.srtp and leg is first else None
            remote = RemoteMedia(HOST, port, HOST, port + 1, (law, event), agreement=keys)
            leg.set_remote(remote, (law, event))
        first.bridge(legs[1])
        given.append((first.rtp_port, legs[1].rtp_port))
    # A relay does as it is told a little later.
    time.sleep(0.5)
    pipe.send(given)
    pipe.recv()


@contextmanager
def our_relay(calls: Ports, setting: Setting) -> Iterator[Running]:
    """Ours in a process of its own, with the whole service around it where the API is to be asked."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    target = _our_service if setting.api else _our_relay
    process = context.Process(target=target, args=(theirs, setting, len(calls)))
    process.start()
    assert process.pid is not None
    where = mine.recv()
    if setting.workers:
        time.sleep(1.0)
    idle = memory(process.pid)
    mine.send(calls)
    running = Running(process.pid, mine.recv(), idle)
    asker = None
    if setting.api:
        answers, told = context.Pipe()
        asker = context.Process(target=_ask, args=(where, told))
        asker.start()
    try:
        yield running
    finally:
        if asker is not None:
            answers.send("end")
            running.answers = answers.recv()
            asker.join(10)
        mine.send("end")
        process.join(10)


def _ask(where: str, pipe: multiprocessing.connection.Connection) -> None:
    """Ask the API for something each 20 ms, in turn to make, change, list and delete a click-to-call."""
    url, account, key = json.loads(where)
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)

    def ask(method: str, path: str, data: Any = None) -> Any:
        body = json.dumps({"data": data}) if data is not None else None
        connection.request(
            method,
            path,
            body,
            {"Content-Type": "application/json", "X-Auth-Token": token},
        )
        answer = connection.getresponse()
        document = json.loads(answer.read())
        assert answer.status < 300, document
        return document

    token = ""
    token = ask("PUT", "/v1/api_auth", {"api_key": key})["auth_token"]
    base = f"/v1/accounts/{account}/clicktocall"
    taken: list[float] = []
    begin = time.perf_counter()
    made = ""
    while not pipe.poll(max(0.0, begin + len(taken) / REQUESTS - time.perf_counter())):
        asked = time.perf_counter()
        match len(taken) % 4:
            case 0:
                made = ask("PUT", base, {"name": "bench", "extension": "1001"})["data"]["id"]
            case 1:
                ask("PATCH", f"{base}/{made}", {"throttle": 3})
            case 2:
                ask("GET", base)
            case _:
                ask("DELETE", f"{base}/{made}")
        taken.append(time.perf_counter() - asked)
    pipe.send(taken)


@contextmanager
def rtpengine(calls: Ports, setting: Setting) -> Iterator[Running]:
    """rtpengine with as many threads as we have processes."""
    with Rtpengine(max(1, setting.workers)) as engine:
        idle = memory(engine.pid)
        key = THEIRS.key if setting.srtp else None
        given = [
            engine.call(n, *pair, transcode=setting.transcode, key=key)
            for n, pair in enumerate(calls)
        ]
        yield Running(engine.pid, given, idle)


# --- the load


def _endpoint() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((HOST, 0))
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    return made


def _encrypted(ssrc: int, count: int) -> list[bytes]:
    """A stream's packets, encrypted beforehand, for which the generator would have no time."""
    protector = Protector(Agreement(ours=THEIRS, theirs=OURS))
    packets = []
    for turn in range(count):
        head = struct.pack("!BBHII", 0x80, 0, turn & 0xFFFF, turn * PAYLOAD & 0xFFFFFFFF, ssrc)
        packet = protector.protect(head + bytes(PAYLOAD))
        assert packet is not None
        packets.append(packet)
    return packets


def load(relay: Relay, setting: Setting, calls: int, seconds: float) -> dict[str, Any]:
    """Send through a relay for ``seconds`` and measure.

    Each stream's packet goes out at its own moment of the 20 ms, as unsynchronised phones' do. The streams share a few
    sockets at our end, where the relay's ports tell them apart: the generator must cost less than what it measures.
    """
    ends = [_endpoint() for _ in range(ENDPOINTS)]
    readers = {end.fileno(): end.recv_into for end in ends}
    numbers = [end.getsockname()[1] for end in ends]
    half = ENDPOINTS // 2
    pairs = [(numbers[i % half], numbers[half + i % half]) for i in range(calls)]
    with relay(pairs, setting) as running:
        pid = running.pid
        streams = []
        for index, pair in enumerate(running.ports):
            for side, port in enumerate(pair):
                ssrc = random.getrandbits(32)
                law = 8 if side and setting.transcode else 0
                secret = (
                    _encrypted(ssrc, int((WARM_UP + seconds) * RATE) + 2)
                    if setting.srtp and not side
                    else None
                )
                end = ends[side * half + index % half]
                streams.append((0x8000 | law, ssrc, end.sendto, (HOST, port), secret))
        random.shuffle(streams)
        # A time in the payload does not survive another law or a cipher.
        timed = not setting.transcode and not setting.srtp
        packet, buffer = bytearray(12 + PAYLOAD), bytearray(2048)
        write, read = struct.Struct("!HHIId").pack_into, struct.Struct("!d").unpack_from
        poll = select.epoll()
        for fd in readers:
            poll.register(fd, select.EPOLLIN)
        clock = time.perf_counter
        delays = array("d")
        keep = delays.append
        count = len(streams)
        step = 1 / (RATE * count)
        sent = received = counted = index = turn = 0
        lag = cpu = busy = own = 0.0
        measuring = False
        due = clock()
        measured_from = due + WARM_UP
        until = measured_from + seconds
        while True:
            now = clock()
            if not measuring and now >= measured_from:
                measuring, cpu, counted, lag = True, cpu_seconds(pid), sent, 0.0
                busy, own = busy_seconds(), time.process_time()
                del delays[:]
            if now >= until:
                break
            if due <= now:
                lag = max(lag, now - due)
                for _ in range(min(BURST, int((now - due) / step) + 1)):
                    lead, ssrc, send, target, secret = streams[index]
                    if secret is None:
                        moment = turn * PAYLOAD & 0xFFFFFFFF
                        write(packet, 0, lead, turn & 0xFFFF, moment, ssrc, clock())
                        send(packet, target)
                    else:
                        send(secret[turn], target)
                    sent += 1
                    due += step
                    index += 1
                    if index == count:
                        index = 0
                        turn += 1
            for fd, _ in poll.poll(0):
                # What is shorter is RTCP.
                if readers[fd](buffer) >= 12 + PAYLOAD:
                    received += 1
                    if timed:
                        keep(clock() - read(buffer, 12)[0])
        cpu = cpu_seconds(pid) - cpu
        counted = sent - counted
        busy = busy_seconds() - busy - cpu - (time.process_time() - own)
        resident = memory(pid)
        # What is still under way is late, not lost.
        while ready := poll.poll(0.3):
            for fd, _ in ready:
                if readers[fd](buffer) >= 12 + PAYLOAD:
                    received += 1
                    if timed:
                        keep(clock() - read(buffer, 12)[0])
        poll.close()
    for end in ends:
        end.close()
    ordered = sorted(delays)
    found = {
        "packets": counted,
        "cpu_us_a_packet": round(1e6 * cpu / max(1, counted), 2),
        "lost": max(0, sent - received),
        "p50_ms": _at(ordered, 0.5),
        "p99_ms": _at(ordered, 0.99),
        "idle_mib": round(running.idle, 1),
        "kib_a_call": round(1024 * (resident - running.idle) / calls, 1),
        "generator_lag_ms": round(1000 * lag, 1),
        "other_programs_cpu": round(max(0.0, busy) / seconds, 2),
    }
    if running.answers is not None:
        answered = sorted(running.answers)
        found |= {"api_p50_ms": _at(answered, 0.5), "api_p99_ms": _at(answered, 0.99)}
    return found


def _at(ordered: list[float], share: float) -> float | None:
    return round(1000 * ordered[int(share * len(ordered))], 3) if ordered else None


COLUMNS = {
    "packets": "packets",
    "cpu_us_a_packet": "us/packet",
    "lost": "lost",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "idle_mib": "idle MiB",
    "kib_a_call": "KiB/call",
    "generator_lag_ms": "lag ms",
    "other_programs_cpu": "others",
    "api_p50_ms": "API p50",
    "api_p99_ms": "API p99",
}


#: The most that the relay may take of rtpengine's CPU time a packet.
MOST_CPU = 1.0
#: Calls up to which no packet may be lost, and the calls and the p99 of added delay, in ms, while the API is asked.
LOSSLESS = 1200
BUSY_CALLS, BUSY_P99 = 800, 5.0
#: What ``--all`` measures, in this order: a title, the setting, the calls.
ALL: tuple[tuple[str, Setting, tuple[int, ...]], ...] = (
    ("plain", Setting(), (200, 400, 800, 1200, 1600)),
    ("while the API is asked 50 times a second", Setting(api=True), (BUSY_CALLS,)),
    ("transcoding in every call", Setting(transcode=True), (200, 400, 800, 1200, 1600)),
    ("SRTP on one leg", Setting(srtp=True), (200, 400, 800, 1200, 1600)),
    ("two processes, and threads", Setting(workers=2), (200, 400, 800, 1200, 1600)),
)


#: CPUs that other programs had, and ms by which the generator was late, from which on a row measures the machine.
OTHERS, LAG = 0.3, 100.0


def is_doubtful(row: dict[str, Any]) -> bool:
    """Whether something else than the relays had a hand in a row."""
    return any(
        figures["other_programs_cpu"] > OTHERS or figures["generator_lag_ms"] > LAG
        for name, figures in row.items()
        if name in ("ours", "rtpengine")
    )


def verdicts(calls: int, setting: Setting, row: dict[str, Any]) -> list[tuple[str, bool]]:
    """Each goal that a row says something of, and whether it is met."""
    ours, found = row["ours"], []
    if "cpu_ratio" in row:
        found.append((f"CPU {row['cpu_ratio']} of rtpengine's", row["cpu_ratio"] <= MOST_CPU))
    if calls <= LOSSLESS:
        found.append((f"{ours['lost']} lost", ours["lost"] == 0))
    if setting.api and calls == BUSY_CALLS and ours["p99_ms"] is not None:
        found.append((f"p99 {ours['p99_ms']} ms", ours["p99_ms"] <= BUSY_P99))
    return found


def measure(
    setting: Setting, steps: Sequence[int], seconds: float, alone: bool, quiet: bool
) -> list[dict[str, Any]]:
    """Both relays at each step; what comes is shown at once unless ``quiet``."""
    rows = []
    for calls in steps:
        row: dict[str, Any] = {"calls": calls}
        row["ours"] = load(our_relay, setting, calls, seconds)
        # rtpengine has no API, and would be measured as before.
        if not alone and not setting.api:
            row["rtpengine"] = load(rtpengine, setting, calls, seconds)
            ratio = row["ours"]["cpu_us_a_packet"] / row["rtpengine"]["cpu_us_a_packet"]
            row["cpu_ratio"] = round(ratio, 2)
        row["goals"] = [{"what": what, "met": met} for what, met in verdicts(calls, setting, row)]
        row["doubtful"] = is_doubtful(row)
        rows.append(row)
        if not quiet:
            _show(row, first=len(rows) == 1)
    return rows


def at_rest(calls: int) -> dict[str, float]:
    """Memory of the whole service in MiB before a call, and KiB a bridged call, with ``calls`` of them and no packet."""
    ends = _endpoint(), _endpoint()
    one, two = (end.getsockname()[1] for end in ends)
    with our_relay([(one, two)] * calls, Setting(api=True)) as running:
        time.sleep(2.0)
        resident = memory(running.pid)
    for end in ends:
        end.close()
    return {
        "calls": calls,
        "idle_mib": round(running.idle, 1),
        "kib_a_call": round(1024 * (resident - running.idle) / calls, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, nargs="+", default=[200, 400, 800, 1200, 1600])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=0, help="relay processes; rtpengine threads")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--transcode", action="store_true", help="A-law at one end of each call")
    kind.add_argument("--srtp", action="store_true", help="SRTP at one end of each call")
    kind.add_argument(
        "--api", action="store_true", help=f"{REQUESTS} requests a second to the API meanwhile"
    )
    kind.add_argument("--all", action="store_true", help="all of these one after the other")
    kind.add_argument(
        "--memory", type=int, metavar="CALLS", help="only the memory of so many bridged calls"
    )
    parser.add_argument("--alone", action="store_true", help="without rtpengine")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.memory:
        print(json.dumps({"memory": at_rest(options.memory)}))
        return
    setting = Setting(options.workers, options.transcode, options.srtp, options.api)
    found: dict[str, Any] = {}
    for title, each, steps in ALL if options.all else (("", setting, tuple(options.calls)),):
        if title and not options.json:
            print(f"\n{title}", flush=True)
        found[title] = measure(each, steps, options.seconds, options.alone, options.json)
    if options.all:
        found["memory"] = at_rest(1000)
    if options.json:
        print(json.dumps(found if options.all else found[""]))
        return
    if options.all:
        print("\nmemory at 1,000 bridged calls", found["memory"])
    goals = [goal for rows in found.values() if isinstance(rows, list) for goal in _missed(rows)]
    print("\nmissed:" if goals else "\nall goals are met", *goals, sep="\n")


def _missed(rows: list[dict[str, Any]]) -> list[str]:
    return [
        f"  at {row['calls']} calls: {goal['what']}"
        for row in rows
        for goal in row["goals"]
        if not goal["met"]
    ]


def _show(row: dict[str, Any], first: bool) -> None:
    columns = {name: title for name, title in COLUMNS.items() if name in row["ours"]}
    if first:
        print("calls     relay", *(f"{title:>9}" for title in columns.values()))
    for name in ("ours", "rtpengine"):
        if name in row:
            figures = (f"{row[name].get(column, '')!s:>9}" for column in columns)
            print(f"{row['calls']:>5} {name:>9}", *figures, flush=True)
    for goal in row["goals"]:
        print(f"{'met' if goal['met'] else 'MISSED':>15}  {goal['what']}", flush=True)
    if row["doubtful"]:
        print(f"{'DOUBTFUL':>15}  the machine was busy with something else, or full", flush=True)


if __name__ == "__main__":
    main()
