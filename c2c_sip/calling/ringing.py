"""Phones that ring at once: who still does, what the others are told, and what it comes to if nobody answers. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from c2c_sip.calling.diagnosis import Why
from c2c_sip.calling.plan import LegPlan

#: What those are told who were not the first (:rfc:`3326` §2), so that no phone shows it as a call that was missed.
COMPLETED_ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
#: Kazoo's hangup cause of their legs.
LOST = "LOSE_RACE"

#: Of several reasons why nobody answers, the first of these is the call's: what comes closest to somebody being there.
_TELLING = ("NO_ANSWER", "USER_BUSY", "CALL_REJECTED")


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a call, or a leg of it, is over: its hangup cause, the SIP status behind it, and the leg that it came from.

    ``why`` and ``detail`` say what that leg does not.
    """

    cause: str
    status: int | None = None
    plan: LegPlan | None = None
    why: Why = ""
    detail: str = ""


class Over(Exception):
    """The call is over."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.cause)
        self.ending = ending


class RingGroup:
    """Who is rung, and has not said no.

    A refusal is that of one phone, also ``603 Decline``, which by :rfc:`3261` §21.6.2 speaks for all the phones of one
    user: these may be several users'.
    """

    def __init__(self, plans: Sequence[LegPlan]) -> None:
        self._left = {plan.call_id for plan in plans}
        self._refusals: list[Ending] = []

    def __contains__(self, plan: LegPlan | None) -> bool:
        return plan is not None and plan.call_id in self._left

    def refused(self, ending: Ending) -> None:
        """A leg will not be answered.

        :raises Over: it was the last
        """
        assert ending.plan is not None
        self._left.remove(ending.plan.call_id)
        self._refusals.append(ending)
        if not self._left:
            raise Over(min(self._refusals, key=_rank))


def _rank(ending: Ending) -> int:
    return _TELLING.index(ending.cause) if ending.cause in _TELLING else len(_TELLING)
