"""What went over the wire, kept per call, and drawn as a ladder."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from sipstack.message import Message, Request, Response, parse_datagram
from sipstack.transport import Address


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """One message as it went over the wire; ``time`` in seconds on the user agent's clock."""

    time: float
    sent: bool
    transport: str
    local: Address
    remote: Address
    data: bytes

    @property
    def summary(self) -> str:
        """The method or status with its CSeq method, and whether it carries SDP."""
        return summary(parse_datagram(self.data))


class Trace:
    """The messages of the newest calls, in memory: at most ``calls`` Call-IDs with ``messages`` each."""

    def __init__(self, calls: int = 1000, messages: int = 100) -> None:
        self._calls = calls
        self._messages = messages
        self._kept: OrderedDict[str, list[TracedMessage]] = OrderedDict()

    def add(
        self,
        call_id: str,
        data: bytes,
        *,
        time: float,
        sent: bool,
        transport: str,
        local: Address,
        remote: Address,
    ) -> None:
        """Keep one message; a new Call-ID may push out the oldest."""
        kept = self._kept.get(call_id)
        if kept is None:
            while len(self._kept) >= self._calls:
                self._kept.popitem(last=False)
            kept = self._kept[call_id] = []
        if len(kept) < self._messages:
            kept.append(TracedMessage(time, sent, transport, local, remote, data))

    def messages(self, call_ids: Iterable[str]) -> list[TracedMessage]:
        """The kept messages of these calls, in the order of time."""
        found = [entry for call_id in call_ids for entry in self._kept.get(call_id, ())]
        return sorted(found, key=lambda entry: entry.time)

    def ladder(self, call_ids: Iterable[str]) -> str:
        """The calls' messages as arrows between the addresses that took part, one line a message."""
        return ladder(self.messages(call_ids))


def summary(message: Message) -> str:
    """The method or status of a message, with its CSeq method, and whether it carries SDP."""
    if isinstance(message, Request):
        text = message.method
    elif isinstance(message, Response):
        text = f"{message.status} {message.reason} ({message.cseq.method})"
    else:
        text = "?"
    return f"{text} [SDP]" if message.body else text


def ladder(messages: list[TracedMessage]) -> str:
    """Draw messages: our address in the middle column, the others left and right by first appearance."""
    if not messages:
        return ""
    peers = list(dict.fromkeys(_text(entry.remote) for entry in messages))
    local = _text(messages[0].local)
    columns = [*peers[:1], local, *peers[1:]]
    widest = max(len(entry.summary) for entry in messages)
    width = max(widest + 10, *(len(name) + 4 for name in columns))
    start = messages[0].time
    lines = ["   seconds  " + "".join(name.center(width) for name in columns)]
    for entry in messages:
        ours, theirs = columns.index(local), columns.index(_text(entry.remote))
        left, right = min(ours, theirs), max(ours, theirs)
        to_right = entry.sent == (theirs > ours)
        span = width * (right - left)
        label = f" {entry.summary} "
        shaft = label.center(span - 3, "-")
        arrow = f"|{shaft}>|" if to_right else f"|<{shaft}|"
        margin = width * left + width // 2
        lines.append(f"{entry.time - start:10.3f}  " + " " * margin + arrow)
    return "\n".join(lines)


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
