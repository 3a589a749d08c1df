"""Call progress tones (ITU-T E.180 supplement 2), made once as G.711 frames and then only copied."""

import math
from dataclasses import dataclass

from sipstack.media.g711 import ULAW_TO_ALAW, linear_to_ulaw

RATE = 8000
#: Samples in a frame of 20 ms.
FRAME = 160
#: Each tone's amplitude on the 16-bit scale, about -16 dBm0 for one of two frequencies.
AMPLITUDE = 4500
#: What G.711 has for silence.
SILENCE = {"PCMU": b"\xff" * FRAME, "PCMA": b"\xd5" * FRAME}


@dataclass(frozen=True, slots=True)
class Tone:
    """A tone: frequencies in Hz that sound together, and (on, off) seconds that repeat."""

    frequencies: tuple[float, ...]
    cadence: tuple[tuple[float, float], ...]

    def frames(self, encoding: str) -> tuple[bytes, ...]:
        """One whole period as 20 ms payloads of ``PCMU`` or ``PCMA``; the caller repeats them."""
        samples = bytearray()
        position = 0
        for on, off in self.cadence:
            for _ in range(round(on * RATE)):
                moment = position / RATE
                level = sum(math.sin(2 * math.pi * f * moment) for f in self.frequencies)
                samples.append(linear_to_ulaw(round(AMPLITUDE * level)))
                position += 1
            silent = round(off * RATE)
            samples += SILENCE["PCMU"][:1] * silent
            position += silent
        samples += SILENCE["PCMU"][:1] * (-len(samples) % FRAME)
        octets = bytes(samples)
        if encoding == "PCMA":
            octets = octets.translate(ULAW_TO_ALAW)
        return tuple(octets[i : i + FRAME] for i in range(0, len(octets), FRAME))


RINGBACK = {
    "us": Tone((440.0, 480.0), ((2.0, 4.0),)),
    "uk": Tone((400.0, 450.0), ((0.4, 0.2), (0.4, 2.0))),
    "eu": Tone((425.0,), ((1.0, 4.0),)),
}
BUSY = {
    "us": Tone((480.0, 620.0), ((0.5, 0.5),)),
    "uk": Tone((400.0,), ((0.375, 0.375),)),
    "eu": Tone((425.0,), ((0.5, 0.5),)),
}
CONGESTION = {
    "us": Tone((480.0, 620.0), ((0.25, 0.25),)),
    "uk": Tone((400.0,), ((0.4, 0.35), (0.225, 0.525))),
    "eu": Tone((425.0,), ((0.25, 0.25),)),
}
