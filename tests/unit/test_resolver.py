"""Where a URI leads (RFC 3263), with a DNS that is a dictionary."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from sipstack.message import Uri
from sipstack.resolver import (
    LEFT_ALONE,
    Answer,
    Naptr,
    ResolveError,
    Resolver,
    Srv,
    Target,
    by_weight,
    kinds_of,
)

Zone = dict[tuple[str, str], Sequence[Naptr | Srv | str]]


class Dns:
    """Answers from a zone, and counts the questions; a zone of ``None`` is a dead name server."""

    def __init__(self, zone: Zone | None, ttl: float = 60.0) -> None:
        self.zone = zone
        self.ttl = ttl
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, name: str, kind: str) -> Answer:
        self.asked.append((name, kind))
        if self.zone is None:
            raise OSError("timeout")
        return Answer(tuple(self.zone.get((name, kind), ())), self.ttl)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def resolver(dns: Dns, clock: Clock | None = None, transports: str = "UDP TCP TLS") -> Resolver:
    return Resolver(
        dns, transports=transports.split(), clock=clock or Clock(), rng=random.Random(1)
    )


def targets(found: list[Target]) -> list[str]:
    return [f"{t.transport} {t.address[0]} {t.address[1]}" for t in found]


def find(zone: Zone, uri: str, default: str = "", transports: str = "UDP TCP TLS") -> list[str]:
    work = resolver(Dns(zone), transports=transports).resolve(Uri.parse(uri), default)
    return targets(asyncio.run(work))


ZONE: Zone = {
    ("example.com", "NAPTR"): (
        Naptr(50, 50, "SIPS+D2T", "_sips._tcp.example.com"),
        Naptr(90, 50, "SIP+D2T", "_sip._tcp.example.com"),
        Naptr(100, 50, "SIP+D2U", "_sip._udp.example.com"),
    ),
    ("_sips._tcp.example.com", "SRV"): (Srv(0, 1, "tls.example.com", 5061),),
    ("_sip._tcp.example.com", "SRV"): (
        Srv(0, 1, "one.example.com", 5070),
        Srv(1, 1, "two.example.com", 5071),
    ),
    ("_sip._udp.example.com", "SRV"): (Srv(0, 1, "two.example.com", 5060),),
    ("one.example.com", "A"): ("192.0.2.1",),
    ("one.example.com", "AAAA"): ("2001:db8::1",),
    ("two.example.com", "A"): ("192.0.2.2",),
    ("tls.example.com", "A"): ("192.0.2.3",),
    ("plain.example.com", "A"): ("192.0.2.4", "192.0.2.5"),
    ("_sip._tcp.tcp-only.example.com", "SRV"): (Srv(0, 1, "two.example.com", 5075),),
    ("tcp-only.example.com", "A"): ("192.0.2.4",),
    ("named.example.com", "NAPTR"): (
        Naptr(10, 10, "SIP+D2U", "_sip._udp.example.com"),
        Naptr(20, 10, "SIPS+D2T", "elsewhere.example.com"),
    ),
    ("named.example.com", "A"): ("192.0.2.4",),
    ("elsewhere.example.com", "SRV"): (Srv(0, 1, "tls.example.com", 5099),),
    ("_sip._udp.closed.example.com", "SRV"): (Srv(0, 0, "", 0),),
    ("closed.example.com", "A"): ("192.0.2.4",),
}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:192.0.2.9", ["UDP 192.0.2.9 5060"]),
        ("sip:192.0.2.9:5080;transport=tcp", ["TCP 192.0.2.9 5080"]),
        ("sips:192.0.2.9", ["TLS 192.0.2.9 5061"]),
        ("sip:[2001:db8::9]", ["UDP 2001:db8::9 5060"]),
        ("sip:example.com;maddr=192.0.2.8", ["UDP 192.0.2.8 5060"]),
        (
            "sip:example.com",
            [
                "TLS 192.0.2.3 5061",
                "TCP 192.0.2.1 5070",
                "TCP 2001:db8::1 5070",
                "TCP 192.0.2.2 5071",
                "UDP 192.0.2.2 5060",
            ],
        ),
        ("sip:tcp-only.example.com", ["TCP 192.0.2.2 5075"]),
        ("sips:named.example.com", ["TLS 192.0.2.3 5099"]),
        ("sips:named.example.com;transport=tcp", ["TLS 192.0.2.4 5061"]),
        (
            "sip:example.com;transport=tcp",
            ["TCP 192.0.2.1 5070", "TCP 2001:db8::1 5070", "TCP 192.0.2.2 5071"],
        ),
        ("sip:example.com;transport=udp", ["UDP 192.0.2.2 5060"]),
        ("sips:example.com", ["TLS 192.0.2.3 5061"]),
        ("sip:plain.example.com", ["UDP 192.0.2.4 5060", "UDP 192.0.2.5 5060"]),
        ("sip:plain.example.com:5090", ["UDP 192.0.2.4 5090", "UDP 192.0.2.5 5090"]),
        ("sips:plain.example.com", ["TLS 192.0.2.4 5061", "TLS 192.0.2.5 5061"]),
    ],
)
def test_a_uri_leads_to_its_servers_in_order(uri: str, expected: list[str]) -> None:
    assert find(ZONE, uri) == expected


def test_naptr_leads_to_no_transport_that_we_have_not() -> None:
    assert find(ZONE, "sip:example.com", transports="UDP TCP")[0] == "TCP 192.0.2.1 5070"
    assert find(ZONE, "sip:example.com", transports="UDP") == ["UDP 192.0.2.2 5060"]


def test_a_default_transport_decides_without_naptr() -> None:
    dns = Dns(ZONE)
    found = asyncio.run(resolver(dns).resolve(Uri.parse("sip:example.com"), "UDP"))
    assert targets(found) == ["UDP 192.0.2.2 5060"]
    assert ("example.com", "NAPTR") not in dns.asked


def test_a_name_without_an_address_says_so() -> None:
    with pytest.raises(ResolveError, match=r"nowhere\.example"):
        find(ZONE, "sip:nowhere.example")


def test_a_service_that_is_decidedly_not_there_is_not_looked_for_at_the_host() -> None:
    with pytest.raises(ResolveError):
        find(ZONE, "sip:closed.example.com;transport=udp")


def test_a_transport_that_nobody_here_speaks_says_so() -> None:
    with pytest.raises(ResolveError, match="SCTP"):
        find(ZONE, "sip:example.com;transport=sctp")


def test_who_asks_the_same_at_the_same_moment_asks_once() -> None:
    dns = Dns(ZONE)
    names = resolver(dns)

    async def work() -> list[list[Target]]:
        uri = Uri.parse("sip:plain.example.com:5060")
        return await asyncio.gather(*(names.resolve(uri) for _ in range(5)))

    assert len(asyncio.run(work())) == 5
    assert sorted(dns.asked) == [("plain.example.com", "A"), ("plain.example.com", "AAAA")]


def test_a_dead_name_server_is_not_found_out_for_each_call() -> None:
    clock, dns = Clock(), Dns(ZONE, ttl=20)
    names = resolver(dns, clock)
    uri = Uri.parse("sip:plain.example.com:5060")
    asyncio.run(names.resolve(uri))
    dns.zone = None
    clock.now += 21
    for _ in range(3):
        assert targets(asyncio.run(names.resolve(uri)))[0] == "UDP 192.0.2.4 5060"
    assert len(dns.asked) == 4


def test_a_server_may_say_for_how_long_it_is_to_be_left_alone() -> None:
    clock = Clock()
    names = resolver(Dns(ZONE), clock)
    uri = Uri.parse("sip:plain.example.com:5060")
    names.failed(Target("UDP", ("192.0.2.4", 5060)), 300.0)
    clock.now += 299
    assert asyncio.run(names.resolve(uri))[0].address[0] == "192.0.2.5"
    clock.now += 2
    assert asyncio.run(names.resolve(uri))[0].address[0] == "192.0.2.4"


def test_addresses_that_we_cannot_send_to_are_not_asked_for() -> None:
    dns = Dns(ZONE)
    names = Resolver(dns, kinds=kinds_of(["0.0.0.0"]), clock=Clock())
    found = asyncio.run(names.resolve(Uri.parse("sip:one.example.com:5060")))
    assert targets(found) == ["UDP 192.0.2.1 5060"]
    assert dns.asked == [("one.example.com", "A")]


def test_servers_of_one_priority_share_by_weight() -> None:
    records = [Srv(0, 3, "a", 1), Srv(0, 1, "b", 1), Srv(0, 0, "c", 1), Srv(1, 9, "d", 1)]
    rng = random.Random(5)
    first: Counter[str] = Counter()
    for _ in range(4000):
        ordered = by_weight(records, rng)
        assert sorted(r.host for r in ordered) == ["a", "b", "c", "d"]
        assert ordered[-1].host == "d"
        first[ordered[0].host] += 1
    assert 2.6 < first["a"] / first["b"] < 3.4
    assert first["c"] < 40


def test_a_server_that_failed_comes_last_for_a_while() -> None:
    clock = Clock()
    names = resolver(Dns(ZONE), clock)
    uri = Uri.parse("sip:example.com;transport=tcp")

    def order() -> list[str]:
        return [t.address[0] for t in asyncio.run(names.resolve(uri))]

    assert order() == ["192.0.2.1", "2001:db8::1", "192.0.2.2"]
    names.failed(Target("TCP", ("192.0.2.1", 5070)))
    assert order() == ["2001:db8::1", "192.0.2.2", "192.0.2.1"]
    clock.now += LEFT_ALONE + 1
    assert order()[0] == "192.0.2.1"
    names.failed(Target("TCP", ("192.0.2.1", 5070)))
    names.worked(Target("TCP", ("192.0.2.1", 5070)))
    assert order()[0] == "192.0.2.1"


def test_an_answer_is_believed_as_long_as_it_holds_and_longer_when_nobody_answers() -> None:
    clock, dns = Clock(), Dns(ZONE, ttl=20)
    names = resolver(dns, clock)
    uri = Uri.parse("sip:plain.example.com:5060")

    def ask() -> list[Target]:
        return asyncio.run(names.resolve(uri))

    ask()
    count = len(dns.asked)
    clock.now += 19
    ask()
    assert len(dns.asked) == count
    clock.now += 2
    ask()
    assert len(dns.asked) > count
    clock.now += 1000
    dns.zone = None
    assert targets(ask())[0] == "UDP 192.0.2.4 5060"
    with pytest.raises(ResolveError):
        asyncio.run(names.resolve(Uri.parse("sip:other.example.com:5060")))


def test_that_there_is_nothing_is_remembered_for_a_short_time() -> None:
    clock, dns = Clock(), Dns({}, ttl=3600)
    names = resolver(dns, clock)
    for wait in (0, 10, 25):
        clock.now += wait
        with pytest.raises(ResolveError):
            asyncio.run(names.resolve(Uri.parse("sip:a.example:5060")))
    assert dns.asked.count(("a.example", "A")) == 2


def test_what_is_remembered_is_bounded() -> None:
    names = resolver(Dns({}))
    for number in range(3000):
        with pytest.raises(ResolveError):
            asyncio.run(names.resolve(Uri.parse(f"sip:h{number}.example:5060")))
        names.failed(Target("UDP", ("192.0.2.1", number)))
    assert len(names._known) <= 1024
    assert len(names._failed) <= 1024


def test_a_server_without_an_address_does_not_hide_the_next() -> None:
    zone: Zone = {
        ("_sip._udp.example.com", "SRV"): (Srv(0, 1, "gone.example.com", 1), Srv(1, 1, "b", 5062)),
        ("b", "A"): ("192.0.2.7",),
    }
    assert find(zone, "sip:example.com;transport=udp") == ["UDP 192.0.2.7 5062"]


def test_a_name_server_that_fails_for_one_family_does_not_hide_the_other() -> None:
    class Lame(Dns):
        async def __call__(self, name: str, kind: str) -> Answer:
            if kind == "AAAA":
                raise OSError("SERVFAIL")
            return await super().__call__(name, kind)

    names = resolver(Lame({("a.example", "A"): ("192.0.2.1",)}))
    assert targets(asyncio.run(names.resolve(Uri.parse("sip:a.example:5060")))) == [
        "UDP 192.0.2.1 5060"
    ]
