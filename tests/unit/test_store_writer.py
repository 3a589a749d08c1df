"""The store's writer: what was promised is on disk, whatever fails or dies; what cannot be written is told."""

import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import peewee as pw
import pytest

from c2c_sip.store import Store, StoreError, claim
from c2c_sip.store.writer import Writer
from tests.unit.stores import WHOLE, account, activation


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


def test_what_came_of_a_write_is_known_after_the_commit_not_before(fresh: Store) -> None:
    before, gate = threading.Event(), threading.Event()
    made = account(fresh)
    token_count = fresh.models.Token.select().count()
    fresh._writer.submit(before.wait)
    first = fresh._writer.submit(lambda: fresh.models.Token.insert(**_token(made["id"])).execute())
    second = fresh._writer.submit(gate.wait)
    before.set()
    # Both are in one transaction: what the first wrote is not to be seen, nor promised.
    with pytest.raises(TimeoutError):
        first.result(0.05)
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


def test_a_write_after_the_end_fails_instead_of_waiting_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/c2c.db")
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.create_activation({"id": "0" * 32, "state": "initiated"}).result(5)
    store.update_activation("0" * 32, state="ended")
    assert "the store is closed" in caplog.text


def test_closing_writes_what_is_queued(database_url: str, cheap: None) -> None:
    store = Store.open(database_url)
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
    again = Store.open(database_url)
    found = again.activation(clicktocall["id"], row["id"])
    assert found is not None and found["duration_seconds"] == 49
    again.close()


def _begun(store: Store) -> tuple[str, dict[str, Any]]:
    """An account, and a call of it that has just begun."""
    made = account(store)
    clicktocall = store.create_clicktocall(made["id"], {"name": "n", "extension": "1"})
    return made["id"], activation(store, made["id"], clicktocall["id"])


def test_who_begins_a_call_does_not_wait_for_what_becomes_of_the_others(
    fresh: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("c2c_sip.store.writer.LINGER", 3600.0)
    account_id, row = _begun(fresh)
    fresh.update_activation(row["id"], state="connected")
    model = fresh.models.Activation
    state = model.select(model.state).where(model.id == row["id"])
    activation(fresh, account_id, row["clicktocall_id"])
    # Written is the new row alone; and whoever wants all to be written gets that.
    assert (state.scalar(), fresh.waiting) == ("initiated", 1)
    fresh.flush()
    assert (state.scalar(), fresh.waiting) == ("connected", 0)


def test_what_nobody_waits_for_is_written_soon_however_many_calls_begin(fresh: Store) -> None:
    account_id, row = _begun(fresh)
    fresh.update_activation(row["id"], state="connected")
    model = fresh.models.Activation
    state = model.select(model.state).where(model.id == row["id"])
    for _ in range(10_000):
        activation(fresh, account_id, row["clicktocall_id"])
        if state.scalar() == "connected":
            return
    raise AssertionError("it is never written")


def test_who_asks_sees_what_has_become_of_a_call_until_then(
    fresh: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("c2c_sip.store.writer.LINGER", 3600.0)
    account_id, row = _begun(fresh)
    leg = {
        "id": "c" * 32, "account_id": account_id, "activation_id": row["id"], "role": "extension",
        "call_id": "x", "from_uri": "a", "to_uri": "b", "created": 1.0,
    }  # fmt: skip
    states = iter(["extension_ringing", "extension_answered", "connected", "ended"])

    def asked(found: Any) -> str:
        return str((found[0] if isinstance(found, list) else found)["state"])

    for ask in (
        lambda: fresh.activation(row["clicktocall_id"], row["id"]),
        lambda: fresh.history(row["clicktocall_id"], WHOLE),
        lambda: fresh.histories.one(account_id, row["id"]),
        lambda: fresh.histories.of_account(account_id, WHOLE),
    ):
        state = next(states)
        fresh.update_activation(row["id"], state=state)
        assert asked(ask()) == state
    fresh.add_cdr(leg)
    assert fresh.cdr(account_id, leg["id"]) is not None
    fresh.update_cdr(leg["id"], cause="USER_BUSY")
    assert fresh.cdrs(account_id, WHOLE)[0]["cause"] == "USER_BUSY"
    # Nobody has the rows of another waiting for him.
    fresh.update_activation(row["id"], state="ended")
    assert fresh.activation(row["clicktocall_id"], "0" * 32) is None
    assert fresh.waiting == 1


def test_where_nothing_can_be_written_what_is_there_can_be_read(
    fresh: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, row = _begun(fresh)

    def fails(entries: Any) -> Any:
        raise pw.OperationalError("database or disk is full")

    monkeypatch.setattr(fresh._writer, "_write", fails)
    fresh.update_activation(row["id"], state="connected")
    found = fresh.activation(row["clicktocall_id"], row["id"])
    assert found is not None and found["state"] == "initiated"
    monkeypatch.undo()
    found = fresh.activation(row["clicktocall_id"], row["id"])
    assert found is not None and found["state"] == "connected"


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
    database_url: str, cheap: None
) -> None:
    store = Store.open(database_url)
    made = account(store)
    clicktocall = store.create_clicktocall(made["id"], {"name": "n", "extension": "1"})
    finished = activation(
        store, made["id"], clicktocall["id"], state="ended", result="success", ended=5.0
    )
    store.close()
    command = [sys.executable, "-c", _DIES, database_url, made["id"], clicktocall["id"]]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    store = Store.open(database_url)
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
    blocked = fresh._writer.submit(lambda: gate.wait(5))
    with pytest.raises(StoreError):
        fresh.ping(timeout=0.05)
    gate.set()
    blocked.result(5)
    fresh.ping()
