"""The command line. Results go to stdout, messages to stderr; 0 is success, 1 failure, 2 bad usage."""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any, NoReturn

import click

from c2c_sip import __version__, config
from c2c_sip.calling.contact import Unreadable, canonical, read_contact
from c2c_sip.collecting import Collecting
from c2c_sip.config import Config, ConfigError
from c2c_sip.store import Store, StoreError, Taken

#: Seconds between two looks at whether there is something to tidy up.
TIDY = 5.0

_CONFIG = click.option(
    "--config", "path", metavar="FILE", help="The configuration file, TOML.", default=None
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(1)


def _load(path: str | None) -> Config:
    try:
        return config.load(path, os.environ)
    except ConfigError as error:
        _fail("\n".join(error.problems))


def _store(settings: Config) -> Store:
    try:
        return Store.open(settings.database.url, settings.database.media_directory)
    except StoreError as error:
        _fail(str(error))


def _show(facts: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
    else:
        for name, value in facts.items():
            click.echo(f"{name}: {value}")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="c2c-sip")
def main() -> None:
    """Click-to-call without a PBX: one POST makes two phones talk."""


@main.command()
@_JSON
def demo(as_json: bool) -> None:
    """Make a call between two built-in phones on this machine, with nothing configured."""
    # Only here: pyVoIP and the lab are of no use to a running service.
    from c2c_sip.lab.demo import run_demo

    sys.exit(run_demo(as_json))


@main.command()
@_CONFIG
@click.option("--lab", is_flag=True, help="Add the built-in trunk with two phones.")
@click.option("--verbose", "-v", is_flag=True, help="Log more.")
def serve(path: str | None, lab: bool, verbose: bool) -> None:
    """Run the service until SIGTERM."""
    # Only here: the other commands start faster without.
    from c2c_sip.service import Service

    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    service = Service(_load(path), lab=lab)
    ending = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ending.set()

    # Before anything is bound: a signal during the start must end it as properly as one later.
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        service.start()
    except (OSError, StoreError, ValueError) as error:
        _fail(f"cannot start: {error}")
    collecting = Collecting(service.calling.live, time.monotonic)
    click.echo(f"ready {service.url}")
    sys.stdout.flush()
    for line in service.welcome():
        click.echo(line, err=True)
    while not ending.wait(TIDY):
        collecting.tidy()
    service.stop()


@main.command()
@_CONFIG
@_JSON
def init(path: str | None, as_json: bool) -> None:
    """Create the database and the first account."""
    settings = _load(path)
    store = _store(settings)
    try:
        if store.accounts():
            _fail("there are accounts already; see: c2c-sip account list, c2c-sip account create")
        _show(_create(store, settings, "default", None, None, None), as_json)
    finally:
        store.close()


def _create(
    store: Store,
    settings: Config,
    name: str,
    realm: str | None,
    username: str | None,
    password: str | None,
) -> dict[str, Any]:
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


@main.group()
def account() -> None:
    """Accounts and their secrets."""


@account.command("create")
@click.argument("name")
@click.option("--realm", metavar="R", help="The SIP realm of its extensions.")
@click.option("--username", metavar="U", help="The user that signs in.")
@click.option("--password", metavar="P", help="That user's password.")
@_CONFIG
@_JSON
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
    settings = _load(path)
    store = _store(settings)
    try:
        made = _create(store, settings, name, realm, username, password)
    except Taken:
        _fail(f"the realm {realm} is another account's")
    finally:
        store.close()
    _show({k: made[k] for k in ("id", "realm", "api_key", "username", "password")}, as_json)


@account.command("list")
@_CONFIG
@_JSON
def account_list(path: str | None, as_json: bool) -> None:
    """List all accounts."""
    store = _store(_load(path))
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


@main.group("never-call")
def never_call() -> None:
    """Numbers that are never to be called: by anybody, or by one account."""


def _number(settings: Config, text: str) -> str:
    region = settings.calling.default_region
    try:
        return canonical(read_contact(text, region), region)
    except Unreadable as error:
        raise click.UsageError(f"{text}: {error.message}") from error


@never_call.command("add")
@click.argument("number")
@click.option("--account", "account_id", default="", metavar="ID", help="Only for this account.")
@_CONFIG
def never_call_add(number: str, account_id: str, path: str | None) -> None:
    """Never call NUMBER again."""
    settings = _load(path)
    wanted = _number(settings, number)
    store = _store(settings)
    try:
        if account_id and store.account(account_id) is None:
            _fail(f"there is no account {account_id}")
        store.guard.never_call(account_id, wanted, "operator", time.time())
    finally:
        store.close()
    click.echo(wanted)


@never_call.command("remove")
@click.argument("number")
@click.option("--account", "account_id", default="", metavar="ID", help="From this account's list.")
@_CONFIG
def never_call_remove(number: str, account_id: str, path: str | None) -> None:
    """Let NUMBER be called again."""
    settings = _load(path)
    wanted = _number(settings, number)
    store = _store(settings)
    try:
        if not store.guard.call_again(account_id, wanted):
            _fail(f"{wanted} is not on the list")
    finally:
        store.close()
    click.echo(wanted)


@never_call.command("list")
@click.option("--account", "account_id", default="", metavar="ID", help="This account's list.")
@_CONFIG
@_JSON
def never_call_list(account_id: str, path: str | None, as_json: bool) -> None:
    """List the numbers."""
    store = _store(_load(path))
    rows: list[dict[str, Any]] = []
    try:
        while more := store.guard.never_calls(account_id, 1000, rows[-1]["number"] if rows else ""):
            rows += more
    finally:
        store.close()
    if as_json:
        click.echo(
            json.dumps([{k: row[k] for k in ("number", "source", "created")} for row in rows])
        )
    else:
        for row in rows:
            click.echo(row["number"])


@main.command("check-config")
@_CONFIG
@_JSON
def check_config(path: str | None, as_json: bool) -> None:
    """Check the configuration and say all that is wrong with it."""
    try:
        settings = config.load(path, os.environ)
    except ConfigError as error:
        if as_json:
            click.echo(json.dumps({"ok": False, "problems": error.problems}))
        _fail("\n".join(error.problems))
    if as_json:
        click.echo(json.dumps({"ok": True, "trunks": [trunk.name for trunk in settings.trunks]}))
    else:
        click.echo("ok")
