"""What is kept: accounts, click-to-calls, the history of activations, and a CDR for each leg."""

from c2c_sip.store.audit import Actor
from c2c_sip.store.claim import claim
from c2c_sip.store.errors import StoreError, Taken
from c2c_sip.store.filters import Filter
from c2c_sip.store.pages import Span
from c2c_sip.store.store import Store

__all__ = ["Actor", "Filter", "Span", "Store", "StoreError", "Taken", "claim"]
