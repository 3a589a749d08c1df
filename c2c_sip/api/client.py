"""Where a request comes from, as far as it can be believed."""

import logging
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import falcon

log = logging.getLogger(__name__)

#: Characters of an address with all that may stand around it; what is longer is none.
LONGEST = 100


def address_reader(trusted: tuple[str, ...]) -> Callable[[falcon.Request], str]:
    """What reads a client's address off its request.

    :param trusted: addresses and networks of the proxies whose ``X-Forwarded-For`` is believed: each has put the address
        that it was asked from at the end of it, so that it is read from there as long as the one who wrote is trusted
    """
    networks = [ip_network(entry, strict=False) for entry in trusted]
    told = False

    def read(req: falcon.Request) -> str:
        forwarded = req.env.get("HTTP_X_FORWARDED_FOR")
        return addressed(req.remote_addr, forwarded) if forwarded else alone(req.remote_addr)

    @lru_cache(1024)
    def alone(peer: str) -> str:
        return addressed(peer, "")

    def addressed(peer: str, forwarded: str) -> str:
        nonlocal told
        current = _address(peer)
        trusts = current is not None and any(current in network for network in networks)
        if forwarded and not (told or trusts) and current is not None and current.is_loopback:
            told = True
            log.warning(
                "a proxy asks from %s, but is not in http.trusted_proxies: its visitors all count as one",
                peer,
            )
        for hop in reversed(forwarded.split(",")):
            if current is None or not any(current in network for network in networks):
                break
            further = _address(hop)
            if further is None:
                break
            current = further
        return str(current) if current is not None else str(peer)

    return read


#: What proxies tell of those whom they ask for, by WSGI's names.
_FORWARDED = frozenset(
    f"HTTP_{name}"
    for name in (
        *("FORWARDED", "VIA", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_FORWARDED_PROTO"),
        *("X_REAL_IP", "X_CLIENT_IP", "TRUE_CLIENT_IP", "CF_CONNECTING_IP"),
    )
)


def is_local(req: falcon.Request) -> bool:
    """Whether a program on this very machine asks, and nothing says that it does so for somebody else.

    A reverse proxy next to us asks from loopback too. One that adds nothing to a request still speaks of the public name
    in ``Host``, or HTTP/1.0, as nginx does unless it is told otherwise.
    """
    if not _is_loopback(req.remote_addr):
        return False
    if not _FORWARDED.isdisjoint(req.env):
        return False
    if req.env.get("SERVER_PROTOCOL") == "HTTP/1.0":
        return False
    named = req.env.get("HTTP_HOST", "")
    named = named[1:].partition("]")[0] if named.startswith("[") else named.partition(":")[0]
    return named.lower() == "localhost" or _is_loopback(named)


def _is_loopback(text: str) -> bool:
    return len(text) <= LONGEST and _reads_loopback(text)


@lru_cache(1024)
def _reads_loopback(text: str) -> bool:
    address = _read(text)
    return address is not None and address.is_loopback


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address in any of the ways that proxies write it: also in brackets, and with a port."""
    return _read(text) if len(text) <= LONGEST else None


@lru_cache(1024)
def _read(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # Of a socket for both families: it is the IPv4 address that anybody would write down.
    return getattr(found, "ipv4_mapped", None) or found
