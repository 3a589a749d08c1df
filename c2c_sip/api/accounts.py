"""``/accounts``: the account itself, accounts below it, and its API key."""

from collections.abc import Callable
from typing import Any

import falcon

from c2c_sip.api import conditions, envelope, listing
from c2c_sip.api.access import Access, Row
from c2c_sip.api.answers import (
    ACCOUNT_MADE,
    ACCOUNT_NAMED,
    ACCOUNT_SHOWN,
    ACCOUNT_SUMMARY,
    API_KEY,
    API_KEY_MADE,
)
from c2c_sip.api.body import read_data
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import ApiError, invalid
from c2c_sip.api.jsonschema import of_document
from c2c_sip.schemas import ACCOUNT, FROM_ABOVE, Errors, validate
from c2c_sip.store import Store, Taken
from c2c_sip.store.store import DEEPEST

#: What is ours to say, whatever a request has.
_READ_ONLY = ("id", "parent_id", "revision")


def taken(error: Taken, document: Row) -> Exception:
    """409, in the form of a validation error: nothing is wrong with the value but that another has it."""
    detail = {"message": f"{error.field} is in use", "cause": document.get(error.field)}
    return ApiError(409, "validation error", {error.field: {"unique": detail}})


def _shown(account: Row) -> Row:
    return {name: value for name, value in account.items() if name != "revision"}


class Accounts:
    """``/accounts``."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(ACCOUNT, answer=ACCOUNT_MADE, status=(201, 201), problems=(403, 409)))
    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Create an account below that of the token."""
        session = self._access.required(req)
        self._access.may_change(req)
        create_child(self._store, self._access, req, resp, session["account_id"])


def create_child(
    store: Store, access: Access, req: falcon.Request, resp: falcon.Response, parent_id: str
) -> None:
    """Create an account below another, with a user and an API key of its own, which are told once."""
    document = {k: v for k, v in read_data(req).items() if k not in _READ_ONLY}
    errors = validate(ACCOUNT, document)
    if errors:
        raise invalid(errors)
    if len(store.lineage(parent_id)) >= DEEPEST:
        message = f"no more than {DEEPEST} accounts are above one another"
        raise ApiError(409, "conflict", {"message": message})
    rest = {k: v for k, v in document.items() if k not in ("name", "realm")}
    try:
        made = store.create_account(
            document["name"],
            realm=document.get("realm"),
            parent_id=parent_id,
            document=rest,
            by=access.actor(req),
        )
    except Taken as error:
        raise taken(error, document) from error
    account = store.account(made["id"]) or {}
    secret = {name: made[name] for name in ("api_key", "username", "password")}
    envelope.success(req, resp, _shown(account) | secret, status=201, revision=1)


class Account:
    """``/accounts/{account_id}``."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer=ACCOUNT_SHOWN, problems=(304,)))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Its document."""
        account = self._access.account(req, account_id)
        envelope.success(req, resp, _shown(account), revision=account["revision"])

    @operation(Operation(ACCOUNT, answer=ACCOUNT_MADE, status=(201, 201), problems=(403, 409)))
    def on_put(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Create an account below it."""
        self._access.account(req, account_id)
        create_child(self._store, self._access, req, resp, account_id)

    @operation(Operation(ACCOUNT, answer=ACCOUNT_SHOWN, problems=(403, 409, 412)))
    def on_post(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Replace the document; what only we may say stays."""
        self._edit(req, resp, account_id, lambda found: read_data(req))

    @operation(Operation(ACCOUNT, partial=True, answer=ACCOUNT_SHOWN, problems=(403, 409, 412)))
    def on_patch(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Merge into the document; null takes a field away."""
        self._edit(req, resp, account_id, lambda found: merged(found, read_data(req)))

    def _edit(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        change: Callable[[Row], Row],
    ) -> None:
        def write(found: Row, revision: int) -> Row | None:
            document = {k: v for k, v in change(found).items() if k not in _READ_ONLY}
            document.setdefault("realm", found["realm"])
            errors = validate(ACCOUNT, document) or self._presumed(req, found, document)
            if errors:
                raise invalid(errors)
            try:
                return self._store.update_account(
                    account_id, document, revision, self._access.actor(req)
                )
            except Taken as error:
                raise taken(error, document) from error

        changed = conditions.edit(req, lambda: self._access.account(req, account_id), write)
        envelope.success(req, resp, _shown(changed), revision=changed["revision"])

    def _presumed(self, req: falcon.Request, found: Row, document: Row) -> Errors:
        """What an account says that is for those above it to say; what it leaves out stays."""
        if found["parent_id"] is None or self._access.required(req)["account_id"] != found["id"]:
            return {}
        document |= {
            name: found[name] for name in FROM_ABOVE if name in found and name not in document
        }
        changed = [name for name in FROM_ABOVE if document.get(name) != found.get(name)]
        message = "This is for the account above to say"
        return {
            name: {"forbidden": {"message": message, "cause": document.get(name)}}
            for name in changed
        }


def merged(document: Any, changes: Any) -> Any:
    """A JSON merge patch (:rfc:`7396`): objects are merged, null removes, anything else replaces."""
    if not isinstance(changes, dict):
        return changes
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


class ApiKey:
    """``/accounts/{account_id}/api_key``. The key itself is told only when it is made: what is kept is a hash."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer=API_KEY))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """The part of the key that may be shown."""
        self._access.account(req, account_id)
        envelope.success(req, resp, {"api_key_id": self._store.api_key_id(account_id)})

    @operation(Operation(answer=API_KEY_MADE, status=(201, 201), problems=(403,)))
    def on_put(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """A new key.

        The one before no longer serves, nor the tokens that it was exchanged for, but the one of this request.
        """
        self._access.account(req, account_id)
        kept = req.context.get("token") or ""
        key = self._store.replace_api_key(account_id, self._access.actor(req), kept)
        envelope.success(req, resp, {"api_key": key, "api_key_id": key[:16]}, status=201)


class Children:
    """``/accounts/{account_id}/children`` and ``…/descendants``: the accounts below.

    :param deep: not only those right below
    """

    def __init__(self, store: Store, access: Access, deep: bool) -> None:
        self._store = store
        self._access = access
        self._deep = deep

    @operation(Operation(answer=ACCOUNT_SUMMARY, many=True))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Summaries, newest first."""
        self._access.account(req, account_id)
        wanted = listing.read(req)
        below = self._store.descendants if self._deep else self._store.children
        top = {row["id"] for row in self._store.lineage(account_id)[1:]}

        def summary(row: Row) -> Row:
            above = [one["id"] for one in self._store.lineage(row["id"])[1:]]
            shown = {name: row[name] for name in ("id", "name", "realm")}
            # What is above the account that was asked for is not for it to know.
            return shown | {"tree": [one for one in reversed(above) if one not in top]}

        fetch = listing.documents(lambda span: below(account_id, span), wanted)
        listing.answer(req, resp, fetch, wanted, summary)


class Parents:
    """``/accounts/{account_id}/parents``: the accounts above, as far up as the token may see."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer={"type": "array", "items": of_document(ACCOUNT_NAMED)}))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Those above, the topmost first."""
        self._access.account(req, account_id)
        top = self._access.required(req)["account_id"]
        found: list[Row] = []
        for row in self._store.lineage(account_id):
            found.append({"id": row["id"], "name": row["name"]})
            if row["id"] == top:
                break
        shown = found[:0:-1]
        envelope.success(req, resp, shown, page_size=len(shown))
