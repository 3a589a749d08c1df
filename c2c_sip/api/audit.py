"""``/accounts/{account_id}/audit``: who has changed what."""

import falcon

from c2c_sip.api import listing
from c2c_sip.api.access import Access, Row
from c2c_sip.api.answers import AUDIT_ENTRY
from c2c_sip.api.describe import Operation, operation
from c2c_sip.api.envelope import times
from c2c_sip.store import Store

COLUMNS = tuple(AUDIT_ENTRY)
"""Of the CSV table."""


def _shown(row: Row) -> Row:
    seen = {name: row[name] for name in AUDIT_ENTRY if name in row}
    return seen | times(row["created"])


class AuditLog:
    """The log."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    @operation(
        Operation(answer=AUDIT_ENTRY, many=True, answer_types=("text/csv",), problems=(403,))
    )
    def on_get(self, req: falcon.Request, resp: falcon.Response, account_id: str) -> None:
        """Changes, newest first; also as CSV."""
        self._access.account(req, account_id, change=True)
        wanted = listing.read(req)
        filters = listing.records(wanted, {})
        listing.answer(
            req,
            resp,
            lambda span: self._store.audit.entries(account_id, span, filters),
            wanted,
            _shown,
            COLUMNS,
        )
