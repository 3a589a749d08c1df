"""``call``, ``channels`` and ``hangup``: calls as they go."""

import json
import signal
import time
from typing import Any
from urllib.parse import quote

import click

from c2c_sip.cli.clicktocalls import named
from c2c_sip.cli.client import Client, ServiceError, Wanted, connected, service_options
from c2c_sip.cli.common import JSON, as_interrupt, fail, something
from c2c_sip.cli.terminal import Column, clean, in_colour, table

#: Seconds between two looks at a call.
LOOK = 0.2
#: What a click-to-call is named that this command makes to call an extension by.
MADE_FOR = "c2c-sip call {}"

_WORDS = {
    "initiated": "started",
    "extension_ringing": "the extension rings",
    "extension_answered": "the extension has answered",
    "contact_ringing": "the contact rings",
    "connected": "connected",
    "ended": "ended",
}


@click.command()
@click.argument("contact", type=something)
@click.option(
    "--click-to-call",
    "definition",
    type=something,
    metavar="ID",
    help="Through this one; its ID or its name.",
)
@click.option(
    "--extension",
    type=something,
    metavar="E",
    help="From this extension, whatever click-to-calls say.",
)
@click.option("--no-wait", is_flag=True, help="Do not wait for the end of the call.")
@service_options
@JSON
def call(
    contact: str,
    definition: str | None,
    extension: str | None,
    no_wait: bool,
    service: Wanted,
    as_json: bool,
) -> None:
    """Place one call to CONTACT, a number or a SIP URI, and show how it goes until it ends.

    Ctrl-C hangs up. Exits 0 if the two were connected. Neither --click-to-call nor --extension is needed where the
    account has one click-to-call only.
    """
    if definition and extension:
        raise click.UsageError("--click-to-call and --extension: give one of the two")
    with connected(service) as client:
        if extension:
            chosen, is_new = _for_extension(client, extension)
        else:
            chosen, is_new = _chosen(client, definition), False
        try:
            path = client.of_account(f"clicktocall/{quote(chosen, safe='')}/connect")
            started = client.ask("POST", path, {"contact": contact})["data"]
        except ServiceError:
            if is_new:  # it has no call to its name
                _delete(client, chosen)
            raise
        if no_wait:
            click.echo(json.dumps(started) if as_json else started["id"])
            return
        record = _follow(client, chosen, started, quiet=as_json)
    if as_json:
        click.echo(json.dumps(record))
    if record["result"] != "success":
        fail(reason(record))


def reason(record: dict[str, Any]) -> str:
    """Why a call ended as it did, from its history item."""
    if record.get("explanation"):
        return clean(record["explanation"])
    status = f" (SIP status {record['sip_status']})" if record.get("sip_status") else ""
    return f"not connected: {record.get('cause') or 'for no known cause'}{status}"


def _chosen(client: Client, wanted: str | None) -> str:
    """The id of the click-to-call that is meant: by its id, by its name, or because there is no other."""
    path = client.of_account("clicktocall")
    if wanted is None:
        found = client.listed(path, most=2)
        if len(found) == 1:
            return str(found[0]["id"])
        many = "more than one click-to-call" if found else "no click-to-call"
        raise click.UsageError(
            f"there is {many}: say which by --click-to-call (c2c-sip clicktocall list), or give --extension"
        )
    return str(named(client, wanted)["id"])


def _for_extension(client: Client, extension: str) -> tuple[str, bool]:
    """The click-to-call of ours for an extension, and whether it had to be made.

    It is kept, one for each extension, since what is deleted has no history.
    """
    path = client.of_account("clicktocall")
    name = MADE_FOR.format(extension)[:128]
    for found in client.listed(path, {"filter_name": name, "filter_extension": extension}):
        document = client.ask("GET", f"{path}/{found['id']}")["data"]
        if document["auth_required"]:
            return str(found["id"]), False
    # Its URL is nobody's to use but ours.
    document = {"name": name, "extension": extension, "auth_required": True}
    return str(client.ask("PUT", path, document)["data"]["id"]), True


def _delete(client: Client, definition: str) -> None:
    client.ask("DELETE", client.of_account(f"clicktocall/{definition}"))


def _follow(
    client: Client, definition: str, started: dict[str, Any], *, quiet: bool
) -> dict[str, Any]:
    """The final record of a call, whose states are shown until then; hung up where we are interrupted."""
    path = client.of_account(f"clicktocall/{definition}/history/{started['id']}")
    states = _Plain() if quiet or not in_colour() else _Live()
    leaving = False
    record = started
    with as_interrupt(signal.SIGTERM), states:
        while True:
            try:
                if not quiet:
                    if record.get("result") == "success":
                        states.connected()
                    states.show(record["state"])
                if record["state"] == "ended":
                    return record
                if leaving:
                    _hang_up(client, started["id"])
                time.sleep(LOOK)
                record = client.ask("GET", path)["data"]
            except KeyboardInterrupt:
                if leaving:  # asked for twice: whoever asks does not want to wait
                    raise
                leaving = True
                states.note("hanging up")


class _Plain:
    """States, one a line with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._state = ""
        self._seen: set[str] = set()

    def __enter__(self) -> None:
        """Nothing to begin."""

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def show(self, state: str) -> None:
        """The call is in this state now."""
        if state != self._state:
            self._state = state
            self._seen.add(state)
            self.tell(time.monotonic() - self._began, state)

    def connected(self) -> None:
        """The two are or were connected, also where that was over before we looked again."""
        if "connected" not in self._seen:
            self.show("connected")

    def note(self, text: str) -> None:
        """Say something that is no result."""
        click.echo(text, err=True)

    def tell(self, seconds: float, state: str) -> None:
        """Show a state that is new."""
        click.echo(f"{seconds:7.1f} s  {_WORDS.get(state, clean(state))}")


class _Live(_Plain):
    """The same in a terminal: the last one moves, and counts its seconds."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(highlight=False)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task(_WORDS["initiated"])

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        """Above the line that moves, too."""
        self._console.print(text)

    def tell(self, seconds: float, state: str) -> None:
        """Above the line that moves."""
        words = _WORDS.get(state, clean(state))
        colour = {"connected": "green", "ended": "bold"}.get(state, "default")
        self._console.print(f"{seconds:7.1f} s  [{colour}]{words}[/]")
        self._progress.update(self._task, description=words)


# --- live calls


def _channels(client: Client) -> list[dict[str, Any]]:
    return client.listed(client.of_account("channels"))


def _hang_up_all(client: Client, wanted: str | None = None) -> list[str]:
    """Hang up the calls that have ``wanted`` as the Call-ID of a leg or as their activation, all where it is ``None``; the
    activations' ids."""
    gone: dict[str, None] = {}
    for channel in _channels(client):
        activation = str(channel["activation_id"])
        if activation in gone or wanted not in (None, channel["call_id"], activation):
            continue
        path = client.of_account(f"channels/{quote(channel['call_id'], safe='')}")
        try:
            client.ask("POST", path, {"action": "hangup"})
        except ServiceError as error:
            if error.status != 404:  # it has ended meanwhile, which is what is wanted
                raise
        gone[activation] = None
    return list(gone)


def _hang_up(client: Client, wanted: str) -> list[str]:
    """The same of one call, which may still be without a leg."""
    gone = _hang_up_all(client, wanted)
    if gone:
        return gone
    # A leg that is still to be dialled is no channel, but its Call-ID is known from the answer to the activation.
    try:
        path = client.of_account(f"channels/{quote(wanted, safe='')}")
        return [str(client.ask("POST", path, {"action": "hangup"})["data"]["activation_id"])]
    except ServiceError as error:
        if error.status != 404:
            raise
        return []


_CHANNELS = (
    Column("CALL-ID"),
    Column("ROLE"),
    Column("STATE"),
    Column("SECONDS", right=True),
    Column("FROM", whole=False),
    Column("TO", whole=False),
    Column("ACTIVATION"),
)


@click.command()
@service_options
@JSON
def channels(service: Wanted, as_json: bool) -> None:
    """List the live calls, each leg of them."""
    with connected(service) as client:
        found = _channels(client)
    if as_json:
        click.echo(json.dumps(found))
        return
    keys = ("call_id", "role", "state", "elapsed_s", "from", "to", "activation_id")
    table(_CHANNELS, ([channel[key] for key in keys] for channel in found))


@click.command()
@click.argument("call_id", required=False, type=something)
@click.option("--all", "everything", is_flag=True, help="All calls of the account.")
@service_options
@JSON
def hangup(call_id: str | None, everything: bool, service: Wanted, as_json: bool) -> None:
    """Hang up the call that CALL_ID is a leg of, or whose activation it is."""
    if (call_id is None) != everything:
        raise click.UsageError("give CALL_ID or --all")
    with connected(service) as client:
        gone = _hang_up(client, call_id) if call_id else _hang_up_all(client)
    if call_id and not gone:
        fail(f"no live call has the Call-ID {call_id}; see: c2c-sip channels")
    if as_json:
        click.echo(json.dumps({"hung_up": gone}))
        return
    for one in gone:
        click.echo(f"hung up {one}")
