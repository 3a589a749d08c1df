"""One leg of a click-to-call: its SIP call and its RTP ports, which end together."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from c2c_sip.calling.diagnosis import LegFacts, Outcome
from c2c_sip.calling.plan import LegPlan
from c2c_sip.store.standing import as_text
from sipstack.account import Account
from sipstack.agent import Agent
from sipstack.call import Ended, Failed, OutgoingCall
from sipstack.dialog import Dialog
from sipstack.media import LegCounters, MediaLeg, Source
from sipstack.media.dtmf import Key, to_info
from sipstack.message.uri import hostport_text
from sipstack.pending import Pending
from sipstack.resolver import Target
from sipstack.sdp import Codec, LocalMedia, RemoteMedia

log = logging.getLogger(__name__)

EVENT = "telephone-event"
#: The relay makes one of the other.
_G711 = frozenset({"PCMU", "PCMA"})


class LegError(Exception):
    """A leg that could not be placed: no route, no ports, no address."""


class Way(NamedTuple):
    """Where a leg goes: the servers to try in turn, and the user agent that leads nowhere else."""

    agent: Agent
    targets: Sequence[Target]


class Keeper(Protocol):
    """Where it is kept what it takes to end the legs that are up, should we be killed: see :func:`left_of`."""

    def keep(self, call_id: str, text: str) -> None:
        """This is what is known of the leg, in JSON."""

    def over(self, call_id: str) -> None:
        """Nothing is left to be ended of that leg."""


class _Forgetful:
    """Keeps nothing."""

    def keep(self, call_id: str, text: str) -> None:
        """See :class:`Keeper`."""

    def over(self, call_id: str) -> None:
        """See :class:`Keeper`."""


NOWHERE = _Forgetful()


class Leg:
    """One leg: its SIP call and its RTP ports, which end together."""

    def __init__(
        self,
        plan: LegPlan,
        media: MediaLeg,
        local: LocalMedia,
        codecs: tuple[Codec, ...],
        targets: Sequence[Target],
        keeper: Keeper,
    ) -> None:
        """``targets`` are the servers to dial in turn."""
        self.plan = plan
        self.media = media
        self.local = local
        self.codecs = codecs
        #: To be set before anything else is done with it.
        self.call: OutgoingCall
        self.remote: RemoteMedia | None = None
        #: What both can say something in, the peer's choice first.
        self.voices: tuple[Codec, ...] = ()
        self.closed = False
        #: Called with each news of what it takes to hang it up without us, or with what makes that, see :func:`left_of`.
        self.on_pending: Callable[[str | Callable[[], str]], None] = _nothing
        self._keeper = keeper
        self._final: LegCounters | None = None
        self._targets = targets

    def dial(self) -> None:
        """Send the INVITE."""
        self.call.dial(self._targets)

    def stands(self) -> None:
        """It takes something else than before to hang the leg up without us, which is kept from now on."""
        plan, call = self.plan, self.call
        pending = call.pending
        if pending is not None and pending.provisional:
            # What is kept of the INVITE takes it back too, some seconds later: that it rings need not be there at once.
            self.on_pending(partial(left_of, plan, call.outbound.account, None, pending))
            return
        text = left_of(plan, call.outbound.account, call.dialog, pending)
        self._keeper.keep(plan.call_id, text)
        self.on_pending(text)

    def finished(self) -> None:
        """Nothing is left to be hung up, nor to be kept."""
        keeper, self._keeper = self._keeper, NOWHERE
        keeper.over(self.plan.call_id)

    def described(self, remote: RemoteMedia) -> None:
        """The peer's media was agreed on, for the first time or anew."""
        direct = self.call.outbound.account is None and not self.plan.at_home
        if direct and not all(map(self.plan.accepted, (remote.address, remote.rtcp_address))):
            remote = remote._replace(withheld=True)
        self.remote, self.voices = remote, voices(remote.codecs)
        self.media.set_remote(remote, self.local.receive_codecs)

    def facts(self, outcome: Ended | Failed | None, **more: Any) -> LegFacts:
        """What was seen of it until its ``outcome``, or until we ended it; ``more`` are the times and the audio."""
        uri, account = self.plan.outbound.uri, self.plan.outbound.account
        evidence = self.call.evidence
        match outcome:
            case Ended(by):
                ended_by: Outcome = by
            case Failed():
                ended_by = "peer" if evidence.refused_by == "peer" else "network"
            case _:
                ended_by = "local"
        remote = self.remote
        return LegFacts(
            role=self.plan.role,
            dialled=uri.user or uri.host,
            host=uri.host if uri.user else "",
            caller=self.plan.from_.uri.user or "",
            trunk=account.name if account is not None else "",
            ended_by=ended_by,
            status=outcome.status if isinstance(outcome, Failed) else None,
            evidence=evidence,
            codecs=tuple([codec.name for codec in self.codecs if codec.name.lower() != EVENT]),
            srtp=self.plan.srtp.value,
            announced=hostport_text(self.local.address, self.local.port),
            described=hostport_text(remote.address, remote.port) if remote is not None else "",
            # Past us nothing is heard.
            is_to_be_heard=self.hears() and not self.local.stands_for_another,
            q850=outcome.q850 if isinstance(outcome, (Ended, Failed)) else None,
            **more,
        )

    def close(self, reason: str = "") -> LegCounters:
        """Hang up, and give the ports back."""
        self.closed = True
        self.on_pending = _nothing  # which holds the flow
        self.call.hang_up(reason)
        if self._final is None:
            self._final = self.media.close()
            self.media.on_lost = lambda: None  # and so does this
            self.media.on_key = lambda key: None
        return self._final

    def follow(self, other: "Leg", music: Source | None) -> None:
        """Let the peer know what the other leg's peer does with the stream: hold it, or take it up again.

        While it is held it hears ``music``, if there is any.
        """
        wanted = other.remote.direction if other.remote is not None else "sendrecv"
        is_held = other.remote is not None and other.remote.on_hold
        if music is not None:
            self.media.play(music if is_held else None)
            wanted = "sendonly" if is_held else wanted
        if self.call.session is not None and wanted != self.local.direction:
            self.call.session.offer(wanted)

    def align(self, other: "Leg") -> None:
        """Have the peer use a codec that the other leg's peer has, where what it took cannot be passed on.

        Two of G.711 can be: the relay makes one of the other. And have it send no longer packets than that one can take.
        """
        if self.remote is None or other.remote is None or self.call.session is None:
            return
        ours, theirs = self.voices, other.voices
        fits = passes(ours[:1], theirs) and passes(theirs[:1], ours)
        if self.local.ptime > (other.remote.maxptime or self.local.ptime):
            self.local.ptime = other.remote.packet_time(self.local.ptime)
            if fits:
                self.call.session.offer(self.local.direction)
        if fits:
            return
        if self.keep_to(other):
            self.call.session.offer(self.local.direction)
        else:
            log.warning("call %s: no codec that both have: %s", self.plan.call_id, theirs)

    def keep_to(self, other: "Leg") -> bool:
        """Agree with the peer only on what the other leg's peer can be sent, from now on; whether there is anything.

        A phone may offer more in the call than it took in the beginning.
        """
        theirs = other.voices
        shared = tuple([c for c in self.codecs if c.name == EVENT or passes((c,), theirs)])
        if not voices(shared):
            return False
        self.local.restrict(shared)
        return True

    def press(self, key: Key, source: "Leg") -> None:
        """Have the peer get a key that came by INFO from ``source``'s: with the audio, as a rule.

        A PBX whose account has keys by INFO takes no events then, and looks for none in the audio. That another leg of
        the same trunk sends INFO shows that it does.
        """
        account, session = self.call.outbound.account, self.call.session
        if (
            account is not None
            and account is source.call.outbound.account
            and session is not None
            and session.takes_info
            and self.remote is not None
            and len(self.voices) == len(self.remote.codecs)
        ):
            session.inform(*to_info(key))
        else:
            self.media.press(key.character)

    def hears(self) -> bool:
        """Whether the peer may be expected to send audio: not while it holds us or refuses to send."""
        return self.remote is not None and self.remote.direction == "sendrecv"


def left_of(
    plan: LegPlan, account: Account | None, dialog: Dialog | None, pending: Pending | None
) -> str:
    """What it takes to hang a leg up without us, in JSON: its dialog, or before there is one its INVITE; and its trunk, or
    where else it may lead."""
    dumped = dialog.dump() if dialog is not None else {}
    if pending is not None:
        dumped["pending"] = pending.dump()
    if account is None and plan.at_home:
        dumped["home"] = str(plan.outbound.uri)
    dumped["call_id"] = plan.call_id
    dumped["trunk"] = account.name if account is not None else None
    return as_text(dumped)


def _nothing(*_: object) -> None:
    """Nobody is told."""


def voices(codecs: Sequence[Codec]) -> tuple[Codec, ...]:
    """Those of the codecs that are heard."""
    return tuple([codec for codec in codecs if codec.name.lower() != EVENT])


def passes(some: Sequence[Codec], others: Sequence[Codec]) -> bool:
    """Whether what comes in one of these can be sent on to who takes the others."""
    for codec in some:
        for other in others:
            if codec.same_as(other) or (
                codec.name.upper() in _G711 and other.name.upper() in _G711
            ):
                return True
    return False
