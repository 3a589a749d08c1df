"""Each way that a call or a registration fails, provoked for real, and the sentence that is given: docs/failures.md."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.failures import is_told
from tests.interop.conftest import Start
from tests.interop.programs import (
    HOST,
    Certificate,
    Dnsmasq,
    Kamailio,
    Program,
    Service,
    SippUas,
    free_port,
    stop_all,
    until,
)
from tests.interop.programs.base import is_bound
from tests.interop.programs.sipp import TlsFront

NUMBER = "+12025550123"
SETTINGS = """
[calling]
extension_timeout = 3
contact_timeout = 3
busy_tone = 0
confirm_timeout = 3
"""


@dataclass(frozen=True)
class Case:
    """A call: who is at both ends, as sipp's scenarios; a trunk that the contact, or the extension, is reached through."""

    name: str
    contact: str = ""
    extension: str = ""
    #: ``contact`` or ``extension``: who is behind the trunk. Settings of that trunk.
    behind: str = ""
    trunk: str = ""
    pause: int = 0
    fields: tuple[tuple[str, Any], ...] = ()

    @property
    def id(self) -> str:
        return f"{self.name} {self.contact or self.extension}".replace(" ", "-")


CASES = [
    Case("spoke", "answer_bye", pause=1500),
    Case("no_audio", "answer_bye", pause=4000),
    Case("busy", "refuse 486 Busy Here"),
    Case("busy", "refuse 600 Busy Everywhere"),
    Case("declined", "refuse 603 Decline"),
    Case("no_answer", "ring"),
    Case("no_answer", "refuse 480 Temporarily Unavailable"),
    Case("no_answer", "refuse 408 Request Timeout"),
    Case("never_rang", "trying"),
    Case("cancelled_there", "refuse 487 Request Terminated"),
    Case("silent", "silent"),
    Case("refused", "refuse 420 Bad Extension"),
    Case("redirected", f"redirect sip:nobody@{HOST}:5999;transport=udp"),
    Case("session_timer_refused", "refuse 422 Session Interval Too Small"),
    Case("password_asked", "rogue"),
    Case("codec_mismatch", "refuse 488 Not Acceptable Here"),
    Case("unknown_number", "refuse 404 Not Found", behind="contact"),
    Case("unknown_number", "refuse 484 Address Incomplete", behind="contact"),
    Case("forbidden", "refuse 403 Forbidden", behind="contact"),
    Case("provider_trouble", "refuse 402 Payment Required", behind="contact"),
    Case("provider_trouble", "refuse 500 Server Internal Error", behind="contact"),
    Case("provider_trouble", "refuse 503 Service Unavailable", behind="contact"),
    Case("srtp_refused", "refuse 488 Not Acceptable Here", behind="contact", trunk='srtp = "required"'),
    Case("srtp_refused", "answer_bye", behind="contact", trunk='srtp = "required"'),
    Case("not_registered", extension="refuse_at_once 480 Temporarily Unavailable", behind="extension"),
    Case("reinvite_unanswered", "gone", "hold"),
    Case("hung_up_early", "ring", "answer_bye", pause=1000),
    Case("voicemail", "answer", "answer", fields=(("confirm", "1"),)),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("failures")


def issue(folder: Path, name: str, *names: str, **more: Any) -> Certificate:
    """A certificate, by an authority of its own."""
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    made = Certificate(folder / f"{name}-authority.pem", folder / f"{name}.pem")
    authority.cert_pem.write_to_path(str(made.authority))
    issued = authority.issue_cert(*names, **more)
    issued.private_key_and_cert_chain_pem.write_to_path(str(made.own))
    return made


def trunk(name: str, **settings: Any) -> str:
    """A trunk's table; what is not said is as it would be at a small provider."""
    shown = {"domain": f"{name}.test", "register": False, "username": "c2c", "password": "s3cret"}
    lines = []
    for key, value in (shown | settings).items():
        text = str(value).lower() if isinstance(value, bool) else f'"{value}"'
        lines.append(f"{key} = {text}")
    return "\n".join([f'[[trunk]]\nname = "{name}"', *lines, ""])


class Plain(Program):
    """Something else than TLS: whoever comes is told so at once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "plain")
        self.port = free_port()
        listen = f"TCP-LISTEN:{self.port},bind={HOST},fork,reuseaddr"
        self.launch(["socat", listen, "SYSTEM:echo 220 mail.test ESMTP; sleep 1"])
        until(lambda: is_bound(self.port, "tcp"), 10, "socat")


class World:
    """One service with a trunk for each failure, and whoever is at the other end of each."""

    def __init__(self, folder: Path) -> None:
        self.running: list[Program] = []
        kamailio = self.add(Kamailio(folder, password="another"))
        open_ = self.add(Kamailio(folder, name="open"))
        names = self.add(Dnsmasq(folder, []))
        expired = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        good = issue(folder, "good", HOST)
        tls = {
            "untrusted": (issue(folder, "untrusted", "sip.untrusted.test"), good),
            "misnamed": (wrong := issue(folder, "misnamed", "sip.other.test"), wrong),
            "expired": (
                old := issue(folder, "expired", "sip.expired.test", not_after=expired),
                old,
            ),
        }
        closed = free_port()
        self.plain = self.add(Plain(folder))
        trunks = [
            trunk("main", outbound_proxy=f"{HOST}:{open_.port}"),
            trunk("password", register=True, domain=HOST, outbound_proxy=f"{HOST}:{kamailio.port}"),
            trunk("calls", domain="calls.test", outbound_proxy=f"{HOST}:{kamailio.port}"),
            trunk("nodns", register=True, domain="nobody.test"),
            trunk("closed", register=True, domain=f"{HOST}:{closed}", transport="tcp"),
            trunk("icmp", register=True, domain=f"{HOST}:{free_port()}"),
            trunk(
                "asked",
                register=True,
                domain=HOST,
                outbound_proxy=f"{HOST}:{open_.port}",
                password="",
            ),
            trunk(
                "plain",
                register=True,
                domain=f"{HOST}:{self.plain.port}",
                transport="tls",
            ),
        ]
        for name, (own, believed) in tls.items():
            front = self.add(TlsFront(folder / name, own, closed))
            settings = {"transport": "tls", "tls_ca": believed.authority, "register": True}
            settings |= {"domain": f"{HOST}:{front.port}", "tls_server_name": f"sip.{name}.test"}
            trunks.append(trunk(name, **settings))
        for name, answer in {
            "forbids": "403 Forbidden",
            "unknown": "404 Not Found",
            "brief": "423 Interval Too Brief|Min-Expires: 7200",
            "trouble": "503 Service Unavailable",
            "extends": "420 Bad Extension",
        }.items():
            sipp = self.add(SippUas(folder, f"register {answer}", name=name, lasts=170))
            trunks.append(trunk(name, register=True, outbound_proxy=f"{HOST}:{sipp.port}"))
        self.phones: dict[int, dict[str, SippUas]] = {}
        self.desk = self.add(SippUas(folder, "answer", name="desk", calls=100, lasts=170))
        for number, case in enumerate(CASES):
            ends = self.phones[number] = {}
            for end in ("contact", "extension"):
                kind = getattr(case, end)
                if kind:
                    name = f"{end}{number}"
                    pause = case.pause if kind == "answer_bye" else 0
                    phone = SippUas(folder, kind, name=name, pause=pause, lasts=170)
                    ends[end] = self.add(phone)
            if case.behind:
                port = ends[case.behind].port
                trunks.append(
                    trunk(f"provider{number}", outbound_proxy=f"{HOST}:{port}") + case.trunk + "\n"
                )
        settings = SETTINGS + "".join(trunks)
        env = {"C2C_SIP_SIP__NAMESERVERS": f"{HOST}:{names.port}"}
        env["C2C_SIP_SIP__LISTEN"] = f"udp:{HOST}:0,tcp:{HOST}:0"
        self.service = self.add(Service(folder, settings, env=env))
        self.service.start()
        self._given: dict[int, str] = {}

    def add(self, program: Any) -> Any:
        self.running.append(program)
        return program

    def call(self, number: int) -> tuple[str, dict[str, Any]]:
        """Click: the click-to-call's id, and the activation."""
        case, ends, service = CASES[number], self.phones[number], self.service
        extension = ends["extension"].uri if "extension" in ends else self.desk.uri
        contact = ends["contact"].uri if "contact" in ends else "sip:customer@127.0.0.1:9"
        realm = "example.test"
        if case.behind:
            realm = f"provider{number}.test"
            if case.behind == "contact":
                contact = NUMBER
            else:
                extension = "101"
        fields = {"extension": extension, "realm": realm, "whitelist": ["."], **dict(case.fields)}
        definition = service.define(**fields)
        return definition, service.connect(definition, contact)

    def given(self) -> dict[int, str]:
        """What each case was explained by; all calls are made at once."""
        if not self._given:
            placed = [self.call(number) for number in range(len(CASES))]
            for number, (definition, activation) in enumerate(placed):
                record = self.service.ended(definition, activation["id"], 60)
                self._given[number] = record["explanation"]
        return self._given

    def explain(self, contact: str, **fields: Any) -> str:
        """Click, and wait for what the history says of it."""
        definition = self.service.define(
            **{"extension": self.desk.uri, "whitelist": ["."]} | fields
        )
        activation = self.service.connect(definition, contact)
        return str(self.service.ended(definition, activation["id"], 60)["explanation"])


@pytest.fixture(scope="module")
def world(folder: Path) -> Iterator[World]:
    made = World.__new__(World)
    try:
        made.__init__(folder)  # type: ignore[misc]
        yield made
    finally:
        stop_all([p for p in reversed(made.running) if hasattr(p, "process")])


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.id for case in CASES])
def test_why_a_call_failed(world: World, number: int) -> None:
    is_told(CASES[number].name, world.given()[number])


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("password", "registration_password"),
        ("forbids", "registration_forbidden"),
        ("unknown", "registration_unknown_user"),
        ("brief", "registration_too_brief"),
        ("trouble", "registrar_trouble"),
        ("nodns", "dns_no_such_name"),
        ("closed", "connection_refused"),
        ("icmp", "connection_refused"),
        ("untrusted", "tls_untrusted"),
        ("misnamed", "tls_wrong_name"),
        ("expired", "tls_expired"),
        ("plain", "tls_failed"),
        ("asked", "registration_password_asked"),
        ("extends", "registration_refused"),
    ],
)
def test_why_a_trunk_is_not_registered(world: World, name: str, failure: str) -> None:
    def explained() -> str | None:
        _, answer = world.service.http("GET", "/v1/trunks")
        (found,) = [each for each in answer["data"] if each["name"] == name]
        return str(found["explanation"]) if found["state"] == "failed" else None

    sentence = until(explained, 40, f"trunk {name}")
    is_told(failure, sentence)
    assert world.service.printed().count(sentence) == 1, "each change is in the log, once"


def test_calls_that_are_not_what_sipp_does(world: World) -> None:
    closed = f"sip:nobody@{HOST}:{free_port()}"
    is_told("connection_refused", world.explain(closed))
    is_told("tls_failed", world.explain(f"sip:x@{HOST}:{world.plain.port};transport=tls"))
    is_told("dns_no_such_name", world.explain("sip:customer@nobody.test"))
    is_told("password_refused", world.explain(NUMBER, realm="calls.test"))
    # Of the kamailio that takes our password: nobody is registered there.
    is_told("not_registered", world.explain(NUMBER, extension="101", realm="main.test"))


def refused(world: World, contact: str, **fields: Any) -> str:
    """What the history says of a call that was refused at once."""
    service = world.service
    definition = service.define(**{"extension": world.desk.uri} | fields)
    status, _ = service.http("POST", f"{service.base}/clicktocall/{definition}/connect", {"contact": contact})  # fmt: skip
    assert status >= 400
    _, answer = service.http("GET", f"{service.base}/clicktocall/{definition}/history")
    return str(answer["data"][0]["explanation"])


def test_calls_that_are_refused(world: World) -> None:
    is_told("refused_whitelist", refused(world, NUMBER, whitelist=["^[+]44"]))
    is_told("refused_country", refused(world, "+442079460123"))
    is_told("refused_kind", refused(world, "+19005550123"))
    is_told("refused_hours", refused(world, NUMBER, hours={"timezone": "UTC", "monday": ["00:00-00:01"]}))  # fmt: skip
    is_told("registration_forbidden", refused(world, NUMBER, realm="forbids.test"))


def test_a_visitor_is_not_told_how_the_service_is_made(world: World) -> None:
    service = world.service
    definition = service.define(extension=world.desk.uri, realm="forbids.test")
    service.http("POST", f"{service.base}/clicktocall/{definition}/connect", {"contact": NUMBER})
    _, answer = service.http("GET", f"{service.base}/clicktocall/{definition}/history")
    (item,) = answer["data"]
    _, answer = service.http("GET", f"{service.base}/clicktocall/{definition}/connect/{item['id']}")
    assert answer["data"]["explanation"] == "The call could not be connected."
    assert "forbids" not in str(answer["data"]) and "forbids" in item["explanation"]


def test_a_call_that_is_one_too_many_and_one_that_is_ended_over_the_api(
    world: World, folder: Path
) -> None:
    service = world.service
    phone = world.add(SippUas(folder, "ring", name="patient"))
    definition = service.define(extension=world.desk.uri, whitelist=["."], throttle=1, timeout=20)
    activation = service.connect(definition, phone.uri)
    here = f"{service.base}/clicktocall/{definition}"
    assert service.http("POST", f"{here}/connect", {"contact": phone.uri})[0] == 503
    _, answer = service.http("GET", f"{here}/history")
    is_told("refused_throttled", answer["data"][0]["explanation"])
    until(lambda: service.record(definition, activation["id"])["state"] == "contact_ringing", 10, "it to ring")  # fmt: skip
    assert service.record(definition, activation["id"])["explanation"] == ""
    hangup = {"data": {"action": "hangup"}}
    service.http("POST", f"{service.base}/channels/{activation['call_id']}", hangup)
    is_told("cancelled", service.ended(definition, activation["id"])["explanation"])


@pytest.mark.parametrize("name", ["stopped", "crash"])
def test_a_call_that_the_service_does_not_live_to_end(
    world: World, folder: Path, name: str
) -> None:
    service = world.service
    phone = world.add(SippUas(folder, "answer", name=f"{name}-customer"))
    definition = service.define(extension=world.desk.uri, whitelist=["."])
    activation = service.connect(definition, phone.uri)
    until(lambda: service.record(definition, activation["id"])["state"] == "connected", 10, "the call")  # fmt: skip
    if name == "crash":
        # What is written is on its way to the disk for some hundredths of a second.
        service.kill()
    else:
        assert service.stop() == 0
    service.start()
    is_told(name, service.record(definition, activation["id"])["explanation"])


def test_a_name_server_that_is_dead(start: Start) -> None:
    """Nobody is at its port."""
    nowhere = {"C2C_SIP_SIP__NAMESERVERS": f"{HOST}:{free_port()}"}
    settings = trunk("main", register=True, domain="sip.provider.test:5060")
    service = start(Service, settings, env=nowhere).start()

    def explained() -> str | None:
        _, answer = service.http("GET", "/v1/trunks")
        found = answer["data"][0]
        return str(found["explanation"]) if found["state"] == "failed" else None

    is_told("dns_dead", until(explained, 30, "the trunk"))
    definition = service.define(extension="sip:101@nobody.test", whitelist=["."])
    activation = service.connect(definition, f"sip:customer@{HOST}:9")
    is_told("dns_dead", service.ended(definition, activation["id"], 30)["explanation"])
