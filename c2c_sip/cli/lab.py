"""``lab``: a trunk and phones that behave as told, for whoever wants to test a user agent of their own."""

import asyncio
import ipaddress
import json
import logging
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from c2c_sip.cli.common import JSON, fail

if TYPE_CHECKING:
    from c2c_sip.lab.alone import LabAlone


def _listen(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, int]:
    from sipstack.phone import listening

    accepted = "udp:ADDRESS:PORT, with an address of this machine that the others can send to"
    try:
        kind, host, port = listening(value)
        usable = kind == "udp" and not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        usable = False
    if not usable:
        raise click.BadParameter(f"got {value!r}, accepted: {accepted}")
    return host, port


@click.command()
@click.option("--script", "path", metavar="FILE", help="What the phones do, TOML.")
@click.option(
    "--listen",
    "where",
    default="udp:127.0.0.1:5060",
    show_default=True,
    metavar="udp:ADDRESS:PORT",
    callback=_listen,
    help="Where the trunk is; port 0 takes a free one.",
)
@click.option("--check", is_flag=True, help="Only read the script and say what is wrong with it.")
@click.option("--verbose", "-v", is_flag=True, help="Log more, to stderr.")
@JSON
def lab(
    path: str | None, where: tuple[str, int], check: bool, verbose: bool, as_json: bool
) -> None:
    """Run a trunk and phones that behave as told, until SIGTERM.

    Register your own user agent there, and call the phones. Prints "ready", then a line an event; with --json each line
    is an object. Without a script there are a dozen phones, one for each thing that is tried out most.
    """
    from c2c_sip.lab.alone import LabAlone
    from c2c_sip.lab.journal import Journal
    from c2c_sip.lab.script import USUAL, ScriptError, read

    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        script = read(path) if path is not None else USUAL
    except ScriptError as error:
        if as_json and check:
            click.echo(json.dumps({"ok": False, "problems": error.problems}))
        fail("\n".join(error.problems))
    if check:
        click.echo(json.dumps({"ok": True, "phones": len(script.phones)}) if as_json else "ok")
        return

    def write(line: str) -> None:
        click.echo(line)
        sys.stdout.flush()

    made = LabAlone(script, *where, Journal(write, as_json))
    sys.exit(asyncio.run(_run(made, as_json, write)))


async def _run(made: "LabAlone", as_json: bool, write: Callable[[str], object]) -> int:
    from sipstack.phone import ListenError, RegistrationFailed

    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    try:
        await made.start()
    except ListenError as error:
        click.echo(f"cannot start: --listen: {error}", err=True)
        return 1
    except (OSError, RegistrationFailed) as error:
        click.echo(f"cannot start: {error}", err=True)
        return 1
    for line in _welcome(made, as_json):
        write(line)
    await ending.wait()
    await made.stop()
    return 0


def _welcome(made: "LabAlone", as_json: bool) -> list[str]:
    script = made.script
    if as_json:
        phones = {
            phone.user: {"numbers": phone.numbers, "does": phone.describe()}
            for phone in script.phones
        }
        facts = {
            "event": "ready",
            "address": made.address,
            "realm": script.realm,
            "users": script.users,
            "password": made.password,
            "phones": phones,
        }
        return [json.dumps(facts)]
    users = ",".join(script.users)
    lines = [f"ready sip:{made.address} users={users} password={made.password}"]
    for phone in script.phones:
        also = f" ({', '.join(phone.numbers)})" if phone.numbers else ""
        lines.append(f"  sip:{phone.user}@{made.address}{also}: {phone.describe()}")
    return lines
