"""What Kazoo's clients are used to, clause by clause: tunnels, Basic, filters, keys, CSV, pretty printing, conditions."""

import base64
import csv
import hashlib
import io
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from c2c_sip.api import conditions
from tests.unit.conftest import Api, FakeCalling
from tests.unit.test_api_records import GREGORIAN, activation, leg

GOOD: dict[str, Any] = {"name": "Sales", "extension": "100"}
MD5 = hashlib.md5(b"jo:secret").hexdigest()
SHA = hashlib.sha1(b"jo:secret").hexdigest()


def names(answer: Any) -> list[str]:
    return [row["name"] for row in answer.json["data"]]


# --- a verb inside a POST


def in_the_query(verb: str) -> dict[str, Any]:
    return {"params": {"verb": verb}, "json": {"data": GOOD}}


def in_the_envelope(verb: str) -> dict[str, Any]:
    return {"json": {"data": GOOD, "verb": verb}}


@pytest.mark.parametrize("tunnelled", [in_the_query, in_the_envelope])
@pytest.mark.parametrize("spelt", [str.upper, str.lower])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_post_stands_for_the_verb_that_it_names(
    api: Api,
    version: str,
    tunnelled: Callable[[str], dict[str, Any]],
    spelt: Callable[[str], str],
) -> None:
    api.version = version
    made = api.request("POST", "/clicktocall", **tunnelled(spelt("PUT")))
    assert made.status_code == (201 if version == "v2" else 200)
    one = f"/clicktocall/{made.json['data']['id']}"
    assert api.request("POST", one, **tunnelled(spelt("PATCH"))).json["data"]["name"] == "Sales"
    assert api.request("POST", one, **tunnelled(spelt("GET"))).json["data"]["extension"] == "100"
    assert api.request("POST", one, **tunnelled(spelt("DELETE"))).status_code == 200
    assert api.get(one).status_code == 404


def test_a_tunnelled_verb_is_refused_where_it_would_be_by_itself(api: Api) -> None:
    answer = api.request("POST", "/clicktocall", **in_the_query("DELETE"))
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "PUT", "OPTIONS"}
    assert api.request("POST", "/clicktocall", token=None, **in_the_query("PUT")).status_code == 401


@pytest.mark.parametrize("verb", ["TRACE", "HEAD", " ", "x" * 500])
def test_a_verb_that_is_none_is_named(api: Api, verb: str) -> None:
    answer = api.request("POST", "/clicktocall", **in_the_query(verb))
    assert answer.status_code == 400
    assert list(answer.json["data"]) == ["verb"]
    assert api.post("/clicktocall", GOOD, params={"verb": verb}).status_code == 400


@pytest.mark.parametrize("verb", [5, [], {"a": 1}, True])
def test_a_verb_in_the_envelope_that_is_no_text_is_named(api: Api, verb: Any) -> None:
    answer = api.request("POST", "/clicktocall", json={"data": GOOD, "verb": verb})
    assert answer.status_code == 400
    assert list(answer.json["data"]) == ["verb"]


def test_only_a_post_is_a_tunnel(api: Api) -> None:
    one = f"/clicktocall/{api.create()['id']}"
    for method in ("GET", "PATCH"):
        answer = api.request(method, one, params={"verb": "DELETE"}, json={"data": {}})
        assert answer.status_code == 200
    assert api.get(one).status_code == 200


def test_a_tunnel_does_not_hide_that_the_body_is_unreadable(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b'{"verb": "delete"', b"[]", b"\xff"):
        answer = api.request("POST", "/clicktocall/x", body=body, headers=headers)
        assert answer.status_code == 404
    one = f"/clicktocall/{api.create()['id']}"
    assert api.request("POST", one, body=b'{"verb": "delete"', headers=headers).status_code == 400


# --- Basic


def basic(text: str, scheme: str = "Basic") -> dict[str, str]:
    return {"Authorization": f"{scheme} {base64.b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize("proof", [MD5, MD5.upper(), SHA])
@pytest.mark.parametrize("scheme", ["Basic", "basic"])
def test_an_account_and_a_user_s_hash_are_enough(api: Api, proof: str, scheme: str) -> None:
    headers = basic(f"{api.account['id']}:{proof}", scheme)
    answer = api.get("/clicktocall", token=None, headers=headers)
    assert answer.status_code == 200
    assert "auth_token" not in answer.json


@pytest.mark.parametrize(
    "text",
    [
        "{id}:" + "0" * 32,
        "{id}:secret",
        "{id}:",
        "{id}",
        ":" + MD5,
        "0" * 32 + ":" + MD5,
        "acme.example:" + MD5,
        "{id}:" + MD5 + ":",
        "{id}:" + "a" * 5000,
        "\0:\0",
    ],
)
def test_wrong_basic_credentials_are_401(api: Api, text: str) -> None:
    headers = basic(text.replace("{id}", api.account["id"]))
    assert api.get("/clicktocall", token=None, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "value", ["Basic", "Basic ", "Basic !!!", "Basic /w==", "Basic YQ", "Digest x"]
)
def test_basic_that_cannot_be_read_is_401(api: Api, value: str) -> None:
    answer = api.get("/clicktocall", token=None, headers={"Authorization": value})
    assert answer.status_code == 401


def test_a_401_says_how_to_authenticate(api: Api) -> None:
    answer = api.get("/clicktocall", token=None)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_with_basic_there_is_no_token_to_look_at(api: Api) -> None:
    headers = basic(f"{api.account['id']}:{MD5}")
    for method in ("GET", "DELETE"):
        answer = api.request(method, "/v1/token_auth", token=None, headers=headers)
        assert answer.status_code == 404


def test_basic_reaches_down_the_tree_and_not_up(api: Api) -> None:
    child = api.put("", {"name": "Child"}).json["data"]
    down = basic(f"{api.account['id']}:{MD5}")
    proof = hashlib.md5(f"{child['username']}:{child['password']}".encode()).hexdigest()
    up = basic(f"{child['id']}:{proof}")
    where = f"/v1/accounts/{child['id']}"
    assert api.get(where, token=None, headers=down).status_code == 200
    assert api.get(where, token=None, headers=up).status_code == 200
    assert api.get("", token=None, headers=up).status_code == 404


def test_a_user_signs_in_with_the_account_s_id(api: Api) -> None:
    data = {"account_id": api.account["id"], "credentials": MD5}
    answer = api.request("PUT", "/v2/user_auth", json={"data": data}, token=None)
    assert answer.status_code == 201
    data = {"account_id": api.account["id"], "credentials": SHA, "method": "sha1"}
    assert api.request("PUT", "/v2/user_auth", json={"data": data}).status_code == 201
    data = {"account_id": "0" * 32, "credentials": MD5}
    assert api.request("PUT", "/v2/user_auth", json={"data": data}).status_code == 401


# --- filters


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("filter_not_name=b", "ca"),
        ("filter_not_note=n", "cb"),
        ("filter_note=n", "a"),
        ("has_key=note", "a"),
        ("key_missing=note", "cb"),
        ("has_key=media.x", "b"),
        ("has_key=media.x.y", ""),
        ("has_value=tags", "c"),
        ("missing_value=tags", "ba"),
        ("has_key=tags", "cb"),
        ("has_value=throttle", "cba"),
        ("filter_name=a&has_key=note", "a"),
        ("filter_name=b&has_key=note", ""),
        ("filter_name=a&filter_name=b", ""),
        ("filter_not_name=a&filter_not_name=b", "c"),
        ("filter_city=K%C3%B6ln%20%22x%22%25_", "c"),
        ("filter_city=K%25", ""),
        ("filter_tags=%5B%22x%22%5D", "c"),
        ("has_key=", "cba"),
    ],
)
def test_kazoo_s_filters_look_into_documents(api: Api, query: str, expected: str) -> None:
    api.create(name="a", note="n")
    api.create(name="b", media={"x": 1}, tags=[])
    api.create(name="c", tags=["x"], city='Köln "x"%_')
    assert "".join(names(api.get(f"/clicktocall?{query}"))) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("filter_not_result=error", [3, 1]),
        ("filter_not_cause=USER_BUSY", [3, 2, 1]),
        ("has_key=cause", [0]),
        ("key_missing=cause", [3, 2, 1]),
        ("has_value=cause", [0]),
        ("missing_value=cause", [3, 2, 1]),
        ("has_key=nothing", []),
        ("key_missing=nothing", [3, 2, 1, 0]),
        ("filter_not_nothing=1", [3, 2, 1, 0]),
        (f"filter_timestamp={GREGORIAN + 1002}", [2]),
        ("filter_unix_timestamp=1002", [2]),
        ("filter_iso_8601=1970-01-01T00:16:42Z", [2]),
        ("filter_iso_8601=yesterday", []),
        ("filter_timestamp=x", []),
        ("filter_second=1002", [2]),
        ("filter_duration_seconds=3", [3]),
        (f"modified_from={GREGORIAN + 1013}", [3]),
        (f"modified_to={GREGORIAN + 1011}", [1, 0]),
    ],
)
def test_kazoo_s_filters_look_into_the_history(api: Api, query: str, expected: list[int]) -> None:
    made = api.create()
    for number in range(4):
        activation(
            api,
            made["id"],
            1000.7 + number,
            result="success" if number % 2 else "error",
            cause=None if number else "USER_BUSY",
            duration_seconds=number,
            ended=1010.7 + number,
        )
    rows = api.get(f"/clicktocall/{made['id']}/history?{query}").json["data"]
    assert [row["unix_timestamp"] - 1000 for row in rows] == expected


def test_cdrs_can_be_asked_for_by_what_was_not(api: Api) -> None:
    row = activation(api, api.create()["id"], 1000.0)
    leg(api, row["id"], cause="USER_BUSY", created=1000.5)
    leg(api, row["id"], created=1001.5)
    for query, expected in (
        ("filter_not_hangup_cause=USER_BUSY", [1001]),
        ("key_missing=hangup_cause", [1001]),
        ("has_key=hangup_cause", [1000]),
        ("filter_iso_8601=1970-01-01T00:16:40Z", [1000]),
    ):
        rows = api.get(f"/cdrs?{query}").json["data"]
        assert [found["unix_timestamp"] for found in rows] == expected, query


def test_a_time_that_was_shown_finds_what_it_was_shown_with(api: Api) -> None:
    made = api.create()
    activation(api, made["id"], 1000.9)
    history = f"/clicktocall/{made['id']}/history"
    shown = api.get(history).json["data"][0]["timestamp"]
    assert len(api.get(f"{history}?created_from={shown}&created_to={shown}").json["data"]) == 1
    assert len(api.get(f"{history}?created_to={shown - 1}").json["data"]) == 0
    assert len(api.get(f"{history}?created_from={shown + 1}").json["data"]) == 0


def test_documents_are_cut_by_when_they_were_changed(api: Api) -> None:
    api.create(name="x")
    future = GREGORIAN + 4102444800
    assert names(api.get(f"/clicktocall?modified_to={future}")) == ["x"]
    assert names(api.get(f"/clicktocall?modified_from={future}")) == []
    assert api.get("/clicktocall?modified_from=x").status_code == 400


def test_filters_are_bounded(api: Api) -> None:
    query = "&".join(f"filter_x{n}=1" for n in range(21))
    assert api.get(f"/clicktocall?{query}").status_code == 400


def test_a_filtered_list_is_walked_to_its_end_through_what_does_not_match(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("c2c_sip.api.listing.CHUNK", 3)
    wanted = []
    for number in range(25):
        api.create(name=str(number), throttle=number % 5)
        if number % 5 == 0:
            wanted.append(str(number))
    seen: list[str] = []
    query = "filter_throttle=0&page_size=2"
    key = ""
    for _ in range(5):
        answer = api.get(f"/clicktocall?{query}{key}")
        seen += names(answer)
        if "next_start_key" not in answer.json:
            break
        key = f"&start_key={answer.json['next_start_key']}"
    assert seen == wanted[::-1]


# --- pages


def test_each_page_says_how_to_come_back_to_it(api: Api) -> None:
    for number in range(5):
        api.create(name=str(number))
    first = api.get("/clicktocall?page_size=2").json
    second = api.get(f"/clicktocall?page_size=2&start_key={first['next_start_key']}").json
    for page in (first, second):
        assert page["page_size"] == 2
        assert "|" not in page["start_key"]
        again = api.get(f"/clicktocall?page_size=2&start_key={page['start_key']}").json
        assert again["data"] == page["data"]
    assert "start_key" not in api.get("/clicktocall?filter_name=none").json


def test_ascending_is_asked_for_in_either_way(api: Api) -> None:
    for name in "ab":
        api.create(name=name)
    assert names(api.get("/clicktocall?descending=false")) == ["a", "b"]
    assert names(api.get("/clicktocall?descending=true")) == ["b", "a"]
    assert names(api.get("/clicktocall?ascending=false")) == ["b", "a"]


def test_a_list_that_is_cut_off_says_so_even_without_pages(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("c2c_sip.api.listing.WHOLE", 2)
    for name in "abc":
        api.create(name=name)
    page = api.get("/clicktocall?paginate=false").json
    assert [row["name"] for row in page["data"]] == ["c", "b"]
    rest = api.get(f"/clicktocall?paginate=false&start_key={page['next_start_key']}")
    assert names(rest) == ["a"]


# --- how answers look


@pytest.mark.parametrize(
    "more", [{"headers": {"X-Pretty-Print": "true"}}, {"params": {"pretty_print": "true"}}]
)
def test_json_is_made_pretty_when_asked(api: Api, more: dict[str, Any]) -> None:
    plain, pretty = api.get("/clicktocall"), api.get("/clicktocall", **more)
    assert "\n" not in plain.text
    assert '\n  "data": []' in pretty.text
    assert pretty.json["data"] == plain.json["data"]
    assert "\n" in api.get("/clicktocall/x", **more).text


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"Accept": "text/csv"}},
        {"headers": {"Accept": "text/csv, application/json;q=0.5"}},
        {"params": {"accept": "text/csv"}},
        {"params": {"accept": "csv"}},
    ],
)
def test_history_and_cdrs_can_be_had_as_csv(api: Api, more: dict[str, Any]) -> None:
    made = api.create()
    row = activation(api, made["id"], 1000.0, cause="USER_BUSY", sip_status=486)
    leg(api, row["id"], to_uri='sip:"a,b"@x')
    answer = api.get(f"/clicktocall/{made['id']}/history", **more)
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    assert "Accept" in answer.headers["vary"]
    (found,) = csv.DictReader(io.StringIO(answer.text))
    assert found["id"] == row["id"] and found["contact"] == "+14155550100"
    assert (found["cause"], found["sip_status"], found["call_id"]) == ("USER_BUSY", "486", "")
    (dialled,) = csv.DictReader(io.StringIO(api.get("/cdrs", **more).text))
    assert dialled["to"] == 'sip:"a,b"@x' and dialled["answered"] == "false"


def test_csv_can_be_asked_for_in_a_tunnelled_envelope(api: Api) -> None:
    answer = api.request("POST", "/cdrs", json={"verb": "GET", "accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/json, text/csv", "x", "", "text/html"]
)
def test_whoever_does_not_ask_for_csv_gets_json(api: Api, accept: str) -> None:
    answer = api.get("/cdrs", headers={"Accept": accept})
    assert answer.json["data"] == []
    assert "Accept" in answer.headers["vary"]


def test_an_error_is_json_also_for_those_who_wanted_csv(api: Api) -> None:
    answer = api.get("/clicktocall/x/history", headers={"Accept": "text/csv"})
    assert answer.status_code == 404 and answer.json["message"] == "not_found"


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("calls", "calls.csv"),
        ("calls.csv", "calls.csv"),
        ('a"; x="b', "a___x__b.csv"),
        ("../../etc/passwd", "_.._etc_passwd.csv"),
        ("...", "list.csv"),
        ("x" * 500, "x" * 100 + ".csv"),
        ("", "list.csv"),
    ],
)
def test_the_file_s_name_is_the_client_s_as_far_as_it_is_harmless(
    api: Api, wanted: str, name: str
) -> None:
    for more in ({"headers": {"X-File-Name": wanted}}, {"params": {"file_name": wanted}}):
        headers = {"Accept": "text/csv"} | more.get("headers", {})
        answer = api.get("/cdrs", headers=headers, params=more.get("params", {}))
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


def test_a_spreadsheet_finds_no_formula_in_the_csv(api: Api) -> None:
    row = activation(api, api.create()["id"], 1000.0)
    texts = ('=HYPERLINK("x")', "@SUM(1)", "-1+2", "+49301234", "-5", "＝1+1", "＠SUM(1)")
    for number, text in enumerate(texts):
        leg(api, row["id"], from_uri=text, created=float(number))
    answer = api.get("/cdrs?ascending=true", headers={"Accept": "text/csv"})
    cells = [found["from"] for found in csv.DictReader(io.StringIO(answer.text))]
    assert cells == [
        "'" + text if text[0] in "=@＝＠" or text == "-1+2" else text for text in texts
    ]


def test_csv_comes_whole_unless_pages_are_asked_for_and_says_where_more_is(api: Api) -> None:
    row = activation(api, api.create()["id"], 1000.0)
    for number in range(60):
        leg(api, row["id"], created=float(number))
    accept = {"Accept": "text/csv"}
    assert len(api.get("/cdrs", headers=accept).text.splitlines()) == 61
    seen = 0
    query = "?page_size=25"
    for _ in range(4):
        answer = api.get(f"/cdrs{query}", headers=accept)
        seen += len(answer.text.splitlines()) - 1
        link = answer.headers.get("link")
        if link is None:
            break
        assert link.startswith("<?") and link.endswith('>; rel="next"')
        query = link[1:].partition(">")[0]
    assert seen == 60


# --- HTTP's own


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/api_key",
        "/clicktocall",
        "/clicktocall/{id}",
        "/clicktocall/{id}/history",
        "/cdrs",
        "/channels",
    ],
)
def test_head_says_what_get_would_and_options_what_may_be_asked(api: Api, path: str) -> None:
    where = path.format(id=api.create()["id"])
    got, head = api.get(where), api.request("HEAD", where)
    assert head.status_code == 200 and head.content == b""
    same = ("content-type", "content-length", "cache-control", "etag")
    for name in set(same) - {"content-length"}:
        assert head.headers.get(name) == got.headers.get(name), name
    options = api.request("OPTIONS", where, token=None)
    assert options.status_code == 200
    assert {"GET", "HEAD", "OPTIONS"} <= set(options.headers["allow"].split(", ")) | {"OPTIONS"}


@pytest.mark.parametrize("path", ["", "/clicktocall", "/cdrs", "/clicktocall/{id}/connect/x"])
def test_nothing_of_it_is_for_a_cache(api: Api, path: str) -> None:
    answer = api.get(path.format(id=api.create()["id"]))
    assert answer.headers["cache-control"] == "no-store"


# --- two editors


def test_a_document_s_tag_changes_with_it(api: Api) -> None:
    made = api.put("/clicktocall", GOOD)
    one = f"/clicktocall/{made.json['data']['id']}"
    first = api.get(one).headers["etag"]
    assert first == made.headers["etag"] == api.request("HEAD", one).headers["etag"]
    assert api.patch(one, {"throttle": 1}).headers["etag"] != first
    assert api.get("").headers["etag"] != api.patch("", {"x": 1}).headers["etag"]


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("clicktocall", "POST"),
        ("clicktocall", "PATCH"),
        ("clicktocall", "DELETE"),
        ("account", "POST"),
        ("account", "PATCH"),
    ],
)
def test_of_two_editors_the_second_is_told(api: Api, kind: str, method: str) -> None:
    path = f"/clicktocall/{api.create()['id']}" if kind == "clicktocall" else ""
    tag = api.get(path).headers["etag"]
    assert api.patch(path, {"a": 1}, headers={"If-Match": tag}).status_code == 200
    late = api.request(
        method, path, json={"data": GOOD | {"realm": "acme.example"}}, headers={"If-Match": tag}
    )
    assert late.status_code == 412
    assert late.json["message"] == "precondition_failed"
    assert late.json["data"]["revision"] == "2"
    assert api.get(path).json["data"]["a"] == 1
    tag = api.get(path).headers["etag"]
    more = {"json": {"data": GOOD | {"realm": "acme.example"}}, "headers": {"If-Match": tag}}
    assert api.request(method, path, **more).status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("*", 200),
        ('"1.x"', 200),
        ('W/"1.x"', 200),
        ('"7.x", "1.x"', 200),
        ('"2.x"', 412),
        ('"11.x"', 412),
        ("1", 412),
        ("", 412),
        ("nonsense", 412),
        ('"', 412),
    ],
)
def test_if_match_is_read_as_it_is_written(api: Api, header: str, status: int) -> None:
    one = f"/clicktocall/{api.create()['id']}"
    answer = api.patch(one, {"a": 1}, headers={"If-Match": header})
    assert answer.status_code == status


def test_a_call_in_between_is_no_other_s_edit(api: Api) -> None:
    one = f"/clicktocall/{api.create()['id']}"
    tag = api.get(one).headers["etag"]
    api.post(f"{one}/connect", {"contact": "+14155550100"})
    assert api.get(one).headers["etag"] != tag
    assert api.patch(one, {"a": 1}, headers={"If-Match": tag}).status_code == 200


def test_what_is_known_already_is_not_sent_again(api: Api) -> None:
    one = f"/clicktocall/{api.create()['id']}"
    tag = api.get(one).headers["etag"]
    for header in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = api.get(one, headers={"If-None-Match": header})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    assert api.get(one, headers={"If-None-Match": '"x"'}).status_code == 200
    api.post(f"{one}/connect", {"contact": "+14155550100"})
    assert api.get(one, headers={"If-None-Match": tag}).json["data"]["history_items"] == 1


def test_two_patches_at_the_same_time_both_take_effect(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = api.create()["id"]
    one = f"/clicktocall/{identifier}"
    update = api.store.update_clicktocall
    first = threading.Event()

    def other_first(*arguments: Any) -> Any:
        if not first.is_set():
            first.set()
            assert api.patch(one, {"a": 1}).status_code == 200
        return update(*arguments)

    monkeypatch.setattr(api.store, "update_clicktocall", other_first)
    assert api.patch(one, {"b": 2}).status_code == 200
    data = api.get(one).json["data"]
    assert (data["a"], data["b"]) == (1, 2)


def test_an_edit_that_is_always_overtaken_ends(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    one = f"/clicktocall/{api.create()['id']}"
    tries = []
    monkeypatch.setattr(api.store, "update_clicktocall", lambda *arguments: tries.append(arguments))
    assert api.patch(one, {"b": 2}).status_code == 409
    assert len(tries) == conditions.ATTEMPTS


def test_what_was_deleted_by_another_in_between_is_404(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = f"/clicktocall/{api.create()['id']}"
    update = api.store.update_clicktocall

    def gone_first(*arguments: Any) -> Any:
        assert api.delete(one).status_code in (200, 404)
        return update(*arguments)

    monkeypatch.setattr(api.store, "update_clicktocall", gone_first)
    assert api.patch(one, {"b": 2}).status_code == 404


# --- the two versions


def test_both_versions_are_the_same_but_for_three_codes(api: Api, calling: FakeCalling) -> None:
    def walk(version: str) -> tuple[list[int], list[Any]]:
        api.version = version
        made = api.put("/clicktocall", GOOD)
        one = f"/clicktocall/{made.json['data']['id']}"
        answers = [
            made,
            api.get("/clicktocall"),
            api.get(one),
            api.post(one, GOOD),
            api.patch(one, {"x": 1}),
            api.post(f"{one}/connect", {"contact": "+14155550100"}),
            api.get(f"{one}/history"),
            api.delete(one),
            api.get(one),
        ]
        shapes = [sorted(a.json) + sorted(json.dumps(a.json["data"])[:1]) for a in answers]
        return [a.status_code for a in answers], shapes

    first, second = walk("v1"), walk("v2")
    assert first[1] == second[1]
    assert first[0] == [200, 200, 200, 200, 200, 200, 200, 200, 404]
    assert second[0] == [201, 200, 200, 200, 200, 202, 200, 200, 404]
