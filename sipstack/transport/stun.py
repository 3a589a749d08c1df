"""As much of STUN (:rfc:`8489`) as a SIP client needs to keep a flow alive (:rfc:`5626` §4.4.2). Pure.

A binding request without attributes goes out of the SIP socket; the answer says from where the server saw it come.
"""

import ipaddress
import struct
from dataclasses import dataclass

from sipstack.transport import Address

#: Octets of a transaction id.
TRANSACTION = 12

_COOKIE = 0x2112A442
_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_REQUEST, _SUCCESS, _ERROR = 0x0001, 0x0101, 0x0111
_MAPPED, _XOR_MAPPED = 0x0001, 0x0020
_OCTETS_OF_FAMILY = {1: 4, 2: 16}


@dataclass(frozen=True, slots=True)
class Binding:
    """An answer to a binding request: where the server saw us, ``None`` where it only says that it is there."""

    transaction: bytes
    mapped: Address | None


def binding_request(transaction: bytes) -> bytes:
    """The request with a transaction id of :data:`TRANSACTION` random octets."""
    return _HEADER.pack(_REQUEST, 0, _COOKIE, transaction)


def may_be_stun(octets: bytes) -> bool:
    """Whether a datagram of a socket that speaks SIP is for STUN: by its first octet, which begins no SIP message."""
    return len(octets) >= _HEADER.size and octets[0] < 4


def parse_answer(octets: bytes) -> Binding | None:
    """The answer in a datagram; ``None`` where it is none, or malformed."""
    if not may_be_stun(octets):
        return None
    kind, length, cookie, transaction = _HEADER.unpack_from(octets)
    if kind not in (_SUCCESS, _ERROR) or cookie != _COOKIE or length != len(octets) - _HEADER.size:
        return None
    plain: Address | None = None
    at = _HEADER.size
    while at + _ATTRIBUTE.size <= len(octets):
        name, size = _ATTRIBUTE.unpack_from(octets, at)
        value = octets[at + _ATTRIBUTE.size : at + _ATTRIBUTE.size + size]
        if len(value) < size:
            return None
        if name == _XOR_MAPPED:
            return Binding(transaction, _address(value, octets[4:20]))
        if name == _MAPPED:
            plain = _address(value, bytes(16))
        at += _ATTRIBUTE.size + (size + 3) // 4 * 4
    return Binding(transaction, plain)


def _address(value: bytes, mask: bytes) -> Address | None:
    """(IP literal, port) of an attribute, which is XORed with ``mask``: cookie and transaction id."""
    size = _OCTETS_OF_FAMILY.get(value[1]) if len(value) > 3 else None
    if size is None or len(value) != 4 + size:
        return None
    port, host = (
        bytes(a ^ b for a, b in zip(part, mask, strict=False)) for part in (value[2:4], value[4:])
    )
    return str(ipaddress.ip_address(host)), int.from_bytes(port, "big")
