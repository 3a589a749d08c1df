"""What came in of a call's audio: kept, written to a file, and asked for tones."""

import wave
from array import array
from pathlib import Path

from c2c_sip.lab.listening import hears
from sipstack.media.recording import Mixer

RATE = 8000
#: Payloads that are kept: an hour of them.
MOST = 180_000


class Ear:
    """Hears one call. :meth:`packet` is called in the thread of the audio, all else when the call is over."""

    def __init__(self) -> None:
        self._packets: list[tuple[int, bytes, str, float]] = []

    def packet(self, timestamp: int, payload: bytes, encoding: str, now: float) -> None:
        """A packet of the peer's, see :data:`sipstack.media.plane.Tap`."""
        if len(self._packets) < MOST:
            self._packets.append((timestamp, payload, encoding, now))

    def samples(self) -> bytes:
        """All of it from the first packet on, gaps as silence: 16 bits, little-endian, 8 kHz."""
        if not self._packets:
            return b""
        mixer = Mixer(self._packets[0][3])
        pieces: list[bytes] = []
        now = self._packets[0][3]
        for timestamp, payload, encoding, now in self._packets:
            mixer.frame(0, timestamp, payload, encoding, now)
            pieces.append(mixer.take(now))
        last = len(self._packets[-1][1]) / RATE
        while piece := mixer.take(now + last, ending=True):
            pieces.append(piece)
        both = b"".join(pieces)
        left = bytearray(len(both) // 2)
        left[0::2], left[1::2] = both[0::4], both[1::4]
        return bytes(left)

    def heard(self, frequency: float) -> bool:
        """Whether a tone of ``frequency`` Hz was the greater part of some tenth of a second."""
        samples = array("h")
        samples.frombytes(self.samples())
        return hears(samples, frequency)

    def write(self, path: str | Path) -> None:
        """Write it to a WAV file.

        :raises OSError: it cannot be written.
        """
        with wave.open(str(path), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(RATE)
            out.writeframes(self.samples())
