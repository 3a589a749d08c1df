"""``backup`` and ``restore``: the database as a file, while the service goes on."""

import click

from c2c_sip.cli.common import CONFIG, JSON, fail, load, show, something
from c2c_sip.config import Config
from c2c_sip.store import StoreError

_PREFIX = "sqlite:///"


def _sqlite(settings: Config, instead: str) -> str:
    url = settings.database.url
    if not url.startswith(_PREFIX):
        fail(f"database.url is no SQLite database: use {instead}")
    return url.removeprefix(_PREFIX)


def _media(settings: Config) -> None:
    directories = (
        ("database.media_directory", settings.database.media_directory),
        ("recording.directory", settings.recording.directory),
    )
    for name, directory in directories:
        if directory:
            click.echo(f"not in it: the files of {name}, {directory}", err=True)


@click.command()
@click.argument("file", type=something)
@click.option("--overwrite", is_flag=True, help="Even if FILE is there already.")
@CONFIG
@JSON
def backup(file: str, overwrite: bool, path: str | None, as_json: bool) -> None:
    """Copy the database to FILE, as it is now, while the service goes on."""
    # Only here: a command that has nothing to do with it starts faster without.
    from c2c_sip.store import backup as backups

    settings = load(path)
    database = _sqlite(settings, "pg_dump")
    try:
        size = backups.backup(database, file, overwrite)
    except StoreError as error:
        fail(str(error))
    show({"file": file, "bytes": size}, as_json)
    _media(settings)


@click.command()
@click.argument("file", type=something)
@CONFIG
@JSON
def restore(file: str, path: str | None, as_json: bool) -> None:
    """Put the backup FILE where the database is. The service must have been stopped.

    What was there is kept beside it, with .before-restore after its name.
    """
    from c2c_sip.store import backup as backups

    settings = load(path)
    database = _sqlite(settings, "pg_restore or psql")
    try:
        kept = backups.restore(database, file)
    except StoreError as error:
        fail(str(error))
    show({"database": database, "before": str(kept) if kept is not None else None}, as_json)
    _media(settings)
