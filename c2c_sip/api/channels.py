"""``/accounts/{account_id}/channels``: the live legs."""

import falcon

from c2c_sip.api import envelope
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
        """The live legs of the account."""
        self._access.account(req, account_id)
        envelope.success(req, resp, self._calling.channels(account_id))


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
