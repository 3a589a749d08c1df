"""``trunk``: whether the ways out are open."""

import json
import sys
from typing import Any

import click

from c2c_sip.cli.client import Client, ServiceError, Wanted, connected, service_options
from c2c_sip.cli.common import JSON, fail, something
from c2c_sip.cli.terminal import Column, facts, table

#: States of a trunk that calls can go through.
WELL = ("registered", "static")

_LIST = (
    Column("NAME"),
    Column("DOMAIN"),
    Column("TRANSPORT"),
    Column("STATE"),
    Column("SERVER"),
    Column("CALLS", right=True),
    Column("WHY", whole=False),
)


@click.group()
def trunk() -> None:
    """The trunks of the running service. For the first account, which is the operator's."""


def _trunks(client: Client) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = client.ask("GET", "/v1/trunks")["data"]
    except ServiceError as error:
        if error.status in (403, 404):
            fail("trunks are shown to the operator: a user or a key of the first account")
        raise
    return found


@trunk.command("list")
@service_options
@JSON
def trunk_list(service: Wanted, as_json: bool) -> None:
    """List them with their states."""
    with connected(service) as client:
        found = _trunks(client)
    if as_json:
        click.echo(json.dumps(found))
        return
    table(_LIST, map(_row, found))


def _row(one: dict[str, Any]) -> list[Any]:
    names = ("name", "domain", "transport", "state", "server", "calls")
    return [*(one[name] for name in names), _why(one)]


def _why(one: dict[str, Any]) -> str:
    if one["state"] in WELL:
        return ""
    error = one.get("last_error") or {}
    return str(one.get("explanation") or error.get("reason") or "")


@trunk.command("status")
@click.argument("name", required=False, type=something)
@service_options
@JSON
def trunk_status(name: str | None, service: Wanted, as_json: bool) -> None:
    """Show all that is known of NAME, or of each; exits 1 if calls cannot go through one of them."""
    with connected(service) as client:
        found = [one for one in _trunks(client) if name in (None, one["name"])]
    if name is not None and not found:
        fail(f"there is no trunk {name}; see: c2c-sip trunk list")
    if as_json:
        click.echo(json.dumps(found))
    else:
        for number, one in enumerate(found):
            if number:
                click.echo()
            facts(_facts(one))
    if any(one["state"] not in WELL for one in found):
        sys.exit(1)


def _facts(one: dict[str, Any]) -> list[tuple[str, Any]]:
    error = one.get("last_error") or {}
    told = [
        ("name", one["name"]),
        ("state", one["state"]),
        ("why", _why(one)),
        ("domain", one["domain"]),
        ("transport", one["transport"]),
        ("registers", "yes" if one["register"] else "no"),
        ("server", one["server"]),
        ("since", one.get("since")),
        ("expires in", one.get("expires_in") and f"{one['expires_in']} s"),
        ("last error", error.get("reason") and f"{error['reason']} ({error['iso_8601']})"),
        ("calls", one["calls"]),
    ]
    return [(name, value) for name, value in told if value not in (None, "")]
