"""The click-to-calls in the database: which of them would be refused if somebody clicked now, and why."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import peewee as pw

from c2c_sip.calling import policy, routing
from c2c_sip.calling.contact import Unreadable, read_extension
from c2c_sip.calling.defaults import effective
from c2c_sip.calling.guard import rules_of
from c2c_sip.calling.policy import Refusal
from c2c_sip.cli.doctor.findings import Finding, fail, not_checked, ok, warn
from c2c_sip.config import Config
from c2c_sip.schemas import CLICKTOCALL, validate
from c2c_sip.store import Span, Store, StoreError
from c2c_sip.store.migrations import NEWEST
from c2c_sip.store.server import connect
from sipstack.media.tones import PLANS

CHECK = "click-to-calls"
#: Of an account that are looked at, and of all that are told of.
MOST, TOLD = 10_000, 20
_VERSION = "SELECT MAX(version) FROM schema_version"


def definitions(settings: Config) -> list[Finding]:
    """What is wrong with them; one finding where nothing is. Nothing is written, and a database of an older version is
    left to the service to bring up to date."""
    why = _unopened(settings.database.url)
    if why:
        return [not_checked(CHECK, why)]
    try:
        store = Store.open(settings.database.url)
    except StoreError as error:
        return [not_checked(CHECK, str(error))]
    try:
        return _judged(settings, store)
    finally:
        store.close()


def _unopened(url: str) -> str:
    """Why a database is not opened, as that would make or change it; empty where it would not."""
    path = url.removeprefix("sqlite:///")
    if path != url and not Path(path).exists():
        return "there is no database yet"
    try:
        version = _version_of_file(path) if path != url else _version_of_server(url)
    except (sqlite3.Error, pw.PeeweeException, ImportError, RuntimeError) as error:
        return f"the database cannot be read: {str(error).strip()}"
    if version != NEWEST:
        return (
            f"the database is of version {version}, which the service's next start makes {NEWEST}"
        )
    return ""


def _version_of_file(path: str) -> Any:
    with closing(sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)) as one:
        return one.execute(_VERSION).fetchone()[0]


def _version_of_server(url: str) -> Any:
    one = connect(url)
    execute: Any = one.execute_sql
    with one.connection_context():
        return execute(_VERSION).fetchone()[0]


def _judged(settings: Config, store: Store) -> list[Finding]:
    found: list[Finding] = []
    many = 0
    for account in store.accounts():
        for document in store.clicktocalls(account["id"], Span(MOST)):
            many += 1
            name = f"{str(document.get('name', ''))[:60]!r} ({document['id']}, account {account['name']!r})"
            # One reason is enough: what else is wrong is seen once that is mended.
            found += list(_wrong(settings, store, account, document, name))[:1]
    if not found:
        return [ok(CHECK, f"none of {many} would be refused" if many else "there is none yet")]
    more = len(found) - TOLD
    if more > 0:
        found = found[:TOLD]
        found.append(warn(CHECK, f"{more} more have something wrong", "mend these first"))
    return found


def _wrong(
    settings: Config,
    store: Store,
    account: Mapping[str, Any],
    document: Mapping[str, Any],
    name: str,
) -> Iterator[Finding]:
    change = f"c2c-sip clicktocall update {document['id']} --set {{}}"
    for field, broken in validate(CLICKTOCALL, document).items():
        message = next(iter(broken.values()))["message"]
        yield fail(CHECK, f"{name}: {field}: {message}", change.format(f"{field}=…"))
        return
    said = effective(account, document)
    yield from _extensions(settings, account, said, name, change)
    if said.get("record") and not settings.recording.directory:
        yield fail(
            CHECK,
            f"{name} is to be recorded, and there is nowhere to: each call is refused",
            f"set recording.directory, or {change.format('record=false')}",
        )
    if said.get("challenge") == "captcha" and not settings.guard.captcha_url:
        yield fail(
            CHECK,
            f"{name} wants a captcha, which nobody can be asked about: visitors are refused",
            "set guard.captcha_url and guard.captcha_secret",
        )
    for field, media in _media(said):
        if store.media.octets(account["id"], media) is None:
            yield warn(
                CHECK,
                f"{name}: {field} is {media!r}, of which the account has no audio: the usual tones are heard",
                f"upload it: {change.format(f'{field}=…')}, or PUT …/media",
            )


def _extensions(
    settings: Config,
    account: Mapping[str, Any],
    said: Mapping[str, Any],
    name: str,
    change: str,
) -> Iterator[Finding]:
    rules = rules_of(settings, account)
    realm = str(said.get("realm") or account.get("realm") or "")
    for text in routing.extensions(said):
        try:
            party = read_extension(text, rules.region)
            policy.check_extension(party, rules)
            routing.destination(party, realm, settings.trunks, rules.region)
        except Unreadable as error:
            remedy = change.format("extension=…")
            yield fail(CHECK, f"{name}: extension {text!r}: {error.message}", remedy)
        except Refusal as refusal:
            if refusal.kind == "unavailable":
                # No fault where the lab brings a trunk; that there is none is told besides.
                remedy = "a section [[trunk]] in the configuration, or a SIP URI as the extension"
                yield warn(CHECK, f"{name}: extension {text!r} is not called: {refusal}", remedy)
            else:
                setting = "guard.countries" if refusal.reason == "country" else "guard.number_kinds"
                remedy = f"{change.format('extension=…')}, or {setting}"
                yield fail(CHECK, f"{name}: extension {text!r} is not called: {refusal}", remedy)


def _media(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields that name audio of the account, and its identifier."""
    hold = (said.get("music_on_hold") or {}).get("media_id")
    for field, media in (
        ("music_on_hold.media_id", hold),
        ("ringback", said.get("ringback")),
        ("announcement", said.get("announcement")),
    ):
        if media and not (field == "ringback" and str(media).lower() in PLANS):
            yield field, str(media)
