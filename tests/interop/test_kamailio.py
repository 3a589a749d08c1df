"""Through kamailio, with digest on REGISTER and INVITE, to two baresips: what the ears at both ends hear."""

import signal
import time

import pytest

from tests.interop.conftest import Start
from tests.interop.programs import Baresip, Kamailio, Service, until

DESK_TONE, CUSTOMER_TONE = 700, 1100


def calls_up(phone: Baresip) -> bool:
    return phone.printed().count("Call established") > phone.printed().count("session closed")


@pytest.mark.parametrize("leaver", ["desk", "customer"])
def test_tones_are_heard_both_ways_and_either_hang_up_ends_the_other_leg(
    start: Start, leaver: str
) -> None:
    proxy = start(Kamailio)
    desk = start(Baresip, "1001", proxy, DESK_TONE)
    customer = start(Baresip, "1002", proxy, CUSTOMER_TONE)
    service = start(Service, proxy.trunk("2000"), realm=proxy.realm).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
    definition = service.define(extension="1001", realm=f"{proxy.realm}")
    activation = service.connect(definition, "1002")

    def connected() -> bool:
        return bool(service.record(definition, activation["id"])["state"] == "connected")

    until(connected, 15, "the call")
    time.sleep(4.0)  # for the ears
    phones = {"desk": desk, "customer": customer}
    leaving, staying = phones.pop(leaver), next(iter(phones.values()))
    began = time.monotonic()
    leaving.hang_up()
    until(lambda: "session closed" in staying.printed(), 5, "the other leg's BYE")
    assert time.monotonic() - began < 1.0
    record = service.ended(definition, activation["id"])
    assert (record["result"], record["cause"]) == ("success", "NORMAL_CLEARING")
    assert desk.heard(CUSTOMER_TONE) > 0.8
    assert customer.heard(DESK_TONE) > 0.8
    assert desk.heard(DESK_TONE) < 0.1
    cdrs = {cdr["role"]: cdr for cdr in service.cdrs(activation["id"])}
    assert cdrs["extension"]["hangup_by"] == ("peer" if leaver == "desk" else "local")
    for cdr in cdrs.values():
        assert cdr["media"]["packets_received"] > 100
        # baresip's SDP names the machine's other address, as a phone behind NAT would: its packets have to
        # wait for half a second until they are believed.
        assert cdr["media"]["rejected"] <= 30


def test_a_wrong_password_is_tried_once_and_refuses_calls_with_a_record(start: Start) -> None:
    proxy = start(Kamailio)
    service = start(Service, proxy.trunk("2000", password="wrong"), realm=proxy.realm).start()
    status, answer = until(
        lambda: (
            (found := service.http("GET", "/readyz"))[1]["data"]["reasons"][0].count("password")
            and found
        ),
        10,
        "the refusal",
    )
    assert status == 503
    assert "password" in answer["data"]["reasons"][0]
    definition = service.define(extension="1001")
    status, answer = service.http(
        "POST", f"{service.base}/clicktocall/{definition}/connect", {"contact": "1002"}
    )
    assert status == 503
    _, history = service.http("GET", f"{service.base}/clicktocall/{definition}/history")
    (record,) = history["data"]
    assert (record["state"], record["result"], record["cause"]) == (
        "ended",
        "error",
        "NORMAL_TEMPORARY_FAILURE",
    )


def test_a_registrar_that_wants_a_longer_expiry_gets_it(start: Start) -> None:
    proxy = start(Kamailio, min_expires=900)
    service = start(Service, proxy.trunk("2000", expires=300), realm=proxy.realm).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")


def test_a_phone_that_vanishes_without_bye_is_noticed(start: Start) -> None:
    proxy = start(Kamailio)
    start(Baresip, "1001", proxy, DESK_TONE)
    customer = start(Baresip, "1002", proxy, CUSTOMER_TONE)
    service = start(
        Service, proxy.trunk("2000"), realm=proxy.realm, env={"C2C_SIP_MEDIA__TIMEOUT": "5"}
    ).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
    definition = service.define(extension="1001")
    activation = service.connect(definition, "1002")

    def connected() -> bool:
        return bool(service.record(definition, activation["id"])["state"] == "connected")

    until(connected, 15, "the call")
    customer.stop(signal.SIGKILL)
    record = service.ended(definition, activation["id"], 60)
    assert (record["result"], record["cause"]) == ("success", "RECOVERY_ON_TIMER_EXPIRE")
    until(lambda: not service.open_rtp_ports(), 5, "the RTP ports to be free")
