"""Click-to-calls: what goes in comes out, and nothing else can be changed."""

from typing import Any

import pytest

from tests.unit.conftest import Api

GOOD: dict[str, Any] = {"name": "Sales", "extension": "100"}


@pytest.mark.parametrize(("version", "created"), [("v1", 200), ("v2", 201)])
def test_the_life_of_a_click_to_call(api: Api, version: str, created: int) -> None:
    api.version = version
    answer = api.put("/clicktocall", GOOD | {"whitelist": ["^\\+1"]})
    assert answer.status_code == created
    made = answer.json["data"]
    one = f"/clicktocall/{made['id']}"
    assert api.get(one).json["data"] == made
    assert api.get("/clicktocall").json["data"] == [
        {"id": made["id"], "name": "Sales", "extension": "100", "realm": "acme.example"}
    ]
    replaced = api.post(one, {"name": "Support", "extension": "sip:200@acme.example"})
    assert replaced.status_code == 200
    assert replaced.json["data"]["name"] == "Support"
    assert replaced.json["data"]["whitelist"] == []
    patched = api.patch(one, {"throttle": 2})
    assert patched.status_code == 200
    assert patched.json["data"] == replaced.json["data"] | {"throttle": 2}
    deleted = api.delete(one)
    assert deleted.status_code == 200
    assert deleted.json["data"] == patched.json["data"]
    for method in ("GET", "POST", "PATCH", "DELETE"):
        assert api.request(method, one, json={"data": GOOD}).status_code == 404
    assert api.get("/clicktocall").json["data"] == []


def test_a_new_one_has_the_specification_s_defaults(api: Api) -> None:
    made = api.create()
    assert made == {
        "id": made["id"],
        "name": "Sales",
        "extension": "100",
        "realm": "acme.example",
        "auth_required": False,
        "whitelist": [],
        "throttle": 0,
        "history_items": 0,
    }


def test_fields_that_mean_nothing_here_come_back_as_they_were(api: Api) -> None:
    odd = {
        "notes": {"deep": [1, 1.5, None, True, {"x": "ü😀\0"}]},
        "": "empty",
        "a.b": [],
        "big": 10**300,
        "created": "yesterday",
        "account_id": "mine",
    }
    made = api.create(**odd)
    shown = api.get(f"/clicktocall/{made['id']}").json["data"]
    assert {k: shown[k] for k in odd} == odd


def test_what_is_read_only_is_neither_taken_nor_lost(api: Api) -> None:
    made = api.create(id="0" * 32, history_items=99)
    assert made["id"] != "0" * 32 and made["history_items"] == 0
    one = f"/clicktocall/{made['id']}"
    for answer in (
        api.post(one, GOOD | {"id": "1" * 32, "history_items": "many"}),
        api.patch(one, {"id": None, "history_items": 5}),
    ):
        assert answer.status_code == 200
        assert answer.json["data"]["id"] == made["id"]
        assert answer.json["data"]["history_items"] == 0


def test_what_was_given_out_can_be_given_back_whole(api: Api) -> None:
    made = api.create(whitelist=["^1"], x={"y": None})
    answer = api.post(f"/clicktocall/{made['id']}", made)
    assert answer.status_code == 200
    assert answer.json["data"] == made


def test_a_patch_merges_and_null_takes_away(api: Api) -> None:
    made = api.create(whitelist=["a"], media={"ignore_early_media": True, "x": 1}, note="n")
    one = f"/clicktocall/{made['id']}"
    answer = api.patch(one, {"note": None, "media": {"x": None, "y": 2}, "whitelist": ["b"]})
    data = answer.json["data"]
    assert "note" not in data
    assert data["media"] == {"ignore_early_media": True, "y": 2}
    assert data["whitelist"] == ["b"]


def test_a_patch_cannot_take_away_what_is_required(api: Api) -> None:
    one = f"/clicktocall/{api.create()['id']}"
    answer = api.patch(one, {"name": None})
    assert answer.status_code == 400
    assert list(answer.json["data"]["name"]) == ["required"]
    assert api.get(one).json["data"]["name"] == "Sales"


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"])
def test_a_wrong_document_is_400_with_every_field_and_changes_nothing(
    api: Api, method: str
) -> None:
    made = api.create()
    path = "/clicktocall" if method == "PUT" else f"/clicktocall/{made['id']}"
    wrong = {"name": "a\r\nVia: x", "extension": 5, "whitelist": ["ok", "("], "throttle": "1"}
    answer = api.request(method, path, json={"data": wrong})
    assert answer.status_code == 400
    assert answer.json["message"] == "validation error"
    found = {field: list(rules) for field, rules in answer.json["data"].items()}
    assert found == {
        "name": ["pattern"],
        "extension": ["type"],
        "whitelist.1": ["pattern"],
        "throttle": ["type"],
    }
    assert answer.json["data"]["whitelist.1"]["pattern"]["cause"] == "("
    assert [row["id"] for row in api.get("/clicktocall").json["data"]] == [made["id"]]
    assert api.get(f"/clicktocall/{made['id']}").json["data"] == made


def test_the_realm_follows_the_account_s_unless_it_has_one(api: Api) -> None:
    plain, own = api.create(), api.create(realm="pbx.example")
    api.patch("", {"realm": "new.example"})
    assert api.get(f"/clicktocall/{plain['id']}").json["data"]["realm"] == "new.example"
    assert api.get(f"/clicktocall/{own['id']}").json["data"]["realm"] == "pbx.example"
    realms = {row["id"]: row["realm"] for row in api.get("/clicktocall").json["data"]}
    assert realms == {plain["id"]: "new.example", own["id"]: "pbx.example"}


def test_history_items_counts_the_activations(api: Api) -> None:
    made = api.create()
    one = f"/clicktocall/{made['id']}"
    for _ in range(3):
        assert api.post(f"{one}/connect", {"contact": "+14155550100"}).status_code == 200
    assert api.get(one).json["data"]["history_items"] == 3


def test_the_revision_of_a_document_counts_its_changes(api: Api) -> None:
    one = f"/clicktocall/{api.create()['id']}"
    first = api.get(one).json["revision"]
    assert api.get(one).json["revision"] == first
    assert api.patch(one, {"throttle": 1}).json["revision"] != first


# --- lists


def names(answer: Any) -> list[str]:
    return [row["name"] for row in answer.json["data"]]


def test_a_list_is_newest_first_unless_asked_otherwise(api: Api) -> None:
    for name in "abc":
        api.create(name=name)
    assert names(api.get("/clicktocall")) == ["c", "b", "a"]
    assert names(api.get("/clicktocall?ascending=true")) == ["a", "b", "c"]


def test_a_list_is_walked_by_its_keys(api: Api) -> None:
    for number in range(7):
        api.create(name=str(number))
    seen: list[str] = []
    key = None
    for _ in range(10):
        answer = api.get(
            "/clicktocall", params={"page_size": 3} | ({"start_key": key} if key else {})
        )
        seen += names(answer)
        assert answer.json["page_size"] == len(answer.json["data"])
        key = answer.json.get("next_start_key")
        if key is None:
            break
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]


def test_fifty_a_page_unless_asked_otherwise(api: Api) -> None:
    for number in range(51):
        api.store.create_clicktocall(api.account["id"], GOOD | {"name": str(number)})
    first = api.get("/clicktocall")
    assert len(first.json["data"]) == 50 and first.json["next_start_key"]
    whole = api.get("/clicktocall?paginate=false")
    assert len(whole.json["data"]) == 51 and "next_start_key" not in whole.json


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("filter_name=b", ["b"]),
        ("filter_name=B", []),
        ("filter_extension=100", ["c", "b", "a"]),
        ("filter_throttle=2", ["b"]),
        ("filter_auth_required=true", ["c"]),
        ("filter_auth_required=false", ["b", "a"]),
        ("filter_realm=acme.example", ["c", "b", "a"]),
        ("filter_media.ignore_early_media=true", ["a"]),
        ("filter_media=true", []),
        ("filter_nothing=1", []),
        ("filter_name=b&filter_throttle=2", ["b"]),
        ("filter_name=b&filter_throttle=3", []),
        ("filter_=x", ["c", "b", "a"]),
        ("filter_name=%27%20OR%201%3D1", []),
        ("filter_id=%20", []),
    ],
)
def test_a_list_is_filtered_by_any_field(api: Api, query: str, expected: list[str]) -> None:
    api.create(name="a", media={"ignore_early_media": True})
    api.create(name="b", throttle=2)
    api.create(name="c", auth_required=True)
    assert names(api.get(f"/clicktocall?{query}")) == expected


@pytest.mark.parametrize(
    "query",
    [
        "page_size=0",
        "page_size=-1",
        "page_size=x",
        "page_size=1e3",
        "page_size=%C2%B2",
        "page_size=99999999999999999999",
        "start_key=x",
        "start_key=%FF%FE",
        "start_key=bmFufHg",
        "start_key=aW5mfHg",
        "start_key=MS4wfAA",
        "created_from=x",
        "created_to=-5",
    ],
)
def test_a_list_parameter_that_makes_no_sense_is_named(api: Api, query: str) -> None:
    for path in ("/clicktocall", "/cdrs", f"/clicktocall/{api.create()['id']}/history"):
        answer = api.get(f"{path}?{query}")
        assert answer.status_code == 400, path
        assert list(answer.json["data"]) == [query.partition("=")[0]]


def test_a_list_is_cut_by_time_in_gregorian_seconds(api: Api) -> None:
    api.create(name="now")
    middle = 62167219200 + 4102444800
    assert names(api.get(f"/clicktocall?created_to={middle}")) == ["now"]
    assert names(api.get(f"/clicktocall?created_from={middle}")) == []


def test_a_day_or_a_limit_that_is_misspelt_is_named(api: Api) -> None:
    one = f"/clicktocall/{api.create()['id']}"
    answer = api.patch(one, {"hours": {"mon": ["09:00-17:00"]}, "limits": {"per_adress": 1}})
    assert answer.status_code == 400
    assert set(answer.json["data"]) == {"hours.mon", "limits.per_adress"}
    told = answer.json["data"]["hours.mon"]["additionalProperties"]
    assert told["cause"] == ["09:00-17:00"] and "monday" in told["message"]
    good = {"hours": {"monday": ["09:00-17:00"]}, "limits": {"per_address": 1}}
    assert api.patch(one, good).status_code == 200
    assert api.patch(one, {"hours": {"mon": None}}).status_code == 200
