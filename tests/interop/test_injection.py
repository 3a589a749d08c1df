"""A live call with strangers around it: the whole service, its lab's phones, and sockets that belong to neither."""

import json
import math
import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from c2c_sip.config import Config, Database, Http, Media, Sip
from c2c_sip.lab import CONTACT_NUMBER, CONTACT_TONE, EXTENSION, EXTENSION_TONE
from c2c_sip.service import Service
from sipstack.media.g711 import linear_to_ulaw
from tests.interop.programs import free_rtp_range

#: What the strangers say, in Hz.
THEIR_TONE = 1633.0


class Stranger:
    """Sends well-formed RTP and RTCP to ports that are not its own business, 100 packets a second to each."""

    def __init__(self, address: str, ports: Callable[[], list[int]]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.settimeout(0.0)
        self.sent = 0
        self._ports = ports
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        samples = (math.sin(2 * math.pi * THEIR_TONE * n / 8000) for n in range(8000))
        tone = bytes(linear_to_ulaw(round(20000 * sample)) for sample in samples)
        number = 0
        begin = time.monotonic()
        while not self._done.wait(max(0.0, begin + number * 0.01 - time.monotonic())):
            number += 1
            at = number * 160 % 8000
            head = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160, 0x5EC8E7)
            report = struct.pack("!BBHIQIII", 0x80, 200, 6, 0x5EC8E7, 0, 0, 1, 160)
            for port in self._ports():
                self.socket.sendto(head + tone[at : at + 160], ("127.0.0.1", port))
                self.socket.sendto(report, ("127.0.0.1", port))
                self.socket.sendto(report, ("127.0.0.1", port + 1))
                self.sent += 3

    def stop(self) -> int:
        """How many datagrams it got."""
        self._done.set()
        self._thread.join(5.0)
        got = 0
        try:
            while self.socket.recv(2048):
                got += 1
        except BlockingIOError:
            self.socket.close()
        return got


@pytest.fixture(params=[0, 1], ids=["thread", "worker"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    config = replace(
        Config(),
        http=Http(listen="127.0.0.1:0"),
        database=Database(url=f"sqlite:///{tmp_path / 'test.db'}"),
        sip=Sip(listen=("udp:127.0.0.1:0",)),
        media=Media(ports=free_rtp_range(), workers=request.param),
    )
    made = Service(config, lab=True)
    made.start()
    yield made
    made.stop()


def until(true: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + 15
    while not (found := true()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


def test_strangers_neither_hear_nor_are_heard_and_the_record_counts_them(service: Service) -> None:
    lab = service.lab
    assert lab is not None
    realm = service.config.trunks[-1].domain.partition(":")[0]
    account = service.store.create_account("lab", realm=realm)
    base = f"{service.url}/v1"
    token = ""

    def http(method: str, url: str, data: Any = None) -> Any:
        headers = {"Content-Type": "application/json", "X-Auth-Token": token}
        body = json.dumps({"data": data}).encode() if data is not None else None
        request = urllib.request.Request(url, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    token = http("PUT", f"{base}/api_auth", {"api_key": account["api_key"]})["auth_token"]
    here = f"{base}/accounts/{account['id']}"
    made = http("PUT", f"{here}/clicktocall", {"name": "test", "extension": EXTENSION})["data"]
    until(lambda: not service.calling.readiness().reasons, "the trunk's registration")

    def ports() -> list[int]:
        return [leg.rtp_port for leg in list(service._engine.media._legs.values())]

    def state() -> str:
        url = f"{here}/clicktocall/{made['id']}/history/{activation}"
        return str(http("GET", url)["data"]["state"])

    strangers = [Stranger(address, ports) for address in ("127.0.0.1", "127.0.0.66")]
    try:
        url = f"{here}/clicktocall/{made['id']}/connect"
        activation = http("POST", url, {"contact": CONTACT_NUMBER})["data"]["id"]
        until(lambda: state() == "connected", "the call")
        until(lambda: lab.extension.heard(CONTACT_TONE), "the contact's tone")
        until(lambda: lab.contact.heard(EXTENSION_TONE), "the extension's tone")
        time.sleep(2.0)
        assert not any(phone.heard(THEIR_TONE) for phone in (lab.extension, lab.contact))
        assert state() == "connected"
    finally:
        got = [stranger.stop() for stranger in strangers]
    lab.contact.hang_up()
    until(lambda: state() == "ended", "the end")
    assert got == [0, 0]
    records = http("GET", f"{here}/cdrs")["data"]
    assert len(records) == 2
    for record in records:
        assert record["media"]["source_changes"] == 0
        assert record["media"]["lost"] == 0
        assert record["media"]["rejected"] > 500
    # What came while a leg's sockets were being opened or closed was nobody's; pyVoIP's greeting is no RTP either.
    counted = sum(record["media"]["rejected"] for record in records)
    sent = sum(stranger.sent for stranger in strangers)
    assert 0.95 * sent < counted <= sent + 10
