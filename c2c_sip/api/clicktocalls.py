"""``/accounts/{account_id}/clicktocall``: the definitions."""

from collections.abc import Callable

import falcon

from c2c_sip.api import conditions, envelope, listing
from c2c_sip.api.access import Access, Row
from c2c_sip.api.accounts import merged
from c2c_sip.api.answers import CLICKTOCALL_SHOWN, CLICKTOCALL_SUMMARY
from c2c_sip.api.body import read_data
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import invalid, not_found
from c2c_sip.calling.defaults import CALLER_IDS, DEFAULTABLE, effective
from c2c_sip.schemas import CLICKTOCALL, DEFAULTS, validate
from c2c_sip.store import Span, Store

#: What is ours to say, whatever a request has.
_READ_ONLY = ("id", "history_items", "revision")
#: What is shown even where the document does not say it.
_IMPLIED = frozenset({*DEFAULTS, *DEFAULTABLE, *CALLER_IDS, "realm", *_READ_ONLY})


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

    @operation(
        Operation(
            answer=CLICKTOCALL_SUMMARY,
            many=True,
            query={"filter_name": {}, "filter_extension": {}},
        )
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Summaries, newest first."""
        account = self._access.account(req, account_id)
        wanted = listing.read(req)
        # What stands in the document itself can be looked for by the database, roughly.
        sure = [f for f in wanted.filters if f.key.partition(".")[0] not in _IMPLIED]
        containing = [spellings for f in sure if (spellings := f.spellings())]

        def fetch(span: Span) -> list[Row]:
            rows = self._store.clicktocalls(account_id, span, containing)
            implied = DEFAULTS | {"realm": account["realm"]}
            return [implied | effective(account, row) for row in rows]

        listing.answer(req, resp, listing.documents(fetch, wanted), wanted, _summary)

    @operation(Operation(CLICKTOCALL, answer=CLICKTOCALL_SHOWN, status=(200, 201), problems=(403,)))
    def on_put(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Create one."""
        account = self._access.account(req, account_id)
        made = self._store.create_clicktocall(
            account_id, _checked(read_data(req)), self._access.actor(req)
        )
        status = 201 if envelope.version_of(req) == "v2" else 200
        envelope.success(req, resp, shown(made, account, 0), status=status, revision=1)


def _summary(document: Row) -> Row:
    return {name: document[name] for name in ("id", "name", "extension", "realm")}


def shown(document: Row, account: Row, history_items: int) -> Row:
    """A click-to-call as it is given out, with what holds where its document says nothing."""
    given = {k: v for k, v in document.items() if k != "revision"}
    said = DEFAULTS | {"realm": account["realm"]} | effective(account, given)
    return said | {"history_items": history_items}


class ClickToCall:
    """One of them."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer=CLICKTOCALL_SHOWN, problems=(304,)))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        """Its document."""
        account, found = self._access.clicktocall(req, account_id, id)
        self._show(req, resp, account, found)

    @operation(Operation(CLICKTOCALL, answer=CLICKTOCALL_SHOWN, problems=(403, 409, 412)))
    def on_post(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        """Replace it."""
        self._edit(req, resp, account_id, id, lambda found: read_data(req))

    @operation(
        Operation(CLICKTOCALL, partial=True, answer=CLICKTOCALL_SHOWN, problems=(403, 409, 412))
    )
    def on_patch(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str
    ) -> None:
        """Merge into it; null takes a field away."""
        self._edit(req, resp, account_id, id, lambda found: merged(found, read_data(req)))

    @operation(Operation(answer=CLICKTOCALL_SHOWN, problems=(403, 409, 412)))
    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str
    ) -> None:
        """Take it away."""
        account = self._access.account(req, account_id)

        def delete(found: Row, revision: int) -> Row | None:
            gone = self._store.delete_clicktocall(account_id, id, revision, self._access.actor(req))
            return found if gone else None

        gone = conditions.edit(req, lambda: self._read(account_id, id), delete)
        self._show(req, resp, account, gone)

    def _read(self, account_id: str, id: str) -> Row:
        found = self._store.clicktocall(account_id, id)
        if found is None:
            raise not_found()
        return found

    def _edit(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        id: str,
        change: Callable[[Row], Row],
    ) -> None:
        account = self._access.account(req, account_id)

        def write(found: Row, revision: int) -> Row | None:
            return self._store.update_clicktocall(
                account_id, id, _checked(change(found)), revision, self._access.actor(req)
            )

        changed = conditions.edit(req, lambda: self._read(account_id, id), write)
        self._show(req, resp, account, changed)

    def _show(
        self, req: falcon.Request, resp: falcon.Response, account: Row, document: Row
    ) -> None:
        items = self._store.history_items(document["id"])
        envelope.success(req, resp, shown(document, account, items), revision=document["revision"])
