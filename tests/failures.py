"""Sentences about failures, as docs/failures.md has them: with other numbers in them each time."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "failures.md"

_ROW = re.compile(r"^\| `([a-z0-9_]+)` \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str, str]]:
    """(name, how it was provoked, sentence, what to do) of each row of the tables."""
    return [found.groups() for found in _ROW.finditer(PAGE.read_text("utf-8"))]  # type: ignore[misc]


def normal(sentence: str) -> str:
    """The sentence without what differs from one run to the next: times, addresses, and which of the test's trunks it was."""
    sentence = re.sub(r"\btrunk([ .])\w+", r"trunk\1NAME", sentence)
    sentence = re.sub(r"\b\d+(\.\d)? s\b", "N s", sentence)
    sentence = re.sub(r"(\d+\.\d+\.\d+\.\d+|\b[a-z0-9.]+\.test\b)(:\d+)?", "ADDRESS", sentence)
    sentence = re.sub(r"\d+ %", "N %", sentence)
    return re.sub(r"sent \d+ times", "sent N times", sentence)


def told(name: str) -> set[str]:
    """The sentences that the page gives for a failure."""
    return {normal(sentence) for found, _, sentence, _ in rows() if found == name}


def is_told(name: str, sentence: str) -> None:
    """Whether the page gives this sentence, as it was given just now, for this failure."""
    print(f"| `{name}` | {sentence} |")
    assert normal(sentence) in told(name)
