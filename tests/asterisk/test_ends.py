"""How calls through Asterisk end, what the record says of it, and what is left when one of the two is killed."""

from __future__ import annotations

import pytest

from tests.asterisk.conftest import Make
from tests.interop.programs import HOST, Way, free_port, until

#: What Hangup() with a cause comes to before the call is answered: our cause, and Asterisk's status.
CAUSES = {
    0: ("CALL_REJECTED", 603),
    1: ("UNALLOCATED_NUMBER", 404),
    2: ("NO_ROUTE_TRANSIT_NET", 404),
    3: ("NO_ROUTE_DESTINATION", 404),
    16: ("CALL_REJECTED", 603),
    17: ("USER_BUSY", 486),
    18: ("NO_USER_RESPONSE", 408),
    19: ("NO_ANSWER", 480),
    20: ("SUBSCRIBER_ABSENT", 480),
    21: ("CALL_REJECTED", 403),
    22: ("NUMBER_CHANGED", 410),
    27: ("DESTINATION_OUT_OF_ORDER", 502),
    28: ("INVALID_NUMBER_FORMAT", 484),
    29: ("FACILITY_REJECTED", 501),
    31: ("NO_USER_RESPONSE", 480),
    34: ("NORMAL_CIRCUIT_CONGESTION", 503),
    38: ("NETWORK_OUT_OF_ORDER", 500),
    41: ("NORMAL_TEMPORARY_FAILURE", 603),
    42: ("SWITCH_CONGESTION", 503),
    44: ("REQUESTED_CHAN_UNAVAIL", 603),
    50: ("FACILITY_NOT_SUBSCRIBED", 603),
    57: ("BEARERCAPABILITY_NOTAUTH", 603),
    58: ("BEARERCAPABILITY_NOTAVAIL", 488),
    66: ("CHAN_NOT_IMPLEMENTED", 503),
    88: ("INCOMPATIBLE_DESTINATION", 603),
    102: ("RECOVERY_ON_TIMER_EXPIRE", 603),
    111: ("PROTOCOL_ERROR", 603),
    127: ("INTERWORKING", 500),
}
#: And after it: with BYE.
TALKED = {
    16: "NORMAL_CLEARING",
    17: "USER_BUSY",
    34: "NORMAL_CIRCUIT_CONGESTION",
    38: "NETWORK_OUT_OF_ORDER",
}


def test_each_cause_is_kazoo_s(pbx: Make) -> None:
    made = pbx(())
    # The extension hears the busy tone after each.
    made.service.allow("C2C_SIP_CALLING__BUSY_TONE", "1")
    made.service.stop()
    made.service.start()
    until(lambda: made.service.http("GET", "/readyz")[0] == 200, 15, "the registration")
    calls = {cause: made.call(f"7{cause:03}", extension="600", state="ended") for cause in CAUSES}
    found = {cause: made.ended(call) for cause, call in calls.items()}
    assert {c: (r["cause"], r["sip_status"]) for c, r in found.items()} == CAUSES
    assert "no phone is registered there as 7020" in found[20]["explanation"]
    assert "NORMAL_TEMPORARY_FAILURE (Q.850 41)" in found[41]["explanation"]
    for cause, name in TALKED.items():
        record = made.ended(made.call(f"8{cause:03}", extension="600"))
        assert (record["result"], record["cause"]) == ("success", name)
    for contact, cause in (("602", "USER_BUSY"), ("603", "NORMAL_CIRCUIT_CONGESTION"), ("999", "UNALLOCATED_NUMBER")):  # fmt: skip
        assert made.ended(made.call(contact, extension="600"))["cause"] == cause
    assert made.ended(made.call("606", extension="600"), 40)["cause"] == "NO_ROUTE_DESTINATION"


def test_ringing_is_given_up(pbx: Make) -> None:
    made = pbx(())
    call = made.call("604", extension="600", state="contact_ringing", timeout=3)
    made.reaches(call, "ended")
    assert made.ended(call)["cause"] == "NO_ANSWER"
    until(lambda: not made.asterisk.channels(), 10, "no channel left")


def test_a_redirection_is_followed(pbx: Make) -> None:
    made = pbx()
    made.call("610")
    made.hears("1001", 1500)


@pytest.mark.parametrize("way", [Way(), Way("tcp"), Way("tls")], ids=str)
def test_asterisk_is_killed_and_comes_back(pbx: Make, way: Way) -> None:
    made = pbx(way=way, env={"C2C_SIP_MEDIA__TIMEOUT": "10"})
    call = made.call("601")
    made.hears("1001", 1500)
    made.asterisk.kill()
    made.asterisk.start()
    record = made.ended(call, 40)
    assert (record["result"], record["cause"]) == ("success", "RECOVERY_ON_TIMER_EXPIRE")
    until(lambda: made.service.http("GET", "/readyz")[0] == 200, 40, "the registration")
    again = made.call("601", extension="600")
    assert made.service.record(*again)["state"] == "connected"


@pytest.mark.parametrize("way", [Way(), Way("tcp"), Way("tls")], ids=str)
def test_we_are_killed_and_come_back(pbx: Make, way: Way) -> None:
    made = pbx((), way=way)
    for contact in ("600", "601"):
        made.call(contact, extension="601")
    assert len(made.asterisk.channels()) == 4
    made.service.kill()
    made.service.start()
    until(lambda: not made.asterisk.channels(), 15, "each call's end")


def test_we_are_stopped(pbx: Make) -> None:
    made = pbx(())
    made.call("600", extension="601")
    assert made.service.stop() == 0
    until(lambda: not made.asterisk.channels(), 10, "the call's end")
    assert "c2c/" not in made.asterisk.cli("pjsip show contacts")


@pytest.mark.parametrize("remove", ["yes", "no"])
def test_another_address_of_ours_after_a_crash(pbx: Make, remove: str) -> None:
    """The example says ``remove_existing = yes``, and why."""
    made = pbx((), aor={"remove_existing": remove})
    made.service.kill()
    config = made.service.config.read_text()
    made.service.config.write_text(config.replace(str(made.service.sip_port), str(free_port())))
    made.service.start()
    if remove == "yes":
        until(lambda: made.service.http("GET", "/readyz")[0] == 200, 15, "the registration")
    else:
        until(lambda: "403 Forbidden" in str(made.service.http("GET", "/readyz")[1]), 15, "403")


def test_from_that_is_no_endpoint(pbx: Make) -> None:
    made = pbx((), trunk={"from_user": '"number"', "identity": '["from"]'})
    record = made.ended(made.call("601", extension="600", caller_id_number="4930123"))
    assert (record["cause"], record["sip_status"]) == ("CALL_REJECTED", 401)
    assert "trunk.pbx.from_user" in record["explanation"]


ANONYMOUS = """
[anonymous]
type = endpoint
context = from-internal
disallow = all
allow = ulaw
"""


def test_a_contact_at_asterisk_past_the_trunk(pbx: Make) -> None:
    made = pbx(more=ANONYMOUS)
    where = f"{HOST}:{made.asterisk.port}"
    call = made.call(f"sip:601@{where}", outbound_callee_id_number="4930999")
    made.hears("1001", 1500)
    made.phones["1001"].hang_up()
    assert made.ended(call)["result"] == "success"
    busy = made.call(f"sip:602@{where}", extension="600", outbound_callee_id_number="4930999")
    assert made.ended(busy)["cause"] == "USER_BUSY"


def test_a_contact_that_challenges_in_the_trunk_s_realm_gets_no_credentials(pbx: Make) -> None:
    """It is the trunk's own server that asks, and all the same: a direct leg has no password."""
    made = pbx(())
    where = f"{HOST}:{made.asterisk.port}"
    record = made.ended(made.call(f"sip:601@{where}", extension="600"))
    assert (record["cause"], record["sip_status"]) == ("CALL_REJECTED", 401)
    direct = [text for way, text in made.asterisk.messages() if text.startswith(f"INVITE sip:601@{where}")]  # fmt: skip
    assert len(direct) == 1 and "uthorization:" not in direct[0]


def test_calls_that_asterisk_makes_to_us(pbx: Make) -> None:
    made = pbx((), more="\n[out]\ntype = endpoint\ncontext = from-internal\ndisallow = all\nallow = ulaw\n")  # fmt: skip
    here = f"{HOST}:{made.service.sip_port}"
    for number, target in enumerate((f"out/sip:anyone@{here}", "c2c", "12345@c2c"), 1):
        made.asterisk.cli(f"channel originate PJSIP/{target} application Echo")
        until(lambda n=number: sum(text.startswith("SIP/2.0 480") for _, text in made.asterisk.messages()) == n, 10, target)  # type: ignore[misc]  # fmt: skip
    assert not made.asterisk.channels()
