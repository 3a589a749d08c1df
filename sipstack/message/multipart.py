"""Bodies of several parts (:rfc:`5621`, :rfc:`2046` §5.1): the one part that is looked for."""

import re
from collections.abc import Iterator
from itertools import islice

#: Parts looked at, and how deep in one another; an offer is the first or second of two.
_MOST_PARTS = 16
_DEEPEST = 3
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)


def media_type(content_type: str | None) -> str:
    """The type of a Content-Type, in lower case and without parameters."""
    return (content_type or "").partition(";")[0].strip().lower()


def find_part(content_type: str | None, body: bytes, wanted: str, depth: int = 0) -> bytes | None:
    """The first part of type ``wanted``: the body itself, or one in its ``multipart/...``; ``None`` without one."""
    kind = media_type(content_type)
    if kind == wanted:
        return body or None
    boundary = _BOUNDARY.search(content_type or "")
    if not kind.startswith("multipart/") or boundary is None or depth >= _DEEPEST:
        return None
    for part in _parts(body, boundary.group(1) or boundary.group(2)):
        headers, separator, content = part.partition(b"\r\n\r\n")
        if separator:
            found = find_part(_content_type(headers), content, wanted, depth + 1)
            if found is not None:
                return found
    return None


def _parts(body: bytes, boundary: str) -> Iterator[bytes]:
    """The parts, each with the line end before its headers."""
    mark = re.escape(boundary.encode("utf-8", "surrogateescape"))
    # The line end before a delimiter belongs to it, also before the first. It is a whole line, as another boundary
    # may begin with this one.
    body = b"\r\n" + body
    start: int | None = None
    delimiters = re.finditer(rb"\r\n--" + mark + rb"(--)?[ \t]*(?=\r\n|\Z)", body)
    for delimiter in islice(delimiters, _MOST_PARTS + 1):
        if start is not None:
            yield body[start : delimiter.start()]
        if delimiter.group(1) is not None:
            return
        start = delimiter.end()


def _content_type(headers: bytes) -> str | None:
    text = re.sub(rb"\r\n[ \t]+", b" ", headers).decode("utf-8", "surrogateescape")
    for line in text.split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() in ("content-type", "c"):
            return value.strip()
    return None
