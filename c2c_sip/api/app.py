"""The Falcon application: which resource is where."""

from typing import Any

import falcon

from c2c_sip.api import envelope, errors
from c2c_sip.api.access import Access
from c2c_sip.api.accounts import Account, Accounts, ApiKey
from c2c_sip.api.authentication import ApiAuth, TokenAuth, UserAuth
from c2c_sip.api.cdrs import Cdr, Cdrs
from c2c_sip.api.channels import Channel, Channels
from c2c_sip.api.clicktocalls import ClickToCall, ClickToCalls
from c2c_sip.api.connect import ActivationState, Connect
from c2c_sip.api.health import Health, Ready
from c2c_sip.api.history import History, HistoryItem
from c2c_sip.calling.door import Calling
from c2c_sip.config import Config
from c2c_sip.store import Store


class _Frame:
    """What happens around each request: its id, the origins that may ask, and the thread's connection."""

    def __init__(self, store: Store, origins: tuple[str, ...], node: str, version: str) -> None:
        self._store = store
        self._origins = origins
        self._node = node
        self._version = version

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        envelope.start(req, self._node, self._version)
        if "\0" in req.path or "%00" in req.query_string:
            raise errors.not_found()  # nothing that is kept has it in its name, and PostgreSQL fails on it

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, succeeded: bool
    ) -> None:
        self._store.release()
        resp.set_header("X-Content-Type-Options", "nosniff")
        if isinstance(resource, (Connect, ActivationState)) and self._origins:
            resp.append_header("Vary", "Origin")
            origin = req.get_header("Origin")
            if origin and (origin in self._origins or "*" in self._origins):
                resp.set_header("Access-Control-Allow-Origin", origin)
                resp.set_header("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
                resp.set_header("Access-Control-Allow-Headers", "Content-Type, X-Auth-Token")
                resp.set_header("Access-Control-Max-Age", "600")


def create_app(
    *, store: Store, calling: Calling, config: Config, version: str, node: str
) -> "falcon.App[Any, Any]":
    """The WSGI application."""
    app = falcon.App(middleware=[_Frame(store, config.http.allowed_origins, node, version)])
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.auto_parse_form_urlencoded = False
    app.req_options.keep_blank_qs_values = True
    errors.install(app)
    app.add_sink(_nowhere)
    access = Access(store)
    account = "/accounts/{account_id}"
    one = account + "/clicktocall/{id}"
    routes: dict[str, Any] = {
        "/user_auth": UserAuth(store),
        "/api_auth": ApiAuth(store),
        "/token_auth": TokenAuth(store, access),
        "/accounts": Accounts(store, access),
        account: Account(store, access),
        account + "/api_key": ApiKey(store, access),
        account + "/clicktocall": ClickToCalls(store, access),
        one: ClickToCall(store, access),
        one + "/connect": Connect(store, access, calling, config),
        one + "/connect/{activation_id}": ActivationState(store, access),
        one + "/history": History(store, access),
        one + "/history/{activation_id}": HistoryItem(store, access),
        account + "/cdrs": Cdrs(store, access),
        account + "/cdrs/{cdr_id}": Cdr(store, access),
        account + "/channels": Channels(access, calling),
        account + "/channels/{call_id}": Channel(access, calling),
    }
    for path, resource in routes.items():
        if hasattr(resource, "on_get") and not isinstance(resource, Connect):
            # Not of connect, where GET dials: whoever only looks whether there is something must ring nobody.
            resource.on_head = resource.on_get
        app.add_route(f"/v1{path}", resource)
        app.add_route(f"/v2{path}", resource)
    for prefix in ("", "/v1", "/v2"):
        app.add_route(f"{prefix}/healthz", Health())
        app.add_route(f"{prefix}/readyz", Ready(store, calling))
    return app


def _nowhere(req: falcon.Request, resp: falcon.Response, **params: Any) -> None:
    raise errors.not_found()
