"""Whether the disk has room for more mail, asked of the system at most once a second.

A disk that is full to the last octet takes no outcomes, flags or deletions: new mail stops before that.
RFC: 5321 §4.2.3 (452), 3463 §3.4 (4.3.1).
Invariants: what is given is at most REMEMBER_SECONDS old.
Not here: quotas (store/quota.py), a disk that is full all the same (core.errors.DiskFull).
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

REMEMBER_SECONDS: Final = 1.0


class DiskRoom:
    """One worker's view of one file system."""

    def __init__(self, directory: Path, least: Callable[[], int], steady: Callable[[], float]) -> None:
        """`least` is what must be left."""
        self._directory = directory
        self._least = least
        self._steady = steady
        self._free = 0
        self._forget_at = 0.0

    def has_for(self, octets: int) -> bool:
        """Whether a message of `octets`, 0 when unknown, may be taken."""
        now = self._steady()
        if now >= self._forget_at:
            found = os.statvfs(self._directory)
            self._free = found.f_bavail * found.f_frsize
            self._forget_at = now + REMEMBER_SECONDS
        return self._free - octets >= self._least()
