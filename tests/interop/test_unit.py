"""The systemd unit: systemd's own opinion of it, and what the service tells systemd."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.conftest import Start
from tests.interop.programs import Service

UNIT = Path(__file__).parents[2] / "conf" / "c2c-sip.service"
#: systemd-analyze gives 0 for a service that can do nothing, and 9.6 for one that can do everything.
EXPOSED = 2.0


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60
    )


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "c2c-sip"
    shutil.copy(sys.executable, program)
    copy = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert "/usr/local/bin/c2c-sip serve" in text
    copy.write_text(text.replace("/usr/local/bin/c2c-sip", str(program)))
    done = analyze("verify", str(copy))
    # What is wrong with others' units is not ours.
    ours = [line for line in done.stderr.splitlines() if "c2c-sip" in line]
    assert not ours, done.stderr
    copy.write_text(copy.read_text().replace("Type=notify", "Typo=notify"))
    assert "'Typo'" in analyze("verify", str(copy)).stderr


def test_systemd_finds_the_unit_well_confined() -> None:
    done = analyze("security", "--offline=true", "--no-pager", str(UNIT))
    found = re.search(r"Overall exposure level for c2c-sip.service: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= EXPOSED, done.stdout


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_when_the_service_is_ready_and_when_it_stops(
    start: Start, tmp_path: Path, abstract: bool
) -> None:
    address = f"@c2c-sip-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0", 1) if abstract else address)
        manager.settimeout(30)
        service = start(Service, env={"NOTIFY_SOCKET": address}).start()
        assert manager.recv(100) == b"READY=1"
        assert service.http("GET", "/readyz")[0] == 200
        assert service.stop(signal.SIGTERM, 20) == 0
        assert manager.recv(100) == b"STOPPING=1"
