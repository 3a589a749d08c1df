"""``uac`` and ``uas``: one call, made or taken, with a verdict for a program or a CI."""

import asyncio
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from c2c_sip.cli.common import JSON, fail

if TYPE_CHECKING:
    from c2c_sip.lab.agent import Agent, Verdict

#: Where the password is taken from when no option has it.
PASSWORD = "SIP_PASSWORD"


class _Range(click.FloatRange):
    """Of numbers: what is none is below and above nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        read = super().convert(value, param, ctx)
        if math.isnan(read):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return read


_SECONDS = _Range(0, 3600)
_BOUND = _Range(0.1, 3600)
_STATUS = click.IntRange(200, 699)
_SOUND = 'Hz (50 to 3500), a WAV file, "ringback", "echo" or "silence"'


def _sound(context: click.Context, parameter: click.Parameter, value: str) -> Any:
    from c2c_sip.lab.script import source_of
    from sipstack.media.wav import WavError

    try:
        hertz = float(value)
    except ValueError:
        try:
            source_of(value)
        except (OSError, WavError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise click.BadParameter(f"got {value!r} ({why}), accepted: {_SOUND}") from error
        return value
    if not 50 <= hertz <= 3500:
        raise click.BadParameter(f"got {value!r}, accepted: {_SOUND}")
    return hertz


def _writable(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """A file that is there, and may be empty: what a call was like is not to be lost for want of it afterwards."""
    if value:
        try:
            Path(value).open("ab").close()
        except OSError as error:
            raise click.BadParameter(f"{value} cannot be written: {error.strerror}") from error
    return value


def _keys(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if len(value) > 64 or set(value.upper()) - set("0123456789ABCD*#"):
        raise click.BadParameter(f"got {value!r}, accepted: up to 64 keys of 0-9 A-D * #")
    return value.upper()


def _codecs(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(name.strip().upper() for name in value.split(","))
    if set(names) - {"PCMU", "PCMA"} or len(set(names)) != len(names):
        raise click.BadParameter(f"got {value!r}, accepted: PCMU, PCMA or both, with a comma")
    return names


def _headers(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    read = []
    for line in value:
        name, colon, text = line.partition(":")
        token = name.strip()
        usable = token.replace("-", "").isalnum() and token.isascii() and text.isprintable()
        if not colon or not usable or len(line) > 1000:
            raise click.BadParameter(f"got {line!r}, accepted: 'X-Name: value'")
        read.append((token, text.strip()))
    return tuple(read)


_WHO = [
    click.option("--user", default="c2c-sip", show_default=True, help="Our user."),
    click.option(
        "--domain", default="", metavar="HOST[:PORT]", help="The registrar's; without, no account."
    ),
    click.option("--proxy", default="", metavar="HOST[:PORT]", help="An outbound proxy."),
    click.option("--auth-user", default="", help="The user of the password, where it is another."),
    click.option(
        "--password-file",
        type=click.Path(exists=True, dir_okay=False),
        help=f"A file with the password; without, it is that of ${PASSWORD}.",
    ),
    click.option("--password", default="", help="The password, for all on this machine to see."),
    click.option(
        "--transport", type=click.Choice(["udp", "tcp", "tls"]), default="udp", show_default=True
    ),
    click.option(
        "--listen", default="", metavar="ADDRESS:PORT", help="Ours. Default: any address and port."
    ),
    click.option("--tls-ca", default="", metavar="FILE", help="Whom to believe, PEM."),
    click.option("--tls-certificate", default="", metavar="FILE", help="Our own, PEM."),
    click.option("--tls-key", default="", metavar="FILE", help="Its key, if not in the same file."),
    click.option("--tls-server-name", default="", help="The name in the server's certificate."),
    click.option(
        "--srtp",
        type=click.Choice(["off", "optional", "required"]),
        default="off",
        show_default=True,
    ),
    click.option(
        "--codecs", default="PCMU,PCMA", show_default=True, callback=_codecs, help="In this order."
    ),
]
_PART = [
    click.option("--play", "plays", default="440", show_default=True, callback=_sound, help=_SOUND),
    click.option("--dtmf", "keys", default="", callback=_keys, help="Keys to press."),
    click.option("--dtmf-after", "keys_after", type=_SECONDS, default=0.5, show_default=True,
                 help="Seconds after the answer."),
    click.option("--max-duration", "lasts", type=_BOUND, default=300.0, show_default=True,
                 help="Seconds that the call may last at most."),
    click.option("--expect-tone", "expect_tones", type=_Range(50, 3500), multiple=True,
                 metavar="HZ", help="A tone that has to be heard. May be given again."),
    click.option("--expect-dtmf", "expect_keys", default="", callback=_keys,
                 help="Keys that have to come."),
    click.option("--expect-audio", is_flag=True, help="Some RTP has to come."),
    click.option("--pcap", default="", metavar="FILE", callback=_writable,
                 help="Write the SIP messages there."),
    click.option("--record", default="", metavar="FILE", callback=_writable,
                 help="Write what was heard there, WAV."),
]  # fmt: skip
Command = Callable[..., None]


def _with(options: list[Any]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _run(
    given: dict[str, Any], register: bool, as_json: bool, work: Callable[["Agent"], Any]
) -> None:
    """Do it, print the verdict, and end with 0 or 1."""
    from c2c_sip.lab.agent import Agent, Identity, Part
    from sipstack.account import proxy_uri
    from sipstack.message import ParseError, Uri
    from sipstack.phone import ListenError, Tls
    from sipstack.sdes import Mode

    transport, listen = given.pop("transport"), given.pop("listen")
    target = given.get("target", "")
    wildcard = "[::]:0" if "[" in f"{given['domain']}{given['proxy']}{target}" else "0.0.0.0:0"
    given.pop("target", None)
    tls = Tls(given.pop("tls_ca"), given.pop("tls_certificate"), given.pop("tls_key"))
    identity = Identity(
        listen=f"{transport}:{listen or wildcard}",
        user=given.pop("user"),
        domain=given.pop("domain"),
        password=_password(given.pop("password"), given.pop("password_file")),
        auth_user=given.pop("auth_user"),
        proxy=given.pop("proxy"),
        register=register,
        codecs=given.pop("codecs"),
        srtp=Mode(given.pop("srtp")),
        tls=tls,
        tls_server_name=given.pop("tls_server_name"),
    )
    for option, value, read, accepted in (
        ("--domain", identity.domain, lambda text: Uri.parse(f"sip:{text}"), "HOST or HOST:PORT"),
        ("--proxy", identity.proxy, proxy_uri, "HOST, HOST:PORT or a SIP URI"),
    ):
        try:
            if value:
                read(value)
        except ParseError as error:
            problem = f"{option}: got {value!r} ({error.reason}), accepted: {accepted}"
            raise click.UsageError(problem) from error
    try:
        agent = Agent(identity, Part(**given), lambda text: click.echo(text, err=True))
        verdict = asyncio.run(_until_interrupted(work(agent)))
    except ParseError as error:
        raise click.UsageError(
            f"TARGET: got {target!r} ({error.reason}), accepted: a SIP URI, or with --domain a user of it"
        ) from error
    except ValueError as error:
        raise click.UsageError(f"--listen: got {listen!r}, accepted: ADDRESS:PORT") from error
    except OSError as error:
        problem = f"--listen: {error}" if isinstance(error, ListenError) else str(error)
        if as_json:
            click.echo(json.dumps({"ok": False, "problems": [problem]}))
        fail(problem)
    if as_json:
        click.echo(json.dumps(verdict.as_dict()))
    else:
        _tell(verdict)
    sys.exit(0 if verdict.ok else 1)


async def _until_interrupted(work: Coroutine[Any, Any, "Verdict"]) -> "Verdict":
    """The verdict; at the first Ctrl-C or SIGTERM on what there is until then, once it is hung up."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    signals = (signal.SIGINT, signal.SIGTERM)

    def interrupt() -> None:
        for each in signals:
            loop.remove_signal_handler(each)
        task.cancel()

    for number in signals:
        loop.add_signal_handler(number, interrupt)
    return await task


def _password(given: str, path: str | None) -> str:
    if given:
        return given
    if path is not None:
        try:
            return Path(path).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"--password-file: {path}: {error}")
    return os.environ.get(PASSWORD, "")


def _tell(verdict: "Verdict") -> None:
    if verdict.ladder:
        click.echo(verdict.ladder)
        click.echo()
    if verdict.status is not None:
        click.echo(f"status: {verdict.status} {verdict.reason}")
    for name, value in verdict.setup.items():
        if value is not None:
            click.echo(f"{name.removesuffix('_ms')} after: {value} ms")
    if verdict.duration_s is not None:
        click.echo(f"lasted: {verdict.duration_s:.1f} s, ended by {verdict.ended_by}")
    if verdict.media:
        for way in ("sent", "received"):
            said = verdict.media[way]
            lost = f", {said['lost']} lost" if said["lost"] is not None else ""
            click.echo(f"{way}: {said['packets']} packets{lost}")
    if verdict.dtmf:
        click.echo(f"dtmf: {verdict.dtmf}")
    for tone, heard in verdict.tones.items():
        click.echo(f"tone of {tone} Hz: {'heard' if heard else 'not heard'}")
    for problem in verdict.problems:
        click.echo(problem, err=True)
    click.echo("ok" if verdict.ok else "failed")


@click.command()
@click.argument("target")
@_with(_WHO)
@click.option("--register", is_flag=True, help="Register first.")
@_with(_PART)
@click.option(
    "--hang-up-after",
    type=_SECONDS,
    default=3.0,
    show_default=True,
    help="Seconds after the answer; 0: the other side does.",
)
@click.option(
    "--timeout",
    type=_BOUND,
    default=30.0,
    show_default=True,
    help="Seconds until it has to be answered.",
)
@click.option(
    "--expect-status",
    type=_STATUS,
    default=200,
    show_default=True,
    help="How the call has to end before, or with 200 at, the answer.",
)
@click.option("--follow", is_flag=True, help="Go where a redirection leads.")
@click.option(
    "--header",
    "headers",
    multiple=True,
    callback=_headers,
    help="One more of the INVITE, 'X-Name: value'. May be given again.",
)
@JSON
def uac(target: str, register: bool, as_json: bool, **given: Any) -> None:
    """Call TARGET, a SIP URI or a user of --domain, and judge what comes of it.

    Exits 0 where all was as expected, else 1, and says what was not. --json prints one object.
    """
    if register and not given["domain"]:
        raise click.UsageError("--register needs --domain")
    _run(given | {"target": target}, register, as_json, lambda agent: agent.call(target))


@click.command()
@_with(_WHO)
@click.option("--no-register", is_flag=True, help="Do not register, although there is a --domain.")
@_with(_PART)
@click.option(
    "--hang-up-after",
    type=_SECONDS,
    default=0.0,
    show_default=True,
    help="Seconds after the answer; 0: the other side does.",
)
@click.option(
    "--timeout",
    type=_BOUND,
    default=60.0,
    show_default=True,
    help="Seconds until a call has to come.",
)
@click.option(
    "--ring",
    "ringing",
    type=_SECONDS,
    default=0.5,
    show_default=True,
    help="Seconds that it rings.",
)
@click.option(
    "--early-media",
    default="",
    help="Played meanwhile: as --play, but echo.",
    callback=lambda c, p, v: _sound(c, p, v) if v else "",
)
@click.option("--refuse", type=click.IntRange(300, 699), help="Refuse with this status.")
@JSON
def uas(no_register: bool, as_json: bool, **given: Any) -> None:
    """Take one call, and judge what comes of it.

    Says "ready" and its URI on stderr once it can be called. Exits 0 where all was as expected, else 1, and says what was
    not. --json prints one object.
    """
    given["refuse"] = given["refuse"] or 0
    register = bool(given["domain"]) and not no_register
    _run(given, register, as_json, lambda agent: agent.take())
