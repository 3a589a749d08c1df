"""Randomness in portions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sipstack.entropy import Entropy


def test_numbers_have_as_many_bits_as_asked_for_and_are_never_the_same() -> None:
    rng = Entropy()
    assert rng.getrandbits(0) == 0
    numbers = {rng.getrandbits(96) for _ in range(5000)}
    assert len(numbers) == 5000
    assert max(numbers).bit_length() == 96
    assert len(rng.randbytes(10_000)) == 10_000
    flips = sum(rng.getrandbits(1) for _ in range(4000))
    assert 1700 < flips < 2300
    assert all(0 <= rng.random() < 1 for _ in range(1000))
    assert all(2 <= rng.uniform(2, 4) <= 4 for _ in range(100))


def test_no_two_threads_are_given_the_same() -> None:
    rng = Entropy()
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda _: [rng.randbytes(16) for _ in range(2000)], range(4)))
    assert len({token for tokens in drawn for token in tokens}) == 8000
