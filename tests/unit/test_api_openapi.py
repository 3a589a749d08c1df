"""The description of the API says what there is: no more, no less, and readable without anything from elsewhere."""

import base64
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import falcon.inspect
import pytest
from hypothesis import given, provisional
from hypothesis import strategies as st

from c2c_sip import schemas
from c2c_sip.api import answers
from c2c_sip.api.describe import operation_of
from c2c_sip.api.jsonschema import of_document
from c2c_sip.calling.contact import has_control
from tests.unit.conftest import Api

VERBS = {"GET", "PUT", "POST", "PATCH", "DELETE"}


@pytest.fixture
def description(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.client.simulate_get("/openapi.json").json
    return found


def routes(api: Api) -> dict[str, set[str]]:
    """The verbs of each path below /v2, as Falcon has them."""
    found: dict[str, set[str]] = {}
    for route in falcon.inspect.inspect_app(api.app).routes:
        if route.path.startswith("/v2/"):
            verbs = {method.method for method in route.methods if not method.internal}
            found[route.path.removeprefix("/v2")] = verbs & VERBS
    return found


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in description["paths"].items():
        for verb, found in item.items():
            if verb != "parameters":
                yield path, verb, found


def is_page(path: str) -> bool:
    """Whether it is for people to look at, and no part of what is described."""
    return bool(re.match(r"(/v[12])?/(openapi\.json|docs|button\.js|button/|console)", path))


def test_every_route_is_described_and_nothing_else(api: Api, description: dict[str, Any]) -> None:
    described = {
        path: {verb.upper() for verb in item if verb != "parameters"}
        for path, item in description["paths"].items()
    }
    served = {p: v for p, v in routes(api).items() if not is_page(p)}
    assert described == served


def test_every_responder_says_what_it_takes_and_gives(api: Api) -> None:
    undescribed = []
    for route in falcon.inspect.inspect_app(api.app).routes:
        if is_page(route.path):
            continue
        resource = api.app._router.find(route.path)[0]
        for verb in ("get", "put", "post", "patch", "delete"):
            responder = getattr(resource, f"on_{verb}", None)
            if responder is not None and operation_of(responder) is None:
                undescribed.append((verb, route.path))
    assert undescribed == []


def test_every_operation_has_a_name_and_a_text_of_its_own(description: dict[str, Any]) -> None:
    names = [found["operationId"] for _, _, found in operations(description)]
    assert len(set(names)) == len(names)
    for path, verb, found in operations(description):
        assert found["summary"], (path, verb)
        assert found["responses"], (path, verb)


def test_all_references_lead_somewhere(description: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(description)))
    assert references
    for reference in references:
        found: Any = description
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_the_fields_of_documents_are_those_that_are_checked(description: dict[str, Any]) -> None:
    put = description["paths"]["/accounts/{account_id}/clicktocall"]["put"]
    data = put["requestBody"]["content"]["application/json"]["schema"]["properties"]["data"]
    assert set(data["properties"]) == set(schemas.CLICKTOCALL)
    assert data["required"] == ["name", "extension"]
    assert data["properties"]["timeout"]["maximum"] == 600
    assert data["properties"]["name"]["maxLength"] == 128
    patch = description["paths"]["/accounts/{account_id}/clicktocall/{id}"]["patch"]
    data = patch["requestBody"]["content"]["application/json"]["schema"]["properties"]["data"]
    assert "required" not in data
    assert data["properties"]["timeout"]["type"] == ["integer", "null"]
    assert data["properties"]["name"]["type"] == "string"


def test_every_route_of_an_account_needs_a_token_and_is_closed_to_others(
    api: Api, description: dict[str, Any]
) -> None:
    made = api.create(auth_required=True)
    values = {"account_id": api.account["id"], "id": made["id"]}
    stranger = api.store.create_account("Stranger")
    token = api.store.create_token(stranger["id"], None, "test")
    count = 0
    for path, verb, found in operations(description):
        if not path.startswith("/accounts/") or found.get("security") == []:
            continue
        where = "/v2" + re.sub(r"{(\w+)}", lambda m: values.get(m[1], "0" * 32), path)
        data = {"name": "x", "extension": "1", "contact": "+14155550100", "action": "hangup"}
        body = {"json": {"data": data}} if verb != "get" else {}
        nobody = api.request(verb.upper(), where, token=None, **body)
        other = api.request(verb.upper(), where, token=token, **body)
        unknown = where.endswith("0" * 32)
        assert nobody.status_code == 401 or (unknown and nobody.status_code == 404), (verb, path)
        expected = (401, 404) if "/connect" in path else (404,)
        assert other.status_code in expected, (verb, path)
        count += 1
    assert count > 40
    assert api.get(f"/clicktocall/{made['id']}").json["data"] == made


# --- the schemas mean what the checks do


def matches(schema: dict[str, Any], value: str) -> bool:
    if "anyOf" in schema:
        return any(matches(one, value) for one in schema["anyOf"])
    if "pattern" in schema:
        return re.search(schema["pattern"], value) is not None
    return False


def accepted(field: str, value: Any) -> bool:
    document = {"name": "n", "extension": "1"} | {field: value}
    return not schemas.validate(schemas.CLICKTOCALL, document)


def test_what_cannot_be_seen_is_the_same_in_both() -> None:
    unseen = re.compile(f"[{schemas.UNSEEN}]")
    newer = range(0x13439, 0x13440)  # of a later Unicode than some Pythons know
    for point in range(0x110000):
        if 0xD800 <= point < 0xE000 or point in newer:
            continue
        char = chr(point)
        assert (unseen.fullmatch(char) is not None) is has_control(char), hex(point)
    assert all(unicodedata.category(chr(point)) in ("Cf", "Cn") for point in newer)


@given(st.text(max_size=20).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)))
def test_names_match_where_they_are_accepted(text: str) -> None:
    schema = of_document(schemas.CLICKTOCALL)["properties"]["name"]
    assert (matches(schema, text) and len(text) >= 1) is accepted("name", text)


@given(
    st.text(alphabet="aZ09-._:[]", max_size=12)
    | st.from_regex(r"\A[a-z0-9.-]{1,12}\Z")
    | provisional.domains()
)
def test_realms_match_where_they_are_accepted(text: str) -> None:
    schema = of_document(schemas.CLICKTOCALL)["properties"]["realm"]
    if ":" in text or re.fullmatch(r"[0-9.]+", text):
        return  # addresses, which are formats
    assert (matches(schema, text) and text != "") is accepted("realm", text)


@given(st.text(alphabet="aVvIiA0-_:~ é", max_size=6) | st.sampled_from(["Via", "CSEQ", "X-Mine"]))
def test_header_names_match_where_they_are_accepted(name: str) -> None:
    if name in ("in", "out"):
        return
    schema = of_document(schemas.CLICKTOCALL)["properties"]["custom_sip_headers"]
    assert matches(schema["propertyNames"], name) is accepted("custom_sip_headers", {name: "x"})


@given(st.text(alphabet='a0+ ()-@:<>"\\sip\u00a0.*#', max_size=12))
def test_extensions_that_match_are_accepted(text: str) -> None:
    schema = of_document(schemas.CLICKTOCALL)["properties"]["extension"]
    if matches(schema, text) and text:
        assert accepted("extension", text), text
    elif " " not in text.strip() and "\u00a0" not in text and "sip" not in text.lower():
        assert not accepted("extension", text), text


def test_answers_are_described_with_all_that_they_have(api: Api) -> None:
    made = api.create()
    for shown, fields in (
        (made, answers.CLICKTOCALL_SHOWN),
        (api.get("").json["data"], answers.ACCOUNT_SHOWN),
        (api.get("/audit").json["data"][0], answers.AUDIT_ENTRY),
        (api.get("/users").json["data"][0], answers.USER_SHOWN),
        (api.get("/v1/token_auth").json["data"], answers.TOKEN),
    ):
        schema = of_document(fields)
        assert set(shown) <= set(schema["properties"]) | {"realm"}
        assert set(schema["required"]) <= set(shown)


# --- the page


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


@pytest.mark.parametrize("prefix", ["", "/v1", "/v2"])
def test_the_page_shows_every_operation_and_needs_nothing_from_elsewhere(
    api: Api, description: dict[str, Any], prefix: str
) -> None:
    answer = api.client.simulate_get(f"{prefix}/docs")
    assert answer.headers["content-type"].startswith("text/html")
    page = Page(answer.text)
    for path, verb, _ in operations(description):
        assert f"{verb.upper()} {path}</h3>" in answer.text
    assert "script" not in page.tags and "link" not in page.tags and "img" not in page.tags
    assert all(link.startswith("#") or link == "openapi.json" for link in page.links)
    style = re.search(r"<style>(.*?)</style>", answer.text, re.S)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_what_is_the_same_for_everybody_may_be_cached(api: Api, path: str) -> None:
    answer = api.client.simulate_get(path)
    assert "public" in answer.headers["cache-control"]
    again = api.client.simulate_get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert api.client.simulate_head(path).content == b""


def test_what_is_private_cannot_be_framed_sniffed_or_led_astray(api: Api) -> None:
    for path in ("/clicktocall", "/clicktocall/x", "/users"):
        headers = api.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_what_is_made_leads_to_where_it_is_found(api: Api) -> None:
    """By links, which schemathesis follows: to what else would it be led than to 404s."""
    paths = api.client.simulate_get("/openapi.json").json["paths"]
    one = "/accounts/{account_id}/clicktocall/{id}"
    made = paths[f"{one.rpartition('/')[0]}"]["put"]["responses"]["201"]["links"]
    assert paths[f"{one}/connect"]["post"]["operationId"] in made
    begun = paths[f"{one}/connect"]["post"]["responses"]["202"]["links"]
    for below in ("connect/{activation_id}", "history/{activation_id}/ladder.svg"):
        link = begun[paths[f"{one}/{below}"]["get"]["operationId"]]
        assert link["parameters"]["activation_id"] == "$response.body#/data/id"
