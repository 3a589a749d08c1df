"""The lab's scripts, and the options of ``lab``, ``uac`` and ``uas``: what is wrong is said, all at once."""

from __future__ import annotations

import json
import random
import socket
import tomllib
import wave
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner
from pyVoIP.RTP import RTPPacketManager

from c2c_sip.cli import main
from c2c_sip.lab import OWN
from c2c_sip.lab.ear import Ear
from c2c_sip.lab.journal import Journal
from c2c_sip.lab.phone import FRAME, forget
from c2c_sip.lab.script import USUAL, LabScript, PhoneScript, ScriptError, read
from sipstack.media.g711 import encode
from sipstack.media.tones import Tone
from sipstack.phone import PORT_COUNT, PORTS, some_ports

EXAMPLE = Path(__file__).parents[2] / "conf" / "examples" / "lab.toml"


def write_wav(path: Path) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(1600))


def test_the_example_has_every_key_with_its_default() -> None:
    document = tomllib.loads(EXAMPLE.read_text())
    documented = [("lab", LabScript, document["lab"]), ("phone", PhoneScript, document["phone"][0])]
    for where, kind, given in documented:
        known = {one.name: one.default for one in fields(kind) if one.metadata}
        assert list(given) == list(known), where
        for key, default in known.items():
            if key != "user":
                assert given[key] == (list(default) if isinstance(default, tuple) else default), key


def test_the_example_can_be_read_and_says_what_each_phone_does() -> None:
    script = read(EXAMPLE)
    does = {phone.user: phone.describe() for phone in script.phones}
    assert does["101"] == "rings for 1 s, answers, plays 440 Hz"
    assert does["busy"] == "refuses with 486"
    assert does["announcement"] == "plays ringback early for 3 s, refuses with 404"
    assert does["holds"].endswith("holds after 3 s for 5 s")
    assert does["overloaded"] == "refuses with 503 and Retry-After 30"


def test_the_usual_phones_are_ones_that_a_script_could_have() -> None:
    assert len({phone.user for phone in USUAL.phones}) == len(USUAL.phones)
    assert all(phone.describe() for phone in USUAL.phones)


def test_all_that_is_wrong_with_a_script_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    write_wav(tmp_path / "good.wav")
    script = tmp_path / "wrong.toml"
    script.write_text(
        '[lab]\nrelm = 3\n[[phone]]\nuser = "a b"\nstatus = 200\nplays = "no.wav"\nringin = 3\n'
        '[[phone]]\nuser = "x"\nplays = "good.wav"\nstatus = 486\nredirect = "x"\nhang_up_after = 1\n'
        '[[phone]]\nuser = "x"\nplays = "empty.wav"\nhold_for = 1\nloses = 101\n[[phone]]\n[other]\n'
        '[[phone]]\nuser = "y"\nearly_media = "echo"\nnever_answers = 1\nredirect = "sip:"\nkeys = "12x"\n'
    )
    done = CliRunner().invoke(main, ["lab", "--script", str(script)])
    assert (done.exit_code, done.stdout) == (1, "")
    lines = dict(line.split(": ", 1) for line in done.stderr.splitlines())
    assert sorted(lines) == [
        "lab.relm",
        "other",
        "phone[0].plays",
        "phone[0].ringin",
        "phone[0].status",
        "phone[0].user",
        "phone[1].hang_up_after",
        "phone[1].redirect",
        "phone[2].hold_for",
        "phone[2].loses",
        "phone[2].plays",
        "phone[2].user",
        "phone[3].user",
        "phone[4].early_media",
        "phone[4].keys",
        "phone[4].never_answers",
        "phone[4].redirect",
    ]
    assert lines["phone[0].status"] == (
        "got 200, accepted: a SIP status that refuses, 300 to 699, as 486"
    )
    assert lines["phone[0].ringin"].startswith("unknown key; accepted: user, numbers, delay")
    assert lines["phone[1].redirect"] == "got 'x', accepted: not beside status"
    assert lines["phone[2].user"] == "got 'x', accepted: one that is nobody else's"
    done = CliRunner().invoke(main, ["lab", "--script", str(script), "--check", "--json"])
    assert done.exit_code == 1 and len(json.loads(done.stdout)["problems"]) == len(lines)


@pytest.mark.parametrize("text", ["[[phone", "phone = 3", "lab = 3", "[[phone]]\nuser = 3"])
def test_what_is_no_script_is_refused(tmp_path: Path, text: str) -> None:
    script = tmp_path / "s.toml"
    script.write_text(text)
    with pytest.raises(ScriptError):
        read(script)
    with pytest.raises(ScriptError):
        read(tmp_path / "nowhere.toml")


def test_a_script_beside_a_service_has_none_of_its_phones(tmp_path: Path) -> None:
    script = tmp_path / "s.toml"
    script.write_text(
        '[[phone]]\nuser = "101"\n[[phone]]\nuser = "a"\nnumbers = ["+12025550102"]\n'
    )
    assert len(read(script).phones) == 2
    with pytest.raises(ScriptError) as error:
        read(script, OWN)
    assert [line.partition(":")[0] for line in error.value.problems] == [
        "phone[0].user",
        "phone[1].numbers",
    ]


def test_two_programs_on_one_machine_do_not_take_the_same_ports() -> None:
    """A lab beside a program that had its first ports refused each call with 503."""
    ranges = [some_ports(random.Random(seed)) for seed in range(20)]
    assert len(set(ranges)) > 15
    for first, last in ranges:
        assert PORTS[0] <= first < last <= PORTS[1] and first % 2 == 0
        assert last - first + 1 == PORT_COUNT


def test_an_event_is_one_line_whatever_a_peer_puts_into_it() -> None:
    lines: list[str] = []
    Journal(lines.append, clock=lambda: 0.5).tell("called", by="sip:x\nready sip:evil", left=0)
    Journal(lines.append, as_json=True, clock=lambda: 0.5).tell("called", by="a\nb")
    assert all("\n" not in line for line in lines)
    assert lines[0].endswith('called by="sip:x\\nready sip:evil" left=0')
    assert json.loads(lines[1]) == {"time": 0.5, "event": "called", "by": "a\nb"}


def test_an_ear_puts_what_came_where_it_belongs() -> None:
    """Two frames, one that got lost, and one more: silence is heard for it."""
    tone = encode(Tone((1000.0,), ((0.02, 0.0),)).samples(), "PCMU")
    ear = Ear()
    for number in (0, 1, 3):
        ear.packet(8000 + 160 * number, tone, "PCMU", 10.0 + 0.02 * number)
    samples = memoryview(ear.samples()).cast("h")
    assert len(samples) == 4 * 160
    assert max(samples[330:470]) == 0 and max(samples[:320]) > 3000 and max(samples[480:]) > 3000
    assert Ear().samples() == b"" and not Ear().heard(440)


@pytest.mark.parametrize(
    "listen", ["udp:0.0.0.0:5060", "tcp:127.0.0.1:5060", "127.0.0.1", "udp:127.0.0.1:70000"]
)
def test_an_address_that_nobody_can_be_told_is_refused(listen: str) -> None:
    done = CliRunner().invoke(main, ["lab", "--listen", listen])
    assert done.exit_code == 2
    assert f"got '{listen}'" in done.stderr and "udp:ADDRESS:PORT" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["uac", "tel:+12025550102"], "tel:+12025550102"),
        (["uac", "101"], "101"),
        (["uac", "sip:x@127.0.0.1", "--register"], "--domain"),
        (["uac", "sip:x@127.0.0.1", "--play", "none.wav"], "'none.wav'"),
        (["uac", "sip:x@127.0.0.1", "--play", "9000"], "'9000'"),
        (["uac", "sip:x@127.0.0.1", "--codecs", "PCMU,opus"], "'PCMU,opus'"),
        (["uac", "sip:x@127.0.0.1", "--dtmf", "12x"], "'12x'"),
        (["uac", "sip:x@127.0.0.1", "--header", "nothing"], "'nothing'"),
        (["uac", "sip:x@127.0.0.1", "--timeout", "0"], "--timeout"),
        (["uas", "--listen", "everywhere"], "'everywhere'"),
        (["uas", "--domain", "a b"], "a b"),
        (["uas", "--refuse", "200"], "--refuse"),
    ],
)
def test_wrong_use_is_said_with_what_was_given(arguments: list[str], named: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert named in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--timeout", "nan", "not in the range"),
        ("--hang-up-after", "nan", "not in the range"),
        ("--expect-tone", "nan", "not in the range"),
        ("--pcap", "none/call.pcap", "cannot be written: No such file or directory"),
        ("--record", ".", "cannot be written: Is a directory"),
    ],
)
def test_what_a_call_could_not_use_is_refused_before_it(
    option: str, value: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Nobody is there: a call would end with 1.
    done = CliRunner().invoke(main, ["uac", "sip:x@127.0.0.1:9", option, value])
    assert (done.exit_code, done.stdout) == (2, "")
    assert option in done.stderr and named in done.stderr


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["lab", "--listen", "udp:{}"], "udp"),
        (["uas", "--listen", "{}"], "udp"),
        (["uas", "--listen", "{}", "--transport", "tcp"], "tcp"),
        (["uac", "sip:x@127.0.0.1:9", "--listen", "{}"], "udp"),
    ],
)
def test_an_address_that_is_taken_is_named_with_its_option(arguments: list[str], kind: str) -> None:
    form = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, form) as other:
        other.bind(("127.0.0.1", 0))
        if kind == "tcp":
            other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        done = CliRunner().invoke(main, [word.format(taken) for word in arguments])
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"--listen: {kind}:{taken}: Address already in use" in done.stderr


def test_a_phone_forgets_what_it_has_heard_and_loses_nothing_of_what_comes() -> None:
    manager = RTPPacketManager()
    heard = b""
    began = 4_000_000
    for number in range(3000):
        # One in a hundred comes after the one behind it.
        swapped = number + {0: 1, 1: -1}.get(number % 100, 0)
        manager.write(began + swapped * FRAME, swapped.to_bytes(2, "big") * (FRAME // 2))
        if number >= 10:
            heard += manager.read(FRAME)
        if number % 500 == 499:
            forget(manager)
            assert len(manager.log) <= 70
            assert len(manager.buffer.getvalue()) <= 70 * FRAME
    assert heard == b"".join(n.to_bytes(2, "big") * (FRAME // 2) for n in range(2990))
