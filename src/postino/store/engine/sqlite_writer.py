"""The thread that writes: takes what is waiting, runs it as one transaction, commits once.

Short jobs may be run by the event loop itself (`burst`), on the same connection; the thread then only
commits them, and not even that when no sync is wanted (`at_once`). Each statement lets go of the
interpreter's lock, and beside a busy loop the thread gets it back when the loop has nothing left to do: the
two took turns instead of working side by side (docs/adr/0006-workers-and-writers.md).

Invariants: a job's outcome is handed over only after its transaction has committed, and synced when
    the job asked for that; a job that raises leaves nothing behind and takes no other job with it;
    jobs given to the thread run in the order they came; the connection is used by who holds `_free`,
    from a transaction's beginning to its end; burst() and at_once() wait for nobody.
Not here: whose jobs these are and where outcomes go (engine/sqlite.py).
"""

import queue
import threading
import time
from asyncio import Future as LoopFuture
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from postino.core.errors import TemporarilyUnavailable
from postino.core.ports import MailboxChange
from postino.store.engine.sqlite_connection import SqliteOptions, SqliteTx, open_connection, translate
from postino.store.engine.turns import Turns
from postino.store.tx import TxFunction

T = TypeVar("T")

_IDLE_SECONDS: Final = 0.5
"""Silence after which the log is moved into the database, so that little is left to do at the end."""


class Job:
    """One function waiting for the writing thread, and then what came of it."""

    __slots__ = ("durable", "error", "fn", "future", "result", "short")

    def __init__(
        self,
        fn: TxFunction[Any],
        future: "LoopFuture[Any] | Future[Any]",
        *,
        durable: bool,
        short: bool = False,
    ) -> None:
        self.fn = fn
        self.future = future
        self.durable = durable
        self.short = short
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


HandOver = Callable[[list[Job], list[MailboxChange]], None]


class Writer:
    """Owns the writing connection, which is opened in the thread at the first job."""

    def __init__(
        self, path: Path, options: SqliteOptions, hand_over: HandOver, when_syncing: Callable[[], None]
    ) -> None:
        self._path = path
        self._options = options
        self._hand_over = hand_over
        self._when_syncing = when_syncing
        self.is_syncing = False
        """Whether a burst is being committed."""
        self._jobs: queue.SimpleQueue[Job | list[Job] | None] = queue.SimpleQueue()
        """A list is a burst that waits for its commit, an empty one says that the connection is free again;
        None asks the thread to end."""
        self._free = threading.Lock()
        """Held while the connection is in use; a burst takes it and the thread gives it back."""
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._turns = Turns(path, options.lock_seconds)
        self._tx: SqliteTx | None = None
        self._synced = True
        self._waits = True
        self._log_pages = 0
        self._checkpoint_at = options.checkpoint_pages
        self._last_at_once = 0.0
        self._is_waited_for = False
        self._stopping = False
        self._ended = False
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Have the thread run a job; returns at once."""
        self._jobs.put(job)
        if self._ended:
            self._refuse_waiting()

    def burst(self, batch: list[Job]) -> bool:
        """Run short jobs here and now, and have the thread commit them.

        False, with nothing done, when that would mean waiting for somebody, or one of them fails: then
        they are for submit(), which deals with both.
        """
        if not self._free.acquire(blocking=False):
            return False
        durable = any(job.durable for job in batch)
        tx = self._begin_at_once(durable=durable, take_turn=self._turns.take_at_once)
        if tx is None:
            self._free.release()
            return False
        try:
            for job in batch:
                job.result = job.fn(tx)
        except BaseException:
            tx.rollback()
            self._turns.give()
            self._free.release()
            return False
        self._jobs.put(batch)
        return True

    def at_once(self, fn: TxFunction[T], changes: list[MailboxChange]) -> tuple[T] | None:
        """Run and commit one short function that need not be synced here and now; its changes join `changes`.

        None, with nothing done, when that would mean waiting for somebody or a sync, or it fails.
        """
        # A log that is empty is begun with a sync, and one that is full is moved: both are the thread's.
        if not 0 < self._log_pages < self._checkpoint_at or not self._free.acquire(blocking=False):
            return None
        try:
            tx = self._begin_at_once(durable=False, take_turn=self._turns.take_briefly)
            if tx is None:
                return None
            try:
                result = fn(tx)
                tx.commit()
            except BaseException:
                tx.rollback()
                return None
            finally:
                self._turns.give()
            self._last_at_once = time.monotonic()
            changes += tx.changes
            return (result,)
        finally:
            self._free.release()
            if self._is_waited_for:
                # The thread would sleep until somebody has another job for it.
                self._jobs.put([])

    def close(self) -> None:
        """Run what is waiting, then end. Blocks."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        left: list[Job] = []
        while left or not self._stopping:
            if not left:
                try:
                    job = self._jobs.get(timeout=_IDLE_SECONDS if self._log_pages else None)
                except queue.Empty:
                    if time.monotonic() < self._last_at_once + _IDLE_SECONDS:
                        continue
                    if self._free.acquire(blocking=False):
                        self._checkpoint()
                        self._free.release()
                    continue
                if job is None:
                    break
                if isinstance(job, list):
                    if job:
                        self._commit_burst(job)
                        self._give_connection()
                    continue
                left = [job]
            self._take_connection(left)
            left = self._write(left)
            self._give_connection()
        # Nobody gets the connection any more.
        self._take_connection(left)
        while left:
            left = self._write(left)
        self._ended = True
        self._refuse_waiting()
        if self._tx is not None:
            if not self._synced:
                # Moving the log syncs it: after an orderly end, flag changes are on disk too.
                self._checkpoint()
            self._tx.close()
        self._turns.close()

    def _take_connection(self, left: list[Job]) -> None:
        """Wait for the connection: a burst under way is committed; jobs that come meanwhile join `left`."""
        self._is_waited_for = True
        while not self._free.acquire(blocking=False):
            # Who has it is a burst, and it ends in its list coming here, or its jobs; or at_once(), which
            # says when it is done.
            job = self._jobs.get()
            if isinstance(job, list):
                if not job:
                    continue
                self._commit_burst(job)
                break
            if job is None:
                self._stopping = True
            else:
                left.append(job)
        self._is_waited_for = False

    def _give_connection(self) -> None:
        if self._log_pages >= self._checkpoint_at:
            self._checkpoint()
        self._free.release()

    def _commit_burst(self, batch: list[Job]) -> None:
        """End the transaction in which burst() ran `batch`; the connection is ours then."""
        tx = self._tx
        assert tx is not None
        try:
            try:
                self.is_syncing = True
                self._when_syncing()
                tx.commit()
                changes = tx.changes
            except BaseException as error:
                changes = self._run_again(tx, batch, error)
        finally:
            self.is_syncing = False
            self._turns.give()
        self._hand_over(batch, changes)

    def _refuse_waiting(self) -> None:
        """Tell the jobs that came after the end so."""
        late: list[Job] = []
        self._stopping = False
        self._drain(late)
        for job in late:
            job.error = TemporarilyUnavailable("The store is closed; the server is shutting down")
        self._hand_over(late, [])

    def _write(self, batch: list[Job]) -> list[Job]:
        """Run `batch` and what joins it meanwhile in one transaction; give the jobs left for the next."""
        left: list[Job] = []
        changes: list[MailboxChange] = []
        self._drain(batch)
        try:
            self._turns.take()
            try:
                tx = self._begin(durable=any(job.durable for job in batch))
                try:
                    left = self._run_together(tx, batch)
                    tx.commit()
                    changes = tx.changes
                except BaseException as error:
                    changes = self._run_again(tx, batch, error)
            finally:
                self._turns.give()
        except BaseException as error:
            # Not one job's fault (locked for too long, no such directory): none of them was run.
            told = _told(error)
            for job in batch:
                job.error = told
        self._hand_over(batch, changes)
        return left

    def _begin_at_once(self, *, durable: bool, take_turn: Callable[[], bool]) -> SqliteTx | None:
        """Begin a transaction unless another process has one."""
        try:
            # The thread opens the connection, and closes a broken one.
            if self._tx is None or self._tx.is_open or not take_turn():
                return None
        except OSError:
            return None
        try:
            return self._begin(durable=durable, wait=False)
        except BaseException:
            # The thread will meet the same fault, and tell it.
            self._turns.give()
            return None

    def _begin(self, *, durable: bool, wait: bool = True) -> SqliteTx:
        tx = self._tx
        if tx is not None and tx.is_open:
            # The disk failed even the rollback: begin again from what is on it.
            self._tx = None
            tx.close()
            tx = None
        if tx is None:
            connection = open_connection(self._path, self._options, read_only=False)
            connection.set_wal_hook(self._note_log_size)
            tx = self._tx = SqliteTx(connection)
            self._synced = self._waits = True
        self._set_patience(tx, wait)
        if durable != self._synced:
            # Cannot change inside a transaction; costs 0.8 us.
            tx.run("PRAGMA synchronous=FULL" if durable else "PRAGMA synchronous=NORMAL")
            self._synced = durable
        tx.begin()
        return tx

    def _set_patience(self, tx: SqliteTx, wait: bool) -> None:
        if wait != self._waits:
            tx.set_patience(self._options.lock_seconds if wait else 0.0)
            self._waits = wait

    def _run_together(self, tx: SqliteTx, batch: list[Job]) -> list[Job]:
        """Run the jobs and, within bounds, those that come meanwhile; give the jobs that must wait."""
        until = time.monotonic() + self._options.batch_seconds
        at = 0
        while at < len(batch):
            job = batch[at]
            job.result = job.fn(tx)
            at += 1
            if at == len(batch) and time.monotonic() < until:
                more: list[Job] = []
                self._drain(more, self._options.batch_jobs - at)
                if not self._synced and any(job.durable for job in more):
                    # This transaction will not be synced: they are for the next.
                    return more
                batch += more
        return []

    def _run_again(self, tx: SqliteTx, batch: list[Job], error: BaseException) -> list[MailboxChange]:
        """After a failure: the only job gets the error, several are run apart."""
        tx.rollback()
        self._set_patience(tx, wait=True)
        if len(batch) > 1:
            return self._run_apart(tx, batch)
        batch[0].error = _told(error)
        return []

    def _run_apart(self, tx: SqliteTx, batch: list[Job]) -> list[MailboxChange]:
        """Run the jobs again so that only those at fault fail; give the changes of the others."""
        try:
            tx.begin()
            for job in batch:
                self._run_saved(tx, job)
            tx.commit()
        except BaseException:
            tx.rollback()
        else:
            return tx.changes
        # One of them spoils the whole transaction (its octets fill the disk, say): each on its own.
        changes: list[MailboxChange] = []
        for job in batch:
            job.result, job.error = None, None
            try:
                tx.begin()
                job.result = job.fn(tx)
                tx.commit()
                changes += tx.changes
            except BaseException as error:
                tx.rollback()
                job.error = _told(error)
        return changes

    def _run_saved(self, tx: SqliteTx, job: Job) -> None:
        """Run a job within a savepoint: if it raises, the transaction is as it was before."""
        job.result, job.error = None, None
        noted = len(tx.changes)
        tx.run("SAVEPOINT job")
        try:
            job.result = job.fn(tx)
        except BaseException as error:
            if not tx.is_open:
                # SQLite gave the whole transaction up: so must we.
                raise
            tx.run("ROLLBACK TO job")
            del tx.changes[noted:]
            job.error = _told(error)
        tx.run("RELEASE job")

    def _drain(self, batch: list[Job], room: int | None = None) -> None:
        """Move waiting jobs to `batch`, noticing when the writer is asked to stop."""
        get = self._jobs.get_nowait
        room = self._options.batch_jobs if room is None else room
        while len(batch) < room and not self._stopping:
            try:
                job = get()
            except queue.Empty:
                return
            if job is None:
                self._stopping = True
                return
            if isinstance(job, list):
                # No burst begins while the connection is ours: at_once() said that it is free when it was
                # ours already.
                assert not job
                continue
            batch.append(job)

    def _note_log_size(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        """Move the log's pages into the database. Never waits for readers; they only delay it."""
        if self._tx is None:
            return
        try:
            pages, moved = self._tx.checkpoint()
        except apsw.Error:
            # Another process is at it, or the disk is full; tried again later.
            pages, moved = self._log_pages, 0
        if moved >= pages:
            self._log_pages = 0
            self._checkpoint_at = self._options.checkpoint_pages
        else:
            # A reader still needs the log: look again when it has grown some more.
            self._checkpoint_at = self._log_pages + self._options.checkpoint_pages // 4


def _told(error: BaseException) -> BaseException:
    if isinstance(error, apsw.Error):
        told = translate(error)
        told.__cause__ = error
        return told
    return error
