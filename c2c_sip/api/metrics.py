"""``/metrics``, for Prometheus, which brings no token: whoever can reach it may read it, unless settings say otherwise."""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address, ip_network

import falcon

from c2c_sip import config
from c2c_sip.api import envelope
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import forbidden, not_found

#: Makes the figures in a form that an ``Accept`` header asks for, with its media type.
Exposition = Callable[[str], tuple[bytes, str]]

_networks = lru_cache(4)(lambda texts: [ip_network(text) for text in texts])


class Metrics:
    """All figures of the service.

    :param exposition: makes them; ``None`` where there are none
    :param address: reads a client's address off its request
    :param settings: who may ask
    """

    def __init__(
        self,
        exposition: Exposition | None,
        address: Callable[[falcon.Request], str],
        settings: Callable[[], config.Metrics],
    ) -> None:
        self._exposition = exposition
        self._address = address
        self._settings = settings

    @operation(
        Operation(
            who="anybody",
            envelope=False,
            answer_types=("text/plain", "application/openmetrics-text"),
            problems=(403, 404),
        )
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The figures, as text or as OpenMetrics. 404 where ``metrics.enabled`` is false."""
        settings = self._settings()
        if self._exposition is None or not settings.enabled:
            raise not_found()
        if settings.networks and not self._is_inside(req, settings.networks):
            raise forbidden()
        resp.data, resp.content_type = self._exposition(req.accept)
        envelope.headers(req, resp)

    def _is_inside(self, req: falcon.Request, networks: tuple[str, ...]) -> bool:
        try:
            client = ip_address(self._address(req))
        except ValueError:
            return False
        return any(client in network for network in _networks(networks))
