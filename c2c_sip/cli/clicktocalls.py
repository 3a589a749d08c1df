"""``clicktocall``: the definitions."""

import json
import sys
from typing import Any
from urllib.parse import quote

import click

from c2c_sip.cli.client import Client, ServiceError, Wanted, connected, service_options
from c2c_sip.cli.common import JSON, fail
from c2c_sip.cli.terminal import Column, facts, table

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
@click.argument("id")
@service_options
@JSON
def clicktocall_show(id: str, service: Wanted, as_json: bool) -> None:
    """Show all that one says, with what holds where it says nothing."""
    with connected(service) as client:
        found = _ask(client, "GET", id)
    _show(found, as_json)


@clicktocall.command("update")
@click.argument("id")
@_FIELDS
@click.option("--unset", multiple=True, metavar="NAME", help="Take a field away.")
@click.option("--replace", is_flag=True, help="Take all other fields away too.")
@_DOCUMENT
@service_options
@JSON
def clicktocall_update(
    id: str,
    fields: tuple[str, ...],
    unset: tuple[str, ...],
    replace: bool,
    document: Any,
    service: Wanted,
    as_json: bool,
) -> None:
    """Change fields of one."""
    wanted = _document(fields, document)
    for name in unset:
        _put(wanted, name, None)
    if not wanted:
        raise click.UsageError("give --set, --unset or --json-document")
    with connected(service) as client:
        changed = _ask(client, "POST" if replace else "PATCH", id, wanted)
    _show(changed, as_json)


@clicktocall.command("delete")
@click.argument("id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@service_options
@JSON
def clicktocall_delete(id: str, yes: bool, service: Wanted, as_json: bool) -> None:
    """Take one away; its buttons and URLs call nobody any more."""
    with connected(service) as client:
        if not yes and sys.stdin.isatty():
            name = _ask(client, "GET", id)["name"]
            click.confirm(f"Delete {name}?", abort=True, err=True)
        gone = _ask(client, "DELETE", id)
    click.echo(json.dumps(gone) if as_json else f"deleted {gone['id']}")


def _ask(client: Client, method: str, id: str, body: Any = None) -> dict[str, Any]:
    try:
        path = client.of_account(f"clicktocall/{quote(id, safe='')}")
        found: dict[str, Any] = client.ask(method, path, body)["data"]
    except ServiceError as error:
        if error.status != 404:
            raise
        fail(f"there is no click-to-call {id}; see: c2c-sip clicktocall list")
    return found


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
