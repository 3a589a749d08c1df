"""``/trunks``: how the trunks are now, for whoever runs the service."""

from collections.abc import Callable
from typing import Any

import falcon

from c2c_sip.api import envelope
from c2c_sip.api.access import Access
from c2c_sip.api.answers import TRUNK
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.jsonschema import of_document


class Trunks:
    """The list."""

    def __init__(self, access: Access, trunks: Callable[[], list[dict[str, Any]]]) -> None:
        self._access = access
        self._trunks = trunks

    @operation(
        Operation(answer={"type": "array", "items": of_document(TRUNK)}, problems=(403,)),
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every trunk, in the order of the configuration. Only for the master account."""
        self._access.operator(req)
        envelope.success(req, resp, self._trunks())
