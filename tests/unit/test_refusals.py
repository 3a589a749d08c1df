"""Refusals as records: each of the first few, and a number for the others."""

from collections.abc import Callable, Mapping
from typing import Any

from c2c_sip.calling.policy import Refusal
from c2c_sip.calling.refusals import MOST, SPAN, Refusals
from c2c_sip.store import StoreError
from c2c_sip.store.writer import Outcome


class Ledger:
    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.writes = 0
        self.broken = False

    def create_activation(self, row: Mapping[str, Any]) -> Outcome[None]:
        outcome: Outcome[None] = Outcome()
        if self.broken:
            outcome.fail(StoreError("gone"))
        else:
            self.rows[row["id"]] = dict(row)
            self.writes += 1
            outcome.succeed(None)
        return outcome

    def update_activation(self, id: str, **changes: Any) -> None:
        self.rows[id] |= changes
        self.writes += 1


class Later:
    def __init__(self) -> None:
        self.asked: list[Callable[[], None]] = []

    def __call__(self, seconds: float, then: Callable[[], None]) -> None:
        self.asked.append(then)

    def come(self) -> None:
        asked, self.asked = self.asked, []
        for then in asked:
            then()


def make() -> tuple[Refusals, Ledger, Later]:
    ledger, later = Ledger(), Later()
    ids = iter(range(1_000_000))
    return Refusals(ledger, new_id=lambda: f"{next(ids)}", later=later), ledger, later


def refuse(refusals: Refusals, contact: object = "x", reason: str = "whitelist", one: str = "one", now: float = 0.0) -> Refusal:  # fmt: skip
    refusal = Refusal("validation", "no", field="contact", rule="pattern", reason=reason)
    refusals.record(refusal, "account", one, contact, "192.0.2.1", now)
    return refusal


def test_a_refusal_is_a_record_with_its_rule() -> None:
    refusals, ledger, _ = make()
    refusal = refuse(refusals, "+1415", now=7.0)
    (row,) = ledger.rows.values()
    assert refusal.activation == row
    wanted = {"state": "ended", "result": "error", "cause": "CALL_REJECTED", "rule": "whitelist"}
    about = {"contact": "+1415", "client": "192.0.2.1", "created": 7.0, "ended": 7.0}
    assert wanted.items() | about.items() <= row.items()


def test_ten_thousand_refusals_are_few_records_that_count_them_all() -> None:
    refusals, ledger, later = make()
    for n in range(10_000):
        refuse(refusals, f"+1415{n}", now=n / 1000)
        if n % 1000 == 999:
            later.come()
    assert len(ledger.rows) == MOST + 1
    assert ledger.writes <= MOST + 1 + 10
    assert sum(row.get("times", 1) for row in ledger.rows.values()) == 10_000


def test_each_click_to_call_rule_and_span_has_its_own_records() -> None:
    refusals, ledger, later = make()
    for _ in range(MOST + 5):
        refuse(refusals)
    refuse(refusals, reason="country")
    refuse(refusals, one="two")
    assert len(ledger.rows) == MOST + 3
    refuse(refusals, now=SPAN)
    assert len(ledger.rows) == MOST + 4
    assert sum(row.get("times", 1) for row in ledger.rows.values()) == MOST + 8
    later.come()
    assert sum(row.get("times", 1) for row in ledger.rows.values()) == MOST + 8


def test_what_came_is_kept_as_far_as_it_may_be() -> None:
    refusals, ledger, _ = make()
    for contact in (None, 5, ["x"], "a\r\nb\0\u2028", "y" * 5000):
        refuse(refusals, contact)
    kept = [row["contact"] for row in ledger.rows.values()]
    assert kept == ["", "", "", "a\ufffd\ufffdb\ufffd\ufffd", "y" * 256]


def test_a_database_that_is_away_does_not_change_the_refusal() -> None:
    refusals, ledger, _ = make()
    ledger.broken = True
    assert refuse(refusals).activation is None


def test_attackers_with_many_targets_do_not_fill_the_memory() -> None:
    refusals, _, _ = make()
    for n in range(5000):
        refuse(refusals, one=f"{n}")
    assert len(refusals._counts) <= 4096
