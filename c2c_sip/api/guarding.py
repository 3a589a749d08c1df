"""What the guard has of its own: links that are signed, and the list of those who are never to be called."""

import secrets
import time
from typing import Any

import falcon

from c2c_sip.api import envelope, listing
from c2c_sip.api.access import Access, Row
from c2c_sip.api.answers import LINK_MADE, NEVER_CALLED
from c2c_sip.api.body import read_data
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import ApiError, invalid, not_found
from c2c_sip.calling.contact import MAX_LENGTH, Unreadable, read_contact
from c2c_sip.calling.door import Calling
from c2c_sip.calling.links import LIFETIME, Link
from c2c_sip.calling.numbering import canonical
from c2c_sip.moments import to_second
from c2c_sip.schemas import LINK, NEVER_CALL, validate
from c2c_sip.store import Actor, Store


class Links:
    """``…/{id}/link``: a URL that activates without a token."""

    def __init__(self, store: Store, access: Access, calling: Calling) -> None:
        self._store = store
        self._access = access
        self._calling = calling

    @operation(
        Operation(
            LINK,
            body_also={"oneOf": [{"required": ["contact"]}, {"required": ["pattern"]}]},
            answer=LINK_MADE,
            status=(200, 201),
            problems=(403,),
        )
    )
    def on_post(self, req: falcon.Request, resp: falcon.Response, account_id: str, id: str) -> None:
        """Sign one, for a contact or for those that a pattern is in."""
        account, definition = self._access.clicktocall(req, account_id, id)
        data = read_data(req)
        errors = validate(LINK, data)
        if not errors and ("contact" in data) == ("pattern" in data):
            message = "Field is required but missing: contact, or else pattern"
            errors["contact"] = {"required": {"message": message, "cause": None}}
        if errors:
            raise invalid(errors)
        link = Link(
            id=secrets.token_hex(16),
            clicktocall_id=definition["id"],
            contact=data.get("contact"),
            pattern=data.get("pattern"),
            expires=int(time.time()) + data.get("expires_in", LIFETIME),
            uses=data.get("uses", 1),
        )
        token = self._calling.sign_link(account, definition, link)
        # Not the link itself: whoever reads the log is not to have its calls.
        self._store.note(self._access.actor(req), account_id, "create", "link", link.id)
        where = f"{req.prefix}{req.path.removesuffix('/').removesuffix('/link')}/connect"
        said: dict[str, Any] = {
            "id": link.id,
            "url": f"{where}?link={token}",
            "link": token,
            "expires": to_second(link.expires),
            "uses": link.uses,
        }
        said |= {name: data[name] for name in ("contact", "pattern") if name in data}
        status = 201 if envelope.version_of(req) == "v2" else 200
        envelope.success(req, resp, said, status=status)


class NeverCallMe:
    """``…/connect/{activation_id}/never_call``: who was called by this activation never wants to be again.

    Whoever knows the activation's id, 128 random bits, is the one who started it or the account: it is the proof.
    """

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(
        Operation(
            answer={"type": "object", "required": ["never_call"]}, who="anybody", problems=(409,)
        )
    )
    def on_post(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        id: str,
        activation_id: str,
    ) -> None:
        """Put its contact on the account's list, once it was rung."""
        if self._store.clicktocall(account_id, id) is None:
            raise not_found()
        row = self._store.activation(id, activation_id)
        if row is None or row.get("rule") is not None or not row.get("called"):
            raise not_found()
        if row.get("cdr_id") is None:
            # The INVITE to it has not left: else anybody could have anybody's number blocked, and it would never ring.
            raise ApiError(409, "conflict", {"message": "the contact has not been called"})
        by = Actor(method="public", client=self._access.address(req)[:64])
        self._store.guard.never_call(account_id, row["called"], "activation", time.time(), by)
        envelope.success(req, resp, {"never_call": True})


class NeverCalls:
    """``/accounts/{account_id}/never_call``: the list."""

    def __init__(self, store: Store, access: Access, calling: Calling) -> None:
        self._store = store
        self._access = access
        self._calling = calling

    @operation(Operation(answer=NEVER_CALLED, many=True))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """The numbers, the last to come first."""
        self._access.account(req, account_id)
        wanted = listing.read(req)
        fetch = listing.documents(
            lambda span: self._store.guard.never_calls(account_id, span), wanted
        )
        listing.answer(req, resp, fetch, wanted, _entry)

    @operation(
        Operation(
            NEVER_CALL,
            answer={"type": "object", "required": ["number"]},
            status=(201, 201),
            problems=(403,),
        )
    )
    def on_put(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Put a number on it."""
        account = self._access.account(req, account_id)
        data = read_data(req)
        errors = validate(NEVER_CALL, data)
        if errors:
            raise invalid(errors)
        number = self._canonical(account, data["number"])
        by = self._access.actor(req)
        self._store.guard.never_call(account_id, number, "account", time.time(), by)
        envelope.success(req, resp, {"number": number}, status=201)

    def _canonical(self, account: Row, text: str) -> str:
        region = self._calling.region(account)
        try:
            return canonical(read_contact(text, region), region)
        except Unreadable as error:
            detail = {"message": error.message, "cause": text}
            raise invalid({"number": {error.rule: detail}}) from error


class NeverCall:
    """``…/never_call/{number}``: one of them."""

    def __init__(self, store: Store, access: Access, calling: Calling) -> None:
        self._store = store
        self._access = access
        self._calling = calling

    @operation(Operation(answer={"type": "object", "required": ["number"]}, problems=(403,)))
    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, number: str
    ) -> None:
        """Take it from the list."""
        account = self._access.account(req, account_id)
        region = self._calling.region(account)
        try:
            known = canonical(read_contact(number, region), region)
        except Unreadable as error:
            raise not_found() from error
        by = self._access.actor(req)
        if len(number) > MAX_LENGTH or not self._store.guard.call_again(account_id, known, by):
            raise not_found()
        envelope.success(req, resp, {"number": number})


def _entry(row: Row) -> Row:
    return {
        "number": row["number"],
        "source": row["source"],
        "created": to_second(row["created"]),
    }
