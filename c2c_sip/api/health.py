"""``/healthz`` and ``/readyz``, for whoever watches the service."""

import falcon
import peewee as pw

from c2c_sip.api import envelope
from c2c_sip.api.answers import STATUS
from c2c_sip.api.describe import Operation, operation
from c2c_sip.calling.door import Calling
from c2c_sip.store import Store, StoreError


class Health:
    """Whether the process answers."""

    @operation(Operation(answer=STATUS, who="anybody"))
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Always, if at all."""
        envelope.success(req, resp, {"status": "ok"})


class Ready:
    """Whether a call can be placed now."""

    def __init__(self, store: Store, calling: Calling) -> None:
        self._store = store
        self._calling = calling

    @operation(Operation(answer=STATUS, who="anybody", problems=(429,)))
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """200, 429 when all lines are taken, 503 with the reasons."""
        readiness = self._calling.readiness()
        reasons = list(readiness.reasons)
        try:
            self._store.ping()
        except (pw.PeeweeException, StoreError) as error:
            reasons.append(f"the database does not answer: {error}")
        if reasons:
            resp.set_header("Retry-After", "5")
            envelope.failure(req, resp, 503, "not_ready", {"reasons": reasons})
        elif readiness.full:
            resp.set_header("Retry-After", "5")
            envelope.failure(req, resp, 429, "full", {"reasons": ["all lines are in use"]})
        else:
            envelope.success(req, resp, {"status": "ready"})
