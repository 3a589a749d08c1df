"""``…/{id}/connect``: the activation, and its state."""

import threading
from collections.abc import Callable
from typing import Any

import falcon

from c2c_sip.api import envelope, page
from c2c_sip.api.access import Access, Row
from c2c_sip.api.answers import ACTIVATION
from c2c_sip.api.body import read_contact, read_flag, read_text
from c2c_sip.api.client import is_local
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import ApiError, not_found, unauthorized
from c2c_sip.calling.causes import UNANSWERED
from c2c_sip.calling.defaults import effective
from c2c_sip.calling.door import Calling
from c2c_sip.calling.guard import Proof
from c2c_sip.config import Config
from c2c_sip.schemas import CONTACT
from c2c_sip.store import Store

#: What is accepted of it is for the click-to-call to say; a number or a SIP URI in any case.
_CONTACT: dict[str, Any] = {
    "type": "string",
    "maxLength": 256,
    "pattern": CONTACT,
    "examples": ["+12025550102"],
}
_FORM = {"type": "object", "properties": {"contact": _CONTACT}, "required": ["contact"]}
#: What a browser calls a request that nobody has asked for yet.
_AHEAD = ("prefetch", "prerender", "preview")
#: For what a browser gets a URL that somebody follows, and what a script gets; nothing else starts a call.
_DESTINATIONS = frozenset({"document", "iframe", "frame", "empty"})
#: The fields in which the providers' widgets put a captcha's response.
_CAPTCHAS = ("captcha", "h-captcha-response", "cf-turnstile-response", "g-recaptcha-response")
#: Seconds beyond both ringing times, and that for a key, that a blocking request waits.
_SLACK = 5.0


class Connect:
    """Starts calls."""

    def __init__(
        self, store: Store, access: Access, calling: Calling, config: Callable[[], Config]
    ) -> None:
        self._store = store
        self._access = access
        self._calling = calling
        self._config = config
        # A request that waits for a call holds one of the server's threads; two are kept for the others.
        self._waiting = threading.BoundedSemaphore(max(1, config().http.threads - 2))

    @operation(
        Operation(
            request_types={
                "application/json": {
                    "anyOf": [
                        _FORM,
                        {"type": "object", "properties": {"data": _FORM}, "required": ["data"]},
                    ]
                },
                "application/x-www-form-urlencoded": _FORM,
                "multipart/form-data": _FORM,
            },
            answer=ACTIVATION,
            status=(200, 202),
            problems=(429, 504),
            who="depends",
        )
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        """Start a call.

        With `blocking` true, in the query or beside the contact, the answer comes when the two are connected (200) or it
        is known that they will not be (503, 504); without, at once.
        """
        self._start(req, resp, account_id, id)

    @operation(
        Operation(
            query={"contact": _CONTACT | {"required": True}},
            answer=ACTIVATION,
            status=(200, 202),
            problems=(405, 429, 504),
            who="depends",
            answer_types=("text/html",),
        )
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        """Start a call, from a link.

        `contact` is required; `?blocking=true` waits for the outcome.
        """
        if is_prefetch(req):
            message = {"message": "a call is not started ahead of time"}
            raise ApiError(503, "service_unavailable", message)
        self._start(req, resp, account_id, id)

    def _start(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        account, definition = self._definition(account_id, id)
        link = req.get_param("link") or ""
        authenticated = self._is_authenticated(req, account_id)
        if definition.get("auth_required") and not authenticated and not link:
            raise unauthorized()
        if req.method == "GET" and not self._calling.get_dials(account, definition):
            if not link or not req.client_accepts("text/html"):
                raise falcon.HTTPMethodNotAllowed(["POST", "OPTIONS"])
            page.ask(resp, req.relative_uri)
            return
        contact = read_contact(req)
        blocking = read_flag(req, "blocking")
        if blocking and not self._waiting.acquire(blocking=False):
            raise ApiError(
                503,
                "too_many_requests",
                {"message": "too many requests wait for their calls"},
                {"Retry-After": "5"},
            )
        try:
            row = self._activate(req, account, definition, contact, authenticated, link)
            if blocking:
                self._finish(req, resp, definition, row)
                return
        finally:
            if blocking:
                self._waiting.release()
        status = 202 if envelope.version_of(req) == "v2" else 200
        envelope.success(req, resp, envelope.activation(row), status=status)

    def public(self, account_id: str, id: str) -> tuple[Row, Row]:
        """An account and a click-to-call of it that anybody may activate.

        :raises ApiError: 404 where there is none, or not for anybody.
        """
        account, definition = self._definition(account_id, id)
        if definition.get("auth_required"):
            raise not_found()
        return account, definition

    def activate_for_visitor(self, req: falcon.Request, account_id: str, id: str) -> Row:
        """Start the call that a visitor's form asks for; its record.

        :raises ApiError: 404, or what is wrong with the form.
        :raises Refusal: the call is not made.
        """
        account, definition = self.public(account_id, id)
        return self._activate(req, account, definition, read_contact(req), False, "")

    def _definition(self, account_id: str, id: str) -> tuple[Row, Row]:
        account = self._store.account(account_id, lately=True)
        definition = (
            self._store.clicktocall(account_id, id, lately=True) if account is not None else None
        )
        if account is None or definition is None:
            raise not_found()
        return account, effective(account, definition)

    def _is_authenticated(self, req: falcon.Request, account_id: str) -> bool:
        session = self._access.session(req)
        return session is not None and self._store.is_within(account_id, session["account_id"])

    def _activate(
        self,
        req: falcon.Request,
        account: Row,
        definition: Row,
        contact: Any,
        authenticated: bool,
        link: str,
    ) -> Row:
        return self._calling.activate(
            account,
            definition,
            contact,
            authenticated=authenticated,
            client=self._access.address(req),
            local=is_local(req),
            link=link,
            brought=lambda: Proof(read_text(req, "proof"), read_text(req, *_CAPTCHAS)),
            parameter=lambda name: read_text(req, name),
        )

    def _finish(
        self, req: falcon.Request, resp: falcon.Response, definition: Row, row: Row
    ) -> None:
        """Answer a blocking request, once the two are connected or it is known that they will not be."""
        calling = self._config().calling
        either = definition.get("timeout")
        ringing = (either or calling.extension_timeout) + (either or calling.contact_timeout)
        if definition.get("confirm"):
            ringing += calling.confirm_timeout
        self._calling.wait(row["id"], ringing + _SLACK)
        final = self._store.activation(definition["id"], row["id"]) or row
        shown = envelope.activation(final)
        if final.get("result") == "success":
            envelope.success(req, resp, shown)
        elif final.get("result") is None or final.get("cause") in UNANSWERED:
            raise ApiError(504, "no_answer", shown)
        else:
            raise ApiError(503, "call_failed", shown)


class ActivationState:
    """``…/connect/{activation_id}``: how far an activation is, for whoever started it."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer=ACTIVATION, who="depends"))
    def on_get(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        id: str,
        activation_id: str,
    ) -> None:
        """Its state; public if the click-to-call is."""
        account = self._store.account(account_id, lately=True)
        definition = (
            self._store.clicktocall(account_id, id, lately=True) if account is not None else None
        )
        if account is None or definition is None:
            raise not_found()
        if effective(account, definition).get("auth_required"):
            self._access.account(req, account_id)
        row = self._store.activation(id, activation_id)
        if row is None:
            raise not_found()
        envelope.success(req, resp, envelope.activation(row))


def is_prefetch(req: falcon.Request) -> bool:
    """Whether a GET is a browser's that only looks ahead, or one for a part of a page, such as an image."""
    purposes = [
        req.get_header(name) or "" for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
    ]
    if any(word in purpose.lower() for purpose in purposes for word in _AHEAD):
        return True
    return (req.get_header("Sec-Fetch-Dest") or "document").lower() not in _DESTINATIONS
