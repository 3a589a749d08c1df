"""The commands in ``docs/getting-started.md`` and ``docs/recipes.md``, run in one shell as they stand there."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

from c2c_sip.config import load
from tests.interop.programs import free_port
from tests.interop.programs.lab import ROOT, environ

DOCS = Path(ROOT) / "docs"
#: A page's own ports, each of which is replaced by a free one.
PORTS = ("8000", "5060", "5062")


def commands(page: str) -> str:
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S))


def test_a_newcomer_gets_from_nothing_to_calls_by_every_recipe(tmp_path: Path) -> None:
    script = commands("getting-started.md") + commands("recipes.md")
    ports = {port: free_port() for port in PORTS}
    for port, free in ports.items():
        script = script.replace(f":{port}", f":{free}")
    program = tmp_path / "bin" / "c2c-sip"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m c2c_sip "$@"\n')
    program.chmod(0o755)
    path = tmp_path / "session.sh"
    path.write_text(f"set -euo pipefail\n{script}\nkill %1\nwait %1\n")
    with (tmp_path / "out.log").open("wb") as out:
        shell = subprocess.Popen(
            ["bash", str(path)],
            cwd=tmp_path,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environ(PATH=f"{program.parent}:{os.environ['PATH']}"),
            start_new_session=True,
        )
        try:
            code = shell.wait(150)
        finally:
            # What the shell has begun ends with it, however it ends.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    printed = (tmp_path / "out.log").read_text() + (tmp_path / "serve.log").read_text()
    assert code == 0, printed
    assert "success" in printed and "INVITE [SDP]" in printed


def test_the_configurations_in_the_pages_can_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("pw")
    found = 0
    for page in ("getting-started.md", "recipes.md", "embedded.md", "operating.md"):
        for text in re.findall(r"^```toml\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S):
            text = re.sub(r'_file = "[^"]*"', f'_file = "{secret}"', text)
            assert tomllib.loads(text)
            path = tmp_path / "c2c_sip.toml"
            path.write_text(text)
            load(str(path), {})
            found += 1
    assert found >= 3


def test_every_page_is_linked_to_and_every_link_leads_somewhere() -> None:
    pages = {path.name: path.read_text() for path in DOCS.glob("*.md")}
    readme = (DOCS.parent / "README.md").read_text()
    for name, text in pages.items():
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (DOCS / target).exists(), f"{name}: {target}"
    linked = set(re.findall(r"\]\((?:docs/)?([\w-]+\.md)", readme + "".join(pages.values())))
    assert set(pages) <= linked, set(pages) - linked
