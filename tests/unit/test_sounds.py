"""Which tones and which audio a click-to-call's parties hear."""

from __future__ import annotations

import io
import threading
import wave
from pathlib import Path
from typing import Any

import pytest

from c2c_sip.calling.sounds import ROOM, Sounds
from c2c_sip.config import ConfigError, load
from c2c_sip.store import Store
from sipstack.media import Source
from sipstack.media.tones import BUSY, CONGESTION, PRESS_A_KEY, RINGBACK, Playback
from sipstack.media.wav import Clip, WavError, read


def a_file(seconds: float = 0.1, level: int = 1000, rate: int = 8000) -> bytes:
    octets = io.BytesIO()
    with wave.open(octets, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(level.to_bytes(2, "little", signed=True) * round(seconds * rate))
    return octets.getvalue()


class World:
    def __init__(self, store: Store, account_id: str) -> None:
        self.store, self.account_id = store, account_id
        self.forgotten: list[Source] = []
        self.sounds = Sounds(store.media, "de", self.forgotten.append)

    def upload(self, octets: bytes, identifier: str = "") -> str:
        media = self.store.media
        if not identifier:
            identifier = str(media.create(self.account_id, {"name": "x"})["id"])
        document = media.get(self.account_id, identifier)
        assert document is not None
        changed = media.put(
            self.account_id, identifier, octets, "audio/wav", int(document["revision"])
        )
        assert changed is not None
        return identifier

    def of(self, **fields: Any) -> Any:
        return self.sounds.of(self.account_id, fields)


@pytest.fixture
def world(store: Store, account: dict[str, Any]) -> World:
    return World(store, account["id"])


def test_where_nothing_is_said_the_configuration_counts(world: World) -> None:
    heard = world.of()
    assert (heard.waiting, heard.hold) == (RINGBACK["de"], None)
    assert (heard.tones.busy, heard.tones.congestion) == (BUSY["de"], CONGESTION["de"])


@pytest.mark.parametrize("name", ["uk", "UK"])
def test_a_country_has_all_of_its_tones(world: World, name: str) -> None:
    heard = world.of(ringback=name)
    assert heard.waiting == RINGBACK["uk"]
    assert heard.tones.busy == BUSY["uk"]


def test_audio_of_the_account_rings(world: World) -> None:
    own = world.upload(a_file(0.5))
    waiting = world.of(ringback=own).waiting
    assert isinstance(waiting, Playback)
    assert waiting.repeats
    assert waiting.clip.seconds == 0.5
    # The same object: it is not read again.
    assert world.of(ringback=own).waiting is waiting


def test_calls_at_the_same_time_have_a_file_converted_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes seconds of a processor: of many activations at once it would take them from the audio of all."""
    own = world.upload(a_file(1.0, rate=48000))
    conversions: list[int] = []
    all_there = threading.Barrier(4)

    def counted(octets: bytes) -> Clip:
        conversions.append(1)
        return read(octets)

    monkeypatch.setattr("c2c_sip.calling.sounds.wav.read", counted)
    heard: list[Source] = []

    def call() -> None:
        all_there.wait()
        heard.append(world.of(ringback=own).waiting)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert conversions == [1]
    assert len(heard) == 4
    assert all(each is heard[0] for each in heard)
    # And what cannot be read is tried again by the next one, and keeps nobody waiting.
    bad = world.upload(b"RIFF")
    for _ in range(2):
        assert world.of(ringback=bad).waiting == RINGBACK["de"]
    assert not world.sounds._at_work


def test_music_is_heard_on_hold_and_where_nothing_rings(world: World) -> None:
    music = {"media_id": world.upload(a_file())}
    heard = world.of(music_on_hold=music)
    assert heard.waiting is heard.hold is not None
    heard = world.of(music_on_hold=music, ringback="us")
    assert heard.waiting == RINGBACK["us"]
    assert heard.hold is not None


def test_who_is_asked_for_a_key_hears_the_announcement_or_three_notes(world: World) -> None:
    assert world.of(confirm="1").asking == PRESS_A_KEY
    own = world.upload(a_file())
    asking = world.of(confirm="1", announcement=own).asking
    assert isinstance(asking, Playback)
    assert asking.repeats


def test_a_new_file_is_heard_and_the_old_one_forgotten(world: World) -> None:
    own = world.upload(a_file(level=1000))
    old = world.of(ringback=own).waiting
    world.upload(a_file(level=2000), own)
    assert world.of(ringback=own).waiting != old
    assert world.forgotten == [old]


def test_only_so_much_audio_is_kept(world: World) -> None:
    large = [world.upload(a_file(ROOM / 4 / 8000 * 0.4, level)) for level in (1, 200, 3000)]
    first = world.of(ringback=large[0]).waiting
    for own in large[1:]:
        world.of(ringback=own)
    assert world.forgotten == [first]


@pytest.mark.parametrize("name", ["nothing-there", "../../etc/passwd", ""])
def test_a_call_does_not_fail_for_want_of_music(world: World, name: str) -> None:
    assert world.of(ringback=name, music_on_hold={"media_id": name}).waiting == RINGBACK["de"]


def test_nor_for_a_document_without_audio_or_audio_that_is_none(world: World) -> None:
    empty = str(world.store.media.create(world.account_id, {"name": "x"})["id"])
    assert world.of(ringback=empty).waiting == RINGBACK["de"]
    assert world.of(ringback=world.upload(b"RIFF")).waiting == RINGBACK["de"]


def test_nobody_hears_the_audio_of_another_account(world: World) -> None:
    own = world.upload(a_file())
    other = world.store.create_account("Other")
    assert world.sounds.of(other["id"], {"ringback": own}).waiting == RINGBACK["de"]


def test_a_file_of_the_configuration(world: World, tmp_path: Path) -> None:
    (tmp_path / "ring.wav").write_bytes(a_file())
    heard = Sounds(world.store.media, str(tmp_path / "ring.wav")).of(world.account_id, {})
    assert isinstance(heard.waiting, Playback)
    assert heard.tones.busy == BUSY["us"]
    (tmp_path / "ring.wav").write_bytes(b"none")
    with pytest.raises(WavError):
        Sounds(world.store.media, str(tmp_path / "ring.wav"))


@pytest.mark.parametrize(
    ("value", "why"),
    [("xx", "path of a .wav file"), ("gone.wav", "No such file"), ("bad.wav", "WAV")],
)
def test_a_setting_that_cannot_be_played_is_refused(tmp_path: Path, value: str, why: str) -> None:
    (tmp_path / "bad.wav").write_bytes(b"none")
    config = tmp_path / "c.toml"
    where = f"{tmp_path}/{value}" if value.endswith(".wav") else value
    config.write_text(f'[media]\nringback = "{where}"\n')
    with pytest.raises(ConfigError, match=r"media\.ringback") as error:
        load(str(config), {})
    assert why in str(error.value)
