"""kill -9 at each step of the queue: accept, lease, the far server's answer, settle with its report, drop.

One process works on the queue and tells each step before and after it is done; it is killed after the n-th, and the next one
goes on with what it left.
"""

import asyncio
import multiprocessing
import os
import pickle
import random
import signal
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.queue_workload import Killed, check, run_queue
from tests.crash.test_power_cut import CUTS
from tests.crash.workload import fresh_directory, prepare

KILLS = max(12, CUTS // 25)
ROUNDS = 6
"""Kills of one store, one after the other."""


@dataclass(frozen=True, slots=True)
class PipeNotes:
    """Notes that are outside the process before it goes on."""

    descriptor: int

    def note(self, what: object) -> None:
        octets = pickle.dumps(what)
        os.write(self.descriptor, struct.pack("!I", len(octets)) + octets)


def work(root: Path, descriptor: int, seed: int) -> None:
    """The process that is killed."""
    asyncio.run(run_queue(root, PipeNotes(descriptor), seed=seed, steps=40))


def work_until(root: Path, seed: int, count: int) -> list[object]:
    """Have a process work until it has made `count` notes, kill it, and give all it made."""
    reading, writing = os.pipe()
    child = multiprocessing.get_context("fork").Process(target=work, args=(root, writing, seed))
    child.start()
    os.close(writing)
    notes: list[object] = []
    with os.fdopen(reading, "rb") as pipe:
        while head := pipe.read(4):
            notes.append(pickle.loads(pipe.read(*struct.unpack("!I", head))))
            if len(notes) == count:
                assert child.pid is not None
                os.kill(child.pid, signal.SIGKILL)
    child.join(timeout=30)
    assert child.exitcode in (-signal.SIGKILL, 0)
    return notes


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(KILLS // ROUNDS))
def test_a_killed_process_loses_nothing_from_the_queue(tmp_path: Path, seed: int) -> None:
    root = fresh_directory(tmp_path / "data")
    prepare(root)
    rng = random.Random(seed)
    notes: list[object] = []
    for turn in range(ROUNDS):
        notes += work_until(root, seed * 100 + turn, rng.randrange(1, 160))
        notes.append(Killed())
        try:
            check(root, notes)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, after kill {turn + 1}: {error}") from error
    print(f"\nseed {seed}: {ROUNDS} kills, {len(notes)} steps told, 0 lost")
