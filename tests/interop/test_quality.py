"""What a leg's counters say of a bad line, beside what tshark says of the same packets."""

import random
import re
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from sipstack.media import MediaPlane
from sipstack.sdp import CODECS, RemoteMedia
from tests.interop.programs import HOST, free_rtp_range

PCMU = CODECS["PCMU"]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_loss_and_jitter_are_those_that_tshark_finds(tmp_path: Path) -> None:
    plane = MediaPlane(ports=free_rtp_range())
    plane.start()
    leg = plane.open(HOST)
    phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    phone.bind((HOST, 0))
    port = phone.getsockname()[1]
    leg.set_remote(RemoteMedia(HOST, port, HOST, port + 1, (PCMU,)), (PCMU,))
    file = tmp_path / "line.pcap"
    tshark = subprocess.Popen(
        ["tshark", "-i", "lo", "-f", f"udp dst port {leg.rtp_port}", "-w", str(file)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert tshark.stderr is not None
        for line in tshark.stderr:
            if "Capturing on" in line:
                break
            if "permission" in line.lower():
                pytest.skip("tshark may not capture here")
        time.sleep(1.0)
        rng = random.Random(4)
        # 5 % lost, the others up to 40 ms late, and so out of order at times.
        sent = [
            (n * 0.02 + rng.uniform(0.0, 0.04), n)
            for n in range(400)
            if not n or rng.random() > 0.05
        ]
        begin = time.monotonic()
        for at, number in sorted(sent):
            time.sleep(max(0.0, begin + at - time.monotonic()))
            head = struct.pack("!BBHII", 0x80, 0, 65400 + number & 0xFFFF, 160 * number, 77)
            phone.sendto(head + bytes(160), (HOST, leg.rtp_port))
        time.sleep(1.0)
    finally:
        tshark.terminate()
        tshark.communicate(timeout=10)
        counters = leg.close()
        plane.close()
        phone.close()
    report = subprocess.run(
        ["tshark", "-r", str(file), "-d", f"udp.port=={leg.rtp_port},rtp", "-q", "-z", "rtp,streams"],
        capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip
    row = next(line for line in report.splitlines() if "0x0000004D" in line)
    figures = re.search(r"(\d+)\s+(-?\d+) \((-?[\d.]+)%\)\s+(.*)", row)
    assert figures is not None, row
    *_, mean_jitter, max_jitter = (float(n) for n in re.findall(r"[\d.]+", figures[4]))
    highest = max(number for _, number in sent)
    assert counters.packets_received == int(figures[1]) == len(sent)
    assert counters.lost == highest + 1 - len(sent) == int(figures[2])
    assert counters.late > 0
    assert counters.mean_jitter_ms == pytest.approx(mean_jitter, abs=1.0)
    assert counters.max_jitter_ms == pytest.approx(max_jitter, abs=2.0)
