"""Settings that are read again: what is heeded at once, what waits for a restart, and what is said of it."""

from __future__ import annotations

import dataclasses
import re
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import falcon.testing
import pytest

from c2c_sip import settings
from c2c_sip.api import create_app
from c2c_sip.calling.guard import Guard
from c2c_sip.calling.policy import Refusal
from c2c_sip.calling.sounds import Sounds
from c2c_sip.config import Config, Http, Log, Origin, Trunk
from c2c_sip.config import Guard as Limits
from c2c_sip.reloading import reload
from c2c_sip.store import Store
from tests.unit.conftest import Api, FakeCalling

DOCS = Path(__file__).parents[2] / "docs" / "operating.md"
TRUNK = Trunk(name="a", domain="b", username="u", password="hush")


def test_what_may_change_does_and_the_rest_waits() -> None:
    read = replace(
        Config(),
        http=Http(threads=3, allowed_origins=("https://a.example",)),
        log=Log(level="debug"),
        origins={
            "http.threads": Origin("file", "f"),
            "log.level": Origin("environment", "C2C_SIP_LOG__LEVEL"),
        },
    )
    found = reload(Config(), read)
    assert found.config.log.level == "debug"
    assert found.config.http == Http(allowed_origins=("https://a.example",))
    assert found.config.origins == {"log.level": Origin("environment", "C2C_SIP_LOG__LEVEL")}
    assert [change.name for change in found.applied] == ["http.allowed_origins", "log.level"]
    assert [str(change) for change in found.waiting] == ["http.threads: 8 is 3 now"]
    # It waits as long as it takes.
    assert reload(found.config, read).waiting == found.waiting
    assert reload(found.config, read).applied == ()


def test_what_is_given_no_more_is_the_default_again() -> None:
    running = replace(Config(), log=Log(level="debug"), origins={"log.level": Origin("file", "f")})
    found = reload(running, Config())
    assert found.config == Config()
    assert found.config.origins == {}


def test_trunks_wait_for_a_restart_and_their_passwords_are_not_told() -> None:
    running = replace(Config(), trunks=(TRUNK,))
    changed = reload(running, replace(Config(), trunks=(replace(TRUNK, password="shush"),)))
    assert changed.config == running
    assert [str(change) for change in changed.waiting] == ["trunk.a.password: '***' is '***' now"]
    gone = reload(running, Config())
    assert gone.config == running
    assert {change.name for change in gone.waiting} == {
        f"trunk.a.{entry.name}" for entry in fields(Trunk)
    }
    assert "hush" not in str(gone)


def test_the_documentation_lists_what_is_heeded_without_a_restart() -> None:
    text = DOCS.read_text("utf-8").partition("## Settings read again")[2].partition("\n## ")[0]
    documented = set()
    for names in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE):
        section = ""
        for name in re.findall(r"`([^`]+)`", names):
            section = name.partition(".")[0] if "." in name else section
            documented.add(name if "." in name else f"{section}.{name}")
    assert documented == {
        one.name for one in settings.each(Config()) if one.field.metadata["reload"]
    }


def test_limits_that_are_new_count_what_the_last_hour_had(
    store: Store, account: dict[str, Any]
) -> None:
    guard = Guard(Config(), store.guard, time.time())
    definition = store.create_clicktocall(account["id"], {"name": "x", "extension": "1"})
    now = time.time()
    for number in range(3):
        store.create_activation(
            {
                "id": f"{number:032x}",
                "account_id": account["id"],
                "clicktocall_id": definition["id"],
                "contact": "1",
                "client": "192.0.2.1",
                "called": "+12025550102",
                "is_public": 1,
                "created": now - number,
                "state": "ended",
                "call_id": f"x{number}",
                "extension_call_id": f"y{number}",
            }
        ).result()
    guard.admit(account, definition, "+12025550102", "192.0.2.1", now)
    guard.reconfigure(dataclasses.replace(Config(), guard=Limits(per_contact=3)), now)
    with pytest.raises(Refusal) as refused:
        guard.admit(account, definition, "+12025550102", "192.0.2.1", now)
    assert refused.value.reason == "per_contact"


def test_the_tone_is_another_one_from_the_next_call_on(store: Store) -> None:
    sounds = Sounds(store.media, "us")
    before = sounds.of("a", {}).waiting
    sounds.reconfigure("uk")
    assert sounds.of("a", {}).waiting != before
    with pytest.raises(OSError):
        sounds.reconfigure("/nowhere.wav")
    assert sounds.of("a", {}).waiting != before


def test_origins_and_metrics_are_looked_up_each_time(
    store: Store, calling: FakeCalling, account: dict[str, Any]
) -> None:
    api = Api(store, calling, account)
    made, holds = api.create(), [Config()]
    app = create_app(
        store=store,
        calling=calling,  # type: ignore[arg-type]
        config=Config(),
        version="9",
        node="here",
        current=lambda: holds[0],
    )
    client = falcon.testing.TestClient(app)
    path, origin = f"{api.path}/clicktocall/{made['id']}/connect", "https://a.example"

    def asked() -> str | None:
        answer = client.simulate_options(path, headers={"Origin": origin})
        found: str | None = answer.headers.get("Access-Control-Allow-Origin")
        return found

    assert asked() is None
    holds[0] = replace(Config(), http=Http(allowed_origins=(origin,)))
    assert asked() == origin
    page = client.simulate_get(f"/button/{account['id']}/{made['id']}")
    assert origin in page.headers["Content-Security-Policy"]
    shown = client.simulate_get("/v1/settings", headers={"X-Auth-Token": api.token}).json["data"]
    assert next(e for e in shown if e["name"] == "http.allowed_origins")["value"] == [origin]
