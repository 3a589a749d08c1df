"""The store: its queries by name, as dictionaries in and out.

Reads run on the calling thread's own connection and see whatever was committed. Writes are handed
to one writer thread (`writer`) and come back as futures that resolve after the commit; a method
that returns a plain value has waited for its own. Ids are 32 hexadecimal digits, times are
seconds since 1970. Everything raises `StoreError` where the database fails.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import peewee

from . import passwords
from .database import Connections, SqliteConnections, connect, is_lost, run
from .errors import Conflict, StoreError
from .migrations import MIGRATIONS
from .models import Account, Activation, ApiKey, Cdr, Clicktocall, Login, Token
from .paging import Page, Paging, has, read_start_key, start_key
from .writer import Work, Writer

T = TypeVar("T")
Row = dict[str, Any]

TOKEN_LIFETIME = 3600.0
"""Seconds a token lives after its last use."""

TOKEN_LONGEST_LIFE = 24 * 3600.0
"""Seconds after which a token has to be asked for again however much it is used."""

_TOKEN_TOUCH = 60.0
_SCAN = 500
_ID = re.compile(r"[0-9a-f]{32}")
_UNKNOWN_ACCOUNT_SALT = passwords.make_salt()
_MOST_SAME_NAMES = 4

log = logging.getLogger(__name__)


def new_id() -> str:
    """A new id: 32 hexadecimal digits."""
    return secrets.token_hex(16)


def is_id(text: object) -> bool:
    """Whether this can be an id at all; anything else is not worth a query."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def plain_name(name: str) -> str:
    """An account's name as it is compared at login: letters and digits, in lower case."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in folded if character.isalnum())


class Store:
    """The database of the service. Make one with `Store.open`; safe to use from any thread."""

    def __init__(self, database: Connections, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._writer = Writer(database)

    @classmethod
    def open(cls, url: str, clock: Callable[[], float] = time.time) -> Store:
        """Connect, bring the tables up to date, and start the writer.

        Raises StoreError where the database can't be had, or is newer than this program.
        """
        database = connect(url)
        try:
            _migrate(database, clock())
        except peewee.PeeweeException as error:
            database.connections.close()
            raise StoreError(f"{_without_password(url)}: {str(error).strip()}") from error
        except StoreError:
            database.connections.close()
            raise
        return cls(database, clock)

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued and close every connection; StoreError if that takes too long."""
        done = self._writer.close(timeout)
        self._database.connections.close()
        if not done:
            raise StoreError(f"writes were still waiting after {timeout} s")

    # The two ways in

    def write(self, work: Work[T]) -> Future[T]:
        """Run `work(database)` in the writer's transaction; resolves after the commit."""
        return self._writer.submit(work)

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything asked to be written before is committed."""
        self._wait(self.write(lambda database: None), timeout)

    def ping(self, timeout: float = 2.0) -> None:
        """Raise StoreError unless the database both reads and writes within `timeout` seconds."""
        self._rows(Account.select(Account.id).limit(1))
        self.flush(timeout)

    def _wait(self, future: Future[T], timeout: float | None = None) -> T:
        try:
            return future.result(timeout)
        except TimeoutError as error:
            raise StoreError("the database does not answer in time") from error

    def _rows(self, query: Any) -> list[Row]:
        for last in (False, True):
            try:
                return list(query.clone().dicts().execute(self._database))
            except peewee.PeeweeException as error:
                self._forget_connection()
                if last or not (isinstance(error, peewee.DatabaseError) and is_lost(error)):
                    raise StoreError(str(error)) from error
        raise AssertionError("unreachable")

    def _row(self, query: Any) -> Row | None:
        rows = self._rows(query.limit(1))
        return rows[0] if rows else None

    def _forget_connection(self) -> None:
        try:
            self._database.close()
        except peewee.PeeweeException as error:
            log.warning("closing a connection that failed: %s", error)
            self._database.dispose()

    def _page(
        self,
        model: type[peewee.Model],
        where: Any,
        paging: Paging,
        convert: Callable[[Row], Row] = dict,
        shape: Callable[[Row], Mapping[str, Any]] | None = None,
    ) -> Page:
        """A page of `model` by creation time.

        `convert` makes what is returned; `shape` the document that filters look into (the
        converted row by default).
        """
        table: Any = model
        condition = where
        if paging.created_from is not None:
            condition &= table.created >= paging.created_from
        if paging.created_to is not None:
            condition &= table.created <= paging.created_to
        after = None if paging.start_key is None else read_start_key(paging.start_key)
        strict = False
        filters = list(paging.filters.items())
        wanted = paging.limit + 1
        found: list[tuple[Row, Row]] = []
        while len(found) < wanted:
            step = condition
            if after is not None:
                step &= _beyond(table, after, paging.ascending, strict)
            order = (table.created, table.id)
            if not paging.ascending:
                order = (table.created.desc(), table.id.desc())
            count = wanted if not filters else _SCAN
            rows = self._rows(table.select().where(step).order_by(*order).limit(count))
            for row in rows:
                converted = convert(row)
                document = shape(row) if shape else converted
                if all(has(document, path, value) for path, value in filters):
                    found.append((row, converted))
            if len(rows) < count:
                break
            after, strict = (rows[-1]["created"], rows[-1]["id"]), True
        next_key = start_key(found[paging.limit][0]) if len(found) > paging.limit else None
        return Page([converted for _, converted in found[: paging.limit]], next_key)

    # Accounts

    def create_account(
        self,
        name: str,
        realm: str | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> Row:
        """A new top account with a user and an API key, all of them made up where not given.

        Returns `id`, `name`, `realm`, `api_key`, `username`, `password`: the only time that key
        and password are seen. Raises Conflict("realm").
        """
        username = username or "admin"
        password = password or secrets.token_urlsafe(16)
        api_key = passwords.make_api_key()
        account = self._new_account(name, realm, None, {})
        login = self._new_login(account, username, password)
        key = self._new_api_key(account["id"], api_key)

        def insert(database: Connections) -> None:
            _insert_account(database, account)
            Login.insert(login).execute(database)
            ApiKey.insert(key).execute(database)

        self._wait(self.write(insert))
        return {
            "id": account["id"],
            "name": name,
            "realm": account["realm"],
            "api_key": api_key,
            "username": username,
            "password": password,
        }

    def create_child_account(
        self, parent_id: str, name: str, realm: str | None, document: Mapping[str, Any]
    ) -> Row:
        """A new account below `parent_id`; raises Conflict("realm")."""
        parent = self.account(parent_id)
        if parent is None:
            raise StoreError("the parent account is gone")
        account = self._new_account(name, realm, parent, document)
        self._wait(self.write(lambda database: _insert_account(database, account)))
        return account

    def _new_account(
        self, name: str, realm: str | None, parent: Row | None, document: Mapping[str, Any]
    ) -> Row:
        account_id = new_id()
        now = self._clock()
        return {
            "id": account_id,
            "parent_id": parent["id"] if parent else None,
            "path": f"{parent['path']}/{account_id}" if parent else account_id,
            "name": name,
            "plain_name": plain_name(name),
            "realm": (realm or f"{secrets.token_hex(4)}.sip.local").lower(),
            "salt": passwords.make_salt(),
            "document": dict(document),
            "created": now,
            "modified": now,
        }

    def account(self, account_id: str) -> Row | None:
        """The account's row, or None."""
        if not is_id(account_id):
            return None
        return self._row(Account.select().where(Account.id == account_id))

    def list_accounts(self) -> list[Row]:
        """All accounts, oldest first."""
        return self._rows(Account.select().order_by(Account.created, Account.id))

    def update_account(
        self, account_id: str, name: str, realm: str, document: Mapping[str, Any]
    ) -> Row | None:
        """Put name, realm and the rest of the document in place; None if it is gone."""
        now = self._clock()

        def update(database: Connections) -> None:
            with _unique("realm", realm):
                Account.update(
                    name=name,
                    plain_name=plain_name(name),
                    realm=realm.lower(),
                    document=dict(document),
                    modified=now,
                ).where(Account.id == account_id).execute(database)

        self._wait(self.write(update))
        return self.account(account_id)

    # Users, API keys, tokens

    def _new_login(self, account: Row, username: str, password: str) -> Row:
        md5, sha = passwords.credentials(username, password)
        # Salted by the account, so that a login is found by one slow hash however many users
        # there are; the user's name inside the credentials keeps equal passwords apart.
        return {
            "id": new_id(),
            "account_id": account["id"],
            "username": username,
            "md5_hash": passwords.slow_hash(md5, account["salt"]),
            "sha_hash": passwords.slow_hash(sha, account["salt"]),
            "created": self._clock(),
        }

    def create_login(self, account_id: str, username: str, password: str) -> Row:
        """A new user of an account; raises Conflict("username")."""
        account = self.account(account_id)
        if account is None:
            raise StoreError("the account is gone")
        login = self._new_login(account, username, password)

        def insert(database: Connections) -> None:
            with _unique("username", username):
                Login.insert(login).execute(database)

        self._wait(self.write(insert))
        return {"id": login["id"], "username": username}

    def log_in(
        self,
        credentials: str,
        method: str,
        *,
        account_name: str | None = None,
        realm: str | None = None,
    ) -> tuple[Row, Row] | None:
        """The account and user these Kazoo credentials belong to, or None.

        `credentials` is the hexadecimal MD5 (`method` "md5") or SHA-1 ("sha") of
        ``user:password``; the account is named by its name or its realm. An unknown account, an
        unknown user and a wrong password take the same time.
        """
        column = Login.md5_hash if method == "md5" else Login.sha_hash
        if realm is not None:
            accounts = self._rows(Account.select().where(Account.realm == realm.lower()))
        else:
            name = plain_name(account_name or "")
            accounts = self._rows(
                Account.select().where(Account.plain_name == name).limit(_MOST_SAME_NAMES)
            )
        if not accounts:
            passwords.slow_hash(credentials.lower(), _UNKNOWN_ACCOUNT_SALT)
        for account in accounts:
            proof = passwords.slow_hash(credentials.lower(), account["salt"])
            login = self._row(
                Login.select().where((Login.account_id == account["id"]) & (column == proof))
            )
            if login is not None:
                return account, login
        return None

    def _new_api_key(self, account_id: str, api_key: str) -> Row:
        secret = api_key[passwords.PUBLIC_ID_LENGTH :]
        return {
            "account_id": account_id,
            "public_id": api_key[: passwords.PUBLIC_ID_LENGTH],
            "hash": passwords.slow_hash(secret, passwords.make_salt()),
            "created": self._clock(),
        }

    def replace_api_key(self, account_id: str) -> str:
        """Give the account a new API key, ending the old one; returns it, for the only time."""
        api_key = passwords.make_api_key()
        row = self._new_api_key(account_id, api_key)

        def replace(database: Connections) -> None:
            ApiKey.delete().where(ApiKey.account_id == account_id).execute(database)
            ApiKey.insert(row).execute(database)

        self._wait(self.write(replace))
        return api_key

    def api_key(self, account_id: str) -> Row | None:
        """What is known of the account's API key: `public_id`, `created`; never the key."""
        return self._row(
            ApiKey.select(ApiKey.public_id, ApiKey.created).where(ApiKey.account_id == account_id)
        )

    def account_of_api_key(self, api_key: str) -> Row | None:
        """The account whose API key this is, or None; both take the same time."""
        public_id = api_key[: passwords.PUBLIC_ID_LENGTH]
        row = None
        if "\0" not in public_id:
            row = self._row(ApiKey.select().where(ApiKey.public_id == public_id))
        known = passwords.matches(
            api_key[passwords.PUBLIC_ID_LENGTH :], row["hash"] if row else None
        )
        return self.account(row["account_id"]) if row and known else None

    def create_token(self, account_id: str, owner_id: str | None, method: str) -> str:
        """A new token for this account; only its hash is kept."""
        token = passwords.make_token()
        now = self._clock()

        def insert(database: Connections) -> None:
            Token.delete().where(Token.expires < now).execute(database)
            Token.insert(
                hash=passwords.token_hash(token),
                account_id=account_id,
                owner_id=owner_id,
                method=method,
                created=now,
                expires=now + TOKEN_LIFETIME,
            ).execute(database)

        self._wait(self.write(insert))
        return token

    def token(self, token: str) -> Row | None:
        """`account_id`, `owner_id`, `method`, `created`, `expires` of a living token, or None.

        Using a token prolongs it.
        """
        digest = passwords.token_hash(token)
        now = self._clock()
        row = self._row(Token.select().where((Token.hash == digest) & (Token.expires > now)))
        if row is None:
            return None
        expires = min(now + TOKEN_LIFETIME, row["created"] + TOKEN_LONGEST_LIFE)
        if expires - row["expires"] > _TOKEN_TOUCH:
            row["expires"] = expires
            prolonged = Token.update(expires=expires).where(Token.hash == digest)
            self._unattended(self.write(lambda database: prolonged.execute(database)))
        return row

    def revoke_token(self, token: str) -> None:
        """End a token now."""
        gone = Token.delete().where(Token.hash == passwords.token_hash(token))
        self._wait(self.write(lambda database: gone.execute(database)))

    # Click-to-calls

    def create_clicktocall(self, account_id: str, document: Mapping[str, Any]) -> Row:
        """Store a document under a new id; returns its row."""
        now = self._clock()
        row = {
            "id": new_id(),
            "account_id": account_id,
            **_clicktocall_columns(document),
            "history_items": 0,
            "created": now,
            "modified": now,
            "deleted": None,
        }
        self._wait(self.write(lambda database: Clicktocall.insert(row).execute(database)))
        return row

    def clicktocall(self, account_id: str, clicktocall_id: str) -> Row | None:
        """The row, with its `document`; None where it is another account's, deleted, or not."""
        if not (is_id(account_id) and is_id(clicktocall_id)):
            return None
        return self._row(
            Clicktocall.select().where(
                (Clicktocall.id == clicktocall_id)
                & (Clicktocall.account_id == account_id)
                & Clicktocall.deleted.is_null()
            )
        )

    def clicktocalls(self, account_id: str, paging: Paging) -> Page:
        """A page of the account's click-to-calls, as rows; filters look into the documents."""
        return self._page(
            Clicktocall,
            (Clicktocall.account_id == account_id) & Clicktocall.deleted.is_null(),
            paging,
            shape=lambda row: {
                **row["document"],
                "id": row["id"],
                "history_items": row["history_items"],
            },
        )

    def update_clicktocall(
        self, account_id: str, clicktocall_id: str, document: Mapping[str, Any]
    ) -> Row | None:
        """Replace the document; None where there is no such click-to-call."""
        now = self._clock()
        query = Clicktocall.update(modified=now, **_clicktocall_columns(document)).where(
            (Clicktocall.id == clicktocall_id)
            & (Clicktocall.account_id == account_id)
            & Clicktocall.deleted.is_null()
        )
        self._wait(self.write(lambda database: query.execute(database)))
        return self.clicktocall(account_id, clicktocall_id)

    def delete_clicktocall(self, account_id: str, clicktocall_id: str) -> bool:
        """Take it out of sight; its activations and CDRs stay. False if there was none."""
        query = Clicktocall.update(deleted=self._clock()).where(
            (Clicktocall.id == clicktocall_id)
            & (Clicktocall.account_id == account_id)
            & Clicktocall.deleted.is_null()
        )
        return bool(self._wait(self.write(lambda database: query.execute(database))))

    # Activations

    def create_activation(self, row: Mapping[str, Any]) -> Future[Row]:
        """Write an activation down; resolves to the whole row once it is on the disk.

        `row` needs `id`, `account_id`, `clicktocall_id`, `contact`, `created`.
        """
        whole = _defaults(Activation) | dict(row)

        def insert(database: Connections) -> Row:
            Activation.insert(whole).execute(database)
            Clicktocall.update(history_items=Clicktocall.history_items + 1).where(
                Clicktocall.id == whole["clicktocall_id"]
            ).execute(database)
            return whole

        return self.write(insert)

    def update_activation(self, activation_id: str, **fields: Any) -> Future[None]:
        """Change fields of an activation, in the order of the calls; need not be waited for."""
        query = Activation.update(**fields).where(Activation.id == activation_id)
        return self._unattended(self.write(lambda database: _execute(query, database)))

    def activation(self, activation_id: str) -> Row | None:
        """The activation's row, or None."""
        if not is_id(activation_id):
            return None
        return self._row(Activation.select().where(Activation.id == activation_id))

    def activations(self, clicktocall_id: str, paging: Paging) -> Page:
        """A page of the click-to-call's activations."""
        return self._page(Activation, Activation.clicktocall_id == clicktocall_id, paging)

    def open_activations(self, clicktocall_id: str) -> int:
        """How many activations of this click-to-call have not ended."""
        query = Activation.select(peewee.fn.COUNT(Activation.id).alias("count")).where(
            (Activation.clicktocall_id == clicktocall_id) & Activation.ended.is_null()
        )
        return int(self._rows(query)[0]["count"])

    def close_open_activations(self, now: float) -> int:
        """End whatever a process that died has left open; returns how many activations.

        To be called at start, before anything is dialled.
        """

        def close(database: Connections) -> int:
            Cdr.update(ended=now, cause="NORMAL_TEMPORARY_FAILURE").where(
                Cdr.ended.is_null()
            ).execute(database)
            return int(
                Activation.update(
                    state="ended",
                    result="error",
                    cause="NORMAL_TEMPORARY_FAILURE",
                    ended=now,
                )
                .where(Activation.ended.is_null())
                .execute(database)
            )

        return self._wait(self.write(close))

    # CDRs

    def add_cdr(self, row: Mapping[str, Any]) -> Future[Row]:
        """Write a leg down; needs `id`, `account_id`, `activation_id`, `role`, `call_id`,
        `created`. Resolves to the whole row."""
        whole = _defaults(Cdr) | dict(row)

        def insert(database: Connections) -> Row:
            Cdr.insert(whole).execute(database)
            return whole

        return self._unattended(self.write(insert))

    def update_cdr(self, cdr_id: str, **fields: Any) -> Future[None]:
        """Change fields of a CDR, in the order of the calls; need not be waited for."""
        query = Cdr.update(**fields).where(Cdr.id == cdr_id)
        return self._unattended(self.write(lambda database: _execute(query, database)))

    def cdr(self, account_id: str, cdr_id: str) -> Row | None:
        """The CDR's row, or None, also where it is another account's."""
        if not (is_id(account_id) and is_id(cdr_id)):
            return None
        return self._row(Cdr.select().where((Cdr.id == cdr_id) & (Cdr.account_id == account_id)))

    def cdrs(self, account_id: str, paging: Paging) -> Page:
        """A page of the account's CDRs."""
        return self._page(Cdr, Cdr.account_id == account_id, paging)

    def _unattended(self, future: Future[T]) -> Future[T]:
        """Have a failed write logged, since nobody may be waiting for this one."""
        future.add_done_callback(_log_failure)
        return future


def _execute(query: Any, database: Connections) -> None:
    query.execute(database)


def _log_failure(future: Future[Any]) -> None:
    if not future.cancelled():
        error = future.exception()
        if error is not None:
            log.error("a write was lost: %s", error)


def _beyond(table: Any, after: tuple[float, str], ascending: bool, strict: bool) -> Any:
    created, row_id = after
    if ascending:
        same = table.id > row_id if strict else table.id >= row_id
        return (table.created > created) | ((table.created == created) & same)
    same = table.id < row_id if strict else table.id <= row_id
    return (table.created < created) | ((table.created == created) & same)


def _defaults(model: Any) -> Row:
    """A row with every column of the model at its default."""
    return {
        name: column.default() if callable(column.default) else column.default
        for name, column in model._meta.fields.items()
    }


def _clicktocall_columns(document: Mapping[str, Any]) -> Row:
    extension = document["extension"]
    return {
        "name": document["name"],
        "extension": extension if isinstance(extension, str) else "",
        "realm": document.get("realm"),
        "document": dict(document),
    }


def _insert_account(database: Connections, account: Row) -> None:
    with _unique("realm", account["realm"]):
        Account.insert(account).execute(database)


@contextlib.contextmanager
def _unique(field: str, value: object) -> Iterator[None]:
    try:
        yield
    except peewee.IntegrityError as error:
        raise Conflict(field, value) from error


def _without_password(url: str) -> str:
    return re.sub(r"//([^:/@]*):[^@]*@", r"//\1:…@", url)


def _migrate(database: Connections, now: float) -> None:
    """Run the steps this database lacks, all of them or none."""
    newest = MIGRATIONS[-1].number
    with database.atomic():
        if not isinstance(database, SqliteConnections):
            # Two nodes that start together on an empty database: one waits for the other.
            run(database, "SELECT pg_advisory_xact_lock(2026072201)")
        run(
            database,
            "CREATE TABLE IF NOT EXISTS schema_version ("
            "number BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, "
            "applied DOUBLE PRECISION NOT NULL)",
        )
        row = run(database, "SELECT MAX(number) FROM schema_version").fetchone()
        present = row[0] or 0
        if present > newest:
            raise StoreError(
                f"the database is at step {present}, this program knows {newest}: "
                "it was last used by a newer version"
            )
        for migration in MIGRATIONS:
            if migration.number > present:
                for statement in migration.statements:
                    run(database, statement)
                mark = database.param
                run(
                    database,
                    f"INSERT INTO schema_version VALUES ({mark}, {mark}, {mark})",
                    (migration.number, migration.name, now),
                )
                log.info("database: step %d, %s", migration.number, migration.name)
