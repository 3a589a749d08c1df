"""What the parties of a call are played: the tones of countries, a file of the configuration, an account's own audio."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from c2c_sip.store.errors import StoreError
from sipstack.media import Source, wav
from sipstack.media.tones import PLANS, PRESS_A_KEY, Playback, TonePlan

log = logging.getLogger(__name__)

#: Octets of accounts' audio that are kept ready to be played; the audio of one file may be more.
ROOM = 16 << 20
#: The tones where nothing else is said.
USUAL = "us"


#: An account, audio of its own, and the revision of that.
_Key = tuple[str, str, int]


class Audio(Protocol):
    """What of the store is needed, see :class:`c2c_sip.store.media.MediaRecords`."""

    def get(self, account_id: str, identifier: str) -> Mapping[str, Any] | None:
        """A document."""

    def octets(self, account_id: str, identifier: str) -> bytes | None:
        """Its file."""


class Heard(NamedTuple):
    """What one call's parties hear: the one that waits, until the other answers; the one that is put on hold, ``None``
    for nothing; the one that is asked for a key; and after a failure the tones of a country."""

    waiting: Source
    hold: Source | None
    asking: Source
    tones: TonePlan


class Sounds:
    """Finds what a click-to-call's parties are played. May be used from any thread.

    :param default: what ``media.ringback`` says: a country, or the path of a WAV file
    :param forget: is told of audio that is not kept any more
    :raises WavError: the file cannot be played
    :raises OSError: nor read
    """

    def __init__(
        self, audio: Audio, default: str, forget: Callable[[Source], None] = lambda source: None
    ) -> None:
        self._audio = audio
        self._forget = forget
        self._tones: TonePlan
        self._default: Source
        self.reconfigure(default)
        self._lock = threading.Lock()
        #: By account, identifier and revision; the one that was not asked for for longest is first.
        self._kept: OrderedDict[_Key, Playback] = OrderedDict()
        #: Who converts it has this; the others wait for it.
        self._at_work: dict[_Key, threading.Lock] = {}

    @property
    def usual(self) -> tuple[Source, ...]:
        """What calls are played whose documents say nothing of it."""
        return (self._default, self._tones.busy, self._tones.congestion)

    def reconfigure(self, default: str) -> None:
        """What ``media.ringback`` says now; what is being played goes on.

        :raises WavError: the file cannot be played
        :raises OSError: nor read
        """
        plan = PLANS.get(default, PLANS[USUAL])
        self._default = (
            plan.ringback if default in PLANS else Playback(wav.load(default), repeats=True)
        )
        self._tones = plan

    def of(self, account_id: str, clicktocall: Mapping[str, Any]) -> Heard:
        """What the parties of a call are to hear.

        ``ringback`` is a country, or the identifier of audio of the account; where there is none, who waits hears
        ``music_on_hold``, and where there is none of that either, what the configuration says.
        """
        said = str(clicktocall.get("ringback") or "")
        country = PLANS.get(said.lower())
        music = (clicktocall.get("music_on_hold") or {}).get("media_id")
        hold = self._playback(account_id, str(music or ""))
        waiting: Source | None = country.ringback if country is not None else None
        if said and waiting is None:
            waiting = self._playback(account_id, said)
        asking = self._playback(account_id, str(clicktocall.get("announcement") or ""))
        return Heard(
            waiting or hold or self._default,
            hold,
            asking or PRESS_A_KEY,
            country or self._tones,
        )

    def _playback(self, account_id: str, identifier: str) -> Playback | None:
        """Audio of the account; ``None``, and a line in the log, where it cannot be had: a call need not fail for it."""
        if not identifier:
            return None
        try:
            document = self._audio.get(account_id, identifier)
            if document is None:
                log.warning("account %s has no media %r", account_id, identifier)
                return None
            return self._ready((account_id, identifier, int(document["revision"])))
        except (StoreError, wav.WavError) as error:
            log.warning("media %s of account %s: %s", identifier, account_id, error)
            return None

    def _ready(self, key: _Key) -> Playback | None:
        """Audio as it can be played, converted by the first who asks: that may take seconds."""
        with self._lock:
            at_work = self._at_work.setdefault(key, threading.Lock())
        try:
            with at_work:
                with self._lock:
                    if key in self._kept:
                        self._kept.move_to_end(key)
                        return self._kept[key]
                octets = self._audio.octets(*key[:2])
                if octets is None:
                    log.warning("media %s of account %s has no audio yet", key[1], key[0])
                    return None
                return self._keep(key, Playback(wav.read(octets), repeats=True))
        finally:
            with self._lock:
                self._at_work.pop(key, None)

    def _keep(self, key: _Key, playback: Playback) -> Playback:
        gone: list[Playback] = []
        with self._lock:
            # Another thread may have been as fast.
            playback = self._kept.setdefault(key, playback)
            older = [k for k in self._kept if k[:2] == key[:2] and k != key]
            gone += [self._kept.pop(k) for k in older]
            while len(self._kept) > 1 and sum(map(_size, self._kept.values())) > ROOM:
                gone.append(self._kept.popitem(last=False)[1])
        for old in gone:
            if old != playback:
                self._forget(old)
        return playback


def _size(playback: Playback) -> int:
    # Both laws, and the frames made of them.
    return 4 * len(playback.clip.ulaw)
