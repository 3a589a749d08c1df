"""What every request and answer has: the envelope, the body's limits, errors, access, HTTP's own verbs."""

import hashlib
import json
import logging
import re
from typing import Any

import peewee as pw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c2c_sip.api import envelope
from c2c_sip.store import StoreError
from tests.unit.conftest import Api, FakeCalling

JSON = {"Content-Type": "application/json"}
GOOD = {"name": "Sales", "extension": "100"}


def raw(api: Api, body: bytes | str, kind: str | None = "application/json", **more: Any) -> Any:
    """PUT these octets to the click-to-calls."""
    headers = {"Content-Type": kind} if kind is not None else {}
    return api.request("PUT", "/clicktocall", body=body, headers=headers, **more)


# --- the envelope


def test_a_success_has_all_of_the_envelope(api: Api) -> None:
    answer = api.get("/clicktocall")
    envelope = answer.json
    assert answer.status_code == 200
    assert envelope["data"] == []
    assert envelope["status"] == "success"
    assert re.fullmatch(r"[0-9a-f]{32}", envelope["request_id"])
    assert envelope["auth_token"] == api.token
    assert envelope["revision"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", envelope["timestamp"])
    assert (envelope["version"], envelope["node"]) == ("9.9.9", "here")
    assert answer.headers["content-type"].startswith("application/json")


def test_an_error_has_all_of_its_envelope(api: Api) -> None:
    answer = api.get("/clicktocall/" + "0" * 32)
    assert answer.status_code == 404
    assert isinstance(answer.json["data"], dict)
    assert {k: answer.json[k] for k in ("status", "error", "message")} == {
        "status": "error",
        "error": "404",
        "message": "not_found",
    }
    assert answer.json["request_id"] == answer.headers["x-request-id"]


def test_requests_have_ids_of_their_own(api: Api) -> None:
    assert api.get("/clicktocall").json["request_id"] != api.get("/clicktocall").json["request_id"]


def test_the_revision_changes_with_the_content_and_only_then(api: Api) -> None:
    before = api.get("/clicktocall").json["revision"]
    assert api.get("/clicktocall").json["revision"] == before
    api.create()
    assert api.get("/clicktocall").json["revision"] != before


def test_a_long_list_is_not_encoded_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder gives no other thread a turn, the relay's neither."""
    for number in range(60):
        api.create(name=f"Sales {number}")
    longest = 0

    def encode(value: Any) -> str:
        nonlocal longest
        longest = max(longest, len(text := json.dumps(value)))
        return text

    monkeypatch.setattr(envelope, "_plain", encode)
    answer = api.get("/clicktocall", params={"paginate": "false"})
    assert len(answer.json["data"]) == 60
    assert 0 < longest < 500 < len(answer.text) / 10
    assert answer.text == json.dumps(answer.json)
    data = json.dumps(answer.json["data"]).encode()
    assert answer.json["revision"] == hashlib.blake2b(data, digest_size=16).hexdigest()


def test_no_answer_is_to_be_cached_or_sniffed(api: Api) -> None:
    answer = api.get("/clicktocall")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


# --- paths and verbs


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/nope", "/v3/accounts", "/v1/accounts/x/y/z", "/x"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_an_unknown_path_is_404_in_the_envelope(api: Api, method: str, path: str) -> None:
    answer = api.client.simulate_request(method, path)
    assert answer.status_code == 404
    assert answer.json["message"] == "not_found"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/clicktocall", {"GET", "HEAD", "PUT", "OPTIONS"}),
        ("/clicktocall/{id}", {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"}),
        ("/clicktocall/{id}/connect", {"GET", "POST", "OPTIONS"}),
        ("/clicktocall/{id}/history", {"GET", "HEAD", "OPTIONS"}),
        ("/cdrs", {"GET", "HEAD", "OPTIONS"}),
        ("/channels", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_another_verb_is_405_and_says_which_are_allowed(
    api: Api, path: str, allowed: set[str]
) -> None:
    where = path.format(id=api.create()["id"])
    for method in {"GET", "PUT", "POST", "PATCH", "DELETE"} - allowed:
        answer = api.request(method, where, json={"data": GOOD})
        assert answer.status_code == 405, method
        assert set(answer.headers["allow"].split(", ")) == allowed
        assert answer.json["error"] == "405"


@pytest.mark.parametrize("path", ["/clicktocall/", "/cdrs/", "/channels/", "/"])
def test_a_trailing_slash_is_the_same_path(api: Api, path: str) -> None:
    assert api.get(path).status_code == 200
    assert api.get(path).json["data"] == api.get(path.rstrip("/")).json["data"]


def test_head_is_get_without_the_body(api: Api) -> None:
    answer = api.request("HEAD", "/clicktocall")
    assert answer.status_code == 200
    assert answer.content == b""


def test_options_lists_the_verbs_and_needs_no_token(api: Api) -> None:
    answer = api.request("OPTIONS", "/clicktocall", token=None)
    assert answer.status_code == 200
    assert "PUT" in answer.headers["allow"]


# --- bodies


def test_a_body_that_is_not_json_is_415(api: Api) -> None:
    for kind in ("text/plain", "multipart/form-data", "application/xml", "é"):
        answer = raw(api, json.dumps({"data": GOOD}), kind)
        assert answer.status_code == 415, kind
        assert answer.json["error"] == "415"
    for kind in ("application/x-www-form-urlencoded", "", None):
        assert raw(api, "name=Sales&extension=100", kind).status_code == 415, kind


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "text/json"]
)
def test_json_is_known_however_its_type_is_written(api: Api, kind: str) -> None:
    assert raw(api, json.dumps({"data": GOOD}), kind).status_code == 200


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "", None])
def test_json_is_taken_from_those_who_do_not_say_what_they_send_as_in_kazoo_s_curl_examples(
    api: Api, kind: str | None
) -> None:
    envelope = json.dumps({"data": GOOD, "auth_token": api.token})
    assert raw(api, envelope, kind, token=None).status_code == 200
    assert raw(api, '{"data": ', kind).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b"[]",
        b'"data"',
        b"5",
        b"null",
        b'{"data": NaN}',
        b'{"data": {"x": Infinity}}',
        b'{"data": {"name": "a", "extension": "1", "x": 1e999}}',
        b'{"data": {"name": "a", "name": "b", "extension": "1"}}',
        b'{"data": {}, "data": {"name": "a", "extension": "1"}}',
        b'{"data": {"name": "a", "extension": "1", "x": "\\ud800"}}',
        b'{"data": {"name": "a", "extension": "1", "\\udc00": 1}}',
        b'{"data": {"name": "\xff", "extension": "1"}}',
        '{"data": {"name": "a", "extension": "1"}}'.encode("utf-16"),
        b'\xef\xbb\xbf{"data": {"name": "a", "extension": "1"}}',
        b'{"data": {"x": ' + b"9" * 5000 + b"}}",
        b'{"data": ' + b"[" * 30000 + b"]" * 30000 + b"}",
        b'{"data": ' + b'{"a":' * 9000 + b"1" + b"}" * 9000 + b"}",
        b'{"data": {"name": "a", "extension": "1", "x": ' + b"[" * 17 + b"]" * 17 + b"}}",
        b'{"data": {"name": "a\0", "extension": "1"}}',
    ],
)
def test_a_body_that_is_odd_is_400_and_keeps_nothing(api: Api, body: bytes) -> None:
    answer = raw(api, body)
    assert answer.status_code == 400
    assert answer.json["message"] == "validation error"
    assert answer.json["data"]
    assert api.get("/clicktocall").json["data"] == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"data": {"name": "a",}}', "in line 1, column"),
        (b'{"data": {"name": "a", "name": "b"}}', "a name is there twice"),
        (b'{"data": NaN}', "NaN is not JSON"),
        (b'{"data": {"name": "\xff"}}', "not UTF-8"),
    ],
)
def test_why_a_body_is_not_json_is_said(api: Api, body: bytes, why: str) -> None:
    assert why in raw(api, body).json["data"]["json"]["invalid"]["message"]


@pytest.mark.parametrize("body", [b"", b"{}", b" ", b'{"data": null}', b'{"auth_token": "x"}'])
def test_a_missing_data_is_named(api: Api, body: bytes) -> None:
    answer = raw(api, body)
    assert answer.status_code == 400
    assert "required" in answer.json["data"]["data"]


@pytest.mark.parametrize("data", [[], "x", 5, True])
def test_data_of_another_type_is_named(api: Api, data: Any) -> None:
    answer = api.put("/clicktocall", data)
    assert answer.status_code == 400
    assert answer.json["data"]["data"]["type"]["cause"] == data


def test_a_body_may_have_64_kib_and_not_an_octet_more(api: Api) -> None:
    frame = json.dumps({"data": GOOD | {"x": ""}})
    fits = frame.replace('"x": ""', '"x": "' + "y" * (64 * 1024 - len(frame)) + '"')
    assert len(fits) == 64 * 1024
    assert raw(api, fits).status_code == 200
    answer = raw(api, fits.replace('"y', '"yy', 1))
    assert answer.status_code == 413
    assert "maxLength" in answer.json["data"]["body"]


def test_a_body_that_lies_about_its_length_is_bounded_all_the_same(api: Api) -> None:
    answer = api.request(
        "PUT", "/clicktocall", body=b"x" * 200_000, headers=JSON | {"Content-Length": "10"}
    )
    assert answer.status_code == 400


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=200) | st.text(alphabet='{}[]":,\\u0d8ntrue1e+- ').map(str.encode))
def test_no_body_is_a_server_error(api: Api, body: bytes) -> None:
    assert raw(api, body).status_code in (400, 415)


# --- access


def paths(api: Api, clicktocall: str) -> list[tuple[str, str]]:
    """Every route below an account, with every verb it has."""
    one = f"/clicktocall/{clicktocall}"
    return [
        ("GET", ""),
        ("POST", ""),
        ("PATCH", ""),
        ("GET", "/api_key"),
        ("PUT", "/api_key"),
        ("GET", "/clicktocall"),
        ("PUT", "/clicktocall"),
        ("GET", one),
        ("POST", one),
        ("PATCH", one),
        ("DELETE", one),
        ("GET", f"{one}/history"),
        ("GET", f"{one}/history/{'0' * 32}"),
        ("GET", "/cdrs"),
        ("GET", f"/cdrs/{'0' * 32}"),
        ("GET", "/channels"),
        ("GET", "/channels/x"),
        ("POST", "/channels/x"),
    ]


def test_every_route_of_an_account_needs_a_token(api: Api) -> None:
    made = api.create()
    for method, path in paths(api, made["id"]):
        for token in (None, "", "0" * 64, "x" * 5000, "é"):
            answer = api.request(method, path, json={"data": GOOD}, token=token)
            assert answer.status_code == 401, (method, path, token)
            assert answer.json["message"] == "invalid_credentials"
    assert api.get(f"/clicktocall/{made['id']}").json["data"] == made


def test_every_route_of_another_account_is_404(api: Api) -> None:
    made = api.create()
    stranger = api.store.create_account("Stranger")
    token = api.store.create_token(stranger["id"], None, "test")
    for method, path in paths(api, made["id"]):
        answer = api.request(method, path, json={"data": GOOD | {"action": "hangup"}}, token=token)
        assert answer.status_code == 404, (method, path)
        assert made["id"] not in answer.text.replace(path, "")
    # Nor is it reached through an account of one's own.
    for method in ("GET", "POST", "PATCH", "DELETE"):
        where = f"/v1/accounts/{stranger['id']}/clicktocall/{made['id']}"
        assert api.request(method, where, json={"data": GOOD}, token=token).status_code == 404
    assert api.get(f"/clicktocall/{made['id']}").json["data"] == made


def test_an_account_that_is_not_there_looks_like_another_s(api: Api) -> None:
    for identifier in ("0" * 32, "x", "%00", "..", "%2e%2e", "'", "ü", "a" * 5000):
        assert api.get(f"/v1/accounts/{identifier}/clicktocall").status_code == 404


def test_a_parent_acts_for_the_accounts_below_it(api: Api) -> None:
    child = api.request("PUT", "/v1/accounts", json={"data": {"name": "Child"}}).json["data"]
    where = f"/v1/accounts/{child['id']}"
    made = api.put(f"{where}/clicktocall", GOOD).json["data"]
    assert api.get(f"{where}/clicktocall/{made['id']}").json["data"]["realm"] == child["realm"]
    token = api.store.create_token(child["id"], None, "test")
    assert api.get(where, token=token).status_code == 200
    assert api.get("", token=token).status_code == 404


@pytest.mark.parametrize(
    "place",
    [
        lambda t: {"headers": {"X-Auth-Token": t}},
        lambda t: {"headers": {"Authorization": f"Bearer {t}"}},
        lambda t: {"headers": {"Authorization": f"bearer  {t} "}},
        lambda t: {"params": {"auth_token": t}},
        lambda t: {"json": {"data": GOOD, "auth_token": t}},
    ],
)
def test_a_token_is_taken_from_any_of_its_places(api: Api, place: Any) -> None:
    more = {"json": {"data": GOOD}} | place(api.token)
    assert api.request("PUT", "/clicktocall", token=None, **more).status_code == 200
    wrong = {"json": {"data": GOOD}} | place("0" * 64)
    assert api.request("PUT", "/clicktocall", token=None, **wrong).status_code == 401


@pytest.mark.parametrize("token", [5, None, [], {"a": 1}, True])
def test_a_token_in_the_envelope_that_is_no_text_is_none(api: Api, token: Any) -> None:
    answer = api.request(
        "PUT", "/clicktocall", token=None, json={"data": GOOD, "auth_token": token}
    )
    assert answer.status_code == 401


# --- our faults


def test_a_database_that_fails_is_503_and_comes_with_when_to_try_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error in (pw.OperationalError("disk I/O error: /secret/path"), StoreError("/secret/path")):

        def fail(*arguments: Any, failure: Exception = error, **more: Any) -> Any:
            raise failure

        monkeypatch.setattr(api.store, "clicktocalls", fail)
        answer = api.get("/clicktocall")
        assert answer.status_code == 503
        assert answer.json["message"] == "datastore_fault"
        assert int(answer.headers["retry-after"]) > 0
        assert "secret" not in answer.text


def test_a_fault_of_ours_is_500_logged_with_its_trace_and_told_without(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(account_id: str) -> Any:
        raise RuntimeError("the secret of the kitchen")

    monkeypatch.setattr(api.calling, "channels", fail)
    with caplog.at_level(logging.ERROR):
        answer = api.get("/channels")
    assert answer.status_code == 500
    assert answer.json["status"] == "error" and answer.json["error"] == "500"
    assert "kitchen" not in answer.text and "Traceback" not in answer.text
    assert "the secret of the kitchen" in caplog.text


# --- who watches


def test_healthz_needs_nothing(api: Api) -> None:
    assert api.get("/healthz", token=None).status_code == 200


def test_readyz_is_200_when_calls_can_be_placed(api: Api) -> None:
    assert api.get("/readyz", token=None).status_code == 200


def test_readyz_is_429_with_when_to_try_again_when_full(api: Api, calling: FakeCalling) -> None:
    calling.state = type(calling.state)((), True)
    answer = api.get("/readyz", token=None)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_readyz_is_503_with_the_reasons(
    api: Api, calling: FakeCalling, monkeypatch: pytest.MonkeyPatch
) -> None:
    calling.state = type(calling.state)(("trunk a is not registered: 403",), False)

    def fail() -> None:
        raise StoreError("nothing was written")

    monkeypatch.setattr(api.store, "ping", fail)
    answer = api.get("/readyz", token=None)
    assert answer.status_code == 503
    reasons = answer.json["data"]["reasons"]
    assert reasons[0] == "trunk a is not registered: 403"
    assert "nothing was written" in reasons[1]


@pytest.mark.parametrize(
    "query", ["filter_contact=%00", "filter_not_id=%00", "has_key=%00", "filter_name=a%00", "x=%00"]
)
def test_nul_in_a_query_is_a_value_that_nothing_has(api: Api, query: str) -> None:
    made = api.create()
    for path in ("/clicktocall", "/cdrs", f"/clicktocall/{made['id']}/history", "/never_call"):
        assert api.get(f"{path}?{query}").status_code == 200, path
    assert api.get("/never_call?start_key=%00").status_code == 400
    assert api.get("/clicktocall?auth_token=%00", token=None).status_code == 401
