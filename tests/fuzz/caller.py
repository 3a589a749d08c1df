"""A call of ours whose other end says anything: it ends all the same, and leaves nothing."""

from __future__ import annotations

import asyncio
import random

from sipstack.account import Account
from sipstack.call import Outbound, OutgoingCall
from sipstack.digest import Credentials
from sipstack.message import NameAddr, Request, Uri, parse_datagram
from sipstack.resolver import Answer, Resolver, Target
from sipstack.sdp import LocalMedia, codec_list
from sipstack.transport import Address, Transport
from sipstack.useragent import UserAgent
from tests.simulation.clock import run
from tests.simulation.network import VirtualNetwork

US, THEM = "192.0.2.1", "192.0.2.2"
#: Requests of ours that are answered: no honest call has more.
_MOST = 40


def caller(octets: bytes) -> None:
    """The octets are all that comes back for each request of ours, but for those headers which make it its answer.

    Whether it was answered, refused or neither: once it is hung up, and every timer has run, nothing is left of it.
    """
    run(_call(octets), 1)


async def _call(octets: bytes) -> None:
    loop = asyncio.get_running_loop()
    network = VirtualNetwork(1)
    requests: list[Request] = []

    def receive(received: bytes, source: Address, transport: Transport) -> None:
        request = parse_datagram(received)
        if isinstance(request, Request) and request.method != "ACK" and len(requests) < _MOST:
            requests.append(request)
            transport.send(_answer(octets, request), source)

    async def look_up(name: str, kind: str) -> Answer:
        return Answer((), 60.0)

    network.transport(THEM, receiver=receive)
    agent = UserAgent(
        [network.transport(US)],
        loop=loop,
        rng=random.Random(1),
        resolver=Resolver(look_up, clock=loop.time, rng=random.Random(1)),
    )
    account = Account(
        name="trunk",
        domain=Uri.parse(f"sip:{THEM}"),
        username="user",
        credentials=Credentials("user", "secret"),
        make_cnonce=lambda: "c",
    )
    account.learn(THEM)
    call = OutgoingCall(
        agent,
        Outbound(Uri.parse(f"sip:them@{THEM}"), account),
        LocalMedia(US, 20000, codec_list(["PCMU", "PCMA"]), 1),
        from_=NameAddr.parse(f"<sip:us@{US}>"),
        call_id="fuzzed",
        contact_user="us",
        on_event=lambda event: None,
        on_media=lambda remote: None,
        redirect=lambda uri: Outbound(uri, account),
    )
    call.dial([Target("UDP", (THEM, 5060))])
    await asyncio.sleep(1.0)
    if call.session is not None:
        call.session.offer("sendonly")
        await asyncio.sleep(1.0)
    call.hang_up()
    await asyncio.sleep(300.0)
    assert call.outcome is not None
    assert (agent.calls, agent.transactions) == (0, 0)
    assert all(b"secret" not in request.serialize() for request in requests)
    agent.close()


def _answer(octets: bytes, request: Request) -> bytes:
    """``octets`` as a response to ``request``: its Via, From, Call-ID and CSeq put first, a tag into a To without one."""
    first, _, rest = octets.partition(b"\r\n")
    own = [(name, request.get(name) or "") for name in ("Via", "From", "Call-ID", "CSeq")]
    to = request.get("To") or ""
    own.append(("To", to if ";tag=" in to else f"{to};tag=them"))
    head = "".join(f"{name}: {value}\r\n" for name, value in own).encode("utf-8", "surrogateescape")
    return first + b"\r\n" + head + rest


_SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\n"
_LINES = (
    b"Contact: <sip:them@192.0.2.2>\r\nRecord-Route: <sip:192.0.2.2;lr>\r\nAllow: INVITE, UPDATE\r\nSupported: timer\r\n"
    b'Reason: Q.850;cause=17;text="busy, now"\r\nSession-Expires: 1800;refresher=uac\r\nRetry-After: 5\r\nMin-SE: 120\r\n'
)


def seeds() -> list[bytes]:
    """A response of each kind that something is made of."""
    challenge = b'Digest realm="r", nonce="n", qop="auth,auth-int", algorithm=MD5'
    more = {
        b"180 Ringing": b"Require: 100rel\r\nRSeq: 1\r\n",
        b"401 Unauthorized": b"WWW-Authenticate: " + challenge + b"\r\n",
        b"407 Proxy Authentication Required": b"Proxy-Authenticate: " + challenge + b"\r\n",
        b"302 Moved": b"Contact: <sip:a@192.0.2.2>;q=0.1, <sip:b@192.0.2.2>;q=0.9\r\n",
        b"200 OK": b'Authentication-Info: nextnonce="m"\r\n',
    }
    statuses = (
        *more,
        b"183 Session Progress",
        b"422 Too Small",
        b"486 Busy",
        b"491 Pending",
        b"503 Away",
        b"603 No",
    )
    return [
        b"SIP/2.0 " + status + b"\r\n" + _LINES + more.get(status, b"") + end
        for status in statuses
        for end in (
            b"Content-Length: 0\r\n\r\n",
            b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(_SDP) + _SDP,
        )
    ]
