"""What the record says of a bad line, beside what the line did and what tshark says of the same packets.

Kernels without ``netem`` are common, so the line is one of our own: it drops, delays and swaps the packets of a stream by a
list that is drawn before, between a phone that sends every 20 ms and the service.
"""

from __future__ import annotations

import random
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.conftest import Start
from tests.interop.programs import HOST, Service, SippUas, until

LOSS, DELAY, PACKETS = 0.05, 0.04, 500


@dataclass
class Phone:
    """sipp for the signalling, and the socket that it describes."""

    sipp: SippUas
    line: socket.socket

    @property
    def ours(self) -> int:
        """The port of the service that it is to send to."""
        found = re.search(r"^m=audio (\d+) ", self.sipp.received("INVITE")[0][1], re.M)
        assert found is not None
        return int(found[1])

    def plays(self, schedule: list[tuple[float, int]], ssrc: int) -> None:
        """Send the packets of these numbers at these seconds from now."""
        to, begin = (HOST, self.ours), time.monotonic()
        for at, number in sorted(schedule):
            time.sleep(max(0.0, begin + at - time.monotonic()))
            head = struct.pack("!BBHII", 0x80, 0, 65400 + number & 0xFFFF, 160 * number, ssrc)
            self.line.sendto(head + bytes(160), to)


@pytest.fixture
def phones(start: Start) -> Iterator[list[Phone]]:
    made = []
    for name in ("desk", "customer"):
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        line.bind((HOST, 0))
        port = line.getsockname()[1]
        made.append(Phone(start(SippUas, "answer", name=name, media_port=port), line))
    yield made
    for phone in made:
        phone.line.close()


def test_the_record_has_the_loss_of_the_line_and_the_jitter_that_tshark_finds(
    start: Start, tmp_path: Path, phones: list[Phone]
) -> None:
    service = start(Service).start()
    desk, customer = phones
    definition = service.define(extension=desk.sipp.uri)
    talking = service.connect(definition, customer.sipp.uri)
    until(lambda: service.record(definition, talking["id"])["state"] == "connected", 15, "the call")
    file = tmp_path / "line.pcap"
    tshark = subprocess.Popen(
        ["tshark", "-i", "lo", "-f", f"udp dst port {desk.ours}", "-w", str(file)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    rng = random.Random(4)
    whole = [(n * 0.02, n) for n in range(PACKETS)]
    # 5 % lost, the others up to 40 ms late, and so out of order at times; the first and the last come.
    spoilt = [
        (at + rng.uniform(0.0, DELAY), n)
        for at, n in whole
        if n in (0, PACKETS - 1) or rng.random() > LOSS
    ]
    try:
        assert tshark.stderr is not None
        assert any("Capturing on" in line for line in tshark.stderr), "tshark may capture here"
        time.sleep(1.0)
        senders = [
            threading.Thread(target=phone.plays, args=(schedule, ssrc))
            for phone, schedule, ssrc in ((desk, spoilt, 77), (customer, whole, 78))
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        time.sleep(1.0)
    finally:
        tshark.terminate()
        tshark.communicate(timeout=20)
    path = f"{service.base}/channels/{talking['extension_call_id']}"
    live = service.http("GET", path)[1]["data"]["media"]
    service.http("POST", path, {"data": {"action": "hangup"}})
    service.ended(definition, talking["id"])
    heard = {cdr["role"]: cdr["media"] for cdr in service.cdrs(talking["id"])}
    report = subprocess.run(
        ["tshark", "-r", str(file), "-d", f"udp.port=={desk.ours},rtp", "-q", "-z", "rtp,streams"],
        capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    row = next(line for line in report.splitlines() if "0x0000004D" in line)
    figures = re.search(r"(\d+)\s+(-?\d+) \((-?[\d.]+)%\)\s+(.*)", row)
    assert figures is not None, row
    *_, mean_jitter, max_jitter = (float(n) for n in re.findall(r"[\d.]+", figures[4]))
    bad, good = heard["extension"], heard["contact"]
    print("dropped", PACKETS - len(spoilt), "tshark", row, "the record", bad)
    assert bad["packets_received"] == int(figures[1]) == len(spoilt)
    assert bad["lost"] == PACKETS - len(spoilt) == int(figures[2])
    assert bad["late"] > 0
    assert bad["mean_jitter_ms"] == pytest.approx(mean_jitter, abs=1.0)
    assert bad["max_jitter_ms"] == pytest.approx(max_jitter, abs=2.0)
    assert (good["packets_received"], good["lost"], good["late"]) == (PACKETS, 0, 0)
    assert good["mos"] > bad["mos"] > 1.0
    # Each got what the other sent, and the figures of the live call were those of the record.
    assert good["packets_sent"] >= len(spoilt)
    assert {name: live[name] for name in ("packets_received", "lost", "late", "mos")} == {
        name: bad[name] for name in ("packets_received", "lost", "late", "mos")
    }
