"""Proof of work: whoever wants a call has their computer search for a number first, which takes it a second. Pure.

A challenge is ``bits.time.salt.mac``, of which nothing is kept here: the mac says that it is ours. Whoever solves it
appends ``.`` and a whole number, such that the SHA-256 of ``challenge:contact:number`` begins with so many zero bits.
A solution holds for one activation, of that contact, for some minutes.
"""

from __future__ import annotations

import hashlib
import hmac

CHALLENGES = ("none", "proof_of_work", "captcha")
"""What the public may have to do before an activation."""

LIFETIME = 300
"""Seconds in which a challenge is to be solved and used."""

LONGEST = 200
"""Characters of a solution."""


def challenge(bits: int, subject: str, salt: str, key: bytes, now: float) -> str:
    """A new challenge.

    :param bits: how hard it is; 18 take some 260,000 attempts
    :param subject: what it is for, the click-to-call's id
    :param salt: of random hexadecimal digits
    """
    head = f"{bits}.{int(now)}.{salt}"
    return f"{head}.{_mac(head, subject, key)}"


def is_solved(solution: str, contact: str, bits: int, subject: str, key: bytes, now: float) -> bool:
    """Whether a solution is one, of a challenge of ours that is not too old nor too easy, and for this contact."""
    text, dot, number = solution.rpartition(".")
    parts = text.split(".")
    if len(solution) > LONGEST or len(parts) != 4 or not dot or not number.isascii():
        return False
    given, made, _, mac = parts
    head = text.rpartition(".")[0]
    if not number.isdigit() or not hmac.compare_digest(
        mac.encode(), _mac(head, subject, key).encode()
    ):
        return False
    # What is signed was made here.
    if int(given) < bits or not 0 <= now - int(made) <= LIFETIME:
        return False
    return has_zeros(text, contact, number, int(given))


def has_zeros(challenge: str, contact: str, number: str, bits: int) -> bool:
    """Whether the hash begins with so many zero bits."""
    digest = hashlib.sha256(f"{challenge}:{contact}:{number}".encode()).digest()
    return int.from_bytes(digest) >> (256 - bits) == 0 if bits else True


def _mac(head: str, subject: str, key: bytes) -> str:
    return hmac.new(key, f"proof\0{head}\0{subject}".encode(), hashlib.sha256).hexdigest()[:32]


__all__ = ["CHALLENGES", "LIFETIME", "challenge", "has_zeros", "is_solved"]
