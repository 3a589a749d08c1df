"""An Asterisk with phones, and the service whose trunk it is by the example of ``conf/examples``."""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import Start, certificate, start
from tests.interop.programs import Baresip, Certificate, Service, Way, until
from tests.interop.programs.asterisk import Asterisk

__all__ = ["certificate", "start"]

REALM = "pbx.test"
TONES = {"1001": 700, "1002": 1100, "1003": 1700}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--asterisk-root",
        default=os.environ.get("ASTERISK_ROOT", "/"),
        help="the root folder of a system that has Asterisk (default: $ASTERISK_ROOT, or this system's)",
    )


class Pbx:
    """Asterisk, the service registered there, and baresip as its phones."""

    def __init__(self, asterisk: Asterisk, service: Service, phones: dict[str, Baresip]) -> None:
        self.asterisk = asterisk
        self.service = service
        self.phones = phones

    def call(
        self,
        contact: str,
        extension: str | list[str] = "1001",
        state: str = "connected",
        **fields: Any,
    ) -> tuple[str, str]:
        """Click, and wait until the call is so far, or over: its click-to-call and its activation."""
        definition = self.service.define(extension=extension, **fields)
        activation = str(self.service.connect(definition, contact)["id"])
        self.reaches((definition, activation), state, "ended")
        return definition, activation

    def reaches(self, call: tuple[str, str], *states: str) -> None:
        until(lambda: self.service.record(*call)["state"] in states, 20, f"{states}")

    def ended(self, call: tuple[str, str], seconds: float = 20.0) -> dict[str, Any]:
        return self.service.ended(*call, seconds=seconds)

    def hears(self, user: str, tone: float, seconds: float = 10.0) -> None:
        """Wait until that phone has heard a tone for a second."""
        phone = self.phones[user]

        def heard() -> bool:
            return any(phone.folder.glob("dump-*-dec.wav")) and phone.heard(tone) > 0.8

        until(heard, seconds, f"{tone} Hz at {user}")

    def messages(self, call: tuple[str, str]) -> list[str]:
        """Each message of the call as ``< contact 200 OK (INVITE) [SDP]``, ``>`` for those that we sent."""
        definition, activation = call
        path = f"{self.service.base}/clicktocall/{definition}/history/{activation}/trace.json"
        return [
            f"{'>' if m['direction'] == 'sent' else '<'} {m['role']} {m['summary'].removeprefix('SIP/2.0 ')}"
            for m in self.service.http("GET", path)[1]["messages"]
        ]

    def ladder(self, call: tuple[str, str]) -> str:
        definition, activation = call
        request = urllib.request.Request(
            f"{self.service.url}{self.service.base}/clicktocall/{definition}/history/{activation}/ladder.txt"
        )
        request.add_header("X-Auth-Token", self.service.token)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    def told(self, pattern: str, seconds: float = 15.0) -> str:
        """Wait for something in Asterisk's log."""
        found = until(lambda: re.search(pattern, self.asterisk.printed(), re.M), seconds, pattern)
        return str(found[0])


Make = Callable[..., Pbx]


@pytest.fixture
def pbx(
    request: pytest.FixtureRequest, start: Start, certificate: Certificate, tmp_path: Path
) -> Make:
    """``pbx(…)``: with options of :class:`Asterisk`, ``trunk`` for lines of the trunk's settings, ``env`` for the service."""
    root = Path(request.config.getoption("--asterisk-root"))

    def make(
        phones: tuple[str, ...] = ("1001",),
        trunk: dict[str, str] | None = None,
        env: dict[str, str] | None = None,
        way: Way = Way(),
        **options: Any,
    ) -> Pbx:
        own = certificate if way.transport == "tls" else None
        asterisk = start(
            Asterisk, root, way=way, certificate=own, phones=dict.fromkeys(phones, ""), **options
        )
        settings = asterisk.trunk(tmp_path, **(trunk or {}))
        service = start(Service, settings, realm=REALM, way=way, certificate=own, env=env).start()
        until(lambda: service.http("GET", "/readyz")[0] == 200, 15, "the registration")
        return Pbx(
            asterisk,
            service,
            {user: start(Baresip, user, asterisk, TONES[user]) for user in phones},
        )

    return make
