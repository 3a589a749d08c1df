"""What a leg can be played: call progress tones of many countries, signals of our own, and audio from files.

Everything is made once, as G.711 frames of 20 ms, and then only copied. Pure.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sipstack.media.g711 import encode
from sipstack.media.wav import Clip

RATE = 8000
#: Samples in a frame of 20 ms.
FRAME = 160
#: Each tone's amplitude on the 16-bit scale, about -16 dBm0 for one of two frequencies.
AMPLITUDE = 4500
#: Samples in which a tone comes and goes, so that it does not click.
RAMP = 32
#: How deep one frequency is modulated by another.
DEPTH = 0.9
#: What G.711 has for silence.
SILENCE = {"PCMU": b"\xff" * FRAME, "PCMA": b"\xd5" * FRAME}


class Source(Protocol):
    """Something to play: hashable, and cheap to compare."""

    @property
    def repeats(self) -> bool:
        """Whether it begins anew after its last frame, or ends there."""
        ...

    def frames(self, encoding: str) -> tuple[bytes, ...]:
        """All of it, or one whole period, as 20 ms payloads of ``PCMU`` or ``PCMA``: 160 octets each."""
        ...


@dataclass(frozen=True, slots=True)
class Tone:
    """A tone: frequencies in Hz that sound together, and (on, off) seconds that follow one another.

    ``modulation``, in Hz, swells each frequency so many times a second, as in the 400×25 of some countries.
    """

    frequencies: tuple[float, ...]
    cadence: tuple[tuple[float, float], ...]
    modulation: float = 0.0
    repeats: bool = True

    def samples(self) -> list[int]:
        """One period on the 16-bit scale."""
        samples: list[int] = []
        for on, off in self.cadence:
            count = round(on * RATE)
            for index in range(count):
                moment = len(samples) / RATE
                level = sum(math.sin(2 * math.pi * f * moment) for f in self.frequencies)
                if self.modulation:
                    swell = math.cos(2 * math.pi * self.modulation * moment)
                    level *= (1 + DEPTH * swell) / (1 + DEPTH)
                ramp = min(1.0, (index + 1) / RAMP, (count - index) / RAMP)
                samples.append(round(AMPLITUDE * level * ramp))
            samples += [0] * round(off * RATE)
        return samples

    def frames(self, encoding: str) -> tuple[bytes, ...]:
        """As many periods as it takes to fill whole frames; the caller repeats them."""
        return _periodic(self.samples(), encoding, self.repeats)


@dataclass(frozen=True, slots=True)
class Melody:
    """Tones one after the other, each for one period."""

    tones: tuple[Tone, ...]
    repeats: bool = True

    def frames(self, encoding: str) -> tuple[bytes, ...]:
        """As many periods as it takes to fill whole frames; the caller repeats them."""
        samples = [sample for tone in self.tones for sample in tone.samples()]
        return _periodic(samples, encoding, self.repeats)


@dataclass(frozen=True, slots=True)
class Playback:
    """Audio from a file: an announcement, or music that ``repeats``."""

    clip: Clip
    repeats: bool = False

    def frames(self, encoding: str) -> tuple[bytes, ...]:
        """All of it, the last frame filled up with silence."""
        return _cut(self.clip.octets(encoding), encoding)


def _periodic(samples: list[int], encoding: str, repeats: bool) -> tuple[bytes, ...]:
    octets = encode(samples, encoding)
    if repeats:
        # No cadence is stretched by the rest of a frame.
        octets *= FRAME // math.gcd(len(octets), FRAME)
    return _cut(octets, encoding)


def _cut(octets: bytes, encoding: str) -> tuple[bytes, ...]:
    octets += SILENCE[encoding][: -len(octets) % FRAME]
    return tuple(octets[i : i + FRAME] for i in range(0, len(octets), FRAME))


@dataclass(frozen=True, slots=True)
class TonePlan:
    """The tones of a country's telephone network."""

    ringback: Tone
    busy: Tone
    congestion: Tone | Melody


_Cadence = tuple[float, ...]


def _plan(
    pitch: tuple[float, ...],
    ringback: _Cadence,
    busy: _Cadence,
    congestion: _Cadence,
    *,
    busy_pitch: tuple[float, ...] = (),
    congestion_pitches: tuple[float, ...] = (),
    modulation: float = 0.0,
) -> TonePlan:
    """A plan from seconds on and off.

    ``busy_pitch`` where busy and congestion sound other than ringback; ``congestion_pitches`` where congestion has
    several in turn, each for its cadence once.
    """

    def pairs(seconds: _Cadence) -> tuple[tuple[float, float], ...]:
        return tuple(zip(seconds[::2], seconds[1::2], strict=True))

    low = busy_pitch or pitch
    return TonePlan(
        Tone(pitch, pairs(ringback), modulation),
        Tone(low, pairs(busy)),
        Melody(tuple(Tone((each,), pairs(congestion)) for each in congestion_pitches))
        if congestion_pitches
        else Tone(low, pairs(congestion)),
    )


_425 = (425.0,)
_HALF, _QUARTER, _FIFTH = (0.5, 0.5), (0.25, 0.25), (0.2, 0.2)
_ONE_FOUR, _ONE_FIVE, _DOUBLE = (1.0, 4.0), (1.0, 5.0), (0.4, 0.2, 0.4, 2.0)

#: By the country's letters, from ITU-T E.180 supplement 2 and the operators' own specifications (uk: BT SIN 350,
#: au: AS/CA S002, nz: TNA 102). ``eu`` is what ETSI recommends and most of Europe has. They are those of Asterisk's
#: indications.conf where it has the country: also the two pitches of au's congestion, by which it is told from busy.
#: jp is written 400+15 there; what is meant are 400 Hz that swell 15 to 20 times a second, which 16 are.
PLANS: Mapping[str, TonePlan] = {
    "at": _plan((420.0,), _ONE_FIVE, (0.4, 0.4), _FIFTH),
    "au": _plan(
        (413.0, 438.0),
        _DOUBLE,
        (0.375,) * 2,
        (0.375,) * 2,
        busy_pitch=_425,
        congestion_pitches=(425.0, 420.0),
    ),
    "be": _plan(_425, (1.0, 3.0), _HALF, (0.167, 0.167)),
    "br": _plan(_425, _ONE_FOUR, _QUARTER, (0.25, 0.25, 0.75, 0.25)),
    "ca": _plan((440.0, 480.0), (2.0, 4.0), _HALF, _QUARTER, busy_pitch=(480.0, 620.0)),
    "ch": _plan(_425, _ONE_FOUR, _HALF, _FIFTH),
    "cn": _plan((450.0,), _ONE_FOUR, (0.35, 0.35), (0.7, 0.7)),
    "cz": _plan(_425, _ONE_FOUR, (0.33, 0.33), (0.165, 0.165)),
    "de": _plan(_425, _ONE_FOUR, (0.48, 0.48), (0.24, 0.24)),
    "dk": _plan(_425, _ONE_FOUR, _HALF, _FIFTH),
    "es": _plan(_425, (1.5, 3.0), _FIFTH, (0.2, 0.2, 0.2, 0.2, 0.2, 0.6)),
    "eu": _plan(_425, _ONE_FOUR, _HALF, _QUARTER),
    "fi": _plan(_425, _ONE_FOUR, (0.3, 0.3), _FIFTH),
    "fr": _plan((440.0,), (1.5, 3.5), _HALF, _QUARTER),
    "gr": _plan(_425, _ONE_FOUR, (0.3, 0.3), _FIFTH),
    "hu": _plan(_425, (1.25, 3.75), (0.3, 0.3), (0.3, 0.3)),
    "ie": _plan((400.0, 450.0), _DOUBLE, _HALF, _QUARTER, busy_pitch=_425),
    "in": _plan((400.0,), _DOUBLE, (0.75, 0.75), _QUARTER, modulation=25.0),
    "it": _plan(_425, _ONE_FOUR, _HALF, _FIFTH),
    "jp": _plan((400.0,), (1.0, 2.0), _HALF, _HALF, modulation=16.0),
    "mx": _plan(_425, _ONE_FOUR, _QUARTER, _QUARTER),
    "nl": _plan(_425, _ONE_FOUR, _HALF, _QUARTER),
    "no": _plan(_425, _ONE_FOUR, _HALF, _FIFTH),
    "nz": _plan((400.0, 450.0), _DOUBLE, _HALF, _QUARTER, busy_pitch=(400.0,)),
    "pl": _plan(_425, _ONE_FOUR, _HALF, _HALF),
    "pt": _plan(_425, _ONE_FIVE, _HALF, _FIFTH),
    "se": _plan(_425, _ONE_FIVE, _QUARTER, (0.25, 0.75)),
    "sg": _plan(_425, _DOUBLE, (0.75, 0.75), _QUARTER, modulation=24.0),
    "uk": _plan(
        (400.0, 450.0), _DOUBLE, (0.375,) * 2, (0.4, 0.35, 0.225, 0.525), busy_pitch=(400.0,)
    ),
    "us": _plan((440.0, 480.0), (2.0, 4.0), _HALF, _QUARTER, busy_pitch=(480.0, 620.0)),
    "za": _plan((400.0,), _DOUBLE, _HALF, _QUARTER, modulation=33.0),
}
RINGBACK = {name: plan.ringback for name, plan in PLANS.items()}
BUSY = {name: plan.busy for name, plan in PLANS.items()}
CONGESTION = {name: plan.congestion for name, plan in PLANS.items()}

#: That the call is recorded: 1400 Hz, as the warning tones of most countries, once.
BEEP = Tone((1400.0,), ((0.4, 0.1),), repeats=False)

#: "Press a key": three rising notes (C, E, G) and a pause, again and again. No tone plan sounds like it, and it has no
#: frequency of DTMF.
PRESS_A_KEY = Melody(
    (
        *(Tone((frequency,), ((0.16, 0.04),)) for frequency in (523.25, 659.25, 783.99)),
        Tone((), ((0.0, 1.8),)),
    )
)


def named(name: str, clips: Mapping[str, Clip]) -> Source | None:
    """The ringback of this name: a country's, else the file of this name, which then repeats; ``None``: there is none.

    ``clips`` are the files that were loaded, so that whoever may choose the name can choose nothing else.
    """
    plan = PLANS.get(name.lower())
    if plan is not None:
        return plan.ringback
    clip = clips.get(name)
    return None if clip is None else Playback(clip, repeats=True)
