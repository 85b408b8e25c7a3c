"""Large bodies as files: written once, synced, named by the database only then.

Invariants: a BlobId that seal() gave survives a power cut; a blob's file never changes; the database
    is committed after the blob is sealed, so a crash leaves at most a file nobody names.
Not here: which bodies are large (store/bodies.py), which blobs are still needed (store/sweep.py).
"""

import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from postino.core.errors import DatabaseDamaged, DiskFull, TemporarilyUnavailable
from postino.core.ids import BlobId
from postino.store.content import Body, InlineBody


class BlobFiles(Protocol):
    """The operations on files that decide what a power cut leaves; a test may bring its own."""

    def create(self, path: Path) -> int:
        """A new empty file, for writing; gives its descriptor."""
        ...

    def write(self, descriptor: int, octets: bytes) -> None:
        """Add all of `octets` at the end."""
        ...

    def fsync(self, descriptor: int) -> None:
        """Return when the file's octets are on disk."""
        ...

    def close(self, descriptor: int) -> None:
        """Give the descriptor back."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Move a file, atomically, replacing none."""
        ...

    def make_dir(self, path: Path) -> None:
        """Make a directory; one that is there already is fine."""
        ...

    def fsync_dir(self, path: Path) -> None:
        """Return when the directory's entries are on disk."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a file; one that is gone already is fine."""
        ...

    def read(self, path: Path, start: int, length: int) -> bytes:
        """Octets of a file, fewer only at its end. Raises FileNotFoundError."""
        ...

    def size(self, path: Path) -> int | None:
        """The file's length, None when there is none."""
        ...

    def list_files(self, path: Path) -> Iterator[tuple[Path, float]]:
        """Every file below `path` with the time it was last written."""
        ...


class DiskFiles:
    """BlobFiles on the operating system's file system."""

    def create(self, path: Path) -> int:
        """A new empty file, for writing; gives its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, octets: bytes) -> None:
        """Add all of `octets` at the end."""
        view = memoryview(octets)
        while view:
            view = view[os.write(descriptor, view) :]

    def fsync(self, descriptor: int) -> None:
        """Return when the file's octets are on disk."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Give the descriptor back."""
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file, atomically."""
        source.rename(target)

    def make_dir(self, path: Path) -> None:
        """Make a directory; one that is there already is fine."""
        path.mkdir(mode=0o700, exist_ok=True)

    def fsync_dir(self, path: Path) -> None:
        """Return when the directory's entries are on disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def unlink(self, path: Path) -> None:
        """Remove a file; one that is gone already is fine."""
        path.unlink(missing_ok=True)

    def read(self, path: Path, start: int, length: int) -> bytes:
        """Octets of a file, fewer only at its end. Raises FileNotFoundError."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            pieces: list[bytes] = []
            while length > 0 and (piece := os.pread(descriptor, length, start)):
                pieces.append(piece)
                start += len(piece)
                length -= len(piece)
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        finally:
            os.close(descriptor)

    def size(self, path: Path) -> int | None:
        """The file's length, None when there is none."""
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def list_files(self, path: Path) -> Iterator[tuple[Path, float]]:
        """Every file below `path` with the time it was last written."""
        for folder, _, names in os.walk(path):
            for name in names:
                file = Path(folder, name)
                try:
                    yield file, file.stat().st_mtime
                except FileNotFoundError:
                    continue


class Spool:
    """A file being written. End it with seal() or discard(); as a context manager it discards."""

    def __init__(self, store: "BlobStore", path: Path, descriptor: int) -> None:
        self._store = store
        self._path = path
        self._descriptor = descriptor
        self._open = True
        self.octets = 0
        """How many were written."""

    def write(self, octets: bytes) -> None:
        """Add octets. Raises TemporarilyUnavailable when the disk takes no more."""
        try:
            self._store.files.write(self._descriptor, octets)
        except OSError as error:
            raise _unwritable(error) from error
        self.octets += len(octets)

    def read(self, start: int, length: int) -> bytes:
        """What was written, to look into it before it is sealed."""
        return self._store.files.read(self._path, start, length)

    @property
    def path(self) -> Path:
        """Where the octets are until seal(), for reading by memory map."""
        return self._path

    def seal(self) -> BlobId:
        """Make it a blob that survives a power cut. Blocks for the sync; call it from a thread."""
        files = self._store.files
        blob_id = BlobId(secrets.token_hex(16))
        target = self._store.path_of(blob_id)
        try:
            files.fsync(self._descriptor)
            self._close()
            self._store.make_place(target.parent)
            files.rename(self._path, target)
            files.fsync_dir(target.parent)
        except OSError as error:
            self.discard()
            raise _unwritable(error) from error
        return blob_id

    def discard(self) -> None:
        """Remove the file, unless it was sealed."""
        self._close()
        self._store.files.unlink(self._path)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._store.files.close(self._descriptor)

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class BlobStore:
    """The blobs of one data directory: `blobs/ab/cd/<id>`, and `blobs/spool/` for those not sealed yet."""

    def __init__(self, root: Path, files: BlobFiles | None = None) -> None:
        self.root = root
        self.files: BlobFiles = files or DiskFiles()
        self._spool = root / "spool"
        self._places: set[Path] = set()

    def path_of(self, blob_id: BlobId) -> Path:
        """Where a blob's file is."""
        return self.root / blob_id[:2] / blob_id[2:4] / blob_id

    def open_spool(self) -> Spool:
        """Start a new blob. Raises TemporarilyUnavailable."""
        path = self._spool / secrets.token_hex(16)
        try:
            self.make_place(self._spool)
            return Spool(self, path, self.files.create(path))
        except OSError as error:
            raise _unwritable(error) from error

    def read(self, blob_id: BlobId, start: int, length: int) -> bytes:
        """A range of a blob. Raises DatabaseDamaged when the file is missing or too short."""
        try:
            octets = self.files.read(self.path_of(blob_id), start, length)
        except FileNotFoundError as error:
            raise DatabaseDamaged("A stored message has lost its file; run `postino verify`") from error
        except OSError as error:
            raise TemporarilyUnavailable(
                f"A stored message cannot be read now ({error.strerror}); check the disk"
            ) from error
        if len(octets) != length:
            raise DatabaseDamaged("The file of a stored message is too short; run `postino verify`")
        return octets

    def read_body(self, body: Body, size: int) -> bytes:
        """All of a body of that size, wherever it lies. Blocks for one in a blob; raises as read() does."""
        return body.octets if isinstance(body, InlineBody) else self.read(body.blob_id, body.offset, size)

    def size(self, blob_id: BlobId) -> int | None:
        """The file's length, None when there is none."""
        return self.files.size(self.path_of(blob_id))

    def delete(self, blob_id: BlobId) -> None:
        """Remove a blob the database does not name any more."""
        self.files.unlink(self.path_of(blob_id))

    def listed(self, before: float) -> Iterator[tuple[BlobId | None, Path]]:
        """The files last written before `before`; None as id for those never sealed."""
        for path, written in self.files.list_files(self.root):
            if written < before:
                yield (None if path.parent == self._spool else BlobId(path.name)), path

    def make_place(self, folder: Path) -> None:
        """Make a folder of the store, so that it survives a power cut."""
        if folder in self._places:
            return
        if folder != self.root:
            self.make_place(folder.parent)
        self.files.make_dir(folder)
        # Another process may have made it and not synced it yet: this one must not rely on that.
        self.files.fsync_dir(folder.parent)
        self._places.add(folder)


def _unwritable(error: OSError) -> TemporarilyUnavailable:
    kind = DiskFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else TemporarilyUnavailable
    return kind(f"The message cannot be written to disk now ({error.strerror}); check its space and rights")
