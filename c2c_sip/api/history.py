"""``…/{id}/history``: what was called."""

import falcon

from c2c_sip.api import envelope, listing
from c2c_sip.api.access import Access
from c2c_sip.api.answers import HISTORY_ITEM
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import not_found
from c2c_sip.store import Store

COLUMNS = (
    "id",
    "contact",
    "timestamp",
    "unix_timestamp",
    "iso_8601",
    "state",
    "result",
    "cause",
    "sip_status",
    "duration_seconds",
    "billing_seconds",
    "ringing_seconds",
    "explanation",
    "call_id",
    "cdr_id",
    "extension_call_id",
    "extension_cdr_id",
)
"""Of the CSV table."""


class History:
    """The list of activations."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer=HISTORY_ITEM, many=True, answer_types=("text/csv",)))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        """History objects, newest first; also as CSV."""
        self._access.clicktocall(req, account_id, id)
        wanted = listing.read(req)
        filters = listing.records(wanted, {})
        listing.answer(
            req,
            resp,
            lambda span: self._store.history(id, span, filters),
            wanted,
            envelope.history_item,
            COLUMNS,
        )


class HistoryItem:
    """One of them."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer=HISTORY_ITEM))
    def on_get(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        id: str,
        activation_id: str,
    ) -> None:
        """The history object."""
        self._access.clicktocall(req, account_id, id)
        row = self._store.activation(id, activation_id)
        if row is None:
            raise not_found()
        envelope.success(req, resp, envelope.history_item(row))
