"""WAV files: what is heard of any kind of them, what is refused, and calls written into one."""

import audioop
import io
import math
import struct
import wave
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2c_sip.lab.listening import strength
from sipstack.media import wav
from sipstack.media.g711 import decode, encode, linear_to_alaw, linear_to_ulaw
from sipstack.media.wav import StereoWriter, WavError, read, recover, resample


def file_of(
    sound: bytes,
    kind: int = 1,
    channels: int = 1,
    rate: int = 8000,
    bits: int = 16,
    extra: bytes = b"",
) -> bytes:
    block = channels * bits // 8
    head = struct.pack("<HHIIHH", kind, channels, rate, rate * block, block, bits) + extra
    chunks = b"fmt " + struct.pack("<I", len(head)) + head
    chunks += b"LIST" + struct.pack("<I", 3) + b"odd\0"
    chunks += b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def tone(frequency: float, rate: int, seconds: float = 1.0, level: float = 0.5) -> list[float]:
    count = round(rate * seconds)
    return [level * math.sin(2 * math.pi * frequency * n / rate) for n in range(count)]


def whole(samples: list[float], scale: int = 32767) -> list[int]:
    return [round(scale * sample) for sample in samples]


def heard(octets: bytes) -> list[float]:
    linear = array("h", decode(octets, "PCMU"))
    return [sample / 32768 for sample in linear]


def loudness(samples: list[float]) -> float:
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples))


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA"])
def test_whole_pieces_are_coded_as_single_samples_are(encoding: str) -> None:
    one = {"PCMU": linear_to_ulaw, "PCMA": linear_to_alaw}[encoding]
    samples = range(-32768, 32768)
    assert encode(samples, encoding) == bytes(map(one, samples))
    linear = {"PCMU": audioop.ulaw2lin, "PCMA": audioop.alaw2lin}[encoding]
    assert decode(bytes(range(256)), encoding) == linear(bytes(range(256)), 2)


def test_sixteen_bits_at_8_khz_are_only_coded() -> None:
    samples = whole(tone(440, 8000))
    clip = read(file_of(struct.pack(f"<{len(samples)}h", *samples)))
    assert clip.ulaw == bytes(map(linear_to_ulaw, samples))
    assert clip.alaw == bytes(map(linear_to_alaw, samples))
    assert clip.octets("PCMA") == clip.alaw
    assert clip.seconds == 1.0


@pytest.mark.parametrize(("kind", "law"), [(7, "ulaw"), (6, "alaw")])
def test_g711_is_kept_bit_by_bit(kind: int, law: str) -> None:
    octets = bytes(range(256)) * 10
    clip = read(file_of(octets, kind, bits=8))
    assert getattr(clip, law) == octets
    assert read(file_of(octets, kind, bits=8, rate=16000)).seconds == 0.16


def packed(samples: list[float], kind: int, bits: int) -> bytes:
    if kind == 3:
        return struct.pack(f"<{len(samples)}{'f' if bits == 32 else 'd'}", *samples)
    if bits == 8:
        return bytes(128 + n for n in whole(samples, 127))
    scale = (1 << (bits - 1)) - 1
    return b"".join(n.to_bytes(bits // 8, "little", signed=True) for n in whole(samples, scale))


@pytest.mark.parametrize(("kind", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_every_width_and_number_of_channels_sounds_the_same(
    kind: int, bits: int, channels: int
) -> None:
    samples = tone(440, 8000, 0.2)
    sound = packed([sample for sample in samples for _ in range(channels)], kind, bits)
    found = heard(read(file_of(sound, kind, channels, bits=bits)).ulaw)
    assert len(found) == len(samples)
    assert max(abs(a - b) for a, b in zip(found, samples, strict=True)) < 0.025


@pytest.mark.parametrize(
    "rate", [6000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000]
)
def test_every_common_rate_keeps_the_tone_its_level_and_its_length(rate: int) -> None:
    sound = packed(tone(1000, rate, 0.5), 1, 16)
    clip = read(file_of(sound, rate=rate))
    assert clip.seconds == pytest.approx(0.5, abs=0.001)
    middle = heard(clip.ulaw)[400:-400]
    assert strength(middle, 1000) > 0.998
    assert loudness(middle) == pytest.approx(0.5 / math.sqrt(2), rel=0.02)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
@pytest.mark.parametrize("frequency", [4600, 5000, 7000])
def test_what_is_too_high_for_the_phone_does_not_come_back_as_another_tone(
    rate: int, frequency: float
) -> None:
    made = resample(whole(tone(frequency, rate, 0.25)), rate)
    assert loudness([n / 32768 for n in made][200:-200]) < 0.0005


@pytest.mark.parametrize("frequency", [300, 3000, 3400])
def test_the_band_of_the_phone_is_kept(frequency: float) -> None:
    made = resample(whole(tone(frequency, 44100, 0.25)), 44100)
    assert loudness([n / 32768 for n in made][200:-200]) == pytest.approx(0.354, rel=0.05)


def test_a_resampled_file_at_full_level_saturates() -> None:
    square = [32767 if n // 50 % 2 else -32768 for n in range(4410)]
    made = resample(square, 44100)
    assert max(made) == 32767
    assert min(made) == -32768


def test_floats_that_are_no_sound_are_none() -> None:
    values = [math.nan, math.inf, -math.inf, 7.0, -7.0, 0.0]
    found = heard(read(file_of(struct.pack("<6f", *values), 3, bits=32)).ulaw)
    assert [round(value) for value in found] == [0, 1, -1, 1, -1, 0]


def test_an_extensible_header_names_its_format_further_on() -> None:
    guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    extra = struct.pack("<HHI", 22, 16, 4) + guid
    assert read(file_of(bytes(320), 0xFFFE, extra=extra)).seconds == 0.02


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "not a WAV"),
        (b"ID3 and so on, an MP3 by nature", "not a WAV"),
        (b"RIFX\0\0\0\0WAVE", "RIFX"),
        (file_of(b""), "no sound"),
        (b"RIFF\0\0\0\0WAVEfmt \x04\0\0\0\1\0\1\0", "malformed format"),
        (file_of(bytes(100))[:40], "no sound"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0\0\0\0\0", "before its format"),
        (file_of(bytes(100), kind=85, bits=0), "MP3"),
        (file_of(bytes(100), bits=12), "12 bits"),
        (file_of(bytes(100), bits=0), "0 bits"),
        (file_of(bytes(100), channels=0), "0 channels"),
        (file_of(bytes(100), channels=30000), "30000 channels"),
        (file_of(bytes(100), rate=0), "0 Hz"),
        (file_of(bytes(100), rate=2_000_000_000), "2000000000 Hz"),
        (file_of(bytes(100), rate=44101), "no common rate"),
        (file_of(bytes(8000 * 601), 7, bits=8), "longer than 600 s"),
        (file_of(bytes(44100 * 2 * 200), rate=44100), "too long"),
        (bytes(wav.MOST_BYTES + 1), "larger than 64 MiB"),
    ],
)
def test_what_cannot_be_played_is_refused_with_the_reason(octets: bytes, reason: str) -> None:
    with pytest.raises(WavError, match=reason):
        read(octets)


def test_a_size_that_was_never_filled_in_means_to_the_end() -> None:
    octets = file_of(bytes(1600))
    place = octets.index(b"data") + 4
    assert read(octets[:place] + b"\xff\xff\xff\xff" + octets[place + 4 :]).seconds == 0.1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 80), st.data())
def test_no_file_does_harm(octets: bytes, cut: int, data: st.DataObject) -> None:
    good = bytearray(file_of(bytes(range(64)), rate=16000, channels=2))
    for place in data.draw(st.lists(st.integers(0, len(good) - 1), max_size=4)):
        good[place] = data.draw(st.integers(0, 255))
    for candidate in (octets, bytes(good[:cut]) + octets, bytes(good)):
        try:
            clip = read(candidate)
        except WavError:
            continue
        assert len(clip.ulaw) == len(clip.alaw) <= 8 * len(candidate)


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(3200))
    assert wav.load(path).ulaw == b"\xff" * 1600
    with pytest.raises(OSError):
        wav.load(tmp_path / "missing.wav")


def test_a_directory_gives_clips_by_name_and_reasons(tmp_path: Path) -> None:
    (tmp_path / "music.wav").write_bytes(file_of(bytes(320)))
    (tmp_path / "BELL.WAV").write_bytes(file_of(bytes(160), 7, bits=8))
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    (tmp_path / "notes.txt").write_bytes(b"RIFF")
    clips, refused = wav.load_directory(tmp_path)
    assert set(clips) == {"music", "BELL"}
    assert refused == {"bad.wav": "not a WAV file"}


SAMPLES = struct.pack("<8h", 1, -1, 2, -2, 3, -3, 4, -4)


def test_a_recording_is_a_stereo_file_that_others_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    writer = StereoWriter(path.open("wb"))
    assert writer.write(SAMPLES)
    assert writer.write(SAMPLES)
    assert writer.seconds == 0.001
    writer.close()
    writer.close()
    with wave.open(str(path)) as file:
        assert file.getparams()[:4] == (2, 2, 8000, 8)
        assert file.readframes(8) == SAMPLES * 2
    assert not recover(path)


def test_a_recording_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    writer = StereoWriter(path.open("wb"), most=44 + 26)
    assert writer.write(SAMPLES)
    assert not writer.full
    assert not writer.write(SAMPLES)
    assert writer.full
    writer.close()
    assert path.stat().st_size == 44 + 24
    with wave.open(str(path)) as file:
        assert file.getnframes() == 6


def test_a_recording_that_was_cut_short_is_recovered(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    file = path.open("wb")
    StereoWriter(file).write(SAMPLES)
    file.write(b"\1\2\3")
    file.flush()
    # As it is, whoever reads to the end hears it all.
    assert read(path.read_bytes()).seconds == 4 / 8000
    assert recover(path)
    assert not recover(path)
    with wave.open(str(path)) as mended:
        assert mended.readframes(9) == SAMPLES


def test_other_files_are_not_recovered(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a letter")
    assert not recover(path)
    assert path.read_bytes() == b"a letter"


def test_a_disk_that_is_full_is_told() -> None:
    class Full(io.BytesIO):
        def write(self, octets: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        StereoWriter(Full())
