"""The data directory and the stores that simulated processes open on it: the real engine, without waiting for threads.

A write takes a little virtual time, joins those that come meanwhile, and is told of later than it is committed, so that
a process can die in between. The disk can be full for a while, and lose its power: then all is as it was at the last
sync.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postino.core.errors import DiskFull
from postino.core.ports import MailboxChange
from postino.store.store import DATABASE_NAME, Store, open_store
from postino.store.tx import Tx
from tests.sim.journal import Commit, Journal, take_notes, watch
from tests.sim.process import Process

Publish = Callable[[Process, list[MailboxChange]], None]


@dataclass
class _Job:
    fn: Callable[[Tx], Any]
    durable: bool
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Disk:
    """One data directory."""

    def __init__(
        self, directory: Path, chance: Any, journal: Journal, publish: Publish, *, loses_power: bool
    ) -> None:
        self.directory = directory
        self.journal = journal
        self.publish = publish
        self.changes = 0
        """Commits that changed something."""
        self.writes = 0
        self.is_full = False
        self.when_committed: Callable[[Commit], None] = lambda commit: None
        self._chance = chance
        self._synced: bytes | None = None
        self._keeps_images = loses_power

    def open(self, process: Process, *, first: bool = False) -> "SimulatedStore":
        """The store as that process has it."""
        found = SimulatedStore(self, process, open_store(self.directory, first=first))
        if first:
            self.note_synced(found.store)
            if self.journal.commits:
                self.journal.commits[-1].durable = True
        return found

    def latency(self, *, durable: bool) -> float:
        """How long a commit takes."""
        usual = self._chance.uniform(0.002, 0.02) if durable else self._chance.uniform(0.0001, 0.001)
        return usual if self._chance.random() < 0.99 else usual + self._chance.uniform(0.5, 5.0)

    def note_synced(self, store: Store) -> None:
        """All that is committed survives a power cut."""
        if self._keeps_images:
            connection = store.read_now(lambda tx: tx._connection)  # type: ignore[attr-defined]
            self._synced = connection.serialize("main")

    def cut_power(self) -> int:
        """Have the files be what was synced; no store may be open. Gives how many commits that takes back."""
        assert self._synced is not None
        path = self.directory / DATABASE_NAME
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.write_bytes(self._synced)
        return self.journal.lose_unsynced()


class SimulatedStore:
    """One process's view. `store` is what the program gets."""

    def __init__(self, disk: Disk, process: Process, store: Store) -> None:
        self.store = store
        self.act = ""
        self._disk = disk
        self._process = process
        self._jobs: list[_Job] = []
        self._is_writing = False
        self._watched: int | None = None
        self.is_closed = False
        engine = store._engine
        self._at_once = engine._started_writer().at_once
        self._write_now = store.write_now
        store.write = self._write  # type: ignore[method-assign,assignment]
        store.mark = self._mark  # type: ignore[method-assign]

    def close_now(self) -> None:
        """As the system closes the files of a process that ends; the store itself notes no orderly end."""
        self.is_closed = True
        self.store._engine.close()
        self.store.texts.close()

    async def close(self) -> None:
        """In order."""
        await self._write(lambda tx: None)
        self.store.close_now()

    def _mark(self) -> bytes:
        return b"%d" % self._disk.changes

    async def _write(
        self, fn: Callable[[Tx], Any], *, durable: bool = True, short: bool = False, patience: float = 0.0
    ) -> Any:
        if self._process.is_dead:
            raise asyncio.CancelledError
        loop = asyncio.get_running_loop()
        job = _Job(fn, durable, loop.create_future())
        self._jobs.append(job)
        if not self._is_writing:
            self._is_writing = True
            loop.call_later(self._disk.latency(durable=False), self._commit)
        return await job.future

    def _commit(self) -> None:
        if self._process.is_dead:
            return
        jobs, self._jobs = self._jobs, []
        changes: list[MailboxChange] = []
        for job in jobs:
            try:
                if self._disk.is_full:
                    raise DiskFull("The disk is full")
                job.result = self._run(job, changes)
            except Exception as error:
                job.error = error
        seconds = self._disk.latency(durable=any(job.durable for job in jobs))
        asyncio.get_running_loop().call_later(seconds, self._tell, jobs, changes)

    def _tell(self, jobs: list[_Job], changes: list[MailboxChange]) -> None:
        if self._process.is_dead:
            return
        for job in jobs:
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        if changes:
            self._disk.publish(self._process, list(dict.fromkeys(changes)))
        if self._jobs:
            asyncio.get_running_loop().call_soon(self._commit)
        else:
            self._is_writing = False

    def write_now(self, fn: Callable[[Tx], Any], act: str) -> Any:
        """As a command of the operator does it: no event loop, and nobody is told."""
        self.act = act
        changes: list[MailboxChange] = []
        return self._run(_Job(fn, True, None), changes)  # type: ignore[arg-type]

    def _run(self, job: _Job, changes: list[MailboxChange]) -> Any:
        disk = self._disk
        disk.writes += 1
        noted: Commit | None = None
        has_changed = False

        def run(tx: Any) -> Any:
            nonlocal noted, has_changed
            if self._watched != id(tx):
                watch(tx)
                self._watched = id(tx)
            disk.journal.settling.clear()
            before = tx._connection.total_changes()
            result = job.fn(tx)
            has_changed = tx._connection.total_changes() != before
            rows, messages = take_notes(tx) if has_changed else ([], [])
            settlings = list(disk.journal.settling)
            at = self._process.now()
            noted = Commit(at, self._process, job.durable, self.act, rows, messages, settlings)
            found[:] = tx.changes
            return result

        found: list[MailboxChange] = []
        done = self._at_once(run, [])
        # What fails at once is tried again by the writing thread, which says what is wrong.
        result = done[0] if done is not None else self._write_now(run, durable=job.durable)
        changes += found
        assert noted is not None
        if noted.settlings and not has_changed:
            # Of rows that are gone already.
            noted.durable = False
            disk.journal.commits.append(noted)
        if has_changed:
            disk.changes += 1
            if noted.rows or noted.messages:
                disk.journal.commits.append(noted)
            elif job.durable and disk.journal.commits:
                # One log: what is synced later makes all earlier ones durable.
                disk.journal.commits[-1].durable = True
            if job.durable:
                disk.note_synced(self.store)
            disk.when_committed(noted)
        return result
