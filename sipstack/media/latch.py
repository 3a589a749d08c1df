"""Which source a leg's RTP is taken from (symmetric RTP, :rfc:`4961`), decided so that a stranger cannot take it over.

The address that the peer signalled wins at once, whenever it speaks. Anything else is a guess that NAT asks for, and is
made only when the signalled address has been silent while one source sent several packets in sequence, with one SSRC
and an agreed payload type, for a whole :data:`WINDOW`. What was decided stays, until the peer signals another address
or the source has been silent for :data:`FORGET` seconds. RTCP decides nothing. Pure.
"""

import ipaddress

from sipstack.transport import Address

#: Packets in sequence before a source that was not signalled is believed.
PROBATION = 5
#: Seconds that such a source has to wait for the signalled one to speak.
WINDOW = 0.5
#: Seconds of silence after which a source may be replaced.
FORGET = 10.0


class Latch:
    """The choice for one leg."""

    __slots__ = (
        "_candidate",
        "_count",
        "_sequence",
        "_since",
        "_ssrc",
        "signalled",
        "source",
    )

    def __init__(self) -> None:
        self.signalled: Address | None = None
        #: The source whose packets are taken; ``None`` before the first.
        self.source: Address | None = None
        self._reset()

    def _reset(self) -> None:
        self._candidate: Address | None = None
        self._ssrc = 0
        self._sequence = 0
        self._count = 0
        self._since = 0.0

    def signal(self, address: Address) -> None:
        """The peer said where it is; another address than before starts the choice anew."""
        if address != self.signalled:
            self.signalled = address
            self.source = None
            self._reset()

    def consider(self, source: Address, sequence: int, ssrc: int, now: float, last: float) -> bool:
        """A packet from a source other than the chosen one, with an agreed payload type: whether to take it.

        ``last`` is when a packet was taken for the last time.
        """
        signalled = self.signalled
        if signalled is None:
            return False
        if source == signalled:
            self.source = source
            self._reset()
            return True
        if self.source is not None and now - last < FORGET:
            return False
        if not _may_be_behind_nat(signalled, source):
            return False
        follows = (
            source == self._candidate
            and ssrc == self._ssrc
            and sequence == (self._sequence + 1) & 0xFFFF
        )
        if not follows:
            self._candidate, self._ssrc, self._count, self._since = source, ssrc, 0, now
        self._sequence = sequence
        self._count += 1
        if self._count >= PROBATION and now - self._since >= WINDOW:
            self.source = source
            self._reset()
            return True
        return False


def _may_be_behind_nat(signalled: Address, source: Address) -> bool:
    """Whether a NAT could have turned ``signalled`` into ``source``: another port, or a private address."""
    return signalled[0] == source[0] or ipaddress.ip_address(signalled[0]).is_private
