"""Words for sentences about calls. What came from outside is cut short and cleaned. Pure."""

from __future__ import annotations

from collections.abc import Iterable

#: Characters of one text of a peer's that stand in a sentence.
MOST = 64


def clean(text: str, most: int = MOST) -> str:
    """A text of somebody else's, in one line that is not too long, without what a terminal or a reader may trip over."""
    visible = "".join(c if c.isprintable() else " " for c in text[: 4 * most])
    line = " ".join(visible.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def after(seconds: float) -> str:
    """How long it took."""
    return f"after {max(0.0, seconds):.1f} s"


def join(texts: Iterable[str]) -> str:
    """Some texts in one."""
    return ", ".join(texts)


def role_of(role: str) -> str:
    """Who a leg goes to, in words."""
    return "transfer target" if role == "transfer" else role


def start(who: str) -> str:
    """Somebody at the beginning of a sentence."""
    return f"The {who}"
