"""``history`` and ``trace``: what was called, and what went over the wire for it."""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from c2c_sip.cli.clicktocalls import named
from c2c_sip.cli.client import Client, ServiceError, Wanted, connected, service_options
from c2c_sip.cli.common import JSON, fail, something
from c2c_sip.cli.terminal import Column, clean, in_colour, local_time, table

if TYPE_CHECKING:
    from sipstack.trace import TracedMessage

#: Seconds between two looks at a call's ladder.
LOOK = 0.3
#: Seconds from the first of January of year 0 to the Unix epoch, which the API counts from.
GREGORIAN = 62_167_219_200

_AGO = re.compile(r"([0-9]{1,6})([smhdw])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
#: Of an answer in a ladder.
_STATUS = re.compile(r"- ([1-6])[0-9]{2} ")


def _moment(text: str) -> datetime:
    """A moment: so long ago, or a date with or without a time, of this machine's zone where none is given."""
    ago = _AGO.match(text)
    try:
        if ago:
            span = timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
            return datetime.now().astimezone() - span
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{text!r} is neither as 90m, 6h or 7d nor as 2026-01-31 or 2026-01-31T12:00"
        ) from error


_HISTORY = (
    Column("TIME"),
    Column("ID"),
    Column("CONTACT"),
    Column("CLICK-TO-CALL", whole=False),
    Column("RESULT"),
    Column("SECONDS", right=True),
    Column("WHY", whole=False),
)


@click.command()
@click.option(
    "--click-to-call",
    "definition",
    type=something,
    metavar="ID",
    help="Only of this one; its ID or its name.",
)
@click.option(
    "--since", type=_moment, metavar="WHEN", help="As 90m, 6h, 7d, 2026-01-31 or 2026-01-31T12:00."
)
@click.option("--failed", is_flag=True, help="Only calls that did not connect the two.")
@click.option(
    "-n",
    "--number",
    "most",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="So many, the newest.",
)
@service_options
@JSON
def history(
    definition: str | None,
    since: datetime | None,
    failed: bool,
    most: int,
    service: Wanted,
    as_json: bool,
) -> None:
    """List what was called, newest first."""
    query: dict[str, Any] = {}
    if since is not None:
        query["created_from"] = int(since.timestamp()) + GREGORIAN
    if failed:
        query["filter_result"] = "error"
    with connected(service) as client:
        if definition:
            query["filter_clicktocall_id"] = named(client, definition)["id"]
        items = client.listed(client.of_account("history"), query, most)
    if as_json:
        click.echo(json.dumps(items))
        return
    table(_HISTORY, map(_row, items))


def _row(item: dict[str, Any]) -> list[Any]:
    status = f"SIP {item['sip_status']}" if item.get("sip_status") else ""
    why = item.get("explanation") or " ".join(filter(None, (item.get("cause"), status)))
    return [
        local_time(item["unix_timestamp"]),
        item["id"],
        item["contact"],
        item["clicktocall_name"],
        item["result"] or item["state"],
        item["billing_seconds"],
        why,
    ]


@click.command()
@click.argument("activation", type=something)
@click.option("--follow", "-f", is_flag=True, help="Go on while the call lives.")
@click.option("--pcap", metavar="FILE", help="Write a capture for Wireshark; - is stdout.")
@click.option("--svg", metavar="FILE", help="Write the ladder as a picture; - is stdout.")
@service_options
@JSON
def trace(
    activation: str,
    follow: bool,
    pcap: str | None,
    svg: str | None,
    service: Wanted,
    as_json: bool,
) -> None:
    """Print the SIP messages of a call as a ladder. ACTIVATION is its ID, or `last`."""
    if [pcap, svg].count("-") + as_json > 1:
        raise click.UsageError("stdout is for one of --pcap -, --svg - and --json")
    with connected(service) as client:
        path = _path(client, activation)
        silent = as_json or "-" in (pcap, svg)
        if follow:
            _follow(client, path, silent)
        elif not silent:
            for line in _ladder(lambda name: _kept(client, path, name)):
                click.echo(_coloured(line))
        for file, name in ((pcap, "trace.pcap"), (svg, "ladder.svg")):
            if file:
                _write(file, _kept(client, path, name))
        if as_json:
            click.echo(_kept(client, path, "trace.json").decode())


def _path(client: Client, activation: str) -> str:
    """Where an activation is in the API."""
    items = client.of_account("history")
    if activation == "last":
        found = client.listed(items, most=1)
        if not found:
            fail("nothing was called yet")
        item = found[0]
    else:
        try:
            item = client.ask("GET", f"{items}/{quote(activation, safe='')}")["data"]
        except ServiceError as error:
            if error.status != 404:
                raise
            fail(f"there is no activation {activation}; see: c2c-sip history")
    return client.of_account(f"clicktocall/{item['clicktocall_id']}/history/{item['id']}")


def _kept(client: Client, path: str, name: str) -> bytes:
    try:
        return client.fetch("GET", f"{path}/{name}")
    except ServiceError as error:
        if error.status != 404:
            raise
        fail(
            "nothing is kept of this call's messages: nothing was sent for it, it is not among the newest "
            "(setting trace.calls), or its click-to-call is gone"
        )


def _write(file: str, octets: bytes) -> None:
    if file == "-":
        sys.stdout.buffer.write(octets)
        return
    try:
        Path(file).write_bytes(octets)
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    click.echo(f"written: {file}", err=True)


def _follow(client: Client, path: str, silent: bool) -> None:
    """Print what is new until the call has ended; anew where another party has made the ladder wider."""
    shown: list[str] = []
    while True:
        # The record first: what comes after its end is in the ladder that is read then.
        over = client.ask("GET", path)["data"]["state"] == "ended"
        lines = _lines_so_far(client, path)
        if not silent:
            same = lines[: len(shown)] == shown
            fresh = lines[len(shown) :] if same else ["", *lines]
            for line in fresh:
                click.echo(_coloured(line))
        shown = lines
        if over:
            return
        time.sleep(LOOK)


def _lines_so_far(client: Client, path: str) -> list[str]:
    try:
        return _ladder(lambda name: client.fetch("GET", f"{path}/{name}"))
    except ServiceError as error:
        if error.status != 404:  # nothing has been sent yet
            raise
        return []


def _ladder(fetch: Callable[[str], bytes]) -> list[str]:
    """The lines of a ladder: as the service draws it, in a terminal so that it fits there."""
    if not in_colour():
        text = fetch("ladder.txt").decode()
    else:
        # Only here: what the service has drawn needs nobody to draw it.
        from sipstack.ladder import ladder

        kept = json.loads(fetch("trace.json"))["messages"]
        text = ladder([_message(one) for one in kept], shutil.get_terminal_size().columns)
    return [clean(line).rstrip() for line in text.splitlines()]


def _message(one: dict[str, Any]) -> "TracedMessage":
    from sipstack.trace import TracedMessage

    sent = one["direction"] == "sent"
    source, destination = (_address(one[name]) for name in ("source", "destination"))
    local, remote = (source, destination) if sent else (destination, source)
    return TracedMessage(
        one["time"], sent, one["transport"], local, remote, one["message"].encode()
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _coloured(line: str) -> str:
    """A ladder's line in the colour of what it means."""
    found = _STATUS.search(line) if in_colour() else None
    colour = {"1": None, "2": "green", "3": "yellow"}.get(found[1], "red") if found else None
    return click.style(line, fg=colour) if colour else line
