"""What is decided about an activation before the first packet leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

from c2c_sip.calling.recording import Tape
from sipstack.call import Outbound
from sipstack.media import MediaLeg, Source
from sipstack.media.tones import PRESS_A_KEY
from sipstack.message import NameAddr, Uri
from sipstack.sdes import Mode
from sipstack.sdp import Codec


class LegPlan(NamedTuple):
    """How one leg is to be dialled; ``timeout`` in seconds of ringing, ``ptime`` in milliseconds.

    ``codecs`` are those of its trunk; none: whatever the call has.
    """

    role: str
    outbound: Outbound
    from_: NameAddr
    headers: tuple[tuple[str, str], ...]
    contact_user: str
    call_id: str
    timeout: float
    redirect: Callable[[Uri], Outbound | None]
    accepts_referral: Callable[[Uri], bool] = lambda uri: False
    #: How whom a REFER from this leg names is to be dialled; ``None`` for whom it may not send the contact to.
    transfer: Callable[[Uri], LegPlan | None] = lambda uri: None
    #: Whether packets may go to an IP literal that is no trunk's, and is not that of a leg that is ``at_home``.
    accepted: Callable[[str], bool] = lambda host: True
    at_home: bool = False
    codecs: tuple[Codec, ...] = ()
    ptime: int = 20
    srtp: Mode = Mode.OFF

    def codecs_of(self, wanted: tuple[Codec, ...], first: bool) -> tuple[Codec, ...]:
        """The codecs to offer, preferred first.

        :param wanted: those that the call would offer, in its order
        :param first: whether there is no other leg yet whose codec had best be the same
        """
        if not self.codecs or first:
            return self.codecs or wanted
        rank = {codec.name: at for at, codec in enumerate(wanted)}
        # With the parameters that the other leg's peer has asked for, if it has the codec.
        asked = {codec.name: codec for codec in wanted}
        # Events are no voice: they stand behind what is.
        return tuple(
            sorted(
                (replace(c, fmtp=asked.get(c.name, c).fmtp) for c in self.codecs),
                key=lambda c: (c.name == "telephone-event", rank.get(c.name, len(rank))),
            )
        )


class Plan(NamedTuple):
    """All that was decided about an activation before the first packet leaves. Times in seconds."""

    activation_id: str
    account_id: str
    clicktocall_id: str
    #: They ring at once, and the first to answer has the call.
    extensions: tuple[LegPlan, ...]
    contact: LegPlan
    codecs: tuple[Codec, ...]
    #: What one hears until the other answers.
    ringback: Source
    #: What it hears, and for how long, where the other cannot be had.
    busy: Source
    congestion: Source
    busy_seconds: float
    max_duration: float
    media_timeout: float
    ignore_early_media: bool = False
    #: What one hears while the other holds it; ``None``: what the other sends.
    music: Source | None = None
    #: Whether the two are to send their audio to each other.
    bypass: bool = False
    #: How it is to be recorded, if at all.
    tape: Tape | None = None
    #: The key with which an extension shows that somebody is there, and the seconds that it has for that; empty: none.
    confirm: str = ""
    confirm_seconds: float = 15.0
    #: What it hears meanwhile.
    asking: Source = PRESS_A_KEY
    #: Given the media of each leg that is dialled, to see what goes through.
    watch: Callable[[MediaLeg], None] = lambda media: None
    #: Whether a call that is up may go on.
    may_go_on: Callable[[], bool] = lambda: True
    dial_first: Literal["extension", "contact"] = "extension"

    @property
    def first(self) -> tuple[LegPlan, ...]:
        """Who is rung first."""
        return self.extensions if self.dial_first == "extension" else (self.contact,)

    @property
    def second(self) -> tuple[LegPlan, ...]:
        """Who is rung once one of those has answered."""
        return (self.contact,) if self.dial_first == "extension" else self.extensions
