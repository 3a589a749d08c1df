"""Keys pressed during a call: as telephone events in RTP (:rfc:`4733`), as tones, and in bodies of SIP INFO. Pure."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from sipstack.media.tones import FRAME, Tone

#: The keys by the number of their event (§3.2), and the hook flash as ``!``.
KEYS = "0123456789*#ABCD!"
#: How often the end of an event is sent, against loss (§2.5.1.4).
ENDS = 3
#: Seconds that a key is sent for, where nobody says how long, and seconds between two keys.
PRESSED, PAUSE = 0.1, 0.06
#: Seconds that a key in an INFO may be pressed for.
SHORTEST, LONGEST = 0.04, 5.0

_EVENT = struct.Struct("!BBH")


class KeyReader:
    """Reads the keys from the telephone events of one source (SSRC), each once.

    A key counts when the first packet of its event comes: whether later ones are lost, or come again, does not matter.
    """

    __slots__ = ("_duration", "_ended", "_event", "_timestamp")

    def __init__(self) -> None:
        self._event = -1
        self._timestamp = self._duration = 0
        self._ended = True

    def packet(self, payload: bytes | memoryview, timestamp: int) -> str | None:
        """Take a packet's payload and its RTP timestamp, which is when the event began; the key, if it is a new one."""
        if len(payload) < _EVENT.size:
            return None
        event, flags, duration = _EVENT.unpack_from(payload)
        ended = bool(flags & 0x80)
        ahead = (timestamp - self._timestamp) & 0xFFFFFFFF
        if self._event >= 0:
            if ahead == 0 and event == self._event:
                self._duration = max(self._duration, duration)
                self._ended = self._ended or ended
                return None
            if ahead >= 0x80000000:
                return None  # of an event before this one, come late
            if event == self._event and not self._ended and ahead <= self._duration:
                # It goes on in a segment of its own (§2.5.1.3), or its sender lets the timestamp run along.
                self._timestamp, self._duration, self._ended = timestamp, duration, ended
                return None
        self._event, self._timestamp = event, timestamp
        self._duration, self._ended = duration, ended
        return KEYS[event] if event < len(KEYS) else None


@dataclass(frozen=True, slots=True)
class EventPacket:
    """One packet of an event. ``first`` ones set the marker and have a timestamp of their own time; all others of the
    event repeat that timestamp. Each has a sequence number of its own.
    """

    payload: bytes
    first: bool


def events(
    keys: Iterable[str], seconds: float = PRESSED, volume: int = 10
) -> Iterator[EventPacket | None]:
    """The packets that press ``keys``, one for each frame of 20 ms; ``None`` where nothing is sent in a frame.

    ``volume`` is in dBm0 below zero, 0 to 63. What is no key is passed over.
    """
    for key in keys:
        event = KEYS.find(key.upper()) if len(key) == 1 else -1
        if event < 0:
            continue
        frames = max(1, round(min(seconds, LONGEST) * 50))
        for frame in range(1, frames):
            payload = _EVENT.pack(event, volume & 0x3F, frame * FRAME)
            yield EventPacket(payload, first=frame == 1)
        end = _EVENT.pack(event, 0x80 | volume & 0x3F, frames * FRAME)
        for count in range(ENDS):
            yield EventPacket(end, first=frames == 1 and count == 0)
        for _ in range(round(PAUSE * 50)):
            yield None


#: The two frequencies in Hz of each key that has some (ITU-T Q.23): a row's and a column's.
PITCHES: dict[str, tuple[float, float]] = {
    key: (row, column)
    for row, keys in zip(
        (697.0, 770.0, 852.0, 941.0), ("123A", "456B", "789C", "*0#D"), strict=True
    )
    for column, key in zip((1209.0, 1336.0, 1477.0, 1633.0), keys, strict=True)
}


@dataclass(frozen=True, slots=True)
class ToneFrame:
    """20 ms of a key as it sounds, by encoding: for who takes no events."""

    payloads: Mapping[str, bytes]
    first: bool


@cache
def tones(key: str) -> tuple[ToneFrame, ...]:
    """A key and the pause behind it as they sound; nothing for what has no tone."""
    pitches = PITCHES.get(key.upper())
    if pitches is None:
        return ()
    tone = Tone(pitches, ((PRESSED, PAUSE),), repeats=False)
    laws = zip(tone.frames("PCMU"), tone.frames("PCMA"), strict=True)
    return tuple(
        ToneFrame({"PCMU": ulaw, "PCMA": alaw}, first=number == 0)
        for number, (ulaw, alaw) in enumerate(laws)
    )


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and how long it was pressed in seconds."""

    character: str
    seconds: float = PRESSED


def from_info(content_type: str, body: bytes) -> Key | None:
    """The key in the body of a SIP INFO, of the types application/dtmf-relay and application/dtmf; else ``None``.

    Neither type was ever standardised. The first has lines ``Signal=5`` and ``Duration=160`` (milliseconds), the second
    is the key alone. A key is its character, or the number of its event.
    """
    kind = content_type.partition(";")[0].strip().lower()
    text = body[:256].decode("latin-1")
    if kind == "application/dtmf":
        character = _key(text)
        return Key(character) if character else None
    if kind != "application/dtmf-relay":
        return None
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.replace(":", "=", 1).partition("=")
        values.setdefault(name.strip().lower(), value.strip())
    character = _key(values.get("signal", ""))
    if not character:
        return None
    duration = values.get("duration", "")
    if duration.isascii() and duration.isdigit() and len(duration) < 7:
        return Key(character, min(max(int(duration) / 1000, SHORTEST), LONGEST))
    return Key(character)


def to_info(key: Key) -> tuple[str, bytes]:
    """The type and the body of a SIP INFO with a key in it."""
    milliseconds = round(key.seconds * 1000)
    return (
        "application/dtmf-relay",
        f"Signal={key.character}\r\nDuration={milliseconds}\r\n".encode(),
    )


def _key(text: str) -> str:
    text = text.strip().upper()
    if len(text) == 1 and text in KEYS:
        return text
    if text.isascii() and text.isdigit() and len(text) == 2 and int(text) < len(KEYS):
        return KEYS[int(text)]
    return "!" if text == "FLASH" else ""
