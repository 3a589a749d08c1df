"""A network inside one process: datagrams that get lost, doubled, late and out of order.

Everything it does follows from a seed and from the order in which it is used, and is written down
in :attr:`VirtualNetwork.journal`.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from dataclasses import dataclass

from sipstack.transport import Address, Receiver

FIRST_FREE_PORT = 40000


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one direction of a path does to datagrams. Probabilities are from 0 to 1.

    :param loss: that a datagram is lost
    :param duplicate: that it arrives twice
    :param reorder: that it is held up for ``hold`` more seconds, so that later ones overtake it
    :param delay: least and greatest time on the way, in seconds
    :param dead: nothing gets through
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: tuple[float, float] = (0.001, 0.001)
    hold: float = 0.05
    dead: bool = False


PERFECT = Conditions()
DEAD = Conditions(dead=True)


@dataclass(frozen=True, slots=True)
class Passage:
    """One datagram and what became of it.

    :param sent: virtual time of sending
    :param fate: "delivered", "lost", "dead" (the direction is cut), "nobody" (no such node)
    :param arrived: virtual time of arrival, where it arrived
    """

    sent: float
    source: Address
    destination: Address
    transport: str
    data: bytes
    fate: str
    arrived: float | None = None

    def __str__(self) -> str:
        first_line = self.data.split(b"\r\n", 1)[0].decode("utf-8", "replace")[:80]
        way = f"{self.source[0]}:{self.source[1]} > {self.destination[0]}:{self.destination[1]}"
        return f"{self.sent:10.3f} {way} {self.transport} {self.fate:9} {first_line}"


class VirtualTransport:
    """One node's socket, with the interface of the real transports.

    Set :attr:`receiver` to be called as ``receiver(data, source, transport)`` for each datagram.
    """

    def __init__(self, network: VirtualNetwork, name: str, local_address: Address) -> None:
        self._network = network
        self.name = name
        self.reliable = name != "UDP"
        self.local_address = local_address
        self.receiver: Receiver | None = None
        self.closed = False

    def __repr__(self) -> str:
        return f"<VirtualTransport {self.name} {self.local_address[0]}:{self.local_address[1]}>"

    def send(self, data: bytes, destination: Address, server_name: str = "") -> None:
        """Put one datagram (for TCP and TLS: one whole message) on its way.

        :raises OSError: the transport is closed; over TCP and TLS also: nobody is there
        """
        if self.closed:
            raise OSError("transport is closed")
        self._network._send(self, bytes(data), (destination[0], destination[1]))

    def address_towards(self, destination: Address) -> Address:
        """The local address, which no destination changes here."""
        return self.local_address

    def close(self) -> None:
        """Leave the network. What is under way to here is dropped."""
        self.closed = True
        self._network._unbind(self)


class VirtualNetwork:
    """Nodes by address, and the conditions between them.

    :param seed: where all chance comes from
    :param conditions: what holds where :meth:`set` said nothing else
    """

    def __init__(self, seed: int = 0, conditions: Conditions = PERFECT) -> None:
        self.journal: list[Passage] = []
        self._random = random.Random(seed)
        self._default = conditions
        self._rules: list[tuple[str | None, str | None, Conditions]] = []
        self._nodes: dict[tuple[str, Address], VirtualTransport] = {}
        self._last_arrival: dict[tuple[str, Address, Address], float] = {}
        self._under_way: list[tuple[float, int, VirtualTransport, Address, bytes, float]] = []
        self._sent = 0

    def transport(
        self, host: str, port: int = 5060, name: str = "UDP", receiver: Receiver | None = None
    ) -> VirtualTransport:
        """A new node's socket. Port 0 takes a free one.

        :raises OSError: the address is in use
        """
        if port == 0:
            port = FIRST_FREE_PORT
            while (name, (host, port)) in self._nodes:
                port += 1
        address = (host, port)
        if (name, address) in self._nodes:
            raise OSError(f"address in use: {host}:{port}")
        transport = VirtualTransport(self, name, address)
        transport.receiver = receiver
        self._nodes[(name, address)] = transport
        return transport

    def set(
        self, conditions: Conditions, source: str | None = None, destination: str | None = None
    ) -> None:
        """Conditions from one host to another, from now on; ``None`` is any host.

        A later rule stands before an earlier one.
        """
        self._rules.insert(0, (source, destination, conditions))

    def cut(self, source: str | None = None, destination: str | None = None) -> None:
        """Let one direction go dead. ``network.set`` brings it back."""
        self.set(DEAD, source, destination)

    def crash(self, host: str) -> None:
        """Take all sockets of a host off the network, without a word to anybody."""
        for transport in [node for node in self._nodes.values() if node.local_address[0] == host]:
            transport.close()

    @property
    def in_flight(self) -> int:
        """How many datagrams are on their way."""
        return len(self._under_way)

    def conditions(self, source: str, destination: str) -> Conditions:
        """What holds from one host to another at this moment."""
        for from_, to, conditions in self._rules:
            if from_ in (None, source) and to in (None, destination):
                return conditions
        return self._default

    def ladder(self) -> str:
        """All that was sent, one line a datagram, to print when a run has failed."""
        return "\n".join(str(passage) for passage in self.journal)

    def _unbind(self, transport: VirtualTransport) -> None:
        key = (transport.name, transport.local_address)
        if self._nodes.get(key) is transport:
            del self._nodes[key]

    def _send(self, transport: VirtualTransport, data: bytes, destination: Address) -> None:
        loop = asyncio.get_running_loop()
        conditions = self.conditions(transport.local_address[0], destination[0])
        # Always the same number of draws, so that one datagram's fate does not change another's
        # when a test changes one of the probabilities.
        chances = [self._random.random() for _ in range(5)]
        if transport.reliable:
            self._send_reliably(loop, transport, data, destination, conditions, chances[3])
            return
        if conditions.dead:
            self._note(transport, data, destination, "dead")
            return
        if chances[0] < conditions.loss:
            self._note(transport, data, destination, "lost")
            return
        least, greatest = conditions.delay
        delay = least + chances[3] * (greatest - least)
        if chances[2] < conditions.reorder:
            delay += conditions.hold
        self._arrive_at(loop, loop.time() + delay, transport, data, destination)
        if chances[1] < conditions.duplicate:
            again = least + chances[4] * (greatest - least)
            self._arrive_at(loop, loop.time() + delay + again, transport, data, destination)

    def _send_reliably(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: VirtualTransport,
        data: bytes,
        destination: Address,
        conditions: Conditions,
        chance: float,
    ) -> None:
        """In order and once, or not at all: loss only shows as delay, and TCP hides that."""
        if conditions.dead:
            self._note(transport, data, destination, "dead")
            return
        if (transport.name, destination) not in self._nodes:
            self._note(transport, data, destination, "nobody")
            raise ConnectionRefusedError(f"nobody at {destination[0]}:{destination[1]}")
        least, greatest = conditions.delay
        way = (transport.name, transport.local_address, destination)
        arrival = max(
            loop.time() + least + chance * (greatest - least), self._last_arrival.get(way, 0.0)
        )
        self._last_arrival[way] = arrival
        self._arrive_at(loop, arrival, transport, data, destination)

    def _arrive_at(
        self,
        loop: asyncio.AbstractEventLoop,
        when: float,
        transport: VirtualTransport,
        data: bytes,
        destination: Address,
    ) -> None:
        # A heap of our own, as the loop's does not keep two datagrams of one instant in order.
        self._sent += 1
        heapq.heappush(
            self._under_way, (when, self._sent, transport, destination, data, loop.time())
        )
        loop.call_at(when, self._arrive)

    def _arrive(self) -> None:
        when, _, transport, destination, data, sent = heapq.heappop(self._under_way)
        node = self._nodes.get((transport.name, destination))
        receiver = None if node is None else node.receiver
        fate = "nobody" if receiver is None else "delivered"
        self.journal.append(
            Passage(sent, transport.local_address, destination, transport.name, data, fate, when)
        )
        if node is not None and receiver is not None:
            receiver(data, transport.local_address, node)

    def _note(
        self, transport: VirtualTransport, data: bytes, destination: Address, fate: str
    ) -> None:
        now = asyncio.get_running_loop().time()
        self.journal.append(
            Passage(now, transport.local_address, destination, transport.name, data, fate)
        )
