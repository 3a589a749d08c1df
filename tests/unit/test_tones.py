"""What legs are played: each country's tones, signals of our own, and audio from files."""

from array import array
from itertools import pairwise

import pytest

from c2c_sip.lab.listening import strength
from sipstack.media.g711 import decode
from sipstack.media.tones import (
    BEEP,
    BUSY,
    CONGESTION,
    PLANS,
    PRESS_A_KEY,
    RINGBACK,
    Playback,
    Source,
    Tone,
    named,
)
from sipstack.media.wav import Clip

DTMF = (697, 770, 852, 941, 1209, 1336, 1477, 1633)
CLIP = Clip(bytes(range(200)), bytes(range(200, 0, -1)))


def samples(source: Source, encoding: str = "PCMU") -> list[float]:
    frames = source.frames(encoding)
    assert all(len(frame) == 160 for frame in frames)
    return [float(sample) for sample in array("h", decode(b"".join(frames), encoding))]


@pytest.mark.parametrize("country", PLANS)
@pytest.mark.parametrize("kind", ["ringback", "busy", "congestion"])
def test_every_tone_sounds_and_pauses_as_its_plan_says(country: str, kind: str) -> None:
    plan = getattr(PLANS[country], kind)
    tones: tuple[Tone, ...] = (plan,) if isinstance(plan, Tone) else plan.tones
    heard = samples(plan, "PCMA" if country == "de" else "PCMU")
    bursts = [(tone, on, off) for tone in tones for on, off in tone.cadence]
    period = sum(round(on * 8000) + round(off * 8000) for _, on, off in bursts)
    # Played again and again, no period is longer than the others.
    assert len(heard) % period == 0
    at = 0
    for tone, on, off in bursts:
        sounding = heard[at : at + round(on * 8000)]
        silent = heard[at + len(sounding) : at + len(sounding) + round(off * 8000)]
        # A modulated tone has a part of its energy beside its frequency.
        expected = 0.65 if tone.modulation else 0.9
        assert sum(strength(sounding, f) for f in tone.frequencies) > expected
        assert max(map(abs, silent)) < 20
        at += len(sounding) + len(silent)
    assert 4000 < max(map(abs, heard)) < 9500


def test_the_tables_by_kind_are_those_of_the_plans() -> None:
    assert RINGBACK["us"] == Tone((440.0, 480.0), ((2.0, 4.0),))
    assert BUSY["uk"] == Tone((400.0,), ((0.375, 0.375),))
    assert CONGESTION["eu"] == Tone((425.0,), ((0.25, 0.25),))


def test_congestion_in_australia_is_told_from_busy_by_its_second_pitch() -> None:
    # Asterisk's indications.conf: busy 425/375,0/375; congestion 425/375,0/375,420/375,0/375.
    burst = 3000  # 0.375 s
    busy, congestion = samples(BUSY["au"]), samples(CONGESTION["au"])
    assert len(congestion) % (4 * burst) == 0
    for number, frequency in ((0, 425), (2, 420)):
        heard = congestion[number * burst : (number + 1) * burst]
        assert strength(heard, frequency) > 0.95
        assert max(map(abs, congestion[(number + 1) * burst :][:burst])) < 20
    assert congestion[: 2 * burst] == busy[: 2 * burst]
    assert congestion[2 * burst : 4 * burst] != busy[2 * burst : 4 * burst]


def test_ringback_in_japan_swells_as_often_as_its_network_says() -> None:
    # 400 Hz, modulated by 15 to 20 Hz, a second of three.
    ringback = RINGBACK["jp"]
    assert (ringback.frequencies, ringback.cadence) == ((400.0,), ((1.0, 2.0),))
    assert 15 <= ringback.modulation <= 20


def test_a_modulated_tone_swells_as_often_as_its_plan_says() -> None:
    on = samples(RINGBACK["in"])[:3200]
    # 25 Hz: loud every 40 ms, nearly nothing in between.
    for middle in (160, 480, 800):
        assert max(map(abs, on[middle - 10 : middle + 10])) < 800
        assert max(map(abs, on[middle + 140 : middle + 180])) > 4000


@pytest.mark.parametrize("tone", [RINGBACK["uk"], BUSY["us"], BEEP])
def test_a_tone_comes_and_goes_without_a_click(tone: Tone) -> None:
    heard = [0.0, *samples(tone), 0.0]
    on = round(tone.cadence[0][0] * 8000)
    steepest = max(abs(b - a) for a, b in pairwise(heard[100 : on - 100]))
    around = heard[:5], heard[on - 4 : on + 4]
    assert all(abs(b - a) < steepest / 4 for edge in around for a, b in pairwise(edge))


def test_the_beep_ends_and_the_prompt_for_a_key_goes_on() -> None:
    assert not BEEP.repeats
    assert strength(samples(BEEP)[:3200], 1400) > 0.95
    assert PRESS_A_KEY.repeats
    heard = samples(PRESS_A_KEY)
    assert len(heard) == round(2.4 * 8000)
    for place, note in enumerate((523.25, 659.25, 783.99)):
        assert strength(heard[place * 1600 : place * 1600 + 1280], note) > 0.95
    assert max(map(abs, heard[4900:])) < 20
    assert all(strength(heard[:4800], frequency) < 0.02 for frequency in DTMF)


def test_audio_from_a_file_is_cut_into_frames_as_it_is() -> None:
    assert Playback(CLIP).frames("PCMU") == (CLIP.ulaw[:160], CLIP.ulaw[160:] + b"\xff" * 120)
    assert Playback(CLIP).frames("PCMA")[1] == CLIP.alaw[160:] + b"\xd5" * 120
    assert not Playback(CLIP).repeats


def test_a_name_is_a_country_or_a_file_and_nothing_else() -> None:
    clips = {"music": CLIP}
    assert named("uk", clips) is named("UK", clips) is RINGBACK["uk"]
    # Asked for twice it is the same, so that its frames are made once.
    assert named("music", clips) == named("music", clips) == Playback(CLIP, repeats=True)
    assert hash(named("music", clips)) == hash(named("music", clips))
    for other in ("", "xx", "../music", "/etc/passwd", "music.wav"):
        assert named(other, clips) is None
