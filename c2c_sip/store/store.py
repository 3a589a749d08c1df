"""The store: every question to the database has a name here."""

import contextlib
import json
import logging
import re
import secrets as random_source
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import peewee as pw

from c2c_sip.store import file, secrets
from c2c_sip.store.audit import NOBODY, Actor, Audit
from c2c_sip.store.errors import StoreError, Taken
from c2c_sip.store.filters import Filter
from c2c_sip.store.guarding import GuardRecords
from c2c_sip.store.history import HistoryRecords
from c2c_sip.store.media import MediaRecords
from c2c_sip.store.migrations import migrate
from c2c_sip.store.models import bind
from c2c_sip.store.pages import Span, as_texts, contains, page
from c2c_sip.store.row import Row, Rows
from c2c_sip.store.server import connect
from c2c_sip.store.traces import TraceRecords
from c2c_sip.store.users import UserRecords
from c2c_sip.store.webhooks import WebhookRecords
from c2c_sip.store.writer import Change, Outcome, Writer, new_row

log = logging.getLogger(__name__)

#: Seconds that a token lives after it was last used.
TOKEN_LIFETIME = 3600.0
#: Seconds that who reads waits for what is still to be written.
CATCHING_UP = 1.0
#: Accounts that may be above one another.
DEEPEST = 16


#: The hangup cause of what a crash has ended.
CUT_OFF = "NORMAL_TEMPORARY_FAILURE"
#: What people write between the letters of a name.
_BETWEEN_LETTERS = " -_.,;:&+/'\"()!"
#: What a call has taken before it has begun.
_NO_SECONDS = {"duration_seconds": 0, "billing_seconds": 0, "ringing_seconds": 0}


class Store:
    """One database, opened by :meth:`open`. May be used from any thread: each reads on a connection of its own."""

    def __init__(self, database: pw.Database, media_directory: str = "", node: str = "") -> None:
        self._database = database
        self._node = node or None
        self.models = bind(database)
        try:
            migrate(database)
        finally:
            database.close()
        self._writer = Writer(database)
        self.audit = Audit(self.models)
        self._rows = Rows(database, self._writer)
        # Of a file there is one user.
        others = None if isinstance(database, pw.SqliteDatabase) else self._node
        self.guard = GuardRecords(self._rows, self.models, self._writer, self.audit, others)
        self.users = UserRecords(self.models, self._writer, self.audit)
        self.traces = TraceRecords(self.models, self._writer)
        self.histories = HistoryRecords(self.models, self.catch_up)
        self.media = MediaRecords(self.models, self._writer, self.audit, media_directory)
        self.webhooks = WebhookRecords(self.models, self._writer, self.audit)

    @classmethod
    def open(cls, url: str, media_directory: str = "", node: str = "") -> "Store":
        """Open ``sqlite:///FILE`` or ``postgresql://…`` and bring it up to date.

        :param media_directory: where uploaded audio is kept; empty: in the database
        :param node: who uses it, of several that share a server's

        :raises StoreError: it cannot be opened, or is newer than the program.
        """
        try:
            if url.startswith("sqlite:///"):
                return cls(file.connect(url.removeprefix("sqlite:///")), media_directory, node)
            if not re.match(r"postgres(ql)?://", url):
                raise StoreError(f"no such database: {url.partition(':')[0]}")
            return cls(connect(url), media_directory, node)
        except (pw.PeeweeException, ImportError, RuntimeError) as error:
            # PostgreSQL's says where it is, and the URL has a password in it.
            path = url.removeprefix("sqlite:///")
            where = "" if path == url else f"{path}: "
            raise StoreError(
                f"the database cannot be opened: {where}{error}{file.what_to_do(error)}"
            ) from error

    def close(self, *, tidy: bool = False) -> None:
        """Write what is queued, and close; ``tidy`` of the service whose database it is, not of a command beside it."""
        self._writer.close()
        if tidy and isinstance(self._database, pw.SqliteDatabase):
            file.empty_log(self._database)
        if not self._database.is_closed():
            self._database.close()

    def flush(self) -> None:
        """Wait until all that was asked to be written so far is on disk."""
        self._writer.submit(lambda: None).result()

    def catch_up(self, id: str | None = None) -> None:
        """Have what was asked to be written be seen by who reads next: changes wait for others before they are written.

        :param id: that of the row which is looked for, where it is one only. Where nothing can be written at present, what is
            there is seen.
        """
        if self._writer.holds(id) if id is not None else self._writer.waiting:
            with contextlib.suppress(pw.PeeweeException, StoreError, TimeoutError):
                self._writer.submit(_nothing).result(CATCHING_UP)

    @property
    def waiting(self) -> int:
        """Writes that are queued."""
        return self._writer.waiting

    def ping(self, timeout: float = 2.0) -> None:
        """Have the database read and write within ``timeout`` seconds.

        :raises peewee.PeeweeException: it does not answer.
        :raises StoreError: it answers, but does not write.
        """
        with self._database.connection_context():
            self.models.SchemaVersion.select().first()
        version = self.models.SchemaVersion
        # A transaction that writes nothing succeeds on a full disk too. One that does has the disk wear: only in doubt.
        work = version.update(version=version.version).execute if self._writer.failing else _nothing
        try:
            self._writer.submit(work).result(timeout)
        except TimeoutError as error:
            raise StoreError(f"nothing was written within {timeout} s") from error

    def release(self) -> None:
        """Close the calling thread's connection: a server's connection must not outlive the request it served."""
        if not isinstance(self._database, pw.SqliteDatabase) and not self._database.is_closed():
            self._database.close()

    def _write(self, work: Any) -> Any:
        return self._writer.submit(work).result()

    # --- accounts

    def create_account(
        self,
        name: str,
        *,
        realm: str | None = None,
        username: str | None = None,
        password: str | None = None,
        parent_id: str | None = None,
        document: Mapping[str, Any] | None = None,
        by: Actor = NOBODY,
    ) -> Row:
        """A new account with a user and an API key, which are told here and never again.

        :returns: ``id``, ``name``, ``realm``, ``api_key``, ``username``, ``password``.
        :raises Taken: the realm is in use.
        """
        account_id = random_source.token_hex(16)
        realm = realm or f"{random_source.token_hex(4)}.sip.invalid"
        username = username or "admin"
        password = password or random_source.token_urlsafe(12)
        now = time.time()
        user = self.users.new(account_id, {"username": username}, password, now)
        key, key_row = self._key_row(account_id, now)

        def work() -> None:
            self.models.Account.insert(
                id=account_id,
                parent_id=parent_id,
                name=name,
                realm=realm.lower(),
                document=json.dumps(dict(document or {})),
                created=now,
            ).execute()
            self.models.User.insert(**user).execute()
            self.models.ApiKey.insert(**key_row).execute()
            after = dict(document or {}) | {"name": name, "realm": realm.lower()}
            self.audit.add(by, account_id, "create", "account", account_id, None, after)

        try:
            self._write(work)
        except pw.IntegrityError as error:
            raise Taken("realm") from error
        return {
            "id": account_id,
            "name": name,
            "realm": realm.lower(),
            "api_key": key,
            "username": username,
            "password": password,
        }

    def _key_row(self, account_id: str, now: float) -> tuple[str, Row]:
        key = secrets.new_api_key()
        row = {
            "id": key[:16],
            "account": account_id,
            "secret_hash": secrets.slow_hash(key[16:]),
            "created": now,
        }
        return key, row

    def accounts(self) -> list[Row]:
        """All accounts, oldest first."""
        query = self.models.Account.select().order_by(self.models.Account.created)
        return [self._account_row(row) for row in query.dicts()]

    def master_account(self) -> str | None:
        """The id of the oldest account that none is above; ``None`` where there is none yet."""
        found = self._rows.find(
            'SELECT "id" FROM "account" WHERE "parent_id" IS NULL ORDER BY "created", "id" LIMIT 1'
        )
        return str(found["id"]) if found else None

    def account(self, account_id: str, lately: bool = False) -> Row | None:
        """An account's document with ``id``, ``name``, ``realm``, ``parent_id`` and ``revision``.

        :param lately: what another process has written within the last second may not be in it
        """
        query = 'SELECT * FROM "account" WHERE "id" = ?'
        return self._rows.find(query, account_id, lately=lately, shown=self._account_row)

    def account_by(self, field: str, value: str) -> Row | None:
        """The account of this ``name`` or ``realm``; of several with one name the oldest: whoever takes a name that is there
        keeps nobody out by it.

        A name that nobody has as it is written is looked for by its letters and digits, as Kazoo does; there must be one
        such only.
        """
        if "\0" in value:  # which PostgreSQL has no text with
            return None
        model = self.models.Account
        column = getattr(model, field)
        # Both sides by the database: SQLite's LOWER leaves letters beyond ASCII as they are.
        first = model.select().order_by(model.created, model.id).limit(2)
        rows = list(first.where(pw.fn.LOWER(column) == pw.fn.LOWER(value)).dicts())
        letters = "".join(c for c in value.lower() if c.isascii() and c.isalnum())
        if not rows and field == "name" and letters:
            bare: Any = pw.fn.LOWER(column)
            for sign in _BETWEEN_LETTERS:
                bare = pw.fn.REPLACE(bare, sign, "")
            rows = list(first.where(bare == letters).dicts())
            if len(rows) > 1:
                return None
        return self._account_row(rows[0]) if rows else None

    def _account_row(self, row: Mapping[str, Any]) -> Row:
        document: Row = json.loads(row["document"])
        return document | {
            "id": row["id"],
            "name": row["name"],
            "realm": row["realm"],
            "parent_id": row["parent_id"],
            "revision": row["revision"],
        }

    def update_account(
        self, account_id: str, document: Mapping[str, Any], revision: int, by: Actor = NOBODY
    ) -> Row | None:
        """Replace the document of an account that is still of ``revision``; ``None`` where it is not.

        :raises Taken: the realm is in use.
        """
        model = self.models.Account
        own = ("id", "name", "realm", "parent_id", "revision")
        document = dict(document) | {"realm": str(document["realm"]).lower()}
        changes = {
            model.name: document["name"],
            model.realm: document["realm"],
            model.document: json.dumps({k: v for k, v in document.items() if k not in own}),
            model.revision: revision + 1,
        }

        def work() -> bool:
            mine = (model.id == account_id) & (model.revision == revision)
            row = model.select().where(mine).dicts().first()
            if row is None or not model.update(changes).where(mine).execute():
                return False
            ours = ("id", "parent_id", "revision")
            before = {k: v for k, v in self._account_row(row).items() if k not in ours}
            after = {k: v for k, v in document.items() if k not in ours}
            self.audit.add(by, account_id, "update", "account", account_id, before, after)
            return True

        try:
            changed = self._write(work)
        except pw.IntegrityError as error:
            raise Taken("realm") from error
        return self.account(account_id) if changed else None

    def children(self, account_id: str, span: Span) -> list[Row]:
        """The accounts right below one, in the order of time, each with ``created``."""
        model = self.models.Account
        rows = page(model, [model.parent_id == account_id], span, model.created)
        return [self._account_row(row) | {"created": row["created"]} for row in rows]

    def descendants(self, account_id: str, span: Span) -> list[Row]:
        """All the accounts below one, in the order of time, each with ``created``."""
        model = self.models.Account
        children = model.select(model.id).where(model.parent_id == account_id)
        below = children.cte("below", recursive=True, columns=("id",))
        other = model.alias()
        deeper = other.select(other.id).join(below, on=(other.parent_id == below.c.id))
        # UNION, not UNION ALL: whatever the table says, this ends.
        all_below = children.union(deeper).cte("below", recursive=True, columns=("id",))
        wanted = all_below.select_from(all_below.c.id)
        rows = page(model, [model.id.in_(wanted)], span, model.created)
        return [self._account_row(row) | {"created": row["created"]} for row in rows]

    def lineage(self, account_id: str) -> list[Row]:
        """An account and those above it, from itself up, as ``id``, ``name`` and ``realm``."""
        found: list[Row] = []
        current: str | None = account_id
        while current is not None and len(found) <= DEEPEST:
            row = self.account(current)
            if row is None:
                break
            found.append({name: row[name] for name in ("id", "name", "realm")})
            current = row["parent_id"]
        return found

    def is_within(self, account_id: str, ancestor_id: str) -> bool:
        """Whether an account is ``ancestor_id`` or below it in the tree."""
        if account_id == ancestor_id:
            return True
        return any(row["id"] == ancestor_id for row in self.lineage(account_id))

    # --- who may do what

    def check_api_key(self, key: str) -> str | None:
        """The account of an API key."""
        row = None
        if "\0" not in key:  # which PostgreSQL has no text with
            query = self.models.ApiKey.select().where(self.models.ApiKey.id == key[:16])
            row = query.dicts().first()
        ok = secrets.verify(key[16:], row["secret_hash"] if row else secrets.NOBODY)
        return str(row["account"]) if row and ok else None

    def api_key_id(self, account_id: str) -> str | None:
        """The part of an account's API key that may be shown."""
        query = self.models.ApiKey.select().where(self.models.ApiKey.account == account_id)
        row = query.order_by(self.models.ApiKey.created.desc()).dicts().first()
        return str(row["id"]) if row else None

    def replace_api_key(self, account_id: str, by: Actor = NOBODY, keep: str = "") -> str:
        """A new API key for an account; those before no longer serve, nor the tokens that they were exchanged for, but the
        one to ``keep``, with which somebody asks for this."""
        key, row = self._key_row(account_id, time.time())
        model, token = self.models.ApiKey, self.models.Token

        def work() -> None:
            token.delete().where(
                token.account == account_id,
                token.method == "api_auth",
                token.token_hash != secrets.token_hash(keep),
            ).execute()
            model.delete().where(model.account == account_id).execute()
            model.insert(**row).execute()
            self.audit.add(by, account_id, "create", "api_key", row["id"])

        self._write(work)
        return key

    def create_token(self, account_id: str, owner_id: str | None, method: str) -> str:
        """A new token, told once."""
        token = random_source.token_hex(32)
        now = time.time()
        model = self.models.Token

        def work() -> None:
            model.delete().where(model.expires < now).execute()
            model.insert(
                token_hash=secrets.token_hash(token),
                account=account_id,
                owner_id=owner_id,
                method=method,
                created=now,
                expires=now + TOKEN_LIFETIME,
            ).execute()

        self._write(work)
        return token

    def check_token(self, token: str) -> Row | None:
        """``account_id``, ``owner_id``, ``method``, ``created``, ``expires`` of a token that still serves."""
        now = time.time()
        known = secrets.token_hash(token)
        row = self._rows.find(
            'SELECT "account_id", "owner_id", "method", "created", "expires" FROM "token"'
            ' WHERE "token_hash" = ? AND "expires" > ?',
            known,
            now,
        )
        if row is not None and row["expires"] - now < TOKEN_LIFETIME * 0.9:
            # Used again: it lives on. Not at each use, which would be a write a request.
            model = self.models.Token
            later = {model.expires: now + TOKEN_LIFETIME}
            self._writer.submit(
                lambda: model.update(later).where(model.token_hash == known).execute()
            )
        return row

    def revoke_token(self, token: str) -> None:
        """Make a token serve no more."""
        model = self.models.Token
        known = secrets.token_hash(token)
        self._write(lambda: model.delete().where(model.token_hash == known).execute())

    # --- click-to-calls

    def create_clicktocall(
        self, account_id: str, document: Mapping[str, Any], by: Actor = NOBODY
    ) -> Row:
        """Keep a new click-to-call; its document with ``id``."""
        identifier = random_source.token_hex(16)
        now = time.time()

        def work() -> None:
            self.models.ClickToCall.insert(
                id=identifier,
                account=account_id,
                document=json.dumps(dict(document)),
                created=now,
                modified=now,
            ).execute()
            self.audit.add(by, account_id, "create", "clicktocall", identifier, None, document)

        self._write(work)
        return dict(document) | {"id": identifier, "revision": 1}

    def clicktocall(self, account_id: str, identifier: str, lately: bool = False) -> Row | None:
        """A click-to-call's document with ``id`` and ``revision``; ``None`` for another account's.

        :param lately: as in :meth:`account`
        """
        return self._rows.find(
            'SELECT * FROM "clicktocall" WHERE "id" = ? AND "account_id" = ? AND "deleted" IS NULL',
            identifier,
            account_id,
            lately=lately,
            shown=_clicktocall,
        )

    def clicktocalls(
        self, account_id: str, span: Span, containing: Sequence[tuple[str, ...]] = ()
    ) -> list[Row]:
        """Click-to-calls of an account in the order of time, each with ``created``.

        :param containing: of each group, the document's JSON text has at least one.
        """
        model = self.models.ClickToCall
        conditions = [model.account == account_id, model.deleted.is_null()]
        conditions += [contains(model.document, group) for group in containing]
        rows = page(model, conditions, span, model.modified)
        return [
            json.loads(row["document"]) | {"id": row["id"], "created": row["created"]}
            for row in rows
        ]

    def update_clicktocall(
        self,
        account_id: str,
        identifier: str,
        document: Mapping[str, Any],
        revision: int,
        by: Actor = NOBODY,
    ) -> Row | None:
        """Replace the document of a click-to-call that is still of ``revision``; ``None`` where it is not."""
        model = self.models.ClickToCall
        changes = {
            model.document: json.dumps(dict(document)),
            model.revision: revision + 1,
            model.modified: time.time(),
        }
        before = self._change_clicktocall(account_id, identifier, changes, revision)

        def work() -> bool:
            found = before()
            if found is None:
                return False
            self.audit.add(by, account_id, "update", "clicktocall", identifier, found, document)
            return True

        changed = self._write(work)
        return dict(document) | {"id": identifier, "revision": revision + 1} if changed else None

    def delete_clicktocall(
        self, account_id: str, identifier: str, revision: int, by: Actor = NOBODY
    ) -> bool:
        """Take a click-to-call that is still of ``revision`` away; its records stay."""
        changes = {self.models.ClickToCall.deleted: time.time()}
        before = self._change_clicktocall(account_id, identifier, changes, revision)

        def work() -> bool:
            found = before()
            if found is None:
                return False
            self.audit.add(by, account_id, "delete", "clicktocall", identifier, found)
            return True

        return bool(self._write(work))

    def _change_clicktocall(
        self, account_id: str, identifier: str, changes: Mapping[Any, Any], revision: int
    ) -> Callable[[], Row | None]:
        """What changes a click-to-call that is still of ``revision``, and gives its document before."""
        model = self.models.ClickToCall

        def work() -> Row | None:
            mine = (model.id == identifier) & (model.account == account_id)
            mine &= (model.revision == revision) & model.deleted.is_null()
            document = model.select(model.document).where(mine).scalar()
            if document is None or not model.update(changes).where(mine).execute():
                return None
            found: Row = json.loads(document)
            return found

        return work

    def note(self, by: Actor, account_id: str, action: str, kind: str, target_id: str) -> None:
        """Write into the audit log what was done to something that is not in the database."""
        self._write(lambda: self.audit.add(by, account_id, action, kind, target_id))

    # --- activations and their legs

    def create_activation(
        self, row: Mapping[str, Any], also: tuple[Change, ...] = ()
    ) -> Outcome[None]:
        """Add a record, and what is ``also`` to be on disk once the outcome is known."""
        columns = {**_NO_SECONDS, "node": self._node, **row}
        return self._writer.make(Change("activation", columns.pop("id"), columns, True, also))

    def update_activation(self, id: str, also: tuple[Change, ...] = (), **changes: Any) -> None:
        """Change a record, and make what is ``also`` to be made in that transaction. Does not wait."""
        self._writer.change(Change("activation", id, changes, also=also))

    def add_cdr(self, row: Mapping[str, Any]) -> None:
        """Add a leg's CDR. Does not wait."""
        self._writer.change(new_row("cdr", {**_NO_SECONDS, **row}))

    def update_cdr(self, id: str, **changes: Any) -> None:
        """Change a leg's CDR, whose ``media`` and ``dialog`` are in JSON, or made by a function when they are written. Does not
        wait."""
        self._writer.change(Change("cdr", id, changes))

    def _left(self, before: float) -> tuple[Any, Any]:
        """Which activations and which legs this node, when it starts, has to end: its own, and nobody's.

        Of a file there is one user. Of several nodes on one server the others' calls are up; but for those from
        ``before`` then: no call lasts that long, and their node has not come back to end them.
        """
        model, cdr = self.models.Activation, self.models.Cdr
        if isinstance(self._database, pw.SqliteDatabase):
            return model.ended.is_null(), cdr.ended.is_null()
        ours = model.node.is_null() | (model.node == self._node) | (model.created < before)
        legs = cdr.activation.in_(model.select(model.id).where(ours))
        return model.ended.is_null() & ours, cdr.ended.is_null() & legs

    def open_dialogs(self, before: float = 0.0) -> list[Row]:
        """What is known of the legs that a crash has left up; asked before they are closed.

        :param before: see :meth:`close_open_activations`
        """
        model = self.models.Cdr
        _, left = self._left(before)
        query = model.select(model.dialog, model.call_id).where(left, model.dialog.is_null(False))
        return [json.loads(row["dialog"]) | {"call_id": row["call_id"]} for row in query.dicts()]

    def close_open_activations(
        self,
        now: float,
        also: Callable[[Row], tuple[Change, ...]] = lambda row: (),
        explain: Callable[[Row], str] = lambda row: "",
        before: float = 0.0,
    ) -> int:
        """End what a crash of this node has left open; how many that were.

        :param also: what is to be made for the row of each of them
        :param explain: why it ended as it did
        :param before: when what is open still began, in Unix seconds, that is nobody's any more, whoever's it was
        """
        activation, cdr = self.models.Activation, self.models.Cdr
        left, legs = self._left(before)

        def work() -> int:
            for row in list(activation.select().where(left).dicts()):
                row["account_id"] = row.pop("account")
                row["clicktocall_id"] = row.pop("clicktocall")
                if not row["explanation"]:
                    row["explanation"] = explain(row)
                    told = {"explanation": row["explanation"]}
                    self._writer.execute(Change("activation", row["id"], told))
                for change in also(row):
                    self._writer.execute(change)
            cdr.update(ended=now, cause=CUT_OFF, dialog=None).where(legs).execute()
            return int(
                activation.update(
                    state="ended",
                    # What was known already stays: that the two were connected, or why they were not.
                    result=pw.fn.COALESCE(activation.result, "error"),
                    cause=pw.fn.COALESCE(activation.cause, CUT_OFF),
                    ended=now,
                )
                .where(left)
                .execute()
            )

        return int(self._write(work))

    def activation(self, clicktocall_id: str, identifier: str) -> Row | None:
        """One record of a click-to-call."""
        self.catch_up(identifier)
        model = self.models.Activation
        row = (
            model.select()
            .where(model.id == identifier, model.clicktocall == clicktocall_id)
            .dicts()
            .first()
        )
        return dict(row) if row else None

    def history(self, clicktocall_id: str, span: Span, filters: Sequence[Filter] = ()) -> list[Row]:
        """Records of a click-to-call in the order of time. They are filtered by column, or by ``second``."""
        self.catch_up()
        model = self.models.Activation
        conditions = [model.clicktocall == clicktocall_id]
        conditions += [each.condition(as_texts(model)) for each in filters]
        return page(model, conditions, span, pw.fn.COALESCE(model.ended, model.created))

    def history_items(self, clicktocall_id: str) -> int:
        """How many records a click-to-call has."""
        model = self.models.Activation
        return int(model.select().where(model.clicktocall == clicktocall_id).count())

    def cdrs(self, account_id: str, span: Span, filters: Sequence[Filter] = ()) -> list[Row]:
        """CDRs of an account in the order of time. They are filtered by column, or by ``second``."""
        self.catch_up()
        model = self.models.Cdr
        conditions = [model.account == account_id]
        conditions += [each.condition(as_texts(model)) for each in filters]
        rows = page(model, conditions, span, pw.fn.COALESCE(model.ended, model.created))
        return [_cdr(row) for row in rows]

    def roles(self, activation_id: str) -> dict[str, str]:
        """The roles of an activation's legs, by Call-ID."""
        model = self.models.Cdr
        query = model.select(model.call_id, model.role).where(model.activation == activation_id)
        return {row["call_id"]: row["role"] for row in query.dicts()}

    def cdr(self, account_id: str, identifier: str) -> Row | None:
        """One CDR."""
        self.catch_up(identifier)
        model = self.models.Cdr
        row = (
            model.select()
            .where(model.id == identifier, model.account == account_id)
            .dicts()
            .first()
        )
        return _cdr(row) if row else None


def _cdr(row: Mapping[str, Any]) -> Row:
    found = dict(row)
    found["media"] = json.loads(found["media"]) if found["media"] else None
    del found["dialog"]
    found["account_id"] = found.pop("account")
    found["activation_id"] = found.pop("activation")
    return found


def _clicktocall(row: Mapping[str, Any]) -> Row:
    document: Row = json.loads(row["document"])
    return document | {"id": row["id"], "revision": row["revision"]}


def _nothing() -> None:
    """Be a write that writes nothing."""
