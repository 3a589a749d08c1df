"""Servers found through a real name server, and what happens when the first of them dies."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import time

import pytest

from sipstack.message import Uri
from sipstack.resolver import DnsLookup, ResolveError, Resolver, Target
from tests.interop.conftest import Start
from tests.interop.programs import HOST, Dnsmasq, Kamailio, Service, SippUas, Way, free_port, until

RECORDS = [
    "naptr-record=example.test,10,10,S,SIP+D2T,,_sip._tcp.example.test",
    "naptr-record=example.test,20,10,S,SIP+D2U,,_sip._udp.example.test",
    "srv-host=_sip._tcp.example.test,one.example.test,5070,0,10",
    "srv-host=_sip._udp.example.test,one.example.test,5060,10,10",
    "srv-host=_sip._udp.example.test,two.example.test,5062,5,10",
    "host-record=one.example.test,192.0.2.1,2001:db8::1",
    "host-record=two.example.test,192.0.2.2",
    "host-record=one.two.example,192.0.2.9",
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


def test_an_answer_is_believed_for_its_ttl_and_no_longer(start: Start) -> None:
    server = start(Dnsmasq, [])
    server.hosts.write_text("192.0.2.1 moving.test\n")
    server.reread()
    now = 1000.0
    names = Resolver(DnsLookup([(HOST, server.port)]), clock=lambda: now)

    async def addresses() -> list[str]:
        return [t.address[0] for t in await names.resolve(Uri.parse("sip:moving.test:5060"))]

    assert asyncio.run(addresses()) == ["192.0.2.1"]
    server.hosts.write_text("192.0.2.2 moving.test\n")
    server.reread()
    now += 59
    assert asyncio.run(addresses()) == ["192.0.2.1"]
    now += 2
    assert asyncio.run(addresses()) == ["192.0.2.2"]
    # What does not exist is asked again soon, and a server that is gone leaves us with what we know.
    server.kill()
    now += 1000
    assert asyncio.run(addresses()) == ["192.0.2.2"]


def test_servers_share_by_the_weights_that_the_name_server_gives(start: Start) -> None:
    server = start(
        Dnsmasq,
        [
            "srv-host=_sip._udp.shared.test,one.shared.test,5060,0,30",
            "srv-host=_sip._udp.shared.test,two.shared.test,5060,0,10",
            "host-record=one.shared.test,192.0.2.1",
            "host-record=two.shared.test,192.0.2.2",
        ],
    )

    async def work() -> int:
        names = Resolver(DnsLookup([(HOST, server.port)]), rng=random.Random(1))
        first = 0
        for _ in range(400):
            found = await names.resolve(Uri.parse("sip:shared.test"), "UDP")
            assert len(found) == 2
            first += found[0].address[0] == "192.0.2.1"
        return first

    assert 270 < asyncio.run(work()) < 330


def test_a_name_server_that_is_deaf_gone_or_lame_does_not_hide_the_next(start: Start) -> None:
    good = start(Dnsmasq, [*RECORDS, "local=/example/"], "good")
    lame = start(Dnsmasq, [], "lame")  # refuses what it is not told about
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind((HOST, 0))
        for bad in (deaf.getsockname()[1], free_port(), lame.port):

            async def work(port: int) -> list[Target]:
                names = Resolver(DnsLookup([(HOST, port), (HOST, good.port)]))
                return await names.resolve(Uri.parse("sip:one.two.example:5060"))

            good_record = "192.0.2.9"
            assert [t.address[0] for t in asyncio.run(work(bad))] == [good_record]
    with pytest.raises(ResolveError, match="the name servers refuse or fail to answer"):
        resolve(lame, "sip:one.two.example:5060")


def test_an_alias_is_followed_and_a_name_server_may_speak_ipv6(start: Start) -> None:
    server = start(
        Dnsmasq,
        [
            "listen-address=::1",
            "cname=alias.example.test,two.example.test",
            *RECORDS,
        ],
    )

    async def work() -> list[Target]:
        return await Resolver(DnsLookup([("::1", server.port)])).resolve(
            Uri.parse("sip:alias.example.test:5062")
        )

    assert asyncio.run(work()) == [Target("UDP", ("192.0.2.2", 5062))]


@pytest.mark.parametrize(
    ("transport", "way"), [("udp", "gone"), ("udp", "silent"), ("tcp", "gone"), ("tcp", "silent")]
)
def test_a_server_that_dies_is_left_within_four_seconds_and_the_registration_moves(
    start: Start, request: pytest.FixtureRequest, transport: str, way: str
) -> None:
    """``gone``: its machine says so; ``silent``: nobody says anything, as when the machine is gone too."""
    kind = {"udp": "u1", "tcp": "t1"}[transport]
    desk, customer = (
        start(SippUas, "answer", name=name, transport=kind) for name in ("desk", "customer")
    )
    routes = {"1001": desk.uri, "1002": customer.uri}
    first = start(Kamailio, name="first", routes=routes, way=Way(transport))
    request.addfinalizer(
        lambda: os.killpg(first.process.pid, signal.SIGKILL) if way == "silent" else None
    )
    second = start(Kamailio, name="second", routes=routes, way=Way(transport))
    names = start(
        Dnsmasq,
        [
            f"srv-host=_sip._{transport}.provider.test,one.provider.test,{first.port},0,10",
            f"srv-host=_sip._{transport}.provider.test,two.provider.test,{second.port},10,10",
            f"host-record=one.provider.test,{HOST}",
            f"host-record=two.provider.test,{HOST}",
        ],
    )
    service = start(
        Service,
        first.trunk("2000", domain="provider.test"),
        realm="provider.test",
        env={"C2C_SIP_SIP__NAMESERVERS": f"{HOST}:{names.port}"},
        way=Way(transport),
    ).start()
    until(lambda: f"registered at {HOST}:{first.port}" in service.printed(), 10, "the first server")
    if way == "gone":
        first.kill()
    else:
        os.killpg(first.process.pid, signal.SIGSTOP)
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
    until(lambda: service.http("GET", "/readyz")[0] == 200, 5, "the registration")
