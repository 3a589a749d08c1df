"""Servers found through a real name server, and what happens when the first of them dies."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from sipstack.message import Uri
from sipstack.resolver import DnsLookup, ResolveError, Resolver, Target
from tests.interop.conftest import Start
from tests.interop.programs import HOST, Dnsmasq, Kamailio, Service, SippUas, until

RECORDS = [
    "naptr-record=example.test,10,10,S,SIP+D2T,,_sip._tcp.example.test",
    "naptr-record=example.test,20,10,S,SIP+D2U,,_sip._udp.example.test",
    "srv-host=_sip._tcp.example.test,one.example.test,5070,0,10",
    "srv-host=_sip._udp.example.test,one.example.test,5060,10,10",
    "srv-host=_sip._udp.example.test,two.example.test,5062,5,10",
    "host-record=one.example.test,192.0.2.1,2001:db8::1",
    "host-record=two.example.test,192.0.2.2",
]


def resolve(server: Dnsmasq, uri: str) -> list[Target]:
    async def work() -> list[Target]:
        return await Resolver(DnsLookup([(HOST, server.port)]), rng=random.Random(1)).resolve(
            Uri.parse(uri)
        )

    return asyncio.run(work())


def test_naptr_srv_and_addresses_of_both_families_are_asked_of_a_real_server(start: Start) -> None:
    server = start(Dnsmasq, RECORDS)
    assert resolve(server, "sip:example.test")[:2] == [
        Target("TCP", ("192.0.2.1", 5070)),
        Target("TCP", ("2001:db8::1", 5070)),
    ]
    assert [t.address for t in resolve(server, "sip:example.test;transport=udp")] == [
        ("192.0.2.2", 5062),
        ("192.0.2.1", 5060),
        ("2001:db8::1", 5060),
    ]
    assert resolve(server, "sips:two.example.test") == [Target("TLS", ("192.0.2.2", 5061))]
    with pytest.raises(ResolveError):
        resolve(server, "sip:nobody.example.test")


def test_an_answer_that_does_not_fit_a_datagram_comes_by_tcp(start: Start) -> None:
    many = [
        f"srv-host=_sip._udp.big.test,a-server-with-quite-a-long-name-{n}.big.test,{5000 + n},{n},1"
        for n in range(60)
    ]
    hosts = [
        f"host-record=a-server-with-quite-a-long-name-{n}.big.test,192.0.2.{n + 1}"
        for n in range(60)
    ]
    server = start(Dnsmasq, [*many, *hosts, "edns-packet-max=512"])
    found = resolve(server, "sip:big.test;transport=udp")
    assert found[0] == Target("UDP", ("192.0.2.1", 5000))
    assert len(found) == 16


def test_a_server_that_dies_is_left_within_four_seconds_and_the_registration_moves(
    start: Start,
) -> None:
    desk, customer = (start(SippUas, "answer", name=name) for name in ("desk", "customer"))
    routes = {"1001": desk.uri, "1002": customer.uri}
    first = start(Kamailio, name="first", routes=routes)
    second = start(Kamailio, name="second", routes=routes)
    names = start(
        Dnsmasq,
        [
            f"srv-host=_sip._udp.provider.test,one.provider.test,{first.port},0,10",
            f"srv-host=_sip._udp.provider.test,two.provider.test,{second.port},10,10",
            f"host-record=one.provider.test,{HOST}",
            f"host-record=two.provider.test,{HOST}",
        ],
    )
    service = start(
        Service,
        first.trunk("2000", domain="provider.test"),
        realm="provider.test",
        env={"C2C_SIP_SIP__NAMESERVERS": f"{HOST}:{names.port}"},
    ).start()
    until(lambda: f"registered at {HOST}:{first.port}" in service.printed(), 10, "the first server")
    first.kill()
    began = time.time()
    definition = service.define(extension="1001", realm="provider.test")
    activation = service.connect(definition, "1002")

    def connected() -> bool:
        return bool(service.record(definition, activation["id"])["state"] == "connected")

    until(connected, 15, "the call")
    channel = f"{service.base}/channels/{activation['call_id']}"
    assert service.http("POST", channel, {"data": {"action": "hangup"}})[0] == 200
    record = service.ended(definition, activation["id"], 30)
    assert (record["result"], record["cause"]) == ("success", "NORMAL_CLEARING"), service.printed()
    invited, _ = desk.received("INVITE")[0]
    midnight = time.mktime((*time.localtime(began)[:3], 0, 0, 0, 0, 0, -1))
    assert invited - (began - midnight) < 4.0
    until(lambda: f"registered at {HOST}:{second.port}" in service.printed(), 10, "the second")
