"""Keeping secrets: slow salted hashes for what people choose or keep, plain ones for long random tokens."""

import hashlib
import hmac
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sipstack.scheduling import come_last

#: scrypt's cost: 16 MiB and about 50 ms on a desktop, bearable on a 64 MB box.
N, R, P = 2**14, 8, 1
_MEMORY = 64 * 1024 * 1024

#: One at a time, and always in the same thread: the C library keeps what a thread has freed for this thread's next time, so
#: that 16 MiB would be gone for each thread that ever answered a sign-in.
_hashing = ThreadPoolExecutor(1, thread_name_prefix="scrypt", initializer=come_last)


def slow_hash(secret: str, like: str | None = None) -> str:
    """``scrypt$N$r$p$salt$hash`` of a secret; with the salt of another such hash where it is ``like`` that."""
    salt = os.urandom(16) if like is None else bytes.fromhex(like.split("$")[4])
    return f"scrypt${N}${R}${P}${salt.hex()}${_scrypt(secret, salt, N, R, P).hex()}"


def _scrypt(secret: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    done = _hashing.submit(
        hashlib.scrypt, secret.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32
    )
    return done.result()


#: Verified against where there is no user, so that a wrong name costs as much time as a wrong password.
NOBODY = f"scrypt${N}${R}${P}${'00' * 16}${'00' * 32}"


def verify(secret: str, stored: str) -> bool:
    """Whether ``secret`` is the one that was hashed."""
    _, n, r, p, salt, expected = stored.split("$")
    found = _scrypt(secret, bytes.fromhex(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, bytes.fromhex(expected))


def find(secret: str, stored: Sequence[str]) -> int | None:
    """Which of the hashes is that of ``secret``, ``None`` where none is.

    One hash is computed for each salt that there is among them, and one where there are none at all.
    """
    computed: dict[str, bytes] = {}
    found = None
    for index, one in enumerate(stored or [NOBODY]):
        salted, _, expected = one.rpartition("$")
        if salted not in computed:
            _, n, r, p, salt = salted.split("$")
            computed[salted] = _scrypt(secret, bytes.fromhex(salt), int(n), int(r), int(p))
        # All of them are looked at, whichever it is.
        if hmac.compare_digest(computed[salted], bytes.fromhex(expected)) and stored:
            found = index
    return found


class Known:
    """What was found right lately, without knowing what it is: a keyed hash of the secret and of what it was right for.

    So a changed password is not known any more.
    """

    MOST = 1024

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._marks: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def _mark(self, secret: str, stored: str) -> bytes:
        return hmac.digest(self._key, f"{secret}\0{stored}".encode(), "sha256")

    def has(self, secret: str, stored: str) -> bool:
        """Whether this secret was right for this hash."""
        with self._lock:
            return self._mark(secret, stored) in self._marks

    def add(self, secret: str, stored: str) -> None:
        """Remember that it is."""
        with self._lock:
            self._marks[self._mark(secret, stored)] = None
            if len(self._marks) > self.MOST:
                self._marks.popitem(last=False)


def user_hashes(username: str, password: str) -> tuple[str, str]:
    """What Kazoo's clients send for a user: md5 and sha1, in hex, of ``username:password``."""
    text = f"{username}:{password}".encode()
    return (
        hashlib.md5(text, usedforsecurity=False).hexdigest(),
        hashlib.sha1(text, usedforsecurity=False).hexdigest(),
    )


def new_api_key() -> str:
    """64 hex digits, the first 16 of which name the key and may be shown."""
    return secrets.token_hex(32)


def token_hash(token: str) -> str:
    """The hash that a token is found by. It is 256 random bits, so a fast hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()
