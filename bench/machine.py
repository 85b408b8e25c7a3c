"""The machine that measured, in the lines of the report."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apsw

from bench.probe import sync_latency


@dataclass(frozen=True, slots=True)
class Machine:
    """What a reader needs to judge the absolute figures."""

    when: str
    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    sqlite: str
    file_system: str
    sync_us: float
    sync_p95_us: float
    load: float

    @property
    def is_busy(self) -> bool:
        """Whether other programs had the processors when the run began: its figures are then doubtful."""
        return self.load > self.cores / 4

    def lines(self) -> list[tuple[str, str]]:
        """Name and value, for a table."""
        return [
            ("measured", self.when),
            ("processor", f"{self.processor}, {self.cores} cores"),
            ("memory", f"{self.memory_gib:.0f} GiB"),
            ("system", self.system),
            ("Python, SQLite", f"{self.python}, {self.sqlite}"),
            ("file system", self.file_system),
            ("4 KB + fdatasync", f"{self.sync_us:.0f} us median, {self.sync_p95_us:.0f} us 95th percentile"),
            ("load before the run", f"{self.load:.2f}"),
        ]


def describe(directory: Path) -> Machine:
    """Look at the machine now; `directory` says which file system."""
    latency = sync_latency(directory)
    return Machine(
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30,
        system=f"{_distribution()}, {platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=apsw.sqlite_lib_version(),
        file_system=_file_system(directory),
        sync_us=latency.median_us,
        sync_p95_us=latency.p95_us,
        load=os.getloadavg()[0],
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _file_system(directory: Path) -> str:
    """The type of the mount that holds `directory`: the longest mount point that is its parent."""
    where = directory.resolve()
    best, kind = -1, "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, found, *_ = line.split(" ")
        if where.is_relative_to(point) and len(point) > best:
            best, kind = len(point), found
    return kind
