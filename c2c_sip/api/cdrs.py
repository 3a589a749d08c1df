"""``/accounts/{account_id}/cdrs``: one record a leg."""

import falcon

from c2c_sip.api import envelope, listing
from c2c_sip.api.access import Access
from c2c_sip.api.answers import CDR
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import not_found
from c2c_sip.store import Store

#: Fields of a CDR whose columns are named otherwise.
_COLUMNS = {
    "from": "from_uri",
    "to": "to_uri",
    "hangup_cause": "cause",
    "interaction_id": "activation_id",
}
COLUMNS = (
    "id",
    "call_id",
    "activation_id",
    "role",
    "direction",
    "from",
    "to",
    "timestamp",
    "unix_timestamp",
    "iso_8601",
    "answered",
    "duration_seconds",
    "billing_seconds",
    "ringing_seconds",
    "hangup_cause",
    "sip_status",
    "hangup_by",
    "media",
)
"""Of the CSV table."""


class Cdrs:
    """The list."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer=CDR, many=True, answer_types=("text/csv",)))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """CDRs, newest first; also as CSV."""
        self._access.account(req, account_id)
        wanted = listing.read(req)
        filters = listing.records(wanted, _COLUMNS)
        listing.answer(
            req,
            resp,
            lambda span: self._store.cdrs(account_id, span, filters),
            wanted,
            envelope.cdr,
            COLUMNS,
        )


class Cdr:
    """One of them."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer=CDR))
    def on_get(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, cdr_id: str
    ) -> None:
        """The CDR."""
        self._access.account(req, account_id)
        row = self._store.cdr(account_id, cdr_id)
        if row is None:
            raise not_found()
        envelope.success(req, resp, envelope.cdr(row))
