import os
from pathlib import Path

import pytest

from postino.core.errors import DatabaseDamaged, TemporarilyUnavailable
from postino.store.blobs import BlobStore, DiskFiles


class Recording(DiskFiles):
    """Notes what happens to files, in order."""

    def __init__(self):
        self.seen = []

    def fsync(self, descriptor):
        self.seen.append("fsync")
        super().fsync(descriptor)

    def rename(self, source, target):
        self.seen.append("rename")
        super().rename(source, target)

    def fsync_dir(self, path):
        self.seen.append(f"fsync_dir {path.name}")
        super().fsync_dir(path)


class Full(DiskFiles):
    """A disk that takes no more."""

    def write(self, descriptor, octets):
        raise OSError(28, "No space left on device")


def sealed(blobs: BlobStore, octets: bytes) -> str:
    with blobs.open_spool() as spool:
        spool.write(octets)
        return spool.seal()


def test_sealed_blob_is_read_by_range(tmp_path):
    blobs = BlobStore(tmp_path / "blobs")
    blob = sealed(blobs, b"0123456789")
    assert blobs.read(blob, 0, 10) == b"0123456789"
    assert blobs.read(blob, 3, 4) == b"3456"
    assert blobs.size(blob) == 10
    with pytest.raises(DatabaseDamaged):
        blobs.read(blob, 5, 6)
    blobs.delete(blob)
    blobs.delete(blob)
    assert blobs.size(blob) is None
    with pytest.raises(DatabaseDamaged):
        blobs.read(blob, 0, 1)


def test_seal_syncs_the_file_before_the_rename_and_each_folder_after(tmp_path):
    files = Recording()
    blobs = BlobStore(tmp_path / "blobs", files)
    blob = sealed(blobs, b"x")
    at = files.seen.index("rename")
    assert "fsync" in files.seen[:at]
    # The new folders' names are on disk before the blob's own.
    assert files.seen.index("fsync_dir blobs") < at
    assert files.seen.index(f"fsync_dir {blob[:2]}") < at
    assert files.seen[at + 1] == f"fsync_dir {blob[2:4]}"


def test_discarded_spool_leaves_nothing(tmp_path):
    blobs = BlobStore(tmp_path / "blobs")
    with blobs.open_spool() as spool:
        spool.write(b"x")
        assert spool.read(0, 9) == b"x"
        assert spool.octets == 1
    spool.discard()
    assert [path for path in Path(tmp_path).rglob("*") if path.is_file()] == []


def test_full_disk_is_a_passing_trouble(tmp_path):
    blobs = BlobStore(tmp_path / "blobs", Full())
    with blobs.open_spool() as spool, pytest.raises(TemporarilyUnavailable, match="No space left"):
        spool.write(b"x")
    assert list(blobs.listed(before=1e12)) == []


def test_unwritable_place_is_a_passing_trouble(tmp_path):
    (tmp_path / "blobs").write_bytes(b"a file, not a folder")
    with pytest.raises(TemporarilyUnavailable):
        BlobStore(tmp_path / "blobs").open_spool()


def test_listed_tells_blobs_from_what_was_never_sealed(tmp_path):
    blobs = BlobStore(tmp_path / "blobs")
    blob = sealed(blobs, b"x")
    spool = blobs.open_spool()
    os.utime(spool.path, (5, 5))
    assert sorted(str(found) for found, _ in blobs.listed(before=1e12)) == sorted([blob, "None"])
    assert [found for found, _ in blobs.listed(before=6)] == [None]
    spool.discard()
