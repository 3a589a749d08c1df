"""``/accounts/{account_id}/channels``: the live legs."""

from collections.abc import Sequence
from typing import Any

import falcon

from c2c_sip.api import envelope, listing
from c2c_sip.api.access import Access
from c2c_sip.api.answers import CHANNEL
from c2c_sip.api.body import read_data
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import invalid, not_found
from c2c_sip.calling.door import Calling
from c2c_sip.schemas import CHANNEL_ACTION, validate
from c2c_sip.store import Span

Row = dict[str, Any]

#: Of an activation, in hexadecimal digits.
_ID_LENGTH = 32


class Channels:
    """The list."""

    def __init__(self, access: Access, calling: Calling) -> None:
        self._access = access
        self._calling = calling

    @operation(Operation(answer=CHANNEL, many=True))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """The live legs of the account, those of the newest call first."""
        self._access.account(req, account_id)
        wanted = listing.read(req)
        legs = [
            leg
            for leg in self._calling.channels(account_id)
            if all(condition.matches(leg) for condition in wanted.filters)
        ]
        listing.answer(req, resp, lambda span: _page(legs, span), wanted, _shown)


def _page(legs: Sequence[Row], span: Span) -> list[Row]:
    """A part of the legs, call by call; the legs of one stay in their order.

    A page begins with the leg whose Call-ID is in the key; where that is over, with the first of its call, and where the
    call is, with the next call: none that lives all the time is missed.
    """
    calls: dict[tuple[float, str], list[Row]] = {}
    for leg in legs:
        created = leg["created"]
        if (span.created_from is None or created >= span.created_from) and (
            span.created_to is None or created < span.created_to + 1
        ):
            calls.setdefault((created, leg["activation_id"]), []).append(leg)
    found: list[Row] = []
    begun = span.start is None
    for place in sorted(calls, reverse=not span.ascending):
        here = calls[place]
        if span.start is not None and not begun:
            call = (span.start[0], span.start[1][:_ID_LENGTH])
            if place < call if span.ascending else place > call:
                continue
            begun = True
            if place == call:
                at = [leg["call_id"] for leg in here]
                first = span.start[1][_ID_LENGTH:]
                here = here[at.index(first) if first in at else 0 :]
        found += here
    return [leg | {"id": leg["activation_id"] + leg["call_id"]} for leg in found[: span.limit]]


def _shown(leg: Row) -> Row:
    """A leg as clients see it."""
    seen = {name: value for name, value in leg.items() if name != "created"}
    return seen | {"id": leg["call_id"], "timestamp": int(leg["created"]) + envelope.GREGORIAN}


class Channel:
    """One of them."""

    def __init__(self, access: Access, calling: Calling) -> None:
        self._access = access
        self._calling = calling

    @operation(Operation(answer=CHANNEL))
    def on_get(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, call_id: str
    ) -> None:
        """The leg."""
        self._access.account(req, account_id)
        channel = self._calling.channel(account_id, call_id)
        if channel is None:
            raise not_found()
        envelope.success(req, resp, _shown(channel))

    @operation(Operation(CHANNEL_ACTION, answer=CHANNEL))
    def on_post(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, call_id: str
    ) -> None:
        """Hang the call up; also by the Call-ID of a leg that is still to be dialled, as the activation's answer has it."""
        self._access.account(req, account_id, change=False)
        data = read_data(req)
        errors = validate(CHANNEL_ACTION, data)
        if errors:
            raise invalid(errors)
        channel = self._calling.hangup(account_id, call_id)
        if channel is None:
            raise not_found()
        envelope.success(req, resp, _shown(channel))
