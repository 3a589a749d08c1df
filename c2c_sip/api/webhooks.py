"""``/accounts/{account_id}/webhooks``: who is told of an account's calls, and what could not be told."""

from collections.abc import Callable, Sequence
from typing import Any

import falcon

from c2c_sip.api import conditions, envelope, listing
from c2c_sip.api.access import Access
from c2c_sip.api.accounts import merged
from c2c_sip.api.answers import WEBHOOK_ATTEMPT, WEBHOOK_MADE, WEBHOOK_SHOWN
from c2c_sip.api.body import read_data
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.errors import ApiError, invalid, not_found
from c2c_sip.calling.address import Network
from c2c_sip.delivery import new_secret
from c2c_sip.outgoing import fault
from c2c_sip.schemas import WEBHOOK, validate
from c2c_sip.store import Span, Store

Row = dict[str, Any]

#: Webhooks that an account may have.
MOST = 20
_READ_ONLY = ("id", "revision")


class _Webhooks:
    """What the resources have in common.

    :param allowed: networks that may be told although they are not public
    """

    def __init__(self, store: Store, access: Access, allowed: Sequence[Network]) -> None:
        self._store = store
        self._access = access
        self._allowed = allowed

    def _checked(self, document: Row) -> tuple[Row, str | None]:
        """A document that may be kept, and the secret that came with it.

        :raises ApiError: 400.
        """
        document = {k: v for k, v in document.items() if k not in _READ_ONLY}
        errors = validate(WEBHOOK, document)
        wrong = None if "uri" in errors else fault(document.get("uri"), self._allowed)
        if "uri" in document and wrong is not None:
            detail = {"message": f"Value must be {wrong}", "cause": document["uri"]}
            errors["uri"] = {"pattern": detail}
        if errors:
            raise invalid(errors)
        secret = document.pop("secret", None)
        return {"hook": "all", "http_verb": "post", "enabled": True} | document, secret

    def _read(self, account_id: str, webhook_id: str) -> Row:
        found = self._store.webhooks.get(account_id, webhook_id)
        if found is None:
            raise not_found()
        return found

    @staticmethod
    def _shown(document: Row) -> Row:
        return {k: v for k, v in document.items() if k not in ("revision", "created")}


class WebhookList(_Webhooks):
    """The list."""

    @operation(Operation(answer=WEBHOOK_SHOWN, many=True))
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """The webhooks, newest first, without their secrets."""
        self._access.account(req, account_id)
        wanted = listing.read(req)
        fetch = listing.documents(lambda span: self._store.webhooks.page(account_id, span), wanted)
        listing.answer(req, resp, fetch, wanted, self._shown)

    @operation(Operation(WEBHOOK, answer=WEBHOOK_MADE, status=(201, 201), problems=(403, 409)))
    def on_put(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Create one. The answer has the secret that its notices are signed with, this once."""
        self._access.account(req, account_id)
        document, secret = self._checked(read_data(req))
        if self._store.webhooks.count(account_id) >= MOST:
            message = f"an account may have {MOST} webhooks"
            raise ApiError(409, "too_many", {"message": message})
        secret = secret or new_secret()
        made = self._store.webhooks.create(
            account_id, document, self._access.actor(req), secret=secret
        )
        shown = self._shown(made) | {"secret": secret}
        envelope.success(req, resp, shown, status=201, revision=1)


class Webhook(_Webhooks):
    """One of them."""

    @operation(Operation(answer=WEBHOOK_SHOWN, problems=(304,)))
    def on_get(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, webhook_id: str
    ) -> None:
        """The webhook, without its secret."""
        self._access.account(req, account_id)
        self._show(req, resp, self._read(account_id, webhook_id))

    @operation(Operation(WEBHOOK, answer=WEBHOOK_SHOWN, problems=(403, 409, 412)))
    def on_post(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, webhook_id: str
    ) -> None:
        """Replace it. Without a secret it keeps the one that it has."""
        self._edit(req, resp, account_id, webhook_id, lambda found: read_data(req))

    @operation(Operation(WEBHOOK, partial=True, answer=WEBHOOK_SHOWN, problems=(403, 409, 412)))
    def on_patch(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, webhook_id: str
    ) -> None:
        """Merge into it; null takes a field away."""
        self._edit(req, resp, account_id, webhook_id, lambda found: merged(found, read_data(req)))

    def _edit(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        account_id: str,
        webhook_id: str,
        change: Callable[[Row], Any],
    ) -> None:
        self._access.account(req, account_id)

        def write(found: Row, revision: int) -> Row | None:
            document, secret = self._checked(change(found))
            columns = {"secret": secret} if secret is not None else {}
            return self._store.webhooks.update(
                account_id, webhook_id, document, revision, self._access.actor(req), **columns
            )

        changed = conditions.edit(req, lambda: self._read(account_id, webhook_id), write)
        self._show(req, resp, changed)

    @operation(Operation(answer=WEBHOOK_SHOWN, problems=(403, 409, 412)))
    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, webhook_id: str
    ) -> None:
        """Take it away, with what it was to be told."""
        self._access.account(req, account_id)

        def delete(found: Row, revision: int) -> Row | None:
            gone = self._store.webhooks.delete(
                account_id, webhook_id, revision, self._access.actor(req)
            )
            return found if gone else None

        gone = conditions.edit(req, lambda: self._read(account_id, webhook_id), delete)
        self._show(req, resp, gone)

    def _show(self, req: falcon.Request, resp: falcon.Response, document: Row) -> None:
        envelope.success(req, resp, self._shown(document), revision=document["revision"])


class WebhookAttempts(_Webhooks):
    """What has not arrived."""

    @operation(Operation(answer=WEBHOOK_ATTEMPT, many=True))
    def on_get(
        self, req: falcon.Request, resp: falcon.Response, account_id: str, webhook_id: str
    ) -> None:
        """Notices that were not taken: those that will be tried again, and those that were given up, newest first."""
        self._access.account(req, account_id)
        self._read(account_id, webhook_id)
        wanted = listing.read(req)

        def fetch(span: Span) -> list[Row]:
            rows = self._store.webhooks.undelivered(webhook_id, span)
            return [_attempt(row) | {"created": row["created"]} for row in rows]

        listing.answer(req, resp, listing.documents(fetch, wanted), wanted, _listed)


def _listed(attempt: Row) -> Row:
    return {name: value for name, value in attempt.items() if name != "created"}


def _attempt(row: Row) -> Row:
    return {
        "id": row["id"],
        "hook_id": row["webhook_id"],
        "activation_id": row["activation_id"],
        "result": "retrying" if row["failed"] is None else "failed",
        "reason": row["problem"],
        "attempts": row["attempts"],
        "next_attempt": None if row["failed"] is not None else round(row["due"]),
        **envelope.times(row["created"]),
    }
