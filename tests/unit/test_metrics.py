"""/metrics: what Prometheus reads of it, who gets it, and that the dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import falcon.testing
import pytest
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read

from c2c_sip import config
from c2c_sip.api import create_app
from c2c_sip.api.traffic import Traffic
from c2c_sip.calling import tally as calls
from c2c_sip.config import Config
from c2c_sip.metrics import Metrics, Reading
from c2c_sip.store import Store
from sipstack import tally as sip
from tests.unit.conftest import Api, FakeCalling

CONF = Path(__file__).parents[2] / "conf"


def full() -> Reading:
    """One of everything."""
    call, signalling, traffic = calls.Tally(), sip.Tally(), Traffic()
    call.call_ended("success", "NORMAL_CLEARING", 2.5, 61.0)
    call.refused["per_address"] += 3
    signalling.concluded("client", "INVITE", 200)
    signalling.sent_again = 4
    traffic.count("GET", "/v1/accounts/{account_id}", 200, 0.02)
    trunk = {"name": "a", "state": "failed", "expires_in": None, "calls": 0}
    return Reading(
        calls=call,
        states={"connected": 2},
        trunks=[trunk, trunk | {"name": "b", "state": "registered", "expires_in": 99, "calls": 2}],
        sip=signalling,
        transactions={"client": 1, "server": 0},
        media={"packets_received": 10, "packets_sent": 9, "lost": 1},
        ports_used=4,
        ports_free=6,
        queues={"writes": 5},
        connections=1,
        traffic=traffic,
    )


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read(text)
        for sample in family.samples
    }


def exposed(reading: Reading) -> str:
    text, media_type = Metrics(lambda: reading).exposition("*/*")
    assert media_type.startswith("text/plain; version=")
    return text.decode()


def test_everything_that_is_counted_is_told() -> None:
    found = samples(exposed(full()))
    for name, labels, value in (
        ("c2c_sip_calls_active", {"state": "connected"}, 2),
        ("c2c_sip_calls_active", {"state": "initiated"}, 0),
        ("c2c_sip_calls_total", {"result": "success", "cause": "NORMAL_CLEARING"}, 1),
        ("c2c_sip_activations_refused_total", {"rule": "per_address"}, 3),
        ("c2c_sip_call_setup_seconds_bucket", {"le": "2.0"}, 0),
        ("c2c_sip_call_setup_seconds_bucket", {"le": "3.0"}, 1),
        ("c2c_sip_call_setup_seconds_bucket", {"le": "+Inf"}, 1),
        ("c2c_sip_call_setup_seconds_sum", {}, 2.5),
        ("c2c_sip_call_duration_seconds_count", {}, 1),
        ("c2c_sip_trunk_state", {"trunk": "a", "state": "failed"}, 1),
        ("c2c_sip_trunk_state", {"trunk": "b", "state": "failed"}, 0),
        ("c2c_sip_trunk_registration_expires_seconds", {"trunk": "b"}, 99),
        ("c2c_sip_trunk_calls_active", {"trunk": "b"}, 2),
        ("c2c_sip_transactions_total", {"side": "client", "method": "INVITE", "status": "200"}, 1),
        ("c2c_sip_retransmissions_total", {"direction": "sent"}, 4),
        ("c2c_sip_rtp_packets_total", {"direction": "received"}, 10),
        ("c2c_sip_rtp_packets_lost_total", {}, 1),
        ("c2c_sip_rtp_ports", {"state": "free"}, 6),
        ("c2c_sip_queue_length", {"queue": "writes"}, 5),
        ("c2c_sip_http_connections", {}, 1),
        (
            "c2c_sip_http_requests_total",
            {"method": "GET", "route": "/v1/accounts/{account_id}", "status": "200"},
            1,
        ),
        ("c2c_sip_http_request_seconds_count", {"route": "/v1/accounts/{account_id}"}, 1),
    ):
        assert found[name, tuple(sorted(labels.items()))] == value, (name, labels)
    assert found["process_resident_memory_bytes", ()] > 1e6
    assert ("c2c_sip_trunk_registration_expires_seconds", (("trunk", "a"),)) not in found


def test_each_metric_has_a_help_and_a_name_by_the_conventions() -> None:
    families = list(read(exposed(full())))
    ours = [family for family in families if family.name.startswith("c2c_sip_")]
    assert len(ours) > 20
    for family in ours:
        assert family.documentation, family.name
        assert re.fullmatch(r"c2c_sip_[a-z_]+", family.name)
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        if family.type == "histogram" and "seconds" not in family.name:
            assert family.name.endswith(("_ratio", "_mos"))


def test_a_label_cannot_forge_a_line() -> None:
    reading = full()
    reading.calls.refused['x"} 1\nforged 1 #\\'] += 1
    text = exposed(reading)
    assert not re.search("^forged", text, re.MULTILINE)
    assert ("c2c_sip_activations_refused_total", (("rule", 'x"} 1\nforged 1 #\\'),)) in samples(
        text
    )


def test_openmetrics_for_whoever_asks_for_it() -> None:
    text, media_type = Metrics(full).exposition("application/openmetrics-text; version=1.0.0")
    assert media_type.startswith("application/openmetrics-text")
    names = {family.name for family in read_openmetrics(text.decode())}
    assert {"c2c_sip_calls", "c2c_sip_call_setup_seconds"} <= names


def test_the_registry_is_our_own() -> None:
    registry = Metrics(full).registry
    assert registry is not REGISTRY
    assert not any(family.name.startswith("c2c_sip") for family in REGISTRY.collect())


# --- who gets them


def serving(api: Api, **settings: Any) -> falcon.testing.TestClient:
    app = create_app(
        store=api.store,
        calling=api.calling,  # type: ignore[arg-type]
        config=replace(
            Config(),
            metrics=config.Metrics(**settings),
            http=config.Http(trusted_proxies=("10.0.0.1",)),
        ),
        version="9",
        node="here",
        metrics=Metrics(full).exposition,
    )
    return falcon.testing.TestClient(app)


@pytest.mark.parametrize("path", ["/metrics", "/v1/metrics", "/v2/metrics"])
def test_no_token_is_needed(api: Api, path: str) -> None:
    answer = serving(api).simulate_get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert samples(answer.text)


def test_they_can_be_switched_off(api: Api) -> None:
    assert serving(api, enabled=False).simulate_get("/metrics").status_code == 404


@pytest.mark.parametrize(
    ("client", "forwarded", "status"),
    [
        ("192.0.2.7", None, 200),
        ("198.51.100.1", None, 403),
        ("2001:db8::5", None, 200),
        # A proxy brings both; a stranger does not become a friend by saying so.
        ("10.0.0.1", "192.0.2.7", 200),
        ("10.0.0.1", "198.51.100.1", 403),
        ("198.51.100.1", "192.0.2.7", 403),
    ],
)
def test_they_can_be_kept_to_networks(
    api: Api, client: str, forwarded: str | None, status: int
) -> None:
    asked = serving(api, networks=("192.0.2.0/24", "2001:db8::/32"))
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    answer = asked.simulate_get("/metrics", headers=headers, extras={"REMOTE_ADDR": client})
    assert answer.status_code == status


def test_the_library_is_loaded_only_when_somebody_asks() -> None:
    code = "import c2c_sip.service, sys; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_requests_are_counted_by_their_routes(
    store: Store, calling: FakeCalling, account: dict[str, Any]
) -> None:
    api, traffic = Api(store, calling, account), Traffic()
    app = create_app(
        store=store,
        calling=calling,  # type: ignore[arg-type]
        config=Config(),
        version="9",
        node="here",
        traffic=traffic,
    )
    api.client = falcon.testing.TestClient(app)
    api.get("/clicktocall")
    api.get("/clicktocall", token=None)
    api.get("/nothing/of/the/kind")
    api.client.simulate_get("/wp-admin")
    assert traffic.requests() == {
        ("GET", "/v1/accounts/{account_id}/clicktocall", "200"): 1,
        ("GET", "/v1/accounts/{account_id}/clicktocall", "401"): 1,
        ("GET", "none", "404"): 2,
    }


# --- what is made of them


def known() -> set[str]:
    return {name for name, _ in samples(exposed(full()))} | {
        family.name + "_total" * (family.type == "counter") for family in read(exposed(full()))
    }


def expressions() -> list[str]:
    dashboard = json.loads((CONF / "grafana-dashboard.json").read_text("utf-8"))
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    found += [v["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    alerts = (CONF / "prometheus-alerts.yml").read_text("utf-8")
    found += re.findall(r"expr: (?:>-\n)?(.*?)(?=\n +(?:for|labels):)", alerts, re.DOTALL)
    return found


@pytest.mark.parametrize("expression", expressions())
def test_the_dashboard_and_the_alerts_ask_for_what_there_is(expression: str) -> None:
    asked = set(re.findall(r"\b(?:c2c_sip|process)_\w+", expression))
    assert asked
    assert asked <= known()


def test_every_metric_is_on_the_dashboard_or_said_not_to_be() -> None:
    asked = set(re.findall(r"\b(?:c2c_sip|process)_\w+", " ".join(expressions())))
    base = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known()}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    left_out = {name for name in base - shown if name.startswith("c2c_sip_")}
    assert left_out == {"c2c_sip_rtp_bytes_total", "c2c_sip_transactions_active"}
