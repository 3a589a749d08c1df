"""What a running service logs of a call, and what SIGHUP does to it."""

from __future__ import annotations

import json
import re
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.interop.programs import Service, until


def events(service: Service) -> list[dict[str, Any]]:
    """All lines that are JSON; those that are not are not the log's."""
    whole = service.printed().rpartition("\n")[0]
    found = [line for line in whole.splitlines() if line.startswith("{")]
    return [json.loads(line) for line in found]


def metrics(service: Service) -> int:
    """The status of what /metrics answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{service.url}/metrics", timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def messages(service: Service) -> list[str]:
    return [event["message"] for event in events(service)]


def test_every_line_about_a_call_has_its_id_and_none_a_secret(tmp_path: Path) -> None:
    service = Service(tmp_path, '[log]\nformat = "json"\nlevel = "debug"\n')
    service.start("--lab")
    try:
        definition = service.define(extension="101")
        activation = service.connect(definition, "+12025550102")["id"]
        until(
            lambda: service.record(definition, activation)["state"] == "connected", 60, "the call"
        )
        (leg, *_) = service.http("GET", f"{service.base}/channels")[1]["data"]
        path = f"{service.base}/channels/{leg['call_id']}"
        assert service.http("POST", path, {"data": {"action": "hangup"}})[0] == 200
        service.ended(definition, activation)
        # An address that has nobody: the user agent itself has something to say of it.
        lost = service.connect(definition, "sip:nobody@127.0.0.1:9")["id"]
        service.ended(definition, lost, 60)
        logged = events(service)
    finally:
        service.stop()
    of_call = [event for event in logged if event.get("activation_id") == activation]
    told = [event["message"] for event in of_call]
    for state in ("extension_ringing", "extension_answered", "contact_ringing", "connected"):
        assert state in told
    assert told[0].startswith(f"click-to-call {definition} from 127.0.0.1: ")
    assert any(message.startswith("ended: NORMAL_CLEARING, connected for ") for message in told)
    assert of_call[0]["request_id"]
    of_lost = [event for event in logged if event.get("activation_id") == lost]
    assert any(event["logger"].startswith("sipstack.") for event in of_lost), of_lost
    # Nothing is said in a call's name by anybody who does not know that it is the call's.
    concerned = re.compile("click-to-call .* from |ended: |_ringing|_answered|connected$")
    assert all("activation_id" in event for event in logged if concerned.match(event["message"]))
    asked = [event for event in logged if event["logger"] == "c2c_sip.api.access"]
    assert len({event["request_id"] for event in asked}) == len(asked) > 5
    account = service.account
    text = json.dumps(logged)
    for secret in (account["api_key"], account["password"], service.token, "hunter2"):
        assert secret not in text
    assert "Authorization" not in text


def test_what_a_client_sends_cannot_forge_a_line(tmp_path: Path) -> None:
    service = Service(tmp_path, '[log]\nlevel = "debug"\n')
    service.start()
    try:
        definition = service.define(extension="101")
        where = f"{service.base}/clicktocall/{definition}/connect"
        service.http("POST", where, {"contact": "x\r\n2026-01-01T00:00:00.000Z INFO root: forged"})
        service.http("GET", "/v1/%0d%0aforged%1b%5b2J")
        until(lambda: "from 127.0.0.1: 404" in service.printed(), 20, "the line")
        printed = service.printed()
    finally:
        service.stop()
    assert "\x1b" not in printed
    lines = [line for line in printed.splitlines() if line and not line.startswith("ready ")]
    assert lines
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z [A-Z]+ [\w.]+: ", line) for line in lines)
    assert not any(re.match(r"\S+ INFO root: forged", line) for line in lines)


def test_sighup_reads_the_settings_again(tmp_path: Path) -> None:
    service = Service(tmp_path, '[log]\nformat = "json"\n')
    service.start()
    given = service.config.read_text()

    def hang_up(text: str, expected: str) -> None:
        """Write the file, and have it read; until the log says what is expected."""
        service.config.write_text(text)
        service.process.send_signal(signal.SIGHUP)
        until(lambda: any(expected in m for m in messages(service)), 30, expected)

    try:
        loud = given.replace(
            "[log]\n",
            '[guard]\nper_contact = 1\n[metrics]\nenabled = false\n[log]\nlevel = "debug"\n',
        ).replace("[http]\n", '[http]\nthreads = 3\nallowed_origins = ["https://a.example"]\n')
        hang_up(loud, "log.level: 'info' is 'debug' now")
        found = messages(service)
        assert "settings: guard.per_contact: 'auto' is 1 now" in found
        assert "settings: http.allowed_origins: [] is ['https://a.example'] now" in found
        assert "settings: only after a restart: http.threads: 8 is 3 now" in found
        assert metrics(service) == 404
        until(
            lambda: any(e["logger"] == "c2c_sip.api.access" for e in events(service)),
            20,
            "the line of a request, now that the level is debug",
        )
        request = urllib.request.Request(
            f"{service.url}{service.base}/clicktocall/{service.define(extension='1')}/connect",
            method="OPTIONS",
            headers={"Origin": "https://a.example"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=20) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"
        # With a mistake in it all stays as it is.
        broken = loud.replace('"debug"', '"error"').replace("threads = 3", "threads = 0")
        hang_up(broken, "the settings stay as they are: http.threads: got 0")
        settings = service.http("GET", "/v1/settings")[1]["data"]
        values = {entry["name"]: entry["value"] for entry in settings}
        assert (values["log.level"], values["http.threads"]) == ("debug", 8)
        hang_up(loud, "settings: only after a restart: http.threads: 8 is 3 now")
        service.config.write_text(given)
        service.process.send_signal(signal.SIGHUP)
        until(lambda: metrics(service) == 200, 30, "the metrics")
        hang_up(given, "settings: nothing has changed")
    finally:
        service.stop()
