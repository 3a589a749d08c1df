"""``…/{id}/history``: what was called; and ``/accounts/{account_id}/history``, over all click-to-calls."""

from typing import Any

import falcon

from c2c_sip.api import envelope, listing
from c2c_sip.api.access import Access
from c2c_sip.api.answers import ACCOUNT_HISTORY_ITEM, HISTORY_ITEM
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import invalid, not_found
from c2c_sip.api.recordings import is_recorded
from c2c_sip.store import Store
from sipstack.media.recording import Recorder

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

    def __init__(self, store: Store, access: Access, recorder: Recorder | None) -> None:
        self._store = store
        self._access = access
        self._recorder = recorder

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
            lambda row: envelope.history_item(row, is_recorded(self._recorder, row)),
            COLUMNS,
        )


class HistoryItem:
    """One of them."""

    def __init__(self, store: Store, access: Access, recorder: Recorder | None) -> None:
        self._store = store
        self._access = access
        self._recorder = recorder

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
        recording = is_recorded(self._recorder, row)
        envelope.success(req, resp, envelope.history_item(row, recording))


class AccountHistory:
    """The list of an account's activations."""

    def __init__(self, store: Store, access: Access, recorder: Recorder | None) -> None:
        self._store = store
        self._access = access
        self._recorder = recorder

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
            self._shown,
            (*COLUMNS, "clicktocall_id", "clicktocall_name"),
        )

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        return _of_account(self._recorder, row)


class AccountHistoryItem:
    """One of them."""

    def __init__(self, store: Store, access: Access, recorder: Recorder | None) -> None:
        self._store = store
        self._access = access
        self._recorder = recorder

    @operation(Operation(answer=ACCOUNT_HISTORY_ITEM))
    def on_get(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, activation_id: str
    ) -> None:
        """The history object."""
        self._access.account(req, account_id)
        row = self._store.histories.one(account_id, activation_id)
        if row is None:
            raise not_found()
        envelope.success(req, resp, _of_account(self._recorder, row))


def _of_account(recorder: Recorder | None, row: dict[str, Any]) -> dict[str, Any]:
    # The files of a call are to be had as long as there is its click-to-call.
    recording = not row["clicktocall_is_gone"] and is_recorded(recorder, row)
    return envelope.account_history_item(row, recording)
