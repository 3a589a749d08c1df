"""The ways to a target: by which of our transports, from which address of ours, and why not the last time."""

from collections.abc import Sequence
from functools import lru_cache

from sipstack.account import Account
from sipstack.literal import read_literal
from sipstack.message import NameAddr, Uri
from sipstack.resolver import Target
from sipstack.transport import Address, Transport

#: Targets of which it is kept in mind why they could not be reached.
TROUBLES = 4096


class Ways:
    """The ways by ``transports``, where all but an inner network is told ``public_address``, if there is one."""

    def __init__(self, transports: Sequence[Transport], public_address: str) -> None:
        #: By name, and whether it is of IPv6: the first of each.
        self._transports = {
            (transport.name, ":" in transport.local_address[0]): transport
            for transport in reversed(transports)
        }
        self._public_address = public_address
        #: Where servers see us, and the address of ours that it was so for.
        self._seen_as: dict[tuple[str, str], tuple[Address, Address]] = {}
        #: Why those could not be reached that could not, by transport and address, the last one at the end.
        self._troubles: dict[tuple[str, Address], str] = {}

    def transport_for(self, target: Target) -> Transport:
        """The transport that reaches ``target``.

        :raises OSError: there is none.
        """
        v6 = ":" in target.address[0]
        transport = self._transports.get((target.transport, v6))
        if transport is None:
            family = "IPv6" if v6 else "IPv4"
            raise OSError(f"sip.listen has no {target.transport} address for {family}")
        return transport

    def own_address(self, transport: Transport, destination: Address) -> Address:
        """What ``destination`` is told as our address.

        :raises OSError: there is no route.
        """
        host, port = transport.address_towards(destination)
        if self._public_address and not is_inside(destination[0]):
            host = self._public_address
        return host, port

    def own_host(self, target: Target) -> tuple[str, str]:
        """(the local IP literal on the route to ``target``, the one to be told to it) for RTP.

        :raises OSError: there is no route or no transport.
        """
        transport = self.transport_for(target)
        local = transport.address_towards(target.address)[0]
        return local, self.own_address(transport, target.address)[0]

    def contact(self, target: Target, user: str) -> NameAddr:
        """Our Contact as seen from ``target``.

        :raises OSError: there is no route or no transport.
        """
        own = host, port = self.own_address(self.transport_for(target), target.address)
        ours, seen = self._seen_as.get((target.transport, target.address[0]), (own, own))
        if ours == own and not self._public_address:
            host, port = seen
        return _contact(user, host, port, target.transport)

    def seen_as(self, target: Target, address: Address) -> None:
        """The server at ``target`` says that it sees us at ``address``, behind a NAT: it is told that one from now on.

        Only where datagrams come and go by the same port, and only what is said to the server itself.

        :raises OSError: there is no route or no transport.
        """
        if target.transport == "UDP":
            own = self.own_address(self.transport_for(target), target.address)
            self._seen_as[target.transport, target.address[0]] = own, address

    def usable(
        self, targets: Sequence[Target], uri: Uri, account: Account | None
    ) -> tuple[list[Target], str]:
        """Those of ``targets`` that there is a way to from here, with the name of each, and why not to the others."""
        if account is not None and uri in (account.next_hop, account.registrar_hop):
            for target in targets:
                account.learn(*target.address)
        usable: list[Target] = []
        why = ""
        for target in targets:
            try:
                self.transport_for(target).address_towards(target.address)
            except OSError as error:
                why = f"{target.address[0]}: {error}"
                continue
            # The name that was asked for, not what DNS made of it. A server of a trunk has the trunk's name whatever
            # its Contact and Record-Route call it, which mostly is an address.
            known = account is not None and account.owns(target.address)
            name = account.server_name if account is not None and known else uri.host
            usable.append(Target(target.transport, target.address, name))
        return usable, why

    def trouble(self, target: Target) -> str:
        """Why ``target`` could not be reached the last time; empty where nothing is known."""
        return self._troubles.get((target.transport, target.address), "")

    def note_trouble(self, transport: str, peer: Address, why: str) -> None:
        """``peer`` could not be reached."""
        self._troubles.pop((transport, peer), None)
        self._troubles[transport, peer] = why
        if len(self._troubles) > TROUBLES:
            del self._troubles[next(iter(self._troubles))]


@lru_cache(maxsize=256)
def _contact(user: str, host: str, port: int, transport: str) -> NameAddr:
    params = (("transport", transport.lower()),) if transport != "UDP" else ()
    return NameAddr("", Uri("sip", user or None, None, host, port, params, ()), ())


def is_inside(host: str) -> bool:
    """Whether an IP literal is of an inner network, which a NAT's public address does not concern."""
    ip = read_literal(host)
    return ip is not None and ip.is_private
