"""Run the store's functions in SQLite: one writing thread with group commit, reads beside it.

Invariants: at most one write transaction at a time in this process; a job's result is handed over
    only after its transaction has committed, and synced when the job asked for that; a job that
    raises leaves nothing behind and takes no other job with it.
Not here: what the functions do (store/*.py), the schema (engine/sqlite_schema.py).
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from postino.core.errors import TemporarilyUnavailable
from postino.core.ports import MailboxChange
from postino.store.engine.sqlite_connection import (
    SqliteOptions,
    SqliteTx,
    open_connection,
    translate,
)
from postino.store.tx import RunTx, TxFunction

T = TypeVar("T")
_IDLE_SECONDS: Final = 0.5


class _Job:
    """One function waiting for the writing thread, and then what came of it."""

    __slots__ = ("durable", "error", "fn", "future", "result")

    def __init__(
        self, fn: TxFunction[Any], future: "asyncio.Future[Any] | Future[Any]", *, durable: bool
    ) -> None:
        self.fn = fn
        self.future = future
        self.durable = durable
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Give the outcome to whoever waits. Runs where the future may be touched."""
        future = self.future
        if future.done():
            return
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.result)


class SqliteEngine:
    """One database in one process. Connections are opened at first use, so after any fork."""

    def __init__(self, path: Path, options: SqliteOptions | None = None) -> None:
        self.path = path
        self.options = options or SqliteOptions()
        self.on_commit: Callable[[list[MailboxChange]], None] | None = None
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._start_lock = threading.Lock()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._read_tx: SqliteTx | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._pool_state = threading.local()
        self._opened: list[apsw.Connection] = []
        # The writing thread's own.
        self._writer: SqliteTx | None = None
        self._synced = True
        self._log_pages = 0

    # Writing

    async def write(self, fn: TxFunction[T], *, durable: bool = True) -> T:
        """Run `fn` in the next group commit; give its result once that is committed (and synced)."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        future: asyncio.Future[T] = loop.create_future()
        self._submit(_Job(fn, future, durable=durable))
        return await future

    def write_now(self, fn: TxFunction[T], *, durable: bool = True) -> T:
        """As `write`, for programs without an event loop; blocks until committed."""
        future: Future[T] = Future()
        self._submit(_Job(fn, future, durable=durable))
        return future.result()

    def _submit(self, job: _Job) -> None:
        if self._closed:
            raise TemporarilyUnavailable("The store is closed; the server is shutting down")
        if self._thread is None:
            with self._start_lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)
                    self._thread.start()
        self._jobs.put(job)

    def _write_loop(self) -> None:
        left: list[_Job] = []
        while True:
            if not left:
                try:
                    job = self._jobs.get(timeout=_IDLE_SECONDS if self._log_pages else None)
                except queue.Empty:
                    self._checkpoint()
                    continue
                if job is None:
                    break
                left.append(job)
            left, stop = self._write_batch(left)
            if self._log_pages >= self.options.checkpoint_pages:
                self._checkpoint()
            if stop and not left:
                break
            if stop:
                self._jobs.put(None)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write_batch(self, batch: list[_Job]) -> tuple[list[_Job], bool]:
        """Run `batch` and what joins it meanwhile as one transaction; give the jobs left for the next."""
        left: list[_Job] = []
        stop = self._drain(batch, self.options.batch_jobs)
        durable = any(job.durable for job in batch)
        until = time.monotonic() + self.options.batch_seconds
        try:
            tx = self._begin(durable)
        except apsw.Error as error:
            return self._fail(batch, error), stop
        except BaseException as error:
            return self._fail(batch, error), stop
        at = 0
        try:
            while at < len(batch):
                job = batch[at]
                job.result = job.fn(tx)
                at += 1
                if at == len(batch) and not stop and not left and time.monotonic() < until:
                    more: list[_Job] = []
                    stop = self._drain(more, self.options.batch_jobs - at)
                    # A job that must be synced waits for the next transaction: this one is not.
                    if durable or not any(job.durable for job in more):
                        batch.extend(more)
                    else:
                        left = more
        except BaseException as error:
            tx.rollback()
            if len(batch) == 1:
                batch[0].error = _told(error)
            else:
                try:
                    tx.begin()
                    self._run_apart(tx, batch)
                except BaseException as whole:
                    tx.rollback()
                    return self._fail(batch, whole) + left, stop
        try:
            if len(batch) > 1 or batch[0].error is None:
                tx.commit()
        except apsw.Error as error:
            tx.rollback()
            return self._fail(batch, error) + left, stop
        self._hand_over(batch, tx.changes)
        return left, stop

    def _run_apart(self, tx: SqliteTx, batch: list[_Job]) -> None:
        """Run the jobs again, each within a savepoint, so that only those at fault fail."""
        for job in batch:
            job.result, job.error = None, None
            noted = len(tx.changes)
            tx.run("SAVEPOINT job")
            try:
                job.result = job.fn(tx)
            except BaseException as error:
                if not tx.is_open:
                    # SQLite gave the whole transaction up (disk full, I/O error): so must we.
                    raise
                tx.run("ROLLBACK TO job")
                del tx.changes[noted:]
                job.error = _told(error)
            tx.run("RELEASE job")

    def _begin(self, durable: bool) -> SqliteTx:
        tx = self._writer
        if tx is None:
            connection = open_connection(self.path, self.options, read_only=False)
            connection.set_wal_hook(self._note_log_size)
            tx = self._writer = SqliteTx(connection)
            self._synced = True
        if durable != self._synced:
            # Cannot change inside a transaction; costs 0.8 us.
            tx.run("PRAGMA synchronous=FULL" if durable else "PRAGMA synchronous=NORMAL")
            self._synced = durable
        tx.begin()
        return tx

    def _drain(self, batch: list[_Job], room: int) -> bool:
        """Move waiting jobs to `batch`; True when the engine is asked to stop."""
        get = self._jobs.get_nowait
        while room > len(batch):
            try:
                job = get()
            except queue.Empty:
                return False
            if job is None:
                return True
            batch.append(job)
        return False

    def _fail(self, batch: list[_Job], error: BaseException) -> list[_Job]:
        told = _told(error)
        for job in batch:
            job.error = told
        self._hand_over(batch, [])
        return []

    def _hand_over(self, batch: list[_Job], changes: list[MailboxChange]) -> None:
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

    def _settle(self, batch: list[_Job], changes: list[MailboxChange]) -> None:
        for job in batch:
            job.settle()
        if changes and self.on_commit is not None:
            self.on_commit(changes)

    def _note_log_size(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        """Move the log's pages into the database. Never waits for readers; they only delay it."""
        if self._writer is None:
            return
        try:
            pages, moved = self._writer.checkpoint()
        except apsw.Error:
            # Another process is at it, or the disk is full; the next commit tries again.
            return
        if moved >= pages:
            self._log_pages = 0

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
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        for connection in self._opened:
            connection.close()
        self._opened.clear()
        self._read_tx = None


def _told(error: BaseException) -> BaseException:
    if isinstance(error, apsw.Error):
        told = translate(error)
        told.__cause__ = error
        return told
    return error


def _newest(changes: list[MailboxChange]) -> list[MailboxChange]:
    """One hint for each mailbox, the last."""
    if len(changes) < 2:
        return changes
    return list({(change.account_id, change.mailbox_id): change for change in changes}.values())
