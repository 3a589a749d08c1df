"""The simulated worlds themselves; ``python -m tests.simulation`` runs many more of them."""

from __future__ import annotations

import pytest

from tests.simulation.world import World, live


@pytest.mark.parametrize("seed", [3, 17, 1001])
def test_a_seed_is_the_same_world_each_time(seed: int) -> None:
    first, again = live(World.from_seed(seed)), live(World.from_seed(seed))
    assert first.network.ladder() == again.network.ladder()
    assert [ledger.record for ledger in first.ledgers] == [
        ledger.record for ledger in again.ledgers
    ]


@pytest.mark.parametrize("block", range(5))
def test_no_world_breaks_an_invariant(block: int) -> None:
    for seed in range(100_000 + block * 20, 100_000 + block * 20 + 20):
        wrong = live(World.from_seed(seed)).wrong
        assert not wrong, f"replay with: python -m tests.simulation --replay {seed}\n" + "\n".join(
            wrong
        )


def test_the_worlds_are_not_all_alike() -> None:
    causes: set[str] = set()
    connected = 0
    for seed in range(150):
        for ledger in live(World.from_seed(seed)).ledgers:
            causes.add(ledger.record["cause"])
            connected += "connected" in ledger.states
    assert connected > 20
    assert {
        "NORMAL_CLEARING",
        "USER_BUSY",
        "CALL_REJECTED",
        "UNALLOCATED_NUMBER",
        "NO_ANSWER",
        "ALLOTTED_TIMEOUT",
        "ORIGINATOR_CANCEL",
        "RECOVERY_ON_TIMER_EXPIRE",
    } <= causes
