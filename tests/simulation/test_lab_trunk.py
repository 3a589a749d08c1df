"""The lab's trunk as a proxy: hops are counted, and a call that goes in circles comes to an end."""

from __future__ import annotations

import asyncio

import pytest

from c2c_sip.lab.trunk import LabTrunk
from sipstack.message import Request, Response, Uri, parse_datagram
from sipstack.transport import Address, Transport
from tests.simulation.clock import run
from tests.simulation.network import VirtualNetwork

CALLER, TRUNK, PHONE = "192.0.2.1", "192.0.2.5", "192.0.2.6"


def ask(
    method: str, user: str, hops: int, *headers: tuple[str, str]
) -> tuple[list[Response], list[Request]]:
    """What the caller and the phone get of one request through the trunk."""
    answers: list[Response] = []
    arrived: list[Request] = []

    def answered(octets: bytes, source: Address, transport: Transport) -> None:
        message = parse_datagram(octets)
        assert isinstance(message, Response)
        answers.append(message)

    def arrives(octets: bytes, source: Address, transport: Transport) -> None:
        message = parse_datagram(octets)
        assert isinstance(message, Request)
        arrived.append(message)

    async def main() -> None:
        network = VirtualNetwork(1)
        caller = network.transport(CALLER, receiver=answered)
        network.transport(PHONE, receiver=arrives)
        trunk = LabTrunk(
            network.transport(TRUNK),
            clock=asyncio.get_running_loop().time,
            accounts={},
            gateways={
                "phone": Uri.parse(f"sip:phone@{PHONE}"),
                "circle": Uri.parse(f"sip:circle@{TRUNK}"),
            },
            realm="lab",
            secret=b"secret",
            challenge=False,
        )
        request = Request(method, f"sip:{user}@{TRUNK}")
        request.add("Via", f"SIP/2.0/UDP {CALLER}:5060;branch=z9hG4bKfirst")
        request.add("Max-Forwards", str(hops))
        request.add("From", f"<sip:caller@{CALLER}>;tag=1")
        request.add("To", f"<sip:{user}@{TRUNK}>")
        request.add("Call-ID", "hops")
        request.add("CSeq", f"1 {method}")
        request.add("Contact", f"<sip:caller@{CALLER}>")
        for name, value in headers:
            request.add(name, value)
        caller.send(request.serialize(), (TRUNK, 5060))
        await asyncio.sleep(60.0)
        trunk.close()

    run(main(), 1)
    return answers, arrived


def test_a_request_goes_on_with_one_hop_less() -> None:
    answers, (arrived,) = ask("INVITE", "phone", 1)
    assert answers == []
    assert arrived.max_forwards == 0


@pytest.mark.parametrize(("method", "statuses"), [("INVITE", [483]), ("BYE", [483]), ("ACK", [])])
def test_a_request_that_has_no_hops_left_goes_no_further(method: str, statuses: list[int]) -> None:
    answers, arrived = ask(method, "phone", 0)
    assert [answer.status for answer in answers] == statuses
    assert arrived == []


def test_an_extension_that_a_proxy_has_to_know_is_not_known() -> None:
    wants = ("Proxy-Require", "foo, bar")
    (answer,), arrived = ask("INVITE", "phone", 70, wants)
    assert (answer.status, answer.get("Unsupported"), arrived) == (420, "foo, bar", [])
    assert ask("ACK", "phone", 70, wants)[0] == []


def test_a_call_that_goes_in_circles_is_refused_when_its_hops_are_used_up() -> None:
    (answer,), arrived = ask("INVITE", "circle", 70)
    assert (answer.status, answer.reason) == (483, "Too Many Hops")
    assert [via.branch for via in answer.vias] == ["z9hG4bKfirst"]
    assert arrived == []
