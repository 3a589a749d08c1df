"""What happens around each request: its id, the verb it stands for, and what every answer's head has."""

import logging
import time
from collections.abc import Callable
from typing import Any

import falcon

from c2c_sip import logs
from c2c_sip.api import body, envelope
from c2c_sip.api.connect import ActivationState, Connect
from c2c_sip.api.errors import invalid, not_found
from c2c_sip.api.guarding import NeverCallMe
from c2c_sip.api.traffic import Traffic
from c2c_sip.store import Store

log = logging.getLogger("c2c_sip.api.access")

#: What a POST may stand for, from clients that know no other verb.
TUNNELLED = ("GET", "PUT", "POST", "PATCH", "DELETE")


_POLICY, _NONE = "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"
#: What keeps a browser from making more of an answer than it is. A resource that is a page says otherwise itself.
_HEADERS = (
    (_POLICY, _NONE),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


class Frame:
    """The middleware."""

    def __init__(
        self,
        store: Store,
        origins: Callable[[], tuple[str, ...]],
        node: str,
        version: str,
        traffic: Traffic,
        address: Callable[[falcon.Request], str],
    ) -> None:
        self._store = store
        self._address = address
        self._traffic = traffic
        self._origins = origins
        self._node = node
        self._version = version

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Before the route is looked for."""
        req.context.began = time.perf_counter()
        envelope.start(req, self._node, self._version)
        resp.set_headers(_HEADERS)
        logs.request.set(req.context.request_id)
        if "\0" in req.path:
            raise not_found()  # nothing that is kept has it in its name, and PostgreSQL fails on it
        if req.method == "POST":
            self._tunnel(req)

    @staticmethod
    def _tunnel(req: falcon.Request) -> None:
        verb: Any = req.get_param("verb") or body.peek(req, "verb")
        if verb is None:
            return
        if not isinstance(verb, str) or verb.upper() not in TUNNELLED:
            message = "Value must be one of " + ", ".join(TUNNELLED)
            raise invalid({"verb": {"enum": {"message": message, "cause": verb}}})
        req.method = verb.upper()
        req.context.tunnelled = True

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, succeeded: bool
    ) -> None:
        """After the answer is made."""
        self._store.release()
        seconds = time.perf_counter() - req.context.began
        self._traffic.count(req.method, req.uri_template, resp.status_code, seconds)
        if log.isEnabledFor(logging.DEBUG):
            # Without its query, which may have a token.
            line = "%s %s from %s: %d, %.1f ms"
            who, status = self._address(req), resp.status_code
            log.debug(line, req.method, req.path[:300], who, status, 1000 * seconds)
        logs.request.set("")
        if resp.get_header(_POLICY) == _NONE:
            resp.set_header("X-Frame-Options", "DENY")
        origins = self._origins()
        if origins and isinstance(resource, (Connect, ActivationState, NeverCallMe)):
            resp.append_header("Vary", "Origin")
            origin = req.get_header("Origin")
            if origin and (origin in origins or "*" in origins):
                resp.set_header("Access-Control-Allow-Origin", origin)
                resp.set_header("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
                resp.set_header("Access-Control-Allow-Headers", "Content-Type, X-Auth-Token")
                resp.set_header("Access-Control-Expose-Headers", "Retry-After")
                resp.set_header("Access-Control-Max-Age", "600")
