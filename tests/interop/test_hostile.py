"""What comes from strangers: no crash, no call, at most one answer each, and no SIP packet for bad HTTP input."""

import json
import random
import socket
import struct
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.interop.conftest import Start
from tests.interop.programs import HOST, Service, SippUas, until


class Stranger:
    """A UDP socket that sends what it likes and counts what comes back."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self._to = (HOST, port)

    def ask(self, data: bytes | str, wait: float = 0.3) -> list[str]:
        self.socket.sendto(data.encode() if isinstance(data, str) else data, self._to)
        self.socket.settimeout(wait)
        answers = []
        try:
            while True:
                answers.append(self.socket.recv(65535).decode(errors="replace"))
        except TimeoutError:
            return answers

    def request(
        self, method: str, to_tag: str = "", more: str = "", version: str = "SIP/2.0"
    ) -> str:
        tag = f";tag={to_tag}" if to_tag else ""
        branch = f"z9hG4bK{random.getrandbits(64):x}"
        return (
            f"{method} sip:someone@{HOST} {version}\r\nVia: SIP/2.0/UDP {HOST}:{self.port};branch={branch};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:x@{HOST}>;tag=f\r\nTo: <sip:someone@{HOST}>{tag}\r\n"
            f"Call-ID: {branch}\r\nCSeq: 1 {method}\r\nContact: <sip:x@{HOST}:{self.port}>\r\n{more}"
            "Content-Length: 0\r\n\r\n"
        )


def test_strangers_get_at_most_one_answer_each_and_do_no_harm(start: Start) -> None:
    service = start(Service).start()
    stranger = Stranger(service.sip_port)
    rng = random.Random(7)
    good = stranger.request("INVITE")
    rubbish: list[bytes | str] = [
        b"\x00" * 100,
        rng.randbytes(1000),
        rng.randbytes(60000),
        good[: len(good) // 2],
        "INVITE sip:x SIP/2.0\r\n\r\n",
        "SIP/2.0 200 OK\r\n\r\n",
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 1.2.3.4;branch=z9hG4bKx\r\nCSeq: 1 INVITE\r\n\r\n",
        good.replace("Via: SIP/2.0/UDP", "Via: SIP/2.0/UDP\x00"),
        good.replace("CSeq: 1 INVITE", "CSeq: 99999999999 INVITE"),
        good.replace("Content-Length: 0", "Content-Length: 99999"),
        good.replace("Content-Length: 0", "Content-Length: -1"),
        "A" * 65000,
        good.replace("\r\n\r\n", "\r\n" + "X: y\r\n" * 5000 + "\r\n"),
    ]
    for data in rubbish:
        assert len(stranger.ask(data)) <= 1
    for method, expected in (
        ("INVITE", "403"),
        ("OPTIONS", "200"),
        ("BYE", "481"),
        ("REGISTER", "405"),
        ("SUBSCRIBE", "405"),
        ("DANCE", "501"),
        ("CANCEL", "481"),
    ):
        (answer,) = stranger.ask(stranger.request(method))
        assert answer.startswith(f"SIP/2.0 {expected}"), answer
        assert "0.0.0.0" not in answer
    (answer,) = stranger.ask(stranger.request("BYE", to_tag="nobody"))
    assert answer.startswith("SIP/2.0 481")
    assert stranger.ask(stranger.request("ACK", to_tag="nobody")) == []
    (answer,) = stranger.ask(stranger.request("OPTIONS", version="SIP/7.0"))
    assert answer.startswith("SIP/2.0 505")
    (answer,) = stranger.ask(stranger.request("OPTIONS", more="Require: nothing-we-have\r\n"))
    assert answer.startswith("SIP/2.0 420")
    assert "Unsupported: nothing-we-have" in answer
    assert service.process.poll() is None
    assert service.http("GET", "/readyz")[0] == 200
    assert service.http("GET", f"{service.base}/channels")[1]["data"] == []


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"contact": ""}, 400, "contact"),
        ({}, 400, "contact"),
        ({"contact": 15551234567}, 400, "contact"),
        ({"contact": None}, 400, "contact"),
        ({"contact": ["+12025550102"]}, 400, "contact"),
        ({"contact": "sip:x@127.0.0.1\r\nX-Evil: 1"}, 400, "contact"),
        ({"contact": "+1202555\x000102"}, 400, "contact"),
        ({"contact": "not a number"}, 400, "contact"),
        ({"contact": "http://example.com"}, 400, "contact"),
        ({"contact": "sip:x@elsewhere.test"}, 400, "contact"),
        ({"contact": "+12025550102" * 100}, 400, "contact"),
        ("nonsense", 400, "json"),
        ("[" * 50000, 400, "json"),
        ('{"contact": "' + "1" * 70000 + '"}', 413, "body"),
    ],
)
def test_a_bad_contact_is_refused_by_name_and_nothing_is_sent(
    start: Start, body: Any, status: int, field: str
) -> None:
    service = start(Service).start()
    watcher = Stranger(service.sip_port)
    definition = service.define(extension=f"sip:desk@{HOST}:{watcher.port}")
    text = body if isinstance(body, str) else json.dumps(body)
    request = urllib.request.Request(
        f"{service.url}{service.base}/clicktocall/{definition}/connect",
        text.encode(),
        {"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    answer = json.load(caught.value)
    assert caught.value.code == status, answer
    assert answer["status"] == "error"
    assert field in answer["data"], answer
    watcher.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        watcher.socket.recv(1)


def test_a_stranger_s_rtp_is_neither_heard_nor_answered(start: Start) -> None:
    service = start(Service).start()
    ears = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for one in ears:
        one.bind((HOST, 0))
        one.setblocking(False)
    at_desk, at_customer = (one.getsockname()[1] for one in ears)
    desk = start(SippUas, "answer", name="desk", media_port=at_desk)
    customer = start(SippUas, "answer_bye", name="customer", pause=4000, media_port=at_customer)
    definition = service.define(extension=desk.uri, whitelist=["customer"])
    activation = service.connect(definition, customer.uri)
    until(
        lambda: service.record(definition, activation["id"])["state"] == "connected", 10, "the call"
    )
    ports = service.open_rtp_ports()
    thief = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    thief.bind((HOST, 0))
    thief.setblocking(False)
    rtp_ports = [port for port in ports if port % 2 == 0]
    heard_thief = 0
    for number in range(150):
        fake = struct.pack("!BBHII", 0x80, 0, number, number * 160, 0xBAD) + b"\x11" * 160
        for port in ports:
            thief.sendto(fake, (HOST, port))
        for one, port in zip(ears, rtp_ports, strict=True):
            true = struct.pack("!BBHII", 0x80, 0, number, number * 160, 0x600D) + b"\x22" * 160
            one.sendto(true, (HOST, port))
        time.sleep(0.01)
        for one in ears:
            try:
                while True:
                    heard_thief += one.recv(2048)[-1] == 0x11
            except BlockingIOError:
                pass
    with pytest.raises(BlockingIOError):
        thief.recv(2048)
    assert heard_thief == 0
    service.ended(definition, activation["id"])
    for cdr in service.cdrs(activation["id"]):
        assert cdr["media"]["rejected"] >= 140
        assert cdr["media"]["packets_received"] >= 140
