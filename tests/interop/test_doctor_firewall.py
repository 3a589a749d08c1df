"""``c2c-sip doctor`` behind a firewall that nft has made, in a network of the test's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.programs import Room

ROOT = str(Path(__file__).parents[2])
HOST = "198.51.100.1"
TABLE = """
table inet filter
delete table inet filter
table inet filter {{
    set voip {{ type inet_service; flags interval; elements = {{ 5060, 20000-29999 }}; }}
    chain input {{ type filter hook input priority 0; policy {policy};
        ct state established,related accept
        meta l4proto tcp accept
        {rule}
    }}
}}
"""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    made = Room(tmp_path_factory.mktemp("firewall"), "machine")
    made.run("ip", "address", "add", f"{HOST}/24", "dev", "lo")
    yield made
    made.stop()


def examine(room: Room, folder: Path, settings: str = "") -> dict[str, tuple[str, str, str]]:
    """(result, text, remedy) by check."""
    config = folder / "c2c.toml"
    config.write_text(
        f'[database]\nurl = "sqlite:///{folder}/c2c.db"\n[sip]\nlisten = ["udp:{HOST}:5060"]\n{settings}'
        f'[media]\naddress = "{HOST}"\nports = [20000, 20039]\n'
    )
    command = [sys.executable, "-m", "c2c_sip", "doctor", "--json", "--config", str(config)]
    done = subprocess.run(
        room.command(*command),
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": ROOT},
    )
    assert done.stderr == ""
    told = json.loads(done.stdout)
    return {one["check"]: (one["result"], one["text"], one["remedy"]) for one in told["checks"]}


@pytest.mark.parametrize(
    ("policy", "rule", "rules", "arrives"),
    [
        ("accept", "", "", True),
        ("accept", "udp dport 20000-20039 drop", "udp dport 20000-20039 drop", False),
        ("accept", "udp dport 20010-20012 reject", "udp dport 20010-20012 reject", True),
        # Of one that closes only the way from outside, only the rules tell.
        ("accept", 'iifname "eth0" udp dport 1024-65535 counter drop', "a rule drops them", True),
        ("drop", "", "none accepts them", False),
        ("drop", "udp dport 20000-29999 accept", "", True),
        ("drop", "udp dport @voip accept", "", True),
        ("drop", "meta l4proto { tcp, udp } th dport 20000-30000 accept", "", True),
    ],
)
def test_what_keeps_rtp_out_is_said(
    room: Room, tmp_path: Path, policy: str, rule: str, rules: str, arrives: bool
) -> None:
    room.run("nft", "-f", "-", given=TABLE.format(policy=policy, rule=rule))
    found = examine(room, tmp_path)
    result, text, remedy = found["firewall rules"]
    assert result == ("warn" if rules else "ok"), text
    assert rules in text and ("20000-20039 accept" in remedy) == bool(rules)
    result, text, remedy = found["RTP to ourselves"]
    assert (result == "ok") is arrives, text
    assert arrives or (HOST in text and "20000" in text and "firewall" in remedy)


def test_a_public_address_that_nobody_outside_has_seen(room: Room, tmp_path: Path) -> None:
    room.run("nft", "flush", "ruleset")
    for public, result, said in (
        (HOST, "ok", "an address of this machine"),
        ("192.168.7.7", "fail", "leads nowhere from outside"),
        ("203.0.113.9", "warn", "nobody outside has said"),
    ):
        found = examine(room, tmp_path, f'public_address = "{public}"\n')["public address"]
        assert (found[0], said in found[1], bool(found[2])) == (result, True, result != "ok")
        assert public in found[1]
