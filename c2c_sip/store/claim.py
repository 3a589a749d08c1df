"""That one service uses a database in a file: two would each end what the other has open."""

import fcntl
import logging
import os
from collections.abc import Callable
from functools import partial

from c2c_sip.store.errors import StoreError

log = logging.getLogger(__name__)


def claim(url: str) -> Callable[[], None]:
    """Have a file's database for this process until it ends, or calls what is returned; after the store is closed.

    Commands that only look something up do not claim it. Of a server's database nothing is claimed: its nodes are told
    apart by their names.

    :raises StoreError: another process has claimed it, or there can be no such file.
    """
    path = url.removeprefix("sqlite:///")
    if path == url:
        return lambda: None
    try:
        # As the store does, for its owner only. It must not be closed before the store is: with any of a file's
        # descriptors, a process loses all locks that SQLite has on it.
        held = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise StoreError(f"the database cannot be opened: {path}: {error.strerror}") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(held)
        raise StoreError(f"the database {path} is in use by another service") from error
    except OSError as error:  # a file system without such locks
        log.warning("whether another service uses %s cannot be seen: %s", path, error.strerror)
    return partial(os.close, held)
