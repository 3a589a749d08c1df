"""What is kept: accounts, click-to-calls, the history of activations, and a CDR for each leg."""

from c2c_sip.store.migrations import StoreError
from c2c_sip.store.store import Store, Taken

__all__ = ["Store", "StoreError", "Taken"]
