"""Conditional requests (:rfc:`9110` §13): two who edit a document at once do not lose each other's change.

A document's entity tag is its revision, a dot, and a digest of all that is shown with it. ``If-Match`` looks at the
revision only: that a call was made in between, and ``history_items`` with it has changed, is no other's edit.
"""

from collections.abc import Callable
from typing import Any

import falcon

from c2c_sip.api import envelope
from c2c_sip.api.errors import ApiError

Row = dict[str, Any]

#: How often an edit without ``If-Match`` begins anew where another's has come in between.
ATTEMPTS = 10


def check(req: falcon.Request, revision: int) -> None:
    """Refuse the edit of a document that has changed since it was read.

    :raises ApiError: 412.
    """
    header = req.get_header("If-Match")
    if header is None or header.strip() == "*":
        return
    if str(revision) not in [tag.partition(".")[0] for tag in envelope.tags(header)]:
        raise ApiError(
            412,
            "precondition_failed",
            {"message": "the document has been changed since", "revision": str(revision)},
        )


def edit(
    req: falcon.Request, read: Callable[[], Row], write: Callable[[Row, int], Row | None]
) -> Row:
    """Change a document on top of its newest revision.

    :param read: gives the document with ``revision``
    :param write: is given both; its new form, ``None`` where another has changed it in the meantime
    :raises ApiError: 412, or 409 where others change it all the time.
    """
    for _ in range(ATTEMPTS):
        found = read()
        check(req, found["revision"])
        changed = write(found, found["revision"])
        if changed is not None:
            return changed
    raise ApiError(409, "conflict", {"message": "the document is being changed by others"})
