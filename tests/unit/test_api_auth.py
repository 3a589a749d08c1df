"""Signing in by user and by key, looking at a token, ending it; accounts and their keys."""

import hashlib
import json
from typing import Any

import pytest

from tests.unit.conftest import Api

MD5 = hashlib.md5(b"jo:secret").hexdigest()
SHA = hashlib.sha1(b"jo:secret").hexdigest()


def sign_in(api: Api, data: Any, resource: str = "user_auth", version: str = "v1") -> Any:
    return api.request("PUT", f"/{version}/{resource}", json={"data": data}, token=None)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    "who",
    [
        {"account_name": "Acme"},
        {"account_name": "acme"},
        {"account_realm": "acme.example"},
        {"realm": "ACME.example"},
    ],
)
@pytest.mark.parametrize(
    "proof",
    [
        {"credentials": MD5},
        {"credentials": MD5, "method": "md5"},
        {"credentials": MD5.upper(), "method": "md5"},
        {"credentials": SHA, "method": "sha"},
    ],
)
def test_a_user_signs_in(api: Api, who: Any, proof: Any, version: str) -> None:
    answer = sign_in(api, who | proof, version=version)
    assert answer.status_code == 201
    data = answer.json["data"]
    assert data["account_id"] == api.account["id"]
    assert data["owner_id"]
    assert data["account_name"] == "Acme"
    assert data["is_reseller"] is False
    token = answer.json["auth_token"]
    assert api.get("", token=token).status_code == 200


def test_the_method_may_stand_beside_data_or_in_the_query_as_kazoo_s_documentation_has_it(
    api: Api,
) -> None:
    data = {"credentials": SHA, "realm": "acme.example"}

    def status(body: Any, query: str = "") -> int:
        return api.request("PUT", f"/v2/user_auth{query}", json=body, token=None).status_code

    assert status({"data": data, "method": "sha"}) == 201
    assert status({"data": data}, "?method=sha") == 201
    assert status({"data": data}) == 401
    assert status({"data": data | {"method": "sha"}, "method": "md5"}) == 201
    answer = api.request("PUT", "/v2/user_auth", json={"data": data, "method": 5}, token=None)
    assert answer.status_code == 400 and list(answer.json["data"]) == ["method"]


@pytest.mark.parametrize("name", ["Acme & Sons, Inc.", "ACME & sons, inc.", "acmesonsinc", "Acme Sons-Inc"])  # fmt: skip
def test_an_account_s_name_is_known_by_its_letters_and_digits_as_in_kazoo(
    api: Api, name: str
) -> None:
    assert api.patch("", {"name": "Acme & Sons, Inc."}).status_code == 200
    assert sign_in(api, {"credentials": MD5, "account_name": name}).status_code == 201
    for other in ("Acme", "acme sons", "&", "acmesonsinc%"[:-1] + "x"):
        assert sign_in(api, {"credentials": MD5, "account_name": other}).status_code == 401
    api.store.create_account("Acme Sons Inc", realm="second.example")
    known = sign_in(api, {"credentials": MD5, "account_name": "Acme & Sons, Inc."})
    assert known.status_code == 201
    # Two have these letters: neither is meant.
    assert sign_in(api, {"credentials": MD5, "account_name": "acmesonsinc"}).status_code == 401


@pytest.mark.parametrize(
    "data",
    [
        {"credentials": "0" * 32, "realm": "acme.example"},
        {"credentials": MD5, "method": "sha", "realm": "acme.example"},
        {"credentials": SHA, "method": "md5", "realm": "acme.example"},
        {"credentials": SHA, "realm": "acme.example"},
        {"credentials": "secret", "realm": "acme.example"},
        {"credentials": MD5, "realm": "other.example"},
        {"credentials": MD5, "account_name": "Other"},
        {"credentials": MD5, "account_name": "Ac%"},
        {"credentials": MD5, "account_name": "Acme\0"},
        {"credentials": "\0" * 32, "realm": "acme.example"},
    ],
)
def test_wrong_credentials_are_401_whatever_is_wrong(api: Api, data: Any) -> None:
    answer = sign_in(api, data)
    assert answer.status_code == 401
    assert answer.json["message"] == "invalid_credentials"
    assert "auth_token" not in answer.json


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "credentials"),
        ({"credentials": MD5}, "account_name"),
        ({"credentials": MD5, "account_name": ""}, "account_name"),
        ({"credentials": MD5, "account_name": None}, "account_name"),
        ({"credentials": 5, "realm": "acme.example"}, "credentials"),
        ({"credentials": MD5, "realm": ["acme.example"]}, "realm"),
        ({"credentials": MD5, "realm": "acme.example", "method": "plain"}, "method"),
        ({"credentials": "0" * 65, "realm": "acme.example"}, "credentials"),
    ],
)
def test_a_sign_in_that_is_not_whole_is_400_with_the_field(api: Api, data: Any, field: str) -> None:
    answer = sign_in(api, data)
    assert answer.status_code == 400
    assert field in answer.json["data"]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_key_signs_in(api: Api, version: str) -> None:
    answer = sign_in(api, {"api_key": api.account["api_key"]}, "api_auth", version)
    assert answer.status_code == 201
    assert answer.json["data"]["account_id"] == api.account["id"]
    assert answer.json["data"]["owner_id"] is None
    assert api.get("", token=answer.json["auth_token"]).status_code == 200


def test_a_wrong_key_is_401(api: Api) -> None:
    right = api.account["api_key"]
    for wrong in (
        "0" * 64,
        right[:16] + "0" * 48,
        "0" * 16 + right[16:],
        "x",
        right[:16],
        "\0" * 64,
    ):
        assert sign_in(api, {"api_key": wrong}, "api_auth").status_code == 401, wrong


@pytest.mark.parametrize("data", [{}, {"api_key": None}, {"api_key": 5}, {"api_key": []}])
def test_a_key_that_is_none_is_400(api: Api, data: Any) -> None:
    answer = sign_in(api, data, "api_auth")
    assert answer.status_code == 400
    assert "api_key" in answer.json["data"]


def test_a_sign_in_is_put_only(api: Api) -> None:
    for resource in ("user_auth", "api_auth"):
        for method in ("GET", "POST", "DELETE"):
            answer = api.request(method, f"/v1/{resource}", token=None)
            assert answer.status_code == 405
            assert "PUT" in answer.headers["allow"]


def test_a_token_can_be_looked_at(api: Api) -> None:
    token = sign_in(api, {"credentials": MD5, "realm": "acme.example"}).json["auth_token"]
    data = api.get("/v1/token_auth", token=token).json["data"]
    assert data["account_id"] == api.account["id"]
    assert data["method"] == "user_auth"
    assert data["expires"] > data["created"]


@pytest.mark.parametrize("place", ["header", "query", "envelope"])
def test_a_token_can_be_revoked_from_wherever_it_came(api: Api, place: str) -> None:
    more: dict[str, Any] = {
        "header": {"headers": {"X-Auth-Token": api.token}},
        "query": {"params": {"auth_token": api.token}},
        "envelope": {"json": {"auth_token": api.token}},
    }[place]
    answer = api.request("DELETE", "/v1/token_auth", token=None, **more)
    assert answer.status_code == 200
    assert "auth_token" not in answer.json
    assert api.get("").status_code == 401
    assert api.get("/v1/token_auth").status_code == 401


def test_token_auth_needs_a_token(api: Api) -> None:
    for method in ("GET", "DELETE"):
        assert api.request(method, "/v1/token_auth", token=None).status_code == 401


# --- accounts


def test_an_account_is_shown_without_its_secrets(api: Api) -> None:
    answer = api.get("")
    assert answer.json["data"] == {
        "id": api.account["id"],
        "name": "Acme",
        "realm": "acme.example",
        "parent_id": None,
    }
    assert api.account["api_key"] not in answer.text


def test_post_replaces_an_account_s_document_and_patch_merges_into_it(api: Api) -> None:
    api.post("", {"name": "One", "realm": "one.example", "a": 1, "b": {"c": 1, "d": 2}})
    patched = api.patch("", {"a": None, "b": {"c": None, "e": 3}}).json["data"]
    assert patched["name"] == "One"
    assert "a" not in patched
    assert patched["b"] == {"d": 2, "e": 3}
    replaced = api.post("", {"name": "Two"}).json["data"]
    assert "b" not in replaced
    assert replaced["realm"] == "one.example"


def test_what_is_ours_to_say_of_an_account_cannot_be_changed(api: Api) -> None:
    mine = {"id": "0" * 32, "parent_id": "1" * 32, "revision": 99}
    for answer in (api.post("", mine | {"name": "New"}), api.patch("", mine)):
        assert answer.json["data"]["id"] == api.account["id"]
        assert answer.json["data"]["parent_id"] is None
        assert "revision" not in answer.json["data"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x\r\ny"}, "name"),
        ({"name": "x", "realm": "a b"}, "realm"),
        ({"name": "x", "realm": None}, "realm"),
        ({"name": "x", "realm": 5}, "realm"),
    ],
)
def test_a_wrong_account_document_is_400_with_the_field(api: Api, data: Any, field: str) -> None:
    answer = api.post("", data)
    assert answer.status_code == 400
    assert list(answer.json["data"]) == [field]


def test_a_realm_in_use_is_named_as_such(api: Api) -> None:
    api.store.create_account("Other", realm="other.example")
    for answer in (
        api.patch("", {"realm": "OTHER.example"}),
        api.request("PUT", "/v1/accounts", json={"data": {"name": "C", "realm": "other.example"}}),
    ):
        assert answer.status_code == 409
        assert answer.json["message"] == "validation error"
        assert "unique" in answer.json["data"]["realm"]


def test_a_realm_that_is_taken_away_stays_as_it_was(api: Api) -> None:
    assert api.patch("", {"realm": None}).json["data"]["realm"] == "acme.example"


def test_a_child_account_is_made_below_the_token_s(api: Api) -> None:
    answer = api.request("PUT", "/v1/accounts", json={"data": {"name": "Child", "x": [1]}})
    assert answer.status_code == 201
    child = answer.json["data"]
    assert child["parent_id"] == api.account["id"]
    assert child["x"] == [1]
    assert sign_in(api, {"api_key": child["api_key"]}, "api_auth").status_code == 201
    shown = api.get(f"/v1/accounts/{child['id']}")
    assert shown.json["data"] == {k: child[k] for k in ("id", "name", "realm", "parent_id", "x")}
    assert child["api_key"] not in shown.text


def test_children_need_a_token(api: Api) -> None:
    answer = api.request("PUT", "/v1/accounts", json={"data": {"name": "x"}}, token=None)
    assert answer.status_code == 401


def test_a_key_is_shown_once_and_replaced_by_put(api: Api) -> None:
    assert api.get("/api_key").json["data"] == {"api_key_id": api.account["api_key"][:16]}
    new = api.request("PUT", "/api_key").json["data"]
    assert len(new["api_key"]) == 64
    assert api.get("/api_key").json["data"] == {"api_key_id": new["api_key"][:16]}
    assert sign_in(api, {"api_key": new["api_key"]}, "api_auth").status_code == 201
    assert sign_in(api, {"api_key": api.account["api_key"]}, "api_auth").status_code == 401


def test_no_answer_to_a_sign_in_repeats_what_was_sent(api: Api) -> None:
    answer = sign_in(api, {"credentials": MD5, "realm": "acme.example", "more": "canary"})
    assert MD5 not in answer.text and "canary" not in json.dumps(answer.json)
