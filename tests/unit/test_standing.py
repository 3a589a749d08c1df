"""What it takes to hang up the legs that are up, kept where it outlives a process that is killed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from c2c_sip.store.standing import PLACE, Standing, as_text, path_of


def leg(call_id: str, **more: Any) -> tuple[str, str]:
    return call_id, as_text({"call_id": call_id, "trunk": None} | more)


def left(path: Path) -> dict[str, Any]:
    again = Standing(str(path))
    found = again.left
    again.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c2c.db-legs"


def test_what_is_kept_is_there_after_a_kill(path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from c2c_sip.store.standing import Standing, as_text\n"
        "legs = Standing(sys.argv[1])\n"
        "def keep(call_id, n): legs.keep(call_id, as_text({'call_id': call_id, 'trunk': None, 'n': n}))\n"
        "for n in range(5): keep(f'c{n}', 1)\n"
        "keep('c3', 2)\n"
        "legs.over('c1')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], timeout=60)
    assert done.returncode == -9
    found = left(path)
    assert {call_id: dumped["n"] for call_id, dumped in found.items()} == {
        "c0": 1,
        "c2": 1,
        "c3": 2,
        "c4": 1,
    }


def test_it_is_its_owner_s_only_and_no_longer_than_the_most_legs_that_were_up(path: Path) -> None:
    legs = Standing(str(path))
    for n in range(300):
        legs.keep(*leg(f"c{n}"))
        legs.keep(*leg(f"c{n}", more="x" * 500))
        legs.over(f"c{n - 2}")
    assert path.stat().st_size <= 3 * PLACE
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(legs.left) == set()
    legs.close()
    assert set(left(path)) == {"c298", "c299"}


def test_a_leg_that_was_left_stays_until_it_is_over_and_an_empty_file_is_empty(path: Path) -> None:
    legs = Standing(str(path))
    legs.keep(*leg("c1"))
    legs.keep(*leg("c2"))
    legs.close()
    legs = Standing(str(path))
    legs.over("c1")
    legs.over("never heard of")
    legs.keep(*leg("c3"))
    legs.close()
    legs = Standing(str(path))
    assert set(legs.left) == {"c2", "c3"}
    legs.over("c2")
    legs.over("c3")
    legs.close()
    assert path.stat().st_size == 0


def test_what_was_written_by_half_or_by_somebody_else_keeps_nothing_else_from_being_read(
    path: Path,
) -> None:
    legs = Standing(str(path))
    for n in range(4):
        legs.keep(*leg(f"c{n}"))
    legs.close()
    octets = bytearray(path.read_bytes())
    octets[PLACE + 20] ^= 0xFF
    octets[2 * PLACE : 2 * PLACE + 8] = b"leg1\xff\xff\xff\xff"
    path.write_bytes(octets[: 3 * PLACE + 5])
    legs = Standing(str(path))
    assert set(legs.left) == {"c0"}
    for n in range(10, 14):
        legs.keep(*leg(f"c{n}"))
    legs.close()
    assert set(left(path)) == {"c0", "c10", "c11", "c12", "c13"}


def test_of_many_who_ring_as_many_are_kept_as_there_is_room_for(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    legs = Standing(str(path))
    early = [{"remote": f"<sip:{n}@example.net>", "text": "x" * 500} for n in range(16)]
    others = [{"uri": "sip:a@b", "early": early}]
    legs.keep(*leg("c1", pending={"uri": "sip:a@b", "early": early, "others": others}))
    legs.keep(*leg("c2", route_set=["x" * PLACE]))
    legs.close()
    found = left(path)
    assert set(found) == {"c1"}
    assert found["c1"]["pending"]["others"] == []
    kept = found["c1"]["pending"]["early"]
    assert len(kept) == 7 and kept == early[:7]
    assert "call c2: too long" in caplog.text


def test_a_file_that_cannot_be_used_is_told_of_and_is_in_nobody_s_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    legs = Standing(str(tmp_path / "nowhere" / "legs"))
    legs.keep(*leg("c1"))
    legs.over("c1")
    legs.close()
    assert "nowhere/legs cannot be used (No such file or directory)" in caplog.text
    held = Standing(str(tmp_path / "legs"))
    held.keep(*leg("c1"))
    other = Standing(str(tmp_path / "legs"))
    assert other.left == {}
    other.keep(*leg("c2"))
    other.close()
    held.close()
    assert set(left(tmp_path / "legs")) == {"c1"}


def test_a_full_disk_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    legs = Standing("")
    legs._file = os.open("/dev/full", os.O_WRONLY)
    for n in range(3):
        legs.keep(*leg(f"c{n}"))
    assert caplog.text.count("No space left on device") == 1
    legs.over("c0")


@pytest.mark.parametrize(
    ("url", "chosen", "environ", "path"),
    [
        ("sqlite:///c2c.db", "", {"STATE_DIRECTORY": "/var/lib/c2c-sip"}, "c2c.db-legs"),
        ("sqlite:////var/lib/c2c.db", "", {}, "/var/lib/c2c.db-legs"),
        ("sqlite:///c2c.db", "", {"RUNTIME_DIRECTORY": "/run/c2c:/run/x"}, "/run/c2c/c2c-legs"),
        ("sqlite:///c2c.db", "/run/legs", {"RUNTIME_DIRECTORY": "/run/c2c"}, "/run/legs"),
        ("postgresql://u:p@h/n", "", {"STATE_DIRECTORY": "/var/lib/c2c"}, "/var/lib/c2c/c2c-legs"),
        ("postgresql://u:p@h/n", "", {"RUNTIME_DIRECTORY": "/run/c2c"}, "/run/c2c/c2c-legs"),
        ("postgresql://u:p@h/n", "", {}, ""),
    ],
)
def test_where_the_file_is(url: str, chosen: str, environ: dict[str, str], path: str) -> None:
    assert path_of(url, chosen, environ) == path
