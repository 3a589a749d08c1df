"""``…/{id}/hours``: whether a click-to-call calls now, for whoever may activate it."""

import time
from collections.abc import Callable

import falcon

from c2c_sip.api import envelope
from c2c_sip.api.access import Access
from c2c_sip.api.answers import HOURS
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import not_found
from c2c_sip.calling import hours
from c2c_sip.calling.defaults import effective
from c2c_sip.moments import to_second
from c2c_sip.store import Store


class Hours:
    """Whether it is open, and until when. ``wall`` gives the time of day in Unix seconds."""

    def __init__(self, store: Store, access: Access, wall: Callable[[], float] = time.time) -> None:
        self._store = store
        self._access = access
        self._wall = wall

    @operation(Operation(answer=HOURS, who="depends"))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        """Whether it calls now; public if the click-to-call is."""
        account = self._store.account(account_id)
        definition = self._store.clicktocall(account_id, id) if account else None
        if account is None or definition is None:
            raise not_found()
        definition = effective(account, definition)
        if definition.get("auth_required"):
            self._access.account(req, account_id)
        found = definition.get("hours") or {}
        now = self._wall()
        is_open = hours.is_open(found, now)
        change = hours.next_change(found, now)
        data = {
            "open": is_open,
            "timezone": found.get("timezone") or "UTC",
            "message": None if is_open else found.get("message") or hours.CLOSED,
            "changes": to_second(change) if change is not None else None,
        }
        envelope.success(req, resp, data)
