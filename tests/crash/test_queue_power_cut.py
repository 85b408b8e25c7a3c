"""The power fails at any operation of the queue: what was accepted waits, was sent or is reported on.

`POSTINO_CUTS` sets how many cuts are tried, as in test_power_cut.py.
"""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from postino.store.engine.sqlite_connection import SqliteOptions
from tests.crash.disk import Disk, DiskLog, LoggingVfs, read_tree, write_image
from tests.crash.queue_workload import check, run_queue
from tests.crash.test_power_cut import CUTS, cut_power
from tests.crash.workload import LoggingBlobFiles, fresh_directory, prepare

SEEDS = range(1, 5) if CUTS <= 1000 else range(1, 17)


def record(root: Path, seed: int, *, honest_sync: bool = True) -> DiskLog:
    """Run the queue below `root` and give the log of what it did to the disk."""
    log = DiskLog(root)
    name = f"queue-{seed}-{honest_sync}"
    vfs = LoggingVfs(name, log, honest_sync=honest_sync)
    options = SqliteOptions(vfs=name, checkpoint_pages=60, mmap_octets=0, batch_jobs=4)
    asyncio.run(run_queue(root, log, seed=seed, steps=14, options=options, files=LoggingBlobFiles(log)))
    vfs.unregister()
    return log


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_power_cut_takes_nothing_from_the_queue(tmp_path: Path, seed: int) -> None:
    root = fresh_directory(tmp_path / "data")
    prepare(root)
    base = read_tree(root)
    log = record(root, seed)
    disk = Disk(log, base)
    tried = cut_power(disk, log, tmp_path, check, seed=seed, cuts=CUTS // len(SEEDS))
    counted = Counter(type(note).__name__ for note in disk.notes)
    print(f"\nseed {seed}: {len(log.events)} operations, {dict(counted)}, {tried} power cuts, 0 lost")


def test_the_simulation_notices_a_disk_that_lies(tmp_path: Path) -> None:
    """With syncs that do nothing, accepted mail must be found missing: the test can fail."""
    root = fresh_directory(tmp_path / "data")
    prepare(root)
    base = read_tree(root)
    log = record(root, 99, honest_sync=False)
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
