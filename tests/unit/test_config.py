"""The settings: what is read, what is refused, and that the file that ships lists them all."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from c2c_sip.config import Config, ConfigError, Trunk, load

CONF = Path(__file__).parents[2] / "conf" / "c2c_sip.toml"


def problems(text: str, tmp_path: Path, environ: dict[str, str] | None = None) -> list[str]:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(str(path), environ or {})
    return caught.value.problems


def test_the_shipped_file_is_the_defaults() -> None:
    assert load(str(CONF), {}) == Config()


def test_the_shipped_file_lists_every_setting() -> None:
    document = tomllib.loads(CONF.read_text())
    for section in fields(Config):
        if section.name != "trunks":
            known = {entry.name for entry in fields(type(getattr(Config(), section.name)))}
            assert set(document[section.name]) == known
    commented = set(re.findall(r"^# (\w+) = ", CONF.read_text(), re.MULTILINE))
    assert commented == {entry.name for entry in fields(Trunk)}


def test_all_mistakes_are_told_at_once_with_their_full_names(tmp_path: Path) -> None:
    found = problems(
        '[http]\nlisten = "nowhere"\nthreads = 0\n[media]\nports = [9, 3]\nspeed = 1\n[nonsense]\n'
        '[[trunk]]\nname = "a"\ndomain = "x y"\nusername = "u"\nexpires = "soon"\n',
        tmp_path,
    )
    for start in (
        "http.listen: got 'nowhere', accepted: ADDRESS:PORT",
        "http.threads: got 0, accepted: a whole number from 1 to 256",
        "media.ports: got [9, 3]",
        "media.speed: unknown setting",
        "nonsense: unknown section",
        "trunk[0].domain: got 'x y'",
        "trunk[0].expires: got 'soon'",
    ):
        assert any(problem.startswith(start) for problem in found), start
    assert len(found) == 7


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[http]\nlisten = "127.0.0.1:1"\n')
    config = load(
        str(path),
        {
            "C2C_SIP_HTTP__LISTEN": "127.0.0.1:9000",
            "C2C_SIP_MEDIA__PORTS": "30000,30010",
            "C2C_SIP_SIP__LISTEN": "udp:127.0.0.1:0, tcp:127.0.0.1:0",
            "C2C_SIP_TRUNK__0__NAME": "t",
            "C2C_SIP_TRUNK__0__DOMAIN": "sip.example.net",
            "C2C_SIP_TRUNK__0__REGISTER": "false",
        },
    )
    assert config.http.listen == "127.0.0.1:9000"
    assert config.media.ports == (30000, 30010)
    assert config.sip.listen == ("udp:127.0.0.1:0", "tcp:127.0.0.1:0")
    assert config.trunks[0] == Trunk(name="t", domain="sip.example.net", register=False)


def test_a_secret_comes_from_its_file_and_is_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    path = tmp_path / "c.toml"
    trunk = '[[trunk]]\nname = "t"\ndomain = "d"\nusername = "u"\n'
    path.write_text(f'{trunk}password_file = "{secret}"\n')
    config = load(str(path), {})
    assert config.trunks[0].password == "s3cret"
    assert "s3cret" not in repr(config)
    assert not any(
        "s3cret" in p for p in problems(trunk + 'password = "s3cret\\u0007"\n', tmp_path)
    )


@pytest.mark.parametrize(
    "line",
    [
        'listen = ["udp:0.0.0.0:99999"]',
        'listen = ["sctp:0.0.0.0:5060"]',
        "listen = []",
        'user_agent = "a\\r\\nb"',
    ],
)
def test_what_could_not_be_bound_or_would_forge_a_header_is_refused(
    line: str, tmp_path: Path
) -> None:
    assert problems(f"[sip]\n{line}\n", tmp_path)[0].startswith("sip.")


def test_a_registering_trunk_needs_its_account(tmp_path: Path) -> None:
    found = problems('[[trunk]]\nname = "t"\ndomain = "d"\n', tmp_path)
    assert found[0].startswith("trunk[0].username:")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml"):
        load(str(tmp_path / "nothing.toml"), {})
