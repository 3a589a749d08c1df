"""Everything that outlives the process: accounts, click-to-calls, activations, CDRs."""

from __future__ import annotations

from .errors import Conflict, StoreError
from .paging import BadStartKey, Page, Paging
from .store import TOKEN_LIFETIME, Store

__all__ = [
    "TOKEN_LIFETIME",
    "BadStartKey",
    "Conflict",
    "Page",
    "Paging",
    "Store",
    "StoreError",
]
