"""``account``: accounts and their secrets."""

import json
from typing import Any

import click

from c2c_sip.cli.common import CONFIG, JSON, fail, load, open_store, show
from c2c_sip.config import Config
from c2c_sip.store import Store, Taken


def create(
    store: Store,
    settings: Config,
    name: str,
    realm: str | None,
    username: str | None,
    password: str | None,
) -> dict[str, Any]:
    """A new account with its secrets, in the realm that its extensions are dialled by."""
    if realm is None and settings.trunks:
        # Extensions are dialled as EXTENSION@REALM through the trunk, so its domain is what serves.
        domain = settings.trunks[0].domain
        host = (
            domain.rpartition(":")[0]
            if domain.rpartition(":")[2].isdigit() and ":" in domain
            else domain
        )
        if store.account_by("realm", host) is None:
            realm = host
    return store.create_account(name, realm=realm, username=username, password=password)


@click.group()
def account() -> None:
    """Accounts and their secrets."""


@account.command("create")
@click.argument("name")
@click.option("--realm", metavar="R", help="The SIP realm of its extensions.")
@click.option("--username", metavar="U", help="The user that signs in.")
@click.option("--password", metavar="P", help="That user's password.")
@CONFIG
@JSON
def account_create(
    name: str,
    realm: str | None,
    username: str | None,
    password: str | None,
    path: str | None,
    as_json: bool,
) -> None:
    """Create an account; its secrets are printed now and never again."""
    from c2c_sip.schemas import ACCOUNT, validate

    document = {"name": name} | ({} if realm is None else {"realm": realm})
    errors = validate(ACCOUNT, document)
    if errors:
        details = "; ".join(
            f"{f}: {r['message']}" for f, rules in errors.items() for r in rules.values()
        )
        raise click.UsageError(details)
    if (username is None) != (password is None):
        raise click.UsageError("--username and --password go together")
    for option, value in (("--username", username), ("--password", password)):
        if value is not None and (not value or not value.isprintable()):
            raise click.UsageError(f"{option} must be printable and not empty")
    settings = load(path)
    store = open_store(settings)
    try:
        older = store.account_by("name", name)
        made = create(store, settings, name, realm, username, password)
    except Taken:
        fail(f"the realm {realm} is another account's")
    finally:
        store.close()
    if older is not None:
        click.echo(
            f"there is an older account of this name: this one's users sign in by its realm, {made['realm']}",
            err=True,
        )
    show({k: made[k] for k in ("id", "realm", "api_key", "username", "password")}, as_json)


@account.command("list")
@CONFIG
@JSON
def account_list(path: str | None, as_json: bool) -> None:
    """List all accounts."""
    store = open_store(load(path))
    try:
        rows = [
            {k: row[k] for k in ("id", "name", "realm", "parent_id")} for row in store.accounts()
        ]
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps(rows))
    else:
        for row in rows:
            click.echo(f"{row['id']}  {row['realm']}  {row['name']}")
