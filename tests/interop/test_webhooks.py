"""A receiver of webhooks that fails, hangs and comes back, and a service that is killed meanwhile."""

from __future__ import annotations

import http.server
import json
import signal
import threading
import time
from collections import defaultdict
from typing import Any

from tests.interop.conftest import Start
from tests.interop.programs import Service, SippUas, until

CALLS = 12


class Receiver:
    """Keeps what it took; ``mood`` is what it does: ``takes``, ``fails``, ``hangs`` or ``breaks`` (off in the middle)."""

    def __init__(self) -> None:
        self.mood = "takes"
        self.taken: list[dict[str, Any]] = []
        self.asked = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked += 1
                if outer.mood == "hangs":
                    time.sleep(15.0)
                    return
                if outer.mood == "breaks":
                    self.close_connection = True
                    return
                if outer.mood == "takes":
                    outer.taken.append(json.loads(body))
                self.send_response(204 if outer.mood == "takes" else 500)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def states(self) -> dict[str, list[str]]:
        """Of each activation what came, in order, the repetitions left out."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for notice in self.taken:
            found[notice["data"]["activation_id"]].setdefault(notice["id"], notice["data"]["state"])
        return {activation: list(states.values()) for activation, states in found.items()}

    def ended(self, activation: str) -> dict[str, Any]:
        """What was told of an activation's end."""
        for notice in self.taken:
            if (notice["data"]["activation_id"], notice["data"]["state"]) == (activation, "ended"):
                found: dict[str, Any] = notice["data"]
                return found
        raise LookupError(activation)


def test_every_state_arrives_in_order_whatever_happens_to_either_side(start: Start) -> None:
    receiver = Receiver()
    contact = start(SippUas, "answer_bye", calls=CALLS, pause=300)
    extension = start(SippUas, "answer", name="extension", calls=CALLS)
    service = start(Service, '[webhooks]\nnetworks = ["127.0.0.0/8"]\n').start()
    status, made = service.http(
        "PUT", f"{service.base}/webhooks", {"data": {"name": "test", "uri": receiver.url}}
    )
    assert status == 201, made
    definition = service.define(extension=extension.uri, whitelist=["uas"])
    called: list[str] = []

    def call() -> None:
        called.append(str(service.connect(definition, contact.uri)["id"]))

    for mood in ("takes", "hangs", "fails", "breaks"):
        receiver.mood = mood
        asked = receiver.asked
        call()
        call()
        for activation in called[-2:]:
            service.ended(definition, activation)
        until(lambda asked=asked: receiver.asked > asked, 20, f"a request while it {mood}")
    # Two that were over and two that are up when it dies, with notices on their way.
    call()
    call()
    time.sleep(0.15)
    service.stop(signal.SIGKILL)
    receiver.mood = "takes"
    service.start()
    call()
    service.ended(definition, called[-1])

    def is_complete() -> bool:
        states = receiver.states()
        return all(states.get(one, ["", ""])[-1] == "ended" for one in called)

    # What was being sent when it was killed is nobody's for half a minute.
    until(is_complete, 60, "the last notices")
    states = receiver.states()
    whole = [
        "initiated", "extension_ringing", "extension_answered", "contact_ringing", "connected", "ended",
    ]  # fmt: skip
    for one in called:
        record = service.record(definition, one)
        assert record["state"] == "ended"
        seen = states[one]
        assert seen == [state for state in whole if state in seen], "in order, each once"
        told = receiver.ended(one)
        for field in ("result", "cause", "explanation"):
            assert record[field] == told[field], field
        assert told["explanation"]
        if record["cause"] == "NORMAL_CLEARING":
            missing = set(whole) - set(seen)
            assert not missing - {"extension_ringing", "contact_ringing"}, (one, seen)
        else:
            # Its states up to the crash are on disk together with what is told of them.
            assert (seen[0], seen[-1]) == ("initiated", "ended")
    receiver.server.shutdown()
    receiver.server.server_close()
