"""Who is asking, and what they may see."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

import falcon

from c2c_sip.api.attempts import Attempts, ShutOut
from c2c_sip.api.body import peek
from c2c_sip.api.errors import forbidden, not_found, unauthorized
from c2c_sip.calling.defaults import effective
from c2c_sip.store import Actor, Store

Row = dict[str, Any]


def token_of(req: falcon.Request) -> str | None:
    """The token, from any of its places."""
    header: str = req.env.get("HTTP_X_AUTH_TOKEN", "")
    if header:
        return header
    given: str = req.env.get("HTTP_AUTHORIZATION", "")
    if given:
        scheme, _, value = given.partition(" ")
        if scheme.lower() == "bearer" and value.strip():
            return value.strip()
    query = req.get_param("auth_token")
    if query:
        return query
    found = peek(req, "auth_token") if req.method not in ("GET", "HEAD") else None
    return found if isinstance(found, str) else None


def basic_of(req: falcon.Request) -> tuple[str, str] | None:
    """Account id and credentials (md5 or sha1 of ``user:password``) of Basic authentication."""
    scheme, _, value = (req.auth or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        account_id, colon, credentials = (
            base64.b64decode(value, validate=True).decode().partition(":")
        )
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (account_id, credentials) if colon and len(credentials) <= 64 else None


class Access:
    """Checks tokens and accounts against the store.

    :param address: reads a client's address off its request
    """

    def __init__(
        self, store: Store, address: Callable[[falcon.Request], str], attempts: Attempts
    ) -> None:
        self._store = store
        self.address = address
        self.attempts = attempts

    def session(self, req: falcon.Request) -> Row | None:
        """What the request's token says, or its Basic credentials; ``None`` without any that serve."""
        token = token_of(req)
        if not token:
            return self._basic(req) if "HTTP_AUTHORIZATION" in req.env else None
        if len(token) > 256:
            return None
        session = self._store.check_token(token)
        if session is not None:
            req.context.token = token
        return session

    def _basic(self, req: falcon.Request) -> Row | None:
        given = basic_of(req)
        if given is None:
            return None
        account_id, credentials = given
        method = "sha" if len(credentials) == 40 else "md5"
        known = account_id if self._store.account(account_id) else None
        owner = self._store.users.recall(known, method, credentials)
        if owner is None:
            owner = self._checked(req, account_id, known, method, credentials)
        if owner is None:
            return None
        return {"account_id": account_id, "owner_id": owner, "method": "basic_auth"}

    def _checked(
        self, req: falcon.Request, wanted: str, known: str | None, method: str, credentials: str
    ) -> str | None:
        try:
            with self.attempts.checking(self.address(req), wanted) as wrong:
                owner = self._store.users.check(known, method, credentials)
                if owner is None:
                    wrong()
                return owner
        except ShutOut:
            # It is no attempt to sign in, but a request without credentials that serve.
            return None

    def required(self, req: falcon.Request) -> Row:
        """The same where there has to be one.

        :raises ApiError: 401.
        """
        if "session" not in req.context:
            session = self.session(req)
            if session is None:
                raise unauthorized()
            req.context.session = session
        found: Row = req.context.session
        return found

    def account(self, req: falcon.Request, account_id: str, change: bool | None = None) -> Row:
        """An account that the request's token may see: its own, or one below it.

        :param change: whether the request changes what is kept; by default, if it is not GET or HEAD
        :raises ApiError: 401, 403 where the user may not change anything, or 404 also for another's.
        """
        session = self.required(req)
        account = self._store.account(account_id)
        if account is None or not self._store.is_within(account_id, session["account_id"]):
            raise not_found()
        if req.method not in ("GET", "HEAD") if change is None else change:
            self.may_change(req)
        return account

    def may_change(self, req: falcon.Request) -> None:
        """Refuse a user whose ``priv_level`` is not ``admin``.

        :raises ApiError: 403, or 401.
        """
        session = self.required(req)
        if session["owner_id"] is None:
            return
        user = self._store.users.get(session["account_id"], session["owner_id"])
        if user is None or user["priv_level"] != "admin":
            raise forbidden()

    def operator(self, req: falcon.Request) -> None:
        """Refuse who is not of the master account, which is the oldest one that no other is above.

        :raises ApiError: 401, 403.
        """
        if self.required(req)["account_id"] != self._store.master_account():
            raise forbidden()

    def actor(self, req: falcon.Request) -> Actor:
        """Who asks, for the audit log.

        :raises ApiError: 401.
        """
        session = self.required(req)
        return Actor(
            session["account_id"], session["owner_id"], session["method"], self.address(req)[:64]
        )

    def clicktocall(self, req: falcon.Request, account_id: str, identifier: str) -> tuple[Row, Row]:
        """An account and one of its click-to-calls, with what the account says for it.

        :raises ApiError: 401 or 404.
        """
        account = self.account(req, account_id)
        found = self._store.clicktocall(account_id, identifier)
        if found is None:
            raise not_found()
        return account, effective(account, found)
