"""Keeping secrets: slow salted hashes for what people choose or keep, plain ones for long random tokens."""

import hashlib
import hmac
import os
import secrets
import threading

#: scrypt's cost: 16 MiB and about 50 ms on a desktop, bearable on a 64 MB box.
N, R, P = 2**14, 8, 1
_MEMORY = 64 * 1024 * 1024

#: At most two at a time, since each takes 16 MiB.
_slots = threading.BoundedSemaphore(2)


def slow_hash(secret: str) -> str:
    """``scrypt$N$r$p$salt$hash`` of a secret."""
    salt = os.urandom(16)
    return f"scrypt${N}${R}${P}${salt.hex()}${_scrypt(secret, salt, N, R, P).hex()}"


def _scrypt(secret: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    with _slots:
        return hashlib.scrypt(secret.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32)


#: Verified against where there is no user, so that a wrong name costs as much time as a wrong password.
NOBODY = f"scrypt${N}${R}${P}${'00' * 16}${'00' * 32}"


def verify(secret: str, stored: str) -> bool:
    """Whether ``secret`` is the one that was hashed."""
    _, n, r, p, salt, expected = stored.split("$")
    found = _scrypt(secret, bytes.fromhex(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, bytes.fromhex(expected))


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
