"""``check-config``: what is wrong with the settings."""

import json
import os

import click

from c2c_sip import config
from c2c_sip.cli.common import CONFIG, JSON, fail
from c2c_sip.config import ConfigError


@click.command("check-config")
@CONFIG
@JSON
def check_config(path: str | None, as_json: bool) -> None:
    """Check the configuration and say all that is wrong with it."""
    try:
        settings = config.load(path, os.environ)
    except ConfigError as error:
        if as_json:
            click.echo(json.dumps({"ok": False, "problems": error.problems}))
        fail("\n".join(error.problems))
    if as_json:
        click.echo(json.dumps({"ok": True, "trunks": [trunk.name for trunk in settings.trunks]}))
    else:
        click.echo("ok")
