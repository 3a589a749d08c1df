"""What the commands share: their options, how they end, and how they show facts."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, NoReturn

import click

from c2c_sip import config
from c2c_sip.config import Config, ConfigError
from c2c_sip.store import Store, StoreError


def something(text: str) -> str:
    """Text that is not empty, as the type of an argument or an option.

    What names nothing never means everything, or the first: ``hangup "$CALL"`` in a script that has no ``CALL`` must not
    hang up all calls.
    """
    if not text.strip():
        raise click.BadParameter("must not be empty")
    return text


CONFIG = click.option(
    "--config",
    "path",
    metavar="FILE",
    help="The configuration file, TOML.",
    default=None,
    type=something,
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@contextlib.contextmanager
def as_interrupt(number: int) -> Iterator[None]:
    """Take another signal for Ctrl-C: what was begun is to be ended, not left behind."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    try:
        yield
    finally:
        signal.signal(number, before)


def fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(1)


def load(path: str | None) -> Config:
    try:
        return config.load(path, os.environ)
    except ConfigError as error:
        fail("\n".join(error.problems))


def open_store(settings: Config) -> Store:
    try:
        return Store.open(settings.database.url, settings.database.media_directory)
    except StoreError as error:
        fail(str(error))


def show(facts: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
    else:
        for name, value in facts.items():
            click.echo(f"{name}: {value}")
