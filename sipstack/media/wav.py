"""WAV files: audio to play read from them and made into 8 kHz mono, and calls written into them.

Reading is pure, apart from :func:`load`. A file is whatever somebody found somewhere: what its header claims is checked
against what is there, and its size and the work that it makes are bounded.
"""

import math
import os
import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from typing import BinaryIO

from sipstack.media.g711 import ALAW_TO_ULAW, ULAW_TO_ALAW, decode, encode

RATE = 8000
#: The largest file that is read, in bytes.
MOST_BYTES = 64 << 20
#: The longest audio that is kept, in seconds.
MOST_SECONDS = 600.0
#: Multiplications that the conversion of one file may take: some ten seconds.
MOST_WORK = 200_000_000
MOST_CHUNKS = 200
MOST_CHANNELS = 8
RATES = (4000, 192000)

_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_NAMES = {2: "MS ADPCM", 17: "IMA ADPCM", 49: "GSM 6.10", 85: "MP3"}


class WavError(ValueError):
    """A file that cannot be played; the text says why."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Audio at 8 kHz, mono, in both laws, one octet a sample."""

    ulaw: bytes
    alaw: bytes

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return len(self.ulaw) / RATE

    def octets(self, encoding: str) -> bytes:
        """All of it as ``PCMU`` or ``PCMA``.

        :raises KeyError: another encoding.
        """
        return {"PCMU": self.ulaw, "PCMA": self.alaw}[encoding]


def load(path: str | Path) -> Clip:
    """The audio of a file.

    :raises WavError: it is none that can be played.
    :raises OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        octets = file.read(MOST_BYTES + 1)
    return read(octets)


def load_directory(directory: str | Path) -> tuple[dict[str, Clip], dict[str, str]]:
    """The clips of all ``*.wav`` files of a directory by their names without the ending, and why others are not there.

    :raises OSError: there is no such directory.
    """
    clips: dict[str, Clip] = {}
    refused: dict[str, str] = {}
    for path in sorted(Path(directory).iterdir()):
        if path.suffix.lower() == ".wav":
            try:
                clips[path.stem] = load(path)
            except (WavError, OSError) as error:
                refused[path.name] = str(error)
    return clips, refused


def read(octets: bytes) -> Clip:
    """The audio of a WAV file's octets. G.711 at 8 kHz mono is kept bit by bit, anything else converted.

    Understood are PCM of 8, 16, 24 and 32 bits, floats of 32 and 64 bits, µ-law and A-law, of up to 8 channels (mixed
    into one) and any common rate.

    :raises WavError: it is no such file, or too large.
    """
    kind, channels, rate, bits, sound = _checked(octets)
    if kind in (_ULAW, _ALAW) and (channels, rate) == (1, RATE):
        if kind == _ULAW:
            return Clip(sound, sound.translate(ULAW_TO_ALAW))
        return Clip(sound.translate(ALAW_TO_ULAW), sound)
    samples = _mixed(_samples(kind, bits, sound), channels)
    if rate != RATE:
        samples = resample(samples, rate)
    return Clip(encode(samples, "PCMU"), encode(samples, "PCMA"))


def check(octets: bytes) -> None:
    """Whether :func:`read` can read it, without doing the work.

    :raises WavError: it can't.
    """
    _, channels, rate, bits, sound = _checked(octets)
    if rate != RATE:
        _conversion(rate, len(sound) * 8 // (bits * channels))


def _checked(octets: bytes) -> tuple[int, int, int, int, bytes]:
    """Format, channels, rate and bits of a sample, and the sound, whole samples of it."""
    if len(octets) > MOST_BYTES:
        raise WavError(f"larger than {MOST_BYTES >> 20} MiB")
    kind, channels, rate, bits, sound = _chunks(octets)
    if not 1 <= channels <= MOST_CHANNELS:
        raise WavError(f"{channels} channels; 1 to {MOST_CHANNELS} can be mixed")
    if not RATES[0] <= rate <= RATES[1]:
        raise WavError(f"{rate} Hz; {RATES[0]} to {RATES[1]} can be converted")
    if (kind, bits) not in _BITS:
        name = _NAMES.get(kind, f"format {kind}")
        raise WavError(
            f"{name} of {bits} bits; PCM, floats, µ-law and A-law can be played"
            if kind not in (_PCM, _FLOAT, _ALAW, _ULAW)
            else f"samples of {bits} bits"
        )
    block = channels * bits // 8
    sound = sound[: len(sound) // block * block]
    if not sound:
        raise WavError("there is no sound in it")
    if len(sound) // block > MOST_SECONDS * rate:
        raise WavError(f"longer than {MOST_SECONDS:.0f} s")
    return kind, channels, rate, bits, sound


_BITS = {
    (_PCM, 8),
    (_PCM, 16),
    (_PCM, 24),
    (_PCM, 32),
    (_FLOAT, 32),
    (_FLOAT, 64),
    (_ULAW, 8),
    (_ALAW, 8),
}


def _chunks(octets: bytes) -> tuple[int, int, int, int, bytes]:
    """Format, channels, rate and bits of a sample, and the sound."""
    if octets[8:12] != b"WAVE" or octets[:4] != b"RIFF":
        if octets[:4] in (b"RIFX", b"RF64"):
            raise WavError(f"a WAV file of the kind {octets[:4].decode()}, not RIFF")
        raise WavError("not a WAV file")
    header: tuple[int, int, int, int] | None = None
    at = 12
    for _ in range(MOST_CHUNKS):
        if at + 8 > len(octets):
            break
        name, size = struct.unpack_from("<4sI", octets, at)
        at += 8
        if name == b"fmt ":
            header = _format(octets[at : at + min(size, 40)])
        elif name == b"data":
            if header is None:
                raise WavError("sound before its format")
            # A writer that could not go back has left a size that is too large: what is there counts.
            return *header, octets[at : at + size]
        at += size + (size & 1)
    raise WavError("no sound in it" if header else "no format in it")


def _format(chunk: bytes) -> tuple[int, int, int, int]:
    if len(chunk) < 16:
        raise WavError("malformed format")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind == _EXTENSIBLE and len(chunk) >= 26:
        (kind,) = struct.unpack_from("<H", chunk, 24)
    return kind, channels, rate, bits


def _samples(kind: int, bits: int, sound: bytes) -> Sequence[int]:
    """All channels' 16-bit samples. Of longer integers the upper 16 bits are taken: G.711 keeps fewer."""
    if kind == _FLOAT:
        floats = array("f" if bits == 32 else "d")
        floats.frombytes(sound)
        if sys.byteorder == "big":
            floats.byteswap()
        return array("h", map(_from_float, floats))
    if kind in (_ULAW, _ALAW):
        sound = decode(sound, "PCMU" if kind == _ULAW else "PCMA")
    elif bits != 16:
        width = bits // 8
        upper = bytearray(2 * len(sound) // width)
        if width == 1:
            # The only unsigned ones: 128 is silence.
            upper[1::2] = sound.translate(bytes(octet ^ 0x80 for octet in range(256)))
        else:
            upper[0::2], upper[1::2] = sound[width - 2 :: width], sound[width - 1 :: width]
        sound = bytes(upper)
    samples = array("h")
    samples.frombytes(sound)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _from_float(value: float) -> int:
    # Neither a NaN nor an infinity passes the comparison as it is.
    return round(value * 32767) if -1.0 <= value <= 1.0 else 32767 * ((value > 1) - (value < -1))


def _mixed(samples: Sequence[int], channels: int) -> Sequence[int]:
    if channels == 1:
        return samples
    sides = [samples[channel::channels] for channel in range(channels)]
    return array("h", (sum(together) // channels for together in zip(*sides, strict=True)))


def resample(samples: Sequence[int], rate: int) -> Sequence[int]:
    """16-bit samples at ``rate`` Hz as samples at 8000 Hz, by a polyphase filter (a sinc in a Kaiser window).

    What is above 3.4 kHz, or 0.43 of ``rate`` if that is less, fades out, and is down by 60 dB where it would come back
    as another frequency within the telephone's band.

    :raises WavError: it would take too long.
    """
    up, down, side, cutoff = _conversion(rate, len(samples))
    count = len(samples) * up // down
    filters = [_taps(phase / up, side, cutoff) for phase in range(up)]
    padded = array("h", bytes(2 * side)) + array("h", samples) + array("h", bytes(2 * side))
    made = array("h")
    for index in range(count):
        whole, phase = divmod(index * down, up)
        level = round(sum(map(mul, filters[phase], padded[whole + 1 : whole + 1 + 2 * side])))
        made.append(-32768 if level < -32768 else 32767 if level > 32767 else level)
    return made


def _conversion(rate: int, length: int) -> tuple[int, int, int, float]:
    """How ``length`` samples are converted: up by, down by, filter's samples on either side, its cutoff."""
    common = math.gcd(rate, RATE)
    up, down = RATE // common, rate // common
    if up > 640:
        raise WavError(f"{rate} Hz is no common rate")
    passed = min(3400.0, 0.43 * rate)
    stopped = min(RATE - passed, rate - passed) if rate < RATE else RATE - passed
    # Kaiser: length and shape for 60 dB between the two. In input samples on either side of the one in the middle.
    side = math.ceil((60.0 - 7.95) / (2.285 * 2 * math.pi * (stopped - passed) / rate) / 2)
    if length * up // down * 2 * side > MOST_WORK:
        seconds = length / rate
        raise WavError(f"{seconds:.0f} s at {rate} Hz take too long to convert to {RATE} Hz")
    return up, down, side, (passed + stopped) / 2 / rate


def _taps(fraction: float, side: int, cutoff: float) -> list[float]:
    """The filter for a moment ``fraction`` of a sample after the one in the middle; all of it lets 0 Hz through as 1."""
    beta = 5.65  # 60 dB
    taps = []
    for place in range(1 - side, side + 1):
        distance = place - fraction
        window = _bessel(beta * math.sqrt(max(0.0, 1.0 - (distance / side) ** 2)))
        angle = 2 * math.pi * cutoff * distance
        taps.append((math.sin(angle) / angle if angle else 1.0) * window)
    whole = sum(taps)
    return [tap / whole for tap in taps]


def _bessel(x: float) -> float:
    """The modified Bessel function I0."""
    term = total = 1.0
    for k in range(1, 32):
        term *= (x / 2 / k) ** 2
        total += term
    return total


class StereoWriter:
    """A growing WAV file of two channels of 16-bit samples at 8 kHz, in a ``file`` opened for writing, at its start.

    Its header says that the sound goes to the end of the file until :meth:`close` puts the size in; most players take
    it like that, and :func:`recover` mends it. No more than ``most`` bytes are written, header and all.
    """

    HEADER = 44

    def __init__(self, file: BinaryIO, most: int = 1 << 30) -> None:
        self._file = file
        self._room = (min(most, 0x7FFFFFFF) - self.HEADER) // 4 * 4
        self._size = 0
        file.write(_header(0xFFFFFFFF - 36))

    @property
    def full(self) -> bool:
        """Whether nothing more goes in."""
        return self._size >= self._room

    @property
    def seconds(self) -> float:
        """How much sound is in the file."""
        return self._size / (4 * RATE)

    def write(self, samples: bytes) -> bool:
        """Append little-endian samples, left and right in turns; ``False``: not all of them found room.

        :raises OSError: the file cannot be written.
        """
        fits = samples[: self._room - self._size]
        self._file.write(fits)
        self._size += len(fits)
        return len(fits) == len(samples)

    def close(self) -> None:
        """Write the sizes into the header and close the file.

        :raises OSError: the file cannot be written.
        """
        if self._file.closed:
            return
        with self._file:
            self._file.seek(0)
            self._file.write(_header(self._size))


def _header(size: int) -> bytes:
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", size + 36, b"WAVE", b"fmt ", 16),
        *(_PCM, 2, RATE, 4 * RATE, 4, 16),
        *(b"data", size),
    )


def recover(path: str | Path) -> bool:
    """Mend the header of a file whose :class:`StereoWriter` was never closed; ``False``: it is no such file.

    :raises OSError: it cannot be read or written.
    """
    with open(path, "r+b") as file:
        if file.read(StereoWriter.HEADER) != _header(0xFFFFFFFF - 36):
            return False
        size = (file.seek(0, os.SEEK_END) - StereoWriter.HEADER) // 4 * 4
        file.truncate(StereoWriter.HEADER + size)
        file.seek(0)
        file.write(_header(size))
    return True
