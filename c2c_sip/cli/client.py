"""The running service, asked over HTTP as anybody may ask it; and the options by which a command finds it."""

import contextlib
import functools
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

import click

from c2c_sip.cli.common import CONFIG, fail, load, open_store, something
from c2c_sip.config import Config

#: Seconds that the service may take for an answer.
PATIENCE = 30.0
#: Seconds until we are signed in: whether it is there, and the right one, is told sooner.
FIRST_PATIENCE = 10.0
#: Items asked for at once.
PAGE = 200


class ServiceError(click.ClickException):
    """The service did not do what it was asked for; ``status`` is that of HTTP, 0 where it did not answer at all."""

    exit_code = 1

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    def show(self, file: IO[Any] | None = None) -> None:
        """On stderr, with nothing around it."""
        click.echo(self.message, err=True)


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirection is an answer: the token is for this server and no other."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which service, and as whom: the options that such commands have in common."""

    config: str | None
    url: str
    api_key: str
    account: str

    def settings(self) -> Config:
        """Those of the service, as far as they are known here."""
        return load(self.config)


class Client:
    """One account of a service at ``url``; made by :func:`connected`."""

    def __init__(self, url: str, how_to_start: str = "") -> None:
        self.url = url.rstrip("/")
        self.account_id = ""
        self.token = ""
        self._how_to_start = how_to_start
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise click.UsageError(f"--url {url}: must be http://HOST:PORT or https://HOST")
        handlers: list[urllib.request.BaseHandler] = [_Stay()]
        if _is_here(parts.hostname):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def of_account(self, path: str) -> str:
        """The path of something of the account."""
        return f"/v1/accounts/{quote(self.account_id, safe='')}/{path}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The envelope that the service answers with.

        :param body: what goes into the request's ``data``
        :raises ServiceError: there is no answer, or it is no success.
        """
        octets = self.fetch(method, path, body, query)
        try:
            answer = json.loads(octets)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or "data" not in answer:
            raise ServiceError(f"what answers at {self.url} is not c2c-sip")
        return answer

    def fetch(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The body of an answer, as it came.

        :raises ServiceError: there is no answer, or it is no success.
        """
        url = self.url + path + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(url, method=method)  # noqa: S310 - http or https, see above
        if body is not None:
            request.data = json.dumps({"data": body}).encode()
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("X-Auth-Token", self.token)
        patience = PATIENCE if self.token else FIRST_PATIENCE
        try:
            with self._opener.open(request, timeout=patience) as response:
                found: bytes = response.read()
                return found
        except urllib.error.HTTPError as error:
            with error:
                raise ServiceError(_complaint(error.code, error.read()), error.code) from error
        except HTTPException as error:
            raise ServiceError(f"what answers at {self.url} speaks no HTTP") from error
        except OSError as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            if isinstance(reason, TimeoutError) and reason.errno is None:
                text = f"nothing within {patience:g} s"
            raise ServiceError(
                f"the service does not answer at {self.url}: {text}{self._how_to_start}"
            ) from error

    def listed(
        self, path: str, query: Mapping[str, Any] | None = None, most: int = 10_000
    ) -> list[dict[str, Any]]:
        """The first ``most`` items of a list, page after page."""
        found: list[dict[str, Any]] = []
        start: dict[str, str] = {}
        while len(found) < most:
            size = {"page_size": min(PAGE, most - len(found))}
            answer = self.ask("GET", path, query=dict(query or {}) | size | start)
            found += answer["data"]
            if "next_start_key" not in answer or not answer["data"]:
                break
            start = {"start_key": answer["next_start_key"]}
        return found


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _complaint(status: int, octets: bytes) -> str:
    """What an answer that is no success says, in one line for each thing that is wrong."""
    try:
        answer = json.loads(octets)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return f"the service answered {status}"
    data, message = answer.get("data"), str(answer.get("message", ""))
    if status == 401:
        return "the service does not know this API key or token"
    if status == 404:
        return "the service has no such thing (404)"
    if not isinstance(data, dict):
        return f"the service answered {status}: {message}"
    lines = [
        f"{field}: {rule['message']}"
        for field, rules in data.items()
        if isinstance(rules, dict)
        for rule in rules.values()
        if isinstance(rule, dict) and "message" in rule
    ]
    told = str(data.get("message", "") or "; ".join(map(str, data.get("reasons", ()))))
    return "\n".join(lines) or f"the service answered {status}: {told or message}"


def url_of(settings: Config) -> str:
    """Where the service of these settings is reached from this machine; empty where only it knows."""
    host, _, port = settings.http.listen.rpartition(":")
    if port == "0":
        return ""
    anywhere = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - what may be in the settings
    return f"http://{anywhere.get(host, host)}:{port}"


def service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``service``, a :class:`Wanted`, from the options for it."""

    @click.option(
        "--url",
        envvar="C2C_SIP_URL",
        default="",
        metavar="URL",
        help="Where the service is; else as the configuration says. [$C2C_SIP_URL]",
    )
    @click.option(
        "--api-key",
        envvar="C2C_SIP_API_KEY",
        default="",
        metavar="KEY",
        help="Of the account; without one, the database is asked to let us in. [$C2C_SIP_API_KEY]",
    )
    @click.option(
        "--account", type=something, metavar="ID", help="The account; else the key's, or the first."
    )
    @CONFIG
    @functools.wraps(command)
    def with_service(
        *args: Any, path: str | None, url: str, api_key: str, account: str | None, **options: Any
    ) -> Any:
        return command(*args, service=Wanted(path, url, api_key, account or ""), **options)

    return with_service


@contextlib.contextmanager
def connected(wanted: Wanted) -> Iterator[Client]:
    """A client that is signed in, and is signed out afterwards.

    :raises ServiceError: the service does not run, or does not let us in.
    """
    url = wanted.url or url_of(wanted.settings())
    if not url:
        fail("http.listen has port 0, so only the service knows where it is: give --url")
    option = f" --config {wanted.config}" if wanted.config else ""
    hint = "" if wanted.url else f"\nIf it is not running, start it: c2c-sip serve{option}"
    client = Client(url, hint)
    client.ask("GET", "/healthz")
    if wanted.api_key:
        answer = client.ask("PUT", "/v1/api_auth", {"api_key": wanted.api_key})
        client.token = answer["auth_token"]
        client.account_id = wanted.account or answer["data"]["account_id"]
    else:
        client.account_id, client.token = _let_in(wanted)
    try:
        yield client
    finally:
        # Where the service has gone meanwhile the token is of no use, and ends by itself.
        with contextlib.suppress(ServiceError):
            client.ask("DELETE", "/v1/token_auth")


def _let_in(wanted: Wanted) -> tuple[str, str]:
    """(account, token) made in the service's database: whoever can write it needs no key."""
    settings = wanted.settings()
    file = settings.database.url.removeprefix("sqlite:///")
    if file != settings.database.url and not Path(file).exists():
        where = "" if os.path.isabs(file) else f" in {Path.cwd()}"
        fail(
            f"there is no database {file}{where} to be let in by: "
            "give --api-key, or --config with the service's own configuration"
        )
    store = open_store(settings)
    try:
        accounts = [row["id"] for row in store.accounts()]
        if not accounts:
            fail("there is no account yet: c2c-sip init makes one")
        if wanted.account and wanted.account not in accounts:
            fail(f"there is no account {wanted.account}; see: c2c-sip account list")
        account = wanted.account or accounts[0]
        return account, store.create_token(account, None, "command_line")
    finally:
        store.close()
