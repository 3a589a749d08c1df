"""The demo and the lab, as the commands that people run."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from c2c_sip.lab import demo
from tests.interop.programs import until

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "c2c_sip", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_demo_json_says_that_each_phone_heard_the_other_within_20_seconds() -> None:
    began = time.monotonic()
    done = run("demo", "--json")
    assert time.monotonic() - began < 20
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert set(facts) == {
        "ok",
        "call",
        "extension_heard_contact",
        "contact_heard_extension",
        "setup_ms",
    }
    assert (
        facts["ok"] is facts["extension_heard_contact"] is facts["contact_heard_extension"] is True
    )
    assert facts["call"]["result"] == "success"


def test_a_demo_that_fails_prints_all_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "PATIENCE", -1.0)  # whatever is waited for comes too late
    assert demo.run_demo(True) == 1
    said = capsys.readouterr()
    facts = json.loads(said.out)
    error = facts.pop("error")
    assert error.startswith("waited ") and said.err == f"demo failed: {error}\n"
    assert facts == {
        "ok": False,
        "call": None,
        "extension_heard_contact": False,
        "contact_heard_extension": False,
        "setup_ms": None,
    }


def test_a_demo_without_a_place_for_its_database_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert demo.run_demo(True) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["ok"] is False
    assert "nowhere" in said.err


def test_a_demo_that_is_stopped_leaves_nothing_behind(tmp_path: Path) -> None:
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-m", "c2c_sip", "demo"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        ) as running:
            until(
                lambda: list(tmp_path.rglob("demo.db")) or running.poll() is not None,
                20,
                "the demo's database",
            )
            running.terminate()
            ended = running.wait(20)
        assert list(tmp_path.iterdir()) == []
        if ended:
            break  # else it was over before it was stopped: a demo takes hardly a second
    assert ended == 1


def test_demo_prints_the_ladder_and_the_record() -> None:
    done = run("demo")
    assert done.returncode == 0, done.stderr
    for word in ("INVITE", "200 OK (INVITE)", "ACK", "BYE", '"cause": "NORMAL_CLEARING"'):
        assert word in done.stdout


def test_usage_errors_exit_with_2_and_failures_with_1(tmp_path: Path) -> None:
    assert run("nonsense").returncode == 2
    assert run("demo", "--nonsense").returncode == 2
    bad = tmp_path / "bad.toml"
    bad.write_text("[http]\nlisten = 1\nthreads = 0\n")
    done = run("check-config", "--config", str(bad))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "http.listen" in done.stderr
    assert "http.threads" in done.stderr
    assert run("serve", "--config", str(bad)).returncode == 1
