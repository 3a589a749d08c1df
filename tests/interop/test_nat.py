"""What a NAT does to a call, with the kernel's own: networks of the test's, joined by a router that masquerades.

``town`` has public addresses: a service, and phones of anybody's. ``home`` is behind the router: a phone, and another
service. Each fails as it does for people who set up a phone or a server at home.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.failures import is_told
from tests.interop.programs import Room, ServiceInRoom, SippUas

TOWN, ROUTER = "198.51.100.1", "198.51.100.9"
INNER, SERVER, PHONE, CLOSED = "192.168.1.1", "192.168.1.5", "192.168.1.20", "192.168.1.21"
SETTINGS = '[guard]\nnetworks = ["198.51.100.0/24", "203.0.113.0/24", "192.168.1.0/24"]\n'
#: The router lets calls in to the two phones, and out whatever is sent there; but from one of them no audio.
RULES = """
table ip home {{
    chain pre {{
        type nat hook prerouting priority dstnat;
        iifname "to-town" udp dport {phone.port} dnat to {phone.host}
        iifname "to-town" udp dport {closed.port} dnat to {closed.host}
    }}
    chain post {{
        type nat hook postrouting priority srcnat;
        oifname "to-town" masquerade
    }}
    chain through {{
        type filter hook forward priority filter; policy drop;
        iifname "to-home" ip saddr {closed.host} udp sport != {closed.port} drop
        ct state established,related accept
        ct status dnat accept
        iifname "to-home" accept
    }}
}}
"""


class Place:
    """The two networks with the router, and a service in each."""

    def __init__(self, folder: Path, keep: contextlib.ExitStack) -> None:
        self.folder = folder
        self._keep = keep
        self.town = self.add(Room(folder, "town"))
        self.router = self.add(Room(folder, "router", self.town))
        self.home = self.add(Room(folder, "home", self.town))
        self.town.cable(f"{TOWN}/24", self.router, f"{ROUTER}/24")
        self.home.cable(f"{SERVER}/24", self.router, f"{INNER}/24")
        for host in (PHONE, CLOSED):
            self.home.run("ip", "address", "add", f"{host}/24", "dev", "to-router")
        self.town.run("ip", "route", "add", "default", "via", ROUTER)
        self.home.run("ip", "route", "add", "default", "via", INNER)
        self.router.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        self.phone = self.sipp("unheard", self.home, PHONE)
        # Whoever set it up gave it the public address for its signalling, and forgot the audio.
        self.closed = self.sipp("answer_bye", self.home, CLOSED, f"{ROUTER}:[local_port]")
        self.router.rules(RULES.format(phone=self.phone, closed=self.closed))
        self.service = self.add(ServiceInRoom(folder / "town-service", self.town, TOWN, SETTINGS))
        self.server = self.add(ServiceInRoom(folder / "home-service", self.home, SERVER, SETTINGS))
        for one in (self.service, self.server):
            one.start()
        desk = self.sipp("answer", self.town, TOWN)
        #: Takes half a minute, while the others go on.
        self.lost = self.call(self.service, f"sip:customer@{ROUTER}:{self.phone.port}", desk.uri)

    def add(self, program: Any) -> Any:
        self._keep.callback(program.stop)
        return program

    def sipp(self, kind: str, room: Room, host: str, contact: str = "") -> SippUas:
        name = f"{kind}-{len(list(self.folder.iterdir()))}"
        place: dict[str, Any] = {"room": room, "host": host, "contact": contact}
        pause = 4500 if kind == "answer_bye" else 0
        return self.add(SippUas(self.folder, kind, name=name, audio=True, pause=pause, **place))

    def call(self, service: ServiceInRoom, contact: str, extension: str) -> tuple[str, str]:
        definition = service.define(extension=extension, whitelist=["."])
        return definition, service.connect(definition, contact)["id"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with contextlib.ExitStack() as keep:
        yield Place(tmp_path_factory.mktemp("nat"), keep)


def test_a_phone_whose_audio_its_nat_does_not_let_out(place: Place) -> None:
    desk = place.sipp("answer", place.town, TOWN)
    contact = f"sip:customer@{ROUTER}:{place.closed.port}"
    call = place.call(place.service, contact, desk.uri)
    is_told("one_way_audio", place.service.ended(*call, 30)["explanation"])


def test_a_service_behind_a_nat_that_does_not_say_its_public_address(place: Place) -> None:
    desk = place.sipp("answer", place.home, PHONE)
    contact = place.sipp("answer_bye", place.town, TOWN)
    call = place.call(place.server, contact.uri, desk.uri)
    is_told("one_way_audio", place.server.ended(*call, 30)["explanation"])


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_network_to_which_there_is_no_way(place: Place, transport: str) -> None:
    desk = place.sipp("answer", place.home, PHONE)
    call = place.call(place.server, f"sip:x@203.0.113.7;transport={transport}", desk.uri)
    is_told("unreachable", place.server.ended(*call, 30)["explanation"])


def test_a_phone_whose_contact_is_an_address_behind_its_nat(place: Place) -> None:
    is_told("ack_lost", place.service.ended(*place.lost, 60)["explanation"])
