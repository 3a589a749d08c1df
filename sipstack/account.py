"""The account at a trunk: who we are there, which servers are the trunk's, and when its password may answer."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from sipstack.digest import Credentials, DigestClient, DigestError
from sipstack.message import NameAddr, Request, Response, Uri
from sipstack.transport import Address

__all__ = ["Account", "Attempt", "account_at", "proxy_uri"]


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
    """The credentials that one request may show: twice at the most.

    The second time only if the first was a guess, by a nonce of before, or if the nonce was stale. Another challenge
    means that they are wrong; asking again would lock the account.
    """

    def __init__(self, account: Account | None) -> None:
        self._account = account
        self._answered = 0
        self._guessed = False

    def preempt(self, request: Request, destination: Address) -> list[tuple[str, str]]:
        """The header (name, value) that a challenge would ask for, where it is known and ``destination`` is the trunk's."""
        account = self._account
        if account is None or account.digest is None or not account.owns(destination):
            return []
        header = account.digest.preempt(request.method, request.request_uri, request.body)
        if header is None:
            return []
        self._answered += 1
        self._guessed = True
        return [header]

    def accepted(self, response: Response) -> None:
        """A 2xx came."""
        if self._answered and self._account is not None and self._account.digest is not None:
            self._account.digest.accepted(response, response.cseq.method)

    @property
    def tried(self) -> bool:
        """Whether a challenge was answered already."""
        return self._answered > 0

    def answer(
        self, response: Response, source: Address, request: Request
    ) -> tuple[str, str] | None:
        """The header (name, value) that answers a 401 or 407, or ``None`` where it must not or cannot be answered."""
        account = self._account
        if account is None or account.digest is None or not account.owns(source):
            return None
        guessed, self._guessed = self._guessed, False
        if self._answered >= 2 or (
            self._answered and not guessed and not account.digest.stale(response)
        ):
            account.digest.forget(request.method)
            return None
        self._answered += 1
        try:
            return account.digest.authorize(
                response, request.method, request.request_uri, request.body
            )
        except DigestError:
            return None
