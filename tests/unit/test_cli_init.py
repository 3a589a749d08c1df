"""``init`` with a configuration to write, and ``check-config`` beyond right and wrong."""

import json
import os
import pty
import pwd
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from c2c_sip import config
from c2c_sip.cli import main, starting
from c2c_sip.cli.starting import Answers, text_of
from c2c_sip.config import Config, Guard, Http, Media, Trunk
from c2c_sip.doubts import doubts_of

Run = Callable[..., Result]
ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("C2C_SIP_CONFIG", raising=False)

    def run(*arguments: str, input: str = "", env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(main, list(arguments), input=input, env=env)

    return run


def test_options_write_a_configuration_that_works_for_its_owner_only(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text('pass"word\\\n')
    done = run(
        "init", "--config", "c.toml", "--trunk-domain", "sip.example.net:5062", "--trunk-username", "2000",
        "--trunk-password-file", "secret", "--country", "DE", "--listen", "127.0.0.1:9000", "--json",
        "--trunk-caller-id", "+4930123456",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert {"id", "realm", "api_key", "username", "password"} <= json.loads(done.stdout).keys()
    assert json.loads(done.stdout)["realm"] == "sip.example.net"
    file = tmp_path / "c.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    read = config.load(str(file), {})
    (trunk,) = read.trunks
    assert (trunk.domain, trunk.username, trunk.password, trunk.caller_id) == (
        "sip.example.net:5062",
        "2000",
        'pass"word\\',
        "+4930123456",
    )
    assert (read.calling.default_region, read.http.listen) == ("DE", "127.0.0.1:9000")
    assert read.database.url == f"sqlite:///{tmp_path}/c2c.db"
    assert doubts_of(read) == []
    assert run("check-config", "--config", "c.toml").stdout == "ok\n"


def test_what_root_makes_where_debian_wants_it_is_the_services(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, database = tmp_path / "etc" / "c.toml", tmp_path / "var" / "c2c.db"
    given: dict[str, tuple[int, int]] = {}
    monkeypatch.setattr(config, "DEFAULT_PATH", str(file))
    monkeypatch.setattr(starting, "DEBIAN_DATABASE", str(database))
    # A user whom each machine has stands for the service's.
    monkeypatch.setattr(starting, "SERVICE_USER", "nobody")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda each, *ids: given.update({str(each): ids}))
    done = run("init", "--trunk-domain", "sip.example.net")
    assert done.exit_code == 0, done.stderr
    nobody = pwd.getpwnam("nobody")
    assert given[str(file)] == (0, nobody.pw_gid) and file.stat().st_mode & 0o777 == 0o640
    for each in (database, database.parent):
        assert given[str(each)] == (nobody.pw_uid, nobody.pw_gid)
    given.clear()
    elsewhere = run("init", "--config", "c.toml", "--trunk-domain", "sip.example.net")
    assert elsewhere.exit_code == 0 and given == {}


def test_a_configuration_that_is_there_is_not_written_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("# mine\n")
    done = run("init", "--config", "c.toml", "--trunk-domain", "sip.example.net")
    assert (done.exit_code, done.stdout) == (1, "")
    assert (tmp_path / "c.toml").read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--trunk-domain", "a b"), "trunk[0].domain"),
        (("--trunk-domain", "x.test", "--country", "XX"), "calling.default_region"),
        (("--trunk-domain", "x.test", "--listen", "nowhere"), "http.listen"),
        (("--trunk-domain", "x.test", "--trunk-username", "a\rb"), "trunk[0].username"),
    ],
)
def test_what_would_not_work_is_not_written(
    run: Run, tmp_path: Path, options: tuple[str, ...], named: str
) -> None:
    done = run("init", "--config", "c.toml", *options)
    assert (done.exit_code, done.stdout) == (1, "") and named in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_beside_a_database_with_accounts_no_configuration_is_written(
    run: Run, tmp_path: Path
) -> None:
    """As after trying it out with the lab: those accounts' extensions are of a realm that the provider does not know."""
    options = ("--trunk-domain", "x.test", "--trunk-username", "a", "--trunk-password", "b")
    assert run("init", "--no-questions", "--config", "first.toml", *options).exit_code == 0
    again = run("init", "--no-questions", "--config", "second.toml", *options)
    assert (again.exit_code, again.stdout) == (1, "")
    assert f"{tmp_path}/c2c.db has accounts already" in again.stderr
    assert "another directory" in again.stderr
    assert not (tmp_path / "second.toml").exists()


def test_without_a_terminal_nothing_is_asked(run: Run, tmp_path: Path) -> None:
    done = run("init", "--config", "c.toml")
    assert (done.exit_code, done.stdout) == (1, "")
    # What a script that has forgotten something is to do.
    assert "c.toml is not there" in done.stderr and "--trunk-domain HOST" in done.stderr
    assert "--trunk-caller-id" in done.stderr and "in a terminal" in done.stderr
    in_environment = run("init", "--no-questions", env={"C2C_SIP_CONFIG": "other.toml"})
    assert in_environment.exit_code == 1 and "other.toml is not there" in in_environment.stderr
    alone = run("init", "--config", "c.toml", "--country", "DE")
    assert alone.exit_code == 2 and "--trunk-domain" in alone.stderr
    both = run(
        "init", "--trunk-domain", "x.test", "--trunk-password", "a", "--trunk-password-file", "-"
    )
    assert both.exit_code == 2
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "secret").write_bytes(b"p\xe4ss")
    octets = run("init", "--trunk-domain", "x.test", "--trunk-password-file", "secret")
    assert octets.exit_code == 2 and "--trunk-password-file: must be UTF-8" in octets.stderr


def test_in_a_terminal_a_few_questions_make_a_configuration(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    environ = {k: v for k, v in os.environ.items() if not k.startswith("C2C_SIP_")}
    with subprocess.Popen(
        [sys.executable, "-m", "c2c_sip", "init", "--config", "c.toml"],
        cwd=tmp_path,
        stdin=its,
        stdout=its,
        stderr=its,
        env=environ | {"PYTHONPATH": ROOT, "LANG": "C.UTF-8"},
    ) as process:
        os.close(its)
        seen = ""
        for question, answer in (
            ("configuration to [c.toml]: ", ""),
            ("domain, as sip.example.net: ", "not a domain"),
            ("domain, as sip.example.net: ", "sip.example.net"),
            ("username: ", "+4930123456"),
            ("password: ", "geheim"),
            ("as +12025550100 [+4930123456]: ", ""),
            ("are called [US]: ", "de"),
            ("HTTP [127.0.0.1:8000]: ", ""),
        ):
            seen += _until(ours, question)
            os.write(ours, f"{answer}\n".encode())
        seen += _until(ours, "")
        assert process.wait(60) == 0, seen
        os.close(ours)
    assert "geheim" not in seen and "trunk.domain: got 'not a domain'" in seen
    assert "api_key: " in seen and "next: c2c-sip doctor" in seen
    read = config.load(str(tmp_path / "c.toml"), {})
    assert (read.trunks[0].password, read.calling.default_region) == ("geheim", "DE")
    assert read.trunks[0].caller_id == "+4930123456"


@pytest.mark.parametrize(
    ("username", "number"),
    [
        ("12025550100", "+12025550100"),
        ("+4930123456", "+4930123456"),
        ("2000", ""),
        ("alice", ""),
        ("", ""),
        ("+", ""),
        ("12025550100x", ""),
        ("\u0661\u0662\u0660\u0662\u0665\u0665\u0665\u0660\u0661\u0660\u0660", ""),
    ],
)
def test_a_username_that_is_a_number_is_offered_as_the_one_to_show(
    username: str, number: str
) -> None:
    assert starting._number_in(username) == number


def test_a_pbx_that_wants_no_number_has_a_line_to_fill_in_later(tmp_path: Path) -> None:
    text = text_of(Answers("pbx.test", "2000", "x", "US", "127.0.0.1:8000"), "/x/c2c.db")
    (tmp_path / "c.toml").write_text(text)
    assert config.load(str(tmp_path / "c.toml"), {}).trunks[0].caller_id == ""
    assert "\n# caller_id = " in text


def _until(terminal: int, wanted: str) -> str:
    """What a terminal shows until ``wanted``; where that is empty, to the end."""
    seen = ""
    end = time.monotonic() + 60
    while time.monotonic() < end and not (wanted and seen.endswith(wanted)):
        if select.select([terminal], [], [], 0.2)[0]:
            piece = b""
            with suppress(OSError):  # which is how the end of a terminal looks
                piece = os.read(terminal, 4096)
            if not piece:
                break
            seen += piece.decode()
    assert not wanted or seen.endswith(wanted), seen
    return seen


def test_a_configuration_without_a_username_is_of_a_trunk_that_knows_us() -> None:
    text = text_of(Answers("pbx.test", "", "", "US", "127.0.0.1:8000"), "/x/c2c.db")
    assert "\nregister = false" in text


def test_each_doubt_has_a_remedy_that_takes_it_away() -> None:
    trunk = Trunk(name="p", domain="sip.test", username="u", password="x")
    limited = Guard()
    unlimited = Guard(per_address=0, per_account=0, per_service=0)
    quiet = Config(trunks=(trunk,), guard=limited)
    assert doubts_of(quiet) == [] == doubts_of(Config())
    doubtful = {
        "nothing limits": Config(trunks=(trunk,), guard=unlimited),
        "all countries": Config(guard=Guard(countries=("any",))),
        "http.listen": Config(http=Http(listen="0.0.0.0:8000")),
        "without a password": Config(
            trunks=(Trunk(name="p", domain="sip.test", username="u"),), guard=limited
        ),
        "who is called sees the extension": Config(
            trunks=(Trunk(name="p", domain="s.test", username="4930123456", password="x"),),
            guard=limited,
        ),
        "in the clear": Config(
            trunks=(Trunk(name="p", domain="s.test", username="u", password="x", srtp="optional"),),
            guard=limited,
        ),
    }
    wide = replace(trunk, codecs=("opus", "G722"))
    doubtful |= {
        "media.codecs has neither PCMU": Config(media=Media(codecs=("G722",))),
        "trunk[0].codecs has neither PCMU": Config(trunks=(wide,), guard=limited),
    }
    both = Config(
        media=Media(codecs=("opus", "PCMA")),
        trunks=(replace(trunk, codecs=("G722", "PCMU")),),
        guard=limited,
    )
    assert doubts_of(both) == []
    for words, settings in doubtful.items():
        (doubt,) = doubts_of(settings)
        assert words in doubt.text and doubt.remedy


@pytest.mark.parametrize(
    ("more", "doubtful"),
    [
        ({}, True),
        ({"username": "+4930123456"}, True),
        ({"username": "1234567e0"}, True),
        ({"identity": ("pai",), "from_user": "account"}, True),
        ({"caller_id": "+4930123456"}, False),
        # The provider sees the account, and shows its number.
        ({"from_user": "account"}, False),
        # A PBX, which knows its extensions.
        ({"username": "c2c"}, False),
        ({"username": "2000"}, False),
    ],
)
def test_a_provider_s_trunk_without_a_number_to_show_is_doubtful(
    more: dict[str, Any], doubtful: bool
) -> None:
    trunk = replace(Trunk(name="p", domain="s.test", username="4930123456", password="x"), **more)
    found = [doubt for doubt in doubts_of(Config(trunks=(trunk,))) if "extension" in doubt.text]
    assert bool(found) == doubtful
    for doubt in found:
        assert "trunk[0].caller_id" in doubt.remedy


def test_check_config_warns_and_shows_where_settings_come_from(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = '[[trunk]]\nname = "p"\ndomain = "sip.test"\nusername = "u"\npassword = "s3cret"\n'
    unlimited = "[guard]\nper_address = 0\nper_account = 0\nper_service = 0\n"
    (tmp_path / "c.toml").write_text(f"[http]\nthreads = 9\n{unlimited}{trunk}")
    monkeypatch.setenv("C2C_SIP_MEDIA__WORKERS", "3")
    plain = run("check-config", "--config", "c.toml")
    assert (plain.exit_code, plain.stdout) == (0, "ok\n")
    assert plain.stderr.startswith("warning: nothing limits")
    told = json.loads(run("check-config", "--config", "c.toml", "--json").stdout)
    assert told["ok"] is True and len(told["warnings"]) == 1 and "settings" not in told
    every = run("check-config", "--config", "c.toml", "--all")
    rows = {line.split()[0]: line.split()[1:] for line in every.stdout.splitlines()}
    assert rows["http.threads"] == ["9", "c.toml"]
    assert rows["media.workers"] == ["3", "C2C_SIP_MEDIA__WORKERS"]
    assert rows["http.max_upload"] == ["4000000", "default"]
    assert rows["trunk.p.password"] == ['"***"', "c.toml"]
    assert "s3cret" not in every.stdout
    shown = json.loads(run("check-config", "--config", "c.toml", "--all", "--json").stdout)
    assert {"name", "value", "origin"} <= shown["settings"][0].keys()
