"""Links that somebody with a token has signed, for those who have none: in an e-mail, in a CRM. Pure.

A link says which click-to-call it activates, for which contact, or for contacts that a pattern is in, until when, and
how often. It is all in the link, signed by HMAC-SHA256 (:rfc:`2104`): only how often it was used has to be kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

LONGEST = 4096
"""Characters of a token: a contact or a pattern of the greatest length fits in."""

MOST_USES = 1000
GREATEST_LIFETIME = 366 * 86400
LIFETIME = 7 * 86400
"""Seconds that a link serves, at most, and if nothing else is said."""


class LinkError(ValueError):
    """A link that does not serve.

    :param rule: ``signature`` or ``expired``
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Link:
    """What a link allows.

    :param id: what its uses are counted by
    :param clicktocall_id: what it activates
    :param contact: whom it calls; ``None`` where its ``pattern`` says who may be called
    :param expires: Unix time from which on it does not serve any more
    :param uses: how often it serves
    """

    id: str
    clicktocall_id: str
    contact: str | None
    pattern: str | None
    expires: int
    uses: int


def sign(link: Link, key: bytes) -> str:
    """The token of a link, of characters that need no escape in a URL."""
    content = json.dumps(
        [link.id, link.clicktocall_id, link.contact, link.pattern, link.expires, link.uses],
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()
    return f"{_text(content)}.{_text(_mac(content, key))}"


def read(token: str, key: bytes, now: float) -> Link:
    """The link of a token.

    :raises LinkError: it is not one that was signed with this key, or too old
    """
    if len(token) > LONGEST:
        raise LinkError("signature", "The link is not one of ours")
    try:
        content, mac = (_octets(part) for part in token.split("."))
    except (ValueError, binascii.Error) as error:
        raise LinkError("signature", "The link is not one of ours") from error
    if not hmac.compare_digest(mac, _mac(content, key)):
        raise LinkError("signature", "The link is not one of ours")
    # What is signed was made here.
    fields: list[Any] = json.loads(content)
    link = Link(*fields)
    if now >= link.expires:
        raise LinkError("expired", "The link is too old")
    return link


def _mac(content: bytes, key: bytes) -> bytes:
    return hmac.new(key, b"link\0" + content, hashlib.sha256).digest()


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _octets(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


__all__ = [
    "GREATEST_LIFETIME",
    "LIFETIME",
    "LONGEST",
    "MOST_USES",
    "Link",
    "LinkError",
    "read",
    "sign",
]
