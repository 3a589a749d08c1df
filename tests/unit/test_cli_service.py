"""The commands that ask a running service: what they take, and how they show things."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from c2c_sip.cli import clicktocalls, client, main, records, terminal
from c2c_sip.cli.calls import _follow, reason
from c2c_sip.cli.client import Client, _complaint, url_of
from c2c_sip.config import Config, Http

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("C2C_SIP_CONFIG", str(tmp_path / "c.toml"))
    monkeypatch.setenv("C2C_SIP_DATABASE__URL", f"sqlite:///{tmp_path}/c2c.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (tmp_path / "c.toml").write_text(f'[http]\nlisten = "127.0.0.1:{free.getsockname()[1]}"\n')

    def run(*arguments: str, **more: Any) -> Result:
        return CliRunner().invoke(main, list(arguments), **more)

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ("call", "+12025550102"),
        ("history",),
        ("trace", "last"),
        ("channels",),
        ("hangup", "--all"),
        ("clicktocall", "list"),
        ("trunk", "status"),
        ("channels", "--url", "http://127.0.0.1:9", "--api-key", "k"),
    ],
)
def test_a_service_that_does_not_run_is_said_so_and_how_to_start_it(
    run: Run, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the service does not answer at http://127.0.0.1:" in result.stderr
    assert "Traceback" not in result.stderr
    assert ("c2c-sip serve" in result.stderr) == ("--url" not in arguments)
    assert not (tmp_path / "c2c.db").exists()  # nor is anything made to ask it


@pytest.mark.parametrize(
    "arguments",
    [
        ("call",),
        ("call", "1", "--extension", "1", "--click-to-call", "2"),
        ("channels", "--url", "ftp://x"),
        ("hangup",),
        ("hangup", "x", "--all"),
        ("history", "--since", "yesterday"),
        ("history", "-n", "0"),
        ("trace",),
        ("trace", "x", "--pcap", "-", "--json"),
        ("clicktocall", "create", "--set", "name"),
        ("clicktocall", "create", "--set", "=x"),
        ("clicktocall", "create", "--json-document", "nonexistent.json"),
        ("clicktocall", "update", "x"),
        ("completion", "csh"),
        # What a script's variable is that nobody has set.
        ("hangup", ""),
        ("channels", "--config", ""),
        ("check-config", "--config", " "),
        ("hangup", " "),
        ("trace", ""),
        ("call", ""),
        ("call", "1", "--extension", ""),
        ("call", "1", "--click-to-call", ""),
        ("history", "--click-to-call", ""),
        ("clicktocall", "show", ""),
        ("clicktocall", "update", "", "--set", "name=x"),
        ("clicktocall", "delete", ""),
        ("trunk", "status", ""),
        ("channels", "--account", ""),
        ("never-call", "list", "--account", ""),
        ("backup", ""),
        ("restore", ""),
    ],
)
def test_bad_usage_ends_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize("document", ["[1]", "{", "[" * 100_000])
def test_a_document_that_is_no_json_object_is_bad_usage(run: Run, document: str) -> None:
    result = run("clicktocall", "create", "--json-document", "-", input=document)
    assert result.exit_code == 2 and "--json-document" in result.stderr


def test_fields_have_the_types_that_the_schema_wants() -> None:
    fields = (
        "name=12",
        "extension=101",
        "throttle=2",
        "auth_required=true",
        "whitelist=^[+]1",
        "whitelist=^[+]44",
        "media.ignore_early_media=true",
        "custom_sip_headers.X-Order=17",
        "crm_id=0017",
        "crm_number=17",
    )
    assert clicktocalls._document(fields, None) == {
        "name": "12",
        "extension": "101",
        "throttle": 2,
        "auth_required": True,
        "whitelist": ["^[+]1", "^[+]44"],
        "media": {"ignore_early_media": True},
        "custom_sip_headers": {"X-Order": "17"},
        "crm_id": "0017",
        "crm_number": 17,
    }
    one = clicktocalls._document(('whitelist=["a", "b"]', "extension=101", "extension=102"), None)
    assert one == {"whitelist": ["a", "b"], "extension": ["101", "102"]}
    assert clicktocalls._document(("whitelist=^[0-9]$",), None) == {"whitelist": ["^[0-9]$"]}
    assert clicktocalls._document(('extension=["1", "2"]',), None) == {"extension": ["1", "2"]}
    with pytest.raises(click.UsageError, match="name has no fields"):
        clicktocalls._document(("name=x", "name.y=1"), None)


def test_a_moment_is_an_age_or_a_date() -> None:
    assert records._moment("2026-01-31T12:00+00:00") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert records._moment("2026-01-31").tzinfo is not None
    ago = datetime.now(UTC) - records._moment("90m")
    assert 5399 <= ago.total_seconds() <= 5460
    for wrong in ("", "90", "m", "-1h", "999999w"):
        with pytest.raises(click.BadParameter):
            records._moment(wrong)


def test_a_table_without_a_terminal_is_plain_and_what_others_chose_cannot_steer_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns = (
        terminal.Column("NAME"),
        terminal.Column("N", right=True),
        terminal.Column("WHY", whole=False),
    )
    terminal.table(columns, [["a\x1b[31mb\r\n", 7, None], ["[red]x[/]", 12345, "y"]])
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        "NAME           N  WHY",
        "a [31mb        7",
        "[red]x[/]  12345  y",
    ]


@pytest.mark.parametrize(("width", "lines"), [(120, 3), (80, 7), (70, 9), (20, 9)])
def test_what_a_terminal_has_no_room_for_side_by_side_is_below_one_another_and_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, lines: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(terminal, "in_colour", lambda: True)
    columns = (
        terminal.Column("TIME"),
        terminal.Column("ID"),
        terminal.Column("RESULT"),
        terminal.Column("WHY", whole=False),
    )
    why = "The contact's phone answered 486 Busy Here."
    rows = [["2026-11-28 04:00:00", number * 32, "error", why] for number in "ab"]
    terminal.table(columns, rows)
    shown = capsys.readouterr().out
    assert all(number * 32 in shown for number in "ab")
    assert " ".join(shown.split()).count(why) == 2 or width == 80  # where it is folded
    assert len(shown.splitlines()) == lines


def test_no_color_keeps_a_terminal_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.in_colour()
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.in_colour()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not terminal.in_colour()


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("[::]:8000", "http://[::1]:8000"),
        ("10.0.0.1:0", ""),
    ],
)
def test_the_service_is_where_the_configuration_says(listen: str, url: str) -> None:
    assert url_of(Config(http=Http(listen=listen))) == url


def test_the_reason_is_the_explanation_or_else_cause_and_status() -> None:
    record = {"cause": "USER_BUSY", "sip_status": 486, "explanation": ""}
    assert reason(record) == "not connected: USER_BUSY (SIP status 486)"
    assert reason(record | {"explanation": "They are busy."}) == "They are busy."
    assert reason({"cause": "NO_ANSWER", "sip_status": None}) == "not connected: NO_ANSWER"


class _Asked(Client):
    """A service whose call was connected and over between two questions."""

    def __init__(self) -> None:
        """Without an address: nothing is asked of anybody."""

    def of_account(self, path: str = "") -> str:
        return path

    def ask(self, method: str, path: str, data: object = None, **more: object) -> dict[str, Any]:
        return {"data": {"id": "a", "state": "ended", "result": "success"}}


def test_a_call_that_was_connected_between_two_looks_is_shown_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    started = {"id": "a", "state": "contact_ringing", "result": None}
    _follow(_Asked(), "d", started, quiet=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" s  ")[1] for line in lines] == ["the contact rings", "connected", "ended"]


def test_what_the_service_complains_of_is_said_field_by_field() -> None:
    wrong = {"name": {"required": {"message": "needed"}}, "throttle": {"type": {"message": "no"}}}
    body = {"data": wrong, "message": "validation error"}
    assert _complaint(400, json.dumps(body).encode()) == "name: needed\nthrottle: no"
    full = {"data": {"message": "all lines are in use"}, "message": "too_many_requests"}
    assert _complaint(503, json.dumps(full).encode()).endswith("503: all lines are in use")
    assert _complaint(502, b"<html>") == "the service answered 502"
    assert _complaint(500, b"[]") == "the service answered 500"


def test_the_token_of_one_server_goes_to_no_other() -> None:
    """A redirection is not followed: its Location may be anybody's."""
    import http.server
    import threading

    asked: list[str] = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/stolen")  # type: ignore[attr-defined]
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        client = Client(f"http://127.0.0.1:{server.server_port}")
        client.token = "secret"
        with pytest.raises(click.ClickException, match="302"):
            client.fetch("GET", "/v1/x")
        assert asked == ["/v1/x"]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_completion(run: Run, shell: str) -> None:
    script = run("completion", shell)
    assert script.exit_code == 0
    assert "_C2C_SIP_COMPLETE" in script.stdout and "c2c-sip" in script.stdout


def test_the_service_is_not_made_larger_by_what_only_a_terminal_wants() -> None:
    heavy = ("rich", "pygments", "c2c_sip.cli.doctor.signalling", "pyVoIP", "c2c_sip.lab")
    program = (
        f"import c2c_sip.cli, c2c_sip.service, sys; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_variables_for_the_command_line_are_no_settings(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("C2C_SIP_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("C2C_SIP_API_KEY", "k")
    assert run("check-config").exit_code == 0


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (b"", "the service does not answer at {}: nothing within 0.5 s"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers at {} speaks no HTTP"),
    ],
)
def test_what_takes_a_connection_and_speaks_no_http_is_not_waited_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, says: bytes, told: str
) -> None:
    assert client.FIRST_PATIENCE <= 10.0
    monkeypatch.setattr(client, "FIRST_PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as other:
        held: list[socket.socket] = []

        def serve() -> None:
            taken, _ = other.accept()
            held.append(taken)
            taken.sendall(says)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        done = run("history", "--url", url, "--api-key", "k")
        thread.join()
        held[0].close()
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == told.format(url) + "\n"


@pytest.mark.parametrize(
    "arguments", [("check-config",), ("--help",), ("account", "list", "--json"), ("init",)]
)
def test_a_full_disk_behind_the_output_is_one_line(arguments: tuple[str, ...], run: Run) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "c2c_sip", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "cannot be written" in line]
    assert lines == ["the output cannot be written: No space left on device"]
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
