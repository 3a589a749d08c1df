"""The tables as Peewee sees them.

The models are bound to no database: every query is executed on the one it is handed
(`query.execute(database)`), so that two stores can live in one process. The tables themselves are
made by `migrations`. Ids are 32 hexadecimal digits, times are seconds since 1970 as float.
"""

from __future__ import annotations

import json
from typing import Any

import peewee


class JsonField(peewee.TextField):
    """A JSON document in a text column; text, since SQLite and PostgreSQL then keep it alike."""

    def db_value(self, value: Any) -> Any:
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def python_value(self, value: Any) -> Any:
        return None if value is None else json.loads(value)


class Account(peewee.Model):
    """A customer. `path` is the ids from the topmost ancestor down to this account, with "/"."""

    id = peewee.TextField(primary_key=True)
    parent_id = peewee.TextField(null=True)
    path = peewee.TextField()
    name = peewee.TextField()
    plain_name = peewee.TextField()
    realm = peewee.TextField()
    salt = peewee.TextField()
    document = JsonField()
    created = peewee.DoubleField()
    modified = peewee.DoubleField()


class Login(peewee.Model):
    """A user of an account and what proves it: scrypt of Kazoo's two credential hashes."""

    id = peewee.TextField(primary_key=True)
    account_id = peewee.TextField()
    username = peewee.TextField()
    md5_hash = peewee.TextField()
    sha_hash = peewee.TextField()
    created = peewee.DoubleField()


class ApiKey(peewee.Model):
    """The one API key of an account: the public part to find it by, the secret part's scrypt."""

    account_id = peewee.TextField(primary_key=True)
    public_id = peewee.TextField()
    hash = peewee.TextField()
    created = peewee.DoubleField()

    class Meta:
        table_name = "api_key"


class Token(peewee.Model):
    """A token handed out; only its SHA-256 is kept."""

    hash = peewee.TextField(primary_key=True)
    account_id = peewee.TextField()
    owner_id = peewee.TextField(null=True)
    method = peewee.TextField()
    created = peewee.DoubleField()
    expires = peewee.DoubleField()


class Clicktocall(peewee.Model):
    """A click-to-call: the whole document, and beside it what lists show and filter by."""

    id = peewee.TextField(primary_key=True)
    account_id = peewee.TextField()
    name = peewee.TextField()
    extension = peewee.TextField()
    realm = peewee.TextField(null=True)
    document = JsonField()
    history_items = peewee.BigIntegerField(default=0)
    created = peewee.DoubleField()
    modified = peewee.DoubleField()
    deleted = peewee.DoubleField(null=True)


class Activation(peewee.Model):
    """One click, from its being accepted to its end."""

    id = peewee.TextField(primary_key=True)
    account_id = peewee.TextField()
    clicktocall_id = peewee.TextField()
    contact = peewee.TextField()
    created = peewee.DoubleField()
    state = peewee.TextField(default="initiated")
    result = peewee.TextField(null=True)
    cause = peewee.TextField(null=True)
    sip_status = peewee.BigIntegerField(null=True)
    call_id = peewee.TextField(null=True)
    cdr_id = peewee.TextField(null=True)
    extension_call_id = peewee.TextField(null=True)
    extension_cdr_id = peewee.TextField(null=True)
    duration_seconds = peewee.BigIntegerField(default=0)
    billing_seconds = peewee.BigIntegerField(default=0)
    ringing_seconds = peewee.BigIntegerField(default=0)
    ended = peewee.DoubleField(null=True)


class Cdr(peewee.Model):
    """One leg that was dialled. `role` is "extension" or "contact"."""

    id = peewee.TextField(primary_key=True)
    account_id = peewee.TextField()
    activation_id = peewee.TextField()
    role = peewee.TextField()
    call_id = peewee.TextField()
    from_uri = peewee.TextField(null=True)
    to_uri = peewee.TextField(null=True)
    created = peewee.DoubleField()
    answered = peewee.DoubleField(null=True)
    ended = peewee.DoubleField(null=True)
    duration_seconds = peewee.BigIntegerField(default=0)
    billing_seconds = peewee.BigIntegerField(default=0)
    ringing_seconds = peewee.BigIntegerField(default=0)
    cause = peewee.TextField(null=True)
    sip_status = peewee.BigIntegerField(null=True)
    hangup_by = peewee.TextField(null=True)
    media = JsonField(default=dict)


MODELS: tuple[type[peewee.Model], ...] = (
    Account,
    Login,
    ApiKey,
    Token,
    Clicktocall,
    Activation,
    Cdr,
)
