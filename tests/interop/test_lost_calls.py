"""Failures that take half a minute and more, provoked for real: docs/failures.md. All wait at the same time."""

from __future__ import annotations

import contextlib
import copy
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.failures import is_told
from tests.interop.programs import (
    HOST,
    Dnsmasq,
    Service,
    SippUas,
    Wire,
    until,
)
from tests.interop.programs.lab import Agent, Lab

SETTINGS = """
timeout = 3600
[calling]
extension_timeout = 10
busy_tone = 0
confirm_timeout = 3
[[trunk]]
name = "provider1"
domain = "deaf.test"
outbound_proxy = "{host}:{silent}"
username = "c2c"
password = "s3cret"
[[trunk]]
name = "provider2"
domain = "mute.test"
outbound_proxy = "{host}:{silent}"
register = false
keepalive = 5
[[trunk]]
name = "provider"
domain = "provider.test"
outbound_proxy = "{host}:{declines}"
register = false
"""
#: By the name of the failure, and which of them: the contact as a scenario of sipp, what it says is its own address, and
#: its pause. Seconds that each takes are in the name of the world: all of them at once.
SLOW: dict[str, tuple[str, str, int]] = {
    "ack_lost": ("unheard", "wire", 0),
    "dropped_at_32_s": ("answer_bye", "", 32_000),
    "ack_missing": ("unacknowledged", "", 0),
    "session_timer_expired": ("forgets uas", "", 0),
    "session_refresh_unanswered": ("forgets uac", "", 0),
    "minutes_used": ("answer", "", 0),
}
P = TypeVar("P")


class Slow:
    """One service with a call for each of :data:`SLOW`, and two trunks at which somebody reads and says nothing."""

    def __init__(self, folder: Path, keep: contextlib.ExitStack) -> None:
        self.folder = folder
        self._keep = keep
        self.silent = keep.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.silent.bind((HOST, 0))
        names = self.add(Dnsmasq(folder, ["host-record=inner.test,10.1.2.3"]))
        self.desk = self.add(
            SippUas(folder, "answer", name="desk", calls=100, lasts=170, audio=True)
        )
        declines = self.phone("refuse 603 Decline", pause=1000).port
        silent = self.silent.getsockname()[1]
        settings = SETTINGS.format(host=HOST, silent=silent, declines=declines)
        env = {"C2C_SIP_SIP__NAMESERVERS": f"{HOST}:{names.port}"}
        self.service = self.add(Service(folder, settings, env=env))
        self.service.start()
        self.early = self.refused(realm="deaf.test")
        self.wire = self.add(Wire(lambda octets: octets.startswith(b"ACK ")))
        self.placed: dict[str, tuple[Service, str, str]] = {}
        for name, (kind, contact, pause) in SLOW.items():
            where = f"{HOST}:{self.wire.port}" if contact == "wire" else contact
            phone = self.phone(kind, contact=where, pause=pause)
            uri = phone.uri
            if contact == "wire":
                self.wire.to = phone.port
                uri = f"sip:customer@{where}"
            service = self.service if name != "minutes_used" else self.metered()
            self.placed[name] = (service, *self.call(uri, service))

    def add(self, program: P) -> P:
        self._keep.callback(program.stop)  # type: ignore[attr-defined]
        return program

    def phone(self, kind: str, **more: Any) -> SippUas:
        return self.add(
            SippUas(
                self.folder,
                kind,
                name=f"phone{random.getrandbits(32)}",
                lasts=170,
                audio=True,
                **more,
            )
        )

    def metered(self) -> Service:
        """The service, for an account that may talk for a minute a day."""
        document = {"name": "Metered", "realm": "metered.test", "limits": {"daily_minutes": 1}}
        status, answer = self.service.http("PUT", "/v1/accounts", {"data": document})
        assert status == 201, answer
        found = copy.copy(self.service)
        found.account = answer["data"]
        return found

    def call(
        self, contact: str, service: Service | None = None, extension: str = "", **fields: Any
    ) -> tuple[str, str]:
        """The click-to-call, and the activation."""
        service = service or self.service
        extension = extension or self.desk.uri
        definition = service.define(extension=extension, whitelist=["."], **fields)
        return definition, service.connect(definition, contact)["id"]

    def why(self, *call: Any, **fields: Any) -> str:
        return str(self.service.ended(*self.call(*call, **fields), 60)["explanation"])

    def refused(self, service: Service | None = None, **fields: Any) -> str:
        """What the history says of a call that nobody was called for."""
        service = service or self.service
        definition = service.define(extension=self.desk.uri, **fields)
        path = f"{service.base}/clicktocall/{definition}"
        status, _ = service.http("POST", f"{path}/connect", {"contact": "+12025550123"})
        assert status == 503
        _, answer = service.http("GET", f"{path}/history")
        return str(answer["data"][0]["explanation"])


@pytest.fixture(scope="module")
def keep() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, keep: contextlib.ExitStack) -> Slow:
    return Slow(tmp_path_factory.mktemp("slow"), keep)


class Gone:
    """One service that looks for silence soon, with a relay of its own, and a call whose contact goes off the network."""

    settings = "timeout = 5\nworkers = 1\n[calling]\nmax_duration = {most}\n"

    def __init__(self, folder: Path, keep: contextlib.ExitStack) -> None:
        self.folder = folder
        self.keep = keep
        self.service = Service(folder, self.settings.format(most=600))
        keep.callback(self.service.stop)
        self.service.start()
        self.wire = Wire()
        keep.callback(self.wire.stop)
        contact = self.phone(contact=f"{HOST}:{self.wire.port}", audio=True)
        self.wire.to = contact.port
        self.lost = self.call(f"sip:customer@{HOST}:{self.wire.port}")
        until(lambda: self.is_up(*self.lost), 20, "the call")
        # It is to be heard before it is gone, which it begins to be with our ACK: nothing tells of that while the call is up.
        time.sleep(2.0)
        # Nobody says that it is gone either, as the kernel would.
        self.wire.cut()
        contact.kill()

    def phone(self, kind: str = "answer", **more: Any) -> SippUas:
        name = f"phone{random.getrandbits(32)}"
        made = SippUas(self.folder, kind, name=name, lasts=170, **more)
        self.keep.callback(made.stop)
        return made

    def agent(self) -> str:
        """A phone that is heard; its URI."""
        made = Agent(
            self.folder, "uas", "--listen", f"{HOST}:0", "--timeout", "170", name=f"agent{random.getrandbits(32)}"
        )  # fmt: skip
        self.keep.callback(made.stop)
        return made.ready()

    def call(self, contact: str, extension: str = "") -> tuple[str, str]:
        definition = self.service.define(extension=extension or self.agent(), whitelist=["."])
        return definition, self.service.connect(definition, contact)["id"]

    def is_up(self, definition: str, activation: str) -> bool:
        return bool(self.service.record(definition, activation)["state"] == "connected")

    def why(self, definition: str, activation: str, seconds: float = 60) -> str:
        return str(self.service.ended(definition, activation, seconds)["explanation"])


@pytest.fixture(scope="module")
def gone(tmp_path_factory: pytest.TempPathFactory, keep: contextlib.ExitStack) -> Gone:
    return Gone(tmp_path_factory.mktemp("gone"), keep)


# --- while these go on, others are quick


def test_a_call_that_is_sent_on_and_on(slow: Slow, gone: Gone) -> None:
    is_told("redirect_loop", gone.why(*gone.call(gone.phone("redirects").uri)))


def test_a_host_of_an_inner_network_and_one_that_takes_what_we_do_not_speak(slow: Slow) -> None:
    is_told("address_refused", slow.why("sip:customer@inner.test"))
    is_told("no_way", slow.why(f"sip:customer@{HOST}:5061;transport=tls"))


def test_an_extension_that_presses_no_key_and_is_no_machine(slow: Slow) -> None:
    slow_hand = slow.phone("answer", pause=2500)
    is_told("no_key", slow.why("sip:customer@127.0.0.1:9", extension=slow_hand.uri, confirm="1"))


def test_a_transfer_to_somebody_who_declines(slow: Slow) -> None:
    extension = slow.phone("transfer sip:103@provider.test")
    is_told(
        "transfer_failed",
        slow.why(slow.phone("answer").uri, extension=extension.uri, realm="provider.test"),
    )


def test_a_call_that_is_ended_over_the_api(slow: Slow) -> None:
    service = slow.service
    definition, activation = slow.call(slow.phone("answer").uri)
    until(lambda: service.record(definition, activation)["state"] == "connected", 10, "the call")
    call_id = service.record(definition, activation)["call_id"]
    service.http("POST", f"{service.base}/channels/{call_id}", {"data": {"action": "hangup"}})
    is_told("ended_over_api", service.ended(definition, activation)["explanation"])


def test_a_registrar_that_has_not_answered_yet(slow: Slow) -> None:
    is_told("registering", slow.early)


# --- those that take their time


@pytest.mark.parametrize(
    ("name", "failure"), [("provider1", "registrar_silent"), ("provider2", "trunk_silent")]
)
def test_a_trunk_that_reads_everything_and_says_nothing(
    slow: Slow, name: str, failure: str
) -> None:
    def explained() -> str | None:
        _, answer = slow.service.http("GET", "/v1/trunks")
        (found,) = [each for each in answer["data"] if each["name"] == name]
        text = str(found["explanation"])
        return text if "does not answer" in text else None

    is_told(failure, until(explained, 45, "the trunk"))


@pytest.mark.parametrize("name", SLOW)
def test_why_a_call_was_lost(slow: Slow, name: str) -> None:
    service, definition, activation = slow.placed[name]
    record = service.ended(definition, activation, 90)
    is_told(name.partition(" ")[0], record["explanation"])
    if name == "minutes_used":
        is_told("refused_daily_minutes", slow.refused(service))


def test_audio_that_gets_lost(gone: Gone) -> None:
    script = (
        '[lab]\nchallenge = false\n[[phone]]\nuser = "lossy"\nloses = 30.0\nhang_up_after = 4.0\n'
    )
    lab = Lab(gone.folder, script)
    gone.keep.callback(lab.stop)
    is_told("spoke", gone.why(*gone.call(f"sip:lossy@{HOST}:{lab.port}")))


def test_a_phone_that_goes_off_the_network(gone: Gone) -> None:
    is_told("dead_call", gone.why(*gone.lost))


def test_a_relay_that_is_killed(gone: Gone) -> None:
    call = gone.call(gone.agent())
    until(lambda: gone.is_up(*call), 20, "the call")
    (relay,) = relays(gone.service.process.pid)
    os.kill(relay, signal.SIGKILL)
    is_told("relay_died", gone.why(*call))
    # It is started again by itself, as the page says.
    is_told("max_duration", after(gone, 3))


def after(gone: Gone, seconds: int) -> str:
    """What is said of a call that may last so long only."""
    config = gone.service.config
    config.write_text(config.read_text().replace("max_duration = 600", f"max_duration = {seconds}"))
    gone.service.process.send_signal(signal.SIGHUP)
    until(lambda: "max_duration" in gone.service.printed(), 10, "the settings")
    call = gone.call(gone.agent())
    return gone.why(*call)


def relays(pid: int) -> list[int]:
    """The processes of a service that relay audio."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


def test_ports_that_other_programs_have(gone: Gone) -> None:
    first, last = gone.service.rtp
    with contextlib.ExitStack() as held:
        had = []
        for port in range(first, last + 1):
            one = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with contextlib.suppress(OSError):  # some call has it still
                one.bind((HOST, port))
                had.append((port, one))
        # All but one pair, which the extension gets.
        at = next(
            n for n, (port, _) in enumerate(had) if port % 2 == 0 and had[n + 1][0] == port + 1
        )
        for _, one in had[at : at + 2]:
            one.close()
        is_told("no_ports", gone.why(*gone.call(gone.agent())))
