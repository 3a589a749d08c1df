"""Text in HTML."""


def escape(text: str, quote: bool = True) -> str:
    """The same as HTML that shows it; with ``quote`` also within an attribute."""
    # Only here: it brings the table of all that HTML has a name for, half a megabyte.
    from html import escape as escaped

    return escaped(text, quote)
