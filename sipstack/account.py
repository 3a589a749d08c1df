"""The account at a trunk: who we are there, which servers are the trunk's, and when its password may answer."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from sipstack.digest import Challenge, Credentials, DigestClient, challenges
from sipstack.message import NameAddr, Request, Response, Uri
from sipstack.transport import Address

#: Realms that one request shows credentials in.
REALMS = 4

log = logging.getLogger(__name__)

__all__ = ["Account", "Attempt", "account_at", "attempt_at", "proxy_uri"]


class Account:
    """One account at one trunk.

    ``servers`` are the IP literals that the trunk's names resolved to. The password answers only challenges that came
    from one of them: otherwise whoever is called could ask for it in the trunk's realm (CVE-2021-41158).
    """

    def __init__(
        self,
        *,
        name: str,
        domain: Uri,
        username: str = "",
        contact_user: str = "",
        credentials: Credentials | None = None,
        outbound_proxy: Uri | None = None,
        transport: str = "UDP",
        server_name: str = "",
        make_cnonce: Callable[[], str],
        realms: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.domain = domain
        self.username = username
        #: The user part of the Contact that we register, escaped.
        self.contact_user = contact_user or username
        self.outbound_proxy = outbound_proxy
        self.transport = transport
        #: The name that the servers' TLS certificates have to have, whatever SRV calls them.
        self.server_name = server_name or domain.host
        self.servers: frozenset[str] = frozenset()
        self._addresses: frozenset[Address] = frozenset()
        #: Where the registrar wants our requests to go by (RFC 3608), first hop first.
        self.service_route: tuple[NameAddr, ...] = ()
        #: The only realms that its password answers; empty: those that :class:`Attempt` takes for the trunk's.
        self.named_realms = frozenset(realms)
        self._realms: frozenset[str] = frozenset()
        self._digest = DigestClient(credentials, make_cnonce) if credentials else None

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        """The Route that a request outside of a dialog starts with."""
        return self.service_route or self.registrar_routes

    @property
    def registrar_routes(self) -> tuple[NameAddr, ...]:
        """That of a REGISTER: what a registrar wants for other requests may well not lead to it (:rfc:`3608` §6.1)."""
        return (NameAddr("", self.outbound_proxy, ()),) if self.outbound_proxy else ()

    @property
    def next_hop(self) -> Uri:
        """Where requests of this account are sent."""
        routes = self.routes
        return routes[0].uri if routes else self.domain

    @property
    def way(self) -> tuple[NameAddr, ...]:
        """The Route of what is left to the trunk to lead on."""
        return self.routes or (NameAddr("", proxy_uri(str(self.domain)), ()),)

    @property
    def registrar_hop(self) -> Uri:
        """Where a REGISTER is sent."""
        return self.outbound_proxy or self.domain

    def owns(self, source: Address) -> bool:
        """Whether ``source`` is one of the trunk's own servers."""
        return source[0] in self.servers

    def learn(self, host: str, port: int = 0) -> None:
        """Take ``host`` (an IP literal that the trunk's name resolved to) as one of its servers, at ``port`` if known."""
        if host not in self.servers:
            self.servers = self.servers | {host}
        if port and (host, port) not in self._addresses:
            self._addresses = self._addresses | {(host, port)}

    def is_at(self, source: Address) -> bool:
        """Whether ``source`` is the very address and port of one of its servers."""
        return source in self._addresses

    def learn_realms(self, realms: Iterable[str]) -> None:
        """Take ``realms`` as the trunk's: its registrar has let us in with them."""
        self._realms = frozenset(realms)

    def knows_realm(self, realm: str) -> bool:
        """Whether ``realm`` is one that let us register, or has the name of the trunk or of its proxy."""
        names = [self.domain.host, *([self.outbound_proxy.host] if self.outbound_proxy else [])]
        return realm in self._realms or realm.lower() in [name.lower() for name in names]

    @property
    def digest(self) -> DigestClient | None:
        """The client side of the digest, with its nonces; ``None`` without a password."""
        return self._digest


def account_at(accounts: Iterable[Account], source: Address, user: str = "") -> Account | None:
    """The account of whose trunk a request comes from ``source``; ``None`` where it is nobody's.

    Trunks need not register to be told apart: their addresses do it. Where several have the same, their ports do, and
    then the ``user`` part of the Request-URI, which is that of our Contact.
    """
    at = [account for account in accounts if account.owns(source)]
    if not at:
        return None
    return max(at, key=lambda account: (account.is_at(source), account.contact_user == user))


def proxy_uri(text: str) -> Uri:
    """An outbound proxy by its host, host and port or URI: a loose router, whether or not it says so.

    :raises ParseError: it is none.
    """
    uri = Uri.parse(text if text.lower().startswith(("sip:", "sips:")) else f"sip:{text}")
    return uri if uri.has_param("lr") else replace(uri, params=(*uri.params, ("lr", None)))


class Attempt:
    """The credentials that one request may show, in one realm or in several (:rfc:`3261` §22.3): in each twice at the
    most.

    The second time only if the first was a guess, by a nonce of before, or if the nonce was stale. Another challenge
    means that they are wrong; asking again would lock the account.
    """

    def __init__(self, account: Account | None) -> None:
        self._account = account
        #: By realm: what it asked for last, the times that it was shown credentials, and which of these are guesses.
        self._asked: dict[str, Challenge] = {}
        self._shown: dict[str, int] = {}
        self._guessed: set[str] = set()
        #: What request it is, and the server: another one may have realms and nonces of its own.
        self._kind: tuple[str, Address] = ("", ("", 0))
        #: The realm that asked last without being known as the trunk's.
        self.unknown_realm = ""

    def authorize(self, request: Request, destination: Address) -> bool:
        """Give ``request`` what it was asked for, or will be as far as is known, where ``destination`` is the trunk's;
        whether that is anything."""
        account = self._account
        if account is None or account.digest is None or not account.owns(destination):
            return False
        # Who lets a call begin need not be who lets it change: a re-INVITE is no guess by what the INVITE was asked for.
        within = "in dialog" if request.to.tag else ""
        self._kind = (f"{request.method} {within}", destination)
        if not self._shown:
            for guess in account.digest.kept(self._kind):
                self._asked[guess.realm] = guess
                self._shown[guess.realm] = self._shown.get(guess.realm, 0) + 1
                self._guessed.add(guess.realm)
        for challenge in self._asked.values():
            header = account.digest.answer(
                challenge, request.method, request.request_uri, request.body
            )
            request.add(*header)
        return bool(self._asked)

    def accepted(self, response: Response) -> None:
        """A 2xx came."""
        account = self._account
        if not self._shown or account is None or account.digest is None:
            return
        account.digest.accepted(response, self._kind)
        if response.cseq.method == "REGISTER":
            account.learn_realms(self._asked)

    @property
    def tried(self) -> bool:
        """Whether a password was shown."""
        return bool(self._shown)

    def challenged(self, response: Response, source: Address) -> bool:
        """Take what a 401 or 407 asks for; False where it must not or cannot be answered."""
        account = self._account
        if account is None or account.digest is None or not account.owns(source):
            return False
        method = response.cseq.method
        asked = challenges(response)
        if any(self._is_refusal(challenge) for challenge in asked):
            account.digest.forget(self._kind)
            return False
        taken = [challenge for challenge in asked if self._may_see(challenge.realm, method)]
        if not taken or len(self._asked.keys() | {c.realm for c in taken}) > REALMS:
            if not asked:
                log.warning("trunk %s: asked for a password, not by a digest", account.name)
            else:
                self.unknown_realm = asked[0].realm
                log.warning("trunk %s: no password for realm %r", account.name, asked[0].realm)
            account.digest.forget(self._kind)
            return False
        for challenge in taken:
            self._asked[challenge.realm] = challenge
            self._shown[challenge.realm] = self._shown.get(challenge.realm, 0) + 1
            self._guessed.discard(challenge.realm)
        account.digest.keep(self._asked.values(), self._kind)
        return True

    def _is_refusal(self, challenge: Challenge) -> bool:
        """Whether the realm has seen our credentials, and does not want others because of their nonce."""
        realm = challenge.realm
        if realm not in self._shown:
            return False
        if challenge.header != self._asked[realm].header:
            return True  # somebody else, behind the proxy whose realm it names
        return self._shown[realm] > 1 or not (realm in self._guessed or challenge.stale)

    def _may_see(self, realm: str, method: str) -> bool:
        """Whether ``realm`` is the trunk's, as far as can be told.

        A proxy of the trunk hands on what others behind it ask for, such as who is called. A REGISTER leads nowhere
        else; of any other request, who asks first is the trunk, and who asks later only if it is known to be.
        """
        account = self._account
        assert account is not None
        if account.named_realms:
            return realm in account.named_realms
        return (
            method == "REGISTER"
            or not self._shown
            or realm in self._shown
            or account.knows_realm(realm)
        )


#: Without an account nothing is ever shown, and so there is nothing to be kept of it.
_NONE = Attempt(None)


def attempt_at(account: Account | None) -> Attempt:
    """The credentials that a request to the trunk of ``account`` may show; none without one."""
    return Attempt(account) if account is not None else _NONE
