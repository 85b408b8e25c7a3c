"""The simulated clock: jumps when nothing is to be done, waits for threads, and says when all wait for ever."""

import asyncio
import time
from pathlib import Path

import pytest

from postino.core.ids import Instant
from postino.store.store import open_store
from tests.support.virtual_time import Stalled, VirtualTime

NOW = Instant(1_767_225_600)


def test_days_pass_in_no_time_and_in_order() -> None:
    heard: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(seconds)
            heard.append((name, asyncio.get_running_loop().time()))

    async def scenario() -> None:
        await asyncio.gather(sleeper("day", 86_400, 2), sleeper("hour", 3600, 30))

    began = time.monotonic()
    with VirtualTime(NOW) as clock:
        clock.run(scenario())
        assert clock.now() == NOW + 2 * 86_400
    assert time.monotonic() - began < 5.0
    assert [at for _, at in heard] == sorted(at for _, at in heard)
    assert sum(name == "hour" for name, _ in heard) == 30


def test_the_clock_stands_still_while_threads_work() -> None:
    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.gather(asyncio.to_thread(time.sleep, 0.05), asyncio.sleep(0))
        return loop.time() - before

    with VirtualTime(NOW) as clock:
        assert clock.run(scenario()) == 0.0


def test_a_commit_takes_no_time(tmp_path: Path) -> None:
    async def scenario(clock: VirtualTime) -> None:
        store = open_store(tmp_path, first=True)
        clock.watch_store(store)
        for at in range(3):
            await store.write(lambda tx: tx.run("UPDATE setting SET value=value"))
            assert clock.seconds == 60.0 * at
            await asyncio.sleep(60)
        await store.close()

    with VirtualTime(NOW) as clock:
        clock.run(scenario(clock))


def test_waiting_for_nothing_is_told() -> None:
    async def scenario() -> None:
        await asyncio.get_running_loop().create_future()

    clock = VirtualTime(NOW)
    with pytest.raises(Stalled), clock:
        clock.run(scenario())
