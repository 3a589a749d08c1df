"""Which tones are in a piece of audio: Goertzel's filter. Pure."""

import math
from collections.abc import Sequence


def strength(samples: Sequence[float], frequency: float, rate: int = 8000) -> float:
    """The share of the samples' energy, 0 to 1, that is at ``frequency`` Hz; 0 for silence."""
    count = len(samples)
    energy = sum(sample * sample for sample in samples)
    if not count or not energy:
        return 0.0
    coefficient = 2 * math.cos(2 * math.pi * frequency / rate)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + coefficient * last - before
    power = last * last + before * before - coefficient * last * before
    return min(1.0, 2 * power / (count * energy))


def hears(samples: Sequence[float], frequency: float, rate: int = 8000) -> bool:
    """Whether a tone of ``frequency`` is the greater part of some tenth of a second of the samples."""
    window = rate // 10
    return any(
        strength(samples[start : start + window], frequency, rate) > 0.5
        for start in range(0, len(samples) - window + 1, window)
    )
