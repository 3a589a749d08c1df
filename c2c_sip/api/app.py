"""The Falcon application: which resource is where."""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import falcon

from c2c_sip.api import errors, openapi
from c2c_sip.api.access import Access
from c2c_sip.api.accounts import Account, Accounts, ApiKey, Children, Parents
from c2c_sip.api.attempts import Attempts
from c2c_sip.api.audit import AuditLog
from c2c_sip.api.authentication import ApiAuth, TokenAuth, UserAuth
from c2c_sip.api.button import ButtonPage, ButtonScript, ButtonState
from c2c_sip.api.cdrs import Cdr, Cdrs
from c2c_sip.api.channels import Channel, Channels
from c2c_sip.api.clicktocalls import ClickToCall, ClickToCalls
from c2c_sip.api.client import address_reader
from c2c_sip.api.connect import ActivationState, Connect
from c2c_sip.api.console import Console, ConsoleFile
from c2c_sip.api.docs import Docs, OpenApi
from c2c_sip.api.frame import Frame
from c2c_sip.api.guarding import Links, NeverCall, NeverCallMe, NeverCalls
from c2c_sip.api.health import Health, Ready
from c2c_sip.api.history import AccountHistory, AccountHistoryItem, History, HistoryItem
from c2c_sip.api.hours import Hours
from c2c_sip.api.media import Audio, Media, MediaList, MediaRaw
from c2c_sip.api.metrics import Exposition, Metrics
from c2c_sip.api.recordings import RecordingFile
from c2c_sip.api.settings import Settings
from c2c_sip.api.trace import LadderPicture, LadderText, TraceCapture, TraceJson
from c2c_sip.api.traffic import Traffic
from c2c_sip.api.trunks import Trunks
from c2c_sip.api.users import User, Users
from c2c_sip.api.webhooks import Webhook, WebhookAttempts, WebhookList
from c2c_sip.calling.door import Calling
from c2c_sip.config import Config
from c2c_sip.store import Store
from sipstack.media.recording import Recorder


def create_app(
    *,
    store: Store,
    calling: Calling,
    config: Config,
    version: str,
    node: str,
    recorder: Recorder | None = None,
    trunks: Callable[[], list[dict[str, Any]]] = list,
    traffic: Traffic | None = None,
    metrics: Exposition | None = None,
    current: Callable[[], Config] | None = None,
) -> "falcon.App[Any, Any]":
    """The WSGI application.

    :param recorder: whoever has the recordings, if calls can be recorded
    :param trunks: how the trunks are now, see :mod:`c2c_sip.calling.trunks`
    :param traffic: counts the requests
    :param current: the settings that hold now, where some may change; ``config`` are those of the start
    :param metrics: what ``/metrics`` answers, see :mod:`c2c_sip.metrics`
    """
    now = current or (lambda: config)

    def origins() -> tuple[str, ...]:
        return now().http.allowed_origins

    address = address_reader(config.http.trusted_proxies)
    frame = Frame(store, origins, node, version, traffic or Traffic(), address)
    app = falcon.App(middleware=[frame])
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.auto_parse_form_urlencoded = False
    app.req_options.keep_blank_qs_values = True
    errors.install(app)
    app.add_sink(_nowhere)
    access = Access(store, address, Attempts(max(1, config.http.threads // 2)))
    audio = Audio(store, access, config)
    told = [ip_network(text) for text in config.webhooks.networks]
    account = "/accounts/{account_id}"
    one = account + "/clicktocall/{id}"
    connect = Connect(store, access, calling, now)
    routes: dict[str, Any] = {
        "/user_auth": UserAuth(store, access),
        "/api_auth": ApiAuth(store, access),
        "/token_auth": TokenAuth(store, access),
        "/accounts": Accounts(store, access),
        account: Account(store, access),
        account + "/api_key": ApiKey(store, access),
        account + "/children": Children(store, access, deep=False),
        account + "/descendants": Children(store, access, deep=True),
        account + "/parents": Parents(store, access),
        account + "/tree": Parents(store, access),
        account + "/users": Users(store, access),
        account + "/users/{user_id}": User(store, access),
        account + "/media": MediaList(store, access),
        account + "/media/{media_id}": Media(store, access, audio),
        account + "/media/{media_id}/raw": MediaRaw(access, audio),
        account + "/webhooks": WebhookList(store, access, told),
        account + "/webhooks/{webhook_id}": Webhook(store, access, told),
        account + "/webhooks/{webhook_id}/attempts": WebhookAttempts(store, access, told),
        account + "/audit": AuditLog(store, access),
        account + "/clicktocall": ClickToCalls(store, access),
        one: ClickToCall(store, access),
        one + "/connect": connect,
        one + "/connect/{activation_id}": ActivationState(store, access),
        one + "/connect/{activation_id}/never_call": NeverCallMe(store, access),
        one + "/hours": Hours(store, access),
        one + "/link": Links(store, access, calling),
        one + "/history": History(store, access, recorder),
        one + "/history/{activation_id}": HistoryItem(store, access, recorder),
        one + "/history/{activation_id}/ladder.txt": LadderText(store, access, calling),
        one + "/history/{activation_id}/ladder.svg": LadderPicture(store, access, calling),
        one + "/history/{activation_id}/trace.json": TraceJson(store, access, calling),
        one + "/history/{activation_id}/trace.pcap": TraceCapture(store, access, calling),
        one + "/history/{activation_id}/recording.wav": RecordingFile(store, access, recorder),
        account + "/history": AccountHistory(store, access, recorder),
        account + "/history/{activation_id}": AccountHistoryItem(store, access, recorder),
        account + "/cdrs": Cdrs(store, access),
        account + "/cdrs/{cdr_id}": Cdr(store, access),
        account + "/channels": Channels(access, calling),
        account + "/channels/{call_id}": Channel(access, calling),
        "/trunks": Trunks(access, trunks),
        "/settings": Settings(access, now),
        account + "/never_call": NeverCalls(store, access, calling),
        account + "/never_call/{number}": NeverCall(store, access, calling),
    }
    for path, resource in routes.items():
        if hasattr(resource, "on_get") and not isinstance(resource, Connect):
            # Not of connect, where GET dials: whoever only looks whether there is something must ring nobody.
            resource.on_head = resource.on_get
        app.add_route(f"/v1{path}", resource)
        app.add_route(f"/v2{path}", resource)
    watched: dict[str, Any] = {
        "/healthz": Health(),
        "/readyz": Ready(store, calling),
        "/metrics": Metrics(metrics, address, lambda: now().metrics),
    }

    def describe() -> dict[str, Any]:
        return openapi.describe(routes | watched, version)

    top = watched | {
        "/openapi.json": OpenApi(describe),
        "/docs": Docs(describe),
        "/button.js": ButtonScript(),
        "/button/{account_id}/{id}": ButtonPage(connect, store, origins),
        "/button/{account_id}/{id}/{activation_id}": ButtonState(connect, store, origins),
    }
    for path, page in {"/console": Console(), "/console/{name}": ConsoleFile()}.items():
        page.on_head = page.on_get  # type: ignore[attr-defined]
        app.add_route(path, page)
    for path, resource in top.items():
        resource.on_head = resource.on_get
        for prefix in ("", "/v1", "/v2"):
            app.add_route(prefix + path, resource)
    return app


def _nowhere(req: falcon.Request, resp: falcon.Response, **params: Any) -> None:
    raise errors.not_found()
