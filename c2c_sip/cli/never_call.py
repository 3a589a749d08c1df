"""``never-call``: numbers that are never to be called."""

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import click

from c2c_sip.calling.contact import Unreadable, read_contact
from c2c_sip.calling.numbering import canonical
from c2c_sip.cli.common import CONFIG, JSON, fail, load, open_store, something
from c2c_sip.config import Config
from c2c_sip.store import Span, Store

#: Entries that are read at once.
_PAGE = 1000


@click.group("never-call")
def never_call() -> None:
    """Numbers that are never to be called: by anybody, or by one account."""


def _number(settings: Config, text: str) -> str:
    region = settings.calling.default_region
    try:
        return canonical(read_contact(text, region), region)
    except Unreadable as error:
        raise click.UsageError(f"{text}: {error.message}") from error


@contextmanager
def _records(settings: Config, account_id: str | None) -> Iterator[Store]:
    """The store; it has the account, if one is named."""
    with closing(open_store(settings)) as store:
        if account_id is not None and store.account(account_id) is None:
            fail(f"there is no account {account_id}; see: c2c-sip account list")
        yield store


@never_call.command("add")
@click.argument("number")
@click.option(
    "--account", "account_id", type=something, metavar="ID", help="Only for this account."
)
@CONFIG
def never_call_add(number: str, account_id: str | None, path: str | None) -> None:
    """Never call NUMBER again."""
    settings = load(path)
    wanted = _number(settings, number)
    with _records(settings, account_id) as store:
        store.guard.never_call(account_id or "", wanted, "operator", time.time())
    click.echo(wanted)


@never_call.command("remove")
@click.argument("number")
@click.option(
    "--account", "account_id", type=something, metavar="ID", help="From this account's list."
)
@CONFIG
def never_call_remove(number: str, account_id: str | None, path: str | None) -> None:
    """Let NUMBER be called again."""
    settings = load(path)
    wanted = _number(settings, number)
    with _records(settings, account_id) as store:
        if not store.guard.call_again(account_id or "", wanted):
            fail(f"{wanted} is not on the list")
    click.echo(wanted)


@never_call.command("list")
@click.option("--account", "account_id", type=something, metavar="ID", help="This account's list.")
@CONFIG
@JSON
def never_call_list(account_id: str | None, path: str | None, as_json: bool) -> None:
    """List the numbers."""
    rows: list[dict[str, Any]] = []
    with _records(load(path), account_id) as store:
        start = None
        while more := store.guard.never_calls(account_id or "", Span(_PAGE + 1, start)):
            rows += more[:_PAGE]
            if len(more) <= _PAGE:
                break
            start = (more[_PAGE]["created"], more[_PAGE]["id"])
    rows.sort(key=lambda row: str(row["number"]))
    if as_json:
        click.echo(
            json.dumps([{k: row[k] for k in ("number", "source", "created")} for row in rows])
        )
    else:
        for row in rows:
            click.echo(row["number"])
