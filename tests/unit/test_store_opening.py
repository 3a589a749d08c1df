"""A store opened: made, brought up to date, refused, or the file of nobody else."""

import sqlite3
import stat
from pathlib import Path
from typing import Any

import peewee as pw
import psycopg
import pytest

from c2c_sip.store import Store, StoreError, migrations
from tests.unit.stores import WHOLE, account, activation, ask


def test_a_database_is_made_where_there_is_none_and_opened_where_there_is_one(
    database_url: str, cheap: None
) -> None:
    first = Store.open(database_url)
    made = account(first)
    first.close()
    second = Store.open(database_url)
    assert [row["id"] for row in second.accounts()] == [made["id"]]
    second.close()


def test_a_database_of_a_newer_program_is_refused_and_left_alone(database_url: str) -> None:
    Store.open(database_url).close()
    ask(database_url, "INSERT INTO schema_version VALUES (999)")
    with pytest.raises(StoreError, match="999"):
        Store.open(database_url)
    assert ask(database_url, "SELECT MAX(version) FROM schema_version") == [(999,)]


@pytest.mark.parametrize("version", [1, 3, 7])
def test_an_old_database_is_brought_up_to_date_with_what_is_in_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    with monkeypatch.context() as then:
        # Only a database as it was: today's models do not fit it.
        then.setattr(migrations, "NEWEST", version)
        Store.open(database_url).close()
    one, two, three = "a" * 32, "b" * 32, "c" * 32
    ask(
        database_url,
        f"INSERT INTO account VALUES ('{one}', NULL, 'Acme', 'acme.example', '{{}}', 1, 1.0)",
    )
    ask(
        database_url,
        f"INSERT INTO clicktocall VALUES ('{two}', '{one}', '{{\"name\": \"Sales\"}}', 1, 2.0, 2.0, NULL)",
    )
    ask(
        database_url,
        "INSERT INTO activation (id, account_id, clicktocall_id, contact, created, state, duration_seconds,"
        f" billing_seconds, ringing_seconds) VALUES ('{three}', '{one}', '{two}', '100', 3.0, 'connected', 0, 0, 0)",
    )
    store = Store.open(database_url, node="one")
    (row,) = store.histories.of_account(one, WHOLE, search="sales")
    assert (row["id"], row["explanation"], row["node"]) == (three, None, None)
    assert store.close_open_activations(9.0) == 1, "it is nobody else's"
    assert store.users.check(one, "md5", "0" * 32) is None
    assert ask(database_url, "SELECT MAX(version) FROM schema_version") == [(migrations.NEWEST,)]
    store.close()


def test_a_step_that_fails_leaves_nothing_of_it_behind(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(database_url).close()
    step = migrations.NEWEST + 1
    broken = {**migrations.MIGRATIONS, step: ("CREATE TABLE half (id INTEGER)", "NONSENSE")}
    monkeypatch.setattr(migrations, "MIGRATIONS", broken)
    monkeypatch.setattr(migrations, "NEWEST", step)
    with pytest.raises(StoreError):
        Store.open(database_url)
    assert ask(database_url, "SELECT MAX(version) FROM schema_version") == [(step - 1,)]
    with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedTable)):
        ask(database_url, "SELECT * FROM half")


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
