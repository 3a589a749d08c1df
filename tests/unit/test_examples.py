"""Each configuration in ``conf/`` is one that works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from c2c_sip.config import load

CONF = Path(__file__).parents[2] / "conf"


#: That of the lab is read by its own test.
CONFIGURATIONS = sorted(set(CONF.rglob("*.toml")) - {CONF / "examples" / "lab.toml"})


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_a_configuration_of_ours_can_be_read(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    secret = tmp_path / "secret"
    secret.write_text("pw\n")
    text = re.sub(r'password_file = "[^"]*"', f'password_file = "{secret}"', text)
    # Also what is commented out, where it is a setting.
    whole = re.sub(r"^# (\w+ = .*)$", r"\1", text, flags=re.M)
    for variant in (text, whole if "examples" in str(path) else text):
        copy = tmp_path / "c2c_sip.toml"
        copy.write_text(variant)
        config = load(str(copy), {})
        if "examples" in str(path):
            assert config.trunks
            assert all(
                trunk.password == ("pw" if trunk.register else "") for trunk in config.trunks
            )
