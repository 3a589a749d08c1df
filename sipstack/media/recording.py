"""Calls recorded to stereo WAV files: the extension left, the contact right.

:class:`Mixer` puts what both legs sent on one time line, and is pure. :class:`Recorder` has the thread and the files: the
relay hands it payloads by appending to a bounded queue, and never waits.
"""

import errno
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sipstack.media.g711 import decode
from sipstack.media.wav import StereoWriter, recover

log = logging.getLogger(__name__)

RATE = 8000
#: The sides: left and right.
EXTENSION, CONTACT = 0, 1
#: Seconds that the file lags behind the call, so that late packets find their place.
LAG = 2.0
#: Seconds between a packet's place by its timestamp and by its arrival before its sender is taken to count anew.
ASTRAY = 1.5
#: Seconds of sound in one piece.
PIECE = 0.5
#: The longest payload that is taken, in seconds.
LONGEST = 0.25
#: Seconds between two looks at the queue: pieces of work large enough to be cheap.
WAKE = 0.2
#: Seconds between two looks at the age and the size of all files.
TIDY = 60.0

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PART = ".part"


class Mixer:
    """Two legs' payloads on one time line, which begins at ``start`` seconds; gaps are silence."""

    __slots__ = ("_anchors", "_sides", "_start", "_taken")

    def __init__(self, start: float) -> None:
        self._start = start
        #: Samples that have been taken, and for each side what follows them.
        self._taken = 0
        self._sides = (bytearray(), bytearray())
        #: For each side a timestamp and its place in samples.
        self._anchors: list[tuple[int, int] | None] = [None, None]

    def frame(self, side: int, timestamp: int, payload: bytes, encoding: str, now: float) -> None:
        """Put in a payload of ``PCMU``, ``PCMA`` or ``PCM`` (16 bits, little-endian) that came at ``now``.

        ``timestamp`` is its RTP timestamp at 8 kHz. Nothing happens with a payload of another encoding, or with one that
        comes more than :data:`LAG` too late.
        """
        width = 2 if encoding == "PCM" else 1
        if encoding not in ("PCMU", "PCMA", "PCM") or len(payload) > LONGEST * RATE * width:
            return
        samples = payload[: len(payload) & ~1] if width == 2 else decode(payload, encoding)
        arrived = round((now - self._start) * RATE)
        place = arrived
        anchor = self._anchors[side]
        if anchor is not None:
            place = anchor[1] + ((timestamp - anchor[0] + 0x80000000) & 0xFFFFFFFF) - 0x80000000
            if abs(place - arrived) > ASTRAY * RATE:
                place = arrived
        self._anchors[side] = timestamp, place
        early = 2 * (self._taken - place)
        if early > 0:
            samples, place = samples[early:], self._taken
        line = self._sides[side]
        at = 2 * (place - self._taken)
        if at > len(line):
            line += bytes(at - len(line))
        line[at : at + len(samples)] = samples

    def take(self, now: float, ending: bool = False) -> bytes:
        """The next piece of stereo samples of which both sides are settled; empty: none is yet.

        With ``ending`` nothing more comes in, and what is there up to ``now`` is settled.
        """
        settled = round((now - self._start - (0.0 if ending else LAG)) * RATE) - self._taken
        count = min(settled, round(PIECE * RATE))
        if count <= 0 or (count < PIECE * RATE and not ending):
            return b""
        mixed = bytearray(4 * count)
        for side, line in enumerate(self._sides):
            piece = line[: 2 * count] + bytes(max(0, 2 * count - len(line)))
            mixed[2 * side :: 4], mixed[2 * side + 1 :: 4] = piece[0::2], piece[1::2]
            del line[: 2 * count]
        self._taken += count
        return bytes(mixed)


class Recording:
    """One call's recording. Made by :meth:`Recorder.record`; read-only but for its methods."""

    __slots__ = ("_queue", "_room", "dropped", "ended", "error", "full", "path", "seconds")

    def __init__(self, path: Path, queue: "deque[_Entry]", room: int) -> None:
        #: Where the file is once :attr:`ended` is set and there is no :attr:`error`.
        self.path = path
        #: Set when the file is complete, or given up.
        self.ended = threading.Event()
        #: Why there is no file, or not the end of it; what was written before is at :attr:`path`, if it could be completed.
        self.error: str | None = None
        #: Whether the file has reached its largest size, and the rest of the call is missing.
        self.full = False
        self.seconds = 0.0
        #: Payloads that were dropped because the disk was too slow.
        self.dropped = 0
        self._queue = queue
        self._room = room

    def frame(
        self, side: int, timestamp: int, payload: bytes | memoryview, encoding: str, now: float
    ) -> None:
        """What one side sent, see :meth:`Mixer.frame`. Copied; never waits."""
        if len(self._queue) < self._room:
            self._queue.append((self, side, timestamp, bytes(payload), encoding, now))
        else:
            self.dropped += 1

    @property
    def problem(self) -> str:
        """What is wrong with it by now, in a sentence; empty: nothing."""
        if self.error is not None:
            return f"The recording has failed: {self.error}."
        if self.full:
            return "The recording ends before the call: its file was full (recording.call_mb)."
        if self.dropped:
            return f"The recording has gaps: {self.dropped} packets came faster than they were written."
        return ""

    def stop(self, now: float) -> None:
        """The call is over. The file is there when :attr:`ended` is set. May be called again."""
        self._queue.append((self, _STOP, 0, b"", "", now))


_START, _STOP = -1, -2
_Entry = tuple[Recording, int, int, bytes, str, float]


class Recorder:
    """All recordings of one process, in files ``NAME.wav`` in ``directory``, and the thread that writes them.

    ``most_bytes`` bounds one file (an hour is 115 MB), ``most_total`` all of them: beyond it the oldest are deleted, and
    so is, ``keep`` seconds after its call, every one. ``room`` bounds the payloads that wait to be written.
    ``clock`` is that of the ``now`` of the recordings. The directory is this process's alone: what another one left there
    unfinished is completed.

    :raises OSError: the directory cannot be made or read.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        most_bytes: int = 512 << 20,
        most_total: int = 20 << 30,
        keep: float = 30 * 86400.0,
        room: int = 50_000,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._most_bytes, self._most_total, self._keep = most_bytes, most_total, keep
        self._clock, self._wall_clock = clock, wall_clock
        self._room = room
        self._queue: deque[_Entry] = deque()
        self._open: dict[Recording, tuple[Mixer, StereoWriter]] = {}
        self._tidied = -TIDY
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        for part in self._directory.glob("*.wav" + _PART):
            try:
                _rescue(part)
            except OSError as error:
                log.error("the recording %s cannot be recovered: %s", part.name, error)

    def path(self, name: str) -> Path:
        """Where the complete recording of this name is, or would be.

        :raises ValueError: no name for a file: up to 128 letters, digits, ``_`` and ``-``.
        """
        if not _NAME.fullmatch(name):
            raise ValueError("no name for a recording")
        return self._directory / f"{name}.wav"

    def record(self, name: str, now: float) -> Recording:
        """Begin a recording, at ``now`` on the clock of the frames to come.

        :raises ValueError: as :meth:`path`.
        """
        recording = Recording(self.path(name), self._queue, self._room)
        self._queue.append((recording, _START, 0, b"", "", now))
        return recording

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Write down what has come, complete all files, end the thread."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(10.0)
        else:
            self._finish()

    # --- in the recorder's thread

    def _run(self) -> None:
        while not self._closing.wait(WAKE):
            self.work()
        self._finish()

    def _finish(self) -> None:
        self.work()
        for recording in list(self._open):
            self._end(recording, self._clock())

    def work(self) -> None:
        """Write what has come by now. The thread does this several times a second."""
        for _ in range(len(self._queue)):
            recording, side, timestamp, payload, encoding, now = self._queue.popleft()
            if side == _START:
                self._begin(recording, now)
            elif side == _STOP:
                self._end(recording, now)
            elif recording in self._open:
                self._open[recording][0].frame(side, timestamp, payload, encoding, now)
        now = self._clock()
        for recording in list(self._open):
            self._write(recording, now)
        if now - self._tidied >= TIDY:
            self._tidied = now
            self._tidy()

    def _begin(self, recording: Recording, now: float) -> None:
        part = f"{recording.path}{_PART}"
        try:
            if recording.path.exists():
                raise FileExistsError(errno.EEXIST, "there is a recording of this name")
            # Nobody else's business.
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            writer = StereoWriter(os.fdopen(descriptor, "wb"), self._most_bytes)
        except OSError as error:
            self._fail(recording, error)
        else:
            self._open[recording] = Mixer(now), writer

    def _write(self, recording: Recording, now: float, ending: bool = False) -> None:
        mixer, writer = self._open[recording]
        try:
            while piece := mixer.take(now, ending):
                if not writer.write(piece):
                    recording.full = True
            recording.seconds = writer.seconds
        except OSError as error:
            del self._open[recording]
            with suppress(OSError):  # it has failed already; this gives the file back
                writer.close()
            with suppress(OSError):  # else it is tried again at the next start
                _rescue(Path(f"{recording.path}{_PART}"))
            self._fail(recording, error)

    def _end(self, recording: Recording, now: float) -> None:
        if recording in self._open:
            self._write(recording, now, ending=True)
        entry = self._open.pop(recording, None)
        if entry is None:
            return
        try:
            entry[1].close()
            os.replace(f"{recording.path}{_PART}", recording.path)
        except OSError as error:
            self._fail(recording, error)
        else:
            recording.ended.set()

    def _fail(self, recording: Recording, error: OSError) -> None:
        log.error("the recording %s has failed: %s", recording.path.name, error)
        recording.error = error.strerror or str(error)
        recording.ended.set()

    def _tidy(self) -> None:
        """Delete what is too old, and the oldest of what is too much."""
        files = []
        for path in self._directory.glob("*.wav"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        oldest_kept = self._wall_clock() - self._keep
        for changed, size, path in sorted(files):
            if changed >= oldest_kept and total <= self._most_total:
                break
            path.unlink(missing_ok=True)
            total -= size
            log.info(
                "the recording %s was deleted: it was too old, or there were too many", path.name
            )


def _rescue(part: Path) -> None:
    """Complete a file whose process has died: what there is of the call is good."""
    if part.stat().st_size <= StereoWriter.HEADER:
        part.unlink()
        return
    recover(part)
    os.replace(part, part.with_suffix(""))
