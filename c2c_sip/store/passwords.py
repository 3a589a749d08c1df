"""Slow hashes for what people choose and programs keep, and the secrets we make ourselves.

A hash is written ``scrypt$N$r$p$SALT$HASH`` (:rfc:`7914`), so that the costs can be raised later
without losing the old ones. Kazoo's clients never send a password but the MD5 or SHA-1 of
``user:password``; those are what is hashed here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading

COST = (2**14, 8, 1)
"""scrypt's N, r, p: 16 MiB and some 50 ms a hash."""

PUBLIC_ID_LENGTH = 16
"""How many of an API key's 64 digits name it; the others are its secret."""

_MAXIMUM_MEMORY = 128 * 1024 * 1024

# A storm of logins may cost time but not the machine's memory, and leaves a core to the calls.
_scrypt_slots = threading.BoundedSemaphore(2)


def make_salt() -> str:
    """The front part of a hash, ``scrypt$N$r$p$SALT``: costs of today and a random salt."""
    n, r, p = COST
    return f"scrypt${n}${r}${p}${secrets.token_hex(16)}"


def slow_hash(secret: str, salt: str) -> str:
    """`secret` hashed under `salt` (of `make_salt`); raises ValueError for a salt not of ours."""
    name, n, r, p, salt_digits = salt.split("$")
    if name != "scrypt":
        raise ValueError(f"unknown hash {name!r}")
    with _scrypt_slots:
        digest = hashlib.scrypt(
            secret.encode("utf-8", "surrogatepass"),
            salt=bytes.fromhex(salt_digits),
            n=int(n),
            r=int(r),
            p=int(p),
            maxmem=_MAXIMUM_MEMORY,
            dklen=32,
        )
    return f"{salt}${digest.hex()}"


def matches(secret: str, stored: str | None) -> bool:
    """Whether `secret` is what `stored` was made of; takes as long when nothing is stored."""
    salt = make_salt() if stored is None else stored.rpartition("$")[0]
    computed = slow_hash(secret, salt)
    return hmac.compare_digest(computed.encode(), (stored or "").encode())


def credentials(username: str, password: str) -> tuple[str, str]:
    """What a Kazoo client sends for this user: the MD5 and the SHA-1 of ``user:password``."""
    text = f"{username}:{password}".encode()
    # Not for secrecy: the protocol of Kazoo's clients is these two digests.
    return (
        hashlib.md5(text, usedforsecurity=False).hexdigest(),
        hashlib.sha1(text, usedforsecurity=False).hexdigest(),
    )


def make_api_key() -> str:
    """A new API key: 64 hexadecimal digits, the first 16 its public id."""
    return secrets.token_hex(32)


def make_token() -> str:
    """A new token: 64 hexadecimal digits."""
    return secrets.token_hex(32)


def token_hash(token: str) -> str:
    """What is kept of a token. A fast hash is enough: there are 256 random bits behind it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
