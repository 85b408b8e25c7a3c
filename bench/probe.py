"""What processes use, and how long this disk takes to make 4 KB durable: `python -m bench.probe [DIRECTORY]`.

Every durable figure of the bench rests on that number; compare it before comparing machines.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles


@dataclass(frozen=True, slots=True)
class SyncLatency:
    """Microseconds of one append of 4 KB and its fdatasync."""

    median_us: float
    p95_us: float


def sync_latency(directory: Path, times: int = 300) -> SyncLatency:
    """Measure on the file system of `directory`; the file is removed again."""
    block = os.urandom(4096)
    samples = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        for _ in range(times):
            started = time.perf_counter()
            os.write(file.fileno(), block)
            os.fdatasync(file.fileno())
            samples.append((time.perf_counter() - started) * 1e6)
    return SyncLatency(median(samples), quantiles(samples, n=20)[-1])


def processor_seconds(pids: Iterable[int]) -> float:
    """Processor time that these processes have used so far."""
    ticks = 0
    for pid in pids:
        try:
            # utime and stime, counted behind the name, which may hold blanks.
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        ticks += int(after_name[11]) + int(after_name[12])
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir())
    found = sync_latency(where)
    print(f"{where}: 4 KB + fdatasync {found.median_us:.0f} us (95th percentile {found.p95_us:.0f} us)")
