"""The commands that ask a running service, against one: ``c2c-sip serve --lab`` and a sipp that is busy."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from c2c_sip.cli import main
from tests.interop.programs import HOST, Service, SippUas, until

LAB_CONTACT = "+12025550102"
ROOT = str(Path(__file__).parents[2])


class Shell:
    """Runs commands against one service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.own = {"C2C_SIP_CONFIG": str(service.config), "C2C_SIP_URL": service.url}
        self.environ = os.environ | {"PYTHONPATH": ROOT} | self.own

    def __call__(self, *arguments: str, **more: Any) -> Result:
        """Run a command in this process, which takes a tenth of the time."""
        environ: dict[str, str] = more.pop("env", {})
        return CliRunner(env=self.own | environ).invoke(main, arguments, **more)

    def json(self, *arguments: str) -> Any:
        done = self(*arguments, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ,
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "c2c_sip", *arguments]

    def live(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("channels")
        return found

    def connected(self) -> Any:
        """The legs of the call that is up, once one is."""
        return until(
            lambda: legs if (legs := self.live()) and legs[0]["state"] == "connected" else None,
            40,
            "a call",
        )


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SippUas]:
    program = SippUas(tmp_path_factory.mktemp("busy"), "refuse 486 Busy Here", calls=20, lasts=300)
    yield program
    program.stop()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    service = Service(
        tmp_path_factory.mktemp("commands"),
        f'[guard]\nnetworks = ["{HOST}"]\n[calling]\nbusy_tone = 0\n',
    )
    service.start("--lab")
    until(lambda: service.http("GET", "/readyz")[0] == 200, 20, "the registration")
    yield Shell(service)
    service.stop()


def test_a_call_is_shown_until_somebody_hangs_it_up(shell: Shell) -> None:
    calling = shell.start("call", "--extension", "101", LAB_CONTACT)
    legs = shell.connected()
    assert {leg["role"] for leg in legs} == {"extension", "contact"}
    plain = shell("channels").stdout.splitlines()
    assert plain[0].split() == ["CALL-ID", "ROLE", "STATE", "SECONDS", "FROM", "TO", "ACTIVATION"]
    assert len(plain) == 3 and legs[0]["call_id"] in plain[1]
    gone = shell.json("hangup", legs[1]["call_id"])
    assert gone == {"hung_up": [legs[0]["activation_id"]]}
    printed, wrong = calling.communicate(timeout=30)
    assert (calling.returncode, wrong) == (0, "")
    states = [re.split(r" s  ", line)[1] for line in printed.splitlines()]
    assert states[0] == "started" and states[-2:] == ["connected", "ended"]
    assert "\x1b" not in printed
    late = shell("hangup", legs[1]["call_id"])
    assert late.exit_code == 1 and legs[1]["call_id"] in late.stderr
    assert shell("hangup", "--all").exit_code == 0  # of none


def test_a_service_that_is_stopped_while_it_starts_ends_as_one_that_runs(tmp_path: Path) -> None:
    settings = tmp_path / "c.toml"
    settings.write_text(
        f'[http]\nlisten = "{HOST}:0"\n[sip]\nlisten = ["udp:{HOST}:0"]\n'
        f'[database]\nurl = "sqlite:///{tmp_path}/c2c.db"\n'
    )
    # The signal comes while the program is still being loaded.
    program = f"""
import os, signal, sys
from c2c_sip import service
from c2c_sip.cli import main

class Loading:
    def __getattr__(self, name):
        os.kill(os.getpid(), signal.SIGTERM)
        return getattr(service, name)

sys.modules["c2c_sip.service"] = Loading()
main(["serve", "--config", {str(settings)!r}])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
        env=os.environ | {"PYTHONPATH": ROOT},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_second_service_is_refused_and_leaves_the_calls_of_the_first_alone(shell: Shell) -> None:
    command = shell.command("serve", "--config", str(shell.service.config))
    calling = shell.start("call", "--extension", "101", LAB_CONTACT)
    shell.connected()
    again = subprocess.run(command, capture_output=True, text=True, timeout=30, env=shell.environ)
    assert (again.returncode, again.stdout) == (1, "")
    assert "c2c.db is in use by another service" in again.stderr
    # With a database that it does not share, it says which port is taken.
    port = shell.service.url.rpartition(":")[2]
    for name, value, setting in (
        ("C2C_SIP_HTTP__LISTEN", f"{HOST}:{port}", "http.listen"),
        ("C2C_SIP_MEDIA__RINGBACK", "us", "sip.listen"),
        # And which address is not its own.
        ("C2C_SIP_MEDIA__ADDRESS", "203.0.113.9", "media.address: 203.0.113.9"),
    ):
        mine = {"C2C_SIP_DATABASE__URL": f"sqlite:///{shell.service.config.parent}/other.db"}
        again = subprocess.run(
            command, capture_output=True, text=True, timeout=30,
            env=shell.environ | mine | {name: value},
        )  # fmt: skip
        assert (again.returncode, again.stdout) == (1, "")
        assert again.stderr.splitlines()[-1].startswith(f"cannot start: {setting}: ")
    newest = shell.json("history", "-n", "1")[0]
    assert newest["state"] == "connected"
    shell("hangup", "--all")
    assert calling.wait(30) == 0


def test_ctrl_c_hangs_up_and_so_does_sigterm(shell: Shell) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        calling = shell.start("call", "--extension", "101", LAB_CONTACT)
        shell.connected()
        calling.send_signal(number)
        _, told = calling.communicate(timeout=30)
        assert (calling.returncode, told) == (0, "hanging up\n")
        assert shell.live() == []


def test_a_call_that_does_not_come_about_says_why_and_ends_with_1(
    shell: Shell, busy: SippUas
) -> None:
    done = shell("call", "--extension", "101", busy.uri)
    assert done.exit_code == 1
    assert "486" in done.stderr and len(done.stderr.splitlines()) == 1
    told = shell("call", "--extension", "101", busy.uri, "--json")
    record = json.loads(told.stdout)
    assert (told.exit_code, record["cause"], record["sip_status"]) == (1, "USER_BUSY", 486)
    (failed, *_) = shell.json("history", "--failed", "-n", "1")
    assert failed["id"] == record["id"]
    assert failed["result"] == "error"
    shown = shell("history", "--failed", "--since", "1h", "-n", "1").stdout
    assert shown.splitlines()[0].split()[:3] == ["TIME", "ID", "CONTACT"]
    assert record["id"] in shown and busy.uri in shown
    refused = shell("call", "--extension", "109", "no number at all")
    assert refused.exit_code == 1 and "contact:" in refused.stderr


def test_calling_an_extension_leaves_one_guarded_click_to_call_at_the_most(shell: Shell) -> None:
    def made() -> list[dict[str, Any]]:
        return [
            one
            for one in shell.json("clicktocall", "list")
            if one["name"].startswith("c2c-sip call ")
        ]

    refused = shell("call", "--extension", "107", "no number at all")
    assert refused.exit_code == 1
    assert "107" not in {one["extension"] for one in made()}  # there is no call to its name
    for _ in range(2):
        done = shell("call", "--extension", "101", LAB_CONTACT, "--no-wait")
        assert done.exit_code == 0
        assert re.fullmatch(r"[0-9a-f]{32}\n", done.stdout)
        shell.connected()
        shell("hangup", done.stdout.strip())
        until(lambda: not shell.live(), 20, "the end")
    (one,) = [one for one in made() if one["extension"] == "101"]
    assert shell.json("clicktocall", "show", one["id"])["auth_required"] is True


def test_a_trace_is_followed_while_the_call_lives(shell: Shell, tmp_path: Path) -> None:
    activation = shell("call", "--extension", "101", LAB_CONTACT, "--no-wait").stdout.strip()
    following = shell.start(
        "trace", activation, "--follow", "--pcap", str(tmp_path / "c.pcap"),
        "--svg", str(tmp_path / "c.svg"),
    )  # fmt: skip
    assert following.stdout is not None and following.stderr is not None
    seen = following.stdout.readline()
    shell.connected()
    assert following.poll() is None
    assert shell("hangup", activation).exit_code == 0
    rest, wrong = following.stdout.read(), following.stderr.read()
    assert following.wait(40) == 0, wrong
    lines = (seen + rest).splitlines()
    assert any("INVITE" in line for line in lines) and "BYE" in lines[-1]
    # What was followed ends in the ladder as it is drawn afterwards.
    whole = shell("trace", activation).stdout.splitlines()
    assert lines[-len(whole) :] == whole or lines[-3:] == whole[-3:]
    messages = shell.json("trace", activation)["messages"]
    assert len(messages) == len(whole) - 1
    capture = (tmp_path / "c.pcap").read_bytes()
    assert capture[:4] in (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4")
    assert (tmp_path / "c.svg").read_text().startswith("<svg")
    piped = shell("trace", "last", "--pcap", "-")
    assert piped.stdout_bytes == capture
    assert shell("trace", "0" * 32).exit_code == 1
    unwritable = shell("trace", activation, "--svg", str(tmp_path / "none" / "c.svg"))
    assert unwritable.exit_code == 1 and "c.svg" in unwritable.stderr


def test_click_to_calls_are_made_shown_changed_and_deleted(shell: Shell) -> None:
    made = shell.json(
        "clicktocall", "create", "--set", "name=Sales", "--set", "extension=101",
        "--set", r"whitelist=^\+1", "--set", "throttle=2",
    )  # fmt: skip
    assert (made["whitelist"], made["throttle"]) == ([r"^\+1"], 2)
    identifier = made["id"]
    listed = shell("clicktocall", "list").stdout
    assert listed.splitlines()[0].split() == ["ID", "NAME", "EXTENSION", "REALM"]
    assert f"{identifier}  Sales" in listed
    shown = shell("clicktocall", "show", identifier).stdout
    assert re.search(r"^extension:\s+101$", shown, re.M)
    assert shell.json("clicktocall", "show", "Sales")["id"] == identifier
    changed = shell.json("clicktocall", "update", "Sales", "--set", "media.ignore_early_media=true",
                         "--unset", "throttle")  # fmt: skip
    assert changed["media"] == {"ignore_early_media": True} and changed["throttle"] == 0
    document = json.dumps({"name": "Support", "extension": "101"})
    replaced = shell(
        "clicktocall", "update", identifier, "--replace", "--json-document", "-", "--json",
        input=document,
    )  # fmt: skip
    assert json.loads(replaced.stdout)["name"] == "Support"
    assert "media" not in json.loads(replaced.stdout)
    wrong = shell("clicktocall", "update", identifier, "--set", "throttle=-1")
    assert wrong.exit_code == 1 and wrong.stderr.startswith("throttle: ")
    calling = shell.start("call", "--click-to-call", "Support", LAB_CONTACT)
    shell.connected()
    shell("hangup", "--all")
    assert calling.wait(30) == 0
    (item,) = shell.json("history", "--click-to-call", identifier)
    assert shell.json("history", "--click-to-call", "Support") == [item]
    assert item["clicktocall_name"] == "Support"
    gone = shell("clicktocall", "delete", identifier)
    assert (gone.exit_code, gone.stdout) == (0, f"deleted {identifier}\n")
    for command in (
        ("clicktocall", "show"),
        ("clicktocall", "delete"),
        ("history", "--click-to-call"),
    ):
        assert shell(*command, identifier).exit_code == 1
    assert shell("call", "--click-to-call", "Support", LAB_CONTACT).exit_code == 1


def test_a_key_serves_where_the_database_is_out_of_reach_and_a_wrong_one_does_not(
    shell: Shell, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.toml"
    empty.write_text(f'[database]\nurl = "sqlite:///{tmp_path}/none.db"\n')
    elsewhere = {"C2C_SIP_CONFIG": str(empty)}
    key = shell.service.account["api_key"]
    assert shell("channels", env=elsewhere | {"C2C_SIP_API_KEY": key}).exit_code == 0
    without = shell("channels", env=elsewhere)
    assert without.exit_code == 1 and "--api-key" in without.stderr
    assert not (tmp_path / "none.db").exists()
    wrong = shell("channels", env=elsewhere | {"C2C_SIP_API_KEY": "0" * 64})
    assert wrong.exit_code == 1 and "API key" in wrong.stderr
    nobody = shell("channels", "--account", "f" * 32)
    assert nobody.exit_code == 1 and "account list" in nobody.stderr


def test_the_trunks_are_shown_to_the_operator(shell: Shell) -> None:
    (lab,) = shell.json("trunk", "list")
    assert (lab["name"], lab["state"]) == ("lab", "registered")
    listed = shell("trunk", "list").stdout.splitlines()
    assert listed[0].split()[:4] == ["NAME", "DOMAIN", "TRANSPORT", "STATE"]
    assert listed[1].split()[:4] == ["lab", lab["domain"], "udp", "registered"]
    status = shell("trunk", "status", "lab")
    assert status.exit_code == 0 and re.search(r"^state: +registered$", status.stdout, re.M)
    unknown = shell("trunk", "status", "nobody")
    assert unknown.exit_code == 1 and "c2c-sip trunk list" in unknown.stderr
    made = json.loads(shell("account", "create", "Tenant", "--json").stdout)
    other = shell("trunk", "list", "--api-key", made["api_key"])
    assert (other.exit_code, other.stdout) == (1, "") and "operator" in other.stderr
    assert shell("clicktocall", "list", "--account", made["id"], "--json").stdout == "[]\n"


def in_terminal(shell: Shell, *arguments: str, **more: str) -> str:
    """What a command writes to a terminal of 100 columns."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    environ = {k: v for k, v in shell.environ.items() if k != "NO_COLOR"}
    with subprocess.Popen(
        shell.command(*arguments),
        stdin=its,
        stdout=its,
        stderr=its,
        env=environ | {"TERM": "xterm-256color"} | more,
    ) as process:
        os.close(its)
        octets = b""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if not select.select([ours], [], [], 0.2)[0]:
                continue
            with contextlib.suppress(OSError):  # which is how the end of a terminal looks
                piece = os.read(ours, 65536)
                octets += piece
                if piece:
                    continue
            break
        os.close(ours)
        assert process.wait(30) in (0, 1)
    return octets.decode()


def test_a_terminal_has_colour_unless_it_is_not_wanted(shell: Shell, busy: SippUas) -> None:
    coloured = in_terminal(shell, "call", "--extension", "101", busy.uri)
    assert "\x1b[" in coloured and "ended" in coloured and "486" in coloured
    plain = in_terminal(shell, "call", "--extension", "101", busy.uri, NO_COLOR="1")
    assert "\x1b" not in plain and "ended" in plain
    assert "\x1b[31m" in in_terminal(shell, "history", "--failed")
    drawn = in_terminal(shell, "trace", "last").splitlines()
    plain_lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in drawn]
    assert len(drawn) > 8 and max(map(len, plain_lines)) <= 100
    coloured_lines = [line for line in drawn if "\x1b[31m" in line]
    assert coloured_lines and all(re.search(r"- 4[0-9]{2} ", line) for line in coloured_lines)
    assert "\x1b" not in in_terminal(shell, "history", "--failed", NO_COLOR="1")
