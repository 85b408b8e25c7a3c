"""Where things are in the data directory, and the lock that keeps two servers out of one.

Invariants: only the server's user may enter `run/`; the lock is held as long as the supervisor lives.
"""

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postino.core.errors import PostinoError

LOCK_SECONDS: Final = 3.0


class DataDirectoryInUse(PostinoError):
    """Another server serves this data directory."""


@dataclass(frozen=True, slots=True)
class DataPaths:
    """The files below one data directory that are not the store's."""

    data: Path

    @property
    def run(self) -> Path:
        """Sockets between the workers; emptied at each start."""
        return self.data / "run"

    @property
    def lock(self) -> Path:
        """Locked by the running server; holds its process id."""
        return self.run / "server.lock"

    @property
    def self_signed_certificate(self) -> Path:
        """The certificate used until a real one is set."""
        return self.data / "tls" / "self-signed.pem"

    @property
    def self_signed_key(self) -> Path:
        """Its key."""
        return self.data / "tls" / "self-signed-key.pem"

    def prepare(self) -> None:
        """Make the directories. Raises PostinoError when that is not possible."""
        try:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o750)
            self.run.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise PostinoError(
                f"The data directory {self.data} cannot be made: {error.strerror}; choose another with "
                "--data, or correct the rights of the directory above it"
            ) from error

    def take_lock(self) -> int:
        """Hold the server's lock; the descriptor keeps it. Raises DataDirectoryInUse."""
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # Workers hold it too, and end a moment after a supervisor that was killed.
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                os.close(descriptor)
                raise DataDirectoryInUse(
                    f"A server with process id {holder or 'unknown'} already serves {self.data}; stop it "
                    "first, or choose another directory with --data"
                ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor
