"""Who is asking, and what they may see."""

from typing import Any

import falcon

from c2c_sip.api.body import read_envelope
from c2c_sip.api.errors import not_found, unauthorized
from c2c_sip.store import Store

Row = dict[str, Any]


def token_of(req: falcon.Request) -> str | None:
    """The token, from any of its places."""
    header = req.get_header("X-Auth-Token")
    if header:
        return header
    scheme, _, value = (req.auth or "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    query = req.get_param("auth_token")
    if query:
        return query
    kind = (req.content_type or "").partition(";")[0].strip().lower()
    if req.method in ("PUT", "POST", "PATCH", "DELETE") and kind.endswith("json"):
        found = read_envelope(req).get("auth_token")
        return found if isinstance(found, str) else None
    return None


class Access:
    """Checks tokens and accounts against the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def session(self, req: falcon.Request) -> Row | None:
        """What the request's token says; ``None`` without one that serves."""
        token = token_of(req)
        if not token or len(token) > 256:
            return None
        session = self._store.check_token(token)
        if session is not None:
            req.context.token = token
        return session

    def required(self, req: falcon.Request) -> Row:
        """The same where there has to be one.

        :raises ApiError: 401.
        """
        session = self.session(req)
        if session is None:
            raise unauthorized()
        return session

    def account(self, req: falcon.Request, account_id: str) -> Row:
        """An account that the request's token may see: its own, or one below it.

        :raises ApiError: 401, or 404 also for another's.
        """
        session = self.required(req)
        account = self._store.account(account_id)
        if account is None or not self._store.is_within(account_id, session["account_id"]):
            raise not_found()
        return account

    def clicktocall(self, req: falcon.Request, account_id: str, identifier: str) -> tuple[Row, Row]:
        """An account and one of its click-to-calls.

        :raises ApiError: 401 or 404.
        """
        account = self.account(req, account_id)
        found = self._store.clicktocall(account_id, identifier)
        if found is None:
            raise not_found()
        return account, found
