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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sipstack.media import MediaPlane
from sipstack.sdp import CODECS, RemoteMedia

HOST = "127.0.0.1"
PAYLOAD = 160
RATE = 50
Ports = list[tuple[int, int]]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


def load(relay: Any, calls: int, seconds: float) -> dict[str, Any]:
    """Send through a relay for ``seconds`` and measure."""
    sockets: list[socket.socket] = []
    for _ in range(2 * calls):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((HOST, 0))
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        sockets.append(one)
    ports = [one.getsockname()[1] for one in sockets]
    with relay(list(zip(ports[::2], ports[1::2], strict=True))) as (pid, given):
        targets = [(HOST, port) for pair in given for port in pair]
        poll = select.epoll()
        by_fd = {one.fileno(): one for one in sockets}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        packets = [bytearray(12 + PAYLOAD) for _ in sockets]
        for packet in packets:
            struct.pack_into("!BBHII", packet, 0, 0x80, 0, 1, 0, random.getrandbits(32))
        delays: list[float] = []
        sent = received = 0
        warm_up = 1.5
        begin = time.perf_counter()
        measured_from, until = begin + warm_up, begin + warm_up + seconds
        cpu = 0.0
        measuring = False
        counted_sent = 0
        slot = 1 / (RATE * len(sockets))
        number = 0
        buffer = bytearray(2048)
        while True:
            now = time.perf_counter()
            if not measuring and now >= measured_from:
                measuring, cpu = True, cpu_seconds(pid)
                counted_sent = sent
                delays.clear()
            if now >= until:
                break
            due = int((now - begin) / slot)
            while number < due:
                index = number % len(sockets)
                packet = packets[index]
                turn = number // len(sockets)
                struct.pack_into("!HI", packet, 2, turn & 0xFFFF, (turn * PAYLOAD) & 0xFFFFFFFF)
                struct.pack_into("!d", packet, 12, time.perf_counter())
                sockets[index].sendto(packet, targets[index])
                sent += 1
                number += 1
            for fd, _ in poll.poll(0.0005):
                one = by_fd[fd]
                while True:
                    try:
                        size = one.recv_into(buffer)
                    except BlockingIOError:
                        break
                    if size == 12 + PAYLOAD:
                        received += 1
                        delays.append(time.perf_counter() - struct.unpack_from("!d", buffer, 12)[0])
        cpu = cpu_seconds(pid) - cpu
        settle = time.perf_counter() + 0.3
        while time.perf_counter() < settle:
            for fd, _ in poll.poll(0.05):
                try:
                    while by_fd[fd].recv_into(buffer):
                        received += 1
                except BlockingIOError:
                    continue
        poll.close()
        for one in sockets:
            one.close()
    delays.sort()
    window_sent = sent - counted_sent
    return {
        "packets": window_sent,
        "cpu_us_a_packet": round(1e6 * cpu / max(1, window_sent), 2),
        "lost": max(0, sent - received),
        "p50_ms": round(1000 * delays[len(delays) // 2], 3) if delays else None,
        "p99_ms": round(1000 * delays[int(0.99 * len(delays))], 3) if delays else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, nargs="+", default=[200, 400])
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
        f"{'calls':>5} {'relay':>10} {'packets':>9} {'us/packet':>10} {'lost':>6} {'p50 ms':>8} {'p99 ms':>8}"
    )
    for row in rows:
        for name in ("ours", "rtpengine"):
            f = row[name]
            print(
                f"{row['calls']:>5} {name:>10} {f['packets']:>9} {f['cpu_us_a_packet']:>10} {f['lost']:>6} "
                f"{f['p50_ms']!s:>8} {f['p99_ms']!s:>8}"
            )
        print(f"{'':>5} {'ratio':>10} {'':>9} {row['cpu_ratio']:>10}")


if __name__ == "__main__":
    main()
