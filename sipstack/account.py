"""The account at a trunk: who we are there, which servers are the trunk's, and when its password may answer."""

from collections.abc import Callable

from sipstack.digest import Credentials, DigestClient, DigestError
from sipstack.message import Request, Response, Uri
from sipstack.transport import Address

__all__ = ["Account", "Attempt"]


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
        credentials: Credentials | None = None,
        outbound_proxy: Uri | None = None,
        transport: str = "UDP",
        server_name: str = "",
        make_cnonce: Callable[[], str],
    ) -> None:
        self.name = name
        self.domain = domain
        self.username = username
        self.outbound_proxy = outbound_proxy
        self.transport = transport
        #: The name that the servers' TLS certificates have to have, whatever SRV calls them.
        self.server_name = server_name or domain.host
        self.servers: frozenset[str] = frozenset()
        self._digest = DigestClient(credentials, make_cnonce) if credentials else None

    @property
    def next_hop(self) -> Uri:
        """Where requests of this account are sent."""
        return self.outbound_proxy or self.domain

    def owns(self, source: Address) -> bool:
        """Whether ``source`` is one of the trunk's own servers."""
        return source[0] in self.servers

    def learn(self, host: str) -> None:
        """Take ``host`` (an IP literal that the trunk's name resolved to) as one of its servers."""
        if host not in self.servers:
            self.servers = self.servers | {host}

    @property
    def digest(self) -> DigestClient | None:
        """The client side of the digest, with its nonces; ``None`` without a password."""
        return self._digest


class Attempt:
    """The answers to challenges that one request may have: one, and one more if only the nonce was stale.

    A second challenge to the same credentials means that they are wrong; asking again would lock the account.
    """

    def __init__(self, account: Account | None) -> None:
        self._account = account
        self._answered = 0

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
        if self._answered >= 2 or (self._answered and not account.digest.stale(response)):
            return None
        self._answered += 1
        try:
            return account.digest.authorize(
                response, request.method, request.request_uri, request.body
            )
        except DigestError:
            return None
