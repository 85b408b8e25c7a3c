"""Time a small piece of work: repeats it until the clock can be trusted, takes the best of several."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

_ROUNDS = 5
_ROUND_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Timing:
    """What one call costs."""

    name: str
    microseconds: float
    octets: int
    """Octets worked on by a call; 0 where that says nothing."""

    def line(self) -> str:
        """For the terminal."""
        rate = f"{self.octets / self.microseconds:10,.0f} MB/s" if self.octets else ""
        return f"{self.name:56} {self.microseconds:10,.2f} us {rate}"


def time_call(name: str, work: Callable[[], object], *, calls: int = 1, octets: int = 0) -> Timing:
    """The cost of one of the `calls` that `work` makes, each on `octets` octets."""
    work()
    started = time.perf_counter()
    work()
    once = max(time.perf_counter() - started, 1e-7)
    times = max(1, int(_ROUND_SECONDS / once))
    best = float("inf")
    gc.collect()
    gc.disable()
    try:
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            for _ in range(times):
                work()
            best = min(best, (time.perf_counter() - started) / times)
    finally:
        gc.enable()
    return Timing(name, best * 1e6 / calls, octets)
