"""``…/{id}/history``: what was called; and ``/accounts/{account_id}/history``, over all click-to-calls."""

import falcon

from c2c_sip.api import envelope, listing
from c2c_sip.api.access import Access
from c2c_sip.api.answers import ACCOUNT_HISTORY_ITEM, HISTORY_ITEM
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import invalid, not_found
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
LONGEST_SEARCH = 256


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


class AccountHistory:
    """The list of an account's activations."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(
        Operation(
            answer=ACCOUNT_HISTORY_ITEM,
            many=True,
            answer_types=("text/csv",),
            query={
                "search": {
                    "type": "string",
                    "maxLength": LONGEST_SEARCH,
                    "description": "What is in the contact, or in the click-to-call's name.",
                }
            },
        )
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """History objects of all click-to-calls, also of those that are gone, newest first; also as CSV."""
        self._access.account(req, account_id)
        wanted = listing.read(req)
        filters = listing.records(wanted, {})
        search = (req.get_param("search") or "").strip()
        if len(search) > LONGEST_SEARCH:
            message = f"String must not be more than {LONGEST_SEARCH} characters"
            detail = {"message": message, "cause": search, "target": LONGEST_SEARCH}
            raise invalid({"search": {"maxLength": detail}})
        listing.answer(
            req,
            resp,
            lambda span: self._store.histories.of_account(account_id, span, filters, search),
            wanted,
            envelope.account_history_item,
            (*COLUMNS, "clicktocall_id", "clicktocall_name"),
        )


class AccountHistoryItem:
    """One of them."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer=ACCOUNT_HISTORY_ITEM))
    def on_get(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, activation_id: str
    ) -> None:
        """The history object."""
        self._access.account(req, account_id)
        row = self._store.histories.one(account_id, activation_id)
        if row is None:
            raise not_found()
        envelope.success(req, resp, envelope.account_history_item(row))
