"""What the DNS said, for as long as it said so; equal questions under way are asked once.

RFC: 1035 §3.2.1 (TTL), 2308 §5 (negative answers) and §7 (failures), 2181 §8 (the range of a TTL).
Invariants: holds at most `most` answers and `most_octets`; nothing is kept longer than MOST_SECONDS; an
    answer whose holding time nobody gave is not kept.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from postino.core.errors import DnsFailure

LEAST_SECONDS: Final = 5
"""A TTL of 0 would have a thousand messages ask a thousand times."""
MOST_SECONDS: Final = 86_400
MOST_NEGATIVE_SECONDS: Final = 3_600
FAILURE_SECONDS: Final = 10
"""A server that is down is not asked once a message (RFC 2308 §7.2 allows 300)."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Found(Generic[V]):
    """An answer on its way into the cache."""

    value: V
    ttl: int | None
    """None: nobody said, not to be kept."""
    is_negative: bool = False
    octets: int = 0
    """About what it takes in memory."""


class AnswerCache(Generic[V]):
    """Answers by question."""

    def __init__(
        self,
        *,
        most: int = 10_000,
        most_octets: int = 16 * 1024 * 1024,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._most_octets = most_octets
        self._steady = steady
        self._kept: dict[Hashable, tuple[float, V | DnsFailure, int]] = {}
        self._octets = 0
        self._asking: dict[Hashable, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def known(self, key: Hashable) -> V | None:
        """The answer that still holds, or None. Raises DnsFailure when asking just failed."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        if entry[0] <= self._steady():
            self._forget(key)
            return None
        if isinstance(entry[1], DnsFailure):
            # A new one each time: a raised exception keeps the frames it went through.
            raise DnsFailure(str(entry[1]))
        return entry[1]

    async def ask(self, key: Hashable, find: Callable[[], Awaitable[Found[V]]]) -> V:
        """The answer, from here or by `find`, which runs once for all who ask meanwhile."""
        known = self.known(key)
        if known is not None:
            return known
        task = self._asking.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._find(key, find))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        # Who stops waiting does not take the answer from the others.
        return await asyncio.shield(task)

    async def _find(self, key: Hashable, find: Callable[[], Awaitable[Found[V]]]) -> V:
        try:
            found = await find()
        except DnsFailure as failure:
            self._keep(key, DnsFailure(str(failure)), FAILURE_SECONDS, len(str(failure)))
            raise
        if found.ttl is not None:
            most = MOST_NEGATIVE_SECONDS if found.is_negative else MOST_SECONDS
            # RFC 2181 §8: a TTL with the highest bit set counts as 0.
            ttl = 0 if found.ttl >= 1 << 31 else found.ttl
            self._keep(key, found.value, max(LEAST_SECONDS, min(ttl, most)), found.octets)
        return found.value

    def _ended(self, key: Hashable, task: "asyncio.Task[V]") -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            # Whoever asked may be gone; then nobody else looks.
            task.exception()

    def _keep(self, key: Hashable, value: V | DnsFailure, seconds: float, octets: int) -> None:
        self._forget(key)
        self._kept[key] = (self._steady() + seconds, value, octets)
        self._octets += octets
        if len(self._kept) > self._most or self._octets > self._most_octets:
            self._make_room()

    def _make_room(self) -> None:
        """Forget what no longer holds, then the oldest, an eighth more than need be."""
        now = self._steady()
        for key in [key for key, entry in self._kept.items() if entry[0] <= now]:
            self._forget(key)
        for key in list(self._kept):
            if len(self._kept) * 8 <= self._most * 7 and self._octets * 8 <= self._most_octets * 7:
                return
            self._forget(key)

    def _forget(self, key: Hashable) -> None:
        entry = self._kept.pop(key, None)
        if entry is not None:
            self._octets -= entry[2]

    def clear(self) -> None:
        """Forget every answer."""
        self._kept.clear()
        self._octets = 0

    def close(self) -> None:
        """End what is under way."""
        for task in list(self._asking.values()):
            task.cancel()
