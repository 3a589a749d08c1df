"""How a trunk is shown: what its registration and whoever asks for it know, in words and wall time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from c2c_sip.calling.trunks import describe
from c2c_sip.config import Trunk
from sipstack.registration import Failure, Standing
from sipstack.resolver import Target

TRUNK = Trunk(name="provider", domain="sip.example.net", username="1")
#: 2001-09-09T01:46:40Z is the Unix time 1,000,000,000; the loop's clock says 500 then.
WALL, NOW = 1_000_000_000.0, 500.0
SERVER = Target("UDP", ("192.0.2.7", 5060))


@dataclass
class Asked:
    """What is seen of a keep-alive."""

    alive: bool
    failure: Failure | None = None
    away_since: float | None = None


def shown(standing: Standing | None, keepalive: Any = None, trunk: Trunk = TRUNK) -> dict[str, Any]:
    return describe(trunk, standing, keepalive, 2, NOW, WALL)


def test_a_registered_trunk_says_where_and_for_how_long() -> None:
    found = shown(Standing("registered", 440.0, SERVER, expires=599.5))
    assert found == {
        "name": "provider",
        "domain": "sip.example.net",
        "transport": "udp",
        "register": True,
        "state": "registered",
        "last_error": None,
        "explanation": "",
        "server": "192.0.2.7:5060",
        "expires_in": 100,
        "since": "2001-09-09T01:45:40Z",
        "calls": 2,
    }


def test_a_refused_trunk_says_why_and_when() -> None:
    found = shown(Standing("failed", 490.0, failure=Failure(403, "403 Forbidden", 498.0)))
    assert (found["state"], found["server"], found["expires_in"]) == ("failed", "", None)
    assert found["since"] == "2001-09-09T01:46:30Z"
    assert found["last_error"] == {
        "status": 403,
        "reason": "403 Forbidden",
        "iso_8601": "2001-09-09T01:46:38Z",
    }
    assert found["explanation"]


def test_what_went_wrong_last_is_still_told_when_all_is_well_again() -> None:
    found = shown(Standing("registered", 499.0, SERVER, 800.0, Failure(503, "503 Busy", 400.0)))
    assert found["last_error"]["status"] == 503
    assert found["explanation"] == ""


def test_before_the_first_answer_nothing_is_known() -> None:
    found = shown(Standing())
    assert (found["state"], found["since"], found["last_error"]) == ("registering", None, None)


@pytest.mark.parametrize("standing", [None, Standing("registered", 400.0, SERVER, 800.0)])
def test_a_trunk_that_does_not_answer_has_failed_whatever_its_registrar_said(
    standing: Standing | None,
) -> None:
    asked = Asked(False, Failure(None, "408 Request Timeout to OPTIONS", 495.0), 480.0)
    found = shown(standing, asked)
    assert found["state"] == "failed"
    assert found["since"] == "2001-09-09T01:46:20Z"
    assert found["last_error"]["status"] is None
    assert found["explanation"]


def test_a_trunk_that_knows_us_by_address_is_static() -> None:
    trunk = Trunk(name="a", domain="b", register=False)
    assert shown(None, trunk=trunk)["state"] == "static"
    assert shown(None, Asked(True), trunk)["state"] == "static"


def test_the_later_failure_is_the_one_that_is_told() -> None:
    asked = Asked(True, Failure(503, "503 to OPTIONS", 300.0))
    standing = Standing("failed", 0.0, failure=Failure(None, "no answer", 400.0))
    assert shown(standing, asked)["last_error"]["reason"] == "no answer"


def test_an_ipv6_server_is_written_in_brackets() -> None:
    standing = Standing("registered", 1.0, Target("TLS", ("2001:db8::1", 5061)), 800.0)
    assert shown(standing)["server"] == "[2001:db8::1]:5061"
