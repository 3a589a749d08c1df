"""/metrics of a running service that has made a call."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.interop.programs import Service, until


def scrape(service: Service) -> dict[str, list[Any]]:
    """All samples by their names."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{service.url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def value(found: dict[str, list[Any]], name: str, **labels: str) -> float:
    return sum(
        sample.value for sample in found.get(name, []) if labels.items() <= sample.labels.items()
    )


def test_a_call_is_seen_while_it_is_and_when_it_is_over(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.start("--lab")
    try:
        before = scrape(service)
        assert value(before, "c2c_sip_calls_total") == 0
        assert value(before, "c2c_sip_trunk_state", trunk="lab", state="registered") == 1
        definition = service.define(extension="101")
        activation = service.connect(definition, "+12025550102")

        def talking() -> bool:
            found = scrape(service)
            return (
                value(found, "c2c_sip_calls_active", state="connected") == 1
                and value(found, "c2c_sip_rtp_packets_total", direction="received") > 50
            )

        until(talking, 60, "the two to talk")
        during = scrape(service)
        assert value(during, "c2c_sip_trunk_calls_active", trunk="lab") == 1
        assert value(during, "c2c_sip_rtp_ports", state="used") == 2
        (leg, *_) = service.http("GET", f"{service.base}/channels")[1]["data"]
        path = f"{service.base}/channels/{leg['call_id']}"
        assert service.http("POST", path, {"data": {"action": "hangup"}})[0] == 200
        service.ended(definition, activation["id"])
        until(lambda: value(scrape(service), "c2c_sip_calls_total") == 1, 30, "the end")
        after = scrape(service)
    finally:
        service.stop()
    assert value(after, "c2c_sip_calls_total", result="success", cause="NORMAL_CLEARING") == 1
    assert value(after, "c2c_sip_calls_active") == 0
    assert value(after, "c2c_sip_call_setup_seconds_count") == 1
    assert value(after, "c2c_sip_call_setup_seconds_sum") > 1
    assert value(after, "c2c_sip_leg_ringing_seconds_count", role="extension") == 1
    assert value(after, "c2c_sip_leg_mos_count", role="contact") == 1
    assert value(after, "c2c_sip_rtp_packets_total", direction="received") >= value(
        during, "c2c_sip_rtp_packets_total", direction="received"
    )
    invited = value(
        after, "c2c_sip_transactions_total", side="client", method="INVITE", status="200"
    )
    assert invited == 2
    assert value(after, "c2c_sip_transactions_total", method="BYE", status="200") >= 1
    route = "/v1/accounts/{account_id}/clicktocall/{id}/connect"
    assert value(after, "c2c_sip_http_requests_total", route=route, status="200") == 1
    assert value(after, "process_resident_memory_bytes") > 1e6
