"""What fraudsters try with a public activation URL: what each attack gets, and that no packet is sent for it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.interop.abuse import Attacker, BusyTrunk, Table, reason
from tests.interop.conftest import Start
from tests.interop.programs import HOST, Dnsmasq, Service, until
from tests.unit.test_pattern import CATASTROPHES

NUMBER = "+14155550123"
#: What is built in, but for this machine too, from which the tests ask.
LIMITS = """
[guard]
countries = []
per_address = 60
per_contact = 10
per_clicktocall = 300
per_account = 1000
per_service = 5000
"""


@pytest.fixture
def trunk() -> Iterator[BusyTrunk]:
    trunk = BusyTrunk()
    yield trunk
    trunk.close()


def _sip(host: str, user: str = "x") -> str:
    return f"sip:{user}@{host}"


#: (attack, contact, whitelist, why it is refused)
CONTACTS: list[tuple[str, Any, list[str], str]] = [
    ("loopback", _sip("127.0.0.1"), [], "host"),
    ("loopback that the whitelist has", _sip("127.0.0.1"), ["."], "address"),
    ("loopback in one number", _sip("2130706433"), ["."], "address"),
    ("loopback in hexadecimal", _sip("0x7f.1"), ["."], "address"),
    ("loopback in octal", _sip("0177.0.0.1"), ["."], "address"),
    ("loopback by IPv6", _sip("[::1]"), ["."], "address"),
    ("loopback mapped", _sip("[::ffff:127.0.0.1]"), ["."], "address"),
    ("loopback by name", _sip("localhost"), ["."], "address"),
    ("loopback over TCP", _sip("127.0.0.1") + ";transport=tcp", ["."], "address"),
    ("the cloud's metadata", _sip("169.254.169.254"), [], "host"),
    ("the cloud's metadata that the whitelist has", _sip("169.254.169.254:80"), ["."], "address"),
    ("the cloud's metadata in one number", _sip("2852039166"), ["."], "address"),
    ("the office's network", _sip("192.168.1.1"), ["."], "address"),
    ("a group", _sip("224.0.1.75"), ["."], "address"),
    ("nobody", _sip("0.0.0.0"), ["."], "address"),
    ("elsewhere by maddr", _sip("example.test") + ";maddr=10.0.0.1", ["."], "format"),
    ("headers in a URI", _sip("example.test") + "?Route=%3Csip:10.0.0.1%3E", ["."], "format"),
    ("another's network", _sip("elsewhere.test"), [], "host"),
    ("premium", "+19005550123", [], "premium"),
    ("premium, nationally", "1 (900) 555-0123", ["."], "premium"),
    ("premium, by its prefix", "011 1 900 555 0123", ["."], "premium"),
    ("premium in a tel URI", "tel:%2B1900-555-0123;ext=7", ["."], "premium"),
    ("premium at the realm", _sip("example.test", "+19005550123") + ";user=phone", [], "premium"),
    ("premium in escapes", _sip("example.test", "%2B1%39005550123"), [], "premium"),
    ("premium in digits of India", "+१९००५५५०१२३", ["."], "premium"),
    ("premium with more behind", "+1900555012399", ["."], "premium"),
    ("premium after zeros", "0000019005550123", ["."], "premium"),
    ("premium by its context", "tel:5550123;phone-context=+1900", ["."], "premium"),
    ("premium behind a code", "*67 900 555 0123", ["."], "premium"),
    ("the operator", "0", [], "short"),
    ("a satellite", "+881612345678", [], "satellite"),
    ("the police", "911", [], "emergency"),
    ("the police, with a line before", "9-911", ["."], "emergency"),
    ("forwarding the office's phone", "*72 415 555 0123", [], "short"),
    ("Jamaica", "+1 876 555 0123", [], "country"),
    ("headers in a number", "+14155550123\r\nRoute: <sip:10.0.0.1>", [], "format"),
    ("headers in a URI's user", _sip("example.test", "x\r\nVia: y"), ["."], "format"),
    ("headers in escapes", _sip("example.test", "x%0d%0aVia:y"), ["."], "format"),
    ("a name", '"Bob" <sip:x@example.test>', ["."], "format"),
    ("a script", "<script>alert(1)</script>", ["."], "format"),
    ("a list", ["+14155550123"], [], "type"),
    ("nothing", None, [], "required"),
    ("a long text", "1" * 60_000, [], "maxLength"),
]  # fmt: skip


def test_no_contact_of_these_is_called_and_nothing_is_sent(
    start: Start, trunk: BusyTrunk, table: Table
) -> None:
    env = {"C2C_SIP_SIP__LISTEN": "udp:0.0.0.0:0,tcp:0.0.0.0:0"}
    service = start(Service, LIMITS + trunk.settings(), env=env).start()
    attacker = Attacker(service)
    paths = {}
    for whitelist in ([], ["."]):
        made = service.define(extension="101", whitelist=whitelist)
        paths[bool(whitelist)] = f"{service.base}/clicktocall/{made}"
    for attack, contact, whitelist, why in CONTACTS:
        path = f"{paths[bool(whitelist)]}/connect"
        attacker.times.clear()
        status, answer = attacker.one("POST", path, {"contact": contact})
        assert status == 400, (attack, answer)
        found = {rule for rules in answer["data"].values() for rule in rules} | {reason(answer)}
        assert why in found, (attack, answer)
        if isinstance(contact, str) and len(contact) < 1000:
            status, _ = attacker.one("GET", f"{path}?contact={quote(contact)}")
            assert status == 400, attack
        # Whoever has a token may call other hosts, and no other addresses.
        if why in ("address", "premium", "emergency", "satellite", "country"):
            status, answer = service.http("POST", path, {"contact": contact})
            assert status == 400, (attack, answer)
        table.add(attack, f"{status} {why}", attacker.times)
    assert trunk.packets == 0
    assert service.http("GET", f"{service.base}/channels")[1]["data"] == []
    _, history = service.http("GET", f"{paths[True]}/history?paginate=false")
    rules = {row["rule"] for row in history["data"]}
    assert {"address", "premium", "emergency", "contact"} <= rules
    assert {row["result"] for row in history["data"]} == {"error"}


def test_a_name_that_leads_inside_rings_nobody(
    start: Start, trunk: BusyTrunk, table: Table
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind((HOST, 0))
        ear.settimeout(0.5)
        port = ear.getsockname()[1]
        names = start(
            Dnsmasq,
            [
                f"host-record=inside.test,{HOST}",
                "host-record=mapped.test,::ffff:127.0.0.1",
                "host-record=cloud.test,169.254.169.254",
                "cname=alias.test,inside.test",
                f"srv-host=_sip._udp.service.test,inside.test,{port},0,5",
            ],
        )
        env = {
            "C2C_SIP_SIP__LISTEN": "udp:0.0.0.0:0,udp:[::]:0",
            "C2C_SIP_SIP__NAMESERVERS": f"{HOST}:{names.port}",
        }
        service = start(Service, trunk.settings(), env=env).start()
        attacker = Attacker(service)
        made = service.define(extension="101", whitelist=["."], dial_first="contact")
        path = f"{service.base}/clicktocall/{made}"
        for host in ("inside.test", "mapped.test", "cloud.test", "alias.test"):
            status, answer = attacker.one("POST", f"{path}/connect", {"contact": f"sip:x@{host}:{port}"})  # fmt: skip
            assert status == 200
            record = service.ended(made, answer["data"]["id"])
            assert record["result"] == "error" and not record["ringing_seconds"], record
        status, answer = attacker.one("POST", f"{path}/connect", {"contact": "sip:x@service.test"})
        assert service.ended(made, answer["data"]["id"])["result"] == "error"
        with pytest.raises(TimeoutError):
            ear.recv(1)
        # It was for the address: where the operator allows that, the same names are called.
        service.stop()
        service.allow("C2C_SIP_GUARD__NETWORKS", "127.0.0.0/8")
        service.start()
        ear.settimeout(20)
        for host in ("alias.test:" + str(port), "service.test"):
            service.connect(made, f"sip:x@{host}")
            while not (heard := ear.recv(65535)).startswith(f"INVITE sip:x@{host}".encode()):
                assert heard
    assert trunk.packets == 0
    table.add("names that resolve to loopback and 169.254.169.254", "200, then error", attacker.times)  # fmt: skip


def test_headers_are_injected_by_no_field(start: Start, trunk: BusyTrunk) -> None:
    service = start(Service, trunk.settings()).start()
    evil = "x\r\nRoute: <sip:10.0.0.1>"
    fields = ["name", "extension", "realm", "outbound_callee_id_name", "outbound_callee_id_number", "caller_id_number"]  # fmt: skip
    good = {"name": "n", "extension": "101"}
    documents = [good | {field: evil} for field in fields]
    documents += [good | {"custom_sip_headers": {"X-A": evil}}, good | {"custom_sip_headers": {evil: "x"}}]  # fmt: skip
    documents += [good | {"custom_application_vars": {"a": evil}}, good | {"whitelist": [evil, "("]}]  # fmt: skip
    for document in documents:
        status, answer = service.http("PUT", f"{service.base}/clicktocall", {"data": document})
        assert status == 400, (document, answer)
    assert trunk.packets == 0


def test_ten_thousand_activations_from_one_address_are_sixty(
    start: Start, trunk: BusyTrunk, table: Table
) -> None:
    service = start(Service, LIMITS + trunk.settings()).start()
    made = service.define(extension="101")
    attacker = Attacker(service)
    path = f"{service.base}/clicktocall/{made}/connect"
    attacker.many(10_000, path, lambda n: {"contact": f"+1415555{n:04}"})
    assert attacker.statuses == {200: 60, 503: 9940}
    until(lambda: len(trunk.dialled) == 60, 10, "the calls")
    where = f"{service.base}/clicktocall/{made}/history?paginate=false"

    def refused() -> list[dict[str, Any]]:
        rows = service.http("GET", where)[1]["data"]
        return [row for row in rows if "rule" in row]

    # The number of those without a record of their own is written every second.
    until(lambda: sum(row["times"] for row in refused()) >= 9940, 20, "the number of refusals")
    assert sum(row["times"] for row in refused()) == 9940
    # On a busy machine some find that too many calls begin at once, before their limit is looked at.
    assert {row["rule"] for row in refused()} <= {"per_address", "full"}
    assert len(refused()) <= 45
    assert len(trunk.dialled) == 60
    answered = dict(sorted(attacker.statuses.items()))
    table.add("10,000 activations from one address", answered, attacker.times, "60 INVITEs")


def test_a_thousand_addresses_call_no_number_more_than_ten_times_nor_a_click_to_call_300(
    start: Start, trunk: BusyTrunk, table: Table
) -> None:
    env = {"C2C_SIP_HTTP__TRUSTED_PROXIES": HOST}
    service = start(Service, LIMITS + trunk.settings(), env=env).start()

    def source(n: int) -> dict[str, str]:
        return {"X-Forwarded-For": f"203.0.{n % 1000 // 250}.{n % 250 + 1}"}

    bombing = Attacker(service)
    made = service.define(extension="101")
    path = f"{service.base}/clicktocall/{made}/connect"
    spellings = [NUMBER, "415 555 0123", "tel:+1-415-555-0123", "+1 (415) 555.0123", f"{NUMBER}99", "0014155550123"]  # fmt: skip
    bombing.many(1000, path, lambda n: {"contact": spellings[n % len(spellings)]}, source)
    assert bombing.statuses == {200: 10, 503: 990}
    flood = Attacker(service)
    other = service.define(extension="101")
    path = f"{service.base}/clicktocall/{other}/connect"
    flood.many(10_000, path, lambda n: {"contact": f"+1415555{n:04}"}, source)
    assert flood.statuses == {200: 300, 503: 9700}
    until(lambda: len(trunk.dialled) == 310, 10, "the calls")
    assert set(trunk.dialled.values()) == {"sip:101@example.test"}
    table.add("bombing one number from 1,000 addresses", dict(sorted(bombing.statuses.items())), bombing.times, "10 INVITEs")  # fmt: skip
    table.add("10,000 activations from 1,000 addresses", dict(sorted(flood.statuses.items())), flood.times, "300 INVITEs")  # fmt: skip


def test_limits_and_links_outlive_a_kill(start: Start, trunk: BusyTrunk) -> None:
    service = start(Service, LIMITS + trunk.settings()).start()
    made = service.define(extension="101", auth_required=True)
    public = service.define(extension="101")
    path = f"{service.base}/clicktocall"
    _, answer = service.http("POST", f"{path}/{made}/link", {"data": {"contact": "+14155550199"}})
    follow = f"{path}/{made}/connect?link={answer['data']['link']}"
    attacker = Attacker(service)
    assert attacker.one("POST", follow)[0] == 200
    for _ in range(10):
        assert attacker.one("POST", f"{path}/{public}/connect", {"contact": NUMBER})[0] == 200
    until(lambda: len(trunk.dialled) == 11, 10, "the calls")
    service.process.send_signal(signal.SIGKILL)
    service.process.wait()
    service.start()
    attacker = Attacker(service)
    assert reason(attacker.one("POST", follow)[1]) == "link_used"
    assert reason(attacker.one("GET", follow)[1]) == "link_used"
    status, answer = attacker.one("POST", f"{path}/{public}/connect", {"contact": "4155550123"})
    assert (status, reason(answer)) == (503, "per_contact")
    assert len(trunk.dialled) == 11


def test_a_catastrophic_whitelist_is_asked_in_steps_and_the_service_goes_on(
    start: Start, trunk: BusyTrunk, table: Table
) -> None:
    service = start(Service, trunk.settings()).start()
    attacker = Attacker(service)
    for pattern in CATASTROPHES:
        made = service.define(extension="101", whitelist=[f"(?:{pattern})never"])
        path = f"{service.base}/clicktocall/{made}/connect"
        for contact in ("sip:" + "a" * 239 + "@example.test", "sip:" + "x" * 240 + "@x.test"):
            status, answer = attacker.one("POST", path, {"contact": contact})
            assert (status, reason(answer)) == (400, "whitelist"), pattern
    table.add("catastrophic patterns, 256 characters", "400 whitelist", attacker.times)
    for pattern in (r"(a)\1", "(?=a)b", "(", "a{9999}", "(a{100}){100}"):
        document = {"data": {"name": "n", "extension": "1", "whitelist": [pattern]}}
        status, answer = service.http("PUT", f"{service.base}/clicktocall", document)
        assert status == 400
        assert "whitelist.0" in answer["data"]
    assert trunk.packets == 0


def test_large_and_slow_and_idle_clients_do_not_keep_others_from_calling(
    start: Start, trunk: BusyTrunk, table: Table
) -> None:
    service = start(Service, trunk.settings()).start()
    made = service.define(extension="101")
    path = f"{service.base}/clicktocall/{made}/connect"
    attacker = Attacker(service)
    assert attacker.one("POST", path, b'{"contact": "' + b"1" * 100_000 + b'"}')[0] == 413
    table.add("a body of 100,000 octets", "413", attacker.times)
    port = int(service.url.rpartition(":")[2])
    idle = [socket.create_connection((HOST, port)) for _ in range(200)]
    slow = [socket.create_connection((HOST, port)) for _ in range(50)]
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
    for one in slow:
        one.sendall(head.encode() + b'{"contact')
    assert trunk.packets == 0
    attacker.times.clear()
    status, _ = attacker.one("POST", path, {"contact": NUMBER})
    assert status == 200
    table.add("somebody else, beside 200 idle connections and 50 slow bodies", status, attacker.times, "his call")  # fmt: skip
    until(lambda: len(trunk.dialled) == 1, 5, "the call")
    for one in (*idle, *slow):
        one.close()


def test_those_who_ask_for_much_and_take_little_cost_no_memory(
    start: Start, trunk: BusyTrunk, table: Table
) -> None:
    service = start(Service, trunk.settings()).start()
    attacker = Attacker(service)

    def resident() -> int:
        pages = Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    path = "/openapi.json"
    assert attacker.one("GET", path)[0] == 200
    before = resident()
    port = int(service.url.rpartition(":")[2])
    slow = []
    for _ in range(100):
        slow.append(socket.socket())
        slow[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow[-1].connect((HOST, port))
        slow[-1].sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    for one in slow:
        assert one.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
    # 84 MB were asked for.
    assert resident() - before < 30_000_000
    attacker.times.clear()
    assert attacker.one("GET", "/healthz")[0] == 200
    table.add("100 that ask for 840 kB each and do not take it", "200", attacker.times)
    for one in slow:
        one.close()
