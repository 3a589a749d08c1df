"""Reading and writing messages beside other SIP libraries in pure Python: ``python -m tests.bench.messages``.

Three jobs: splitting a 200 OK with SDP; splitting it and reading Via, From, To, CSeq, Contact and Record-Route as typed
values; and building an INVITE with SDP and its octets. Each library does a job by its own API, and its result is looked
at before its time is taken. Figures are microseconds, the best of several rounds that take turns, so that the machine's
moods hit all alike; the ratio is the other library's time by ours.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

from sipstack.message import (
    CSeq,
    NameAddr,
    Request,
    Response,
    Uri,
    Via,
    parse_datagram,
)

Job = Callable[[bytes], Any]

SDP = (
    "v=0\r\no=- 3724394400 1 IN IP4 192.0.2.4\r\ns=-\r\nc=IN IP4 192.0.2.4\r\nt=0 0\r\n"
    "m=audio 49172 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
)
_OK = (
    "SIP/2.0 200 OK\r\n"
    "Via: SIP/2.0/UDP 192.0.2.1:5060;rport=5060;received=192.0.2.1;branch=z9hG4bK4b43c2ff8.{call}\r\n"
    "Record-Route: <sip:192.0.2.7:5060;lr;did=ff1>\r\n"
    "Record-Route: <sip:192.0.2.8;lr>\r\n"
    'From: "Alice" <sip:alice@atlanta.example.com>;tag=9fxced76sl{call}\r\n'
    "To: <sip:bob{call}@biloxi.example.com>;tag=314159{call}\r\n"
    "Call-ID: 3848276298220188511{call}@atlanta.example.com\r\n"
    "CSeq: 2 INVITE\r\n"
    "Contact: <sip:bob{call}@192.0.2.4:5062;transport=udp>\r\n"
    "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, UPDATE\r\n"
    "Supported: replaces, timer\r\n"
    "Server: phone/1.0\r\n"
    "Content-Type: application/sdp\r\n"
    "Content-Length: {length}\r\n\r\n"
)
#: Answers to as many calls, so that nothing is read twice but what a trunk's proxies put into each of them.
MESSAGES = [
    (_OK.format(call=call, length=len(SDP)) + SDP).encode() for call in range(10_000, 12_000)
]
FIRST = MESSAGES[0]


def _same(found: Any, expected: Any) -> None:
    if found != expected:
        raise AssertionError(f"read {found!r} instead of {expected!r}")


# Each maker gives (split, read, build); ``None`` for a job that the library has no way to do.
Jobs = tuple[Job | None, Job | None, Job | None]


def ours() -> Jobs:
    sdp = SDP.encode()
    uri = Uri.parse("sip:bob@biloxi.example.com")
    caller = NameAddr("Alice", Uri.parse("sip:alice@atlanta.example.com"), (("tag", "9fx"),))
    contact = NameAddr("", Uri.parse("sip:alice@192.0.2.1:5060"), ())

    def split(octets: bytes) -> Any:
        return parse_datagram(octets)

    def read(octets: bytes) -> Any:
        m = parse_datagram(octets)
        return m.via, m.from_, m.to, m.cseq, m.contacts, m.record_routes

    def build(_: bytes = b"") -> bytes:
        request = Request("INVITE", uri)
        via = Via("UDP", "192.0.2.1", 5060, (("rport", None), ("branch", "z9hG4bK4b43c2ff8")))
        request.add("Via", str(via))
        request.add("Max-Forwards", "70")
        request.add("From", str(caller))
        request.add("To", str(NameAddr("", uri, ())))
        request.add("Call-ID", "3848276298220188511@atlanta.example.com")
        request.add("CSeq", str(CSeq(2, "INVITE")))
        request.add("Contact", str(contact))
        request.add("Allow", "INVITE, ACK, CANCEL, OPTIONS, BYE")
        request.add("User-Agent", "c2c-sip")
        request.add("Content-Type", "application/sdp")
        request.body = sdp
        return request.serialize()

    assert isinstance(split(FIRST), Response)
    _same(split(FIRST).body, sdp)
    via, from_, to, cseq, contacts, routes = read(FIRST)
    _same((via.branch, via.param("received")), ("z9hG4bK4b43c2ff8.10000", "192.0.2.1"))
    _same((from_.display_name, from_.tag, to.tag), ("Alice", "9fxced76sl10000", "31415910000"))
    _same((cseq.number, cseq.method, contacts[0].uri.port, len(routes)), (2, "INVITE", 5062, 2))
    return split, read, build


def sipmessage() -> Jobs:
    m = importlib.import_module("sipmessage")
    params = importlib.import_module("sipmessage.parameters").Parameters
    sdp = SDP.encode()
    uri = m.URI.parse("sip:bob@biloxi.example.com")
    caller = m.Address.parse('"Alice" <sip:alice@atlanta.example.com>;tag=9fx')
    contact = m.Address.parse("<sip:alice@192.0.2.1:5060>")

    def split(octets: bytes) -> Any:
        return m.Message.parse(octets)

    def read(octets: bytes) -> Any:
        r = m.Message.parse(octets)
        return r.via, r.from_address, r.to_address, r.cseq, r.contact, r.record_route

    def build(_: bytes = b"") -> bytes:
        request = m.Request("INVITE", uri, sdp)
        parameters = params(rport=None, branch="z9hG4bK4b43c2ff8")
        request.via = [m.Via("UDP", "192.0.2.1", 5060, parameters)]
        request.max_forwards = 70
        request.from_address = caller
        request.to_address = m.Address(uri=uri)
        request.call_id = "3848276298220188511@atlanta.example.com"
        request.cseq = m.CSeq(2, "INVITE")
        request.contact = [contact]
        request.headers.set("Allow", "INVITE, ACK, CANCEL, OPTIONS, BYE")
        request.headers.set("User-Agent", "c2c-sip")
        request.headers.set("Content-Type", "application/sdp")
        request.content_length = len(sdp)
        return bytes(request)

    via, from_, _, cseq, contacts, routes = read(FIRST)
    _same((via[0].host, from_.parameters["tag"]), ("192.0.2.1", "9fxced76sl10000"))
    _same((cseq.sequence, contacts[0].uri.port, len(routes)), (2, 5062, 2))
    return split, read, build


def aiosipua() -> Jobs:
    m = importlib.import_module("aiosipua.message")
    h = importlib.import_module("aiosipua.header_codec")
    sdp = SDP.encode()
    caller = h.parse_address('"Alice" <sip:alice@atlanta.example.com>;tag=9fx')
    callee = h.parse_address("<sip:bob@biloxi.example.com>")
    contact = h.parse_address("<sip:alice@192.0.2.1:5060>")
    via_type, cseq_type = type(h.parse_via("SIP/2.0/UDP h")), type(h.parse_cseq("1 A"))

    def split(octets: bytes) -> Any:
        return m.SipMessage.parse(octets)

    def read(octets: bytes) -> Any:
        r = m.SipMessage.parse(octets)
        routes = [h.parse_address(value) for value in r.get_header_values("record-route")]
        return r.via, r.from_addr, r.to_addr, r.cseq, r.contact, routes

    def build(_: bytes = b"") -> bytes:
        request = m.SipRequest(method="INVITE", uri="sip:bob@biloxi.example.com")
        via = via_type(transport="UDP", host="192.0.2.1", port=5060)
        via.params = {"rport": None, "branch": "z9hG4bK4b43c2ff8"}
        request.via = [via]
        request.set_header("Max-Forwards", "70")
        request.from_addr = caller
        request.to_addr = callee
        request.call_id = "3848276298220188511@atlanta.example.com"
        request.cseq = cseq_type(2, "INVITE")
        request.contact = [contact]
        request.set_header("Allow", "INVITE, ACK, CANCEL, OPTIONS, BYE")
        request.set_header("User-Agent", "c2c-sip")
        request.content_type = "application/sdp"
        request.body = sdp
        return bytes(request)

    via, from_, _, cseq, contacts, routes = read(FIRST)
    _same((via[0].host, from_.params["tag"]), ("192.0.2.1", "9fxced76sl10000"))
    _same((cseq.seq, contacts[0].uri.port, len(routes)), (2, 5062, 2))
    return split, read, build


def sippy() -> Jobs:
    def of(name: str) -> Any:
        return getattr(importlib.import_module(f"sippy.{name}"), name)

    response, request_type, url = of("SipResponse"), of("SipRequest"), of("SipURL")
    address, from_type, to_type = of("SipAddress"), of("SipFrom"), of("SipTo")
    contact_type, call_id, body = of("SipContact"), of("SipCallId"), of("MsgBody")
    via_type = of("SipVia")
    ruri = url("sip:bob@biloxi.example.com")
    caller = from_type(
        address=address(
            name="Alice", url=url("sip:alice@atlanta.example.com"), params={"tag": "9fx"}
        )
    )
    contact = contact_type(address=address(url=url("sip:alice@192.0.2.1:5060")))

    def split(octets: bytes) -> Any:
        return response(octets.decode())

    def read(octets: bytes) -> Any:
        r = response(octets.decode())
        values = tuple(r.getHFBody(n) for n in ("via", "from", "to", "cseq", "contact"))
        for value in (*values, *r.getHFBodys("record-route")):
            value.parse()
        return (*values, r.getHFBodys("record-route"))

    def build(_: bytes = b"") -> bytes:
        via = via_type("SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK4b43c2ff8")
        request = request_type(
            method="INVITE",
            ruri=ruri,
            fr0m=caller,
            to=to_type(address=address(url=ruri)),
            via=via,
            cseq=2,
            callid=call_id("3848276298220188511@atlanta.example.com"),
            contact=contact,
            body=body(SDP),
            target=("192.0.2.2", 5060),
        )
        return str(request).encode()

    _, from_, _, cseq, contact_read, routes = read(FIRST)
    _same((from_.getTag(), cseq.cseq, len(routes)), ("9fxced76sl10000", 2, 2))
    _same(contact_read.getUrl().port, 5062)
    return split, read, build


def pyvoip() -> Jobs:
    importlib.import_module(
        "pyVoIP.VoIP"
    )  # it imports itself in a circle, and only this end of it works
    sip = importlib.import_module("pyVoIP.SIP")
    rtp = importlib.import_module("pyVoIP.RTP")
    client = sip.SIPClient.__new__(sip.SIPClient)
    client.server, client.username = "biloxi.example.com", "alice"
    client.myIP, client.myPort = "192.0.2.1", 5060
    client.tagLibrary = {}
    client.tags = []
    client.inviteCounter = sip.Counter()
    formats = {
        49172: {0: rtp.PayloadType.PCMU, 8: rtp.PayloadType.PCMA, 101: rtp.PayloadType.EVENT}
    }

    # It reads all it reads at once: no URI, and of several Record-Routes the last.
    def split(octets: bytes) -> Any:
        return sip.SIPMessage(octets)

    def read(octets: bytes) -> Any:
        r = sip.SIPMessage(octets).headers
        return r["Via"], r["From"], r["To"], r["CSeq"], r["Contact"], r["Record-Route"]

    def build(_: bytes = b"") -> bytes:
        text: str = client.gen_invite(
            "bob", "3724394400", formats, rtp.TransmitType.SENDRECV, "z9hG4bK4b43c2ff8", "384@a"
        )
        return text.encode()

    via, from_, _, cseq, contact, _ = read(FIRST)
    _same(
        (via[0]["branch"], from_["tag"], cseq["check"]),
        ("z9hG4bK4b43c2ff8.10000", "9fxced76sl10000", "2"),
    )
    _same(contact, "<sip:bob10000@192.0.2.4:5062;transport=udp>")
    return split, read, build


LIBRARIES: dict[str, Callable[[], Jobs]] = {
    "c2c-sip": ours,
    "sipmessage": sipmessage,
    "aiosipua": aiosipua,
    "sippy": sippy,
    "pyVoIP": pyvoip,
}
JOBS = ("split", "split and read", "build")


def timed(job: Job) -> float:
    """Microseconds of CPU time of one run, over all messages."""
    began = time.thread_time()
    for octets in MESSAGES:
        job(octets)
    return (time.thread_time() - began) / len(MESSAGES) * 1e6


def measure(made: dict[str, Jobs], rounds: int) -> dict[str, list[float | None]]:
    best: dict[str, list[float | None]] = {name: [None] * len(JOBS) for name in made}
    for _ in range(rounds):
        for at in range(len(JOBS)):
            for name, jobs in made.items():
                job = jobs[at]
                if job is not None:
                    took = timed(job)
                    before = best[name][at]
                    best[name][at] = took if before is None else min(before, took)
    return best


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.messages", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    made: dict[str, Jobs] = {}
    for name, make in LIBRARIES.items():
        try:
            made[name] = make()
        except ImportError as error:
            print(f"{name} is not installed ({error}): pip install c2c-sip[bench]")
    for jobs in made.values():
        build = jobs[2]
        if build is not None:
            written = parse_datagram(build(b""))
            assert isinstance(written, Request)
            _same((written.method, written.body.startswith(b"v=0\r\n")), ("INVITE", True))
    best = measure(made, arguments.rounds)
    print(f"{'':12}" + "".join(f"{job:>26}" for job in JOBS))
    slower = False
    for name, times in best.items():
        cells = []
        for took, own in zip(times, best["c2c-sip"], strict=True):
            assert own is not None
            if took is None:
                cells.append(f"{'-':>26}")
                continue
            slower = slower or took < own
            cells.append(f"{took:14.1f} µs {took / own:6.2f} x")
        print(f"{name:12}" + "".join(cells))
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
