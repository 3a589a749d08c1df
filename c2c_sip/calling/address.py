"""Addresses that the service must not be led to by whom it calls. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_6TO4 = IPv6Network("2002::/16")
# What a name server makes of an IPv4 address where there is IPv6 only (RFC 6052): the last 32 bits are it.
_NAT64 = IPv6Network("64:ff9b::/96")


def read_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is in any of the spellings that a resolver takes, ``None`` where it is a name.

    IPv4 comes in one to four parts, each decimal, octal (``0177``) or hexadecimal (``0x7f``), as ``inet_aton`` has it.
    """
    host = host.strip("[]").rstrip(".").partition("%")[0]
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    parts = host.split(".")
    if len(parts) > 4:
        return None
    numbers = [_part(part) for part in parts]
    known = [number for number in numbers if number is not None]
    if len(known) < len(parts):
        return None
    last_bits = 8 * (5 - len(parts))
    if known[-1] >= 1 << last_bits or any(number > 255 for number in known[:-1]):
        return None
    value = known[-1]
    for index, number in enumerate(known[:-1]):
        value |= number << (24 - 8 * index)
    return IPv4Address(value)


def _part(text: str) -> int | None:
    if not text.isascii() or not text.isalnum() or len(text) > 16:
        return None
    base = 10
    if text[:2] in ("0x", "0X"):
        text, base = text[2:] or "0", 16
    elif text[0] == "0":
        base = 8
    try:
        return int(text, base)
    except ValueError:
        return None


def is_forbidden(address: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether an address is of this machine, of an inner network, of a group, or of nobody.

    :param address: an IP literal in any spelling; what is none is forbidden too
    :param allowed: networks that may be called nevertheless
    """
    read = read_address(address)
    if read is None:
        return True
    read = _unwrapped(read)
    return _is_inner(read) and not any(read in network for network in allowed)


def _unwrapped(read: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(read, IPv6Address):
        if read.ipv4_mapped is not None:
            return read.ipv4_mapped
        if read in _NAT64:
            return IPv4Address(int(read) & 0xFFFFFFFF)
    return read


def is_forbidden_host(host: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether a host says by itself that it is such an address; what a name resolves to is seen when it is dialled."""
    inner = _inner_host(host)
    return inner is not None and not any(inner in network for network in allowed)


@lru_cache(1024)
def _inner_host(host: str) -> IPv4Address | IPv6Address | None:
    """Such an address that a host is, ``None`` where it is none: most are the same few switches'."""
    name = host.rstrip(".").lower()
    is_local = name == "localhost" or name.endswith(".localhost")
    read = read_address("127.0.0.1" if is_local else host)
    if read is None:
        return None
    read = _unwrapped(read)
    return read if _is_inner(read) else None


def _is_inner(address: IPv4Address | IPv6Address) -> bool:
    if address.is_multicast or not address.is_global:
        return True
    if isinstance(address, IPv4Address):
        return False
    # Tunnels to IPv4 addresses are none of the places that a telephone is at.
    return address not in _GLOBAL_UNICAST or address in _6TO4 or address.teredo is not None


__all__ = ["Network", "is_forbidden", "is_forbidden_host", "read_address"]
