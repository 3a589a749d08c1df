"""Recording one call: what each party says goes to its side of a file, and both are told so first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sipstack.media import Source
from sipstack.media.recording import CONTACT, EXTENSION, Recorder, Recording
from sipstack.sdp import Codec, codec_list

if TYPE_CHECKING:
    from c2c_sip.calling.leg import Leg

_RECORDED = ("PCMU", "PCMA")


def recordable(codecs: Sequence[Codec]) -> tuple[Codec, ...]:
    """Those of the codecs that can be recorded, which those of G.711 can; both where there is none."""
    names = [codec.name for codec in codecs if codec.name in _RECORDED]
    return codec_list(names or _RECORDED)


@dataclass(frozen=True, slots=True)
class Tape:
    """How a call is to be recorded: where to, and what both parties hear before; ``None`` for nothing."""

    recorder: Recorder
    notice: Source | None

    def start(self, name: str, caller: Leg, contact: Leg, now: float) -> Running:
        """Begin; ``now`` is on the media plane's clock."""
        running = Running(self.recorder.record(name, now))
        for leg in (caller, contact):
            if self.notice is not None:
                leg.media.play(self.notice)
        running.hear(caller, EXTENSION)
        running.hear(contact, CONTACT)
        return running


class Running:
    """A recording under way."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def hear(self, leg: Leg, side: int = EXTENSION) -> None:
        """Record a leg; who a call is transferred to has the side of the extension."""
        leg.media.tap(partial(self._recording.frame, side))

    @property
    def problem(self) -> str:
        """What is wrong with it by now, in a sentence; empty: nothing."""
        return self._recording.problem

    def stop(self, now: float) -> None:
        """The call is over."""
        self._recording.stop(now)
