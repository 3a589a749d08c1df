"""The relay beside rtpengine in userspace, in one run: ``python -m tests.bench.relay [--calls 200 400] [--seconds 10]``.

Each call is two endpoints that send PCMU at 50 packets a second through the relay to each other. Reported for each:
CPU microseconds a packet (user and system, of the relaying process), packets lost, and the delay that the relay adds
(p50 and p99, measured from the sender's send to the receiver's read, so the generator's own share is in both).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import random
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sipstack.media import MediaPlane
from sipstack.sdp import CODECS, RemoteMedia

HOST = "127.0.0.1"
PAYLOAD = 160
RATE = 50
#: Sockets of the generator, half of them for each side of the calls.
ENDPOINTS = 16
#: Packets that the generator sends before it looks for answers, when it is late.
BURST = 16
#: Seconds before the measuring begins.
WARM_UP = 1.5
Ports = list[tuple[int, int]]
#: Takes the ports of the two ends of each call; its (pid, ports to send to) while it runs.
Relay = Callable[[Ports], AbstractContextManager[tuple[int, Ports]]]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """CPU seconds that all programs of the machine have had."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    ticks = [int(field) for field in fields]
    # All but idle and waiting for a disk; what a hypervisor has taken counts too.
    return (sum(ticks[:8]) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


# --- the two relays: each takes the endpoints' ports of each call and gives the ports to send to


def _our_relay(pipe: multiprocessing.connection.Connection) -> None:
    calls: Ports = pipe.recv()
    plane = MediaPlane(ports=(30000, 30000 + 4 * len(calls) + 40))
    plane.start()
    codecs = (CODECS["PCMU"], CODECS["telephone-event"])
    given: Ports = []
    for pair in calls:
        legs = [plane.open(HOST) for _ in pair]
        for leg, port in zip(legs, pair, strict=True):
            leg.set_remote(RemoteMedia(HOST, port, HOST, port + 1, codecs), codecs)
        legs[0].bridge(legs[1])
        given.append((legs[0].rtp_port, legs[1].rtp_port))
    pipe.send(given)
    pipe.recv()
    plane.close()


@contextmanager
def our_relay(calls: Ports) -> Iterator[tuple[int, Ports]]:
    """(pid, ports) of ours in a process of its own."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_our_relay, args=(theirs,))
    process.start()
    mine.send(calls)
    given = mine.recv()
    assert process.pid is not None
    try:
        yield process.pid, given
    finally:
        mine.send("end")
        process.join(10)


def _bencode(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"d" + b"".join(_bencode(k) + _bencode(v) for k, v in sorted(value.items())) + b"e"
    if isinstance(value, list):
        return b"l" + b"".join(map(_bencode, value)) + b"e"
    octets = str(value).encode()
    return str(len(octets)).encode() + b":" + octets


def _sdp(port: int) -> str:
    return (
        f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )


@contextmanager
def rtpengine(calls: Ports) -> Iterator[tuple[int, Ports]]:
    """(pid, ports) of rtpengine, userspace only."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        control = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [
                shutil.which("rtpengine") or "/usr/bin/rtpengine", "--foreground", "--log-stderr", "--log-level=3",
                "--table=-1", f"--interface={HOST}", f"--listen-ng={HOST}:{control}", "--port-min=40000",
                "--port-max=60000", "--num-threads=1", f"--pidfile={folder}/pid",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        ng = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ng.settimeout(2)

        def ask(cookie: str, **command: Any) -> bytes:
            for _ in range(10):
                ng.sendto(f"{cookie} ".encode() + _bencode(command), (HOST, control))
                try:
                    return ng.recv(65535)
                except (TimeoutError, ConnectionRefusedError):
                    time.sleep(0.2)
            raise RuntimeError("rtpengine does not answer")

        def port_of(answer: bytes) -> int:
            return int(answer.partition(b"m=audio ")[2].split()[0])

        try:
            ask("p", command="ping")
            given: Ports = []
            for number, (one, two) in enumerate(calls):
                common = {"call-id": f"c{number}", "from-tag": "a"}
                offer = ask(f"o{number}", command="offer", sdp=_sdp(one), **common)
                answer = ask(
                    f"a{number}", command="answer", sdp=_sdp(two), **common | {"to-tag": "b"}
                )
                given.append((port_of(answer), port_of(offer)))
            yield process.pid, given
        finally:
            ng.close()
            process.terminate()
            process.wait(10)


# --- the load


def _endpoint() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((HOST, 0))
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    return made


def load(relay: Relay, calls: int, seconds: float) -> dict[str, Any]:
    """Send through a relay for ``seconds`` and measure.

    Each stream's packet goes out at its own moment of the 20 ms, as unsynchronised phones' do. The streams share a few
    sockets at our end, where the relay's ports tell them apart: the generator must cost less than what it measures.
    """
    ends = [_endpoint() for _ in range(ENDPOINTS)]
    readers = {end.fileno(): end.recv_into for end in ends}
    numbers = [end.getsockname()[1] for end in ends]
    half = ENDPOINTS // 2
    pairs = [(numbers[i % half], numbers[half + i % half]) for i in range(calls)]
    with relay(pairs) as (pid, given):
        streams = [
            (
                random.getrandbits(32),
                ends[side * half + index % half].sendto,
                (HOST, port),
            )
            for index, pair in enumerate(given)
            for side, port in enumerate(pair)
        ]
        random.shuffle(streams)
        packet, buffer = bytearray(12 + PAYLOAD), bytearray(2048)
        packet[0] = 0x80
        write, read = struct.Struct("!HIId").pack_into, struct.Struct("!d").unpack_from
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
                    ssrc, send, target = streams[index]
                    write(packet, 2, turn & 0xFFFF, turn * PAYLOAD & 0xFFFFFFFF, ssrc, clock())
                    send(packet, target)
                    sent += 1
                    due += step
                    index += 1
                    if index == count:
                        index = 0
                        turn += 1
            for fd, _ in poll.poll(0):
                if readers[fd](buffer) == 12 + PAYLOAD:
                    received += 1
                    keep(clock() - read(buffer, 12)[0])
        cpu = cpu_seconds(pid) - cpu
        counted = sent - counted
        busy = busy_seconds() - busy - cpu - (time.process_time() - own)
        # What is still under way is late, not lost.
        while ready := poll.poll(0.3):
            for fd, _ in ready:
                if readers[fd](buffer) == 12 + PAYLOAD:
                    received += 1
                    keep(clock() - read(buffer, 12)[0])
        poll.close()
    for end in ends:
        end.close()
    ordered = sorted(delays)
    return {
        "packets": counted,
        "cpu_us_a_packet": round(1e6 * cpu / max(1, counted), 2),
        "lost": max(0, sent - received),
        "p50_ms": round(1000 * ordered[len(ordered) // 2], 3) if ordered else None,
        "p99_ms": round(1000 * ordered[int(0.99 * len(ordered))], 3) if ordered else None,
        "generator_lag_ms": round(1000 * lag, 3),
        "other_programs_cpu": round(max(0.0, busy) / seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, nargs="+", default=[200, 400, 800, 1200, 1600])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for calls in options.calls:
        ours = load(our_relay, calls, options.seconds)
        theirs = load(rtpengine, calls, options.seconds)
        ratio = round(ours["cpu_us_a_packet"] / theirs["cpu_us_a_packet"], 2)
        rows.append({"calls": calls, "ours": ours, "rtpengine": theirs, "cpu_ratio": ratio})
    if options.json:
        print(json.dumps(rows))
        return
    print(
        f"{'calls':>5} {'relay':>10} {'packets':>9} {'us/packet':>10} {'lost':>6} {'p50 ms':>8} {'p99 ms':>8} {'lag ms':>8} {'others':>7}"
    )
    for row in rows:
        for name in ("ours", "rtpengine"):
            f = row[name]
            print(
                f"{row['calls']:>5} {name:>10} {f['packets']:>9} {f['cpu_us_a_packet']:>10} {f['lost']:>6} "
                f"{f['p50_ms']!s:>8} {f['p99_ms']!s:>8} "
                f"{f['generator_lag_ms']!s:>8} {f['other_programs_cpu']:>7}"
            )
        print(f"{'':>5} {'ratio':>10} {'':>9} {row['cpu_ratio']:>10}")


if __name__ == "__main__":
    main()
