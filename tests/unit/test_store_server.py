"""A database that goes away and comes back, and several nodes on one."""

import json
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import peewee as pw
import pytest

from c2c_sip import config as settings_of
from c2c_sip.calling.guard import Guard
from c2c_sip.calling.policy import Refusal
from c2c_sip.config import Config
from c2c_sip.store import Store, StoreError, migrations
from c2c_sip.store import writer as writer_module
from c2c_sip.store.server import connect
from c2c_sip.store.writer import Change, Writer
from tests.postgres import Postgres
from tests.unit.stores import WHOLE, account, activation, ask, leg


def test_what_postgresql_takes_is_named_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("c2c_sip.store.server.find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"c2c-sip\[postgres\]"):
        Store.open("postgresql://a:b@127.0.0.1:1/c")


class _Flaky(pw.SqliteDatabase):
    """A database that is out of reach while ``away``."""

    away = False

    def connect(self, *arguments: Any, **more: Any) -> Any:
        if self.away:
            raise pw.OperationalError("connection refused")
        return super().connect(*arguments, **more)  # type: ignore[no-untyped-call]

    def begin(self, *arguments: Any, **more: Any) -> Any:
        if self.away:
            raise pw.OperationalError("server closed the connection unexpectedly")
        return super().begin(*arguments, **more)  # type: ignore[no-untyped-call]


def test_changes_wait_for_a_database_that_is_away_and_who_waits_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "RETRY", 0.02)
    database = _Flaky(tmp_path / "x.db")
    writer = Writer(database)
    run: Any = database.execute_sql
    writer.submit(lambda: run("CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER)")).result(5)
    database.away = True
    names = [f"{number:04}" for number in range(2 * writer_module.BATCH)]
    for name in names:
        writer.change(Change("t", name, {"n": 0}, new=True))
        writer.change(Change("t", name, {"n": 1}))
    # Behind all of them, and not after they are written.
    with pytest.raises(pw.OperationalError):
        writer.submit(lambda: None).result(5)
    # More tries than a database that answers would get.
    time.sleep(3 * writer_module.TRIES * writer_module.RETRY)
    database.away = False
    end = time.monotonic() + 30
    while writer.waiting and time.monotonic() < end:
        time.sleep(0.01)
    writer.submit(lambda: None).result(5)
    writer.close()
    assert ask(f"sqlite:///{tmp_path}/x.db", "SELECT id, n FROM t") == [(n, 1) for n in names]


def test_closing_gives_up_a_database_that_stays_away_and_says_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "RETRY", 0.02)
    monkeypatch.setattr(writer_module, "FAREWELL", 0.1)
    database = _Flaky(tmp_path / "x.db")
    database.away = True
    writer = Writer(database)
    for name in "ab":
        writer.change(Change("t", name, {"n": 0}, new=True))
    writer.close()
    assert "2 changes are lost: connection refused" in caplog.text


def test_a_change_that_the_database_never_takes_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "RETRY", 0.01)
    writer = Writer(pw.SqliteDatabase(tmp_path / "x.db"))
    writer.change(Change("no_such_table", "a", {"n": 0}, new=True))
    end = time.monotonic() + 30
    while "changes are lost" not in caplog.text and time.monotonic() < end:
        time.sleep(0.01)
    assert "1 changes are lost: no such table" in caplog.text
    assert writer.submit(lambda: 1).result(5) == 1
    writer.close()


@pytest.mark.usefixtures("cheap")
def test_a_server_that_was_restarted_is_connected_to_anew(postgres: Postgres) -> None:
    with postgres.database() as url:
        store = Store.open(url)
        made = account(store)
        definition = store.create_clicktocall(made["id"], {"name": "n", "extension": "1"})["id"]
        row = activation(store, made["id"], definition)
        postgres.stop()
        try:
            with pytest.raises(pw.OperationalError):
                store.accounts()
            store.update_activation(row["id"], state="ended")
            with pytest.raises(pw.OperationalError):
                store.create_token(made["id"], None, "x")
        finally:
            postgres.start()
        # By this thread, whose connection is gone.
        assert [one["id"] for one in store.accounts()] == [made["id"]]
        assert store.check_token(store.create_token(made["id"], None, "x"))
        store.flush()
        found = store.activation(definition, row["id"])
        assert found is not None and found["state"] == "ended"
        # And where it was restarted while nobody asked.
        postgres.stop()
        postgres.start()
        assert store.accounts() and store.webhooks.waiting(0.0) == []
        store.flush()
        store.close()


@pytest.mark.usefixtures("cheap")
def test_a_start_ends_what_is_its_node_s_and_leaves_the_others_calls_alone(
    postgres: Postgres,
) -> None:
    with postgres.database() as url:
        one, two = Store.open(url, node="one"), Store.open(url, node="two")
        made = account(one)
        definition = one.create_clicktocall(made["id"], {"name": "n", "extension": "1"})["id"]
        rows = {}
        for name, store, created in (("own", one, 90.0), ("other", two, 90.0), ("old", two, 10.0)):
            rows[name] = activation(store, made["id"], definition, created=created)
            dialled = leg(store, made["id"], rows[name]["id"])
            store.update_cdr(dialled["id"], dialog=json.dumps({"of": name}))
            store.flush()
        assert sorted(each["of"] for each in one.open_dialogs(50.0)) == ["old", "own"]
        assert one.close_open_activations(100.0, before=50.0) == 2
        states = {name: one.activation(definition, row["id"]) for name, row in rows.items()}
        assert {name: row and row["state"] for name, row in states.items()} == {
            "own": "ended",
            "old": "ended",
            "other": "initiated",
        }
        assert len([cdr for cdr in one.cdrs(made["id"], WHOLE) if cdr["ended"] is None]) == 1
        assert [each["of"] for each in two.open_dialogs()] == ["other"]
        assert two.close_open_activations(101.0) == 1
        one.close()
        two.close()


def test_who_a_server_knows_may_have_any_password() -> None:
    database: Any = connect(
        "postgres://jo%40acme:p%2F%40s%25@db.example:5433/c2c?connect_timeout=9"
    )
    assert database.database == "c2c"
    wanted = {"user": "jo@acme", "password": "p/@s%", "host": "db.example", "port": 5433}
    assert wanted.items() <= database.connect_params.items()
    assert int(database.connect_params["connect_timeout"]) == 9


def test_two_nodes_may_start_on_an_empty_database_at_the_same_time(postgres: Postgres) -> None:
    with postgres.database() as url:
        opened: list[Store] = []
        threads = [
            threading.Thread(target=lambda: opened.append(Store.open(url))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(opened) == 4
        assert ask(url, "SELECT COUNT(*) FROM schema_version") == [(migrations.NEWEST,)]
        for store in opened:
            store.close()


@pytest.mark.usefixtures("cheap")
def test_limits_and_minutes_of_a_day_are_those_of_all_nodes_together(postgres: Postgres) -> None:
    with postgres.database() as url:
        one, two = Store.open(url, node="one"), Store.open(url, node="two")
        made = account(one)
        definition = one.create_clicktocall(made["id"], {"name": "n", "extension": "1"})
        limits = settings_of.Guard(per_contact=3, daily_minutes=2)
        config = replace(Config(), guard=limits)
        guards = [Guard(config, store.guard, 1000.0) for store in (one, two)]

        def let_in(at: int, now: float) -> None:
            guards[at].admit(made, definition, "+12025550102", "192.0.2.1", now)
            row = activation((one, two)[at], made["id"], definition["id"], created=now)
            seen = {"is_public": 1, "called": "+12025550102", "client": "192.0.2.1"}
            (one, two)[at].update_activation(row["id"], **seen, billing_seconds=50)
            (one, two)[at].flush()

        for each in guards:
            assert each.minutes(made, 1000.0) is not None
        let_in(0, 1001.0)
        let_in(1, 1002.0)
        let_in(0, 1002.5)
        for each in guards:
            with pytest.raises(Refusal) as caught:
                each.admit(made, definition, "+12025550102", "192.0.2.9", 1010.0)
            assert caught.value.reason == "per_contact"
        # What went through the first itself is metered there, and by this test's doing not at all.
        for each, left in zip(guards, (True, False), strict=True):
            minutes = each.minutes(made, 1010.0)
            assert minutes is not None
            minutes.start(1010.0)
            assert minutes.are_left(1030.0) is left
        one.close()
        two.close()


class _Scarce(pw.SqliteDatabase):
    """A database on a disk that is full while ``full``: SQLite itself says so, of its own limit."""

    full = False
    refused = 0

    def begin(self, *arguments: Any, **more: Any) -> Any:
        most = 1 if self.full else 1 << 30
        self.execute_sql(f"PRAGMA max_page_count = {most}")  # type: ignore[no-untyped-call]
        return super().begin(*arguments, **more)  # type: ignore[no-untyped-call]

    def rollback(self) -> None:
        self.refused += self.full
        super().rollback()  # type: ignore[no-untyped-call]


@pytest.mark.usefixtures("cheap")
def test_what_a_full_disk_does_not_take_is_kept_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "RETRY", 0.01)
    database = _Scarce(tmp_path / "x.db", pragmas={"journal_mode": "wal"})
    store = Store(database)
    made = account(store)
    definition = store.create_clicktocall(made["id"], {"name": "n", "extension": "1"})["id"]
    rows = [activation(store, made["id"], definition) for _ in range(5)]
    store.ping()
    database.full = True
    for row in rows:
        store.update_activation(row["id"], state="ended", explanation="x" * 5000)
    end = time.monotonic() + 30
    while database.refused <= 3 * writer_module.TRIES and time.monotonic() < end:
        time.sleep(0.01)
    assert database.refused > 3 * writer_module.TRIES
    assert "are lost" not in caplog.text
    # Whoever wants to place a call is told, and whoever asks whether calls can be placed.
    with pytest.raises(pw.OperationalError, match="disk is full"):
        store.create_clicktocall(made["id"], {"name": "x" * 9000, "extension": "1"})
    database.full = False
    while store.waiting and time.monotonic() < end:
        time.sleep(0.01)
    store.flush()
    found = [store.activation(definition, row["id"]) for row in rows]
    assert [row and row["state"] for row in found] == ["ended"] * len(rows)
    store.ping()
    store.close()


@pytest.mark.usefixtures("cheap")
def test_a_disk_that_is_full_is_no_readiness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = _Scarce(tmp_path / "x.db", pragmas={"journal_mode": "wal"})
    store = Store(database)
    made = account(store)
    failing = True

    def write(entries: Any) -> Any:
        # Nothing but what writes nothing gets through, as on a disk without any room.
        before = database.connection().total_changes
        done = take(entries)
        if failing and database.connection().total_changes != before:
            raise pw.OperationalError("cannot rollback") from sqlite_full()
        return done

    take = store._writer._write
    monkeypatch.setattr(store._writer, "_write", write)
    with pytest.raises(pw.OperationalError, match="disk is full"):
        store.create_clicktocall(made["id"], {"name": "n", "extension": "1"})
    for _ in range(2):
        with pytest.raises(pw.OperationalError, match="disk is full"):
            store.ping()
    failing = False
    store.ping()
    store.close()


def sqlite_full() -> sqlite3.OperationalError:
    """What SQLite says of a full disk."""
    with sqlite3.connect(":memory:") as one:
        one.execute("CREATE TABLE t (x)")
        one.execute("PRAGMA max_page_count = 2")
        try:
            one.execute("INSERT INTO t VALUES (zeroblob(99999))")
        except sqlite3.OperationalError as error:
            return error
    raise AssertionError("it was taken")
