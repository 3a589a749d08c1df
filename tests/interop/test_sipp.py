"""Two sipp UAS as extension and contact, no registration: every message is one that their scenarios expect."""

import re
import sqlite3
import time

import pytest

from tests.failures import is_told
from tests.interop.conftest import Start
from tests.interop.programs import Certificate, Kamailio, Service, SippUas, Wire, until
from tests.interop.programs.base import free_port

BOTH = {"C2C_SIP_SIP__LISTEN": "udp:127.0.0.1:0,tcp:127.0.0.1:0"}
FAST = "[calling]\nextension_timeout = 3\ncontact_timeout = 3\nbusy_tone = 1\n"


def header(message: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.*)$", message, re.M)
    assert found is not None
    return found.group(1).strip()


def test_one_post_connects_two_phones_and_either_bye_ends_both(start: Start) -> None:
    service = start(Service, FAST).start()
    extension = start(SippUas, "answer", name="desk")
    contact = start(SippUas, "answer_bye", name="customer", pause=1500)
    definition = service.define(
        extension=extension.uri,
        caller_id_number="+12025550111",
        outbound_callee_id_name='Sales "North"',
        outbound_callee_id_number="+12025550122",
        whitelist=["customer"],
    )
    activation = service.connect(definition, contact.uri)
    record = service.ended(definition, activation["id"])
    assert (record["result"], record["cause"], record["state"]) == (
        "success",
        "NORMAL_CLEARING",
        "ended",
    )
    assert extension.finish() == 0, extension.printed()
    assert contact.finish() == 0, contact.printed()
    sent = service.sent(definition, activation["id"])
    assert sent[:3] == [("extension", "INVITE"), ("extension", "ACK"), ("contact", "INVITE")]
    invite = contact.received("INVITE")[0][1]
    assert "sip:+12025550111@" in header(extension.received("INVITE")[0][1], "From")
    assert header(invite, "From").startswith('"Sales \\"North\\"" <sip:+12025550122@')
    assert header(invite, "To") == f"<{contact.uri}>"
    assert {cdr["role"] for cdr in service.cdrs(activation["id"])} == {"extension", "contact"}
    until(lambda: not service.open_rtp_ports(), 5, "the RTP ports to be free")


def test_a_key_by_info_stays_one_within_a_trunk_that_takes_no_events(start: Start) -> None:
    """Asterisk with dtmf_mode = info looks for no keys in the audio."""
    desk = start(SippUas, "presses", name="desk")
    customer = start(SippUas, "pressed", name="customer")
    proxy = start(Kamailio, routes={"1001": desk.uri, "1002": customer.uri})
    service = start(Service, FAST + proxy.trunk("2000"), realm=proxy.realm).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
    definition = service.define(extension="1001", realm=proxy.realm)
    activation = service.connect(definition, "1002")
    assert service.ended(definition, activation["id"])["result"] == "success"
    assert desk.finish() == 0, desk.printed()
    assert customer.finish() == 0, customer.printed()


@pytest.mark.parametrize(
    ("contact", "result", "cause", "name"),
    [
        ("answer_bye Reason: Q.850;cause=16", "success", "NORMAL_CLEARING", "spoke"),
        ("answer_bye Reason: Q.850;cause=38", "success", "NETWORK_OUT_OF_ORDER", "spoke"),
        (
            "refuse 603 Decline|Reason: Q.850;cause=41",
            "error",
            "NORMAL_TEMPORARY_FAILURE",
            "refused",
        ),
    ],
)
def test_the_cause_that_asterisk_gives_is_the_record_s(
    start: Start, contact: str, result: str, cause: str, name: str
) -> None:
    """As FreeSWITCH has it, and so Kazoo."""
    service = start(Service, FAST).start()
    desk = start(SippUas, "answer", name="desk")
    customer = start(SippUas, contact, name="customer", pause=1000)
    definition = service.define(extension=desk.uri)
    activation = service.connect(definition, customer.uri)
    record = service.ended(definition, activation["id"])
    assert (record["result"], record["cause"]) == (result, cause)
    is_told(name, record["explanation"])
    assert (cause in record["explanation"]) == (cause != "NORMAL_CLEARING")
    roles = {cdr["role"]: cdr["hangup_cause"] for cdr in service.cdrs(activation["id"])}
    assert roles == {"extension": "NORMAL_CLEARING", "contact": cause}
    assert desk.finish() == 0, desk.printed()
    assert customer.finish() == 0, customer.printed()


@pytest.mark.parametrize(
    ("extension", "contact", "cause", "legs"),
    [
        ("refuse 486 Busy Here", None, "USER_BUSY", 1),
        ("refuse 603 Decline", None, "CALL_REJECTED", 1),
        ("ring", None, "NO_ANSWER", 1),
        ("refuse 404 Not Found", None, "UNALLOCATED_NUMBER", 1),
        ("answer_bye", "ring", "ORIGINATOR_CANCEL", 2),
        ("answer", "refuse 486 Busy Here", "USER_BUSY", 2),
        ("answer", "refuse 603 Decline", "CALL_REJECTED", 2),
        ("answer", "ring", "NO_ANSWER", 2),
        ("answer", "refuse 404 Not Found", "UNALLOCATED_NUMBER", 2),
        ("answer_bye", "answer", "NORMAL_CLEARING", 2),
        ("answer", "answer_bye", "NORMAL_CLEARING", 2),
    ],
)
def test_each_ending_leaves_one_record_and_nothing_ringing(
    start: Start, extension: str, contact: str | None, cause: str, legs: int
) -> None:
    service = start(Service, FAST).start()
    desk = start(SippUas, extension, name="desk", pause=1000 if extension == "answer_bye" else 0)
    pause = 1000 if contact == "answer_bye" else 0
    customer = start(SippUas, contact, name="customer", pause=pause) if contact else None
    definition = service.define(extension=desk.uri, whitelist=["customer"])
    to = customer.uri if customer else "sip:customer@127.0.0.1:9"
    activation = service.connect(definition, to)
    record = service.ended(definition, activation["id"])
    print(f"{extension:24} | {contact!s:24} | {record['cause']} {record['sip_status']}")
    assert record["cause"] == cause
    assert record["result"] == ("success" if cause == "NORMAL_CLEARING" else "error")
    assert len(service.cdrs(activation["id"])) == legs
    assert desk.finish() == 0, desk.printed()
    if customer is not None:
        assert customer.finish() == 0, customer.printed()
    _, history = service.http("GET", f"{service.base}/clicktocall/{definition}/history")
    assert [item["id"] for item in history["data"]] == [activation["id"]]
    until(lambda: not service.open_rtp_ports(), 5, "the RTP ports to be free")


def test_a_redirection_is_followed_once(start: Start) -> None:
    service = start(Service, FAST).start()
    desk = start(SippUas, "answer", name="desk")
    moved = start(SippUas, "answer_bye", name="moved", pause=800)
    customer = start(SippUas, f"redirect {moved.uri}", name="customer")
    definition = service.define(extension=desk.uri, whitelist=["customer"])
    activation = service.connect(definition, customer.uri)
    assert service.ended(definition, activation["id"])["result"] == "success"
    assert (desk.finish(), customer.finish(), moved.finish()) == (0, 0, 0)


def test_sigterm_in_mid_call_hangs_up_both_and_writes_it_down(start: Start) -> None:
    service = start(Service, FAST).start()
    desk = start(SippUas, "answer", name="desk")
    customer = start(SippUas, "answer", name="customer")
    definition = service.define(extension=desk.uri, whitelist=["customer"])
    activation = service.connect(definition, customer.uri)
    until(
        lambda: service.record(definition, activation["id"])["state"] == "connected", 10, "the call"
    )
    began = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began < 10
    assert (desk.finish(), customer.finish()) == (0, 0)
    service.start()
    record = service.record(definition, activation["id"])
    assert (record["state"], record["result"], record["cause"]) == (
        "ended",
        "success",
        "SYSTEM_SHUTDOWN",
    )


def test_kill_9_with_20_live_activations_leaves_20_ended_records(start: Start) -> None:
    service = start(Service, "").start()
    desk = start(SippUas, "silent", name="desk", calls=20)
    definition = service.define(extension=desk.uri)
    made = [
        service.connect(definition, f"sip:c{number}@example.test")["id"] for number in range(20)
    ]
    service.process.kill()
    service.process.wait()
    service.start()
    _, history = service.http("GET", f"{service.base}/clicktocall/{definition}/history")
    assert {item["id"] for item in history["data"]} == set(made)
    assert {(i["state"], i["result"], i["cause"]) for i in history["data"]} == {
        ("ended", "error", "NORMAL_TEMPORARY_FAILURE")
    }


def test_a_call_goes_over_tcp_where_the_uri_says_so(start: Start) -> None:
    service = start(Service, FAST, env={"C2C_SIP_SIP__LISTEN": "udp:127.0.0.1:0,tcp:127.0.0.1:0"})
    service.start()
    desk = start(SippUas, "answer", name="desk", transport="t1")
    customer = start(SippUas, "answer_bye", name="customer", pause=800, transport="t1")
    definition = service.define(extension=desk.uri, whitelist=["customer"])
    activation = service.connect(definition, customer.uri)
    assert service.ended(definition, activation["id"])["result"] == "success"
    assert (desk.finish(), customer.finish()) == (0, 0)
    assert "SIP/2.0/TCP" in desk.received("INVITE")[0][1]


def test_after_kill_9_the_next_start_hangs_up_the_legs_that_were_up(start: Start) -> None:
    service = start(Service, FAST).start()
    desk = start(SippUas, "answer", name="desk", calls=20)
    customer = start(SippUas, "answer", name="customer", calls=20)
    definition = service.define(extension=desk.uri, whitelist=["customer"])
    made = [service.connect(definition, customer.uri)["id"] for _ in range(20)]
    for activation in made:
        until(
            lambda one=activation: service.record(definition, one)["state"] == "connected",
            10,
            "the call",
        )

    def dialogs() -> int:
        with sqlite3.connect(f"file:{service.folder / 'c2c.db'}?mode=ro", uri=True) as database:
            query = "SELECT COUNT(*) FROM cdr WHERE dialog IS NOT NULL"
            return int(database.execute(query).fetchone()[0])

    until(lambda: dialogs() == 40, 10, "the dialogs to be written down")
    service.process.kill()
    service.process.wait()
    service.start()
    assert (desk.finish(), customer.finish()) == (0, 0)
    assert len(desk.received("BYE")) >= 20
    assert len(customer.received("BYE")) >= 20


def test_after_kill_9_the_next_start_cancels_what_rings(start: Start) -> None:
    # The same port again, which the phones' answers go to.
    listen = f"udp:127.0.0.1:{free_port()}"
    service = start(Service, env={"C2C_SIP_SIP__LISTEN": listen}).start()
    desk = start(SippUas, "answer", name="desk")
    customer = start(SippUas, "ring", name="customer")
    definition = service.define(extension=desk.uri, whitelist=["customer"])
    activation = service.connect(definition, customer.uri)["id"]
    until(
        lambda: service.record(definition, activation)["state"] == "contact_ringing",
        10,
        "the contact to ring",
    )
    service.process.kill()
    service.process.wait()
    service.start()
    assert (desk.finish(), customer.finish()) == (0, 0), customer.printed()
    assert desk.received("BYE")
    # They are of one transaction: the CANCEL, and the ACK of the 487.
    (invite,) = {header(text, "Via") for _, text in customer.received("INVITE")}
    for method in ("CANCEL", "ACK"):
        assert {header(text, "Via") for _, text in customer.received(method)} == {invite}


@pytest.mark.parametrize("late", [0.0, 0.001, 0.004, 0.012])
def test_kill_9_in_the_moment_in_which_a_phone_answers_leaves_no_leg_up(
    start: Start, late: float
) -> None:
    """It has not rung before, so that its tag is news; what the database has to be told of it is not on disk yet."""
    service = start(Service).start()

    def kill(octets: bytes) -> None:
        if octets.startswith(b"SIP/2.0 200") and b" INVITE\r\n" in octets and not killed:
            killed.append(octets)
            time.sleep(late)
            service.process.kill()

    killed: list[bytes] = []
    wire = Wire(answered=kill)
    desk = start(SippUas, "answer_at_once", name="desk", contact=f"127.0.0.1:{wire.port}")
    wire.to = desk.port
    definition = service.define(extension=f"sip:desk@127.0.0.1:{wire.port}", whitelist=["."])
    service.connect(definition, "sip:customer@127.0.0.1:9")
    service.process.wait(20)
    service.start()
    desk.finish(40)
    wire.stop()
    assert desk.received("BYE"), desk.messages()


@pytest.mark.parametrize("transport", ["u1", "t1"])
@pytest.mark.parametrize("kind", ["prack", "timer", "longer"])
def test_extensions_that_a_phone_asks_for(start: Start, kind: str, transport: str) -> None:
    """PRACK with its RAck; a session timer with the phone as refresher; an interval that is too short for it.

    sipp's scenario looks at what comes, and fails on anything else.
    """
    service = start(Service, env=BOTH).start()
    desk = start(SippUas, kind, name="desk", transport=transport)
    customer = start(SippUas, "answer_bye", name="customer", pause=3000)
    definition = service.define(extension=desk.uri, whitelist=["customer"])
    activation = service.connect(definition, customer.uri)
    record = service.ended(definition, activation["id"])
    assert (record["result"], record["cause"]) == ("success", "NORMAL_CLEARING")
    assert desk.finish() == 0, (desk.folder / "errors.log").read_text()


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("kind", ["rogue", "rogue_reinvite", "rogue_bye"])
def test_a_contact_that_asks_for_the_trunk_s_password_gets_none(
    start: Start, certificate: Certificate, kind: str, transport: str
) -> None:
    proxy = start(Kamailio)
    env = {
        "C2C_SIP_SIP__LISTEN": "udp:127.0.0.1:0,tcp:127.0.0.1:0,tls:127.0.0.1:0",
        "C2C_SIP_SIP__TLS_CA": str(certificate.authority),
    }
    service = start(Service, proxy.trunk("2000"), realm=proxy.realm, env=env).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
    desk = start(SippUas, "hold" if kind == "rogue_reinvite" else "answer", name="desk")
    rogue = start(
        SippUas,
        kind,
        name="rogue",
        transport="u1" if transport == "udp" else "t1",
        certificate=certificate if transport == "tls" else None,
    )
    definition = service.define(extension=desk.uri, whitelist=["rogue"])
    activation = service.connect(definition, rogue.uri)
    if kind != "rogue":

        def connected() -> bool:
            return bool(service.record(definition, activation["id"])["state"] == "connected")

        until(connected, 10, "the call")
        if kind == "rogue_reinvite":
            until(lambda: len(rogue.received("INVITE")) == 2, 10, "the INVITE that holds")
            assert "a=sendonly" in rogue.received("INVITE")[1][1]
            time.sleep(0.5)
        channel = f"{service.base}/channels/{activation['call_id']}"
        assert service.http("POST", channel, {"data": {"action": "hangup"}})[0] == 200
    service.ended(definition, activation["id"])
    time.sleep(1.0)
    requests = [text for _, way, text in rogue.messages() if way == "received"]
    challenges = [text for _, way, text in rogue.messages() if way == "sent" and " 401 " in text]
    assert requests and challenges
    assert not [text for text in requests if "uthorization" in text]
    assert all(f"/{transport.upper()} " in text for text in requests)
