"""The users of accounts: their documents, and who one is by what he knows."""

import json
import secrets as random_source
import time
from collections.abc import Mapping
from typing import Any

import peewee as pw

from c2c_sip.store import secrets
from c2c_sip.store.audit import NOBODY, Actor, Audit
from c2c_sip.store.errors import Taken
from c2c_sip.store.pages import Span, page
from c2c_sip.store.writer import Writer

Row = dict[str, Any]

#: What of a user's document has columns of its own.
_COLUMNS = ("username", "priv_level", "enabled")


class UserRecords:
    """The users' part of a store, as its attribute ``users``; from any thread."""

    def __init__(self, models: Any, writer: Writer, audit: Audit) -> None:
        self._models = models
        self._writer = writer
        self._audit = audit
        self._known = secrets.Known()

    def new(self, account_id: str, document: Mapping[str, Any], password: str, now: float) -> Row:
        """The columns of a new user."""
        md5, sha = self._hashes(account_id, document["username"], password)
        return {
            "id": random_source.token_hex(16),
            "account": account_id,
            "md5_hash": md5,
            "sha_hash": sha,
            "revision": 1,
            "created": now,
            "modified": now,
        } | _columns(document)

    def _hashes(self, account_id: str, username: str, password: str) -> list[str]:
        """Salted as those of the account's other users, so that looking for one of them takes one hash, not one each.

        The user's name is hashed with the password, so equal passwords show no more than with salts of their own.
        """
        model = self._models.User
        other = model.select().where(model.account == account_id).order_by(model.created).first()
        likes = (other.md5_hash, other.sha_hash) if other is not None else (None, None)
        given = secrets.user_hashes(username, password)
        return [secrets.slow_hash(one, like) for one, like in zip(given, likes, strict=True)]

    def create(
        self, account_id: str, document: Mapping[str, Any], password: str, by: Actor = NOBODY
    ) -> Row:
        """A new user.

        :raises Taken: another user of the account has the name.
        """
        row = self.new(account_id, document, password, time.time())

        def work() -> None:
            self._models.User.insert(**row).execute()
            self._audit.add(by, account_id, "create", "user", row["id"], None, document)

        try:
            self._writer.submit(work).result()
        except pw.IntegrityError as error:
            raise Taken("username") from error
        return _document(row)

    def get(self, account_id: str, identifier: str) -> Row | None:
        """A user's document with ``id`` and ``revision``."""
        model = self._models.User
        query = model.select().where(model.id == identifier, model.account == account_id)
        row = query.dicts().first()
        return _document(row) if row else None

    def page(self, account_id: str, span: Span) -> list[Row]:
        """Users of an account in the order of time, each with ``created``."""
        model = self._models.User
        rows = page(model, [model.account == account_id], span, model.modified)
        return [_document(row) | {"created": row["created"]} for row in rows]

    def update(
        self,
        account_id: str,
        identifier: str,
        document: Mapping[str, Any],
        password: str | None,
        revision: int,
        by: Actor = NOBODY,
    ) -> Row | None:
        """Replace the document of a user that is still of ``revision``; ``None`` where it is not.

        A new password, or the user's no longer being enabled, ends what he is signed in with.

        :param password: ``None``: as it was
        :raises Taken: another user of the account has the name.
        """
        model = self._models.User
        changes: Row = {"revision": revision + 1, "modified": time.time()} | _columns(document)
        if password is not None:
            md5, sha = self._hashes(account_id, document["username"], password)
            changes |= {"md5_hash": md5, "sha_hash": sha}

        def work() -> Row | None:
            mine = (model.id == identifier) & (model.account == account_id)
            mine &= model.revision == revision
            before = model.select().where(mine).dicts().first()
            if before is None or not model.update(**changes).where(mine).execute():
                return None
            if password is not None or not document.get("enabled", True):
                self._sign_out(identifier)
            told = {"password": "changed"} if password is not None else {}
            old, new = _document(before), dict(document) | told
            old = {k: v for k, v in old.items() if k not in ("id", "revision")}
            self._audit.add(by, account_id, "update", "user", identifier, old, new)
            return _document(before | changes)

        try:
            return self._writer.submit(work).result()
        except pw.IntegrityError as error:
            raise Taken("username") from error

    def delete(self, account_id: str, identifier: str, revision: int, by: Actor = NOBODY) -> bool:
        """Take a user that is still of ``revision`` away, and what he is signed in with."""
        model = self._models.User

        def work() -> bool:
            query = model.delete().where(
                model.id == identifier, model.account == account_id, model.revision == revision
            )
            if not query.execute():
                return False
            self._sign_out(identifier)
            self._audit.add(by, account_id, "delete", "user", identifier)
            return True

        return self._writer.submit(work).result()

    def _sign_out(self, identifier: str) -> None:
        model = self._models.Token
        model.delete().where(model.owner_id == identifier).execute()

    def check(self, account_id: str | None, method: str, credentials: str) -> str | None:
        """The user of an account whose md5 or sha1 of ``user:password`` this is.

        It takes as long for a wrong one, and where there is no such account or nobody in it.
        """
        credentials = credentials.lower()
        users = self._hashed(account_id, method)
        found = secrets.find(credentials, [stored for _, stored in users])
        if found is None:
            return None
        identifier, stored = users[found]
        self._known.add(credentials, stored)
        return identifier

    def recall(self, account_id: str | None, method: str, credentials: str) -> str | None:
        """The same for what was right lately, at once: Basic authentication brings it with each request."""
        credentials = credentials.lower()
        for identifier, stored in self._hashed(account_id, method):
            if self._known.has(credentials, stored):
                return identifier
        return None

    def _hashed(self, account_id: str | None, method: str) -> list[tuple[str, str]]:
        if account_id is None:
            return []
        model = self._models.User
        column = model.md5_hash if method == "md5" else model.sha_hash
        query = model.select(model.id, column).where(
            model.account == account_id, model.enabled == 1
        )
        return list(query.tuples())


def _columns(document: Mapping[str, Any]) -> Row:
    return {
        "username": document["username"],
        "priv_level": document.get("priv_level", "admin"),
        "enabled": int(document.get("enabled", True)),
        "document": json.dumps({k: v for k, v in document.items() if k not in _COLUMNS}),
    }


def _document(row: Mapping[str, Any]) -> Row:
    document: Row = json.loads(row["document"])
    return document | {
        "id": row["id"],
        "username": row["username"],
        "priv_level": row["priv_level"],
        "enabled": bool(row["enabled"]),
        "revision": row["revision"],
    }
