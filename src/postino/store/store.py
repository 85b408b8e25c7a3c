"""One data directory as the servers use it: functions run on its database, blobs beside it.

Invariants: `write` returns after the commit (and its sync when durable); changes are published after
    the commit, never before.
Not here: what the functions do (store/messages.py and its neighbours), how SQLite runs them
    (store/engine/sqlite.py).
"""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from postino.core.errors import StoreError
from postino.core.ids import AccountId
from postino.core.ports import MailboxChange
from postino.store.blobs import BlobFiles, BlobStore
from postino.store.bodies import ROW_OCTETS, pack
from postino.store.content import Body, InlineBody, SealedBlob
from postino.store.engine.sqlite import SqliteEngine
from postino.store.engine.sqlite_connection import SqliteOptions, open_connection, require_sqlite
from postino.store.engine.sqlite_schema import migrate, require_current
from postino.store.queue.lease import release_leases
from postino.store.text_index.folder import FOLDER, TextIndexes, note_run
from postino.store.tx import Tx

T = TypeVar("T")
DATABASE_NAME: Final = "postino.sqlite"
BLOB_FOLDER: Final = "blobs"
MOD_SEQ_JUMP: Final = 1 << 20
"""More changes than could be lost at a power cut: see _begin_run."""


class Store:
    """Made by open_store; belongs to one process and its event loop."""

    def __init__(self, engine: SqliteEngine, blobs: BlobStore, texts: TextIndexes, *, ends_run: bool) -> None:
        self._engine = engine
        self._ends_run = ends_run
        self.blobs = blobs
        self.texts = texts
        # These are the engine's own: the store adds nothing to a call made a thousand times a second.
        self.write = engine.write
        self.write_now = engine.write_now
        self.read_now = engine.read_now
        self.read_here = engine.read_here
        self.mark = engine.mark
        self.spare_moment = engine.spare_moment
        self.read = engine.read
        self.read_in_pieces = engine.read_in_pieces
        self.searching: WeakValueDictionary[AccountId, asyncio.Semaphore] = WeakValueDictionary()
        """Whose mail is searched for long just now: see search.py."""

    @property
    def own_marks(self) -> tuple[bytes, bytes]:
        """The marks before and after the last short write without a sync, which alone lies between them."""
        return self._engine.own_marks

    @property
    def on_commit(self) -> Callable[[list[MailboxChange]], None] | None:
        """Called on the event loop with the changes of each commit, after it."""
        return self._engine.on_commit

    @on_commit.setter
    def on_commit(self, publish: Callable[[list[MailboxChange]], None] | None) -> None:
        self._engine.on_commit = publish

    def seal_body(self, octets: bytes) -> Body:
        """The body as `append` takes it: large ones are first put on disk. Blocks; call it from a thread."""
        if len(octets) <= ROW_OCTETS:
            return InlineBody(octets)
        if len(pack(octets)[1]) <= ROW_OCTETS:
            return InlineBody(octets)
        with self.blobs.open_spool() as spool:
            spool.write(octets)
            return SealedBlob(spool.seal(), 0)

    async def close(self) -> None:
        """Commit what is queued and close; the first opener also notes that the end was orderly."""
        await asyncio.get_running_loop().run_in_executor(None, self.close_now)

    def close_now(self) -> None:
        """As `close`, for programs without an event loop."""
        if self._ends_run:
            self._ends_run = False
            self._engine.write_now(_end_run)
        self._engine.close()
        self.texts.close()


def open_store(
    data_dir: Path,
    *,
    first: bool = False,
    options: SqliteOptions | None = None,
    blob_files: BlobFiles | None = None,
) -> Store:
    """Open the store in `data_dir`, made when missing.

    `first` is for whoever begins a run of the server: the only process, or the supervisor before its
    workers. It brings the schema up to date and, when the last run did not end in order, moves every
    mod-sequence forward; what was leased from the queue is due again. Everyone else finds the database as
    it is, except that a missing one is made.

    Raises StoreError, DatabaseTooNew, DatabaseDamaged, TemporarilyUnavailable.
    """
    require_sqlite()
    options = options or SqliteOptions()
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The data directory {data_dir} cannot be made ({error.strerror})") from error
    path = data_dir / DATABASE_NAME
    is_new = not path.exists()
    if is_new:
        try:
            # SQLite gives its log files the database's own rights: mail is nobody else's to read.
            path.touch(mode=0o600)
        except OSError as error:
            raise StoreError(f"The database {path} cannot be made ({error.strerror})") from error
    connection = open_connection(path, options, read_only=False)
    try:
        if first or is_new:
            migrate(connection)
        require_current(connection)
    finally:
        connection.close()
    engine = SqliteEngine(path, options)
    if first:
        engine.write_now(_begin_run)
    blobs = BlobStore(data_dir / BLOB_FOLDER, blob_files)
    return Store(engine, blobs, TextIndexes(data_dir / FOLDER), ends_run=first)


def _begin_run(tx: Tx) -> None:
    """Note that a run is under way; after one that did not end, no mod-sequence it gave may come again.

    Flag changes are committed without a sync, so a power cut may take the last of them back, and a
    client may have seen their mod-sequences already.
    """
    clean = tx.one("SELECT value FROM setting WHERE name='clean_shutdown'")
    if clean is not None and clean[0] == "0":
        tx.run("UPDATE account SET mod_seq=mod_seq+?", (MOD_SEQ_JUMP,))
    note_run(tx, secrets.token_hex(8))
    # Whoever held a lease was part of an earlier run.
    release_leases(tx)
    _note_clean(tx, "0")


def _end_run(tx: Tx) -> None:
    _note_clean(tx, "1")


def _note_clean(tx: Tx, value: str) -> None:
    tx.run(
        "INSERT INTO setting (name, value) VALUES ('clean_shutdown', ?)"
        " ON CONFLICT (name) DO UPDATE SET value=excluded.value",
        (value,),
    )
