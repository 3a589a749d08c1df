"""``doctor``: what keeps the service from working on this machine, with a remedy each."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from c2c_sip.cli.common import CONFIG, JSON
from c2c_sip.cli.terminal import Column, in_colour, table

_TABLE = (Column("CHECK"), Column("RESULT"), Column("WHAT WAS SEEN", whole=False))


@contextmanager
def _quiet() -> Iterator[None]:
    """No log: what goes wrong is among what is found."""
    loggers = [logging.getLogger(name) for name in ("sipstack", "c2c_sip")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@click.command()
@CONFIG
@click.option(
    "--stun", default="", metavar="HOST[:PORT]", help="Ask this STUN server where it sees us."
)
@click.option(
    "--ntp", default="", metavar="HOST[:PORT]", help="Compare the clock with this time server's."
)
@JSON
def doctor(path: str | None, stun: str, ntp: str, as_json: bool) -> None:
    """Look for what keeps the service from working, and say what to do about it.

    Beside a running service, or before it is started. Nobody is called: trunks are asked by OPTIONS, and by a REGISTER
    that changes nothing. Exits 1 if something fails.
    """
    # Only here: no other command has a use for them.
    from c2c_sip.cli.doctor.examination import examine
    from c2c_sip.cli.doctor.findings import Verdict

    work = examine(path, os.environ, stun, ntp)
    with _quiet():
        if in_colour() and not as_json:
            from rich.console import Console

            with Console(stderr=True).status("asking the network and the trunks"):
                found = asyncio.run(work)
        else:
            found = asyncio.run(work)
    failed = any(one.verdict is Verdict.FAIL for one in found)
    if as_json:
        checks = [
            {"check": f.check, "result": f.verdict, "text": f.text, "remedy": f.remedy}
            for f in found
        ]
        click.echo(json.dumps({"ok": not failed, "checks": checks}))
    else:
        rows: list[tuple[str, str, str]] = []
        for one in found:
            rows.append((one.check, one.verdict, one.text))
            if one.remedy:
                rows.append(("", "", f"-> {one.remedy}"))
        table(_TABLE, rows)
    if failed:
        sys.exit(1)
