"""A captcha's provider over HTTP: only its clear yes is one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from c2c_sip import captcha
from c2c_sip.captcha import Captcha
from tests.interop.conftest import Start
from tests.interop.programs import HOST, Service

ANSWERS = {
    "good": (200, b'{"success": true}'),
    "bad": (200, b'{"success": false}'),
    "odd": (200, b'{"success": "true"}'),
    "list": (200, b"[true]"),
    "rubbish": (200, b"<html>"),
    "large": (200, b'{"success": true, "x": "' + b"x" * 20_000 + b'"}'),
    "broken": (500, b'{"success": true}'),
}


class Provider:
    """Answers by what the visitor brings; ``slow`` takes longer than anybody waits."""

    def __init__(self) -> None:
        self.asked: list[dict[str, list[str]]] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                form = parse_qs(self.rfile.read(size).decode())
                provider.asked.append(form)
                (response,) = form["response"]
                if response == "slow":
                    time.sleep(1.0)
                status, body = ANSWERS.get(response, ANSWERS["bad"])
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self.server.server_port}/siteverify"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


def test_only_a_clear_yes_of_the_provider_is_one(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Captcha(provider.url, "the secret")
    assert [response for response in ANSWERS if it.verify(response, "192.0.2.1")] == ["good"]
    wanted = {"secret": ["the secret"], "response": ["good"], "remoteip": ["192.0.2.1"]}
    assert provider.asked[0] == wanted
    monkeypatch.setattr(captcha, "TIMEOUT", 0.2)
    assert not it.verify("slow", "192.0.2.1")
    assert not it.verify("x" * 9000, "192.0.2.1")
    assert not Captcha("", "").verify("good", "192.0.2.1")
    provider.server.shutdown()
    provider.server.server_close()
    assert not it.verify("good", "192.0.2.1")


def test_a_visitor_who_has_solved_it_is_called(start: Start, provider: Provider) -> None:
    guard = (
        f'[guard]\nchallenge = "captcha"\ncaptcha_url = "{provider.url}"\ncaptcha_secret = "s"\n'
    )
    service = start(Service, guard).start()
    made = service.define(extension=f"sip:desk@{HOST}:9")
    path = f"{service.base}/clicktocall/{made}/connect"
    contact = {"contact": "sip:x@example.test"}
    token, service.token = service.token, ""
    assert service.http("POST", path, contact)[0] == 400
    assert service.http("POST", path, contact | {"captcha": "bad"})[0] == 400
    assert service.http("POST", path, contact | {"g-recaptcha-response": "good"})[0] == 200
    assert len(provider.asked) == 2
    service.token = token
    assert service.http("POST", path, contact)[0] == 200
    assert len(provider.asked) == 2
