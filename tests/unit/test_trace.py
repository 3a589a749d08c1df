"""What went over the wire: kept within bounds, without secrets, drawn, captured and sent on."""

import socket
import struct
import zlib
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from c2c_sip.calling.tracing import LINGER, Epoch, Tracing
from c2c_sip.store import Store
from sipstack import hep
from sipstack.ladder import Ladder, ladder, svg
from sipstack.pcap import Datagram, pcap
from sipstack.trace import (
    MOST_OF_OTHERS,
    Trace,
    TracedMessage,
    dump,
    load,
    without_secrets,
)
from sipstack.transport import Address
from tests.unit.databases import each_database  # noqa: F401 - a fixture

OURS: Address = ("192.0.2.1", 5060)
DESK: Address = ("192.0.2.7", 5062)
OTHER: Address = ("198.51.100.9", 5060)


def request(method: str = "INVITE", call_id: str = "c1", more: str = "", body: str = "") -> bytes:
    return (
        f"{method} sip:101@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
        f"From: <sip:a@example.test>;tag=1\r\nTo: <sip:101@example.test>\r\nCall-ID: {call_id}\r\n"
        f"CSeq: 1 {method}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def answer(status: str = "200 OK", method: str = "INVITE", call_id: str = "c1") -> bytes:
    return request(method, call_id).replace(
        f"{method} sip:101@example.test SIP/2.0".encode(), f"SIP/2.0 {status}".encode(), 1
    )


def message(
    time: float = 1.0,
    sent: bool = True,
    remote: Address = DESK,
    data: bytes = b"",
    transport: str = "UDP",
) -> TracedMessage:
    return TracedMessage(time, sent, transport, OURS, remote, data or request())


def add(trace: Trace, call_id: str, data: bytes = b"x" * 100, time: float = 1.0) -> None:
    trace.add(call_id, TracedMessage(time, True, "UDP", OURS, DESK, data))


def test_a_followed_call_is_kept_until_it_is_taken() -> None:
    trace = Trace()
    add(trace, "early", b"before it was followed", 0.5)
    trace.follow("activation", "early")
    trace.follow("activation", "late")
    add(trace, "late", b"second", 2.0)
    add(trace, "early", b"first", 1.0)
    expected = [b"before it was followed", b"first", b"second"]
    assert [entry.data for entry in trace.of("activation")] == expected
    assert [entry.data for entry in trace.take("activation")] == expected
    assert trace.of("activation") == [] and trace.take("activation") == []
    assert trace.followed == []


def test_strangers_cannot_push_out_a_call_nor_fill_the_memory() -> None:
    trace = Trace()
    trace.follow("activation", "ours")
    add(trace, "ours", b"kept")
    for number in range(3000):
        add(trace, f"stranger {number}", b"x" * 1000)
    kept = sum(len(trace.peek([f"stranger {number}"])) for number in range(3000))
    assert 0 < kept <= MOST_OF_OTHERS / 1000
    assert [entry.data for entry in trace.of("activation")] == [b"kept"]
    for _ in range(5000):
        add(trace, "one that repeats", b"x" * 10)
    assert len(trace.peek(["one that repeats"])) == 400


def test_a_call_that_does_not_stop_talking_is_kept_up_to_a_bound_which_is_given_back() -> None:
    trace = Trace(messages=10**6, octets=1000)
    trace.follow("a", "a")
    for _ in range(50):
        add(trace, "a", b"x" * 100)
    assert len(trace.take("a")) == 10
    trace.follow("b", "b")
    add(trace, "b", b"x" * 1000)
    assert len(trace.take("b")) == 1


@pytest.mark.parametrize(
    ("field", "secret", "shown"),
    [
        ('Authorization: Digest username="jo", response="0123456789abcdef", uri="sip:x"', "0123456789abcdef", "jo"),
        ('proxy-authorization:Digest  nonce="n", RESPONSE = "5ec4e7"', "5ec4e7", 'nonce="n"'),
        ('Authorization: Digest username="jo",\r\n response="f01ded"', "f01ded", "jo"),
        ("Authorization: Digest response=bare, uri=x", "bare", "uri=x"),
        ("Authorization: Basic am86c2VjcmV0", "am86c2VjcmV0", "Authorization"),
        ("Authorization : Bearer\r\n\tt0ken", "t0ken", "Authorization"),
    ],
)  # fmt: skip
def test_credentials_are_left_out_and_nothing_else(field: str, secret: str, shown: str) -> None:
    data = request(more=f"{field}\r\nX-After: kept\r\n")
    clean = without_secrets(data)
    assert secret.encode() not in clean and shown.encode() in clean
    assert b"X-After: kept\r\n" in clean and len(clean) == len(data)


def test_keys_of_encrypted_audio_are_left_out() -> None:
    key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
    body = f"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^20|1:32\r\nk=clear:pass\r\n"
    clean = without_secrets(request(body=body))
    assert key.encode() not in clean and b"clear:pass" not in clean
    assert b"AES_CM_128_HMAC_SHA1_80 inline:xxx" in clean and b"|2^20|1:32" in clean


def test_what_is_archived_comes_back_without_secrets() -> None:
    secret = request(more='Authorization: Digest response="5ec4e7"\r\n')
    peer: Address = ("2001:db8::7", 5060)
    entries = [message(1.5, data=secret), message(2.25, False, peer, b"\x00\xff", "TLS")]
    heads = [Datagram(1.75, OURS, ("2001:db8::7", 4000), b"\x80\x00\n\n", 172)]
    again, seen = load(dump(entries, 1000.0, heads))
    assert seen == [replace(heads[0], time=1001.75)]
    assert [entry.time for entry in again] == [1001.5, 1002.25]
    assert again[1].data == b"\x00\xff" and again[1].remote == peer and not again[1].sent
    assert b"5ec4e7" not in dump(entries) and b"5ec4e7" not in again[0].data
    with pytest.raises(ValueError, match=r"."):
        load(b"nonsense")


def test_what_was_archived_with_seconds_and_a_larger_window_is_read_still() -> None:
    facts = b'[1001.5, 1, "UDP", "192.0.2.1", 5060, "192.0.2.2", 5060, 3]\n'
    head = b'[1001.75, 172, "RTP", "192.0.2.1", 4000, "192.0.2.2", 4002, 2]\n'
    entries, heads = load(zlib.compress(facts + b"SIP" + head + b"\x80\x00"))
    assert [(entry.time, entry.data) for entry in entries] == [(1001.5, b"SIP")]
    assert heads == [Datagram(1001.75, ("192.0.2.1", 4000), ("192.0.2.2", 4002), b"\x80\x00", 172)]


CALL = [
    message(10.0, data=request(body="v=0\r\n")),
    message(10.1, False, data=answer("407 Proxy Authentication Required")),
    message(10.2, data=request("ACK")),
    message(11.0, True, OTHER, request(call_id="c2")),
    message(12.5, False, OTHER, answer("180 Ringing", call_id="c2")),
    message(13.0, False, OTHER, b"\x00 no SIP"),
]


def test_a_ladder_has_an_arrow_for_each_message_in_its_direction() -> None:
    drawn = Ladder.of(CALL)
    assert drawn.columns == ("192.0.2.7:5062", "192.0.2.1:5060", "198.51.100.9:5060")
    assert [(a.source, a.destination) for a in drawn.arrows] == [(1, 0), (0, 1), (1, 0), (1, 2), (2, 1), (2, 1)]  # fmt: skip
    assert [a.summary for a in drawn.arrows][:2] == ["INVITE [SDP]", "407 Proxy Authentication Required (INVITE)"]  # fmt: skip
    lines = ladder(CALL).splitlines()
    assert len(lines) == 1 + len(CALL)
    assert lines[1].lstrip().startswith("0.000") and "|<" in lines[1] and ">|" in lines[2]
    assert ladder([]) == ""


def test_a_ladder_is_cut_to_the_width_that_there_is() -> None:
    wide = ladder(CALL).splitlines()
    assert ladder(CALL, 1000).splitlines() == wide
    narrow = ladder(CALL, 80).splitlines()
    assert len(narrow) == len(wide)
    assert max(map(len, narrow)) <= 80 < max(map(len, wide))
    # The arrows' ends stay, and the names of the columns whole.
    assert narrow[0].split() == wide[0].split()
    assert [line[-2:] for line in narrow[1:]] == [line[-2:] for line in wide[1:]]


def test_a_peer_at_our_own_address_is_drawn_too() -> None:
    drawn = Ladder.of([TracedMessage(1.0, True, "UDP", OURS, OURS, request())])
    assert [(a.source, a.destination) for a in drawn.arrows] == [(1, 0)]


def test_a_reason_that_is_no_text_is_drawn_all_the_same() -> None:
    said = b"SIP/2.0 486 \xff\xe2\x80\xae Busy\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    entry = message(data=said)
    assert entry.summary == "486 \ufffd\ufffd Busy (INVITE)"
    assert "\ufffd Busy" in ladder([entry])
    assert b"Busy" in svg([entry]).encode()
    assert hep.packet(entry, 1, "\udcff").endswith(b"\xff")


def test_the_picture_is_xml_whatever_the_messages_say() -> None:
    evil = request(call_id="<script>alert(1)</script>\x01]]>&")
    picture = svg([*CALL, message(14.0, data=evil)], {"192.0.2.7:5062": "<b>extension"})
    tree = ElementTree.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    groups = tree.findall(f"{space}g")
    assert [group.get("class") for group in groups][:5] == [
        "message request", "message bad", "message request", "message request", "message middle",
    ]  # fmt: skip
    assert "Call-ID: <script>" in (groups[-1].findtext(f"{space}title") or "")
    assert "<script" not in picture
    assert "<b>extension" in [text.text for text in tree.findall(f"{space}text")]
    ElementTree.fromstring(svg([]))


def packets(capture: bytes) -> list[tuple[float, int, bytes]]:
    """The time, whole length and octets of each packet of a capture."""
    assert struct.unpack_from("<IHH", capture) == (0xA1B2C3D4, 2, 4)
    assert struct.unpack_from("<I", capture, 20) == (101,)
    found, at = [], 24
    while at < len(capture):
        seconds, micros, kept, length = struct.unpack_from("<IIII", capture, at)
        found.append((seconds + micros / 1e6, length, capture[at + 16 : at + 16 + kept]))
        at += 16 + kept
    return found


def test_a_capture_has_ip_packets_with_the_ends_that_the_messages_had() -> None:
    first, second, *_ = packets(pcap([message(1e9 + 0.25), message(1e9 + 1, False)]))
    assert first[0] == pytest.approx(1e9 + 0.25)
    packet = first[2]
    assert packet[0] == 0x45 and packet[9] == 17 and first[1] == len(packet)
    assert struct.unpack(">H", packet[2:4]) == (len(packet),)
    assert packet[12:20] == socket.inet_aton(OURS[0]) + socket.inet_aton(DESK[0])
    assert struct.unpack(">HHH", packet[20:26]) == (5060, 5062, len(packet) - 20)
    assert packet[28:] == request()
    total = sum(struct.unpack(">10H", packet[:20]))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
    assert second[2][12:20] == socket.inet_aton(DESK[0]) + socket.inet_aton(OURS[0])


def test_segments_of_a_connection_are_numbered_on() -> None:
    made = packets(pcap([message(1, transport="TCP"), message(2, False, transport="TCP"), message(3, transport="TCP")]))  # fmt: skip
    numbers = [struct.unpack(">II", packet[24:32]) for _, _, packet in made]
    size = len(request())
    assert numbers == [(1, 1), (1, 1 + size), (1 + size, 1 + size)]


def test_ipv6_and_a_message_that_is_larger_than_any_packet() -> None:
    peer: Address = ("2001:db8::7", 5060)
    big = request() + b"x" * 100_000
    ((_, _, packet),) = packets(pcap([TracedMessage(1.0, True, "TLS", ("::1", 5061), peer, big)]))
    assert packet[0] >> 4 == 6 and packet[6] == 17
    assert packet[24:40] == socket.inet_pton(socket.AF_INET6, peer[0]) and len(packet) < 65_575


@pytest.mark.parametrize("more", ["", "X: y\r\n", "X: yy\r\n"])
def test_a_datagram_over_ipv6_has_the_checksum_that_it_must_have(more: str) -> None:
    # RFC 8200 §8.1; Wireshark paints red what has none.
    ends: tuple[Address, Address] = ("2001:db8::1", 5060), ("2001:db8::7", 5062)
    data = request(more=more)
    ((_, _, packet),) = packets(pcap([TracedMessage(1.0, True, "UDP", *ends, data)]))
    udp = packet[40:]
    pseudo = packet[8:40] + struct.pack(">IHBB", len(udp), 0, 0, 17)
    covered = pseudo + udp + bytes(len(udp) % 2)
    total = sum(struct.unpack(f">{len(covered) // 2}H", covered))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF and udp[6:8] != b"\0\0"
    ((_, _, cut),) = packets(pcap([], [Datagram(1.0, *ends, b"\x80" * 12, 172)]))
    assert cut[46:48] != b"\0\0"


def test_the_head_of_a_datagram_says_how_long_it_was() -> None:
    ((_, length, packet),) = packets(pcap([], [Datagram(1.0, OURS, DESK, b"\x80" * 12, 172)]))
    assert length == 200 and len(packet) == 40
    assert struct.unpack(">H", packet[2:4]) == (200,) and struct.unpack(">H", packet[24:26]) == (180,)  # fmt: skip


def chunks(packet: bytes) -> dict[int, bytes]:
    assert packet[:4] == b"HEP3" and struct.unpack(">H", packet[4:6]) == (len(packet),)
    found, at = {}, 6
    while at < len(packet):
        vendor, kind, length = struct.unpack_from(">HHH", packet, at)
        assert vendor == 0
        found[kind] = packet[at + 6 : at + length]
        at += length
    return found


def test_hep_has_the_ends_the_time_and_the_message_without_its_secrets() -> None:
    secret = request(more='Authorization: Digest response="5ec4e7"\r\n')
    found = chunks(hep.packet(message(1e9 + 0.5, False, data=secret, transport="TCP"), 2001, "a1"))
    assert found[1] == b"\x02" and found[2] == b"\x06" and found[11] == b"\x01"
    assert found[3] == socket.inet_aton(DESK[0]) and found[4] == socket.inet_aton(OURS[0])
    assert struct.unpack(">HH", found[7] + found[8]) == (5062, 5060)
    assert struct.unpack(">II", found[9] + found[10]) == (1_000_000_000, 500_000)
    assert struct.unpack(">I", found[12]) == (2001,) and found[17] == b"a1"
    assert found[15] == without_secrets(secret) and b"5ec4e7" not in found[15]
    six = chunks(hep.packet(message(remote=("2001:db8::7", 5060)), 1))
    assert six[1] == b"\x0a" and len(six[5]) == len(six[6]) == 16 and 17 not in six


def test_an_exporter_sends_what_goes_by_and_waits_for_nobody() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        exporter = hep.Exporter(server.getsockname(), 7, lambda: 1000.0)
        trace = Trace()
        trace.watcher = exporter.send
        trace.follow("activation", "c1")
        add(trace, "c1", request(), 1.0)
        add(trace, "other", request(), 2.0)
        first, second = (chunks(server.recv(65536)) for _ in range(2))
        assert first[17] == b"activation" and struct.unpack(">I", first[9]) == (1001,)
        assert 17 not in second
    for _ in range(3):
        add(trace, "c1", request(), 3.0)  # nobody is there any more
    assert exporter.lost > 0
    exporter.close()


def test_an_activation_leaves_its_trace_in_the_store_some_seconds_after_its_end(
    store: Store,
) -> None:
    trace, later = Trace(), []
    tracing = Tracing(
        trace,
        store.traces,
        most=3,
        later=lambda seconds, then: later.append((seconds, then)),
        offset=lambda: 1000.0,
    )
    assert tracing.of("nobody") is None
    tracing.follow("a", "c1")
    add(trace, "c1", request())
    live = tracing.of("a")
    assert live and live[0].time == 1001.0
    tracing.ended("a")
    add(trace, "c1", request("BYE"), 2.0)
    ((seconds, then),) = later
    assert seconds == LINGER
    then()
    store.flush()
    kept = tracing.of("a")
    assert kept and [entry.summary for entry in kept] == ["INVITE", "BYE"]
    assert trace.followed == []


def test_a_trace_is_told_by_the_time_of_day_as_it_was_set_last(store: Store) -> None:
    """A board without a clock starts the service in the year that it was switched off in, and asks for the time then."""
    trace, offsets, later = Trace(), [1000.0], []
    tracing = Tracing(
        trace,
        store.traces,
        most=3,
        later=lambda seconds, then: later.append(then),
        offset=lambda: offsets[-1],
    )
    tracing.follow("a", "c1")
    add(trace, "c1", request())
    offsets.append(5000.0)
    assert [entry.time for entry in tracing.of("a") or ()] == [5001.0]
    tracing.ended("a")
    later[0]()
    store.flush()
    assert [entry.time for entry in tracing.of("a") or ()] == [5001.0]


def test_the_epoch_is_the_same_at_each_look_until_the_time_of_day_is_set() -> None:
    looks = iter([2000.0, 2003.0000011, 2009.9999, 9000.0, 9001.000001])
    clocks = iter([1000.0, 1003.0, 1010.0, 1011.0, 1012.0])
    epoch = Epoch(lambda: next(looks), lambda: next(clocks))
    assert [epoch() for _ in range(2)] == [1000.0, 1000.0]
    assert [epoch() for _ in range(2)] == [7989.0, 7989.0]


def test_of_old_activations_the_trace_is_forgotten(store: Store) -> None:
    for number in range(100):
        store.traces.keep(f"a{number}", float(number), lambda: b"x", 10)
    store.flush()
    kept = [number for number in range(100) if store.traces.get(f"a{number}") is not None]
    assert kept == list(range(kept[0], 100)) and 10 <= len(kept) <= 60


def test_old_traces_make_room_for_new_ones_that_are_large(store: Store) -> None:
    for number in range(40):
        octets = bytes(1000)
        store.traces.keep(f"a{number}", float(number), lambda octets=octets: octets, 1000, 20_000)
        store.flush()
    kept = [number for number in range(40) if store.traces.get(f"a{number}") is not None]
    assert kept == list(range(kept[0], 40)) and 18 <= len(kept) <= 23


def test_what_is_up_when_the_service_stops_is_kept_too(store: Store) -> None:
    trace = Trace()
    tracing = Tracing(trace, store.traces, most=5, later=lambda *_: None, offset=lambda: 0.0)
    tracing.follow("a", "c1")
    add(trace, "c1", request())
    tracing.close()
    store.flush()
    assert [entry.summary for entry in tracing.of("a") or ()] == ["INVITE"]


def test_nothing_is_followed_where_no_trace_is_wanted(store: Store) -> None:
    trace = Trace()
    tracing = Tracing(trace, store.traces, most=0, later=lambda *_: None, offset=lambda: 0.0)
    tracing.follow("a", "c1")
    add(trace, "c1", request())
    tracing.ended("a")
    tracing.close()
    assert trace.followed == [] and tracing.of("a") is None
