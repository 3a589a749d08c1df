"""What the settings and an account's document allow: :mod:`c2c_sip.calling.policy`'s rules, made of them. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import phonenumbers

from c2c_sip.calling.address import Network
from c2c_sip.calling.numbering import ANYWHERE
from c2c_sip.calling.policy import Rules
from c2c_sip.calling.routing import trunk_hosts
from c2c_sip.config import Config

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def rules_for(account: Mapping[str, Any], config: Config) -> Rules:
    """The rules for an account's calls. What its document says makes the settings' stricter, never laxer."""
    calling, guard = config.calling, config.guard
    region = account.get("region")
    if region not in phonenumbers.SUPPORTED_REGIONS:
        region = calling.default_region
    countries = frozenset(guard.countries or (calling.default_region,))
    narrower = frozenset(account.get("countries") or [ANYWHERE])
    if ANYWHERE not in narrower:
        countries = narrower if ANYWHERE in countries else countries & narrower
    return Rules(
        region=region,
        # No country that both allow is no country at all, and not the default.
        countries=countries or frozenset({""}),
        kinds=frozenset(guard.number_kinds),
        sip_hosts=frozenset(guard.sip_hosts),
        switches=trunk_hosts(config.trunks),
        networks=networks_of(config),
    )


def networks_of(config: Config) -> tuple[Network, ...]:
    """The inner networks that SIP URIs may lead into.

    A service whose SIP sockets are all on loopback reaches nothing else: there, it is where its phones are.
    """
    given = tuple(ipaddress.ip_network(text) for text in config.guard.networks)
    hosts = [text.split(":", 1)[1].rpartition(":")[0].strip("[]") for text in config.sip.listen]
    if all(any(ipaddress.ip_address(host) in network for network in LOOPBACK) for host in hosts):
        return given + LOOPBACK
    return given
