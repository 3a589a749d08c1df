"""Recordings by the API: whose they are, and that nothing else is given out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import falcon.testing
import pytest

from c2c_sip.api import create_app
from c2c_sip.config import Config
from c2c_sip.store import Store
from sipstack.media.recording import Recorder
from tests.unit.conftest import Api, FakeCalling
from tests.unit.test_fields import Desk

ACTIVATION = "a" * 32


@pytest.fixture
def recorded(store: Store, calling: FakeCalling, account: dict[str, Any], tmp_path: Path) -> Api:
    api = Api(store, calling, account)
    recorder = Recorder(tmp_path / "recordings")
    app = create_app(
        store=store,
        calling=calling,  # type: ignore[arg-type]
        config=Config(),
        version="9",
        node="here",
        recorder=recorder,
    )
    api.client = falcon.testing.TestClient(app)
    (tmp_path / "recordings" / f"{ACTIVATION}.wav").write_bytes(b"RIFF" + bytes(100))
    return api


def activation(api: Api, store: Store, identifier: str = ACTIVATION) -> str:
    """The path of the history of a click-to-call that has this activation."""
    definition = api.create()["id"]
    row = {
        "id": identifier,
        "account_id": api.account["id"],
        "clicktocall_id": definition,
        "contact": "1",
        "created": 1.0,
        "state": "ended",
        "call_id": "x",
        "extension_call_id": "y",
        "is_public": 0,
    }
    store.create_activation(row).result()
    return f"/clicktocall/{definition}/history/{identifier}/recording.wav"


def test_a_recording_is_fetched_and_deleted(recorded: Api, store: Store) -> None:
    path = activation(recorded, store)
    found = recorded.get(path)
    assert found.status_code == 200
    assert found.headers["content-type"] == "audio/wav"
    assert found.content == b"RIFF" + bytes(100)
    assert recorded.request("HEAD", path).headers["content-length"] == "104"
    assert recorded.delete(path).status_code == 200
    assert recorded.get(path).status_code == 404
    assert recorded.delete(path).status_code == 404
    assert recorded.get("/audit").json["data"][0]["kind"] == "recording"


def test_nobody_else_hears_it(recorded: Api, store: Store) -> None:
    path = activation(recorded, store)
    assert recorded.get(path, token=None).status_code == 401
    other = store.create_account("Other")
    token = store.create_token(other["id"], None, "test")
    assert recorded.get(path, token=token).status_code in (403, 404)
    assert recorded.delete(path, token=token).status_code in (403, 404)
    elsewhere = path.replace(path.split("/")[2], recorded.create()["id"])
    assert recorded.get(elsewhere).status_code == 404


def test_a_call_without_a_recording_has_none(recorded: Api, store: Store) -> None:
    assert recorded.get(activation(recorded, store, "b" * 32)).status_code == 404


def test_the_history_says_which_calls_have_a_recording(recorded: Api, store: Store) -> None:
    path = activation(recorded, store)
    other = activation(recorded, store, "b" * 32)
    live = activation(recorded, store, "c" * 32)
    store.update_activation("c" * 32, state="connected")
    store.flush()

    def told() -> dict[str, bool]:
        return {item["id"][0]: item["recording"] for item in recorded.get("/history").json["data"]}

    assert told() == {"a": True, "b": False, "c": False}
    for one, is_there in ((path, True), (other, False), (live, False)):
        item = one.removesuffix("/recording.wav")
        assert recorded.get(item).json["data"]["recording"] is is_there
        alike = f"/history/{item.rpartition('/')[2]}"
        assert recorded.get(alike).json["data"]["recording"] is is_there
        (listed,) = recorded.get(item.rpartition("/")[0]).json["data"]
        assert listed["recording"] is is_there

    # Whether calls are recorded from now on does not matter, but with the click-to-call its files can no longer be fetched.
    definition = path.partition("/history")[0]
    assert recorded.patch(definition, {"record": False}).status_code == 200
    assert told()["a"] is True
    assert recorded.delete(definition).status_code == 200
    assert told()["a"] is False and recorded.get(path).status_code == 404


def test_a_deleted_recording_is_no_longer_told_of(recorded: Api, store: Store) -> None:
    path = activation(recorded, store)
    assert recorded.delete(path).status_code == 200
    assert recorded.get("/history").json["data"][0]["recording"] is False


def test_where_nothing_is_recorded_there_is_nothing(api: Api, store: Store) -> None:
    path = activation(api, store)
    assert api.get(path).status_code == 404
    assert api.get("/history").json["data"][0]["recording"] is False


def test_rather_no_call_than_one_that_is_not_recorded(
    store: Store, account: dict[str, Any]
) -> None:
    desk = Desk(store, account)
    refused = desk.connect(record=True)
    assert refused.status_code == 503
    assert "recording.directory" in refused.text


def test_the_settings_bound_it(tmp_path: Path) -> None:
    from c2c_sip.config import Recording
    from c2c_sip.service import recorder_of

    assert recorder_of(Config()) is None
    section = Recording(directory=str(tmp_path / "r"), call_mb=1, total_mb=2, keep_days=3)
    made = recorder_of(replace(Config(), recording=section))
    assert made is not None
    assert (made._most_bytes, made._most_total, made._keep) == (1_000_000, 2_000_000, 3 * 86400.0)
