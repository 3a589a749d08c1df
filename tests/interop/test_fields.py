"""A table: a click-to-call's fields, and what sipp saw of them on the wire.

What several extensions make of crossing answers, and of networks that lose, is in ``tests/simulation/test_ringing.py``.
"""

import re
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from c2c_sip.schemas import CLICKTOCALL
from tests.interop.conftest import Start
from tests.interop.programs import HOST, Service, SippUas, until

SETTINGS = "[calling]\nextension_timeout = 60\ncontact_timeout = 60\nbusy_tone = 0\n"
ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'


@dataclass(frozen=True)
class Seen:
    """What a phone has to see: header lines of its INVITE, as regular expressions, and some that must not be there."""

    desk: tuple[str, ...] = ()
    customer: tuple[str, ...] = ()
    not_at_desk: tuple[str, ...] = ()
    not_at_customer: tuple[str, ...] = ()
    query: dict[str, str] = field(default_factory=dict)


AUTO = (
    r"Alert-Info: <sip:[^>]+>;info=alert-autoanswer;delay=0",
    r"Call-Info: <sip:[^>]+>;answer-after=0",
    r"Answer-Mode: Auto",
    r"P-Auto-Answer: normal",
)
TABLE: list[tuple[dict[str, Any], Seen]] = [
    ({}, Seen(desk=(r'From: "customer@127\.0\.0\.1" <sip:customer@.*',), customer=(r'From: "desk@127\.0\.0\.1" <sip:desk@.*',),
              not_at_desk=AUTO, not_at_customer=AUTO)),
    ({"caller_id_number": "+12025550111"}, Seen(desk=(r"From: <sip:\+12025550111@example\.test>;tag=.+",))),
    ({"outbound_callee_id_name": 'Sales "North" é', "outbound_callee_id_number": "+12025550122"},
     Seen(customer=(r'From: "Sales \\"North\\" é" <sip:\+12025550122@example\.test>;tag=.+',), not_at_desk=("From: .*Sales.*",))),
    ({"custom_sip_headers": {"X-Both": "both, \"quoted\" é"}},
     Seen(desk=('X-Both: both, "quoted" é',), customer=('X-Both: both, "quoted" é',))),
    ({"custom_sip_headers": {"in": {"X-Desk": "d", "Alert-Info": "<urn:alert:source:external>"}, "out": {"Subject": "s"}}},
     Seen(desk=("X-Desk: d", "Alert-Info: <urn:alert:source:external>"), customer=("Subject: s",),
          not_at_desk=("Subject: .*",), not_at_customer=("X-Desk: .*", "Alert-Info: .*"))),
    ({"custom_application_vars": {"X-Order": "no. {{order}}", "margin": "12"}},
     Seen(desk=(r"X-Order: no\. 47é11",), not_at_desk=("margin: .*",), not_at_customer=("X-Order: .*", "margin: .*"),
          query={"order": "47é11"})),
    ({"auto_answer": True}, Seen(desk=AUTO, not_at_customer=AUTO)),
    ({}, Seen(desk=AUTO, not_at_customer=AUTO, query={"auto_answer": "true"})),
    ({"auto_answer": True}, Seen(not_at_desk=AUTO, query={"auto_answer": "false"})),
    ({"presence_id": "101@example.test"}, Seen(not_at_desk=(".*101@example.*",), not_at_customer=(".*101@example.*",))),
]  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("fields"), SETTINGS).start()
    yield made
    made.stop()


def lines(message: str) -> list[str]:
    return message.partition("\n\n")[0].replace("\r", "").split("\n")


def has(message: str, pattern: str) -> bool:
    return any(re.fullmatch(pattern, line) for line in lines(message))


def activate(service: Service, definition: str, contact: str, **more: str) -> str:
    """Activate it with a token; the activation's id."""
    status, answer = service.http(
        "POST", f"{service.base}/clicktocall/{definition}/connect", {"contact": contact} | more
    )
    assert status == 200, answer
    return str(answer["data"]["id"])


@pytest.mark.parametrize(
    ("fields", "seen"), TABLE, ids=[" ".join(fields) or "none" for fields, _ in TABLE]
)
def test_a_field_is_seen_on_the_wire(
    service: Service, start: Start, fields: dict[str, Any], seen: Seen
) -> None:
    desk = start(SippUas, "answer", name="desk")
    customer = start(SippUas, "answer_bye", name="customer", pause=100)
    definition = service.define(extension=desk.uri, whitelist=["customer"], **fields)
    activation = activate(service, definition, customer.uri, **seen.query)
    assert service.ended(definition, activation)["result"] == "success"
    assert (desk.finish(), customer.finish()) == (0, 0)
    ((_, at_desk),), ((_, at_customer),) = desk.received("INVITE"), customer.received("INVITE")
    for message, there, absent in (
        (at_desk, seen.desk, seen.not_at_desk),
        (at_customer, seen.customer, seen.not_at_customer),
    ):
        assert [p for p in there if not has(message, p)] == [], message
        assert [p for p in absent if has(message, p)] == [], message


def test_every_field_of_the_table_is_one_that_is_checked() -> None:
    assert {name for fields, _ in TABLE for name in fields} <= CLICKTOCALL.keys()


def test_extension_a_list_the_first_to_answer_has_the_call(service: Service, start: Start) -> None:
    desk = start(SippUas, "ring", name="desk")
    mobile = start(SippUas, "answer", name="mobile", pause=500)
    tablet = start(SippUas, "refuse 486 Busy Here", name="tablet")
    customer = start(SippUas, "answer_bye", name="customer", pause=500)
    extensions = [desk.uri, mobile.uri, tablet.uri]
    definition = service.define(extension=extensions, whitelist=["customer"])
    activation = activate(service, definition, customer.uri)
    record = service.ended(definition, activation)
    assert record["result"] == "success"
    assert [phone.finish() for phone in (desk, mobile, tablet, customer)] == [0, 0, 0, 0]
    ((_, cancel),) = desk.received("CANCEL")
    assert f"Reason: {ELSEWHERE}" in lines(cancel)
    ((rung, _),), ((answered, _),) = desk.received("INVITE"), mobile.received("ACK")
    assert rung < answered
    found = {cdr["to"]: cdr["cause"] for cdr in service.cdrs(activation)}
    assert found == {
        desk.uri: "LOSE_RACE",
        mobile.uri: "NORMAL_CLEARING",
        tablet.uri: "USER_BUSY",
        customer.uri: "NORMAL_CLEARING",
    }
    (won,) = [cdr for cdr in service.cdrs(activation) if cdr["to"] == mobile.uri]
    assert record["extension_cdr_id"] == won["id"]
    until(lambda: not service.open_rtp_ports(), 5, "the RTP ports to be free")


@pytest.mark.parametrize("first", ["extension", "contact"])
def test_dial_first_says_who_rings_before_the_other(
    service: Service, start: Start, first: str
) -> None:
    desk = start(SippUas, "answer", name="desk", pause=300)
    customer = start(SippUas, "answer_bye", name="customer", pause=500)
    definition = service.define(extension=desk.uri, whitelist=["customer"], dial_first=first)
    activation = activate(service, definition, customer.uri)
    assert service.ended(definition, activation)["result"] == "success"
    assert (desk.finish(), customer.finish()) == (0, 0)
    sent = service.sent(definition, activation)
    other = "contact" if first == "extension" else "extension"
    assert sent[:3] == [(first, "INVITE"), (first, "ACK"), (other, "INVITE")]


@pytest.mark.parametrize("who", ["extension", "contact"])
def test_timeout_cancels_whoever_does_not_answer(service: Service, start: Start, who: str) -> None:
    desk = start(SippUas, "ring" if who == "extension" else "answer", name="desk")
    customer = start(SippUas, "ring", name="customer")
    definition = service.define(extension=desk.uri, whitelist=["customer"], timeout=1)
    activation = activate(service, definition, customer.uri)
    assert service.ended(definition, activation)["cause"] == "NO_ANSWER"
    rung = desk if who == "extension" else customer
    assert rung.finish() == 0
    assert len(rung.received("CANCEL")) == 1


def test_hours_outside_of_which_no_packet_leaves(service: Service, start: Start) -> None:
    desk = start(SippUas, "silent", name="desk")
    closed = {"timezone": "Europe/Berlin", "monday": [], "message": "Closed."}
    definition = service.define(extension=desk.uri, whitelist=["customer"], hours=closed)
    where = f"{service.base}/clicktocall/{definition}"
    status, answer = service.http("POST", f"{where}/connect", {"contact": "sip:customer@127.0.0.1"})
    assert (status, answer["data"]["message"]) == (503, "Closed.")
    time.sleep(0.3)
    assert desk.messages() == []
    assert service.http("GET", f"{where}/hours")[1]["data"]["open"] is False


VOICE = b"\x55" * 160


@pytest.mark.parametrize("ignore", [False, True])
def test_ignore_early_media_keeps_what_comes_before_the_answer_from_the_extension(
    service: Service, start: Start, ignore: bool
) -> None:
    """The voice of the contact's network, from the very port that its 183 describes, and what the extension gets."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
    ):
        for end in (ear, mouth):
            end.bind((HOST, 0))
        desk = start(SippUas, "answer", name="desk", media_port=ear.getsockname()[1])
        port = mouth.getsockname()[1]
        customer = start(SippUas, "early", name="customer", pause=2500, media_port=port)
        definition = service.define(
            extension=desk.uri, whitelist=["customer"], media={"ignore_early_media": ignore}
        )
        activation = activate(service, definition, customer.uri)
        until(lambda: customer.received("INVITE"), 10, "the contact's INVITE")
        found = re.search(r"^m=audio (\d+)", customer.received("INVITE")[0][1], re.M)
        assert found is not None
        heard = {"early": 0, "later": 0}
        sent = 0
        end_ = time.monotonic() + 20
        while time.monotonic() < end_ and not heard["later"]:
            head = struct.pack("!BBHII", 0x80, 0, sent & 0xFFFF, sent * 160, 0xE4)
            mouth.sendto(head + VOICE, (HOST, int(found[1])))
            sent += 1
            stage = "later" if customer.received("ACK") else "early"
            while select.select([ear], [], [], 0.02)[0]:
                heard[stage] += VOICE in ear.recv(2048)
        assert heard["later"], "the voice did not come through after the answer either"
        assert (heard["early"] == 0) is ignore
        channel = f"{service.base}/channels/{service.record(definition, activation)['call_id']}"
        assert service.http("POST", channel, {"data": {"action": "hangup"}})[0] == 200
        assert service.ended(definition, activation)["result"] == "success"


def test_after_kill_9_the_next_start_hangs_up_the_one_of_several_that_answered(
    start: Start, tmp_path: Path
) -> None:
    service = start(Service, SETTINGS).start()
    desk = start(SippUas, "ring", name="desk")
    mobile = start(SippUas, "answer", name="mobile", pause=300)
    customer = start(SippUas, "answer", name="customer")
    definition = service.define(extension=[desk.uri, mobile.uri], whitelist=["customer"])
    activation = activate(service, definition, customer.uri)

    def connected() -> bool:
        return bool(service.record(definition, activation)["state"] == "connected")

    until(connected, 10, "the call")
    time.sleep(0.2)
    service.process.kill()
    service.process.wait()
    service.start()
    assert [phone.finish() for phone in (desk, mobile, customer)] == [0, 0, 0]
    assert desk.received("BYE") == []
