"""Trunks without a registration: only their addresses say which of them a request belongs to."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from c2c_sip.calling.engine import own_servers
from c2c_sip.config import load
from sipstack.account import Account, account_at
from sipstack.digest import Credentials
from sipstack.incoming import IncomingCall
from sipstack.message import Request, Response, Uri, make_response, parse_datagram
from sipstack.sdp import LocalMedia, codec_list
from sipstack.transport import Address, Transport
from sipstack.useragent import UserAgent
from tests.simulation.clock import run
from tests.simulation.network import VirtualNetwork
from tests.simulation.trunks import ANSWER, Seen, answers, place_call

US, FIRST, SECOND, STRANGER = "192.0.2.1", "192.0.2.7", "192.0.2.8", "192.0.2.9"
CHALLENGE = [("WWW-Authenticate", 'Digest realm="provider", nonce="n", algorithm=MD5')]


def account(name: str, host: str, port: int = 5060) -> Account:
    made = Account(
        name=name,
        domain=Uri.parse(f"sip:{host}:{port}"),
        username=name,
        credentials=Credentials(name, "pw"),
        make_cnonce=lambda: "c",
    )
    made.learn(host, port)
    return made


def found(accounts: list[Account], source: Address, user: str = "") -> str | None:
    at = account_at(accounts, source, user)
    return at.name if at is not None else None


def test_a_request_is_of_the_trunk_whose_address_it_comes_from() -> None:
    accounts = [account("first", FIRST), account("second", SECOND)]
    assert found(accounts, (FIRST, 5060)) == "first"
    assert found(accounts, (SECOND, 5060)) == "second"
    assert found(accounts, (STRANGER, 5060)) is None
    # A connection comes from any port.
    assert found(accounts, (SECOND, 49152)) == "second"


def test_of_trunks_at_one_address_the_port_decides_and_then_who_is_called() -> None:
    accounts = [account("first", FIRST, 5060), account("second", FIRST, 5070)]
    assert found(accounts, (FIRST, 5070)) == "second"
    assert found(accounts, (FIRST, 5060), "second") == "first"
    same = [account("first", FIRST), account("second", FIRST)]
    assert found(same, (FIRST, 5060), "second") == "second"
    assert found(same, (FIRST, 5060), "nobody") == "first"


def test_a_call_from_a_trunk_finds_nobody_and_one_from_a_stranger_is_forbidden(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refuse = own_servers([account("first", FIRST), account("second", SECOND)])
    with caplog.at_level("INFO"):
        assert refuse((SECOND, 5060)) == 480
        assert "trunk second" in caplog.text
        assert refuse((STRANGER, 5060)) == 403


class Caller:
    """A node that calls us, and asks who we are when we hang up."""

    def __init__(self, network: VirtualNetwork, host: str) -> None:
        self.host = host
        self.byes: list[Request] = []
        self._transport = network.transport(host, receiver=self.receive)

    def call(self) -> None:
        invite = self.request("INVITE", 1)
        invite.add("Contact", f"<sip:them@{self.host}>")
        invite.add("Content-Type", "application/sdp")
        invite.body = ANSWER
        self._transport.send(invite.serialize(), (US, 5060))

    def request(self, method: str, number: int, tag: str = "") -> Request:
        request = Request(method, Uri.parse(f"sip:us@{US}"))
        request.add("Via", f"SIP/2.0/UDP {self.host}:5060;branch=z9hG4bK{method}")
        request.add("Max-Forwards", "70")
        request.add("From", f"<sip:them@{self.host}>;tag=them")
        request.add("To", f"<sip:us@{US}>" + (f";tag={tag}" if tag else ""))
        request.add("Call-ID", self.host)
        request.add("CSeq", f"{number} {method}")
        return request

    def receive(self, octets: bytes, source: Address, transport: Transport) -> None:
        message = parse_datagram(octets)
        if isinstance(message, Response):
            if message.cseq.method == "INVITE" and message.status == 200:
                ack = self.request("ACK", 1, message.to.tag or "")
                self._transport.send(ack.serialize(), source)
        elif message.method == "BYE":
            self.byes.append(message)
            signed = message.get("Authorization") is not None
            response = (
                make_response(message, 200)
                if signed
                else make_response(message, 401, headers=CHALLENGE)
            )
            self._transport.send(response.serialize(), source)


def test_a_call_in_is_hung_up_with_the_credentials_of_its_own_trunk() -> None:
    async def main() -> tuple[list[str | None], list[Caller]]:
        network = VirtualNetwork(1)
        callers = [Caller(network, host) for host in (FIRST, SECOND, STRANGER)]
        accounts = [account("first", FIRST), account("second", SECOND)]
        owners: list[str | None] = []

        def take(call: IncomingCall, source: Address) -> None:
            owners.append(call.account.name if call.account is not None else None)
            media = LocalMedia(US, 20000, codec_list(["PCMA"]), 1)
            call.accept(media, on_event=lambda event: None, on_media=lambda remote: None)
            call.answer()
            asyncio.get_running_loop().call_later(1.0, call.hang_up)

        agent = UserAgent(
            [network.transport(US)],
            loop=asyncio.get_running_loop(),
            rng=random.Random(1),
            on_invite=take,
            accounts=accounts,
        )
        for caller in callers:
            caller.call()
        await asyncio.sleep(100.0)
        agent.close()
        return owners, callers

    owners, callers = run(main(), 1)
    assert owners == ["first", "second", None]
    answered = [[bye.get("Authorization") for bye in caller.byes] for caller in callers]
    for name, (challenged, signed) in zip(("first", "second"), answered[:2], strict=True):
        assert challenged is None
        assert f'username="{name}"' in (signed or "")
    # Whoever else asks is told nothing.
    assert answered[2] == [None]


@pytest.mark.parametrize(
    ("realm", "host", "username"),
    [("one.test", FIRST, "u1"), ("two.test", SECOND, "u2"), ("office.test", FIRST, "u1")],
)
def test_each_call_out_is_signed_for_the_trunk_that_it_goes_through(
    realm: str, host: str, username: str, tmp_path: Path
) -> None:
    def challenges(request: Request) -> Response | None:
        if request.method in ("INVITE", "BYE") and request.get("Authorization") is None:
            return make_response(request, 401, to_tag="them", headers=CHALLENGE)
        return answers(request)

    path = tmp_path / "c2c_sip.toml"
    path.write_text(
        "".join(
            f'[[trunk]]\nname = "{name}"\ndomain = "{name}.test"\nregister = false\n'
            f'username = "u{number}"\npassword = "p"\n'
            for number, name in ((1, "one"), (2, "two"))
        )
    )
    nodes: dict[str, Seen] = place_call(
        load(str(path), {}),
        tmp_path,
        {"extension": "+12025550101", "realm": realm},
        "+12025550102",
        zone={("one.test", "A"): (FIRST,), ("two.test", "A"): (SECOND,)},
        answering={FIRST: challenges, SECOND: challenges},
    )
    assert {at for at, node in nodes.items() if node.requests} == {host}
    signed = [
        (request.method, request.get("Authorization") or "")
        for request in nodes[host].requests
        if request.get("Authorization")
    ]
    assert {"INVITE", "BYE"} <= {method for method, _ in signed}
    assert all(f'username="{username}"' in value for _, value in signed)
