"""``/user_auth``, ``/api_auth`` and ``/token_auth``: from a secret to a token, and the token's end."""

from typing import Any

import falcon

from c2c_sip.api import envelope
from c2c_sip.api.access import Access, Row, token_of
from c2c_sip.api.answers import SIGNED_IN, TOKEN
from c2c_sip.api.body import read_data, read_envelope
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import invalid, not_found, unauthorized
from c2c_sip.moments import to_second
from c2c_sip.schemas import API_AUTH, USER_AUTH, validate
from c2c_sip.store import Store


def _signed_in(
    store: Store,
    req: falcon.Request,
    resp: falcon.Response,
    account: Row,
    owner: str | None,
    by: str,
) -> None:
    token = store.create_token(account["id"], owner, by)
    data = {
        "account_id": account["id"],
        "account_name": account["name"],
        "owner_id": owner,
        "method": by,
        "is_reseller": False,
        "reseller_id": account["parent_id"],
        "language": "en-us",
        "apps": [],
    }
    envelope.success(req, resp, data, status=201, auth_token=token)


ACCOUNT_NAMES = ("account_id", "account_name", "account_realm", "realm")
"""How the account of a user is told; the first that is there counts."""


class UserAuth:
    """A user's name and password, hashed together as Kazoo's clients do."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(
        Operation(
            USER_AUTH,
            body_also={"anyOf": [{"required": [name]} for name in ACCOUNT_NAMES]},
            answer=SIGNED_IN,
            status=(201, 201),
            who="anybody",
            problems=(401, 429),
        )
    )
    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Sign in."""
        data = read_data(req)
        # Kazoo looks for it beside `data` and in the query too, and its documentation puts it there.
        beside = read_envelope(req).get("method", req.get_param("method"))
        if "method" not in data and beside is not None:
            data = data | {"method": beside}
        errors = validate(USER_AUTH, data)
        names = [n for n in ACCOUNT_NAMES if data.get(n)]
        if not names and not errors:
            errors["account_name"] = {
                "required": {
                    "message": "account_name, account_realm or realm is required",
                    "cause": None,
                }
            }
        if errors:
            raise invalid(errors)
        account = self._account(names[0], data[names[0]])
        method = "md5" if data.get("method", "md5") == "md5" else "sha"
        # By its id, so that an account has no more attempts than others for having several names.
        wanted = account["id"] if account else data[names[0]]
        with self._access.attempts.checking(self._access.address(req), wanted) as wrong:
            owner = self._store.users.check(
                account["id"] if account else None, method, data["credentials"]
            )
            if account is None or owner is None:
                wrong()
                raise unauthorized()
        _signed_in(self._store, req, resp, account, owner, "user_auth")

    def _account(self, field: str, value: str) -> Row | None:
        if field == "account_id":
            return self._store.account(value)
        return self._store.account_by("name" if field == "account_name" else "realm", value)


class ApiAuth:
    """An account's API key."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(
        Operation(
            API_AUTH,
            answer=SIGNED_IN,
            status=(201, 201),
            who="anybody",
            problems=(401, 429),
        )
    )
    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Sign in."""
        data = read_data(req)
        errors = validate(API_AUTH, data)
        if "required" in errors.get("api_key", {}) or "type" in errors.get("api_key", {}):
            raise invalid(errors)
        key = data["api_key"]
        with self._access.attempts.checking(self._access.address(req), key[:16]) as wrong:
            account_id = self._store.check_api_key(key) if not errors else None
            account = self._store.account(account_id) if account_id else None
            if account is None:
                wrong()
                raise unauthorized()
        _signed_in(self._store, req, resp, account, None, "api_auth")


class TokenAuth:
    """The token in use."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer=TOKEN, problems=(404,)))
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Look at it."""
        envelope.success(req, resp, self._described(self._token(req)))

    @operation(Operation(answer=TOKEN, problems=(404,)))
    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Revoke it."""
        session = self._token(req)
        self._store.revoke_token(token_of(req) or "")
        req.context.token = None
        envelope.success(req, resp, self._described(session))

    def _token(self, req: falcon.Request) -> Row:
        session = self._access.required(req)
        if "expires" not in session:
            raise not_found()  # Basic authentication has no token
        return session

    @staticmethod
    def _described(session: Row) -> dict[str, Any]:
        return {
            "account_id": session["account_id"],
            "owner_id": session["owner_id"],
            "method": session["method"],
            "created": to_second(session["created"]),
            "expires": to_second(session["expires"]),
        }
