"""The command line: exit codes, what goes to which stream, and no traceback for a mistake of the user's."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from c2c_sip.cli import COMMANDS, main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("C2C_SIP_CONFIG", str(tmp_path / "c.toml"))
    monkeypatch.setenv("C2C_SIP_DATABASE__URL", f"sqlite:///{tmp_path}/c2c.db")
    (tmp_path / "c.toml").write_text("")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    return run


def test_init_prints_the_first_account_once(run: Run) -> None:
    first = run("init", "--json")
    assert first.exit_code == 0
    assert {"id", "realm", "api_key", "username", "password"} <= json.loads(first.stdout).keys()
    second = run("init", "--json")
    assert (second.exit_code, second.stdout) == (1, "")
    assert "accounts already" in second.stderr


def test_an_account_that_was_created_is_listed(run: Run) -> None:
    arguments = ("account", "create", "Sales", "--realm", "sip.example.net")
    made = run(*arguments, "--username", "u", "--password", "p", "--json")
    assert made.exit_code == 0
    facts = json.loads(made.stdout)
    assert (facts["realm"], facts["username"], facts["password"]) == ("sip.example.net", "u", "p")
    (row,) = json.loads(run("account", "list", "--json").stdout)
    assert (row["id"], row["name"], row["realm"]) == (facts["id"], "Sales", "sip.example.net")
    taken = run(*arguments)
    assert taken.exit_code == 1 and "sip.example.net" in taken.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("account", "create"),
        ("account", "create", ""),
        ("account", "create", "a\rb"),
        ("account", "create", "a", "--username", "u"),
        ("account", "create", "a", "--username", "", "--password", "p"),
        ("account", "create", "a", "--username", "u", "--password", ""),
        ("account", "create", "a", "--username", "a\rb", "--password", "p"),
        ("account", "create", "a", "--realm", ""),
        ("nonsense",),
        ("serve", "--nonsense"),
    ],
)
def test_bad_usage_ends_with_2_and_creates_nothing(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert json.loads(run("account", "list", "--json").stdout) == []


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("foo",), "TARGET: got 'foo'"),
        (("101", "--domain", "sip:x"), "--domain: got 'sip:x'"),
        (("101", "--domain", "x", "--proxy", "::"), "--proxy: got '::'"),
    ],
)
def test_whom_a_call_cannot_go_to_is_told_by_its_field(
    run: Run, arguments: tuple[str, ...], field: str
) -> None:
    result = run("uac", *arguments)
    assert result.exit_code == 2
    assert field in result.stderr and "accepted: " in result.stderr


def test_check_config_tells_all_problems(run: Run, tmp_path: Path) -> None:
    assert run("check-config").exit_code == 0
    (tmp_path / "c.toml").write_text("[http]\nthreads = 0\n[media]\nspeed = 1\n")
    plain = run("check-config")
    assert (plain.exit_code, plain.stdout) == (1, "")
    assert [line.split(":")[0] for line in plain.stderr.splitlines()] == [
        "http.threads",
        "media.speed",
    ]
    told = json.loads(run("check-config", "--json").stdout)
    assert told["ok"] is False and len(told["problems"]) == 2


@pytest.mark.parametrize("command", [("init",), ("account", "list"), ("account", "create", "a")])
@pytest.mark.parametrize(
    "url", ["sqlite:////nonexistent/folder/x.db", "postgresql://u:s3cret@127.0.0.1:bad/n"]
)
def test_a_database_that_cannot_be_used_is_one_line_without_its_password(
    run: Run, command: tuple[str, ...], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("C2C_SIP_DATABASE__URL", url)
    result = run(*command)
    assert isinstance(result.exception, SystemExit)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "s3cret" not in result.stderr and len(result.stderr.splitlines()) == 1


def test_every_command_has_help(run: Run) -> None:
    for command in ("demo", "serve", "init", "account", "check-config"):
        assert run(command, "--help").exit_code == 0


def test_numbers_are_kept_from_being_called_by_all_or_by_one_account(run: Run) -> None:
    account = json.loads(run("init", "--json").stdout)["id"]
    assert run("never-call", "add", "(415) 555-0123").stdout == "+14155550123\n"
    assert run("never-call", "add", "+14155550199", "--account", account).exit_code == 0
    assert run("never-call", "list").stdout == "+14155550123\n"
    (row,) = json.loads(run("never-call", "list", "--account", account, "--json").stdout)
    assert (row["number"], row["source"]) == ("+14155550199", "operator")
    assert run("never-call", "remove", "4155550123").exit_code == 0
    assert run("never-call", "remove", "4155550123").exit_code == 1
    assert run("never-call", "list").stdout == ""
    assert run("never-call", "add", "nonsense").exit_code == 2
    assert run("never-call", "add", "+14155550123", "--account", "nobody").exit_code == 1


def test_the_page_of_commands_has_each_of_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    titles = {
        name.strip()
        for line in page.splitlines()
        if line.startswith("## ")
        for name in line.removeprefix("## ").split(",")
    }
    # Those for other people's SIP programs have a page of their own.
    assert titles | {"lab", "uac", "uas"} == set(COMMANDS)


def test_every_command_is_where_it_is_said_to_be() -> None:
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name
    assert main.get_command(context, "nonsense") is None


def test_the_service_loads_no_command_but_its_own() -> None:
    code = (
        "import sys, click\n"
        # Peewee loads it where it is there, which it is for the tests only.
        "sys.modules['psycopg'] = None\n"
        "from c2c_sip.cli import main\n"
        "main.get_command(click.Context(main), 'serve')\n"
        "import c2c_sip.service\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = set(done.stdout.split())
    commands = {name for name in loaded if name.startswith("c2c_sip.cli.")}
    assert commands == {"c2c_sip.cli.serving", "c2c_sip.cli.common"}
    # Each of these takes half a megabyte or more, and is for what not everybody does.
    for heavy in (
        *("multiprocessing", "pickle", "html.entities", "zoneinfo", "email.policy", "rich"),
        *("playhouse.db_url", "prometheus_client", "c2c_sip.lab", "pyVoIP"),
    ):
        assert heavy not in loaded, heavy
