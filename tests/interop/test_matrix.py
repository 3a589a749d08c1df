"""kamailio and baresip on each way there is: register, call out, hold, transfer, and a call in that is refused."""

from __future__ import annotations

import re
import time

import pytest

from tests.interop.conftest import Start
from tests.interop.programs import WAYS, Baresip, Certificate, Kamailio, Service, Way, until

TONES = {"1001": 700, "1002": 1100, "1003": 1700}


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_register_call_hold_transfer_and_refusal(
    start: Start, certificate: Certificate, way: Way
) -> None:
    own = certificate if way.transport == "tls" else None
    proxy = start(Kamailio, way=way, certificate=own)
    desk, customer, other = (start(Baresip, user, proxy, tone, own) for user, tone in TONES.items())
    service = start(
        Service, proxy.trunk("2000"), realm=proxy.realm, way=way, certificate=own
    ).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")

    definition = service.define(extension="1001", realm=proxy.realm)

    def call() -> str:
        activation = service.connect(definition, "1002")

        def connected() -> bool:
            return bool(service.record(definition, activation["id"])["state"] == "connected")

        until(connected, 15, "the call")
        return str(activation["id"])

    # Call out, both ways heard; hold on the desk phone reaches the customer, and resume does.
    first = call()
    time.sleep(2.5)
    assert customer.heard(TONES["1001"]) > 0.8
    assert desk.heard(TONES["1002"]) > 0.8
    desk.command("hold")
    until(lambda: "a=sendonly" in customer.printed(), 5, "hold at the customer")
    offers = customer.printed().count("a=sendrecv")
    desk.command("resume")
    # The offer and the customer's own answer to it.
    until(lambda: customer.printed().count("a=sendrecv") >= offers + 2, 5, "resume")
    customer.hang_up()
    until(lambda: "session closed" in desk.printed(), 5, "the desk's BYE")
    assert service.ended(definition, first)["cause"] == "NORMAL_CLEARING"

    # The desk phone sends the customer to somebody else.
    second = call()
    time.sleep(0.5)
    desk.command("transfer", f"sip:1003@{way.literal}:{proxy.port};transport={way.transport}")
    until(lambda: "Call established" in other.printed(), 10, "the call at the new target")
    until(lambda: "SIP/2.0 200 OK" in desk.printed().rpartition("sipfrag")[2], 5, "the NOTIFY")
    time.sleep(2.5)
    assert other.heard(TONES["1002"]) > 0.8
    assert customer.heard(TONES["1003"]) > 0.8
    other.hang_up()
    record = service.ended(definition, second)
    assert (record["result"], record["cause"]) == ("success", "NORMAL_CLEARING")
    roles = {cdr["role"]: cdr for cdr in service.cdrs(second)}
    assert set(roles) == {"extension", "contact", "transfer"}

    # A call in: nobody takes calls here.
    desk.command("dial", f"sip:anyone@{way.literal}:{service.sip_port};transport={way.transport}")
    until(lambda: re.search(r"SIP/2.0 4(03|80) ", desk.printed()), 5, "the refusal")
