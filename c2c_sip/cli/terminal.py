"""How facts look: with colour in a terminal, and as plain text in columns everywhere else.

Only here, and only for a terminal, ``rich`` is imported.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

#: Characters for a column that is folded; with fewer nobody reads it.
LEAST = 12
#: The colours of what is seen most.
STYLES = {
    "success": "green",
    "connected": "green",
    "registered": "green",
    "static": "green",
    "ok": "green",
    "error": "red",
    "failed": "red",
    "fail": "red",
    "registering": "yellow",
    "unregistered": "yellow",
    "warn": "yellow",
    "not checked": "dim",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One of a table. ``whole`` is for what has to stay in one piece, as what is copied."""

    title: str
    whole: bool = True
    right: bool = False


def in_colour() -> bool:
    """Whether stdout is a terminal that may be written to in colour."""
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") != "dumb"
    )


def clean(value: Any) -> str:
    """A value as one line without control characters: others may have chosen it, to do something to the terminal."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else " " for c in text)


def table(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; in a terminal that is too narrow for it, each row as names and values."""
    cells = [[clean(value) for value in row] for row in rows]
    if in_colour():
        _rich_table(columns, cells)
        return
    titles = [column.title for column in columns]
    widths = [max(map(len, each)) for each in zip(titles, *cells, strict=True)]
    for row in [titles, *cells]:
        parts = [
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(row, widths, columns, strict=True)
        ]
        click.echo("  ".join(parts).rstrip())


def _rich_table(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = [
        max(map(len, each)) for each in zip(*([c.title for c in columns], *cells), strict=True)
    ]
    needed = sum(
        2 + (width if column.whole else min(width, LEAST))
        for width, column in zip(widths, columns, strict=True)
    )
    if needed > console.width:
        for number, row in enumerate(cells):
            if number:
                click.echo()
            facts((column.title, text) for column, text in zip(columns, row, strict=True) if text)
        return
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        shown.add_column(
            column.title,
            no_wrap=column.whole,
            overflow="fold",
            justify="right" if column.right else "left",
        )
    for row in cells:
        # As text, not as markup: square brackets in a name are nothing but that.
        shown.add_row(*(Text(text, style=STYLES.get(text, "")) for text in row))
    console.print(shown)


def facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one a line."""
    rows = [(name, clean(value)) for name, value in pairs]
    width = max((len(name) for name, _ in rows), default=0)
    coloured = in_colour()
    for name, value in rows:
        label = f"{name}:".ljust(width + 1)
        if coloured:
            label = click.style(label, bold=True)
            value = click.style(value, fg=_click_colour(value))
        click.echo(f"{label} {value}".rstrip())


def _click_colour(text: str) -> str | None:
    colour = STYLES.get(text)
    return colour if colour != "dim" else None


def local_time(unix: float) -> str:
    """A moment on the clock of whoever looks."""
    return datetime.fromtimestamp(unix).strftime("%Y-%m-%d %H:%M:%S")
