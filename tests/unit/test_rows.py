"""Rows that each activation asks for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from c2c_sip.store import Store
from c2c_sip.store import row as row_module
from c2c_sip.store.row import BELIEVED, Rows


class Bed:
    """A store, another process's view of the same file, and what is asked of the database."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.asked = 0
        url = f"sqlite:///{path}/fresh.db"
        self.store, self.other = Store.open(url), Store.open(url)
        monkeypatch.setattr(self.store._rows, "_clock", lambda: self.now)
        ask = self.store._rows._ask

        def counted(query: str, values: tuple[Any, ...]) -> Any:
            self.asked += 1
            return ask(query, values)

        monkeypatch.setattr(self.store._rows, "_ask", counted)
        self.account = str(self.store.create_account("Acme")["id"])
        made = self.store.create_clicktocall(self.account, {"name": "a"})
        self.definition, self.revision = str(made["id"]), int(made["revision"])

    def name(self) -> object:
        found = self.store.clicktocall(self.account, self.definition, lately=True)
        return found["name"] if found else None

    def rename(self, store: Store, name: str) -> None:
        changed = store.update_clicktocall(
            self.account, self.definition, {"name": name}, self.revision
        )
        assert changed is not None
        self.revision = changed["revision"]


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    made = Bed(tmp_path, monkeypatch)
    yield made
    made.store.close()
    made.other.close()


def test_what_was_just_read_is_not_asked_for_again(bed: Bed) -> None:
    assert [bed.name() for _ in range(5)] == ["a"] * 5
    assert not bed.store.guard.is_never_called(bed.account, "+12025550123")
    assert not bed.store.guard.is_never_called(bed.account, "+12025550123")
    assert bed.asked == 2


def test_what_is_written_here_is_seen_at_once(bed: Bed) -> None:
    assert bed.name() == "a"
    bed.rename(bed.store, "b")
    assert bed.name() == "b"
    assert not bed.store.guard.is_never_called(bed.account, "+12025550123")
    bed.store.guard.never_call(bed.account, "+12025550123", "api", 3.0)
    assert bed.store.guard.is_never_called(bed.account, "+12025550123")
    bed.store.delete_clicktocall(bed.account, bed.definition, bed.revision)
    assert bed.name() is None


def test_what_others_write_is_seen_in_a_second(bed: Bed) -> None:
    assert bed.name() == "a"
    bed.rename(bed.other, "b")
    found = bed.store.clicktocall(bed.account, bed.definition)
    assert found is not None and found["name"] == "b", "whoever must know is told the truth"
    bed.rename(bed.other, "c")
    bed.now = BELIEVED
    assert bed.name() == "c"


def test_the_records_of_calls_do_not_make_it_forget(bed: Bed) -> None:
    bed.name()
    bed.store.update_activation("none", state="ended")
    bed.store.flush()
    asked = bed.asked
    bed.name()
    bed.store.update_activation("none", state="ended")
    bed.store.update_cdr("none", cause="USER_BUSY")
    bed.name()
    assert bed.asked == asked + 1, "the flush is a write of its own"


def test_it_remembers_only_so_many(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_module, "MOST", 10)
    rows: Rows = bed.store._rows
    for number in range(100):
        assert not bed.store.guard.is_never_called(bed.account, f"+1202555{number:04}")
    assert len(rows._known) <= 10


def test_who_changes_what_was_read_changes_it_for_nobody_else(bed: Bed) -> None:
    assert bed.name() == "a"
    mine = bed.store.clicktocall(bed.account, bed.definition)
    assert mine is not None
    mine["name"] = "changed"
    assert bed.name() == "a"
    again = bed.store.clicktocall(bed.account, bed.definition)
    assert again is not None and again["name"] == "a"


def test_a_document_is_read_once_for_all_who_want_it_as_it_was_lately(bed: Bed) -> None:
    first, second = (bed.store.account(bed.account, lately=True) for _ in range(2))
    assert first is second is not None
