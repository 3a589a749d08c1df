"""Databases of either kind for the tests of the store, and rows to put into them."""

import contextlib
import secrets
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import psycopg

from c2c_sip.store import Span, Store

Opened = Callable[[], Store]


def account(store: Store, name: str = "Acme", **more: Any) -> dict[str, Any]:
    return store.create_account(name, **more)


def activation(store: Store, account_id: str, clicktocall_id: str, **more: Any) -> dict[str, Any]:
    row = {
        "id": secrets.token_hex(16),
        "account_id": account_id,
        "clicktocall_id": clicktocall_id,
        "contact": "+14155550100",
        "created": time.time(),
        "state": "initiated",
    } | more
    store.create_activation(row).result()
    return row


def leg(store: Store, account_id: str, activation_id: str, **more: Any) -> dict[str, Any]:
    row = {
        "id": secrets.token_hex(16),
        "account_id": account_id,
        "activation_id": activation_id,
        "role": "contact",
        "call_id": "a84b4c76e66710",
        "from_uri": "sip:100@acme.example",
        "to_uri": "sip:+14155550100@sip.example.net",
        "created": time.time(),
    } | more
    store.add_cdr(row)
    store.flush()
    return row


WHOLE = Span(1000)


def ask(url: str, statement: str) -> list[Any]:
    """The rows that a statement gives, asked for beside the store."""
    if url.startswith("sqlite:///"):
        with (
            contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database,
            database,
        ):
            return database.execute(statement).fetchall()
    with psycopg.connect(url) as server:
        cursor = server.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []
