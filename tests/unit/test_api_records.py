"""History, CDRs and live legs."""

import json
import secrets
import struct
from typing import Any

import pytest

from tests.unit.conftest import Api, FakeCalling
from tests.unit.databases import each_database  # noqa: F401 - a fixture

GREGORIAN = 62167219200


def activation(api: Api, clicktocall: str, created: float, **more: Any) -> dict[str, Any]:
    row = {
        "id": secrets.token_hex(16),
        "account_id": api.account["id"],
        "clicktocall_id": clicktocall,
        "contact": "+14155550100",
        "created": created,
        "state": "ended",
    } | more
    api.store.create_activation(row).result()
    return row


def leg(api: Api, activation_id: str, **more: Any) -> dict[str, Any]:
    row = {
        "id": secrets.token_hex(16),
        "account_id": api.account["id"],
        "activation_id": activation_id,
        "role": "contact",
        "call_id": "c1",
        "from_uri": "sip:100@acme.example",
        "to_uri": "sip:+14155550100@sip.example.net",
        "created": 1000.0,
    } | more
    api.store.add_cdr(row)
    api.store.flush()
    return row


def test_a_history_item_has_every_field_of_the_contract(api: Api) -> None:
    made = api.create()
    row = activation(
        api,
        made["id"],
        1700000000.9,
        result="success",
        cause="NORMAL_CLEARING",
        sip_status=200,
        call_id="c1",
        cdr_id="d1",
        extension_call_id="c2",
        extension_cdr_id="d2",
        duration_seconds=30,
        billing_seconds=20,
        ringing_seconds=5,
        explanation="The two spoke for 20.0 s; the contact hung up.",
    )
    expected = {
        "id": row["id"],
        "contact": "+14155550100",
        "timestamp": 1700000000 + GREGORIAN,
        "unix_timestamp": 1700000000,
        "iso_8601": "2023-11-14T22:13:20Z",
        "call_id": "c1",
        "cdr_id": "d1",
        "extension_call_id": "c2",
        "extension_cdr_id": "d2",
        "state": "ended",
        "result": "success",
        "cause": "NORMAL_CLEARING",
        "sip_status": 200,
        "duration_seconds": 30,
        "billing_seconds": 20,
        "ringing_seconds": 5,
        "explanation": "The two spoke for 20.0 s; the contact hung up.",
        "custom_application_vars": {},
        "recording": False,
    }
    history = f"/clicktocall/{made['id']}/history"
    assert api.get(history).json["data"] == [expected]
    assert api.get(f"{history}/{row['id']}").json["data"] == expected


def test_history_is_newest_first_filtered_and_paged(api: Api) -> None:
    made = api.create()
    for number in range(5):
        activation(api, made["id"], 1000.0 + number, result="success" if number % 2 else "error")
    history = f"/clicktocall/{made['id']}/history"

    def times(query: str) -> list[int]:
        return [row["unix_timestamp"] for row in api.get(f"{history}?{query}").json["data"]]

    assert times("") == [1004, 1003, 1002, 1001, 1000]
    assert times("ascending=true") == [1000, 1001, 1002, 1003, 1004]
    assert times("filter_result=success") == [1003, 1001]
    assert times("filter_nothing=1") == []
    assert times(f"created_from={GREGORIAN + 1001}&created_to={GREGORIAN + 1002}") == [1002, 1001]
    first = api.get(f"{history}?page_size=2&filter_result=error").json
    assert [row["unix_timestamp"] for row in first["data"]] == [1004, 1002]
    assert times(f"page_size=2&filter_result=error&start_key={first['next_start_key']}") == [1000]


def test_history_is_of_this_click_to_call_and_goes_with_it(api: Api) -> None:
    one, two = api.create(), api.create()
    row = activation(api, one["id"], 1000.0)
    assert api.get(f"/clicktocall/{two['id']}/history").json["data"] == []
    assert api.get(f"/clicktocall/{two['id']}/history/{row['id']}").status_code == 404
    dialled = leg(api, row["id"])
    api.delete(f"/clicktocall/{one['id']}")
    assert api.get(f"/clicktocall/{one['id']}/history").status_code == 404
    assert api.get(f"/cdrs/{dialled['id']}").status_code == 200


@pytest.mark.parametrize("identifier", ["0" * 32, "x", "%00", "'"])
def test_a_record_that_is_not_there_is_404(api: Api, identifier: str) -> None:
    made = api.create()
    assert api.get(f"/clicktocall/{made['id']}/history/{identifier}").status_code == 404
    assert api.get(f"/cdrs/{identifier}").status_code == 404


def test_a_cdr_says_all_of_its_leg(api: Api) -> None:
    row = activation(api, api.create()["id"], 1000.0)
    dialled = leg(api, row["id"])
    api.store.update_cdr(
        dialled["id"],
        answered=1002.0,
        ended=1010.0,
        duration_seconds=10,
        billing_seconds=8,
        ringing_seconds=1,
        cause="NORMAL_CLEARING",
        sip_status=200,
        hangup_by="peer",
        media=json.dumps({"packets_sent": 7}),
    )
    api.store.flush()
    expected = {
        "id": dialled["id"],
        "call_id": "c1",
        "activation_id": row["id"],
        "interaction_id": row["id"],
        "role": "contact",
        "direction": "outbound",
        "from": "sip:100@acme.example",
        "to": "sip:+14155550100@sip.example.net",
        "timestamp": 1000 + GREGORIAN,
        "unix_timestamp": 1000,
        "iso_8601": "1970-01-01T00:16:40Z",
        "answered": True,
        "duration_seconds": 10,
        "billing_seconds": 8,
        "ringing_seconds": 1,
        "hangup_cause": "NORMAL_CLEARING",
        "cause": "NORMAL_CLEARING",
        "sip_status": 200,
        "hangup_by": "peer",
        "media": {"packets_sent": 7},
    }
    assert api.get("/cdrs").json["data"] == [expected]
    assert api.get(f"/cdrs/{dialled['id']}").json["data"] == expected


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("filter_role=contact", True),
        ("filter_role=extension", False),
        ("filter_hangup_cause=USER_BUSY", True),
        ("filter_cause=USER_BUSY", True),
        ("filter_from=sip:100@acme.example", True),
        ("filter_to=sip:x", False),
        ("filter_sip_status=486", True),
        ("filter_nothing=1", False),
    ],
)
def test_cdrs_are_filtered_by_the_fields_they_show(api: Api, query: str, found: bool) -> None:
    row = activation(api, api.create()["id"], 1000.0)
    leg(api, row["id"], cause="USER_BUSY", sip_status=486)
    assert bool(api.get(f"/cdrs?{query}").json["data"]) is found


def test_live_legs_are_listed_shown_and_hung_up(api: Api, calling: FakeCalling) -> None:
    calling.live = [
        {
            "account_id": api.account["id"],
            "activation_id": "1",
            "call_id": "a@b",
            "state": "connected",
        },
        {"account_id": "other", "activation_id": "2", "call_id": "theirs", "state": "connected"},
    ]
    assert [leg["call_id"] for leg in api.get("/channels").json["data"]] == ["a@b"]
    assert api.get("/channels/a%40b").json["data"]["state"] == "connected"
    assert api.get("/channels/theirs").status_code == 404
    assert api.post("/channels/theirs", {"action": "hangup"}).status_code == 404
    answer = api.post("/channels/a%40b", {"action": "hangup"})
    assert answer.status_code == 200
    assert calling.hung_up == ["a@b"]


def live_calls(api: Api, count: int) -> list[dict[str, Any]]:
    """Two legs of each of so many calls, the oldest first."""
    return [
        {
            "account_id": api.account["id"],
            "activation_id": f"{one:032x}",
            "created": 1000.0 + one // 2,
            "call_id": f"{one:023x}{at}",
            "role": role,
        }
        for one in range(1, count + 1)
        for at, role in enumerate(("extension", "contact"))
    ]


def test_live_legs_are_filtered_and_those_of_the_newest_call_come_first(
    api: Api, calling: FakeCalling
) -> None:
    calling.live = live_calls(api, 3)

    def found(query: str = "") -> list[tuple[int, str]]:
        legs = api.get(f"/channels?{query}").json["data"]
        return [(int(leg["activation_id"], 16), leg["role"]) for leg in legs]

    assert found() == [(one, role) for one in (3, 2, 1) for role in ("extension", "contact")]
    assert found("filter_role=contact") == [(3, "contact"), (2, "contact"), (1, "contact")]
    assert found(f"filter_activation_id={2:032x}") == [(2, "extension"), (2, "contact")]
    assert found("filter_role=extension&ascending=true") == [(n, "extension") for n in (1, 2, 3)]
    assert found("filter_nothing=x") == []
    assert found(f"created_from={1001 + GREGORIAN}&filter_role=contact") == [
        (3, "contact"),
        (2, "contact"),
    ]
    assert found("created_to=1000") == [(1, "extension"), (1, "contact")]


@pytest.mark.parametrize("order", ["", "&ascending=true"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_live_legs_come_in_pages_and_none_is_missed_or_told_twice(
    api: Api, calling: FakeCalling, order: str, size: int
) -> None:
    calling.live = live_calls(api, 5)
    seen: list[dict[str, Any]] = []
    key = ""
    while True:
        page = api.get(f"/channels?page_size={size}{order}{key}").json
        assert page["page_size"] == len(page["data"]) <= size
        seen += page["data"]
        if "next_start_key" not in page:
            break
        key = f"&start_key={page['next_start_key']}"
    assert seen == api.get(f"/channels?paginate=false{order}").json["data"]
    assert sorted(leg["call_id"] for leg in seen) == sorted(leg["call_id"] for leg in calling.live)


def test_a_page_of_live_legs_goes_on_where_it_was_though_others_have_ended(
    api: Api, calling: FakeCalling
) -> None:
    calling.live = live_calls(api, 4)
    first = api.get("/channels?page_size=3").json
    following = first["data"][2]["activation_id"]
    # Of the leg that the page ended before, then of its whole call, nothing is left; and there is a new one.
    new = live_calls(api, 9)[-2:]
    gone = [leg for leg in calling.live if leg["call_id"] != f"{3:023x}1"] + new
    calling.live = gone
    rest = api.get(f"/channels?start_key={first['next_start_key']}").json["data"]
    assert [leg["activation_id"] for leg in rest] == [
        following,
        *[f"{n:032x}" for n in (2, 2, 1, 1)],
    ]
    calling.live = [leg for leg in gone if leg["activation_id"] != following]
    rest = api.get(f"/channels?start_key={first['next_start_key']}").json["data"]
    assert [leg["activation_id"] for leg in rest] == [f"{n:032x}" for n in (2, 2, 1, 1)]


def test_fifty_live_legs_a_page_unless_asked_otherwise(api: Api, calling: FakeCalling) -> None:
    calling.live = live_calls(api, 40)
    page = api.get("/channels").json
    assert len(page["data"]) == page["page_size"] == 50 and page["next_start_key"]
    whole = api.get("/channels?paginate=false").json
    assert len(whole["data"]) == 80 and "next_start_key" not in whole


@pytest.mark.parametrize("data", [{}, {"action": "transfer"}, {"action": None}, {"action": 5}])
def test_another_action_is_400_and_does_nothing(
    api: Api, calling: FakeCalling, data: dict[str, Any]
) -> None:
    calling.live = [{"account_id": api.account["id"], "call_id": "a"}]
    answer = api.post("/channels/a", data)
    assert answer.status_code == 400
    assert list(answer.json["data"]) == ["action"]
    assert calling.hung_up == []


# --- of the whole account


def test_the_account_s_history_is_over_all_click_to_calls_also_those_that_are_gone(
    api: Api,
) -> None:
    sales, gone = api.create(name="Sales"), api.create(name="Gone")
    first = activation(api, sales["id"], 1000.0)
    second = activation(api, gone["id"], 1001.0)
    api.delete(f"/clicktocall/{gone['id']}")
    found = api.get("/history").json["data"]
    assert [(i["id"], i["clicktocall_id"], i["clicktocall_name"]) for i in found] == [
        (second["id"], gone["id"], "Gone"),
        (first["id"], sales["id"], "Sales"),
    ]
    one = api.get(f"/history/{first['id']}").json["data"]
    own = api.get(f"/clicktocall/{sales['id']}/history/{first['id']}").json["data"]
    assert one == own | {"clicktocall_id": sales["id"], "clicktocall_name": "Sales"} == found[1]
    assert api.get(f"/history/{'0' * 32}").status_code == 404


def test_the_account_s_history_is_nobody_else_s(api: Api) -> None:
    row = activation(api, api.create()["id"], 1000.0)
    other = api.store.create_account("Other")
    token = api.store.create_token(other["id"], None, "test")
    assert api.get("/history", token=token).status_code == 404
    theirs = f"/v1/accounts/{other['id']}/history"
    assert api.get(theirs, token=token).json["data"] == []
    assert api.get(f"{theirs}/{row['id']}", token=token).status_code == 404


def test_the_account_s_history_is_filtered_and_paged(api: Api) -> None:
    one, two = api.create(), api.create()
    for number in range(6):
        more = {"result": "error", "cause": "USER_BUSY"} if number % 2 else {"result": "success"}
        activation(api, (one, two)[number % 3 == 0]["id"], 1000.0 + number, **more)

    def times(query: str) -> list[int]:
        return [row["unix_timestamp"] for row in api.get(f"/history?{query}").json["data"]]

    assert times("") == [1005, 1004, 1003, 1002, 1001, 1000]
    assert times("filter_cause=USER_BUSY") == [1005, 1003, 1001]
    assert times(f"filter_clicktocall_id={two['id']}") == [1003, 1000]
    assert times(f"filter_clicktocall_id={two['id']}&filter_result=success") == [1000]
    assert times("created_from=1001&created_to=1002&ascending=true") == [1001, 1002]
    first = api.get("/history?page_size=4").json
    assert len(first["data"]) == 4
    assert times(f"page_size=4&start_key={first['next_start_key']}") == [1001, 1000]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("sales", ["a", "b"]),
        ("SÄLES", []),
        ("üb", ["c"]),
        ("0100", ["a"]),
        ("(415) 555-01", ["a"]),
        ("+1 415", ["a"]),
        ("BOB@example", ["b"]),
        ("%", []),
        ("_", []),
        ('"', ["c"]),
        ("a\0b", []),
        ("  ", ["a", "b", "c"]),
    ],
)
def test_the_account_s_history_is_searched(api: Api, search: str, expected: list[str]) -> None:
    sales, other = api.create(name="Inside Sales"), api.create(name='über "all"', extension="sales")
    contacts = {"a": "1-415-555-0100", "b": "sip:bob@example.net", "c": "sip:carol@example.net"}
    for number, (label, contact) in enumerate(contacts.items()):
        owner = other if label == "c" else sales
        called = "+14155550100" if label == "a" else contact
        activation(api, owner["id"], 1000.0 + number, contact=contact, called=called)
    found = api.get("/history", params={"search": search, "ascending": "true"}).json["data"]
    assert [row["contact"] for row in found] == [contacts[label] for label in expected]


def test_too_long_a_search_is_refused_by_name(api: Api) -> None:
    answer = api.get("/history", params={"search": "x" * 257})
    assert answer.status_code == 400
    assert list(answer.json["data"]) == ["search"]


def test_the_account_s_history_is_a_table_too(api: Api) -> None:
    made = api.create(name="=Sales")
    activation(api, made["id"], 1000.0)
    answer = api.get("/history?search=sales", headers={"Accept": "text/csv"})
    head, row = answer.text.splitlines()
    assert head.endswith(",clicktocall_id,clicktocall_name")
    assert row.endswith(f",{made['id']},'=Sales")


@pytest.mark.parametrize("query", ["", "&filter_result=error", "&search=0100"])
def test_the_account_s_history_is_read_by_its_index(
    api: Api, monkeypatch: pytest.MonkeyPatch, query: str, kept_in: str
) -> None:
    database = api.store._database
    asked: list[tuple[str, Any]] = []
    execute = database.execute_sql

    def remember(sql: str, params: Any = None, **more: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, **more)

    monkeypatch.setattr(database, "execute_sql", remember)
    key = activation(api, api.create()["id"], 1000.0)["id"]
    start = struct.pack(">d", 1000.0).hex() + key
    assert api.get(f"/history?start_key={start}{query}").status_code == 200
    sql, params = next((s, p) for s, p in asked if 'FROM "activation"' in s and "ORDER BY" in s)
    if kept_in == "postgresql":
        # Of so few rows it reads all, unless it is told not to.
        execute("SET enable_seqscan = off")
        execute("SET enable_sort = off")
        execute("SET enable_bitmapscan = off")
        plan = " ".join(row[0] for row in execute(f"EXPLAIN {sql}", params).fetchall())
        assert "using activation_account" in plan, plan
        return
    plan = " ".join(row[3] for row in execute(f"EXPLAIN QUERY PLAN {sql}", params).fetchall())
    assert "USING INDEX activation_account (account_id=? AND created<?)" in plan, plan
