"""linphone as the desk phone on each way there is: register, answer, hold, transfer, session timer, a call in."""

from __future__ import annotations

import re
import time

import pytest

from tests.interop.conftest import Start
from tests.interop.programs import (
    WAYS,
    Baresip,
    Certificate,
    Kamailio,
    Linphone,
    Service,
    Way,
    until,
)

# On a busy machine linphone's sound card of files stutters: half of what is heard has to be the tone.
TONES = {"1001": 700, "1002": 1100, "1003": 1700}


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_register_call_hold_transfer_and_refusal(
    start: Start, certificate: Certificate, way: Way
) -> None:
    own = certificate if way.transport == "tls" else None
    proxy = start(Kamailio, way=way, certificate=own)
    customer, other = (start(Baresip, user, proxy, TONES[user], own) for user in ("1002", "1003"))
    desk = start(Linphone, "1001", proxy, TONES["1001"], own, session_expires=90)
    service = start(
        Service,
        proxy.trunk("2000"),
        realm=proxy.realm,
        way=way,
        certificate=own,
        env={"C2C_SIP_SIP__SESSION_EXPIRES": "90"},
    ).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
    definition = service.define(extension="1001", realm=proxy.realm)

    def call() -> str:
        activation = service.connect(definition, "1002")

        def connected() -> bool:
            return bool(service.record(definition, activation["id"])["state"] == "connected")

        until(connected, 15, "the call")
        return str(activation["id"])

    first = call()
    assert "Session-Expires: 90;refresher=uas" in desk.messages()
    time.sleep(2.5)
    until(lambda: customer.heard(TONES["1001"]) > 0.5, 15, "linphone's tone")
    desk.command("pause")
    until(lambda: "a=sendonly" in customer.printed(), 5, "hold at the customer")
    offers = customer.printed().count("a=sendrecv")
    desk.command("resume 1")
    until(lambda: customer.printed().count("a=sendrecv") >= offers + 2, 5, "resume")
    time.sleep(1.0)
    customer.hang_up()
    until(lambda: desk.received("BYE"), 5, "the desk's BYE")
    # What it hears is written when it ends.
    until(lambda: desk.heard(TONES["1002"]) > 0.5, 5, "the customer's tone at linphone")
    assert service.ended(definition, first)["cause"] == "NORMAL_CLEARING"
    media = {cdr["role"]: cdr["media"] for cdr in service.cdrs(first)}
    assert all(counters["packets_received"] > 20 for counters in media.values())

    second = call()
    time.sleep(0.5)
    target = f"sip:1003@{way.literal}:{proxy.port};transport={way.transport}"
    desk.command(f"transfer 2 {target}")
    until(lambda: "Call established" in other.printed(), 10, "the call at the new target")
    until(lambda: re.search(r"message/sipfrag[\s\S]*SIP/2.0 200 OK", desk.messages()), 5, "NOTIFY")
    time.sleep(2.5)
    assert other.heard(TONES["1002"]) > 0.5
    assert customer.heard(TONES["1003"]) > 0.5
    other.hang_up()
    record = service.ended(definition, second)
    assert (record["result"], record["cause"]) == ("success", "NORMAL_CLEARING")

    # It comes by the trunk, where the service is registered as any phone.
    desk.command(f"call sip:2000@{way.literal}:{proxy.port};transport={way.transport}")
    until(lambda: "\nSIP/2.0 480" in desk.messages(), 5, "the refusal")
