"""What went over the wire, kept per call until somebody takes it."""

import json
import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from sipstack.message import Message, ParseError, Request, Response, parse_datagram
from sipstack.transport import Address

#: Messages of one Call-ID, octets of all calls that are followed, and of all others together.
MOST_MESSAGES = 400
MOST_OCTETS = 8 * 1024 * 1024
MOST_OF_OTHERS = 1024 * 1024
#: Octets that an archived trace may have when it is unpacked.
LARGEST = 64 * 1024 * 1024
#: What stands in it for the transport of the head of a packet.
_HEAD = "RTP"

#: A header field that has credentials in it, with its continuation lines (:rfc:`3261` §7.3.1).
_CREDENTIALS = re.compile(
    rb"^(?:proxy-)?authorization[ \t]*:[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*",
    re.IGNORECASE | re.MULTILINE,
)
_DIGEST = re.compile(rb"\bdigest[ \t\r\n]", re.IGNORECASE)
_RESPONSE = re.compile(rb'(\bresponse[ \t\r\n]*=[ \t\r\n]*"?)([^",\s]+)', re.IGNORECASE)
_VALUE = re.compile(rb"[^ \t\r\n]")
#: Keys in SDP (:rfc:`4568`, :rfc:`8866` §5.12).
_KEY = re.compile(
    rb"^((?:a=crypto:[^\r\n]*?inline:|k=[^:\r\n]*:))([^\s|;]+)", re.IGNORECASE | re.MULTILINE
)


class TracedMessage(NamedTuple):
    """One message as it went over the wire; ``time`` in seconds on the user agent's clock, or since the epoch."""

    time: float
    sent: bool
    transport: str
    local: Address
    remote: Address
    data: bytes

    @property
    def summary(self) -> str:
        """The method or status with its CSeq method, and whether it carries SDP."""
        try:
            return summary(parse_datagram(self.data))
        except ParseError:
            return "?"

    @property
    def source(self) -> Address:
        """Who sent it."""
        return self.local if self.sent else self.remote

    @property
    def destination(self) -> Address:
        """Who got it."""
        return self.remote if self.sent else self.local


@dataclass(frozen=True, slots=True)
class Datagram:
    """Something else that went over the wire, as the head of an RTP packet; ``length`` is what it had in all."""

    time: float
    source: Address
    destination: Address
    data: bytes
    length: int


class Trace:
    """The messages of calls, in memory.

    Those of calls that are followed stay until they are taken; of all others, which anybody may send, only the newest.
    """

    def __init__(self, messages: int = MOST_MESSAGES, octets: int = MOST_OCTETS) -> None:
        self._most_messages = messages
        self._most_octets = octets
        #: By what they are followed for: the messages of each Call-ID.
        self._followed: OrderedDict[str, dict[str, list[TracedMessage]]] = OrderedDict()
        self._by_call: dict[str, list[TracedMessage]] = {}
        self._octets = 0
        self._others: OrderedDict[str, list[TracedMessage]] = OrderedDict()
        self._octets_of_others = 0
        self._subjects: dict[str, str] = {}
        #: Told of each message as it goes by, and of the subject that it is followed for, if it is.
        self.watcher: Callable[[TracedMessage, str], None] | None = None

    def follow(self, subject: str, call_id: str) -> None:
        """Keep the messages of a Call-ID for ``subject``, which may have several."""
        if call_id not in self._by_call:
            kept = self._by_call[call_id] = self._others.pop(call_id, [])
            octets = _octets(kept)
            self._octets_of_others -= octets
            self._octets += octets
            self._followed.setdefault(subject, {})[call_id] = kept
            self._subjects[call_id] = subject

    def take(self, subject: str) -> list[TracedMessage]:
        """The messages of a subject, in the order of time, which are kept no longer."""
        calls = self._followed.pop(subject, {})
        found = self.peek(calls)
        for call_id, kept in calls.items():
            del self._by_call[call_id], self._subjects[call_id]
            self._octets -= _octets(kept)
        return found

    def of(self, subject: str) -> list[TracedMessage]:
        """The messages of a subject so far, in the order of time. From any thread."""
        return self.peek(list(self._followed.get(subject, ())))

    def peek(self, call_ids: Iterable[str]) -> list[TracedMessage]:
        """The messages of these Call-IDs so far, in the order of time. From any thread."""
        found = [
            entry
            for call_id in call_ids
            for entry in tuple(self._by_call.get(call_id) or self._others.get(call_id) or ())
        ]
        return sorted(found, key=attrgetter("time"))

    @property
    def followed(self) -> list[str]:
        """The subjects whose messages have not been taken."""
        return list(self._followed)

    def add(self, call_id: str, entry: TracedMessage) -> None:
        """Keep one message."""
        if self.watcher is not None:
            self.watcher(entry, self._subjects.get(call_id, ""))
        octets = len(entry.data)
        kept = self._by_call.get(call_id)
        if kept is None:
            kept = self._others.get(call_id)
            if kept is None:
                kept = self._others[call_id] = []
            self._octets_of_others += octets
        else:
            if self._octets + octets > self._most_octets:
                return
            self._octets += octets
        if len(kept) < self._most_messages:
            kept.append(entry)
        while self._octets_of_others > MOST_OF_OTHERS and self._others:
            _, oldest = self._others.popitem(last=False)
            self._octets_of_others -= _octets(oldest)


def _octets(messages: Sequence[TracedMessage]) -> int:
    return sum([len(entry.data) for entry in messages])


def summary(message: Message) -> str:
    """The method or status of a message, with its CSeq method, and whether it carries SDP."""
    if isinstance(message, Request):
        text = message.method
    else:
        assert isinstance(message, Response)
        # As a peer wrote it: what is not to be shown, or no text at all, would garble or break what shows it.
        reason = "".join(c if c.isprintable() else "\ufffd" for c in message.reason)
        text = f"{message.status} {reason} ({message.cseq.method})"
    return f"{text} [SDP]" if message.body else text


def without_secrets(data: bytes) -> bytes:
    """A message in which each secret is as many ``x``: a digest's response, another scheme's credentials, SRTP keys."""

    def credentials(match: re.Match[bytes]) -> bytes:
        field = match[0]
        if _DIGEST.search(field):
            return _RESPONSE.sub(lambda found: found[1] + b"x" * len(found[2]), field)
        name, colon, value = field.partition(b":")
        return name + colon + _VALUE.sub(b"x", value)

    # Nearly no message has any, and the expressions take several times as long to see that; as does "in", which makes and
    # drops an error each time, since there might be a number to look for.
    text = data.lower()
    if text.find(b"authorization") >= 0:
        data = _CREDENTIALS.sub(credentials, data)
    if text.find(b"inline:") >= 0 or text.find(b"k=") >= 0:
        data = _KEY.sub(lambda found: found[1] + b"x" * len(found[2]), data)
    return data


def dump(
    messages: Sequence[TracedMessage], offset: float = 0.0, heads: Iterable[Datagram] = ()
) -> bytes:
    """Messages, and heads of packets, as they are archived: compressed, and without secrets.

    :param offset: seconds to add to each time, of which microseconds are kept
    """
    parts: list[bytes] = []
    #: In JSON, what the messages of one leg have in common.
    ways: dict[tuple[str, Address, Address], str] = {}
    for entry in messages:
        data = without_secrets(entry.data)
        way = entry.transport, entry.local, entry.remote
        if way not in ways:
            ways[way] = json.dumps([entry.transport, *entry.local[:2], *entry.remote[:2]])[1:-1]
        # In microseconds: of a float with all its digits that takes as long as all the rest.
        moment = round((entry.time + offset) * 1e6)
        facts = f"[{moment}, {entry.sent:d}, {ways[way]}, {len(data)}]\n"
        parts += [facts.encode(), data]
    for head in heads:
        ends = [*head.source[:2], *head.destination[:2]]
        seen = [round((head.time + offset) * 1e6), head.length, _HEAD, *ends, len(head.data)]
        parts += [json.dumps(seen).encode(), b"\n", head.data]
    # With a window of 8 KiB, which some calls' messages fill, and tables as small: to clear those of zlib's own choice, 270 KiB,
    # takes longer than all the rest of it.
    packing = zlib.compressobj(1, zlib.DEFLATED, 13, 6)
    return packing.compress(b"".join(parts)) + packing.flush()


def load(octets: bytes) -> tuple[list[TracedMessage], list[Datagram]]:
    """What :func:`dump` was given, with the offset in its times.

    :raises ValueError: it is no such thing
    """
    unpacked = zlib.decompressobj()
    try:
        data = unpacked.decompress(octets, LARGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    found: list[TracedMessage] = []
    heads: list[Datagram] = []
    at = 0
    while at < len(data):
        end = data.index(b"\n", at)
        time, sent, transport, host, port, peer, peers_port, length = json.loads(data[at:end])
        if isinstance(time, int):  # older ones have seconds
            time /= 1e6
        at = end + 1 + length
        one, other, content = (host, port), (peer, peers_port), data[end + 1 : at]
        if transport == _HEAD:
            heads.append(Datagram(time, one, other, content, sent))
        else:
            found.append(TracedMessage(time, bool(sent), transport, one, other, content))
    return found, heads


def moved(messages: Iterable[TracedMessage], offset: float) -> list[TracedMessage]:
    """The same at other times, and without secrets."""
    return [
        entry._replace(time=entry.time + offset, data=without_secrets(entry.data))
        for entry in messages
    ]
