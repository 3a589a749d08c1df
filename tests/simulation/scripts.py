"""What the phones of the simulation do: their scripts, and those that stand for a usual course."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """What a phone does with an INVITE. Times in seconds after it came, unless said otherwise.

    :param deaf: says nothing to anything
    :param ring_after: when it says 180; ``None``: it does not ring
    :param early_media: its 18x is a 183 with a description of its media
    :param answer_after: when it says 200; ``None``: it never answers
    :param status: the refusal it answers with instead, after ``refuse_after``
    :param refuse_after: when
    :param contact: the Contact of that refusal, for a redirection
    :param challenge: realm of the 401 that it says to requests that come without Authorization, as
        a rogue does that wants to have a digest
    :param challenges: which requests: methods, and ``re-INVITE`` for those in the dialog
    :param hang_up_after: seconds from the ACK to its own BYE
    :param hang_up_early: seconds from the answer to its own BYE, whether or not the ACK came, which
        RFC 3261 §15 forbids a callee
    :param answer_again_after: seconds from the answer to a second 200, with another tag, as of
        a second phone behind a forking proxy
    :param crash_after: when it goes off the network without a word
    :param garbage: sent back at once for each request, before anything else
    :param reinvite_after: seconds from the answer to a re-INVITE that puts the call on hold
    :param resume_after: seconds from the answer to a re-INVITE that takes it up again
    :param reliable: its 18x want to be acknowledged with PRACK, and it answers only after that
    :param session_expires: seconds of the session timer that its 2xx asks for
    :param refresher: who refreshes, as in that header
    :param min_se: an INVITE or UPDATE with a shorter session interval gets 422
    :param allow: what its 2xx says it understands
    :param refer_after: seconds from the answer to a REFER
    :param refer_to: whom it refers to
    :param answers_as: the Contact of its 2xx, where it is not its own address
    :param hears_at: the address of its audio, where it is not its own
    :param route: the Record-Route of its 2xx
    :param ignore: methods that it does not react to, such as BYE or CANCEL
    :param codecs: numbers and formats that it takes, of which it answers those that it is offered, or all
    :param offers: those that it offers itself, where they are others
    :param codecs_later: those that it answers with to what comes within the call, where they are others
    :param statuses: what it answers to other methods than 200, such as ``(("BYE", 481),)``
    """

    deaf: bool = False
    ring_after: float | None = 0.1
    early_media: bool = False
    answer_after: float | None = 1.0
    status: int | None = None
    refuse_after: float = 0.2
    contact: str = ""
    answers_as: str = ""
    hears_at: str = ""
    route: str = ""
    challenge: str = ""
    challenges: frozenset[str] = frozenset({"INVITE", "re-INVITE", "BYE", "UPDATE"})
    hang_up_after: float | None = None
    hang_up_early: float | None = None
    answer_again_after: float | None = None
    crash_after: float | None = None
    garbage: tuple[bytes, ...] = ()
    reinvite_after: float | None = None
    resume_after: float | None = None
    reliable: bool = False
    session_expires: int | None = None
    refresher: str = "uac"
    min_se: int = 0
    allow: str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK"
    refer_after: float | None = None
    refer_to: str = ""
    ignore: frozenset[str] = frozenset()
    statuses: tuple[tuple[str, int], ...] = ()
    codecs: tuple[str, ...] = ("0 PCMU/8000",)
    offers: tuple[str, ...] = ()
    codecs_later: tuple[str, ...] = ()


ANSWERS = Script()
BUSY = Script(ring_after=None, status=486)
REJECTS = Script(status=603, refuse_after=2.0)
UNKNOWN = Script(ring_after=None, status=404)
NEVER_ANSWERS = Script(answer_after=None)
DEAF = Script(deaf=True)
EARLY_MEDIA = Script(early_media=True)
HANGS_UP = Script(hang_up_after=3.0)
HANGS_UP_AT_ONCE = Script(hang_up_after=0.0)
HANGS_UP_BEFORE_THE_ACK = Script(hang_up_early=0.0)
ANSWERS_TWICE = Script(answer_again_after=0.3)
CRASHES_RINGING = Script(crash_after=0.5)
CRASHES_TALKING = Script(crash_after=2.0)
#: What may become of a call at any phone. In this order, which what is drawn from a seed depends on.
COURSES = (
    BUSY,
    REJECTS,
    UNKNOWN,
    NEVER_ANSWERS,
    DEAF,
    EARLY_MEDIA,
    HANGS_UP,
    HANGS_UP_AT_ONCE,
    HANGS_UP_BEFORE_THE_ACK,
    ANSWERS_TWICE,
    CRASHES_RINGING,
    CRASHES_TALKING,
)
ROGUE = Script(challenge="sip.provider.example")
ROGUE_LATER = Script(challenge="sip.provider.example", challenges=frozenset({"re-INVITE", "BYE"}))
GARBAGE = Script(
    garbage=(
        b"\x00\xff" * 20,
        b"SIP/2.0 200",
        b"SIP/2.0 999 X\r\n\r\n",
        b"INVITE sip:x SIP/2.0\r\n\r\n",
        b"\r\n\r\n",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 1\r\nCSeq: -1 INVITE\r\n\r\n",
    )
)


def redirects(contact: str, status: int = 302) -> Script:
    """A phone that is somewhere else."""
    return Script(ring_after=None, status=status, contact=contact)
