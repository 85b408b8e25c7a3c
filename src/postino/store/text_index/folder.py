"""The search indexes of all accounts: which file is whose, open files kept for the next search.

Invariants: a file that is damaged, of another version, or ahead of the store is not used but removed;
    a kept connection belongs to the file that has the name now.
Not here: what is in a file (file.py), filling them (indexer.py).
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from postino.core.errors import StoreError
from postino.core.ids import AccountId
from postino.store.text_index.file import IndexBusy, IndexDamaged, IndexFile
from postino.store.tx import RunTx, Tx

FOLDER: Final = "search"
REMEMBERED_RUNS: Final = 1000
_KEPT_FILES: Final = 32
_MEMBERS: Final = ("", "-wal", "-shm")


class TextIndexes:
    """The folder below a data directory. May be used by several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._idle: OrderedDict[tuple[AccountId, int], IndexFile] = OrderedDict()
        """Open files nobody uses, by account and inode; the longest unused first."""
        self._missing: set[AccountId] = set()

    def path(self, account_id: AccountId) -> Path:
        """Where an account's index is."""
        return self.root / f"{account_id % 256:02x}" / f"{account_id}.sqlite"

    @contextmanager
    def reading(self, account_id: AccountId) -> Iterator[IndexFile | None]:
        """An account's index, or None when there is none that can be used now.

        One that turns out to be damaged is removed, and IndexDamaged raised.
        """
        try:
            found = self._take(account_id)
        except IndexBusy:
            found = None
        except IndexDamaged:
            self.remove(account_id)
            found = None
        if found is None:
            yield None
            return
        key, file = found
        try:
            yield file
        except IndexDamaged:
            file.close()
            self.remove(account_id)
            raise
        except BaseException:
            file.close()
            raise
        self._put_back(key, file)

    def _take(self, account_id: AccountId) -> tuple[tuple[AccountId, int], IndexFile] | None:
        path = self.path(account_id)
        try:
            key = (account_id, path.stat().st_ino)
        except OSError:
            return None
        with self._lock:
            file = self._idle.pop(key, None)
        return key, file or IndexFile(path, create=False)

    def _put_back(self, key: tuple[AccountId, int], file: IndexFile) -> None:
        with self._lock:
            replaced = self._idle.pop(key, None)
            self._idle[key] = file
            longest = self._idle.popitem(last=False)[1] if len(self._idle) > _KEPT_FILES else None
        for unused in (replaced, longest):
            if unused is not None:
                unused.close()

    def open(self, account_id: AccountId) -> IndexFile:
        """An account's index for writing, made when missing or damaged. Raises StoreError."""
        path = self.path(account_id)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                path.touch(mode=0o600)
        except OSError as error:
            raise StoreError(
                f"The search index {path} cannot be made ({error.strerror}); check its directory's rights"
            ) from error
        try:
            return IndexFile(path, create=True)
        except IndexDamaged:
            self.remove(account_id)
            path.touch(mode=0o600)
            return IndexFile(path, create=True)

    def remove(self, account_id: AccountId) -> None:
        """Remove an account's index, if there is one; whoever has it open still reads what it was."""
        path = self.path(account_id)
        for member in _MEMBERS:
            path.with_name(path.name + member).unlink(missing_ok=True)
        with self._lock:
            self._missing.add(account_id)
            unused = [self._idle.pop(key) for key in list(self._idle) if key[0] == account_id]
        for file in unused:
            file.close()

    def take_missing(self) -> set[AccountId]:
        """The accounts whose index was removed since this was last asked."""
        with self._lock:
            missing, self._missing = self._missing, set()
        return missing

    def accounts(self) -> list[AccountId]:
        """The accounts that have an index."""
        found = [
            int(entry.name.partition(".")[0])
            for folder in _entries(self.root)
            for entry in _entries(folder)
            if entry.name.endswith(".sqlite") and entry.name.partition(".")[0].isdecimal()
        ]
        return [AccountId(number) for number in sorted(found)]

    def close(self) -> None:
        """Let go of every file."""
        with self._lock:
            files = list(self._idle.values())
            self._idle.clear()
        for file in files:
            file.close()


def _entries(folder: "Path | os.DirEntry[str]") -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []


def current_run(tx: Tx) -> str:
    """The run of the server that the store is in, '' before the first."""
    row = tx.one(
        "SELECT name FROM setting WHERE name LIKE 'run %' ORDER BY CAST(value AS INTEGER) DESC LIMIT 1"
    )
    return str(row[0]) if row else ""


def note_run(tx: Tx, name: str) -> None:
    """Note that a run of the server begins; those long ago are forgotten."""
    row = tx.one("SELECT max(CAST(value AS INTEGER)) FROM setting WHERE name LIKE 'run %'")
    number = (row[0] if row and row[0] else 0) + 1
    tx.run("INSERT INTO setting (name, value) VALUES (?, ?)", (f"run {name}", str(number)))
    tx.run(
        "DELETE FROM setting WHERE name LIKE 'run %' AND CAST(value AS INTEGER)<=?",
        (number - REMEMBERED_RUNS,),
    )


def is_of_this_store(run: RunTx, account_id: AccountId, index: IndexFile) -> bool:
    """Whether everything in the index was in this store, and not in a later one that a backup replaced.

    Content ids would then be given a second time. An index remembers the run of the server that wrote it, and
    a store every run it has been through; within a run ids jump forward if it does not end in order.
    """
    known, done = index.run, index.done

    def ask(tx: Tx) -> bool:
        if known and tx.one("SELECT 1 FROM setting WHERE name=?", (known,)) is None:
            return False
        if not known and current_run(tx):
            return False
        row = tx.one("SELECT mod_seq FROM account WHERE id=?", (account_id,))
        return row is not None and done <= row[0]

    return run(ask)
