"""A call's messages as arrows between those who sent them and those who got them: as text, and as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sipstack.trace import TracedMessage
from sipstack.transport import Address

#: Of the picture, in pixels.
_COLUMN = 260
_ROW = 34
_HEAD = 64
_MARGIN = 150
#: Of the text, in characters: what stands left of the first column.
_LEFT = 12
#: Of the picture, within it.
STYLE = """\
svg{--line:#6b7280;--text:#111827;--paper:#fff;--request:#0b57d0;--good:#0f7b3f;--bad:#b3261e;--middle:#6b7280}
@media(prefers-color-scheme:dark){svg{--line:#8b93a1;--text:#f3f4f6;--paper:#14171c;--request:#8ab4f8;--good:#7bd39a;
--bad:#f2928c;--middle:#b6bcc8}}
.paper{fill:var(--paper)}text{font:13px system-ui,sans-serif;fill:var(--text)}.who{font-weight:600;text-anchor:middle}
.where,.when{fill:var(--middle);font-size:11px}.where{text-anchor:middle}.when{text-anchor:end;font-variant-numeric:tabular-nums}
.what{text-anchor:middle;paint-order:stroke;stroke:var(--paper);stroke-width:5px;stroke-linejoin:round}.life{stroke:var(--line);stroke-dasharray:3 4}.arrow{stroke-width:1.6;fill:none}
.request{--own:var(--request)}.good{--own:var(--good)}.bad{--own:var(--bad)}.middle{--own:var(--middle)}
.arrow{stroke:var(--own)}.tip{fill:var(--own)}
.message:hover .arrow,.message:focus .arrow{stroke-width:3}"""


@dataclass(frozen=True, slots=True)
class Arrow:
    """One message between two columns; ``time`` in seconds since the first."""

    time: float
    source: int
    destination: int
    summary: str
    message: TracedMessage


@dataclass(frozen=True, slots=True)
class Ladder:
    """Who took part, from left to right, and what went between them."""

    columns: tuple[str, ...]
    ours: int
    arrows: tuple[Arrow, ...]

    @classmethod
    def of(cls, messages: Sequence[TracedMessage]) -> "Ladder":
        """Our own address stands in the second column, the others left and right of it as they first appear."""
        if not messages:
            return cls((), 0, ())
        peers = list(dict.fromkeys(text_of(entry.remote) for entry in messages))
        columns = (*peers[:1], text_of(messages[0].local), *peers[1:])
        start = messages[0].time
        arrows = []
        for entry in messages:
            # Ours by position: behind one address there may be a peer that has the same.
            theirs = columns.index(text_of(entry.remote)) if entry.remote != entry.local else 0
            if theirs == 1:
                theirs = 0
            ends = (1, theirs) if entry.sent else (theirs, 1)
            arrows.append(Arrow(entry.time - start, *ends, entry.summary, entry))
        return cls(columns, 1, tuple(arrows))


def ladder(messages: Sequence[TracedMessage], most: int = 0) -> str:
    """As text, one line a message; empty where there is none.

    :param most: characters that a line should have, for which what is said on an arrow may be cut short; 0: any number
    """
    drawn = Ladder.of(messages)
    if not drawn.arrows:
        return ""
    widest = max(len(arrow.summary) for arrow in drawn.arrows)
    width = max(widest + 10, *(len(name) + 4 for name in drawn.columns))
    if most:
        narrow = (most - _LEFT) // len(drawn.columns)
        width = max(min(width, narrow), *(len(name) + 2 for name in drawn.columns))
    lines = ["   seconds  " + "".join(name.center(width) for name in drawn.columns)]
    for arrow in drawn.arrows:
        left, right = sorted((arrow.source, arrow.destination))
        span = width * (right - left)
        shaft = f" {_cut(arrow.summary, span - 7)} ".center(span - 3, "-")
        line = f"|{shaft}>|" if arrow.destination == right else f"|<{shaft}|"
        margin = width * left + width // 2
        lines.append(f"{arrow.time:10.3f}  " + " " * margin + line)
    return "\n".join(lines)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def svg(messages: Sequence[TracedMessage], names: Mapping[str, str] | None = None) -> str:
    """As a picture that fits light and dark pages. Each message is a group ``.message`` that can be focused.

    :param names: what a column is called, by its address
    """
    drawn = Ladder.of(messages)
    names = names or {}
    width = _MARGIN + _COLUMN * max(1, len(drawn.columns) - 1) + _MARGIN
    height = _HEAD + _ROW * (len(drawn.arrows) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="Ladder of {len(drawn.arrows)} messages">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    for number, column in enumerate(drawn.columns):
        x = _MARGIN + _COLUMN * number
        name = names.get(column, "c2c-sip" if number == drawn.ours else "")
        parts.append(f'<text class="who" x="{x}" y="24">{_escape(name)}</text>')
        parts.append(f'<text class="where" x="{x}" y="42">{_escape(column)}</text>')
        parts.append(f'<line class="life" x1="{x}" x2="{x}" y1="{_HEAD - 12}" y2="{height - 12}"/>')
    for number, arrow in enumerate(drawn.arrows):
        parts.append(_arrow(number, arrow))
    parts.append("</svg>")
    return "\n".join(parts)


def _arrow(number: int, arrow: Arrow) -> str:
    y = _HEAD + _ROW * number + 20
    start, end = (_MARGIN + _COLUMN * column for column in (arrow.source, arrow.destination))
    back = 8 if end < start else -8
    left = min(start, end)
    text = _escape(_printable(arrow.message.data))
    return (
        f'<g class="message {_kind(arrow.summary)}" id="m{number}" tabindex="0"><title>{text}</title>'
        f'<text class="when" x="{_MARGIN - 60}" y="{y + 4}">{arrow.time:.3f}</text>'
        f'<text class="what" x="{left + abs(end - start) / 2:g}" y="{y - 6}">{_escape(arrow.summary)}</text>'
        f'<path class="arrow" d="M{start} {y}H{end}"/>'
        f'<path class="tip" d="M{end} {y}l{back} -4v8z"/></g>'
    )


def _kind(summary: str) -> str:
    first = summary[:1]
    if not first.isdigit():
        return "request"
    return {"1": "middle", "2": "good"}.get(first, "bad")


def _printable(data: bytes) -> str:
    """A message as text that any XML reader takes."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def text_of(address: Address) -> str:
    """``HOST:PORT``, an IPv6 address in brackets."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _escape(text: str) -> str:
    # Only here: it brings the table of all that HTML has a name for, half a megabyte.
    from html import escape

    return escape(text)
