"""``init``: the first account, and before it a configuration that works, from a few questions or options."""

import json
import locale
import os
import pwd
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import phonenumbers

from c2c_sip import config
from c2c_sip.cli.accounts import create
from c2c_sip.cli.common import CONFIG, JSON, fail, load, open_store, show
from c2c_sip.config import ConfigError

#: Where a database is by Debian's rules, if the configuration is where they want it.
DEBIAN_DATABASE = "/var/lib/c2c-sip/c2c.db"
#: Who the service runs as there, by conf/c2c-sip.service.
SERVICE_USER = "c2c-sip"
#: What is answered for no number.
_NONE = "none"


@dataclass(frozen=True, slots=True)
class Answers:
    """What has to be known for a configuration that works."""

    domain: str
    username: str
    password: str
    country: str
    listen: str
    transport: str = "udp"
    caller_id: str = ""


@click.command()
@CONFIG
@click.option("--trunk-domain", metavar="HOST", help="The provider or PBX; writes a configuration.")
@click.option("--trunk-username", default="", metavar="NAME", help="The account there.")
@click.option("--trunk-password", default="", metavar="P", help="Its password.")
@click.option(
    "--trunk-password-file",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE",
    help="Where its password is read from now; - is stdin.",
)
@click.option(
    "--trunk-caller-id",
    default="",
    metavar="NUMBER",
    help="The number that is shown to those who are called, one of that account's.",
)
@click.option("--trunk-transport", type=click.Choice(["udp", "tcp", "tls"]), default="udp")
@click.option("--country", metavar="CC", help="Yours, as US or DE: only its numbers are called.")
@click.option("--listen", metavar="ADDRESS:PORT", help="Where HTTP is served.")
@click.option("--no-questions", is_flag=True, help="Ask nothing, also in a terminal.")
@JSON
def init(
    path: str | None,
    trunk_domain: str | None,
    trunk_username: str,
    trunk_password: str,
    trunk_password_file: Any,
    trunk_caller_id: str,
    trunk_transport: str,
    country: str | None,
    listen: str | None,
    no_questions: bool,
    as_json: bool,
) -> None:
    """Create the database and the first account.

    In a terminal, where there is no configuration yet, it asks for what one needs and writes it; --trunk-domain and the
    options beside it do so without questions.
    """
    if trunk_password_file is not None:
        if trunk_password:
            raise click.UsageError(
                "--trunk-password and --trunk-password-file: give one of the two"
            )
        try:
            trunk_password = trunk_password_file.read().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise click.UsageError(f"--trunk-password-file: must be UTF-8: {error}") from error
    named = path or os.environ.get("C2C_SIP_CONFIG")
    file = Path(named or _usual_path())
    given = [trunk_username, trunk_password, trunk_caller_id, country, listen]
    if trunk_domain is not None:
        if file.exists():
            fail(f"{file} is there already: change it, or give --config with another name")
        _see_that_it_is_new(_database(file))
        _write(
            file,
            Answers(
                trunk_domain,
                trunk_username,
                trunk_password,
                country or _country(),
                listen or config.Http().listen,
                trunk_transport,
                trunk_caller_id.strip(),
            ),
        )
        path = str(file)
    elif any(given):
        raise click.UsageError("these options are for a new configuration: give --trunk-domain too")
    elif not no_questions and _may_ask() and not file.exists():
        file = Path(click.prompt("Write the configuration to", default=str(file), err=True))
        if file.exists():
            fail(f"{file} is there already")
        _see_that_it_is_new(_database(file))
        _write(file, _ask())
        path = str(file)
    elif named and not file.exists():
        fail(
            f"{file} is not there, and nobody is asked here what is to be in it; have it written with "
            "--trunk-domain HOST, and --trunk-username, --trunk-password-file, --trunk-caller-id, --country as your "
            "provider wants them; or run this in a terminal, where it asks; or write it yourself first"
        )
    settings = load(path)
    store = open_store(settings)
    try:
        if store.accounts():
            fail("there are accounts already; see: c2c-sip account list, c2c-sip account create")
        show(create(store, settings, "default", None, None, None), as_json)
    finally:
        store.close()
    if path == config.DEFAULT_PATH:
        _hand_over(Path(path), settings.database.url)


def _hand_over(file: Path, url: str) -> None:
    """Let the service's own user read the settings and have the database, where root has made them and there is one."""
    try:
        user = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return
    if os.geteuid() != 0:
        return
    os.chown(file, 0, user.pw_gid)
    file.chmod(0o640)
    database = Path(url.removeprefix("sqlite:///"))
    if database.is_relative_to(Path(DEBIAN_DATABASE).parent):
        for each in (database.parent, *database.parent.glob(f"{database.name}*")):
            os.chown(each, user.pw_uid, user.pw_gid)


def _may_ask() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _usual_path() -> str:
    """Where the service looks for it, if we may write there; else here."""
    usual = Path(config.DEFAULT_PATH)
    there = next((each for each in usual.parents if each.exists()), Path("/"))
    if usual.exists() or os.access(there, os.W_OK):
        return str(usual)
    return str(Path.cwd() / usual.name)


def _country() -> str:
    """The country of whoever sets this up, by his locale; the default's where that says none."""
    language, _, country = (locale.getlocale()[0] or "").partition("_")
    known = len(country) == 2 and country.isupper() and language
    return country if known else config.Calling().default_region


def _ask() -> Answers:
    """On stderr, so that stdout has nothing but the account."""
    click.echo("The provider or PBX that calls go through, as its portal says:", err=True)
    domain = _prompt("  domain, as sip.example.net", "trunk.domain")
    username = _prompt("  username", "trunk.username")
    password = click.prompt("  password", hide_input=True, err=True)
    click.echo(
        "  The number that those who are called see, one of your account's: providers refuse calls that show an\n"
        f"  extension. Of a PBX say {_NONE}: it knows its own.",
        err=True,
    )
    caller_id = _prompt(
        "  number, as +12025550100", "trunk.caller_id", _number_in(username) or _NONE
    )
    return Answers(
        domain=domain,
        username=username,
        password=password,
        caller_id="" if caller_id == _NONE else caller_id,
        country=_prompt(
            "Your country: only its numbers are called", "calling.default_region", _country()
        ),
        listen=_prompt("Address and port for HTTP", "http.listen", config.Http().listen),
    )


def _number_in(username: str) -> str:
    """The number that a username is, as with many providers, with a plus; empty where it is none."""
    digits = username.removeprefix("+")
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return ""
    return (
        f"+{digits}"
        if digits.isascii() and digits.isdigit() and phonenumbers.is_possible_number(number)
        else ""
    )


def _prompt(text: str, setting: str, default: str | None = None) -> str:
    """A setting's value, asked for until it is one."""

    def accepted(value: str) -> str:
        value = value.strip()
        if setting == "calling.default_region":
            value = value.upper()
        try:
            config.check_setting(setting, value)
        except ConfigError as error:
            raise click.UsageError(error.problems[0]) from error
        return value

    answer: str = click.prompt(text, default=default, value_proc=accepted, err=True)
    return answer


def _database(file: Path) -> Path:
    """Where the database of a configuration is that is written to ``file``."""
    if file.absolute() == Path(config.DEFAULT_PATH):
        return Path(DEBIAN_DATABASE)
    return file.absolute().parent / "c2c.db"


def _see_that_it_is_new(database: Path) -> None:
    """Fail where a new configuration would come to a database of before, with the accounts of another trunk's realm."""
    if "C2C_SIP_DATABASE__URL" in os.environ or not database.exists():
        return
    store = open_store(replace(config.Config(), database=config.Database(f"sqlite:///{database}")))
    try:
        if store.accounts():
            fail(
                f"{database} has accounts already, maybe of trying it out: make the new configuration in another "
                "directory, or write it yourself and keep them"
            )
    finally:
        store.close()


def _write(file: Path, answers: Answers) -> None:
    """Write a configuration, for its owner only, and have it read as the service will."""
    folder = file.absolute().parent
    database = _database(file)
    try:
        for each in (folder, database.parent):
            each.mkdir(mode=0o755, parents=True, exist_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(text_of(answers, str(database)))
    try:
        config.load(str(file), os.environ)
    except ConfigError as error:
        file.unlink()
        fail("\n".join(error.problems))
    option = "" if str(file) == config.DEFAULT_PATH else f" --config {file}"
    click.echo(f"written: {file}; next: c2c-sip doctor{option}, c2c-sip serve{option}", err=True)


def text_of(answers: Answers, database: str) -> str:
    """The configuration, as TOML."""
    register = (
        "" if answers.username else "register = false                 # it knows us by address\n"
    )
    shown = (
        f"caller_id = {_quoted(answers.caller_id)}       # shown to those who are called, where a click-to-call has no other\n"
        if answers.caller_id
        else '# caller_id = "+12025550100"    # the number to show to those who are called: providers refuse an extension\n'
    )
    return f"""\
# Written by c2c-sip init. conf/c2c_sip.toml of the sources has every setting with its default.

[http]
listen = {_quoted(answers.listen)}

[database]
url = {_quoted(f"sqlite:///{database}")}

[calling]
default_region = {_quoted(answers.country)}            # only its numbers are called, unless guard.countries lists others

[guard]                          # besides the limits an hour that hold for those without a token, see docs/guard.md
daily_minutes = 600              # of calls that an account has a day

[[trunk]]
name = "provider"
domain = {_quoted(answers.domain)}
transport = {_quoted(answers.transport)}
{register}username = {_quoted(answers.username)}
password = {_quoted(answers.password)}
{shown}"""


def _quoted(text: str) -> str:
    """As a basic string of TOML, which JSON's are but for DEL, that no setting may have."""
    return json.dumps(text, ensure_ascii=False)
