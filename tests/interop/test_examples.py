"""The programs in ``docs/examples``, run as they are, against the programs of others; and that the page shows them."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

import sipstack
from tests.interop.conftest import Start
from tests.interop.programs import HOST, Baresip, Dnsmasq, Kamailio, Program, Way, free_port, until
from tests.interop.programs.baresip import write_tone
from tests.interop.programs.lab import ROOT, Agent, environ

DOCS = Path(ROOT) / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))


class Example(Program):
    def __init__(self, folder: Path, name: str, *arguments: str, password: str = "") -> None:
        super().__init__(folder / name, name)
        self.launch(
            [sys.executable, str(DOCS / "examples" / f"{name}.py"), *arguments],
            environ(SIP_PASSWORD=password),
        )

    def says(self, text: str) -> None:
        until(lambda: text in self.printed(), 30, f"{text!r}, said was {self.printed()}")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_page_shows_the_program_as_it_is(path: Path) -> None:
    shown = re.findall(r"```python\n(.*?)```", (DOCS / "sipstack.md").read_text(), re.S)
    assert path.read_text() in shown


def test_what_can_be_imported_is_there() -> None:
    for name in sipstack.__all__:
        assert getattr(sipstack, name).__doc__, name
    with pytest.raises(AttributeError):
        sipstack.nothing  # noqa: B018


def test_register(start: Start) -> None:
    exchange = start(Kamailio)
    domain = f"{HOST}:{exchange.port}"
    phone = start(Example, "register", "1001", domain, "60", password=exchange.password)
    phone.says(f"registered as sip:1001@{domain}")
    assert phone.stop(signal.SIGINT) in (1, -signal.SIGINT, 130)
    other = start(Example, "register", "1001", domain, "1", password="wrong")
    assert other.process.wait(30) == 1
    other.says("not registered: 40")


def test_call_and_play(start: Start, tmp_path: Path) -> None:
    write_tone(tmp_path / "tone.wav", 600, seconds=3)
    taker = start(Agent, "uas", "--listen", f"{HOST}:0", "--expect-tone", "600", "--ring", "0.3")
    caller = start(Example, "call_and_play", taker.ready(), str(tmp_path / "tone.wav"))
    code, said = taker.verdict()
    assert (code, said["problems"], said["ended_by"]) == (0, [], "peer")
    assert caller.process.wait(30) == 0
    caller.says("sent 1")


def test_answer(start: Start) -> None:
    taker = start(Example, "answer", f"udp:{HOST}:0")
    taker.says("ready ")
    uri = taker.printed().partition("ready ")[2].split()[0]
    caller = start(
        Agent, "uac", uri, "--play", "700", "--dtmf", "12", "--expect-tone", "700", "--hang-up-after", "3"
    )  # fmt: skip
    code, said = caller.verdict()
    assert (code, said["problems"]) == (0, [])
    taker.says("ended, keys: 12")


def test_registrar(start: Start) -> None:
    class Registrar:
        way = Way()
        port = free_port()
        password = "s3cret"

    server = start(Example, "registrar", f"udp:{HOST}:{Registrar.port}")
    server.says("ready ")
    phone = start(Baresip, "1001", Registrar, 500)
    server.says("1001: 200, now at sip:1001")
    phone.stop()
    server.says("1001: 200, now at no place")


def test_messages(start: Start) -> None:
    names = start(
        Dnsmasq,
        [
            "srv-host=_sip._udp.example.test,one.example.test,5060,1",
            "srv-host=_sip._udp.example.test,two.example.test,5070,2",
            "address=/one.example.test/192.0.2.1",
            "address=/two.example.test/192.0.2.2",
        ],
    )
    done = start(Example, "messages", "example.test", HOST, str(names.port))
    assert done.process.wait(30) == 0
    printed = done.printed()
    assert "REGISTER of sip:ann@example.net, at sip:ann@192.0.2.7:5060" in printed
    assert "SIP/2.0 401 Unauthorized" in printed and "let in: True, as ann" in printed
    assert printed.splitlines()[-2:] == [
        "example.test: UDP 192.0.2.1 port 5060",
        "example.test: UDP 192.0.2.2 port 5070",
    ]
