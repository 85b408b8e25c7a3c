"""Run the store's functions in SQLite: one writing thread with group commit, reads beside it.

Invariants: at most one write transaction at a time in this process; readers see the last commit.
Not here: the writing thread (engine/sqlite_writer.py), what the functions do (store/*.py), the schema
    (engine/sqlite_schema.py).
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import apsw

from postino.core.errors import TemporarilyUnavailable
from postino.core.ports import MailboxChange
from postino.store.engine.sqlite_connection import SqliteOptions, SqliteTx, open_connection
from postino.store.engine.sqlite_mark import NO_MARK, CommitMark
from postino.store.engine.sqlite_writer import Job, Writer
from postino.store.tx import RunTx, Tx, TxFunction

T = TypeVar("T")

_BUSY_SECONDS: Final = 0.003
"""After a write without patience more of the kind are expected for so long."""


class SqliteEngine:
    """One database in one process. Connections are opened at first use, so after any fork."""

    def __init__(self, path: Path, options: SqliteOptions | None = None) -> None:
        self.path = path
        self.options = options or SqliteOptions()
        self.on_commit: Callable[[list[MailboxChange]], None] | None = None
        self._writer: Writer | None = None
        self._start_lock = threading.Lock()
        self._short: deque[Job] = deque()
        self._patient: deque[Job] = deque()
        """Short jobs that wait for others to share a sync with."""
        self._patience_ends: asyncio.TimerHandle | None = None
        self._busy_until = 0.0
        """By the event loop's clock: somebody may be waiting for a write of theirs, or soon will be."""
        self._giving_way: deque[asyncio.Future[bool]] = deque()
        """Who is to go on when the loop has a moment to spare."""
        self._under_way: set[Job] = set()
        """Short jobs that were begun and are not settled."""
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._read_tx: SqliteTx | None = None
        self._read_thread = 0
        """Whose `_read_tx` is; other threads have their own."""
        self._own = threading.local()
        self._mark: CommitMark | None = None
        self.own_marks = NO_MARK, NO_MARK
        """Just before and after the last short write without a sync; nothing else lies between them."""
        self._pool: ThreadPoolExecutor | None = None
        self._pool_state = threading.local()
        self._opened: list[apsw.Connection] = []

    # Writing

    async def write(
        self, fn: TxFunction[T], *, durable: bool = True, short: bool = False, patience: float = 0.0
    ) -> T:
        """Run `fn` in the next group commit; give its result once that is committed (and synced).

        A `short` one, of some statements on some octets, may be run by the event loop itself: for what
        happens thousands of times a second. With `patience` it waits so many seconds for one that has none,
        to share its sync.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._adopt(loop)
        if short and not durable and not self._closed:
            # PERF: two threads that hand a job to and fro take 300 us for 60 us of work (bench: imap.store).
            changes: list[MailboxChange] = []
            before = NO_MARK

            def run(tx: Tx) -> T:
                nonlocal before
                before = self.mark()
                return fn(tx)

            done = self._started_writer().at_once(run, changes)
            if done is not None:
                after = NO_MARK if self._mark is None else self._mark.of_one_commit(before)
                self.own_marks = before, after
                if changes and self.on_commit is not None:
                    self.on_commit(_newest(changes))
                return done[0]
        future: asyncio.Future[T] = loop.create_future()
        job = Job(fn, future, durable=durable, short=short)
        if short and patience and not self._closed:
            self._patient.append(job)
            if self._patience_ends is None:
                self._patience_ends = loop.call_later(patience, self._end_patience)
        elif short and not self._closed:
            self._busy_until = loop.time() + _BUSY_SECONDS
            self._short.append(job)
            if len(self._short) == 1 and not self._under_way:
                # At the loop's next turn, so that what comes in this one joins.
                loop.call_soon(self._burst)
        else:
            self._submit(job)
        return await future

    def _adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve this event loop; what one that has ended did not come to is the writing thread's."""
        self._loop = loop
        self._under_way = set()
        self._patience_ends = None
        self._busy_until = 0.0
        self._giving_way.clear()
        self._submit_short()

    def _submit_short(self) -> None:
        for waiting in (self._patient, self._short):
            while waiting:
                try:
                    job = waiting.popleft()
                except IndexError:
                    break  # The event loop took the last one.
                self._started_writer().submit(job)

    def _end_patience(self) -> None:
        """Nobody came whose sync could be shared."""
        self._patience_ends = None
        self._short.extend(self._patient)
        self._patient.clear()
        self._burst()

    def _burst(self) -> None:
        """Run the short jobs that are waiting, unless earlier ones are not settled yet."""
        short = self._short
        if self._under_way or not short:
            return
        if self._patience_ends is not None:
            # Behind the others: whoever waits for those is told first.
            self._patience_ends.cancel()
            self._patience_ends = None
            short.extend(self._patient)
            self._patient.clear()
        batch = [short.popleft() for _ in range(min(len(short), self.options.burst_jobs))]
        self._under_way = set(batch)
        writer = self._started_writer()
        if not writer.burst(batch):
            for job in batch:
                writer.submit(job)

    def write_now(self, fn: TxFunction[T], *, durable: bool = True) -> T:
        """As `write`, for programs without an event loop; blocks until committed."""
        future: Future[T] = Future()
        self._submit(Job(fn, future, durable=durable))
        return future.result()

    def _submit(self, job: Job) -> None:
        if self._closed:
            raise TemporarilyUnavailable("The store is closed; the server is shutting down")
        self._started_writer().submit(job)

    def _started_writer(self) -> Writer:
        if self._writer is None:
            with self._start_lock:
                if self._writer is None:
                    self._writer = Writer(self.path, self.options, self._hand_over, self._begin_sync)
        return self._writer

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
            self._under_way.discard(job)
        if self._short and not self._under_way and self._loop is not None:
            self._loop.call_soon(self._burst)
        if changes and self.on_commit is not None:
            self.on_commit(changes)

    # Giving way

    async def spare_moment(self, most_seconds: float) -> None:
        """Return when the loop has little else to do; after so many seconds in any case.

        That is while the writing thread syncs, and when nobody has had anything written for some
        milliseconds. For work that takes its time and for which nobody waits.
        """
        loop = asyncio.get_running_loop()
        last = loop.time() + most_seconds
        while loop.time() < (until := min(last, self._busy_until)):
            if self._writer is not None and self._writer.is_syncing:
                return
            moment: asyncio.Future[bool] = loop.create_future()
            self._giving_way.append(moment)
            timer = loop.call_at(until, _answer, moment, False)
            try:
                if await moment:
                    return
            finally:
                timer.cancel()

    def _begin_sync(self) -> None:
        """The loop has a moment to spare. Runs in the writing thread."""
        if self._giving_way and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._let_go)
            except RuntimeError:
                return  # The loop has ended.

    def _let_go(self) -> None:
        """One goes on: a sync is short."""
        while self._giving_way:
            moment = self._giving_way.popleft()
            if not moment.done():
                moment.set_result(True)
                return

    # Reading

    def read_now(self, fn: TxFunction[T]) -> T:
        """Run a short read here and now, on the last committed state."""
        tx = self._read_tx
        if tx is None:
            tx = self._read_tx = self._open_reader()
            self._read_thread = threading.get_ident()
        return tx.read(fn)

    def read_here(self, fn: TxFunction[T]) -> T:
        """As `read_now`, for what may run in any thread, also within a long read of that thread."""
        if self._read_tx is None or self._read_thread == threading.get_ident():
            return self.read_now(fn)
        tx: SqliteTx | None = getattr(self._own, "tx", None)
        if tx is None:
            tx = self._own.tx = self._open_reader()
        return tx.read(fn)

    def mark(self) -> bytes:
        """What is different after every commit, of whichever process; empty when that cannot be told.

        Take it before a read: while the same mark comes again, that read would give the same again.
        """
        if self._mark is None:
            if self._read_tx is None or self.options.vfs is not None or self._closed:
                return NO_MARK
            self._mark = self._read_tx.new_mark()
        return self._mark.take()

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
        self._submit_short()
        if self._writer is not None:
            self._writer.close()
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        if self._mark is not None:
            self._mark.close()
        for connection in self._opened:
            connection.close()
        self._opened.clear()
        self._read_tx = None


def _answer(question: asyncio.Future[bool], answer: bool) -> None:
    if not question.done():
        question.set_result(answer)


def _newest(changes: list[MailboxChange]) -> list[MailboxChange]:
    """One hint for each mailbox, the last."""
    if len(changes) < 2:
        return changes
    return list({(change.account_id, change.mailbox_id): change for change in changes}.values())
