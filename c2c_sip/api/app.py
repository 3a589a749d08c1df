"""The Falcon application: which resource is where."""

from typing import Any

import falcon

from c2c_sip.api import errors
from c2c_sip.api.access import Access
from c2c_sip.api.accounts import Account, Accounts, ApiKey
from c2c_sip.api.authentication import ApiAuth, TokenAuth, UserAuth
from c2c_sip.api.cdrs import Cdr, Cdrs
from c2c_sip.api.channels import Channel, Channels
from c2c_sip.api.clicktocalls import ClickToCall, ClickToCalls
from c2c_sip.api.connect import ActivationState, Connect
from c2c_sip.api.frame import Frame
from c2c_sip.api.guarding import Links, NeverCallMe, NeverCalls
from c2c_sip.api.health import Health, Ready
from c2c_sip.api.history import History, HistoryItem
from c2c_sip.calling.door import Calling
from c2c_sip.config import Config
from c2c_sip.store import Store


def create_app(
    *, store: Store, calling: Calling, config: Config, version: str, node: str
) -> "falcon.App[Any, Any]":
    """The WSGI application."""
    app = falcon.App(middleware=[Frame(store, config.http.allowed_origins, node, version)])
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
        one + "/connect/{activation_id}/never_call": NeverCallMe(store),
        one + "/link": Links(access, calling),
        one + "/history": History(store, access),
        one + "/history/{activation_id}": HistoryItem(store, access),
        account + "/cdrs": Cdrs(store, access),
        account + "/cdrs/{cdr_id}": Cdr(store, access),
        account + "/channels": Channels(access, calling),
        account + "/channels/{call_id}": Channel(access, calling),
    }
    never_calls = NeverCalls(store, access, calling)
    routes[account + "/never_call"] = never_calls
    for version_ in ("/v1", "/v2"):
        app.add_route(f"{version_}{account}/never_call/{{number}}", never_calls, suffix="number")
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
