"""Messages as HEP version 3 carries them to a capture server such as HOMER (the HEP/EEP specification, revision 11)."""

import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address

from sipstack.trace import TracedMessage, without_secrets
from sipstack.transport import Address

_PROTOCOLS = {"UDP": socket.IPPROTO_UDP, "TCP": socket.IPPROTO_TCP, "TLS": socket.IPPROTO_TCP}
_SIP = 1
#: Octets of a message in one datagram.
_MOST = 60_000


def packet(message: TracedMessage, agent: int, correlation: str = "") -> bytes:
    """One message, whose time is since the epoch, without its secrets.

    :param agent: what the server knows this machine by, 32 bits
    :param correlation: what ties the legs of a call together
    """
    ends = [ip_address(end[0].partition("%")[0]) for end in (message.source, message.destination)]
    if {end.version for end in ends} != {4}:
        ends = [ip_address(f"::ffff:{end}") if end.version == 4 else end for end in ends]
    version = ends[0].version
    micros = round(message.time * 1_000_000)
    first = 3 if version == 4 else 5
    chunks = [
        _chunk(1, bytes([socket.AF_INET if version == 4 else 10])),
        _chunk(2, bytes([_PROTOCOLS.get(message.transport, socket.IPPROTO_UDP)])),
        _chunk(first, ends[0].packed),
        _chunk(first + 1, ends[1].packed),
        _chunk(7, struct.pack(">H", message.source[1])),
        _chunk(8, struct.pack(">H", message.destination[1])),
        _chunk(9, struct.pack(">I", micros // 1_000_000)),
        _chunk(10, struct.pack(">I", micros % 1_000_000)),
        _chunk(11, bytes([_SIP])),
        _chunk(12, struct.pack(">I", agent)),
        _chunk(15, without_secrets(message.data)[:_MOST]),
    ]
    if correlation:
        chunks.append(_chunk(17, correlation.encode("utf-8", "surrogateescape")))
    body = b"".join(chunks)
    return b"HEP3" + struct.pack(">H", 6 + len(body)) + body


def _chunk(kind: int, value: bytes) -> bytes:
    return struct.pack(">HHH", 0, kind, 6 + len(value)) + value


class Exporter:
    """Sends messages to a server over UDP; what cannot be sent is counted in ``lost``, and nobody waits."""

    def __init__(self, server: Address, agent: int, offset: Callable[[], float]) -> None:
        """``offset``: seconds from the clock of the messages to the epoch, as of now.

        :raises OSError: there is no such server
        """
        family, kind, protocol, _, address = socket.getaddrinfo(
            *server[:2], type=socket.SOCK_DGRAM
        )[0]
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)
        self._socket.connect(address)
        self._agent = agent
        self._offset = offset
        self.lost = 0

    def send(self, message: TracedMessage, correlation: str) -> None:
        """Send one."""
        moved = TracedMessage(
            message.time + self._offset(),
            message.sent,
            message.transport,
            message.local,
            message.remote,
            message.data,
        )
        try:
            self._socket.send(packet(moved, self._agent, correlation))
        except OSError:
            self.lost += 1

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
