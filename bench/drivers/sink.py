"""Where sent mail ends in the bench: a process of its own, which counts (sink_process.py)."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from bench.drivers.wire import DriverError
from bench.peers.server import ServerProblem, end_process, wait_for_greeting

_TAIL_OCTETS: Final = 200
_ROOT: Final = Path(__file__).resolve().parents[2]


class Sink:
    """One listening sink, and what it has taken so far."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    def __enter__(self) -> "Sink":
        # A pipe nobody reads would stop the sink; a file does not.
        self._said = tempfile.TemporaryFile()
        command = [sys.executable, "-m", "bench.drivers.sink_process", str(self.port)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=_ROOT,
        )
        self._process = process
        try:
            wait_for_greeting(self.port, b"220", 10.0, lambda: process.poll() is None)
        except ServerProblem:
            end_process(process, 2.0)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            end_process(self._process, 2.0)
        if self._said is not None:
            self._said.close()

    def _count(self, name: bytes) -> int:
        assert self._said is not None
        size = self._said.seek(0, 2)
        self._said.seek(max(0, size - _TAIL_OCTETS))
        tail = self._said.read()
        self._said.seek(0, 2)
        at = tail.rfind(name + b"=")
        # The last line may be half written; the one before is not.
        end = tail.find(b"\r", at)
        if at >= 0 and end < 0:
            at = tail.rfind(name + b"=", 0, at)
            end = tail.find(b"\r", at)
        if at < 0 or end < 0:
            return 0
        return int(tail[at + len(name) + 1 : end].split()[0])

    @property
    def messages(self) -> int:
        """Transactions taken so far."""
        return self._count(b"mesg")

    @property
    def recipients(self) -> int:
        """Recipients of those."""
        return self._count(b"rcpt")

    @property
    def signed(self) -> int:
        """Those of the messages that had a DKIM signature."""
        return self._count(b"sign")

    def wait_for(self, messages: int, seconds: float) -> float:
        """Return the moment at which `messages` had come. Raises DriverError when they do not."""
        return self._wait(lambda: self.messages, messages, seconds)

    def wait_for_recipients(self, recipients: int, seconds: float) -> float:
        """Return the moment at which `recipients` had been taken. Raises DriverError when they are not."""
        return self._wait(lambda: self.recipients, recipients, seconds)

    def _wait(self, count: Callable[[], int], wanted: int, seconds: float) -> float:
        give_up = time.perf_counter() + seconds
        while (seen := count()) < wanted:
            if time.perf_counter() > give_up:
                raise DriverError(f"the sink has {seen} of {wanted} after {seconds:.0f} s")
            time.sleep(0.005)
        if seen > wanted:
            raise DriverError(f"the sink has {seen}, {wanted} were sent: something was doubled")
        return time.perf_counter()
