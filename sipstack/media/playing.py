"""What lines are played and the keys that are sent for them, frame by frame: for the relay, in its thread."""

from collections.abc import Callable, Mapping

from sipstack.media.dtmf import ToneFrame, events, tones
from sipstack.media.line import HEADER, MARKER, Line, Played
from sipstack.media.tones import FRAME, RATE
from sipstack.sdp import Codec

#: Seconds of a frame.
TICK = FRAME / RATE
#: What is played is sent in this many groups, so that a thousand tones do not hold up what is relayed.
GROUPS = 20
#: Frames sent late in one go after a stall; beyond that they are skipped, as the ear would skip them.
CATCH_UP = 5
#: Keys that may wait to be sent to one leg, in frames.
MOST_PRESSED = 1000
EVENT = "telephone-event"

#: The frames of a source by the names of the encodings.
Frames = Mapping[str, tuple[bytes, ...]]


class Player:
    """Sends each line its frames in time; ``ended`` is told whose packets the peer of a line can be sent again.

    ``soon`` is asked, each time that there is something to be played, when that is to begin.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        ended: Callable[[Line], None],
        soon: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._soon = soon
        self._ended = ended
        self._sources: dict[Played, Frames] = {}
        self._groups: list[dict[Line, None]] = [{} for _ in range(GROUPS)]
        #: Lines that are played something.
        self.playing = 0
        #: When the first group's first frame was due, and the groups that have had their turn since.
        self._epoch = 0.0
        self._moment = 0

    def learn(self, source: Played, frames: Frames) -> None:
        """What a source sounds like in every encoding."""
        self._sources[source] = frames

    def forget(self, source: Played) -> None:
        """It will not be begun any more."""
        self._sources.pop(source, None)

    def begin(self, line: Line, source: Played | None) -> None:
        """Play this from its beginning, and nothing else; ``None``: nothing."""
        self.silence(line)
        if source is not None:
            line.source, line.position = source, 0
            line.sound = self._sources[source]
            self.sound(line)

    def takes_keys(self, line: Line) -> bool:
        """Whether the peer can be told of keys: by events, or by their tones where it takes none."""
        return _event_type(line) is not None or _voice(line) is not None

    def press(self, line: Line, keys: str) -> bool:
        """Send keys to the peer; whether it takes them."""
        if len(line.pressing) >= MOST_PRESSED:
            return False
        if _event_type(line) is not None:
            line.pressing.extend(events(keys))
        elif _voice(line) is not None:
            line.pressing.extend(frame for key in keys for frame in tones(key))
        else:
            return False
        self.sound(line)
        return True

    @property
    def due(self) -> float:
        """When the next frame is, while there is one."""
        # Nobody is to be sent anything for the groups that are empty: one tone wakes up 50 times a second.
        groups = self._groups
        for moment in range(self._moment, self._moment + GROUPS):
            if groups[moment % GROUPS]:
                break
        return self._epoch + moment * TICK / GROUPS

    def sound(self, line: Line) -> None:
        """Have played what the line is to play, in an encoding that the peer takes, if there is one."""
        self._quiet(line)
        if line.remote is None:
            return
        if line.source is not None:
            codec = _voice(line)
            if codec is not None:
                line.frames = line.sound[codec.name.upper()]
                line.repeats = line.source.repeats
                line.kind = codec.payload_type
        if not line.frames and not line.pressing:
            return
        line.fresh = True
        begins = self._soon()
        if not self.playing:
            self._epoch, self._moment = begins, 0
        self.playing += 1
        # Its first frame is due by then, and not when the last one of another line was.
        line.group = self._group(max(self._moment, self._moments(begins)))
        line.group[line] = None

    def sounds_right(self, line: Line) -> bool:
        """Whether the peer takes what it is played as it is: to begin anew would be heard."""
        remote = line.remote
        codec = (
            next((c for c in remote.codecs if c.payload_type == line.kind), None)
            if remote
            else None
        )
        frames = line.sound.get(codec.name.upper()) if codec is not None else None
        return line.group is not None and line.frames is frames

    def silence(self, line: Line) -> None:
        """Play nothing any more; keys that are being sent go on."""
        line.source, line.sound, line.until_media = None, {}, False
        self._quiet(line)
        if line.pressing:
            self.sound(line)

    def _quiet(self, line: Line) -> None:
        line.frames, line.repeats = (), False
        if line.group is not None:
            del line.group[line]
            line.group = None
            self.playing -= 1

    def _moments(self, now: float) -> int:
        """The moments since the first one."""
        return int((now - self._epoch) * GROUPS / TICK)

    def _group(self, moment: int) -> dict[Line, None]:
        """Who is sent a frame at a moment."""
        return self._groups[moment % GROUPS]

    def play(self, now: float) -> None:
        """Send what is due, on an absolute schedule so that nothing drifts."""
        due = self._moments(now) + 1
        laps = (due - self._moment) // GROUPS - CATCH_UP
        if laps > 0:
            self._moment += laps * GROUPS
            for group in self._groups:
                for line in group:
                    line.timestamp = (line.timestamp + laps * FRAME) & 0xFFFFFFFF
                    line.position += laps
        while self._moment < due:
            for line in list(self._group(self._moment)):
                self._play_frame(line, now)
            self._moment += 1

    def _play_frame(self, line: Line, now: float) -> None:
        step, marker = FRAME, 0
        if line.fresh:
            line.fresh = False
            line.rate = RATE
            line.sent_codec = line.sent_codec or "PCMU"
            step, marker = line.elapsed(now), MARKER
            if line.other is not None:
                line.other.passing = -1
        line.timestamp = (line.timestamp + step) & 0xFFFFFFFF
        if line.pressing:
            self._press_frame(line, marker, now)
        else:
            payload = line.frames[line.position % len(line.frames)]
            line.position += 1
            self._send_frame(line, line.kind | marker, line.timestamp, payload, now)
        if not line.pressing and not line.repeats and line.position >= len(line.frames):
            # That was all; what the other leg sends is heard again.
            self.silence(line)
            if line.other is not None:
                self._ended(line.other)

    def _press_frame(self, line: Line, marker: int, now: float) -> None:
        event = line.pressing.popleft()
        if isinstance(event, ToneFrame):
            codec = _voice(line)
            if codec is not None:
                lead = codec.payload_type | (MARKER if event.first else marker)
                self._send_frame(
                    line, lead, line.timestamp, event.payloads[codec.name.upper()], now
                )
            return
        kind = _event_type(line)
        if event is None or kind is None:
            return
        if event.first:
            line.pressed_at = line.timestamp
        lead = kind | (MARKER if event.first else 0)
        self._send_frame(line, lead, line.pressed_at, event.payload, now)

    def _send_frame(
        self, line: Line, lead: int, timestamp: int, payload: bytes, now: float
    ) -> None:
        # Only what is sent has a number: a peer that was on hold would count the rest as lost.
        if line.destination is not None:
            line.sequence = (line.sequence + 1) & 0xFFFF
            packet = HEADER.pack(0x8000 | lead, line.sequence, timestamp, line.ssrc) + payload
            line.send(packet, len(packet), now)


def _voice(line: Line) -> Codec | None:
    """The G.711 that the peer takes, if it takes any: all that we can say something in."""
    for codec in line.remote.codecs if line.remote is not None else ():
        if codec.name.upper() in ("PCMU", "PCMA"):
            return codec
    return None


def _event_type(line: Line) -> int | None:
    """The number of telephone events in what the peer takes."""
    codecs = line.remote.codecs if line.remote is not None else ()
    return next((codec.payload_type for codec in codecs if codec.name == EVENT), None)
