"""Encrypted audio on either leg, with phones that we did not write."""

from __future__ import annotations

import time

import pytest

from tests.interop.conftest import Start
from tests.interop.programs import Baresip, Kamailio, Service, Way, until

DESK, CUSTOMER = 700, 1100


@pytest.mark.parametrize(
    ("srtp", "desk_wants", "customer_wants"),
    [
        ("optional", "srtp", ""),
        ("optional", "", "srtp"),
        ("optional", "", ""),
        ("required", "srtp-mand", "srtp-mand"),
    ],
)
def test_both_are_heard_whoever_encrypts(
    start: Start, srtp: str, desk_wants: str, customer_wants: str
) -> None:
    proxy = start(Kamailio, way=Way())
    desk = start(Baresip, "1001", proxy, DESK, None, desk_wants)
    customer = start(Baresip, "1002", proxy, CUSTOMER, None, customer_wants)
    trunk = proxy.trunk("2000") + f'srtp = "{srtp}"\n'
    service = start(Service, trunk, realm=proxy.realm).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
    definition = service.define(extension="1001", realm=proxy.realm)
    talking = service.connect(definition, "1002")
    until(lambda: service.record(definition, talking["id"])["state"] == "connected", 10, "the call")
    time.sleep(3.0)
    until(lambda: customer.heard(DESK) > 0.5, 15, "the desk")
    until(lambda: desk.heard(CUSTOMER) > 0.5, 15, "the customer")
    for phone, wants in ((desk, desk_wants), (customer, customer_wants)):
        answer = phone.printed().rpartition("SIP/2.0 200 OK\r\nVia")[2]
        assert ("a=crypto:" in phone.printed() and "a=crypto" in answer) or not wants
    customer.hang_up()
    assert service.ended(definition, talking["id"])["cause"] == "NORMAL_CLEARING"
    assert "trunk kamailio: the keys of srtp are sent in the clear" in service.log.read_text()


def test_nothing_is_said_in_the_clear_where_that_must_not_be(start: Start) -> None:
    proxy = start(Kamailio, way=Way())
    start(Baresip, "1001", proxy, DESK)
    start(Baresip, "1002", proxy, CUSTOMER)
    trunk = proxy.trunk("2000") + 'srtp = "required"\n'
    service = start(Service, trunk, realm=proxy.realm).start()
    until(lambda: service.http("GET", "/readyz")[0] == 200, 10, "the registration")
    definition = service.define(extension="1001", realm=proxy.realm)
    record = service.ended(definition, service.connect(definition, "1002")["id"])
    assert (record["result"], record["cause"]) == ("error", "INCOMPATIBLE_DESTINATION")
