"""``check-config``: what is wrong with the settings, and what is doubtful."""

import json
import os

import click

from c2c_sip import config
from c2c_sip.cli.common import CONFIG, JSON, fail
from c2c_sip.cli.terminal import Column, table
from c2c_sip.config import ConfigError
from c2c_sip.doubts import doubts_of
from c2c_sip.settings import shown

_TABLE = (Column("SETTING"), Column("VALUE", whole=False), Column("FROM", whole=False))


@click.command("check-config")
@CONFIG
@click.option(
    "--all", "everything", is_flag=True, help="Show each setting and where it comes from."
)
@JSON
def check_config(path: str | None, everything: bool, as_json: bool) -> None:
    """Check the configuration: say all that is wrong with it, and what may not be meant."""
    try:
        settings = config.load(path, os.environ)
    except ConfigError as error:
        if as_json:
            click.echo(json.dumps({"ok": False, "problems": error.problems}))
        fail("\n".join(error.problems))
    doubts = [f"{doubt.text}; {doubt.remedy}" for doubt in doubts_of(settings)]
    if as_json:
        facts = {
            "ok": True,
            "trunks": [trunk.name for trunk in settings.trunks],
            "warnings": doubts,
        }
        more = {"settings": shown(settings)} if everything else {}
        click.echo(json.dumps(facts | more))
        return
    for doubt in doubts:
        click.echo(f"warning: {doubt}", err=True)
    if everything:
        rows = [
            (one["name"], _written(one["value"]), one["source"] or one["origin"])
            for one in shown(settings)
        ]
        table(_TABLE, rows)
    click.echo("ok")


def _written(value: object) -> str:
    """As the file would say it."""
    return json.dumps(value, ensure_ascii=False)
