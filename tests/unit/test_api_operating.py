"""What only whoever runs the service may see: trunks and settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import falcon.testing
import pytest

from c2c_sip.api import create_app
from c2c_sip.config import Config, Guard, Origin, Trunk
from c2c_sip.store import Store
from tests.unit.conftest import Api, FakeCalling

TRUNK: dict[str, Any] = {
    "name": "provider",
    "domain": "sip.example.net",
    "transport": "udp",
    "register": True,
    "state": "failed",
    "last_error": {"status": None, "reason": "no answer", "iso_8601": "2026-01-01T00:00:00Z"},
    "explanation": "no answer",
    "server": "",
    "expires_in": None,
    "since": None,
    "calls": 0,
}


@pytest.fixture
def operated(store: Store, calling: FakeCalling, account: dict[str, Any]) -> Api:
    api = Api(store, calling, account)
    api.config = replace(
        Config(),
        guard=Guard(captcha_secret="hush"),
        trunks=(Trunk(name="provider", domain="sip.example.net", password="hush"),),
        origins={"trunk[0].password": Origin("environment", "C2C_SIP_TRUNK__0__PASSWORD")},
    )
    app = create_app(
        store=store,
        calling=calling,  # type: ignore[arg-type]
        config=api.config,
        version="9",
        node="here",
        trunks=lambda: [TRUNK],
    )
    api.client = falcon.testing.TestClient(app)
    return api


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_master_account_sees_the_trunks(operated: Api, version: str) -> None:
    answer = operated.get(f"/{version}/trunks")
    assert answer.status_code == 200
    assert answer.json["data"] == [TRUNK]


def test_the_master_account_sees_the_settings_and_no_secret(operated: Api) -> None:
    answer = operated.get("/v1/settings")
    assert answer.status_code == 200
    found = {entry["name"]: entry for entry in answer.json["data"]}
    assert found["http.threads"] == {
        "name": "http.threads",
        "value": 8,
        "default": 8,
        "origin": "default",
        "source": "",
        "secret": False,
        "reload": False,
    }
    password = found["trunk.provider.password"]
    assert (password["value"], password["secret"]) == ("***", True)
    assert (password["origin"], password["source"]) == ("environment", "C2C_SIP_TRUNK__0__PASSWORD")
    assert found["guard.captcha_secret"]["value"] == "***"
    assert "hush" not in answer.text


@pytest.mark.parametrize("path", ["/v1/trunks", "/v1/settings"])
def test_without_a_token_nobody_sees_them(operated: Api, path: str) -> None:
    assert operated.get(path, token=None).status_code == 401


@pytest.mark.parametrize("path", ["/v1/trunks", "/v1/settings"])
def test_no_other_account_sees_them(operated: Api, path: str) -> None:
    store = operated.store
    beside = store.create_account("Beside")
    below = store.create_account("Below", parent_id=operated.account["id"])
    for other in (beside, below):
        token = store.create_token(other["id"], None, "test")
        answer = operated.get(path, token=token)
        assert answer.status_code == 403
        assert answer.json["message"] == "forbidden"
    assert operated.get(path).status_code == 200


def test_where_the_answers_have_what_is_described(operated: Api) -> None:
    described = operated.client.simulate_get("/openapi.json").json["paths"]
    for path in ("/trunks", "/settings"):
        found = described[path]["get"]["responses"]["200"]["content"]["application/json"]
        items = found["schema"]["properties"]["data"]["items"]
        for entry in operated.get(f"/v1{path}").json["data"]:
            assert set(entry) == set(items["properties"]) == set(items["required"])
