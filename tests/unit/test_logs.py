"""Lines of the log: one an event, whatever is in it, with what it is about."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2c_sip import logs
from c2c_sip.config import Log
from c2c_sip.logs import Lines, Logs


def record(message: str, *arguments: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("c2c_sip.here", level, "x.py", 1, message, arguments, None)


def failure() -> logging.LogRecord:
    found = record("it failed", level=logging.ERROR)
    try:
        raise ValueError("a\r\n\x1b[2Jforged")
    except ValueError:
        found.exc_info = sys.exc_info()
    return found


def test_a_line_of_text() -> None:
    line = Lines(as_json=False, journal=False).format(record("from %s", "192.0.2.1"))
    moment, rest = line.split(" ", 1)
    assert moment.endswith("Z") and len(moment) == 24
    assert rest == "INFO c2c_sip.here: from 192.0.2.1"


def test_an_event_says_what_it_is_about() -> None:
    def within() -> tuple[str, str]:
        logs.request.set("r1")
        with logs.about("a1"):
            return (
                Lines(as_json=False, journal=True).format(record("x")),
                Lines(as_json=True, journal=False).format(record("x")),
            )

    text, as_json = contextvars.copy_context().run(within)
    assert text == "<6>INFO c2c_sip.here: x [activation_id=a1 request_id=r1]"
    entry = json.loads(as_json)
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "info",
        "logger": "c2c_sip.here",
        "message": "x",
        "activation_id": "a1",
        "request_id": "r1",
    }


def test_what_follows_from_an_activation_is_about_it() -> None:
    seen: list[str] = []

    async def later() -> None:
        await asyncio.sleep(0)
        seen.append(logs.activation.get())

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with logs.about("one"):
            first = asyncio.create_task(later())
            loop.call_soon(lambda: seen.append(logs.activation.get()))
        with logs.about("two"):
            second = asyncio.create_task(later())
        await first
        await second
        assert logs.activation.get() == ""

    asyncio.run(main())
    assert sorted(seen) == ["one", "one", "two"]


@given(st.text(), st.booleans(), st.booleans())
def test_nothing_in_a_message_can_forge_a_line(text: str, as_json: bool, journal: bool) -> None:
    line = Lines(as_json, journal).format(record("from %s", text))
    assert len(line.splitlines()) == 1
    assert line.isprintable() or not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in line)
    line.encode("utf-8")


@pytest.mark.parametrize(
    "hostile", ["\r\n<0>root: hacked", "\x1b]0;x\x07", "\u2028", "\u202e", "\udcff"]
)
def test_what_a_terminal_or_a_reader_obeys_is_escaped(hostile: str) -> None:
    line = Lines(as_json=False, journal=False).format(record("call from %s", hostile))
    assert not set(hostile) & set("\r\n\x1b\x07\u2028\u202e\udcff") & set(line)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_traceback_is_on_the_same_line(as_json: bool) -> None:
    line = Lines(as_json, journal=False).format(failure())
    assert len(line.splitlines()) == 1
    assert "ValueError" in line and "test_logs.py" in line and "\x1b" not in line


@pytest.mark.parametrize(
    ("level", "prefix"),
    [("DEBUG", "<7>"), ("INFO", "<6>"), ("WARNING", "<4>"), ("ERROR", "<3>"), ("CRITICAL", "<2>")],
)
def test_the_journal_is_told_the_priority_and_not_the_time(level: str, prefix: str) -> None:
    line = Lines(as_json=False, journal=True).format(record("x", level=getattr(logging, level)))
    assert line == f"{prefix}{level} c2c_sip.here: x"


def test_the_journal_is_known_by_its_stream() -> None:
    reading, writing = os.pipe()
    try:
        status = os.fstat(writing)
        stream = f"{status.st_dev}:{status.st_ino}"
        assert logs.is_journal({"JOURNAL_STREAM": stream}, writing)
        assert not logs.is_journal({"JOURNAL_STREAM": "1:2"}, writing)
        assert not logs.is_journal({}, writing)
    finally:
        os.close(reading)
        os.close(writing)
    assert not logs.is_journal({"JOURNAL_STREAM": stream}, writing)


@pytest.fixture
def output(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What has come to stderr since it was asked for the last time."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield lambda: capfd.readouterr().err
    root.handlers[:] = before
    root.setLevel(level)
    for name in ("ops_a", "ops_b", "peewee"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_levels_are_those_of_the_settings_and_can_be_changed(output: Callable[[], str]) -> None:
    one, two = logging.getLogger("ops_a.x"), logging.getLogger("ops_b")
    configured = Logs()
    configured.configure(Log(level="warning", levels=("ops_a=debug",)))
    one.debug("heard")
    two.info("not heard")
    configured.configure(Log(format="json", levels=("ops_b=error",)))
    one.debug("not heard")
    one.info("heard too")
    two.warning("not heard")
    lines = output().splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("DEBUG ops_a.x: heard")
    assert json.loads(lines[1])["message"] == "heard too"


def test_verbose_is_everything_whatever_the_settings_say(output: Callable[[], str]) -> None:
    Logs(verbose=True).configure(Log(level="error"))
    logging.getLogger("ops_a").debug("heard")
    assert "heard" in output()


def test_values_of_the_database_are_not_logged_even_then(output: Callable[[], str]) -> None:
    configured = Logs()
    configured.configure(Log(level="debug", levels=("peewee=debug",)))
    logging.getLogger("peewee").debug("INSERT ... ['hush']")
    assert "hush" not in output()
    configured.configure(Log(level="error"))
    logging.getLogger("peewee").warning("hush")
    assert "hush" not in output()


def test_lines_of_several_threads_are_whole_each(output: Callable[[], str]) -> None:
    Logs().configure(Log())
    logger = logging.getLogger("ops_a")

    def talk(number: int) -> None:
        for at in range(200):
            logger.info("%d-%d %s", number, at, "x" * 500)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(talk, range(4)))
    lines = output().splitlines()
    assert len(lines) == 800
    assert all(line.endswith(" " + "x" * 500) for line in lines)


def test_a_line_that_cannot_be_made_is_told_of_and_raises_nothing(
    output: Callable[[], str],
) -> None:
    root = logging.getLogger()
    root.handlers.clear()  # pytest's own raises
    Logs().configure(Log())
    logging.getLogger("ops_a").info("%d", "no number")
    logging.getLogger("ops_a").info("goes on")
    heard = output()
    assert "Logging error" in heard and "INFO ops_a: goes on" in heard
