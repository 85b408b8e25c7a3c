"""The task that keeps search indexes up to date: what it visits, when, and that nothing stops it."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

from postino.app.indexing import Indexing
from postino.core.errors import StoreError
from postino.store.accounts import remove_account
from postino.store.messages import append
from postino.store.store import open_store
from postino.store.text_index import indexer as indexer_module
from tests.support.memory_network import FixedClock, RecordingLog
from tests.support.stored import LIMITS, NOW, email, findings, inbox_of, make_accounts


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nothing tells when a file was written
            await asyncio.sleep(0.001)


class Indexed:
    """A store with a running task beside it."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.log: Any = RecordingLog()
        self.indexing = Indexing(store, lambda: LIMITS, FixedClock(NOW), self.log, look_seconds=0.005)
        self.task = asyncio.create_task(self.indexing.run())

    async def put(self, account: Any, count: int) -> None:
        mailbox = inbox_of(self.store, account)
        for _ in range(count):
            await self.store.write(lambda tx: append(tx, account, mailbox, email(b"some words\r\n"), now=NOW))

    def documents(self, account: Any) -> int:
        with self.store.texts.reading(account) as index:
            return index.extent().documents if index is not None else 0

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def indexed(tmp_path: Any) -> Any:
    store = open_store(tmp_path, first=True)
    running = Indexed(store)
    try:
        yield running
        assert findings(store) == []
    finally:
        await running.stop()
        await store.close()


async def test_what_arrives_is_indexed_once_it_is_quiet(tmp_path) -> None:
    async with indexed(tmp_path) as running:
        ann, bob = make_accounts(running.store, "ann", "bob")
        await running.put(ann, 20)
        await until(lambda: running.documents(ann) == 20)
        await running.put(ann, 3)
        await running.put(bob, 1)
        await until(lambda: running.documents(ann) == 23 and running.documents(bob) == 1)
        assert {event.event for event in running.log.events} == {"index.made"}


async def test_a_removed_index_is_made_again_and_one_without_an_account_goes(tmp_path) -> None:
    async with indexed(tmp_path) as running:
        ann, bob = make_accounts(running.store, "ann", "bob")
        await running.put(ann, 5)
        await running.put(bob, 5)
        await until(lambda: running.documents(ann) == running.documents(bob) == 5)
        running.store.texts.remove(ann)
        await until(lambda: running.documents(ann) == 5)
        await running.store.write(lambda tx: remove_account(tx, bob))
        await running.stop()
        again = Indexed(running.store)
        await until(lambda: running.store.texts.accounts() == [ann])
        await again.stop()


async def test_one_account_that_fails_leaves_the_others_theirs(tmp_path, monkeypatch) -> None:
    async with indexed(tmp_path) as running:
        ann, bob = make_accounts(running.store, "ann", "bob")
        step = indexer_module.AccountIndexing.step
        errors = iter([StoreError("The disk is full; make room"), KeyError("a fault")])

        def failing(self: Any, run: Any) -> bool:
            if self._account_id == ann and (error := next(errors, None)):
                raise error
            return step(self, run)

        monkeypatch.setattr(indexer_module.AccountIndexing, "step", failing)
        await running.put(ann, 2)
        await running.put(bob, 2)
        await until(lambda: running.documents(bob) == 2)
        await until(lambda: any(event.event == "index.failed" for event in running.log.events))
        await running.put(ann, 1)
        await until(lambda: any(event.event == "index.fault" for event in running.log.events))
        await running.put(ann, 1)
        await until(lambda: running.documents(ann) == 4)


async def test_it_ends_at_once_in_the_middle_of_work(tmp_path) -> None:
    async with indexed(tmp_path) as running:
        (ann,) = make_accounts(running.store, "ann")
        await running.put(ann, 200)
        await until(lambda: running.indexing._work_cpu > 0)
        async with asyncio.timeout(5):
            await running.stop()
