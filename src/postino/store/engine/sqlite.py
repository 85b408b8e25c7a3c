"""Run the store's functions in SQLite: one writing thread with group commit, reads beside it.

Invariants: at most one write transaction at a time in this process; readers see the last commit.
Not here: the writing thread (engine/sqlite_writer.py), what the functions do (store/*.py), the schema
    (engine/sqlite_schema.py).
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from postino.core.errors import TemporarilyUnavailable
from postino.core.ports import MailboxChange
from postino.store.engine.sqlite_connection import SqliteOptions, SqliteTx, open_connection
from postino.store.engine.sqlite_writer import Job, Writer
from postino.store.tx import RunTx, TxFunction

T = TypeVar("T")


class SqliteEngine:
    """One database in one process. Connections are opened at first use, so after any fork."""

    def __init__(self, path: Path, options: SqliteOptions | None = None) -> None:
        self.path = path
        self.options = options or SqliteOptions()
        self.on_commit: Callable[[list[MailboxChange]], None] | None = None
        self._writer: Writer | None = None
        self._start_lock = threading.Lock()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._read_tx: SqliteTx | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._pool_state = threading.local()
        self._opened: list[apsw.Connection] = []

    # Writing

    async def write(self, fn: TxFunction[T], *, durable: bool = True) -> T:
        """Run `fn` in the next group commit; give its result once that is committed (and synced)."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        future: asyncio.Future[T] = loop.create_future()
        self._submit(Job(fn, future, durable=durable))
        return await future

    def write_now(self, fn: TxFunction[T], *, durable: bool = True) -> T:
        """As `write`, for programs without an event loop; blocks until committed."""
        future: Future[T] = Future()
        self._submit(Job(fn, future, durable=durable))
        return future.result()

    def _submit(self, job: Job) -> None:
        if self._closed:
            raise TemporarilyUnavailable("The store is closed; the server is shutting down")
        if self._writer is None:
            with self._start_lock:
                if self._writer is None:
                    self._writer = Writer(self.path, self.options, self._hand_over)
        self._writer.submit(job)

    def _hand_over(self, batch: list[Job], changes: list[MailboxChange]) -> None:
        """Tell the outcome of a transaction, in one step on the event loop. Runs in the writing thread."""
        changes = _newest(changes)
        waiting = []
        for job in batch:
            if isinstance(job.future, Future):
                job.settle()
            else:
                waiting.append(job)
        if self._loop is not None and (waiting or (changes and self.on_commit)):
            try:
                self._loop.call_soon_threadsafe(self._settle, waiting, changes)
            except RuntimeError:
                return  # The loop has ended: nobody waits any more.
        elif changes and self.on_commit:
            self.on_commit(changes)

    def _settle(self, batch: list[Job], changes: list[MailboxChange]) -> None:
        for job in batch:
            job.settle()
        if changes and self.on_commit is not None:
            self.on_commit(changes)

    # Reading

    def read_now(self, fn: TxFunction[T]) -> T:
        """Run a short read here and now, on the last committed state."""
        tx = self._read_tx
        if tx is None:
            tx = self._read_tx = self._open_reader()
        return tx.read(fn)

    async def read(self, fn: TxFunction[T]) -> T:
        """Run a long read in a thread, on the state at its start."""
        return await self.read_in_pieces(lambda run: run(fn))

    async def read_in_pieces(self, fn: Callable[[RunTx], T]) -> T:
        """Run `fn` in a thread; what it reads through its argument is one snapshot for each call.

        For work that takes long: a snapshot held long keeps the log from being folded in.
        """
        if self._closed:
            raise TemporarilyUnavailable("The store is closed; the server is shutting down")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.options.read_threads, "store-reader")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._pooled, fn)

    def _pooled(self, fn: Callable[[RunTx], T]) -> T:
        tx: SqliteTx | None = getattr(self._pool_state, "tx", None)
        if tx is None:
            tx = self._pool_state.tx = self._open_reader()
        return fn(tx.read)

    def _open_reader(self) -> SqliteTx:
        connection = open_connection(self.path, self.options, read_only=True)
        self._opened.append(connection)
        return SqliteTx(connection)

    # The end

    def close(self) -> None:
        """Commit what is queued, then close every connection. Blocks; call it from a thread."""
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            self._writer.close()
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        for connection in self._opened:
            connection.close()
        self._opened.clear()
        self._read_tx = None


def _newest(changes: list[MailboxChange]) -> list[MailboxChange]:
    """One hint for each mailbox, the last."""
    if len(changes) < 2:
        return changes
    return list({(change.account_id, change.mailbox_id): change for change in changes}.values())
