"""`make sim`: many simulated worlds, or the one that POSTINO_SIM_SEED names. Prints each seed that something is wrong with."""

import argparse
import asyncio
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections import Counter

from tests.sim.simulation import simulate


def one(seed: str) -> tuple[str, str, dict[str, int]]:
    """(the seed, what is wrong or empty, counts)."""
    try:
        found = simulate(seed)
    except (Exception, asyncio.CancelledError):
        return seed, f"seed {seed}:\n{traceback.format_exc()}", {}
    return seed, str(found) if found.findings else "", found.counts


def main() -> int:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", nargs="*", help="which; otherwise --count from --first on")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, help="else by chance")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    first = given.first if given.first is not None else random.SystemRandom().randrange(10**9)
    seeds = given.seeds or [str(first + number) for number in range(given.count)]
    totals: Counter[str] = Counter()
    failed = []
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(min(given.jobs, len(seeds)), maxtasksperchild=50) as pool:
        for seed, wrong, counts in pool.imap_unordered(one, seeds):
            totals.update(counts)
            if wrong:
                failed.append(seed)
                print(wrong, flush=True)
    what = ", ".join(f"{count} {name}" for name, count in totals.items())
    print(f"{len(seeds)} worlds from seed {seeds[0]} in {time.monotonic() - began:.0f} s: {what}")
    if failed:
        print(f"Wrong with {len(failed)}: make sim SEED='{' '.join(failed[:10])}'")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
