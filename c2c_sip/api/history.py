"""``…/{id}/history``: what was called."""

import falcon

from c2c_sip.api import envelope, listing
from c2c_sip.api.access import Access
from c2c_sip.api.errors import not_found
from c2c_sip.store import Store


class History:
    """The list of activations."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        """History objects, newest first."""
        self._access.clicktocall(req, account_id, id)
        rows, more = listing.page(
            lambda **query: self._store.history(id, **query), listing.read(req)
        )
        envelope.success(req, resp, [envelope.activation(row) for row in rows], **more)


class HistoryItem:
    """One of them."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

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
        envelope.success(req, resp, envelope.activation(row))
