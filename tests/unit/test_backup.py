"""Backups: of a database that is written to meanwhile, and back again; and all that is no backup."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from c2c_sip.cli import main
from c2c_sip.store import Store, StoreError
from c2c_sip.store import backup as backups


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("C2C_SIP_CONFIG", str(tmp_path / "c.toml"))
    monkeypatch.setenv("C2C_SIP_DATABASE__URL", f"sqlite:///{tmp_path}/c2c.db")
    (tmp_path / "c.toml").write_text("")
    return tmp_path / "c2c.db"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def names(path: Path) -> list[str]:
    store = Store.open(f"sqlite:///{path}")
    try:
        return sorted(account["name"] for account in store.accounts())
    finally:
        store.close()


def test_a_database_in_use_is_copied_as_it_is_at_one_moment(place: Path, tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{place}")
    store.create_account("first", realm="first.test")
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            store.create_account(f"more {written}", realm=f"r{written}.test")
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = []
        for number in range(4):
            copy = tmp_path / f"copy{number}.db"
            done = run("backup", str(copy), "--json")
            assert done.exit_code == 0, done.stderr
            assert json.loads(done.stdout)["bytes"] == copy.stat().st_size
            assert copy.stat().st_mode & 0o777 == 0o600
            copies.append(copy)
    finally:
        stop.set()
        writer.join()
        store.close()
    found = [names(copy) for copy in copies]
    assert all("first" in one for one in found)
    assert [len(one) for one in found] == sorted(len(one) for one in found)
    assert written > 0 and len(names(place)) == written + 1


def test_what_is_there_is_not_overwritten_unasked(place: Path, tmp_path: Path) -> None:
    Store.open(f"sqlite:///{place}").close()
    copy = tmp_path / "copy.db"
    copy.write_text("precious")
    done = run("backup", str(copy))
    assert (done.exit_code, done.stdout) == (1, "") and "is there already" in done.stderr
    assert copy.read_text() == "precious"
    assert run("backup", str(copy), "--overwrite").exit_code == 0
    assert backups.check(copy) > 0
    assert not list(tmp_path.glob("*.part"))


def test_the_database_itself_is_neither_written_over_nor_taken_for_a_backup(
    place: Path, tmp_path: Path
) -> None:
    store = Store.open(f"sqlite:///{place}")
    try:
        store.create_account("kept", realm="kept.test")
        number = place.stat().st_ino
        (tmp_path / "linked.db").symlink_to(place)
        for itself in ("c2c.db", "linked.db", "c2c.db-wal"):
            done = run("backup", "--overwrite", str(tmp_path / itself))
            assert done.exit_code == 1 and "is the database itself" in done.stderr
    finally:
        store.close()
    done = run("restore", str(place))
    assert done.exit_code == 1 and "is the database itself" in done.stderr
    assert (place.stat().st_ino, names(place)) == (number, ["kept"])


def test_a_backup_comes_back_and_what_was_there_is_kept(place: Path, tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{place}")
    store.create_account("before", realm="a.test")
    assert run("backup", str(tmp_path / "copy.db")).exit_code == 0
    store.create_account("after", realm="b.test")

    done = run("restore", str(tmp_path / "copy.db"))
    assert done.exit_code == 1 and "is in use: stop the service first" in done.stderr
    store.close()
    assert names(place) == ["after", "before"]

    done = run("restore", str(tmp_path / "copy.db"), "--json")
    assert done.exit_code == 0, done.stderr
    kept = Path(json.loads(done.stdout)["before"])
    assert names(place) == ["before"]
    assert names(kept) == ["after", "before"]


def test_a_database_that_is_gone_or_damaged_can_be_restored(place: Path, tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{place}")
    store.create_account("kept", realm="a.test")
    assert run("backup", str(tmp_path / "copy.db")).exit_code == 0
    store.close()
    place.unlink()
    assert run("restore", str(tmp_path / "copy.db")).exit_code == 0
    assert names(place) == ["kept"]
    place.write_bytes(b"not a database at all" * 1000)
    assert run("restore", str(tmp_path / "copy.db")).exit_code == 0
    assert names(place) == ["kept"]


def test_what_is_no_backup_is_refused_and_changes_nothing(place: Path, tmp_path: Path) -> None:
    Store.open(f"sqlite:///{place}").close()
    octets = place.read_bytes()
    copy = tmp_path / "copy.db"
    backups.backup(place, copy)

    (tmp_path / "text").write_text("hello")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE t (x)")
    newer = tmp_path / "newer.db"
    backups.backup(place, newer)
    with sqlite3.connect(newer) as opened:
        opened.execute("INSERT INTO schema_version VALUES (9999)")
    damaged = tmp_path / "damaged.db"
    whole = copy.read_bytes()
    damaged.write_bytes(whole[:8192] + b"\xff" * 4096 + whole[12288:])

    for name, why in (
        ("nowhere", "there is no backup"),
        ("text", "no database of c2c-sip"),
        ("other.db", "no database of c2c-sip"),
        ("newer.db", "of a newer c2c-sip"),
        ("damaged.db", "damaged.db"),
    ):
        done = run("restore", str(tmp_path / name))
        assert done.exit_code == 1 and why in done.stderr, (name, done.stderr)
    assert place.read_bytes() == octets


def test_there_has_to_be_a_database_and_it_has_to_be_sqlite(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        backups.backup(place, tmp_path / "copy.db")
    assert not place.exists()
    Store.open(f"sqlite:///{place}").close()
    done = run("backup", str(tmp_path / "no" / "such" / "copy.db"))
    assert done.exit_code == 1 and "cannot be written" in done.stderr
    monkeypatch.setenv("C2C_SIP_DATABASE__URL", "postgresql://u:secret@h/n")
    done = run("backup", str(tmp_path / "copy.db"))
    assert done.exit_code == 1 and "pg_dump" in done.stderr and "secret" not in done.stderr


def test_a_database_that_cannot_be_backed_up_is_named_as_it_is_known(
    place: Path, tmp_path: Path
) -> None:
    Store.open(f"sqlite:///{place}").close()
    done = run("backup", str(tmp_path / "no" / "such" / "copy.db"))
    assert done.exit_code == 1 and ".part" not in done.stderr
    assert "copy.db cannot be written: No such file or directory" in done.stderr
    with sqlite3.connect(place) as opened:
        opened.execute("INSERT INTO schema_version VALUES (9999)")
    done = run("backup", str(tmp_path / "copy.db"))
    assert done.exit_code == 1 and ".part" not in done.stderr
    assert f"{place} is of a newer c2c-sip" in done.stderr
    assert not list(tmp_path.glob("copy.db*"))


def test_the_file_of_a_service_that_was_stopped_has_everything(place: Path, tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{place}")
    store.create_account("first", realm="first.test")
    go, done = threading.Event(), threading.Event()

    def read() -> None:
        # As a thread of the HTTP server: its connection is there until the process ends.
        store.accounts()
        done.set()
        go.wait(20)

    thread = threading.Thread(target=read)
    thread.start()
    done.wait(20)
    store.close(tidy=True)
    copy = tmp_path / "copy.db"
    copy.write_bytes(place.read_bytes())
    go.set()
    thread.join()
    assert names(copy) == ["first"]


def test_a_file_that_is_damaged_is_named_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "c.db"
    file.write_bytes(b"no database at all, but long enough " * 200)
    with pytest.raises(StoreError, match=r"c\.db: file is not a database; .*c2c-sip restore"):
        Store.open(f"sqlite:///{file}")
    file.unlink()
    Store.open(f"sqlite:///{file}").close()
    file.write_bytes(file.read_bytes()[:10_000])
    with pytest.raises(StoreError, match=r"c\.db: .*malformed; .*c2c-sip restore"):
        Store.open(f"sqlite:///{file}")
