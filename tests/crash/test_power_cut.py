"""The power fails at any operation, and the disk keeps any part of what was not synced: nothing promised is lost.

`POSTINO_CUTS` sets how many cuts are tried (make crash: thousands). A failure prints the seed, the cut and the image's
seed, which repeat it exactly.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.crash.disk import Disk, DiskLog, read_tree, write_image
from tests.crash.workload import check, fresh_directory, prepare, record, recover

CUTS = int(os.environ.get("POSTINO_CUTS", "300"))
SEEDS = range(1, 7) if CUTS <= 1000 else range(1, 25)


def cut_points(log: DiskLog, count: int, rng: random.Random) -> list[int]:
    """Half of them right around syncs, half anywhere."""
    syncs = log.sync_points()
    chosen = [rng.choice(syncs) for _ in range(count // 2)]
    chosen += [rng.randrange(len(log.events) + 1) for _ in range(count - len(chosen))]
    return sorted(chosen)


def cut_power(
    disk: Disk,
    log: DiskLog,
    scratch: Path,
    check: Callable[[Path, list[Any]], object],
    *,
    seed: int,
    cuts: int,
) -> int:
    """Try `cuts` cuts of one run; gives how many were tried. Raises AssertionError at the first that breaks a promise."""
    rng = random.Random(seed)
    tried = 0
    for cut in cut_points(log, cuts, rng):
        disk.advance(cut)
        image_seed = rng.randrange(1 << 30)
        target = fresh_directory(scratch / "after")
        write_image(disk.image(random.Random(image_seed)), target)
        try:
            check(target, disk.notes)
        except Exception as error:
            raise AssertionError(
                f"seed {seed}, cut {cut} of {len(log.events)}, image {image_seed}: {error}"
            ) from error
        tried += 1
    return tried


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    root = fresh_directory(tmp_path / "data")
    prepare(root)
    base = read_tree(root)
    log = record(root, f"cut-{seed}", seed=seed, tasks=5, steps=14)
    tried = cut_power(Disk(log, base), log, tmp_path, check, seed=seed, cuts=CUTS // len(SEEDS))
    print(
        f"\nseed {seed}: {len(log.events)} operations, {len(log.sync_points()) // 2} syncs, {tried} power cuts, 0 lost"
    )


@pytest.mark.timeout(3600)
def test_a_second_cut_while_the_first_is_recovered_from_takes_nothing_either(tmp_path: Path) -> None:
    root = fresh_directory(tmp_path / "data")
    prepare(root)
    base = read_tree(root)
    log = record(root, "cut-first", seed=77, tasks=5, steps=14)
    rng = random.Random(77)
    disk = Disk(log, base)
    for number, cut in enumerate(cut_points(log, max(4, CUTS // 60), rng)):
        disk.advance(cut)
        again = fresh_directory(tmp_path / "again")
        write_image(disk.image(random.Random(rng.randrange(1 << 30))), again)
        left = read_tree(again)
        second = recover(again, f"cut-again-{number}")
        recovering = Disk(second, left)
        for later in cut_points(second, 4, rng):
            recovering.advance(later)
            target = fresh_directory(tmp_path / "after")
            write_image(recovering.image(random.Random(rng.randrange(1 << 30))), target)
            check(target, disk.notes)


def test_the_simulation_notices_a_disk_that_lies(tmp_path: Path) -> None:
    """With syncs that do nothing, acknowledged mail must be found missing: the test can fail."""
    root = fresh_directory(tmp_path / "data")
    prepare(root)
    base = read_tree(root)
    log = record(root, "cut-lies", seed=99, tasks=5, steps=14, honest_sync=False)
    # sync_points() is empty then but for blobs; cut at the end, where most was acknowledged.
    disk = Disk(log, base)
    disk.advance(len(log.events))
    lost = 0
    for image_seed in range(12):
        target = fresh_directory(tmp_path / "after")
        write_image(disk.image(random.Random(image_seed)), target)
        try:
            check(target, disk.notes)
        except Exception:
            lost += 1
    assert lost > 0, "the simulated disk forgets nothing: the power-cut test proves nothing"
