"""What a suite is: preparation of each server, then steps run on the servers in turn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.peers.server import Server

Run = Callable[[Server, int], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything: the full bench or the quick one."""

    messages: int
    maildrop: int
    smtp_seconds: float
    smtp_rounds: int
    rounds: int
    long_rounds: int
    appends_serial: int
    appends_pipelined: int
    idle_sessions: int
    idle_peers: int
    smtp_connections: tuple[int, ...]
    growth: tuple[int, ...]
    waiting_messages: int


FULL = Scale(
    messages=10_000,
    maildrop=2_000,
    smtp_seconds=3.0,
    smtp_rounds=3,
    rounds=5,
    long_rounds=3,
    appends_serial=500,
    appends_pipelined=2_000,
    idle_sessions=10_000,
    idle_peers=200,
    smtp_connections=(1, 10, 50),
    growth=(10_000, 50_000, 200_000),
    waiting_messages=100_000,
)
QUICK = Scale(
    messages=2_500,
    maildrop=500,
    smtp_seconds=1.0,
    smtp_rounds=1,
    rounds=3,
    long_rounds=1,
    appends_serial=150,
    appends_pipelined=500,
    idle_sessions=1_000,
    idle_peers=50,
    smtp_connections=(1, 10, 50),
    growth=(2_000, 10_000),
    waiting_messages=20_000,
)


@dataclass(frozen=True, slots=True)
class Step:
    """Something timed: run(server, round) gives figure keys and their samples."""

    name: str
    rounds: int
    run: Run


class Suite(Protocol):
    """One group of steps that share preparation."""

    name: str

    def prepare(self, server: Server) -> None:
        """Bring `server` to the state the steps need; not timed."""

    def steps(self) -> Sequence[Step]:
        """What is measured, in order."""

    def close(self) -> None:
        """Hang up what is still open."""
