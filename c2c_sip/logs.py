"""The log: one line an event on stderr, as text or as JSON, with what the event is about.

What an event is about is known by where it happens, not told in each message: an activation's coroutine, and all that
follows from it, runs with its id in :data:`activation`, a request's thread with its id in :data:`request`.

What comes from outside may be in a message. It can neither begin a line of its own nor move a terminal's cursor.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

from c2c_sip.config import Log
from c2c_sip.moments import to_millisecond

#: The activation, and the HTTP request, that what happens now is about; empty for none.
activation: ContextVar[str] = ContextVar("activation", default="")
request: ContextVar[str] = ContextVar("request", default="")


@contextmanager
def about(activation_id: str) -> Iterator[None]:
    """What happens within is about this activation."""
    token = activation.set(activation_id)
    try:
        yield
    finally:
        activation.reset(token)


#: What ends a line or is obeyed by a terminal: control characters, marks of direction, halves of a surrogate pair.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
#: Whose messages have values of the database in them, secrets among them: they are heard from :data:`logging.INFO` on,
#: whatever the settings say.
_TALKATIVE = ("peewee",)
#: What syslog calls the levels, for the journal (``sd-daemon(3)``).
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def escaped(text: str) -> str:
    """The same on one line, with nothing in it that is more than text."""
    return _UNSAFE.sub(lambda found: _escape(found.group()), text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class Lines(logging.Formatter):
    """Makes a line of a record.

    :param journal: whether it goes to the journal, which wants a priority and knows the time
    """

    def __init__(self, as_json: bool, journal: bool) -> None:
        super().__init__()
        self._as_json = as_json
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        about = {"activation_id": activation.get(), "request_id": request.get()}
        about = {name: value for name, value in about.items() if value}
        line = self._json(record, about) if self._as_json else self._text(record, about)
        return f"<{_priority(record.levelno)}>{line}" if self._journal else line

    def _json(self, record: logging.LogRecord, about: Mapping[str, str]) -> str:
        entry = {
            "time": to_millisecond(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **about,
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)

    def _text(self, record: logging.LogRecord, about: Mapping[str, str]) -> str:
        line = f"{record.levelname} {record.name}: {escaped(record.getMessage())}"
        if about:
            line += " [" + " ".join(f"{name}={value}" for name, value in about.items()) + "]"
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line += "".join(f" | {escaped(each.strip())}" for each in trace)
        return line if self._journal else f"{to_millisecond(record.created)} {line}"


def _priority(level: int) -> int:
    return next((priority for least, priority in _PRIORITIES if level >= least), 7)


def is_journal(environ: Mapping[str, str], descriptor: int) -> bool:
    """Whether a file of ours is the journal's: ``$JOURNAL_STREAM`` says which one that is (``systemd.exec(5)``)."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes lines to stderr, which needs no flushing: it is line-buffered wherever it leads."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Write one, without a look at filters, which there are none of."""
        try:
            line = self.format(record) + "\n"
            assert self.lock is not None
            with self.lock:
                self.stream.write(line)
        except Exception:
            self.handleError(record)
        return True


class Logs:
    """Sends what is logged to stderr, as the settings say; :meth:`configure` may be called again.

    :param verbose: everything, whatever the settings say
    """

    def __init__(self, verbose: bool = False) -> None:
        self._verbose = verbose
        # No line says which one of the source has logged it, nor in which thread, and finding that out costs more than the
        # rest of it: the ways to leave it out that logging's manual has.
        logging._srcfile = None
        logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
        self._handler = _Stderr(sys.stderr)
        self._journal = is_journal(os.environ, sys.stderr.fileno())
        #: The loggers that have a level of their own.
        self._own: list[str] = []

    def configure(self, settings: Log) -> None:
        """Do as the settings say from now on."""
        self._handler.setFormatter(Lines(settings.format == "json", self._journal))
        root = logging.getLogger()
        if self._handler not in root.handlers:
            root.addHandler(self._handler)
        root.setLevel(logging.DEBUG if self._verbose else settings.level.upper())
        for name in self._own:
            logging.getLogger(name).setLevel(logging.NOTSET)
        self._own = []
        for entry in settings.levels:
            name, _, level = entry.partition("=")
            logging.getLogger(name).setLevel(level.upper())
            self._own.append(name)
        for name in _TALKATIVE:
            logger = logging.getLogger(name)
            logger.setLevel(max(logging.INFO, logger.getEffectiveLevel()))
            self._own.append(name)
