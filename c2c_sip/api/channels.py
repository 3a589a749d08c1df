"""``/accounts/{account_id}/channels``: the live legs."""

from typing import Any

import falcon

from c2c_sip.api import envelope, listing
from c2c_sip.api.access import Access
from c2c_sip.api.answers import CHANNEL
from c2c_sip.api.body import read_data
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import invalid, not_found
from c2c_sip.api.jsonschema import of_document
from c2c_sip.calling.door import Calling
from c2c_sip.schemas import CHANNEL_ACTION, validate


class Channels:
    """The list."""

    def __init__(self, access: Access, calling: Calling) -> None:
        self._access = access
        self._calling = calling

    @operation(Operation(answer={"type": "array", "items": of_document(CHANNEL)}))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """The live legs of the account, the newest call first; `filter_FIELD=value` as in other lists.

        All of them, in one page: who wants to hang up all calls is not to miss one.
        """
        self._access.account(req, account_id)
        wanted = listing.read(req)
        calls: dict[str, list[dict[str, Any]]] = {}
        for leg in self._calling.channels(account_id):
            if all(condition.matches(leg) for condition in wanted.filters):
                calls.setdefault(leg["activation_id"], []).append(leg)
        ordered = list(calls.values()) if wanted.span.ascending else [*reversed(calls.values())]
        envelope.success(req, resp, [leg for legs in ordered for leg in legs])


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
        envelope.success(req, resp, channel)

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
        envelope.success(req, resp, channel)
