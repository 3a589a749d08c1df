"""``c2c-sip demo``: the whole way on one machine, driven over HTTP as anybody would."""

import contextlib
import hashlib
import json
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

from c2c_sip.config import Config, Database, Http, Sip
from c2c_sip.lab import CONTACT_NUMBER, CONTACT_TONE, EXTENSION, EXTENSION_TONE
from c2c_sip.service import Service
from c2c_sip.store import StoreError
from sipstack.ladder import ladder

#: Seconds that each step may take.
PATIENCE = 12.0
#: Seconds that the two go on talking, so that there is something to bill.
TALK = 1.0


class DemoError(Exception):
    """What went wrong, in words."""


def run_demo(as_json: bool) -> int:
    """Make the call, print what happened, and return the exit code."""
    # All of them are there also where it fails half way, with what was known by then.
    facts: dict[str, Any] = {
        "ok": False,
        "call": None,
        "extension_heard_contact": False,
        "contact_heard_extension": False,
        "setup_ms": None,
    }
    try:
        with tempfile.TemporaryDirectory(prefix="c2c-sip-demo-") as folder:
            config = replace(
                Config(),
                http=Http(listen="127.0.0.1:0"),
                database=Database(url=f"sqlite:///{Path(folder) / 'demo.db'}"),
                sip=Sip(listen=("udp:127.0.0.1:0",)),
            )
            service = Service(config, lab=True)
            service.start()
            try:
                drawn = _call(service, facts)
            finally:
                service.stop()
    except (DemoError, StoreError, OSError) as error:
        print(f"demo failed: {error}", file=sys.stderr)
        if as_json:
            print(json.dumps(facts | {"error": str(error)}))
        return 1
    if as_json:
        print(json.dumps(facts))
    else:
        _tell(facts, drawn)
    return 0 if facts["ok"] else 1


def _tell(facts: dict[str, Any], drawn: str) -> None:
    print(drawn)
    print()
    print("history record:")
    print(json.dumps(facts["call"], indent=2))
    print()
    for who, other in (("extension", "contact"), ("contact", "extension")):
        heard = "heard" if facts[f"{who}_heard_{other}"] else "did NOT hear"
        print(f"the {who} {heard} the {other}'s tone")
    print(f"set up in {facts['setup_ms']} ms")


def _call(service: Service, facts: dict[str, Any]) -> str:
    """Make the call and put into ``facts`` what comes of it, as it comes; the ladder."""
    assert service.lab is not None
    realm = service.config.trunks[-1].domain.partition(":")[0]
    account = service.store.create_account("demo", realm=realm)
    credentials = f"{account['username']}:{account['password']}".encode()
    digest = hashlib.md5(credentials, usedforsecurity=False).hexdigest()
    base = f"{service.url}/v1"
    signed_in = _http(
        "PUT", f"{base}/user_auth", {"data": {"credentials": digest, "account_name": "demo"}}
    )
    token = signed_in["auth_token"]
    here = f"{base}/accounts/{account['id']}/clicktocall"
    made = _http("PUT", here, {"data": {"name": "demo", "extension": EXTENSION}}, token)
    one = f"{here}/{made['data']['id']}"
    _until(lambda: _ready(service.url), "the service to be ready")
    started = time.monotonic()
    activation = _http("POST", f"{one}/connect", {"data": {"contact": CONTACT_NUMBER}})["data"]

    def state() -> dict[str, Any]:
        found: dict[str, Any] = _http("GET", f"{one}/history/{activation['id']}", None, token)[
            "data"
        ]
        return found

    _until(lambda: state()["state"] in ("connected", "ended"), "the call to be connected")
    facts["setup_ms"] = round((time.monotonic() - started) * 1000)
    extension, contact = service.lab.extension, service.lab.contact

    def both() -> bool:
        facts["extension_heard_contact"] |= extension.heard(CONTACT_TONE)
        facts["contact_heard_extension"] |= contact.heard(EXTENSION_TONE)
        return bool(facts["extension_heard_contact"] and facts["contact_heard_extension"])

    with contextlib.suppress(DemoError):  # which of them was not heard is part of the result
        _until(both, "both tones")
    time.sleep(TALK)
    contact.hang_up()
    _until(lambda: state()["state"] == "ended", "the call to end")
    facts["call"] = state()
    facts["ok"] = facts["call"]["result"] == "success" and both()
    return ladder(service.calling.trace(activation["id"]) or [])


def _until(done: Any, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise DemoError(f"waited {PATIENCE:.0f} s in vain for {what}")
        time.sleep(0.05)


def _ready(url: str) -> bool:
    try:
        _http("GET", f"{url}/readyz")
    except DemoError:
        return False
    return True


def _http(method: str, url: str, body: Any = None, token: str = "") -> dict[str, Any]:
    request = urllib.request.Request(url, method=method)  # noqa: S310 - our own http URL
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("X-Auth-Token", token)
    try:
        # Past any proxy of the environment: this is all on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        raise DemoError(f"{method} {url}: {error.code} {error.read().decode()}") from error
