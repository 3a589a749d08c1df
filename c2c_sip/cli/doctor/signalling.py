"""What the network and the trunks say: DNS, the registrar, NAT, certificates.

Asked from ports of our own, so that it goes beside a running service; by OPTIONS, and by a REGISTER without a Contact,
which asks for the bindings there are and changes none (:rfc:`3261` §10.2.3). Nothing here makes a call.
"""

import asyncio
import ipaddress
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from c2c_sip.cli.doctor.findings import Finding, Verdict, fail, not_checked, ok, warn
from c2c_sip.cli.doctor.sockets import bind_error, host_port
from c2c_sip.config import Config, Trunk
from c2c_sip.service import account_of, bind, nameserver
from sipstack.account import Account, Attempt
from sipstack.agent import Handlers
from sipstack.entropy import Entropy
from sipstack.media.latch import is_private
from sipstack.message import CSeq, NameAddr, Request, Response, Uri
from sipstack.resolver import (
    Answer,
    DnsLookup,
    ResolveError,
    Resolver,
    Target,
    kinds_of,
    literal_target,
)
from sipstack.transport import Address, Transport
from sipstack.transport.tls import client_context
from sipstack.useragent import UserAgent
from sipstack.ways import is_inside

#: Seconds that an answer may take.
PATIENCE = 4.0
#: Servers of a trunk that are asked.
SERVERS = 4
#: Days before a certificate's end.
SOON = 14

_STUN_PORT = 3478
# As X.509 has them: what OpenSSL says of a certificate that it does not believe.
_EXPIRED, _NOT_YET, _NAME = 10, 9, (62, 64)


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer: from where, with which of our addresses it was asked, and when it came (Unix seconds)."""

    response: Response
    source: Address
    own: Address
    moment: float


@dataclass(slots=True)
class Seen:
    """All that was seen: the findings, and what others are made from."""

    findings: list[Finding] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    #: Whether somebody outside has said where he sees us.
    outside: bool = False
    #: Our address on the way to the first server that there is a way to.
    local: str = ""


class Watched:
    """A lookup that remembers what it was asked and told."""

    def __init__(self, nameservers: Sequence[Address]) -> None:
        self._lookup = DnsLookup(nameservers)
        self.told: list[str] = []
        self.dead = False

    async def __call__(self, name: str, kind: str) -> Answer:
        """See :class:`sipstack.resolver.Lookup`."""
        try:
            answer = await self._lookup(name, kind)
        except OSError:
            self.dead = True
            raise
        if answer.records:
            self.told.append(f"{kind} {name}")
        return answer


async def examine(settings: Config, stun: str) -> Seen:
    """Ask all trunks, and the server that ``stun`` names, as HOST or HOST:PORT."""
    loop = asyncio.get_running_loop()
    seen = Seen()
    rng = Entropy()
    try:
        free = tuple(f"{entry.rpartition(':')[0]}:0" for entry in settings.sip.listen)
        transports = await bind(replace(settings, sip=replace(settings.sip, listen=free)), loop)
    except OSError as error:
        remedy = "correct sip.listen, sip.tls_certificate, sip.tls_key, sip.tls_ca, or the trunk's"
        seen.findings.append(fail("signalling", f"nothing can be sent: {error}", remedy))
        return seen
    accounts = {trunk.name: account_of(trunk, rng) for trunk in settings.trunks}
    servers = [nameserver(text) for text in settings.sip.nameservers]
    lookups = {name: Watched(servers) for name in (*accounts, "stun")}
    kinds = kinds_of(transport.local_address[0] for transport in transports)
    agents = Agents(settings, transports, loop, rng, list(accounts.values()), kinds)
    try:
        for number, trunk in enumerate(settings.trunks):
            asked = _Trunk(
                settings, trunk, number, accounts[trunk.name], agents, lookups[trunk.name]
            )
            await asked.examine(seen)
        if not settings.trunks:
            remedy = "a section [[trunk]], or c2c-sip init; SIP URIs can be called without"
            seen.findings.append(warn("trunks", "there is none: no number can be called", remedy))
        if stun:
            found = await _stun(settings, stun, agents, lookups["stun"])
            seen.findings.append(found)
            seen.outside |= "sees us" in found.text
    finally:
        agents.close()
    if settings.sip.public_address and not seen.outside:
        seen.findings.append(public_address(settings))
    return seen


class Agents:
    """The user agent that asks, and resolvers for it."""

    def __init__(
        self,
        settings: Config,
        transports: list[Transport],
        loop: asyncio.AbstractEventLoop,
        rng: Entropy,
        accounts: list[Account],
        kinds: set[str],
    ) -> None:
        self._transports = transports
        self._kinds = kinds
        self._rng = rng
        self.agent = UserAgent(
            transports,
            loop=loop,
            rng=rng,
            name=settings.sip.user_agent,
            public_address=settings.sip.public_address,
            accounts=accounts,
        )

    def resolver(self, lookup: Watched) -> Resolver:
        """One that asks through ``lookup``."""
        names = {transport.name for transport in self._transports}
        return Resolver(lookup, transports=names, kinds=self._kinds, rng=self._rng)

    def own_address(self, target: Target) -> Address:
        """The local address that is sent from.

        :raises OSError: there is no way to it.
        """
        v6 = ":" in target.address[0]
        for transport in self._transports:
            if transport.name == target.transport and (":" in transport.local_address[0]) == v6:
                return transport.address_towards(target.address)
        family = "IPv6" if v6 else "IPv4"
        raise OSError(f"sip.listen has no {target.transport} address for {family}")

    async def ask(self, request: Request, target: Target) -> Heard | int:
        """The final answer, or the status that stands for none: 408 silence, 503 nobody there."""
        own = self.own_address(target)
        done: asyncio.Future[Heard | int] = asyncio.get_running_loop().create_future()

        def finish(outcome: Heard | int) -> None:
            if not done.done():
                done.set_result(outcome)

        def respond(response: Response, source: Address) -> None:
            if response.status >= 200:
                finish(Heard(response, source, own, time.time()))

        self.agent.send_request(request, target, Handlers(respond, finish))
        try:
            async with asyncio.timeout(PATIENCE):
                return await done
        except TimeoutError:
            return 408

    def close(self) -> None:
        """Let go of the sockets."""
        self.agent.close()


class _Trunk:
    """The checks of one trunk."""

    def __init__(
        self,
        settings: Config,
        trunk: Trunk,
        number: int,
        account: Account,
        agents: Agents,
        lookup: Watched,
    ) -> None:
        self._settings = settings
        self._trunk = trunk
        #: As it is called in the settings, and in the findings.
        self._where = f"trunk[{number}]"
        self._name = f"trunk {trunk.name}:"
        self._account = account
        self._agents = agents
        self._lookup = lookup
        self._sequence = 0

    async def examine(self, seen: Seen) -> None:
        """DNS, TLS, server, account and NAT, as far as one leads to the next."""
        found, targets = await self._resolve()
        seen.findings.append(found)
        usable = []
        why = ""
        for target in targets[:SERVERS]:
            try:
                seen.local = seen.local or self._agents.own_address(target)[0]
                usable.append(target)
            except OSError as error:
                why = str(error)
        if not usable:
            if targets:
                remedy = "see ip route, and whether sip.listen has an address of that kind"
                seen.findings.append(fail(f"{self._name} server", f"no way to it: {why}", remedy))
            return
        if self._trunk.transport == "tls":
            tls = [await self._certificate(target) for target in usable]
            seen.findings += list(dict.fromkeys(tls))
            if all(one.verdict is Verdict.FAIL for one in tls):
                text = "nothing is said to a server that is not who it should be"
                seen.findings.append(not_checked(f"{self._name} server", text))
                return
        await self._servers(usable, seen)

    # --- where it is

    async def _resolve(self) -> tuple[Finding, list[Target]]:
        check = f"{self._name} DNS"
        hop = self._account.registrar_hop
        setting = f"{self._where}." + (
            "outbound_proxy" if self._account.outbound_proxy else "domain"
        )
        literal = literal_target(hop, self._account.transport)
        if literal is not None:
            targets = [replace(literal, server_name=self._account.server_name)]
            self._account.learn(*literal.address)
            return ok(check, f"{hop.host} is an address, nothing to ask"), targets
        try:
            found = await self._agents.resolver(self._lookup).resolve(hop, self._account.transport)
        except ResolveError as error:
            servers = ", ".join(self._settings.sip.nameservers) or "those of /etc/resolv.conf"
            if self._lookup.dead:
                remedy = f"see whether the name servers can be reached ({servers}), or name others: sip.nameservers"
                return fail(check, f"the name servers give no answer: {error}", remedy), []
            return fail(check, f"{error}: no such name", f"correct {setting}"), []
        targets = [replace(t, server_name=self._account.server_name) for t in found]
        for target in targets:
            self._account.learn(*target.address)
        shown = ", ".join(_text(target.address) for target in targets[:SERVERS])
        told = ", ".join(dict.fromkeys(self._lookup.told)) or "the system's own names"
        return ok(check, f"{hop.host} is {shown} (by {told})"), targets

    # --- whether it is who it should be

    async def _certificate(self, target: Target) -> Finding:
        check = f"{self._name} certificate"
        trunk, sip = self._trunk, self._settings.sip
        name = self._account.server_name
        own = (
            (trunk.tls_certificate, trunk.tls_key)
            if trunk.tls_certificate
            else (sip.tls_certificate, sip.tls_key)
        )
        try:
            context = client_context(trunk.tls_ca or sip.tls_ca, *own)
            async with asyncio.timeout(PATIENCE):
                _, writer = await asyncio.open_connection(
                    *target.address, ssl=context, server_hostname=name
                )
        except ssl.SSLCertVerificationError as error:
            return self._disbelieved(check, error)
        except ssl.SSLError as error:
            remedy = f"see whether {_text(target.address)} speaks TLS, which mostly is at port 5061"
            return fail(check, f"no TLS: {error.reason or error}", remedy)
        except (OSError, TimeoutError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            return not_checked(check, f"no connection to {_text(target.address)}: {why}")
        shown = writer.get_extra_info("peercert") or {}
        writer.close()
        end = ssl.cert_time_to_seconds(str(shown["notAfter"]))
        days = int((end - time.time()) // 86400)
        text = f"is for {name}, and valid until {_date(end)}, {days} days more"
        if days < SOON:
            return warn(check, text, "have the provider renew it")
        return ok(check, text)

    def _disbelieved(self, check: str, error: ssl.SSLCertVerificationError) -> Finding:
        where, name = self._where, self._account.server_name
        code, told = error.verify_code, error.verify_message
        if code == _EXPIRED:
            return fail(
                check,
                f"has expired: {told}",
                "have the provider renew it; see that the clock is right",
            )
        if code == _NOT_YET:
            return fail(check, f"is not valid yet: {told}", "see that the clock is right")
        if code in _NAME:
            remedy = f"set {where}.tls_server_name to a name that the certificate has, if the provider says so"
            return fail(check, f"is not for {name}: {told}", remedy)
        remedy = f"name the authority's PEM file: {where}.tls_ca; on a bare system install ca-certificates"
        return fail(check, f"is of an authority that is not believed: {told}", remedy)

    # --- whether it serves us

    async def _servers(self, targets: list[Target], seen: Seen) -> None:
        outcomes = await asyncio.gather(
            *(self._agents.ask(self._request("OPTIONS", target), target) for target in targets)
        )
        answered = [t for t, o in zip(targets, outcomes, strict=True) if isinstance(o, Heard)]
        heard = [outcome for outcome in outcomes if isinstance(outcome, Heard)]
        account: Heard | int | None = None
        if self._trunk.register:
            account = await self._register((answered or targets)[0])
            if isinstance(account, Heard):
                heard.append(account)
        seen.findings.append(self._server(targets, list(outcomes), account))
        if isinstance(account, Heard):
            seen.findings.append(self._registration(account.response))
        elif account is not None:
            seen.findings.append(not_checked(f"{self._name} account", "no answer to REGISTER"))
        if heard:
            seen.findings.append(self._nat(heard[-1]))
            seen.outside |= not is_inside(heard[-1].source[0])
        seen.heard += heard

    def _request(self, method: str, target: Target) -> Request:
        account = self._account
        self._sequence += 1
        request = Request(method, account.domain)
        for route in account.registrar_routes:
            request.add("Route", str(route))
        address = Uri("sip", account.username or None, None, account.domain.host, None, (), ())
        who = NameAddr("", address, ())
        to = who if method == "REGISTER" else NameAddr("", account.domain, ())
        request.add("Max-Forwards", "70")
        request.add("From", str(who.with_tag(self._agents.agent.token())))
        request.add("To", str(to))
        request.add("Call-ID", self._agents.agent.token())
        request.add("CSeq", str(CSeq(self._sequence, method)))
        if method == "OPTIONS":
            request.add("Contact", str(self._agents.agent.contact(target, account.contact_user)))
            request.add("Accept", "application/sdp")
        return request

    async def _register(self, target: Target) -> Heard | int:
        """Ask for our bindings, with the password where it is asked for."""
        attempt = Attempt(self._account)
        while True:
            request = self._request("REGISTER", target)
            attempt.authorize(request, target.address)
            outcome = await self._agents.ask(request, target)
            if isinstance(outcome, int) or outcome.response.status not in (401, 407):
                return outcome
            if not attempt.challenged(outcome.response, outcome.source):
                return outcome

    def _server(
        self, targets: list[Target], outcomes: list[Heard | int], account: Heard | int | None
    ) -> Finding:
        check = f"{self._name} server"
        texts = []
        for target, outcome in zip(targets, outcomes, strict=True):
            texts.append(f"{_text(target.address)} by {target.transport}: {_answer(outcome)}")
        text = "; ".join(texts)
        silent = [outcome for outcome in outcomes if isinstance(outcome, int)]
        if not silent:
            return ok(check, text)
        if isinstance(account, Heard):
            return ok(check, f"{text}; answers REGISTER")
        where = self._where
        remedy = (
            f"see whether {where}.domain, its port and {where}.transport are what the provider says, and whether a "
            "firewall lets it through"
        )
        if len(silent) < len(outcomes):
            return warn(check, text, "calls go by the others; ask the provider")
        if not self._trunk.register and 408 in silent:
            # Many answer nobody but whom they know by his address, and by the port that we do not ask from.
            return warn(check, text, remedy)
        return fail(check, text, remedy)

    def _registration(self, response: Response) -> Finding:
        check = f"{self._name} account"
        where, trunk = self._where, self._trunk
        status, reason = response.status, response.reason
        said = f"{status} {reason}"
        credentials = f"correct {where}.username, {where}.auth_username and {where}.password"
        if 200 <= status < 300:
            many = len(response.contacts)
            bindings = "one binding" if many == 1 else f"{many} bindings"
            return ok(check, f"{trunk.username} is let in, and has {bindings}")
        if status in (401, 407):
            if self._account.digest is None:
                return fail(
                    check,
                    f"{said}: a password is asked for, and there is none",
                    f"set {where}.password",
                )
            return fail(check, f"{said}: the password is refused", credentials)
        if status == 403:
            return fail(
                check,
                f"{said}: {trunk.username} is not let in",
                f"{credentials}; or the provider has barred it",
            )
        if status in (404, 604):
            return fail(
                check,
                f"{said}: there is no {trunk.username}",
                f"correct {where}.username and {where}.domain",
            )
        if status in (400, 405, 501):
            return not_checked(
                check, f"{said}: the registrar does not tell bindings; see c2c-sip trunk status"
            )
        return warn(
            check, f"the registrar says {said}", "ask the provider, or wait where it is busy"
        )

    def _nat(self, heard: Heard) -> Finding:
        check = f"{self._name} NAT"
        via = heard.response.via
        seen = via.received or via.host
        port = via.rport or heard.own[1]
        try:
            seen = str(ipaddress.ip_address(seen.strip("[]")))
        except ValueError:
            return not_checked(check, f"the server does not say where it sees us: {seen}")
        return _judge_nat(check, self._settings, heard.own, (seen, port), _text(heard.source))


def _judge_nat(check: str, settings: Config, own: Address, seen: Address, by: str) -> Finding:
    """What it means that a server sees us there."""
    public = settings.sip.public_address
    first, last = settings.media.ports
    if seen[0] == own[0]:
        text = f"none on the way to {by}: it sees us at {seen[0]}, as we are"
        if public and public != own[0] and not is_inside(seen[0]):
            return warn(
                check,
                f"{text}; but sip.public_address has its answers and its audio sent to {public}",
                f"leave sip.public_address empty, if {public} does not lead here from there too",
            )
        return ok(check, text)
    text = f"{by} sees us at {_text(seen)}, we are {_text(own)}"
    if public == seen[0]:
        return ok(
            check, f"{text}: sip.public_address says so; let UDP {first}-{last} through to here"
        )
    if public:
        return fail(
            check,
            f"{text}, but sip.public_address is {public}",
            f"set sip.public_address to {seen[0]}",
        )
    remedy = (
        f"if {seen[0]} stays the same, set sip.public_address to it and let UDP {first}-{last} through to here; else the "
        "provider has to find our audio by itself, as most do"
    )
    return warn(check, f"there is one: {text}; the audio's address in SDP is {own[0]}", remedy)


def public_address(settings: Config) -> Finding:
    """What can be said of ``sip.public_address`` where nobody has told where we are seen."""
    check = "public address"
    public = settings.sip.public_address
    setting = f"sip.public_address is {public}"
    error = bind_error("udp", public, 0)
    if error is None:
        return ok(check, f"{setting}, an address of this machine")
    if ipaddress.ip_address(public).is_loopback or is_private(ipaddress.ip_address(public)):
        return fail(
            check,
            f"{setting}, which is none of this machine's, and leads nowhere from outside",
            "set it to what the internet sees us at, or leave it empty",
        )
    first, last = settings.media.ports
    return warn(
        check,
        f"{setting}, which is none of this machine's, and nobody outside has said where he sees us",
        f"ask a STUN server: --stun HOST; the router has to let UDP {first}-{last} and the ports of sip.listen through to "
        "here",
    )


async def _stun(settings: Config, server: str, agents: Agents, lookup: Watched) -> Finding:
    check = "NAT by STUN"
    host, port = host_port(server, _STUN_PORT)
    try:
        found = await agents.resolver(lookup).resolve(
            Uri("sip", None, None, host, port, (), ()), "UDP"
        )
        target = found[0]
        own = agents.own_address(target)
        binding = await agents.agent.ping(target)
    except (ResolveError, OSError) as error:
        return fail(
            check, f"{server} cannot be asked: {error}", "name another STUN server, or see the DNS"
        )
    if binding is None or binding.mapped is None:
        remedy = "name another STUN server, or see whether a firewall keeps UDP in"
        return fail(check, f"{_text(target.address)} does not answer", remedy)
    return _judge_nat(check, settings, own, binding.mapped, _text(target.address))


def _answer(outcome: Heard | int) -> str:
    if isinstance(outcome, Heard):
        return f"{outcome.response.status} {outcome.response.reason} to OPTIONS"
    return "nobody is there" if outcome == 503 else "no answer to OPTIONS"


def _text(address: Address) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
