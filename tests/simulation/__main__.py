"""Simulated worlds from seeds: ``python -m tests.simulation --seeds 2000``, or ``--replay SEED`` for one with its ladder."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from multiprocessing import Pool

from tests.simulation.world import World, live

MOST_FAILURES = 10


def violations(seed: int) -> tuple[int, list[str]]:
    """What the world of one seed broke."""
    try:
        return seed, live(World.from_seed(seed)).wrong
    except Exception as error:
        return seed, [f"{type(error).__name__}: {error}"]


def replay(seed: int) -> int:
    """Show one world: what chance decided, all that was sent, the records, and what it broke."""
    world = World.from_seed(seed)
    print(world)
    outcome = live(world)
    print(outcome.network.ladder())
    for ledger in outcome.ledgers:
        print(ledger.states, ledger.record, *ledger.cdrs.values(), sep="\n  ")
    print(*outcome.wrong, sep="\n")
    return 1 if outcome.wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--replay", type=int, metavar="SEED", help="show one world")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        return replay(arguments.replay)
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    failed = 0
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    with Pool(arguments.jobs) as pool:
        for seed, wrong in pool.imap_unordered(violations, seeds, chunksize=20):
            if not wrong:
                continue
            failed += 1
            if failed <= MOST_FAILURES:
                print(f"seed {seed}: {wrong[0].splitlines()[0]}")
                print(f"  replay with: python -m tests.simulation --replay {seed}")
    took = time.monotonic() - began
    print(f"simulation: {len(seeds)} seeds, {failed} violations, {took:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
