"""Runs steps on the servers in turn, keeps every sample, and stops when its time is up."""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

from rich.console import Console

from bench.drivers.wire import DriverError
from bench.figures import Samples
from bench.peers.server import Server, ServerProblem
from bench.suites.suite import Step, Suite


class Runner:
    """Interleaves: A, B in even rounds and B, A in odd ones, so that drift hits both alike."""

    def __init__(self, console: Console, raw: Path, minutes: float) -> None:
        self.samples = Samples()
        self._console = console
        self._raw: TextIO = raw.open("a", encoding="utf-8")
        self._started = time.monotonic()
        self._deadline = self._started + minutes * 60

    @property
    def minutes(self) -> float:
        """How long the run has taken so far."""
        return (time.monotonic() - self._started) / 60

    def close(self) -> None:
        """Close the file of raw samples."""
        self._raw.close()

    def run(self, suite: Suite, servers: Sequence[Server]) -> None:
        """All steps of one suite. What fails is noted, and the rest goes on."""
        try:
            ready = [
                server
                for server in servers
                if self._attempt(f"{suite.name}: preparing", server, partial(suite.prepare, server))
            ]
            for step in suite.steps():
                self._run_step(step, ready)
        finally:
            suite.close()

    def _run_step(self, step: Step, servers: Sequence[Server]) -> None:
        willing = list(servers)
        for round_number in range(step.rounds):
            order = willing if round_number % 2 == 0 else willing[::-1]
            for server in list(order):
                if time.monotonic() > self._deadline:
                    self.samples.failures.append(f"{step.name}: the time of the whole run was up")
                    return
                if not self._attempt(step.name, server, partial(self._sample, step, server, round_number)):
                    willing.remove(server)

    def _sample(self, step: Step, server: Server, round_number: int) -> None:
        for key, value in step.run(server, round_number).items():
            self.note(server.name, key, value, round_number)

    def note(self, server: str, key: str, value: float, round_number: int = 0) -> None:
        """Keep one sample."""
        self.samples.add(server, key, value)
        record = {"server": server, "figure": key, "round": round_number, "value": value}
        self._raw.write(json.dumps(record | {"at": round(time.time(), 3)}) + "\n")
        self._raw.flush()
        self._console.print(f"  {key:34} {server:18} {value:14,.2f}", highlight=False)

    def _attempt(self, what: str, server: Server, work: Callable[[], object]) -> bool:
        try:
            work()
        except (DriverError, ServerProblem, OSError) as error:
            failure = f"{what} on {server.name}: {error}"
            self.samples.failures.append(failure)
            self._console.print(f"  failed: {failure}", style="red", highlight=False, markup=False)
            return False
        return True
