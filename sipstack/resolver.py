"""Locating SIP servers (:rfc:`3263`): from a URI to addresses."""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

import dns.asyncresolver
import dns.exception
import dns.rdatatype

from sipstack.message import Uri
from sipstack.transport import Address

DEFAULT_PORT = {"UDP": 5060, "TCP": 5060, "TLS": 5061}
#: Seconds one lookup may take; a call should rather fail than hang on a dead name server.
LOOKUP_TIMEOUT = 4.0


class ResolveError(Exception):
    """No address for a URI; the text says which name was asked for."""


@dataclass(frozen=True, slots=True)
class Target:
    """One address to send to: ``transport`` as in a Via, ``address`` an IP literal and port."""

    transport: str
    address: Address


def transport_of(uri: Uri, default: str = "UDP") -> str:
    """The transport a URI asks for (:rfc:`3263` §4.1): its parameter, TLS for ``sips``, otherwise ``default``."""
    if uri.scheme == "sips":
        return "TLS"
    named = uri.param("transport")
    return named.upper() if named else default


def literal_target(uri: Uri, default: str = "UDP") -> Target | None:
    """The target of a URI whose host is an IP literal; ``None`` where DNS has to be asked."""
    host = uri.param("maddr") or uri.host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    transport = transport_of(uri, default)
    return Target(transport, (host, uri.port or DEFAULT_PORT.get(transport, 5060)))


class Resolver:
    """Finds the servers of a URI with DNS: SRV where no port is written, addresses otherwise."""

    async def resolve(self, uri: Uri, default: str = "UDP") -> list[Target]:
        """The targets of ``uri`` in the order they are to be tried.

        :raises ResolveError: there is none.
        """
        literal = literal_target(uri, default)
        if literal is not None:
            return [literal]
        host = uri.param("maddr") or uri.host
        if not host:
            raise ResolveError(f"no host in {uri}")
        transport = transport_of(uri, default)
        if uri.port is None:
            found: list[Target] = []
            for name, port in await self._services(host, transport):
                try:
                    found += await self._addresses(name, port, transport)
                except ResolveError:
                    continue  # the other servers of the record may have addresses
            if found:
                return found
        return await self._addresses(host, uri.port or DEFAULT_PORT.get(transport, 5060), transport)

    async def _services(self, host: str, transport: str) -> list[tuple[str, int]]:
        label = "_sips._tcp" if transport == "TLS" else f"_sip._{transport.lower()}"
        try:
            answer = await dns.asyncresolver.resolve(
                f"{label}.{host}", dns.rdatatype.SRV, lifetime=LOOKUP_TIMEOUT
            )
        except (dns.exception.DNSException, OSError):
            return []  # no SRV, or no name server: the host's own address is the fallback of §4.2
        records = sorted(answer, key=lambda record: (record.priority, -record.weight))
        return [(str(record.target).rstrip("."), record.port) for record in records]

    async def _addresses(self, host: str, port: int, transport: str) -> list[Target]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            raise ResolveError(f"no address for {host}: {error or 'timeout'}") from error
        hosts = dict.fromkeys(str(entry[4][0]) for entry in found)
        # IPv4 first: what most trunks and phones of small offices speak.
        ordered = sorted(hosts, key=lambda literal: ":" in literal)
        return [Target(transport, (literal, port)) for literal in ordered]
