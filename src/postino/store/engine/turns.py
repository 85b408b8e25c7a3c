"""Let the processes that write to one database take turns, so that none waits for long.

SQLite's own lock goes to whoever asks at the right moment, which is mostly the process that has just let
it go: with two busy writers one of them waited for up to a second (docs/adr/0003-sqlite-engine.md).

Invariants: whoever holds the turn is the only writer among the processes that ask here; the kernel
    gives it back when a process dies.
Not here: SQLite's lock, which still protects the database from programs that do not ask here.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from postino.core.errors import TemporarilyUnavailable

_SHORTEST_SLEEP: Final = 0.00005
_LONGEST_SLEEP: Final = 0.0003


class Turns:
    """Two locked files beside the database: who writes, and who is next.

    Whoever ends a turn and wants another must first become next, and cannot while someone else is.
    """

    def __init__(self, database: Path, wait_seconds: float) -> None:
        self._names = [database.with_name(f"{database.name}-{role}") for role in ("writer", "next")]
        self._wait_seconds = wait_seconds
        self._files: list[int] = []

    def take_at_once(self) -> bool:
        """Take the turn if nobody has it or waits for it. Never waits."""
        writer, following = self._open()
        try:
            fcntl.flock(following, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            fcntl.flock(writer, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(following, fcntl.LOCK_UN)
        return True

    def take_briefly(self) -> bool:
        """As take_at_once(), for less than a millisecond: whoever waits to be next asks again before that."""
        try:
            fcntl.flock(self._open()[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def take(self) -> None:
        """Wait for the turn. Raises TemporarilyUnavailable when that takes too long."""
        writer, following = self._open()
        until = time.monotonic() + self._wait_seconds
        self._lock(following, until)
        try:
            self._lock(writer, until)
        finally:
            fcntl.flock(following, fcntl.LOCK_UN)

    def _open(self) -> list[int]:
        if not self._files:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._files = [os.open(name, flags, 0o600) for name in self._names]
        return self._files

    def give(self) -> None:
        """End the turn."""
        fcntl.flock(self._files[0], fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files; ends a turn too."""
        for descriptor in self._files:
            os.close(descriptor)
        self._files = []

    def _lock(self, descriptor: int, until: float) -> None:
        pause = _SHORTEST_SLEEP
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # A wait in the kernel would have no end if the other process were stopped.
                if time.monotonic() > until:
                    raise TemporarilyUnavailable(
                        "Another process is writing to the database for too long; try again"
                    ) from None
            else:
                return
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_SLEEP)
