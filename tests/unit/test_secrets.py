"""Hashes of what people choose."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from c2c_sip.store import secrets as store_secrets


def test_hashes_are_slow_and_salted_and_name_their_cost() -> None:
    one, two = store_secrets.slow_hash("x"), store_secrets.slow_hash("x")
    assert one != two
    assert one.startswith("scrypt$16384$8$1$")
    assert store_secrets.verify("x", one) and store_secrets.verify("x", two)
    assert not store_secrets.verify("y", one)


def test_all_hashes_are_made_in_one_thread_for_the_memory_that_each_thread_would_keep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scrypt, threads = hashlib.scrypt, set()

    def noting(*arguments: Any, **more: Any) -> bytes:
        threads.add(threading.get_ident())
        return scrypt(*arguments, **more)

    monkeypatch.setattr(hashlib, "scrypt", noting)
    together = threading.Barrier(4)

    def sign_in(number: int) -> bool:
        together.wait(20)
        return store_secrets.verify(str(number), store_secrets.NOBODY)

    with ThreadPoolExecutor(4) as pool:
        assert not any(pool.map(sign_in, range(4)))
    assert len(threads) == 1
