"""The rules that settings and an account's document make."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from c2c_sip.calling.guard import networks_of, rules_for
from c2c_sip.config import Calling, Config, Guard, Sip, Trunk


def config(**guard: Any) -> Config:
    return replace(Config(), guard=Guard(**guard), calling=Calling(default_region="DE"))


@pytest.mark.parametrize(
    ("settings", "account", "region", "countries"),
    [
        ((), {}, "DE", {"DE"}),
        (("DE", "AT"), {}, "DE", {"DE", "AT"}),
        (("any",), {}, "DE", {"any"}),
        (("DE", "AT"), {"region": "AT"}, "AT", {"DE", "AT"}),
        ((), {"region": "AT"}, "AT", {"DE"}),
        ((), {"region": "Mars"}, "DE", {"DE"}),
        (("DE", "AT"), {"countries": ["AT"]}, "DE", {"AT"}),
        (("DE", "AT"), {"countries": ["AT", "US"]}, "DE", {"AT"}),
        (("DE", "AT"), {"countries": ["any"]}, "DE", {"DE", "AT"}),
        (("any",), {"countries": ["AT", "US"]}, "DE", {"AT", "US"}),
        (("DE",), {"countries": ["US"]}, "DE", {""}),
        (("DE",), {"countries": []}, "DE", {"DE"}),
    ],
)
def test_an_account_may_make_the_settings_stricter_and_never_laxer(
    settings: tuple[str, ...], account: dict[str, Any], region: str, countries: set[str]
) -> None:
    rules = rules_for(account, config(countries=settings))
    assert (rules.region, rules.countries) == (region, countries)


def test_a_trunk_s_hosts_are_switches() -> None:
    trunks = (Trunk(name="a", domain="SIP.Example:5080", outbound_proxy="proxy.example"),)
    rules = rules_for({}, replace(Config(), trunks=trunks))
    assert rules.switches == {"sip.example", "proxy.example"}


@pytest.mark.parametrize(
    ("listen", "loopback"),
    [
        (["udp:127.0.0.1:0"], True),
        (["udp:127.0.0.1:5060", "tcp:[::1]:5060"], True),
        (["udp:127.0.0.1:5060", "tcp:0.0.0.0:5060"], False),
        (["udp:0.0.0.0:5060"], False),
        (["udp:192.168.1.5:5060"], False),
        (["udp:[::]:5060"], False),
    ],
)
def test_a_service_that_listens_on_loopback_only_may_call_there(
    listen: list[str], loopback: bool
) -> None:
    networks = networks_of(replace(config(networks=("10.0.0.0/8",)), sip=Sip(listen=tuple(listen))))
    for address in ("127.0.0.1", "::1"):
        assert any(ip_address(address) in network for network in networks) == loopback
    assert any(ip_address("10.1.1.1") in network for network in networks)
    assert not any(ip_address("192.168.1.5") in network for network in networks)
