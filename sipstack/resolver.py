"""Locating SIP servers (:rfc:`3263`): from a URI to the addresses to try, in order.

The order is decided here and is pure but for the questions, which go through a :class:`Lookup`; that of the standard
is :class:`DnsLookup`, on dnspython.
"""

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver

from sipstack.literal import read_literal
from sipstack.message import Uri
from sipstack.transport import Address

DEFAULT_PORT = {"UDP": 5060, "TCP": 5060, "TLS": 5061}
#: Seconds one question may take, and one name server of several; a call should rather fail than hang on a dead one.
LOOKUP_TIMEOUT, SERVER_TIMEOUT = 4.0, 1.0
#: Seconds for which a server that failed comes last (RFC 3263 §4.3 leaves it to us), and the most that it may ask for.
LEFT_ALONE, GREATEST_RETRY_AFTER = 60.0, 3600.0
#: Bounds of how long an answer is believed, in seconds: a TTL of 0 must not have each call ask, nor one of a week
#: outlive a provider's move; "there is none" is asked again soon.
LEAST_TTL, GREATEST_TTL, NONE_TTL = 5.0, 3600.0, 30.0
#: Names remembered; more are forgotten oldest first, since an attacker may choose what is asked.
NAMES = 1024
#: Servers and addresses followed from one answer.
MOST = 16

#: In the order of our own liking, for a domain that states none.
_SERVICES = {"SIP+D2U": "UDP", "SIP+D2T": "TCP", "SIPS+D2T": "TLS"}
_SRV_LABEL = {"UDP": "_sip._udp", "TCP": "_sip._tcp", "TLS": "_sips._tcp"}


class ResolveError(Exception):
    """No address for a URI; the text says which name was asked for."""


@dataclass(frozen=True, slots=True)
class Target:
    """One address to send to: ``transport`` as in a Via, ``address`` an IP literal and port.

    ``server_name`` is what the certificate of a TLS server has to say; it does not make another target.
    """

    transport: str
    address: Address
    server_name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Naptr:
    """A NAPTR record: the service, and the name whose SRV records it leads to."""

    order: int
    preference: int
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """An SRV record (:rfc:`2782`)."""

    priority: int
    weight: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question brought, of one type, and for how many seconds it holds; no records: there are none."""

    records: tuple[Naptr | Srv | str, ...]
    ttl: float


class Lookup(Protocol):
    """Asks the DNS."""

    def __call__(self, name: str, kind: str) -> Coroutine[Any, Any, Answer]:
        """The records of type ``kind`` (``NAPTR``, ``SRV``, ``A`` or ``AAAA``) at ``name``.

        :raises OSError: no name server gave an answer, not even that there are none.
        """


def transport_of(uri: Uri, default: str = "UDP") -> str:
    """The transport a URI asks for (:rfc:`3263` §4.1): its parameter, TLS for ``sips``, otherwise ``default``."""
    if uri.scheme == "sips":
        return "TLS"
    named = uri.param("transport")
    return named.upper() if named else default


@lru_cache(maxsize=256)
def literal_target(uri: Uri, default: str = "UDP") -> Target | None:
    """The target of a URI whose host is an IP literal; ``None`` where DNS has to be asked."""
    host = uri.param("maddr") or uri.host
    if read_literal(host) is None:
        return None
    transport = transport_of(uri, default)
    return Target(transport, (host, uri.port or DEFAULT_PORT.get(transport, 5060)))


class Resolver:
    """Finds the servers of a URI, remembers the answers for as long as they hold, and which servers failed.

    ``transports`` are those we have, so that NAPTR leads to none that we have not, and ``kinds`` of addresses those that
    they can send to; ``clock`` gives seconds, ``rng`` weighs the servers of one priority.
    """

    def __init__(
        self,
        lookup: Lookup | None = None,
        *,
        transports: Iterable[str] = ("UDP", "TCP", "TLS"),
        kinds: Iterable[str] = ("A", "AAAA"),
        clock: Callable[[], float] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._lookup = lookup or DnsLookup()
        self._transports = frozenset(transports)
        self._kinds = sorted(kinds)
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._known: dict[tuple[str, str], tuple[float, Answer]] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        self._failed: dict[Target, float] = {}

    async def resolve(self, uri: Uri, default: str = "") -> list[Target]:
        """The targets of ``uri`` in the order they are to be tried; ``default`` is the transport where it names none.

        Without a default, NAPTR records decide; where there are none, each transport of ours that has SRV records.

        :raises ResolveError: there is none.
        """
        literal = literal_target(uri, default or "UDP")
        if literal is not None:
            return [literal]
        host = uri.param("maddr") or uri.host
        if not host:
            raise ResolveError(f"no host in {uri}")
        found = await self._servers(uri, host, default)
        if not found:
            raise ResolveError(f"no address for {host}")
        return self._healthy_first(list(dict.fromkeys(found)))

    def failed(self, target: Target, retry_after: float | None = None) -> None:
        """Have ``target`` come last for :data:`LEFT_ALONE` seconds, or for those that it asked for itself."""
        now = self._now()
        self._failed = {held: until for held, until in self._failed.items() if until > now}
        if len(self._failed) < NAMES:
            alone = LEFT_ALONE if not retry_after else min(retry_after, GREATEST_RETRY_AFTER)
            self._failed[target] = now + alone

    def worked(self, target: Target) -> None:
        """``target`` answers again."""
        self._failed.pop(target, None)

    # --- deciding

    async def _servers(self, uri: Uri, host: str, default: str) -> list[Target]:
        transport = transport_of(uri, default or "UDP")
        if transport not in _SRV_LABEL:
            raise ResolveError(f"there is no {transport} here to reach {host} by")
        if uri.port is not None:
            return await self._addresses(host, uri.port, transport)
        if default or uri.param("transport") is not None:
            services = [(transport, f"{_SRV_LABEL[transport]}.{host}")]
        else:
            services = await self._services(host, secure=uri.scheme == "sips")
        of_each = await asyncio.gather(*(self._of_srv(name, kind) for kind, name in services))
        if any(found is not None for found in of_each):
            return [target for found in of_each for target in found or ()]
        return await self._addresses(host, DEFAULT_PORT[transport], transport)

    async def _services(self, host: str, *, secure: bool) -> list[tuple[str, str]]:
        """(transport, name of its SRV records), best first: by the host's NAPTR records, or each of ours (§4.1)."""
        ours = [
            (service, transport)
            for service, transport in _SERVICES.items()
            if transport in self._transports and (transport == "TLS" or not secure)
        ]
        records = [r for r in (await self._ask(host, "NAPTR")) if isinstance(r, Naptr)]
        records.sort(key=lambda record: (record.order, record.preference))
        named = [
            (dict(ours)[record.service.upper()], record.replacement)
            for record in records[:MOST]
            if record.service.upper() in dict(ours) and record.replacement
        ]
        return named or [(transport, f"{_SRV_LABEL[transport]}.{host}") for _, transport in ours]

    async def _of_srv(self, name: str, transport: str) -> list[Target] | None:
        """The targets by the SRV records at ``name``; ``None`` where there are none, not even one that says "no"."""
        records = [r for r in (await self._ask(name, "SRV")) if isinstance(r, Srv)]
        if not records:
            return None
        # A host of "." says that the service is decidedly not there (RFC 2782).
        servers = by_weight([record for record in records if record.host], self._rng)[:MOST]
        of_each = await asyncio.gather(
            *(self._addresses(server.host, server.port, transport) for server in servers),
            return_exceptions=True,
        )
        found: list[Target] = []
        for targets in of_each:
            if isinstance(targets, list):
                found += targets
            elif not isinstance(targets, ResolveError):  # the other servers may have addresses
                raise targets
        return found

    async def _addresses(self, host: str, port: int, transport: str) -> list[Target]:
        # IPv4 first: what most trunks and phones of small offices speak.
        answers = await asyncio.gather(
            *(self._ask(host, kind) for kind in self._kinds), return_exceptions=True
        )
        found: list[Target] = []
        failure: ResolveError | None = None
        for records in answers:
            if isinstance(records, ResolveError):
                # Some servers fail only for AAAA, which is no reason not to use an A.
                failure = records
            elif isinstance(records, BaseException):
                raise records
            else:
                literals = [r for r in records[:MOST] if isinstance(r, str)]
                found += [Target(transport, (literal, port)) for literal in literals]
        if failure is not None and not found:
            raise failure
        return found

    def _healthy_first(self, targets: list[Target]) -> list[Target]:
        now = self._now()
        return sorted(targets, key=lambda target: self._failed.get(target, 0.0) > now)

    # --- asking

    async def _ask(self, name: str, kind: str) -> Sequence[Naptr | Srv | str]:
        key = (name.rstrip(".").lower(), kind)
        known = self._known.get(key)
        if known is not None and known[0] > self._now():
            return known[1].records
        try:
            answer = await self._ask_once(key)
        except OSError as error:
            if known is not None:
                # An old answer is better than none, and not each call need find out that the name server is dead.
                self._known[key] = (self._now() + NONE_TTL, known[1])
                return known[1].records
            if kind in ("A", "AAAA"):
                raise ResolveError(f"no address for {name}: {error}") from error
            answer = Answer((), NONE_TTL)  # the host's own address will do
        least, greatest = (LEAST_TTL, GREATEST_TTL) if answer.records else (0.0, NONE_TTL)
        self._known.pop(key, None)
        self._known[key] = (self._now() + min(max(answer.ttl, least), greatest), answer)
        while len(self._known) > NAMES:
            del self._known[next(iter(self._known))]
        return answer.records

    async def _ask_once(self, key: tuple[str, str]) -> Answer:
        """Ask, or wait for whoever asks the same at this moment."""
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.ensure_future(self._lookup(*key))
            self._asking[key] = asking
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(asking)

    def _now(self) -> float:
        return self._clock() if self._clock is not None else asyncio.get_running_loop().time()


def kinds_of(hosts: Iterable[str]) -> set[str]:
    """The types of address records that sockets bound to ``hosts`` (IP literals) can send to."""
    return {"AAAA" if ":" in host else "A" for host in hosts}


def by_weight(records: Sequence[Srv], rng: random.Random) -> list[Srv]:
    """Records in the order to try: by priority, and among equals by chance in proportion to their weights."""
    ordered: list[Srv] = []
    for priority in sorted({record.priority for record in records}):
        left = [record for record in records if record.priority == priority]
        # Weight 0 first, so that it has a very small chance and not none (RFC 2782).
        left.sort(key=lambda record: record.weight)
        while left:
            point = rng.uniform(0, sum(record.weight for record in left))
            for record in left:
                point -= record.weight
                if point <= 0:
                    break
            ordered.append(record)
            left.remove(record)
    return ordered


class DnsLookup:
    """Asks through dnspython; ``nameservers`` are (IP literal, port), the system's where there are none.

    A host that only the system knows, such as one of ``/etc/hosts``, is asked of the system.
    """

    def __init__(self, nameservers: Sequence[Address] = ()) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._system = not nameservers
        if self._system:
            # Without /etc/resolv.conf the names that the system itself knows are all there are.
            with contextlib.suppress(dns.resolver.NoResolverConfiguration):
                self._resolver = dns.asyncresolver.Resolver()
        else:
            # Objects, since a plain list of addresses has one port for all.
            self._resolver.nameservers = [
                dns.nameserver.Do53Nameserver(host, port) for host, port in nameservers
            ]
        self._resolver.lifetime = LOOKUP_TIMEOUT
        self._resolver.timeout = SERVER_TIMEOUT

    async def __call__(self, name: str, kind: str) -> Answer:
        """See :class:`Lookup`."""
        try:
            answer = await self._resolver.resolve(name, kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            if self._system and kind in ("A", "AAAA"):
                return await _system_addresses(name, kind)
            return Answer((), NONE_TTL)
        except (dns.exception.DNSException, UnicodeError) as error:
            if self._system and kind in ("A", "AAAA"):
                return await _system_addresses(name, kind)
            if isinstance(error, dns.resolver.NoNameservers):
                raise OSError("the name servers refuse or fail to answer") from error
            raise OSError(f"no answer from the name servers: {type(error).__name__}") from error
        records = tuple(_record(kind, record) for record in answer)
        # The least of the chain: an alias may change sooner than what it leads to.
        return Answer(records, float(answer.chaining_result.minimum_ttl))


def _record(kind: str, record: Any) -> Naptr | Srv | str:
    if kind == "NAPTR":
        service = record.service.decode("ascii", "replace")
        replacement = str(record.replacement).rstrip(".")
        return Naptr(record.order, record.preference, service, replacement)
    if kind == "SRV":
        return Srv(record.priority, record.weight, str(record.target).rstrip("."), record.port)
    return str(record.address)


async def _system_addresses(name: str, kind: str) -> Answer:
    family = socket.AF_INET if kind == "A" else socket.AF_INET6
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT):
            found = await loop.getaddrinfo(name, None, family=family, type=socket.SOCK_DGRAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:  # which is not to say that there is none
            raise OSError("no answer from the name servers") from error
        return Answer((), NONE_TTL)
    except UnicodeError:
        return Answer((), NONE_TTL)
    except TimeoutError as error:
        raise OSError("timeout") from error
    return Answer(tuple(dict.fromkeys(str(entry[4][0]) for entry in found)), LEAST_TTL)
