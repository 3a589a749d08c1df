"""The store: what is kept is kept whatever dies, what is not ours is not given out."""

import contextlib
import secrets
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import peewee as pw
import psycopg
import pytest

from c2c_sip.store import Filter, Span, Store, StoreError, Taken, claim, migrations
from c2c_sip.store import secrets as store_secrets
from c2c_sip.store import store as store_module
from c2c_sip.store.writer import Writer

Opened = Callable[[], Store]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/fresh.db"
        return
    with request.getfixturevalue("postgres").database() as made:
        yield made


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost nothing, where they are not what is tested."""
    monkeypatch.setattr(store_secrets, "N", 2)


@pytest.fixture
def fresh(url: str, cheap: None) -> Iterator[Store]:
    store = Store.open(url)
    yield store
    store.close()


def account(store: Store, name: str = "Acme", **more: Any) -> dict[str, Any]:
    return store.create_account(name, **more)


def activation(store: Store, account_id: str, clicktocall_id: str, **more: Any) -> dict[str, Any]:
    row = {
        "id": secrets.token_hex(16),
        "account_id": account_id,
        "clicktocall_id": clicktocall_id,
        "contact": "+14155550100",
        "created": time.time(),
        "state": "initiated",
    } | more
    store.create_activation(row).result()
    return row


def leg(store: Store, account_id: str, activation_id: str, **more: Any) -> dict[str, Any]:
    row = {
        "id": secrets.token_hex(16),
        "account_id": account_id,
        "activation_id": activation_id,
        "role": "contact",
        "call_id": "a84b4c76e66710",
        "from_uri": "sip:100@acme.example",
        "to_uri": "sip:+14155550100@sip.example.net",
        "created": time.time(),
    } | more
    store.add_cdr(row)
    store.flush()
    return row


WHOLE = Span(1000)


# --- opening


def test_a_database_is_made_where_there_is_none_and_opened_where_there_is_one(
    url: str, cheap: None
) -> None:
    first = Store.open(url)
    made = account(first)
    first.close()
    second = Store.open(url)
    assert [row["id"] for row in second.accounts()] == [made["id"]]
    second.close()


def ask(url: str, statement: str) -> list[Any]:
    """The rows that a statement gives, asked for beside the store."""
    if url.startswith("sqlite:///"):
        with (
            contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database,
            database,
        ):
            return database.execute(statement).fetchall()
    with psycopg.connect(url) as server:
        cursor = server.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_a_database_of_a_newer_program_is_refused_and_left_alone(url: str) -> None:
    Store.open(url).close()
    ask(url, "INSERT INTO schema_version VALUES (999)")
    with pytest.raises(StoreError, match="999"):
        Store.open(url)
    assert ask(url, "SELECT MAX(version) FROM schema_version") == [(999,)]


@pytest.mark.parametrize("version", [1, 3, 7])
def test_an_old_database_is_brought_up_to_date_with_what_is_in_it(
    url: str, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    with monkeypatch.context() as then:
        # Only a database as it was: today's models do not fit it.
        then.setattr(migrations, "NEWEST", version)
        Store.open(url).close()
    one, two, three = "a" * 32, "b" * 32, "c" * 32
    ask(url, f"INSERT INTO account VALUES ('{one}', NULL, 'Acme', 'acme.example', '{{}}', 1, 1.0)")
    ask(
        url,
        f"INSERT INTO clicktocall VALUES ('{two}', '{one}', '{{\"name\": \"Sales\"}}', 1, 2.0, 2.0, NULL)",
    )
    ask(
        url,
        "INSERT INTO activation (id, account_id, clicktocall_id, contact, created, state, duration_seconds,"
        f" billing_seconds, ringing_seconds) VALUES ('{three}', '{one}', '{two}', '100', 3.0, 'connected', 0, 0, 0)",
    )
    store = Store.open(url, node="one")
    (row,) = store.histories.of_account(one, WHOLE, search="sales")
    assert (row["id"], row["explanation"], row["node"]) == (three, None, None)
    assert store.close_open_activations(9.0) == 1, "it is nobody else's"
    assert store.users.check(one, "md5", "0" * 32) is None
    assert ask(url, "SELECT MAX(version) FROM schema_version") == [(migrations.NEWEST,)]
    store.close()


def test_a_step_that_fails_leaves_nothing_of_it_behind(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(url).close()
    step = migrations.NEWEST + 1
    broken = {**migrations.MIGRATIONS, step: ("CREATE TABLE half (id INTEGER)", "NONSENSE")}
    monkeypatch.setattr(migrations, "MIGRATIONS", broken)
    monkeypatch.setattr(migrations, "NEWEST", step)
    with pytest.raises(StoreError):
        Store.open(url)
    assert ask(url, "SELECT MAX(version) FROM schema_version") == [(step - 1,)]
    with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedTable)):
        ask(url, "SELECT * FROM half")


def test_the_steps_are_numbered_without_gaps() -> None:
    assert list(migrations.MIGRATIONS) == list(range(1, migrations.NEWEST + 1))


def test_the_models_are_what_the_steps_made(fresh: Store) -> None:
    database: Any = fresh._database
    for model in vars(fresh.models).values():
        columns = {c.name: c.null for c in database.get_columns(model._meta.table_name)}
        wanted = {name: f.null for name, f in model._meta.columns.items()}
        assert columns == wanted, model
    fresh.release()


@pytest.mark.parametrize(
    "url", ["mysql://a/b", "sqlite:////nowhere/at/all/c2c.db", "postgresql://127.0.0.1:1/x", "x"]
)
def test_a_database_that_cannot_be_had_is_a_store_error(url: str) -> None:
    with pytest.raises(StoreError):
        Store.open(url)


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "c2c.db").write_text("a shopping list " * 100)
    with pytest.raises(StoreError):
        Store.open(f"sqlite:///{tmp_path}/c2c.db")


def test_a_new_database_is_for_its_owner_only(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path}/c2c.db").close()
    assert stat.S_IMODE((tmp_path / "c2c.db").stat().st_mode) == 0o600


def test_sqlite_writes_ahead_syncs_each_commit_and_holds_foreign_keys(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/c2c.db")
    database: Any = store._database
    database.connect()
    assert database.pragma("journal_mode") == "wal"
    assert database.pragma("synchronous") == 2
    assert database.pragma("foreign_keys") == 1
    with pytest.raises(pw.IntegrityError):
        activation(store, "0" * 32, "1" * 32)
    store.close()


def test_two_stores_in_one_process_do_not_share_anything(tmp_path: Path, cheap: None) -> None:
    one, two = (Store.open(f"sqlite:///{tmp_path}/{name}.db") for name in ("one", "two"))
    account(one)
    assert one.accounts() and not two.accounts()
    one.close()
    two.close()


# --- the writer


def test_a_write_that_fails_takes_no_other_with_it(fresh: Store) -> None:
    made = account(fresh)
    clicktocall = fresh.create_clicktocall(made["id"], {"name": "n", "extension": "1"})
    gate = threading.Event()
    fresh._writer.submit(gate.wait)
    rows = [
        {
            "id": secrets.token_hex(16),
            "account_id": made["id"],
            "clicktocall_id": "f" * 32 if number == 1 else clicktocall["id"],
            "contact": str(number),
            "created": float(number),
            "state": "initiated",
        }
        for number in range(3)
    ]
    futures = [fresh.create_activation(row) for row in rows]
    gate.set()
    futures[0].result(5)
    futures[2].result(5)
    with pytest.raises(pw.IntegrityError):
        futures[1].result(5)
    contacts = [row["contact"] for row in fresh.history(clicktocall["id"], WHOLE)]
    assert contacts == ["2", "0"]


class _Commits:
    """Counts the commits of a database."""

    def __init__(self, database: Any) -> None:
        self.count = 0
        commit = database.commit

        def counting() -> None:
            self.count += 1
            commit()

        database.commit = counting


def test_what_waits_while_a_commit_runs_shares_the_next_one(fresh: Store) -> None:
    gate, begun = threading.Event(), threading.Event()
    commits = _Commits(fresh._database)
    fresh._writer.submit(lambda: (begun.set(), gate.wait(5)))
    assert begun.wait(5)
    order: list[int] = []
    futures = [fresh._writer.submit(lambda n=n: order.append(n)) for n in range(100)]  # type: ignore[misc]
    gate.set()
    for future in futures:
        future.result(5)
    assert order == list(range(100))
    assert commits.count == 2


def test_a_future_has_its_result_after_the_commit_not_before(fresh: Store) -> None:
    gate = threading.Event()
    made = account(fresh)
    token_count = fresh.models.Token.select().count()
    first = fresh._writer.submit(lambda: fresh.models.Token.insert(**_token(made["id"])).execute())
    second = fresh._writer.submit(gate.wait)
    if not first.done():
        # Both are in one transaction: what the first wrote is not to be seen, nor promised.
        assert fresh.models.Token.select().count() == token_count
    gate.set()
    first.result(5)
    second.result(5)
    assert fresh.models.Token.select().count() == token_count + 1


def _token(account_id: str) -> dict[str, Any]:
    return {
        "token_hash": secrets.token_hex(32),
        "account": account_id,
        "method": "x",
        "created": 1.0,
        "expires": 2.0,
    }


def test_a_write_that_was_cancelled_while_it_waited_is_left_out(fresh: Store) -> None:
    gate, begun = threading.Event(), threading.Event()
    done: list[str] = []
    fresh._writer.submit(lambda: (begun.set(), gate.wait(5)))
    begun.wait(5)
    cancelled = fresh._writer.submit(lambda: done.append("cancelled"))
    other = fresh._writer.submit(lambda: done.append("other"))
    assert cancelled.cancel()
    gate.set()
    other.result(5)
    assert done == ["other"]


def test_a_write_after_the_end_fails_instead_of_waiting_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/c2c.db")
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.create_activation({"id": "0" * 32, "state": "initiated"}).result(5)
    store.update_activation("0" * 32, state="ended")
    assert "the store is closed" in caplog.text


def test_closing_writes_what_is_queued(url: str, cheap: None) -> None:
    store = Store.open(url)
    made = account(store)
    clicktocall = store.create_clicktocall(made["id"], {"name": "n", "extension": "1"})
    row = activation(store, made["id"], clicktocall["id"])
    gate, begun = threading.Event(), threading.Event()
    store._writer.submit(lambda: (begun.set(), gate.wait(5)))
    begun.wait(5)
    for number in range(50):
        store.update_activation(row["id"], duration_seconds=number)
    threading.Timer(0.05, gate.set).start()
    store.close()
    again = Store.open(url)
    found = again.activation(clicktocall["id"], row["id"])
    assert found is not None and found["duration_seconds"] == 49
    again.close()


class _Broken(pw.SqliteDatabase):
    """A database whose commits fail while `broken`."""

    broken = False

    def commit(self) -> None:
        if self.broken:
            raise pw.OperationalError("disk I/O error")
        super().commit()  # type: ignore[no-untyped-call]


def test_a_commit_that_fails_fails_all_that_was_in_it_and_the_next_one_works(
    tmp_path: Path,
) -> None:
    database = _Broken(tmp_path / "x.db")
    writer = Writer(database)
    run: Any = database.execute_sql
    writer.submit(lambda: run("CREATE TABLE t (n INTEGER)")).result(5)
    database.broken = True
    with pytest.raises(pw.OperationalError):
        writer.submit(lambda: run("INSERT INTO t VALUES (1)")).result(5)
    database.broken = False
    writer.submit(lambda: run("INSERT INTO t VALUES (2)")).result(5)
    writer.close()
    with sqlite3.connect(tmp_path / "x.db") as direct:
        assert direct.execute("SELECT n FROM t").fetchall() == [(2,)]


def test_another_process_that_writes_is_waited_for(tmp_path: Path, cheap: None) -> None:
    url = f"sqlite:///{tmp_path}/c2c.db"
    store = Store.open(url)
    other = sqlite3.connect(tmp_path / "c2c.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.2, lambda: other.execute("COMMIT")).start()
    assert account(store)["id"]
    other.close()
    store.close()


def test_a_file_is_one_services_until_it_lets_go(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/c.db"
    let_go = claim(url)
    Store.open(url).close()  # whoever only looks something up
    with pytest.raises(StoreError, match=r"c\.db is in use by another service"):
        claim(url)
    let_go()
    claim(url)()
    assert (tmp_path / "c.db").stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreError, match="No such file"):
        claim(f"sqlite:///{tmp_path}/none/c.db")
    claim("postgresql://u:p@127.0.0.1:1/n")()


_DIES = """
import os, signal, sys, time
from c2c_sip.store import Store
store = Store.open(sys.argv[1])
account, clicktocall = sys.argv[2:]
futures = [
    store.create_activation({
        "id": f"{n:032x}", "account_id": account, "clicktocall_id": clicktocall,
        "contact": str(n), "created": time.time(), "state": "initiated",
    })
    for n in range(20)
]
for future in futures:
    future.result()
store.add_cdr({
    "id": "c" * 32, "account_id": account, "activation_id": "0" * 32, "role": "extension",
    "call_id": "x", "from_uri": "a", "to_uri": "b", "created": time.time(),
})
store.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_promised_survives_a_kill_and_is_ended_at_the_next_start(
    url: str, cheap: None
) -> None:
    store = Store.open(url)
    made = account(store)
    clicktocall = store.create_clicktocall(made["id"], {"name": "n", "extension": "1"})
    finished = activation(
        store, made["id"], clicktocall["id"], state="ended", result="success", ended=5.0
    )
    store.close()
    command = [sys.executable, "-c", _DIES, url, made["id"], clicktocall["id"]]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    store = Store.open(url)
    assert store.close_open_activations(1234.5) == 20
    rows = {row["id"]: row for row in store.history(clicktocall["id"], WHOLE)}
    assert len(rows) == 21
    assert rows.pop(finished["id"])["result"] == "success"
    for row in rows.values():
        assert (row["state"], row["result"], row["cause"], row["ended"]) == (
            "ended",
            "error",
            "NORMAL_TEMPORARY_FAILURE",
            1234.5,
        )
    cut = store.cdr(made["id"], "c" * 32)
    assert cut is not None and cut["ended"] == 1234.5 and cut["cause"] == "NORMAL_TEMPORARY_FAILURE"
    assert store.close_open_activations(9999.0) == 0
    store.close()


def test_what_was_known_of_a_call_before_a_crash_stays_known(fresh: Store) -> None:
    owner = account(fresh, "One")
    definition = fresh.create_clicktocall(owner["id"], {"name": "n", "extension": "1"})["id"]
    known = {
        "connected": ("success", None),
        "busy": ("error", "USER_BUSY"),
        "ringing": (None, None),
    }
    for number, (result, cause) in enumerate(known.values()):
        row = {
            "id": str(number), "account_id": owner["id"], "clicktocall_id": definition, "contact": "1",
            "created": float(number), "state": "connected", "result": result, "cause": cause,
        }  # fmt: skip
        fresh.create_activation(row).result()
    assert fresh.close_open_activations(99.0) == 3
    rows = sorted(fresh.history(definition, WHOLE), key=lambda row: row["created"])
    assert [(row["result"], row["cause"]) for row in rows] == [
        ("success", "NORMAL_TEMPORARY_FAILURE"),
        ("error", "USER_BUSY"),
        ("error", "NORMAL_TEMPORARY_FAILURE"),
    ]


def test_ping_says_so_when_nothing_can_be_written(fresh: Store) -> None:
    fresh.ping()
    gate = threading.Event()
    blocked: Future[Any] = fresh._writer.submit(lambda: gate.wait(5))
    with pytest.raises(StoreError):
        fresh.ping(timeout=0.05)
    gate.set()
    blocked.result(5)
    fresh.ping()


# --- accounts and their secrets


def test_an_account_comes_with_a_user_a_key_and_a_realm_of_its_own(fresh: Store) -> None:
    one, two = account(fresh, "One"), account(fresh, "Two")
    assert one["realm"] != two["realm"]
    assert one["password"] != two["password"]
    assert fresh.check_api_key(one["api_key"]) == one["id"]
    assert fresh.check_api_key(two["api_key"]) == two["id"]


def test_a_realm_is_one_account_s_however_it_is_written(fresh: Store) -> None:
    account(fresh, realm="Acme.Example")
    with pytest.raises(Taken) as taken:
        account(fresh, realm="aCME.example")
    assert taken.value.field == "realm"
    assert len(fresh.accounts()) == 1
    found = fresh.account_by("realm", "ACME.EXAMPLE")
    assert found is not None and found["realm"] == "acme.example"


@pytest.mark.parametrize("name", ["Acme", "Ünal GmbH", "ΑΒΓ", "株式会社"])
def test_an_account_is_found_by_its_name_in_any_script(fresh: Store, name: str) -> None:
    made = account(fresh, name)
    found = fresh.account_by("name", name)
    assert found is not None and found["id"] == made["id"]


def test_who_takes_the_name_of_another_account_keeps_nobody_out_by_it(fresh: Store) -> None:
    made = account(fresh, "Acme")
    account(fresh, "acme")
    found = fresh.account_by("name", "ACME")
    assert found is not None and found["id"] == made["id"]
    # By letters and digits only, one of the two may be meant.
    assert fresh.account_by("name", "A.C.M.E.") is None


def test_a_user_is_known_by_both_of_kazoo_s_hashes_and_by_nothing_else(fresh: Store) -> None:
    made = account(fresh, username="jo", password="pässword")
    md5, sha = store_secrets.user_hashes("jo", "pässword")
    owner = fresh.users.check(made["id"], "md5", md5)
    assert owner is not None
    assert fresh.users.check(made["id"], "sha", sha) == owner
    assert fresh.users.check(made["id"], "md5", md5.upper()) == owner
    assert fresh.users.check(made["id"], "md5", sha) is None
    assert fresh.users.check(made["id"], "sha", md5) is None
    assert fresh.users.check(made["id"], "md5", "pässword") is None
    assert fresh.users.check(None, "md5", md5) is None
    other = account(fresh, "Other", username="jo", password="else")
    assert fresh.users.check(other["id"], "md5", md5) is None


def test_no_secret_is_in_the_database(tmp_path: Path, cheap: None) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/c2c.db")
    made = account(store, username="jo", password="correct horse")
    token = store.create_token(made["id"], None, "x")
    store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    md5, sha = store_secrets.user_hashes("jo", "correct horse")
    for secret in ("correct horse", made["api_key"], made["api_key"][16:], md5, sha, token):
        assert secret.encode() not in kept


def test_a_wrong_name_costs_as_many_hashes_as_a_wrong_password(
    fresh: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = account(fresh, username="jo", password="x")
    count = 0
    scrypt = store_secrets._scrypt

    def counting(*arguments: Any) -> bytes:
        nonlocal count
        count += 1
        return scrypt(*arguments)

    monkeypatch.setattr(store_secrets, "_scrypt", counting)
    costs = []
    for attempt in (
        lambda: fresh.users.check(made["id"], "md5", "0" * 32),
        lambda: fresh.users.check(None, "md5", "0" * 32),
        lambda: fresh.check_api_key(made["api_key"][:16] + "0" * 48),
        lambda: fresh.check_api_key("0" * 64),
        lambda: fresh.check_api_key("\0" * 64),
        lambda: fresh.check_api_key(""),
    ):
        count = 0
        assert attempt() is None
        costs.append(count)
    assert costs == [1] * 6


def test_a_new_api_key_ends_the_one_before(fresh: Store) -> None:
    made = account(fresh)
    new = fresh.replace_api_key(made["id"])
    assert fresh.check_api_key(new) == made["id"]
    assert fresh.check_api_key(made["api_key"]) is None
    assert fresh.api_key_id(made["id"]) == new[:16]


def test_a_token_lives_an_hour_after_its_last_use(
    fresh: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = account(fresh)
    now = time.time()
    monkeypatch.setattr(store_module.time, "time", lambda: now)
    token = fresh.create_token(made["id"], "owner", "user_auth")
    found = fresh.check_token(token)
    assert found is not None and (found["account_id"], found["owner_id"]) == (made["id"], "owner")
    now += 3000
    assert fresh.check_token(token)
    fresh.flush()
    now += 3000
    assert fresh.check_token(token)
    fresh.flush()
    now += 3601
    assert fresh.check_token(token) is None


def test_a_revoked_token_serves_no_more(fresh: Store) -> None:
    made = account(fresh)
    token, other = (fresh.create_token(made["id"], None, "x") for _ in range(2))
    fresh.revoke_token(token)
    assert fresh.check_token(token) is None
    assert fresh.check_token(other) is not None


def test_expired_tokens_are_swept_away(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = account(fresh)
    fresh.create_token(made["id"], None, "x")
    now = time.time() + 7200
    monkeypatch.setattr(store_module.time, "time", lambda: now)
    fresh.create_token(made["id"], None, "x")
    assert fresh.models.Token.select().count() == 1


def test_a_parent_reaches_down_the_tree_and_nobody_reaches_up_or_across(fresh: Store) -> None:
    top = account(fresh, "top")["id"]
    middle = account(fresh, "middle", parent_id=top)["id"]
    bottom = account(fresh, "bottom", parent_id=middle)["id"]
    aside = account(fresh, "aside", parent_id=top)["id"]
    assert fresh.is_within(bottom, top) and fresh.is_within(bottom, middle)
    assert fresh.is_within(bottom, bottom)
    assert not fresh.is_within(top, bottom)
    assert not fresh.is_within(bottom, aside)
    assert not fresh.is_within("0" * 32, top)


def test_an_account_s_document_is_kept_whole(fresh: Store) -> None:
    made = account(fresh)
    document = {"name": "New", "realm": "New.Example", "notes": {"a": [1, None, "\0"]}}
    changed = fresh.update_account(made["id"], document, 1)
    assert changed is not None
    assert changed["realm"] == "new.example"
    assert changed["notes"] == {"a": [1, None, "\0"]}
    assert changed["revision"] == 2


# --- click-to-calls, history, CDRs


def test_a_click_to_call_is_its_account_s_only(fresh: Store) -> None:
    one, two = account(fresh, "One")["id"], account(fresh, "Two")["id"]
    document = {"name": "n", "extension": "1", "mine": {"deep": [None, 1.5, "ü", "\0"]}}
    made = fresh.create_clicktocall(one, document)
    found = fresh.clicktocall(one, made["id"])
    assert found is not None and {k: found[k] for k in document} == document
    assert fresh.clicktocall(two, made["id"]) is None
    assert (
        fresh.update_clicktocall(two, made["id"], {"name": "stolen", "extension": "2"}, 1) is None
    )
    assert not fresh.delete_clicktocall(two, made["id"], 1)
    assert fresh.clicktocall(one, made["id"]) == found
    assert fresh.clicktocalls(two, WHOLE) == []


def test_each_change_has_its_revision(fresh: Store) -> None:
    one = account(fresh)["id"]
    made = fresh.create_clicktocall(one, {"name": "n", "extension": "1"})
    changed = fresh.update_clicktocall(one, made["id"], {"name": "m", "extension": "1"}, 1)
    assert changed is not None and (changed["name"], changed["revision"]) == ("m", 2)


def test_records_outlive_the_click_to_call(fresh: Store) -> None:
    one = account(fresh)["id"]
    made = fresh.create_clicktocall(one, {"name": "n", "extension": "1"})
    row = activation(fresh, one, made["id"])
    dialled = leg(fresh, one, row["id"])
    assert fresh.delete_clicktocall(one, made["id"], 1)
    assert fresh.clicktocall(one, made["id"]) is None
    assert fresh.activation(made["id"], row["id"]) is not None
    assert fresh.cdr(one, dialled["id"]) is not None


def test_an_activation_is_of_its_click_to_call_only(fresh: Store) -> None:
    one = account(fresh)["id"]
    first, second = (
        fresh.create_clicktocall(one, {"name": n, "extension": "1"})["id"] for n in "ab"
    )
    row = activation(fresh, one, first)
    assert fresh.activation(first, row["id"]) is not None
    assert fresh.activation(second, row["id"]) is None
    assert (fresh.history_items(first), fresh.history_items(second)) == (1, 0)


def test_updates_take_effect_in_the_order_of_the_calls(fresh: Store) -> None:
    one = account(fresh)["id"]
    made = fresh.create_clicktocall(one, {"name": "n", "extension": "1"})["id"]
    row = activation(fresh, one, made)
    states = ["extension_ringing", "extension_answered", "contact_ringing", "connected", "ended"]
    for state in states:
        fresh.update_activation(row["id"], state=state)
    fresh.flush()
    found = fresh.activation(made, row["id"])
    assert found is not None and found["state"] == "ended"


def test_a_cdr_s_media_figures_come_back_as_they_were(fresh: Store) -> None:
    one = account(fresh)["id"]
    made = fresh.create_clicktocall(one, {"name": "n", "extension": "1"})["id"]
    dialled = leg(fresh, one, activation(fresh, one, made)["id"])
    media = {"packets_sent": 3, "codec": None, "loss": 0.25}
    fresh.update_cdr(dialled["id"], media=media, cause="NORMAL_CLEARING")
    fresh.flush()
    found = fresh.cdr(one, dialled["id"])
    assert found is not None and found["media"] == media and found["cause"] == "NORMAL_CLEARING"


def test_history_can_be_walked_in_pages_both_ways_without_loss_where_times_are_equal(
    fresh: Store,
) -> None:
    one = account(fresh)["id"]
    made = fresh.create_clicktocall(one, {"name": "n", "extension": "1"})["id"]
    wanted = [activation(fresh, one, made, created=float(n // 3))["id"] for n in range(10)]
    for ascending in (False, True):
        seen: list[str] = []
        start: tuple[float, str] | None = None
        while True:
            rows = fresh.history(made, Span(4, start, ascending))
            seen += [row["id"] for row in rows[:3]]
            if len(rows) < 4:
                break
            start = (rows[3]["created"], rows[3]["id"])
        assert sorted(seen) == sorted(wanted)
        times = [0.0 + wanted.index(i) // 3 for i in seen]
        assert times == sorted(times, reverse=not ascending)


def test_records_are_filtered_by_field_and_time(fresh: Store) -> None:
    one = account(fresh)["id"]
    made = fresh.create_clicktocall(one, {"name": "n", "extension": "1"})["id"]
    for n in range(4):
        activation(fresh, one, made, created=float(n), contact=str(n % 2), sip_status=486 + n % 2)
    filters = [Filter("is", "contact", "1"), Filter("is", "sip_status", "487")]
    assert [row["created"] for row in fresh.history(made, WHOLE, filters)] == [3.0, 1.0]
    assert fresh.history(made, WHOLE, [Filter("is", "nonsense", "1")]) == []
    rows = fresh.history(made, replace(WHOLE, created_from=1.0, created_to=2.0))
    assert [row["created"] for row in rows] == [2.0, 1.0]


def test_the_walk_down_a_long_history_uses_the_index(tmp_path: Path, cheap: None) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/c2c.db")
    store.close()
    with sqlite3.connect(tmp_path / "c2c.db") as database:
        plan = database.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM activation WHERE clicktocall_id = 'x' AND "
            "(created < 5 OR (created = 5 AND id <= 'x')) ORDER BY created DESC, id DESC LIMIT 51"
        ).fetchall()
    text = " ".join(str(row) for row in plan)
    assert "activation_history" in text and "TEMP B-TREE" not in text


def test_the_records_of_an_account_are_searched_by_contact_and_by_name(fresh: Store) -> None:
    one, two = account(fresh)["id"], account(fresh)["id"]
    sales = fresh.create_clicktocall(one, {"name": 'Über "Sales"', "extension": "1"})["id"]
    theirs = fresh.create_clicktocall(two, {"name": "Sales", "extension": "1"})["id"]
    activation(fresh, one, sales, created=1.0, contact="(415) 555", called="+1415555")
    activation(fresh, one, sales, created=2.0, contact="sip:Bob@example.net", called=None)
    activation(fresh, two, theirs, created=3.0, contact="415 555", called="+1415555")

    def found(search: str) -> list[float]:
        return [r["created"] for r in fresh.histories.of_account(one, WHOLE, search=search)]

    assert found("") == found("sales") == found('"SALES') == [2.0, 1.0]
    assert found("+1 415-55") == found("(415)") == [1.0]
    assert found("bob@") == [2.0]
    assert found("100%") == found("\0") == []


def test_a_name_that_is_no_text_to_postgresql_hides_no_other_from_a_search(fresh: Store) -> None:
    one = account(fresh)["id"]
    for name in ("Sales", "nul\0", "half \ud83d"):
        made = fresh.create_clicktocall(one, {"name": name, "extension": "1", "more": name})
        activation(fresh, one, made["id"])
    rows = fresh.histories.of_account(one, WHOLE, search="sales")
    assert [row["clicktocall_name"] for row in rows] == ["Sales"]
