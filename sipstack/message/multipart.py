"""Bodies of several parts (:rfc:`5621`, :rfc:`2046` §5.1): the one part that is looked for."""

import re

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
    mark = b"--" + (boundary.group(1) or boundary.group(2)).encode("utf-8", "surrogateescape")
    # The line end before a boundary belongs to it, also before the first.
    parts = (b"\r\n" + body).split(b"\r\n" + mark, _MOST_PARTS + 1)[1:]
    for part in parts[:_MOST_PARTS]:
        if part.startswith(b"--"):
            return None
        headers, separator, content = part.partition(b"\r\n\r\n")
        if not separator:
            continue
        inner = _content_type(headers)
        found = find_part(inner, content, wanted, depth + 1)
        if found is not None:
            return found
    return None


def _content_type(headers: bytes) -> str | None:
    text = re.sub(rb"\r\n[ \t]+", b" ", headers).decode("utf-8", "surrogateescape")
    for line in text.split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() in ("content-type", "c"):
            return value.strip()
    return None
