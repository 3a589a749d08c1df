"""The trace of a real call between the lab's phones, read by tshark."""

import re
import shutil
import socket
import struct
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.programs import HOST, Service, until


@pytest.fixture
def collector() -> Iterator[socket.socket]:
    """What gets each message as HEP3."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((HOST, 0))
        receiver.setblocking(False)
        yield receiver


@pytest.fixture
def service(tmp_path: Path, collector: socket.socket) -> Iterator[Service]:
    hep = f"{HOST}:{collector.getsockname()[1]}"
    running = Service(tmp_path, f'[trace]\nrtp_headers = 200\nhep = "{hep}"\n')
    running.start("--lab")
    yield running
    running.stop()


def fetch(service: Service, path: str) -> tuple[str, bytes]:
    request = urllib.request.Request(service.url + path, headers={"X-Auth-Token": service.token})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.headers["Content-Type"]), answer.read()


def heads(capture: bytes) -> int:
    """The packets in a capture of which only the head is there."""
    found, at = 0, 24
    while at < len(capture):
        kept, length = struct.unpack_from("<II", capture, at + 8)
        found += kept < length
        at += 16 + kept
    return found


def tshark(capture: Path, *options: str) -> str:
    assert shutil.which("tshark"), "tshark is not installed"
    command = ["tshark", "-r", str(capture), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def exported(collector: socket.socket) -> list[bytes]:
    """The SIP messages in what has come."""
    found = []
    while True:
        try:
            packet = collector.recv(65_535)
        except BlockingIOError:
            return found
        assert packet[:4] == b"HEP3" and struct.unpack(">H", packet[4:6]) == (len(packet),)
        at = 6
        while at < len(packet):
            _, kind, length = struct.unpack_from(">HHH", packet, at)
            if kind == 15:
                found.append(packet[at + 6 : at + length])
            at += length


def test_tshark_reads_the_capture_and_its_list_is_the_ladder(
    service: Service, tmp_path: Path, collector: socket.socket
) -> None:
    definition = service.define(extension="101")
    activation = service.connect(definition, "+12025550102")
    until(lambda: service.record(definition, activation["id"])["state"] == "connected", 15, "the call")  # fmt: skip
    here = f"{service.base}/clicktocall/{definition}/history/{activation['id']}"
    until(lambda: heads(fetch(service, f"{here}/trace.pcap")[1]) > 200, 20, "some talk")
    kind, live = fetch(service, f"{here}/ladder.txt")
    assert kind == "text/plain; charset=utf-8" and b"INVITE [SDP]" in live and b"BYE" not in live
    service.http(
        "POST",
        f"{service.base}/channels/{activation['call_id']}",
        {"data": {"action": "hangup"}},
    )
    service.ended(definition, activation["id"])
    until(lambda: fetch(service, f"{here}/ladder.txt")[1].count(b"BYE") == 4, 10, "the BYEs")
    _, text = service.http("GET", f"{here}/trace.json")
    messages = text["messages"]
    assert {entry["role"] for entry in messages} == {"extension", "contact"}

    sent = {message.decode("utf-8", "replace") for message in exported(collector)}
    assert sent >= {entry["message"] for entry in messages}

    kind, octets = fetch(service, f"{here}/trace.pcap")
    assert kind == "application/vnd.tcpdump.pcap"
    capture = tmp_path / "call.pcap"
    capture.write_bytes(octets)
    fields = ("ip.src", "udp.srcport", "ip.dst", "udp.dstport", "sip.Method", "sip.Status-Code", "_ws.malformed")  # fmt: skip
    rows = [
        line.split("\t")
        for line in tshark(
            capture, "-Y", "sip", "-T", "fields", *(f"-e{name}" for name in fields)
        ).splitlines()
    ]
    seen = [(f"{r[0]}:{r[1]}", f"{r[2]}:{r[3]}", r[4] or r[5]) for r in rows]
    assert not any(row[6] for row in rows)
    told = [(m["source"], m["destination"], m["message"].split()[0 if m["message"][:3] != "SIP" else 1]) for m in messages]  # fmt: skip
    assert seen == told and len(seen) >= 12
    assert tshark(capture, "-Y", "sdp").count("\n") == sum("v=0" in m["message"] for m in messages)
    assert "malformed" not in tshark(capture, "-V").lower()
    streams = [
        row.split()
        for row in tshark(capture, "-q", "-z", "rtp,streams").splitlines()
        if "g711" in row.lower()
    ]
    # Each leg's audio either way: what the lab's phones say, and what they hear.
    named = {(f"{row[2]}:{row[3]}", f"{row[4]}:{row[5]}") for row in streams}
    offered = set(re.findall(r"m=audio (\d+) ", "".join(m["message"] for m in messages)))
    assert len(named) == 4 and {end.rpartition(":")[2] for ends in named for end in ends} == offered
    assert all(int(row[8]) > 20 for row in streams), streams
    # Headers, and nothing of what was said.
    assert set(tshark(capture, "-Y", "rtp", "-T", "fields", "-e", "frame.cap_len").split()) == {
        str(20 + 8 + 12)
    }

    ladder = fetch(service, f"{here}/ladder.txt")[1].decode().splitlines()[1:]
    assert len(ladder) == len(seen)
    for line, (_, _, what) in zip(ladder, seen, strict=True):
        assert f" {what}" in line
    kind, picture = fetch(service, f"{here}/ladder.svg")
    assert kind == "image/svg+xml" and picture.count(b'class="message ') == len(seen)


def test_a_trace_is_for_its_own_account_only(service: Service) -> None:
    definition = service.define(extension="101")
    activation = service.connect(definition, "+12025550102")
    here = f"{service.base}/clicktocall/{definition}/history/{activation['id']}"
    token, service.token = service.token, ""
    assert service.http("GET", f"{here}/trace.json")[0] == 401
    service.token = token
    absent = here.replace(activation["id"], "0" * 32)
    for name in ("ladder.txt", "ladder.svg", "trace.json", "trace.pcap"):
        assert service.http("GET", f"{absent}/{name}")[0] == 404
