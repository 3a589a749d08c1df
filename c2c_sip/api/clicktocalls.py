"""``/accounts/{account_id}/clicktocall``: the definitions."""

import json
from typing import Any

import falcon

from c2c_sip.api import envelope, listing
from c2c_sip.api.access import Access, Row
from c2c_sip.api.accounts import merged
from c2c_sip.api.body import read_data
from c2c_sip.api.errors import invalid, not_found
from c2c_sip.schemas import CLICKTOCALL, DEFAULTS, validate
from c2c_sip.store import Store

#: What is ours to say, whatever a request has.
_READ_ONLY = ("id", "history_items", "revision")


def _checked(document: Row) -> Row:
    document = {k: v for k, v in document.items() if k not in _READ_ONLY}
    errors = validate(CLICKTOCALL, document)
    if errors:
        raise invalid(errors)
    return document


class ClickToCalls:
    """The list."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Summaries, newest first."""
        account = self._access.account(req, account_id)
        wanted = listing.read(req)

        def fetch(*, where: dict[str, str], limit: int, **query: Any) -> list[Row]:
            # A document may have any field: what is filtered by is looked for here, not by the database.
            found = self._store.clicktocalls(account_id, limit=None if where else limit, **query)
            rows = [DEFAULTS | {"realm": account["realm"]} | row for row in found]
            return [
                row
                for row in rows
                if all(_matches(row, name, value) for name, value in where.items())
            ][:limit]

        rows, more = listing.page(fetch, wanted)
        summaries = [
            {
                "id": row["id"],
                "name": row["name"],
                "extension": row["extension"],
                "realm": row["realm"],
            }
            for row in rows
        ]
        envelope.success(req, resp, summaries, **more)

    def on_put(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Create one."""
        account = self._access.account(req, account_id)
        made = self._store.create_clicktocall(account_id, _checked(read_data(req)))
        status = 201 if envelope.version_of(req) == "v2" else 200
        envelope.success(req, resp, shown(made, account, 0), status=status, revision=1)


def _matches(row: Row, name: str, value: str) -> bool:
    """Whether the field at a dotted name is there and its value is written so."""
    found: Any = row
    for step in name.split("."):
        if not isinstance(found, dict) or step not in found:
            return False
        found = found[step]
    return (found if isinstance(found, str) else json.dumps(found)) == value


def shown(document: Row, account: Row, history_items: int) -> Row:
    """A click-to-call as it is given out, with what holds where its document says nothing."""
    given = {k: v for k, v in document.items() if k != "revision"}
    return DEFAULTS | {"realm": account["realm"]} | given | {"history_items": history_items}


class ClickToCall:
    """One of them."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        """Its document."""
        account, found = self._access.clicktocall(req, account_id, id)
        self._show(req, resp, account, found)

    def on_post(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        """Replace it."""
        account, _ = self._access.clicktocall(req, account_id, id)
        self._update(req, resp, account, id, read_data(req))

    def on_patch(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str
    ) -> None:
        """Merge into it; null takes a field away."""
        account, found = self._access.clicktocall(req, account_id, id)
        self._update(req, resp, account, id, merged(found, read_data(req)))

    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str
    ) -> None:
        """Take it away."""
        account, found = self._access.clicktocall(req, account_id, id)
        items = self._store.history_items(id)
        self._store.delete_clicktocall(account_id, id)
        envelope.success(req, resp, shown(found, account, items), revision=found["revision"])

    def _update(
        self, req: falcon.Request, resp: falcon.Response, account: Row, id: str, document: Row
    ) -> None:
        changed = self._store.update_clicktocall(account["id"], id, _checked(document))
        if changed is None:
            raise not_found()  # deleted in the meantime
        self._show(req, resp, account, changed)

    def _show(
        self, req: falcon.Request, resp: falcon.Response, account: Row, document: Row
    ) -> None:
        items = self._store.history_items(document["id"])
        envelope.success(req, resp, shown(document, account, items), revision=document["revision"])
