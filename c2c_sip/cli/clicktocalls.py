"""``clicktocall``: the definitions."""

import json
import sys
from typing import Any
from urllib.parse import quote

import click

from c2c_sip.cli.client import Client, ServiceError, Wanted, connected, service_options
from c2c_sip.cli.common import JSON, fail, something
from c2c_sip.cli.terminal import Column, clean, facts, table

_LIST = (
    Column("ID"),
    Column("NAME", whole=False),
    Column("EXTENSION", whole=False),
    Column("REALM", whole=False),
)
_FIELDS = click.option(
    "--set",
    "fields",
    multiple=True,
    metavar="NAME=VALUE",
    help="A field, also as media.ignore_early_media=true. Lists: as JSON, or once for each item.",
)
_DOCUMENT = click.option(
    "--json-document",
    "document",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE",
    help="The fields as a JSON object; - is stdin. --set goes over it.",
)


@click.group()
def clicktocall() -> None:
    """Click-to-calls: what a button or a URL calls. docs/fields.md says what each field does."""


@clicktocall.command("list")
@service_options
@JSON
def clicktocall_list(service: Wanted, as_json: bool) -> None:
    """List them, newest first."""
    with connected(service) as client:
        found = client.listed(client.of_account("clicktocall"))
    if as_json:
        click.echo(json.dumps(found))
        return
    table(_LIST, ([one["id"], one["name"], _flat(one["extension"]), one["realm"]] for one in found))


@clicktocall.command("create")
@_FIELDS
@_DOCUMENT
@service_options
@JSON
def clicktocall_create(
    fields: tuple[str, ...], document: Any, service: Wanted, as_json: bool
) -> None:
    """Create one; at least --set name=… and --set extension=…."""
    wanted = _document(fields, document)
    with connected(service) as client:
        made = client.ask("PUT", client.of_account("clicktocall"), wanted)["data"]
    _show(made, as_json)


@clicktocall.command("show")
@click.argument("wanted", metavar="ID", type=something)
@service_options
@JSON
def clicktocall_show(wanted: str, service: Wanted, as_json: bool) -> None:
    """Show all that one says, with what holds where it says nothing. ID may be its name."""
    with connected(service) as client:
        found = named(client, wanted)
    _show(found, as_json)


@clicktocall.command("update")
@click.argument("wanted", metavar="ID", type=something)
@_FIELDS
@click.option("--unset", multiple=True, metavar="NAME", help="Take a field away.")
@click.option("--replace", is_flag=True, help="Take all other fields away too.")
@_DOCUMENT
@service_options
@JSON
def clicktocall_update(
    wanted: str,
    fields: tuple[str, ...],
    unset: tuple[str, ...],
    replace: bool,
    document: Any,
    service: Wanted,
    as_json: bool,
) -> None:
    """Change fields of one. ID may be its name."""
    changes = _document(fields, document)
    for name in unset:
        _put(changes, name, None)
    if not changes:
        raise click.UsageError("give --set, --unset or --json-document")
    with connected(service) as client:
        path = _path(client, named(client, wanted)["id"])
        changed = client.ask("POST" if replace else "PATCH", path, changes)["data"]
    _show(changed, as_json)


@clicktocall.command("delete")
@click.argument("wanted", metavar="ID", type=something)
@click.option("--yes", is_flag=True, help="Do not ask.")
@service_options
@JSON
def clicktocall_delete(wanted: str, yes: bool, service: Wanted, as_json: bool) -> None:
    """Take one away; its buttons and URLs call nobody any more. ID may be its name."""
    with connected(service) as client:
        found = named(client, wanted)
        if not yes and sys.stdin.isatty():
            click.confirm(f"Delete {clean(found['name'])}?", abort=True, err=True)
        gone = client.ask("DELETE", _path(client, found["id"]))["data"]
    click.echo(json.dumps(gone) if as_json else f"deleted {gone['id']}")


def named(client: Client, wanted: str) -> dict[str, Any]:
    """The document of the click-to-call that has ``wanted`` as its id, or as its name and no other has."""
    try:
        found: dict[str, Any] = client.ask("GET", _path(client, wanted))["data"]
        return found
    except ServiceError as error:
        if error.status != 404:
            raise
    same = client.listed(client.of_account("clicktocall"), {"filter_name": wanted}, most=2)
    if len(same) != 1:
        many = (
            f"more than one click-to-call is named {wanted}"
            if same
            else f"there is no click-to-call {wanted}"
        )
        fail(f"{clean(many)}; see: c2c-sip clicktocall list")
    return named(client, same[0]["id"])


def _path(client: Client, id: str) -> str:
    return client.of_account(f"clicktocall/{quote(id, safe='')}")


def _show(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document))
        return
    first = [name for name in ("id", "name", "extension", "realm") if name in document]
    names = [*first, *sorted(set(document) - set(first))]
    facts((name, _flat(document[name])) for name in names)


def _flat(value: Any) -> Any:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- fields from the command line


def _document(fields: tuple[str, ...], file: Any) -> dict[str, Any]:
    """The document of ``--json-document``, with the fields of ``--set`` over it."""
    document: dict[str, Any] = {}
    if file is not None:
        try:
            read = json.load(file)
        except (ValueError, RecursionError) as error:
            raise click.UsageError(f"--json-document: no JSON: {error}") from error
        if not isinstance(read, dict):
            raise click.UsageError("--json-document: must be a JSON object")
        document |= read
    items: dict[str, list[str]] = {}
    for field in fields:
        name, equals, text = field.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set {field}: must be NAME=VALUE")
        items.setdefault(name, []).append(text)
    for name, texts in items.items():
        _put(document, name, _value(name, texts))
    return document


def _put(document: dict[str, Any], name: str, value: Any) -> None:
    """Set a field, which may be within others: ``media.ignore_early_media``."""
    *above, last = name.split(".")
    for part in above:
        within = document.setdefault(part, {})
        if not isinstance(within, dict):
            raise click.UsageError(f"--set {name}: {part} has no fields")
        document = within
    document[last] = value


def _value(name: str, texts: list[str]) -> Any:
    """What a field is set to: text where the schema wants text, else JSON; what several texts give is a list."""
    kinds = _kinds(name)
    if kinds == {"string"} or (kinds == {"string", "list"} and not texts[0].startswith("[")):
        return texts[0] if len(texts) == 1 else texts
    values = []
    for text in texts:
        try:
            values.append(json.loads(text))
        except ValueError:
            values.append(text)
    if len(values) == 1 and (kinds != {"list"} or isinstance(values[0], list)):
        return values[0]
    # An item of a list is text most of the time, such as a whitelist's; what it must be is for the service to say.
    return texts if kinds == {"list"} else values


def _kinds(name: str) -> set[str]:
    """The types that the schema has for a field; none for one that it does not know."""
    # Only here: the other commands have no use for the schemas.
    from c2c_sip.schemas import CLICKTOCALL

    rule: dict[str, Any] = {"schema": CLICKTOCALL}
    for part in name.split("."):
        within = rule.get("schema")
        if "valuesrules" in rule:
            rule = rule["valuesrules"]
        elif isinstance(within, dict) and isinstance(within.get(part), dict):
            rule = within[part]
        elif "type" in rule:
            return {"string"}  # as the headers within custom_sip_headers
        else:
            return set()
    kind = rule.get("type", ())
    return {kind} if isinstance(kind, str) else set(kind)
