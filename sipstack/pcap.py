"""A packet capture made of messages, as Wireshark and tcpdump read it.

What is kept of a message is its text, not its packets: these are made anew, with the addresses and ports it had. A message
over TCP is one segment, numbered on; one over TLS is written as it was before it was encrypted, as a datagram, since
nothing could read it otherwise. The format is libpcap's (draft-ietf-opsawg-pcap) with raw IP packets.
"""

import struct
from collections.abc import Iterable
from ipaddress import ip_address

from sipstack.trace import Datagram, TracedMessage
from sipstack.transport import Address

_MAGIC = 0xA1B2C3D4
_RAW_IP = 101
_UDP, _TCP = 17, 6
#: Octets of a message in one packet: an IP packet's 65,535 less the headers.
_MOST = 65_000


def pcap(messages: Iterable[TracedMessage], datagrams: Iterable[Datagram] = ()) -> bytes:
    """A capture of messages, whose times are since the epoch, and of datagrams between them."""
    packets: list[tuple[float, int, bytes]] = []
    sequences: dict[tuple[Address, Address], int] = {}
    for entry in messages:
        data, ends = entry.data[:_MOST], (entry.source, entry.destination)
        if entry.transport == "TCP":
            number = sequences.get(ends, 1)
            sequences[ends] = number + len(data)
            made = _packet(_TCP, *ends, _tcp(*ends, data, number, sequences.get(ends[::-1], 1)))
        else:
            made = _packet(_UDP, *ends, _udp(*ends, data, len(data)))
        packets.append((entry.time, len(made), made))
    for datagram in datagrams:
        ends = (datagram.source, datagram.destination)
        whole = min(datagram.length, _MOST)
        data = datagram.data[:whole]
        made = _packet(_UDP, *ends, _udp(*ends, data, whole), whole - len(data))
        packets.append((datagram.time, len(made) + whole - len(data), made))
    packets.sort(key=lambda packet: packet[0])
    parts = [struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, 65_535, _RAW_IP)]
    for time, length, octets in packets:
        micros = round(time * 1_000_000)
        parts += [
            struct.pack("<IIII", micros // 1_000_000, micros % 1_000_000, len(octets), length),
            octets,
        ]
    return b"".join(parts)


def _packet(
    protocol: int, source: Address, destination: Address, payload: bytes, cut: int = 0
) -> bytes:
    """An IP packet of which the last ``cut`` octets were left out."""
    ends = ip_address(source[0].partition("%")[0]), ip_address(destination[0].partition("%")[0])
    length = len(payload) + cut
    if ends[0].version == 6 or ends[1].version == 6:
        addresses = b"".join(_as_ipv6(end.packed) for end in ends)
        if protocol == _UDP:
            pseudo = addresses + struct.pack(">IHBB", length, 0, 0, protocol)
            # Here 0 is an error (RFC 8200 §8.1); of what was cut off nobody can tell.
            checksum = _checksum(pseudo + payload + bytes(len(payload) % 2)) or 0xFFFF
            payload = payload[:6] + struct.pack(">H", checksum) + payload[8:]
        return struct.pack(">IHBB", 6 << 28, length, protocol, 64) + addresses + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, protocol, 0)
    addresses = ends[0].packed + ends[1].packed
    checksum = _checksum(head + addresses)
    return head[:10] + struct.pack(">H", checksum) + addresses + payload


def _as_ipv6(packed: bytes) -> bytes:
    return packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed


def _udp(source: Address, destination: Address, data: bytes, whole: int) -> bytes:
    # No checksum: over IPv4 readers take 0 as such, and of what was cut off there could be none.
    return struct.pack(">HHHH", source[1], destination[1], 8 + whole, 0) + data


def _tcp(
    source: Address, destination: Address, data: bytes, number: int, acknowledged: int
) -> bytes:
    push_and_ack = 0x18
    numbers = (number & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF)
    ports = (source[1], destination[1])
    return struct.pack(">HHIIBBHHH", *ports, *numbers, 5 << 4, push_and_ack, 65_535, 0, 0) + data


def _checksum(octets: bytes) -> int:
    """:rfc:`1071`."""
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


__all__ = ["Datagram", "pcap"]
