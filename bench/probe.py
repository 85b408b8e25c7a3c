"""How long this disk takes to make 4 KB durable: `python -m bench.probe [DIRECTORY]`.

Every durable figure of the bench rests on this number; compare it before comparing machines.
"""

import os
import sys
import tempfile
import time
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


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir())
    found = sync_latency(where)
    print(f"{where}: 4 KB + fdatasync {found.median_us:.0f} us (95th percentile {found.p95_us:.0f} us)")
