"""``/accounts/{account_id}/users``: who may sign in."""

from collections.abc import Callable

import falcon

from c2c_sip.api import conditions, envelope, listing
from c2c_sip.api.access import Access, Row
from c2c_sip.api.accounts import merged, taken
from c2c_sip.api.answers import USER_SHOWN
from c2c_sip.api.body import read_data
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import ApiError, invalid, not_found
from c2c_sip.schemas import USER, validate
from c2c_sip.store import Store, Taken

#: What is ours to say, whatever a request has.
_READ_ONLY = ("id", "revision")
_DEFAULTS = {"priv_level": "admin", "enabled": True}


def _checked(document: Row) -> tuple[Row, str | None]:
    """A document without the password, and the password."""
    document = {k: v for k, v in document.items() if k not in _READ_ONLY}
    errors = validate(USER, document)
    if errors:
        raise invalid(errors)
    password = document.pop("password", None)
    return _DEFAULTS | document, password


def _shown(document: Row) -> Row:
    return {k: v for k, v in document.items() if k not in ("revision", "created")}


class Users:
    """The list."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(Operation(answer=USER_SHOWN, many=True))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """The users, newest first."""
        self._access.account(req, account_id)
        wanted = listing.read(req)
        fetch = listing.documents(lambda span: self._store.users.page(account_id, span), wanted)
        listing.answer(req, resp, fetch, wanted, _shown)

    @operation(
        Operation(
            USER,
            body_also={"required": ["username", "password"]},
            answer=USER_SHOWN,
            status=(201, 201),
            problems=(403, 409),
        )
    )
    def on_put(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Create one."""
        self._access.account(req, account_id)
        document, password = _checked(read_data(req))
        if password is None:
            detail = {"message": "Field is required but missing", "cause": None}
            raise invalid({"password": {"required": detail}})
        try:
            made = self._store.users.create(account_id, document, password, self._access.actor(req))
        except Taken as error:
            raise taken(error, document) from error
        envelope.success(req, resp, _shown(made), status=201, revision=1)


class User:
    """One of them."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    def _read(self, account_id: str, user_id: str) -> Row:
        found = self._store.users.get(account_id, user_id)
        if found is None:
            raise not_found()
        return found

    @operation(Operation(answer=USER_SHOWN, problems=(304,)))
    def on_get(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, user_id: str
    ) -> None:
        """His document."""
        self._access.account(req, account_id)
        found = self._read(account_id, user_id)
        envelope.success(req, resp, _shown(found), revision=found["revision"])

    @operation(Operation(USER, answer=USER_SHOWN, problems=(403, 409, 412)))
    def on_post(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, user_id: str
    ) -> None:
        """Replace it; without a password, that stays."""
        self._edit(req, resp, account_id, user_id, lambda found: read_data(req))

    @operation(Operation(USER, partial=True, answer=USER_SHOWN, problems=(403, 409, 412)))
    def on_patch(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, user_id: str
    ) -> None:
        """Merge into it; null takes a field away."""
        self._edit(req, resp, account_id, user_id, lambda found: merged(found, read_data(req)))

    def _edit(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        user_id: str,
        change: Callable[[Row], Row],
    ) -> None:
        self._access.account(req, account_id)

        def write(found: Row, revision: int) -> Row | None:
            document, password = _checked(change(found))
            if document["username"] != found["username"] and password is None:
                message = "another name needs the password again, which is hashed with it"
                raise ApiError(
                    409,
                    "validation error",
                    {"password": {"required": {"message": message, "cause": None}}},
                )
            try:
                return self._store.users.update(
                    account_id, user_id, document, password, revision, self._access.actor(req)
                )
            except Taken as error:
                raise taken(error, document) from error

        changed = conditions.edit(req, lambda: self._read(account_id, user_id), write)
        envelope.success(req, resp, _shown(changed), revision=changed["revision"])

    @operation(Operation(answer=USER_SHOWN, problems=(403, 409, 412)))
    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, user_id: str
    ) -> None:
        """Take him away, and whatever he is signed in with."""
        self._access.account(req, account_id)

        def delete(found: Row, revision: int) -> Row | None:
            gone = self._store.users.delete(account_id, user_id, revision, self._access.actor(req))
            return found if gone else None

        gone = conditions.edit(req, lambda: self._read(account_id, user_id), delete)
        envelope.success(req, resp, _shown(gone), revision=gone["revision"])
