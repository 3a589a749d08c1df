"""``/settings``: what the service runs with, for whoever runs it."""

from collections.abc import Callable

import falcon

from c2c_sip import settings
from c2c_sip.api import envelope
from c2c_sip.api.access import Access
from c2c_sip.api.answers import SETTING
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.jsonschema import of_document
from c2c_sip.config import Config


class Settings:
    """The list.

    :param config: what the service runs with now
    """

    def __init__(self, access: Access, config: Callable[[], Config]) -> None:
        self._access = access
        self._config = config

    @operation(
        Operation(answer={"type": "array", "items": of_document(SETTING)}, problems=(403,)),
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every setting with where it comes from, without secrets. Only for the master account."""
        self._access.operator(req)
        envelope.success(req, resp, settings.shown(self._config()))
