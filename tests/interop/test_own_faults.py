"""A fault of our own in the thread that watches over a service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.interop.programs.base import HOST

_FAULTY = """
import sys
from c2c_sip.cli import main, serving
from c2c_sip.collecting import Collecting

serving.TIDY = 0.1

def tidy(self):
    raise RuntimeError("a fault of ours")

Collecting.tidy = tidy
main(sys.argv[1:])
"""


def test_a_service_ends_as_a_whole_and_says_why(tmp_path: Path) -> None:
    config = tmp_path / "c2c.toml"
    config.write_text(
        f'[http]\nlisten = "{HOST}:0"\n[database]\nurl = "sqlite:///{tmp_path}/c2c.db"\n'
        f'[sip]\nlisten = ["udp:{HOST}:0"]\n'
    )
    command = [sys.executable, "-c", _FAULTY, "serve", "--lab", "--config", str(config)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("ready ")
    assert "a fault of ours" in done.stderr
    assert done.returncode == 1
