"""Every activation leaves behind what went over the wire for it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from c2c_sip.store.traces import ROOM
from sipstack.media import MediaLeg
from sipstack.trace import Datagram, Trace, TracedMessage, dump, load, moved
from sipstack.transport import Address

#: Seconds after the end of a call in which what comes still belongs to it.
LINGER = 4.0


class Archive(Protocol):
    """The part of the store that keeps traces."""

    def keep(
        self,
        activation_id: str,
        created: float,
        make: Callable[[], bytes],
        most: int,
        room: int,
    ) -> None:
        """Store the trace that ``make`` gives, and forget the oldest beyond ``most``, or ``room`` octets."""

    def get(self, activation_id: str) -> bytes | None:
        """A trace, if it is kept still."""


class Tracing:
    """Follows activations from their first INVITE until some seconds after their end.

    :param most: activations whose traces are kept
    :param room: octets that these may have together
    :param heads: RTP packets of each leg of which the headers are kept too
    :param later: has a function called after some seconds, in the engine's thread
    :param offset: seconds from the clock of the messages to the epoch, as of now: the time of day may be set later than
        the service is started, as on a board without a clock of its own
    """

    def __init__(
        self,
        trace: Trace,
        archive: Archive,
        *,
        most: int,
        room: int = ROOM,
        heads: int = 0,
        later: Callable[[float, Callable[[], None]], None],
        offset: Callable[[], float],
    ) -> None:
        self._trace = trace
        self._archive = archive
        self._most = most
        self._later = later
        self._offset = offset
        self._room = room
        self._most_heads = heads
        #: What was seen of the RTP of calls that are not over. Appended to in the relays' threads.
        self._heads: dict[str, list[Datagram]] = {}

    def watch(self, activation_id: str, media: MediaLeg) -> None:
        """Keep the RTP headers of a leg of an activation, if that is wanted."""
        if not self._most or not self._most_heads:
            return
        kept = self._heads.setdefault(activation_id, [])

        def see(time: float, source: Address, destination: Address, head: bytes, size: int) -> None:
            kept.append(Datagram(time, source, destination, head, size))

        media.watch(self._most_heads, see)

    def follow(self, activation_id: str, call_id: str) -> None:
        """A leg of an activation is about to be dialled."""
        if self._most:
            self._trace.follow(activation_id, call_id)

    def ended(self, activation_id: str) -> None:
        """The call is over."""
        if self._most:
            self._later(LINGER, lambda: self._keep(activation_id))

    def close(self) -> None:
        """Keep what there is of all calls."""
        for activation_id in self._trace.followed:
            self._keep(activation_id)

    def of(self, activation_id: str) -> list[TracedMessage] | None:
        """The messages of an activation, whose times are since the epoch; ``None`` where they are not kept. From any
        thread."""
        live = self._trace.of(activation_id)
        if live:
            return moved(live, self._offset())
        octets = self._archive.get(activation_id)
        return load(octets)[0] if octets is not None else None

    def heads(self, activation_id: str) -> list[Datagram]:
        """The RTP headers of an activation, at times since the epoch, as far as they are kept. From any thread."""
        live = self._heads.get(activation_id)
        if live is not None:
            offset = self._offset()
            return [replace(head, time=head.time + offset) for head in tuple(live)]
        octets = self._archive.get(activation_id)
        return load(octets)[1] if octets is not None else []

    def _keep(self, activation_id: str) -> None:
        messages = self._trace.take(activation_id)
        if messages:
            offset = self._offset()
            started = messages[0].time + offset
            heads = self._heads.get(activation_id, [])
            self._archive.keep(
                activation_id,
                started,
                lambda: dump(messages, offset, heads),
                self._most,
                self._room,
            )
        self._heads.pop(activation_id, None)
