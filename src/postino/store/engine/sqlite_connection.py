"""Connections to a SQLite database as the store needs them, and a transaction's `Tx` on one.

Invariants: every connection of a database is opened with the same page and locking settings; a
    connection is opened in the process and thread that uses it, never before a fork.
Not here: when transactions begin and end (engine/sqlite.py), the schema (engine/sqlite_schema.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import apsw

from postino.core.errors import (
    DatabaseDamaged,
    DiskFull,
    NoSuchAccount,
    PostinoError,
    StoreError,
    TemporarilyUnavailable,
)
from postino.core.ports import MailboxChange
from postino.store.dialect import SQLITE, Dialect
from postino.store.engine.sqlite_mark import CommitMark
from postino.store.tx import Row, SqlValue, TxFunction

T = TypeVar("T")

OLDEST_SQLITE: Final = (3, 51, 3)
"""Versions before this may corrupt a WAL database that several connections use."""
APPLICATION_ID: Final = 0x506F7374
STATEMENT_CACHE: Final = 1000


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """What may be tuned; the defaults are measured in docs/adr/0003-sqlite-engine.md."""

    vfs: str | None = None
    page_octets: int = 8192
    """Only a new database takes it."""
    cache_octets: int = 32 * 1024 * 1024
    mmap_octets: int = 1 << 30
    lock_seconds: float = 10.0
    """How long a write waits for another process's write to end."""
    batch_jobs: int = 400
    batch_seconds: float = 0.02
    burst_jobs: int = 100
    """How many short writes the event loop runs at once: about 4 ms."""
    checkpoint_pages: int = 4000
    """Size of the write-ahead log at which its pages are moved into the database."""
    read_threads: int = 4


class SqliteTx:
    """A `Tx` on one connection. Whoever made it begins and ends the transactions."""

    __slots__ = ("_connection", "_cursor", "changes")

    dialect: Dialect = SQLITE

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        # PERF: one cursor for all statements saves making one for each (0.4 us of 3).
        self._cursor = connection.cursor()
        self.changes: list[MailboxChange] = []

    def all(self, sql: str, params: Sequence[SqlValue] = ()) -> list[Row]:
        """Run a query and give every row."""
        return self._cursor.execute(sql, params).fetchall()

    def one(self, sql: str, params: Sequence[SqlValue] = ()) -> Row | None:
        """Run a query (or a statement with RETURNING) and give its first row, or None."""
        # Run to the end: a statement left half done would keep its snapshot.
        rows = self._cursor.execute(sql, params).fetchall()
        return rows[0] if rows else None

    def run(self, sql: str, params: Sequence[SqlValue] = ()) -> int:
        """Run a statement and give the number of rows it changed."""
        self._cursor.execute(sql, params)
        return self._connection.changes()

    def run_many(self, sql: str, rows: Iterable[Sequence[SqlValue]]) -> None:
        """Run a statement once for each row of parameters."""
        self._cursor.executemany(sql, rows)

    def note_change(self, change: MailboxChange) -> None:
        """Have this hint published once the transaction has committed."""
        self.changes.append(change)

    # What the engine does with it.

    def begin(self) -> None:
        """Start a writing transaction; waits for other processes as long as it was told to."""
        self.changes = []
        self._cursor.execute("BEGIN IMMEDIATE")

    def set_patience(self, seconds: float) -> None:
        """How long begin() waits for other processes."""
        milliseconds = int(seconds * 1000)
        self._connection.set_busy_timeout(milliseconds)
        self._connection.setlk_timeout(milliseconds, 0)

    def commit(self) -> None:
        """End the transaction; on disk for good when the connection is set to sync."""
        self._cursor.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction, if one is open. Never raises."""
        self.changes = []
        if self.is_open:
            try:
                self._cursor.execute("ROLLBACK")
            except apsw.Error:
                return

    @property
    def is_open(self) -> bool:
        """Whether a transaction is open; SQLite ends one by itself when the disk fails."""
        return self._connection.in_transaction

    def read(self, fn: TxFunction[T]) -> T:
        """Run `fn` on one snapshot."""
        # PERF: BEGIN and COMMIT of a reader cost 0.8 us together, less than telling when to spare them.
        try:
            self._cursor.execute("BEGIN")
            try:
                return fn(self)
            finally:
                if self._connection.in_transaction:
                    self._cursor.execute("COMMIT")
        except apsw.Error as error:
            raise translate(error) from error

    def new_mark(self) -> CommitMark:
        """What tells of commits; something must have been read already."""
        return CommitMark(self._connection)

    def checkpoint(self) -> tuple[int, int]:
        """Move committed pages from the log to the database; give the log's pages and those moved."""
        return self._connection.wal_checkpoint(None, apsw.SQLITE_CHECKPOINT_PASSIVE)

    def close(self) -> None:
        """Close the connection; the last one of a database folds the log into it."""
        self._connection.close()


def require_sqlite() -> None:
    """Refuse a SQLite that is known to damage databases used as Postino uses them."""
    version = apsw.sqlite_lib_version()
    if tuple(int(part) for part in version.split(".")[:3]) < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise StoreError(
            f"SQLite {version} may damage databases that several connections use; "
            f"install an apsw with SQLite {wanted} or later"
        )


def open_connection(path: Path, options: SqliteOptions, *, read_only: bool) -> apsw.Connection:
    """Open the database at `path`, made when missing unless `read_only`."""
    flags = apsw.SQLITE_OPEN_READWRITE
    if not read_only:
        flags |= apsw.SQLITE_OPEN_CREATE
    try:
        connection = apsw.Connection(
            str(path), flags=flags, vfs=options.vfs, statementcachesize=STATEMENT_CACHE
        )
    except apsw.CantOpenError as error:
        raise StoreError(
            f"The database {path} cannot be opened; check that the directory exists and may be written"
        ) from error
    try:
        # PERF: without this a statement with a range is planned again at each run, as its values may suit
        # another plan: 8.7 us instead of 3.2 for one message's size (bench: imap.fetch.single).
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        milliseconds = int(options.lock_seconds * 1000)
        connection.set_busy_timeout(milliseconds)
        if not read_only:
            # Waiting in the kernel is fair between processes and wakes at once; polling is neither.
            connection.setlk_timeout(milliseconds, 0)
        execute = connection.execute
        execute(f"PRAGMA page_size={options.page_octets}")
        if not read_only and connection.pragma("journal_mode") != "wal":
            connection.pragma("journal_mode", "wal")
        execute(f"PRAGMA cache_size={-(options.cache_octets // 1024)}")
        execute(f"PRAGMA mmap_size={options.mmap_octets}")
        execute("PRAGMA temp_store=MEMORY")
        execute("PRAGMA foreign_keys=ON")
        execute("PRAGMA synchronous=FULL")
        if read_only:
            execute("PRAGMA query_only=ON")
        # A log that a long read made large is cut back once it starts afresh.
        execute(f"PRAGMA journal_size_limit={2 * options.checkpoint_pages * options.page_octets}")
        connection.wal_autocheckpoint(0)
    except apsw.Error as error:
        connection.close()
        raise translate(error) from error
    return connection


def translate(error: apsw.Error) -> PostinoError:
    """Say in the store's words what SQLite reported."""
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return TemporarilyUnavailable("Another process is writing to the database for too long; try again")
    if isinstance(error, apsw.FullError):
        return DiskFull("The disk that holds the database is full; make room and try again")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return DatabaseDamaged(f"The database is damaged ({error}); run `postino verify`")
    if isinstance(error, apsw.IOError | apsw.CantOpenError | apsw.ReadOnlyError | apsw.NoMemError):
        return TemporarilyUnavailable(f"The database cannot be read or written now ({error}); check the disk")
    if isinstance(error, apsw.ConstraintError) and "FOREIGN KEY" in str(error):
        # Rows name their account, and sessions may outlive it.
        return NoSuchAccount("The account does not exist any more")
    return StoreError(f"The database refused a statement ({error}); this is a fault in Postino")
