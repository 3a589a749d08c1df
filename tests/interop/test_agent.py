"""``c2c-sip uac`` and ``uas``, against each other and against the programs of others."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import Start
from tests.interop.programs import (
    HOST,
    WAYS,
    Baresip,
    Certificate,
    Kamailio,
    SippUas,
    Way,
    free_port,
    until,
)
from tests.interop.programs.baresip import heard_in, write_tone
from tests.interop.programs.lab import COMMAND, Agent, environ


@pytest.mark.parametrize("way", [way for way in WAYS if ":" not in way.host], ids=str)
def test_the_two_call_each_other(
    start: Start, way: Way, certificate: Certificate, tmp_path: Path
) -> None:
    tls = ["--tls-ca", str(certificate.authority), "--tls-certificate", str(certificate.own)]
    carried = ["--transport", way.transport, *(tls if way.transport == "tls" else [])]
    write_tone(tmp_path / "hello.wav", 700, seconds=20)
    taker = start(
        Agent, "uas", *carried, "--listen", f"{HOST}:0", "--play", "1100", "--dtmf", "7#",
        "--expect-tone", "700", "--expect-dtmf", "42",
    )  # fmt: skip
    uri = taker.ready()
    caller = start(
        Agent, "uac", uri, *carried, "--listen", f"{HOST}:0", "--play", str(tmp_path / "hello.wav"),
        "--dtmf", "42", "--expect-tone", "1100", "--expect-dtmf", "7#", "--hang-up-after", "3",
        "--pcap", "call.pcap", "--record", "heard.wav", "--header", "X-Case: 17",
    )  # fmt: skip
    code, said = caller.verdict()
    assert (code, said["problems"], said["ok"]) == (0, [], True)
    assert (said["status"], said["ended_by"], said["dtmf"]) == (200, "local", "7#")
    assert said["tones"] == {"1100": True}
    assert 0 < said["setup"]["ringing_ms"] <= said["setup"]["answered_ms"]
    for direction in ("sent", "received"):
        assert said["media"][direction]["packets"] > 30
    assert "INVITE [SDP]" in said["ladder"] and "200 OK (BYE)" in said["ladder"]
    assert heard_in(caller.folder / "heard.wav", 1100, (-1.0, -0.2)) > 0.8
    assert b"X-Case: 17" in (caller.folder / "call.pcap").read_bytes()

    code, said = taker.verdict()
    assert (code, said["problems"]) == (0, [])
    assert (said["ended_by"], said["dtmf"], said["tones"]) == ("peer", "42", {"700": True})


def test_a_status_is_as_expected_or_not(start: Start) -> None:
    busy = start(SippUas, "refuse 486 Busy Here", calls=2)
    code, said = start(Agent, "uac", busy.uri, "--expect-status", "486", name="one").verdict()
    assert (code, said["status"], said["reason"], said["problems"]) == (0, 486, "Busy Here", [])
    code, said = start(Agent, "uac", busy.uri, name="two").verdict()
    assert (code, said["ok"]) == (1, False)
    assert said["problems"] == ["status: got 486 Busy Here, expected 200"]


def test_what_was_expected_and_did_not_come_is_named(start: Start) -> None:
    """sipp answers, sends no RTP and presses nothing."""
    silent = start(SippUas, "answer")
    code, said = start(
        Agent, "uac", silent.uri, "--expect-tone", "440", "--expect-dtmf", "1", "--expect-audio",
        "--hang-up-after", "0.5",
    ).verdict()  # fmt: skip
    assert code == 1 and silent.finish() == 0
    assert said["problems"] == [
        "no audio came",
        "no tone of 440 Hz was heard",
        "dtmf: got '', expected '1'",
    ]


def test_nobody_is_waited_for_without_end(start: Start) -> None:
    ringing = start(SippUas, "ring")
    caller = start(Agent, "uac", ringing.uri, "--timeout", "1.5")
    waiting = start(Agent, "uas", "--listen", f"{HOST}:0", "--timeout", "1")
    code, said = caller.verdict()
    assert (code, said["status"]) == (1, 487)
    assert said["problems"][0] == "not answered within 1.5 s"
    code, said = waiting.verdict()
    assert (code, said["problems"]) == (1, ["no call came within 1 s"])


def test_a_phone_at_a_registrar_is_called_and_calls(start: Start, tmp_path: Path) -> None:
    exchange = start(Kamailio)
    phone = start(Baresip, "1001", exchange, 900)
    secret = tmp_path / "password"
    secret.write_text(f"{exchange.password}\n")
    who = ["--domain", f"{HOST}:{exchange.port}"]

    caller = start(
        Agent, "uac", "1001", *who, "--user", "1002", "--register", "--password-file", str(secret),
        "--play", "500", "--expect-tone", "900", "--hang-up-after", "3",
    )  # fmt: skip
    code, said = caller.verdict()
    assert (code, said["problems"], said["registered"]) == (0, [], True)
    assert said["media"]["received"]["mos"] is not None
    until(lambda: phone.heard(500) > 0.8, 10, "our tone")

    taker = start(
        Agent, "uas", *who, "--user", "1003", "--expect-tone", "900", "--hang-up-after", "2",
        "--early-media", "ringback", "--ring", "1", password=exchange.password,
    )  # fmt: skip
    assert taker.ready() == f"sip:1003@{HOST}:{exchange.port}"
    phone.command("dial", f"sip:1003@{HOST}:{exchange.port}")
    code, said = taker.verdict()
    assert (code, said["problems"], said["ended_by"]) == (0, [], "local")

    refused = start(
        Agent, "uas", *who, "--user", "1004", "--refuse", "603", name="refuses",
        password=exchange.password,
    )  # fmt: skip
    refused.ready()
    phone.command("dial", f"sip:1004@{HOST}:{exchange.port}")
    code, said = refused.verdict()
    assert (code, said["status"], said["problems"]) == (0, 603, [])

    code, said = start(
        Agent, "uac", "1001", *who, "--user", "1002", "--register", password="wrong", name="wrong"
    ).verdict()
    assert (code, said["registered"], said["status"]) == (1, False, None)
    assert said["problems"][0].startswith("registration: 40")


def test_an_address_that_is_taken_is_a_failure_and_a_file_that_cannot_be_written_bad_usage(
    start: Start, tmp_path: Path
) -> None:
    port = free_port()
    holder = start(Agent, "uas", "--listen", f"{HOST}:{port}")
    holder.ready()
    done = use(["uas", "--listen", f"{HOST}:{port}"])
    assert done.returncode == 1 and "Address already in use" in done.stderr
    done = use(
        ["uac", f"sip:x@{HOST}:{port}", "--hang-up-after", "0.1", "--pcap", f"{tmp_path}/no/such"]
    )
    assert done.returncode == 2 and "No such file" in done.stderr


def use(arguments: list[str]) -> subprocess.CompletedProcess[Any]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env=environ(), timeout=90
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_it_leaves_no_call_up_and_has_its_verdict(start: Start, number: int) -> None:
    taker = start(Agent, "uas", "--listen", f"{HOST}:0")
    caller = start(Agent, "uac", taker.ready(), "--hang-up-after", "50")
    until(lambda: "answered" in caller.messages.read_text(), 20, "the call")
    caller.process.send_signal(number)
    code, verdict = caller.verdict()
    assert code == 1 and verdict["problems"] == ["interrupted"]
    assert (verdict["status"], verdict["ended_by"]) == (200, "local")
    assert "BYE" in verdict["ladder"]
    code, verdict = taker.verdict()
    assert code == 0 and verdict["ended_by"] == "peer"


def test_a_uas_that_is_ended_before_a_call_says_so(start: Start) -> None:
    taker = start(Agent, "uas", "--listen", f"{HOST}:0")
    taker.ready()
    taker.process.send_signal(signal.SIGTERM)
    code, verdict = taker.verdict()
    assert code == 1 and "interrupted" in verdict["problems"]
