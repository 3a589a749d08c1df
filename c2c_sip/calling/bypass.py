"""Audio past us: the two parties are told of each other's addresses, and send to each other (:rfc:`3725`).

They are connected by the relay first, as always. Then the contact is offered what the extension has described, and with
what it answers the extension is. Whoever refuses leaves all as it was, and the relay goes on.
"""

from __future__ import annotations

import logging

from c2c_sip.calling.leg import Leg
from sipstack.events import OfferAnswered, OfferRefused, Renegotiated

log = logging.getLogger(__name__)


class Bypass:
    """The way of one pair of legs out of the relay, and back into it."""

    def __init__(self, extension: Leg, contact: Leg) -> None:
        self._extension = extension
        self._contact = contact
        #: Who has been offered the other's stream and has not answered.
        self._asked: Leg | None = None
        #: Whether the two send to each other.
        self.is_on = False
        self._begin()

    def takes(self, leg: Leg, event: object) -> bool:
        """Do what an event of a leg asks for; whether that was all that there is to be done."""
        match event:
            case OfferAnswered():
                self.answered(leg)
            case OfferRefused():
                self.refused(leg)
            case Renegotiated() if self.is_on or self._asked is not None:
                self.moved(leg)
                return True
        return False

    def _begin(self) -> None:
        remotes = [leg.remote for leg in (self._extension, self._contact)]
        # Where a description leads into an inner network, we send nothing there, and nor is anybody else to. And the keys of
        # encrypted audio are each peer's own with us.
        if all(
            remote is not None
            and remote.agreement is None
            and not remote.withheld
            and not remote.on_hold
            for remote in remotes
        ):
            self._offer(self._contact, self._extension)

    def _offer(self, leg: Leg, other: Leg) -> None:
        """Offer a leg's peer the other's stream."""
        if leg.call.session is None or other.remote is None:
            return
        self._asked = leg
        leg.local.stand_for(other.remote)
        leg.call.session.offer(other.remote.direction)

    def other(self, leg: Leg) -> Leg:
        """The one that a leg belongs to."""
        return self._contact if leg is self._extension else self._extension

    def answered(self, leg: Leg) -> None:
        """The peer of a leg has answered our offer."""
        if self._asked is not leg:
            return
        self._asked = None
        if self.is_on:
            return
        if leg is self._contact:
            self._offer(self._extension, self._contact)
        else:
            self.is_on = True

    def refused(self, leg: Leg) -> None:
        """The peer of a leg has refused our offer."""
        if self._asked is not leg:
            return
        log.info("call %s is not taken past the relay: an offer was refused", leg.plan.call_id)
        if not self.is_on:
            # What it had before is what it has still.
            leg.local.stand_for(None)
        self.end()

    def moved(self, leg: Leg) -> None:
        """The peer of a leg has another address, holds, or is back: the other one has to know."""
        other = self.other(leg)
        if not self.is_on:
            # It has come between our offers: what was offered is not so any more.
            self.end()
            other.follow(leg, None)
            return
        if leg.remote is None or leg.remote.withheld:
            self.end()
            return
        self._offer(other, leg)

    def end(self) -> None:
        """Back to the relay."""
        self._asked = None
        self.is_on = False
        for leg in (self._extension, self._contact):
            self._back(leg)

    @staticmethod
    def _back(leg: Leg) -> None:
        if leg.local.stands_for_another and leg.call.session is not None and not leg.closed:
            leg.local.stand_for(None)
            leg.call.session.offer(leg.local.direction)
