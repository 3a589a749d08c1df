"""Click-to-calls, history and CDRs in the store: whose they are, in which order, and how they are found again."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

from c2c_sip.store import Filter, Span, Store
from tests.unit.stores import WHOLE, account, activation, leg


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
    fresh.update_cdr(dialled["id"], media=json.dumps(media), cause="NORMAL_CLEARING")
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
