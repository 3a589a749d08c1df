"""The service on PostgreSQL: its calls, its end by a kill, a server that goes away, and two services on one database."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.interop.conftest import Start
from tests.interop.programs import Service, SippUas, until
from tests.interop.test_webhooks import Receiver
from tests.postgres import Postgres


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    with postgres.database() as made:
        yield made


def node(url: str, name: str, realm: str = "example.test") -> Any:
    """How :class:`Service` is started as one of several on a database."""

    def make(folder: Path) -> Service:
        env = {"C2C_SIP_DATABASE__URL": url, "C2C_SIP_DATABASE__NODE": name}
        settings = '[webhooks]\nnetworks = ["127.0.0.0/8"]\n'
        return Service(folder / name, settings, realm, env)

    return make


def connected(service: Service, definition: str, activation: str) -> None:
    until(
        lambda: service.record(definition, activation)["state"] == "connected",
        20,
        f"the call: {service.printed()[-2000:]}",
    )


def hear(service: Service) -> Receiver:
    """Who is told of the calls."""
    receiver = Receiver()
    hook = {"data": {"name": "test", "uri": receiver.url}}
    status, answer = service.http("PUT", f"{service.base}/webhooks", hook)
    assert status == 201, answer
    return receiver


def told(receiver: Receiver, activation: str) -> None:
    until(lambda: receiver.states().get(activation, [""])[-1] == "ended", 30, "the last notice")


def hang_up(service: Service, definition: str, activation: str) -> None:
    call_id = service.record(definition, activation)["call_id"]
    service.http("POST", f"{service.base}/channels/{call_id}", {"data": {"action": "hangup"}})


def test_a_call_its_records_its_trace_its_search_and_its_webhooks(start: Start, url: str) -> None:
    service = start(node(url, "one")).start()
    desk, customer = (start(SippUas, "answer", name=name) for name in ("desk", "customer"))
    receiver = hear(service)
    definition = service.define(name="Sales", extension=desk.uri, whitelist=["."])
    activation = service.connect(definition, customer.uri)["id"]
    connected(service, definition, activation)
    hang_up(service, definition, activation)
    record = service.ended(definition, activation)
    assert record["result"] == "success"
    _, answer = service.http("GET", f"{service.base}/history?search=SALE&filter_result=success")
    assert [one["id"] for one in answer["data"]] == [activation]
    _, answer = service.http("GET", f"{service.base}/history?search=nobody")
    assert answer["data"] == []
    wanted = {record["call_id"], record["extension_call_id"]}
    assert {one["call_id"] for one in service.cdrs(activation)} == wanted
    trace = f"{service.base}/clicktocall/{definition}/history/{activation}/trace.json"
    until(lambda: "INVITE" in json.dumps(service.http("GET", trace)[1]), 10, "the trace")
    told(receiver, activation)
    # What PostgreSQL has no text with is said to be wrong, and not to be the database's fault.
    connect = f"{service.base}/clicktocall/{definition}/connect"
    assert service.http("POST", connect, {"contact": "10\0 0"})[0] == 400
    assert service.stop() == 0


def test_a_kill_ends_this_node_s_calls_at_the_next_start_and_not_the_other_s(
    start: Start, url: str
) -> None:
    one = start(node(url, "one")).start()
    two = start(node(url, "two", "other.test"))
    two.account = one.account
    two.start()
    phones = {
        name: start(SippUas, "answer", name=name, lasts=170)
        for name in ("desk-1", "customer-1", "desk-2", "customer-2")
    }
    first = one.define(name="Sales", extension=phones["desk-1"].uri, whitelist=["."])
    second = one.define(name="Support", extension=phones["desk-2"].uri, whitelist=["."])
    assert two.http("GET", f"{two.base}/clicktocall/{first}")[1]["data"]["name"] == "Sales"
    lost = one.connect(first, phones["customer-1"].uri)["id"]
    kept = two.connect(second, phones["customer-2"].uri)["id"]
    connected(one, first, lost)
    connected(two, second, kept)
    _, answer = two.http("GET", f"{two.base}/history")
    assert {each["id"] for each in answer["data"]} == {lost, kept}

    def dialogs() -> int:
        """Legs of which it is on disk how they are hung up."""
        with psycopg.connect(url) as server:
            found = server.execute("SELECT COUNT(*) FROM cdr WHERE dialog IS NOT NULL").fetchone()
            return int(found[0]) if found else 0

    until(lambda: dialogs() == 4, 10, "the dialogs")
    one.kill()
    one.start()
    record = one.record(first, lost)
    assert (record["state"], record["cause"]) == ("ended", "NORMAL_TEMPORARY_FAILURE")
    assert [cdr["cause"] for cdr in one.cdrs(lost)] == ["NORMAL_TEMPORARY_FAILURE"] * 2
    for name in ("desk-1", "customer-1"):
        assert phones[name].process.wait(60) == 0, "it got its BYE"
    assert two.record(second, kept)["state"] == "connected"
    assert len(two.http("GET", f"{two.base}/channels")[1]["data"]) == 2
    assert phones["desk-2"].process.poll() is phones["customer-2"].process.poll() is None
    hang_up(two, second, kept)
    assert two.ended(second, kept)["result"] == "success"
    assert one.record(second, kept)["state"] == "ended"
    assert one.stop() == two.stop() == 0


def test_a_database_that_goes_away_and_comes_back(
    start: Start, url: str, postgres: Postgres
) -> None:
    service = start(node(url, "one")).start()
    desk = start(SippUas, "answer", name="desk", calls=2, lasts=170)
    customer = start(SippUas, "answer_bye", name="customer", pause=6000)
    receiver = hear(service)
    definition = service.define(extension=desk.uri, whitelist=["."])
    here = f"{service.base}/clicktocall"
    activation = service.connect(definition, customer.uri)["id"]
    connected(service, definition, activation)
    postgres.stop()
    try:
        for method, path, body in (
            ("POST", f"{here}/{definition}/connect", {"contact": customer.uri}),
            ("GET", f"{service.base}/history", None),
            ("PUT", here, {"data": {"name": "x", "extension": "1"}}),
        ):
            status, answer = service.http(method, path, body)
            assert (status, answer["message"]) == (503, "datastore_fault")
            assert answer["data"] == {"message": "the database does not answer"}
        assert service.http("GET", "/readyz")[0] == 503
        assert service.http("GET", "/healthz")[0] == 200
        # Who speaks with each other does not need it; the customer hangs up meanwhile.
        assert customer.process.wait(60) == 0
    finally:
        postgres.start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 20, "the service to recover")
    record = service.ended(definition, activation)
    assert (record["result"], record["cause"]) == ("success", "NORMAL_CLEARING")
    assert {cdr["cause"] for cdr in service.cdrs(activation)} == {"NORMAL_CLEARING"}
    assert record["duration_seconds"] >= 5
    told(receiver, activation)
    assert "changes are lost" not in service.printed()
    assert service.stop() == 0


def test_doctor_looks_at_the_definitions_and_makes_nothing(
    start: Start, url: str, postgres: Postgres
) -> None:
    service = start(node(url, "one"))

    def told() -> list[tuple[str, str]]:
        done = subprocess.run(
            [sys.executable, "-m", "c2c_sip", "doctor", "--json", "--config", str(service.config)],
            capture_output=True,
            text=True,
            timeout=90,
            env=service._env,
        )
        checks = json.loads(done.stdout)["checks"]
        return [(c["result"], c["text"]) for c in checks if c["check"] == "click-to-calls"]

    service.start()
    assert told() == [("ok", "there is none yet")]
    definition = service.define(name="Nobody's", extension="101")
    ((result, text),) = told()
    assert result == "warn" and definition in text and "no trunk" in text
    with postgres.database() as empty:
        service._env = service._env | {"C2C_SIP_DATABASE__URL": empty}
        ((result, _),) = told()
        assert result == "not checked"
        with psycopg.connect(empty) as one:
            found = one.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            assert found.fetchone() == (0,)
