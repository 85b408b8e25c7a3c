"""One account's search index: a SQLite file of its own.

Documents lie in `recent`, each by itself, until there are enough for a segment; then they move there.
Invariants: a content id is in one place at most; segments and `recent` go upwards; what is in the file was
    durable in the store before; whatever is wrong with a file shows as IndexDamaged, never as an answer.
Not here: which file belongs to whom (folder.py), what is put in (indexer.py).
"""

import struct
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

import apsw
import msgspec
import zstandard

from postino.core.errors import PostinoError
from postino.store.text_index.document import Document, Field, pack_document, unpack_document
from postino.store.text_index.segment import BuiltSegment, Piece, Segment
from postino.store.tx import Row

APPLICATION_ID: Final = 0x506F7349
VERSION: Final = 1
"""Of the layout, of how texts are decoded and of how they are folded: raise it when one of them changes."""
_FILE_VERSION: Final = VERSION * 2 + (sys.byteorder == "big")
_LOCK_MILLISECONDS: Final = 5000
_SCHEMA: Final = """
CREATE TABLE fact (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE recent (content_id INTEGER PRIMARY KEY, octets INTEGER NOT NULL, packed BLOB NOT NULL);
CREATE TABLE segment (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
  documents INTEGER NOT NULL, octets INTEGER NOT NULL, checksum INTEGER NOT NULL, ids BLOB NOT NULL,
  chunks BLOB NOT NULL);
CREATE TABLE piece (id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, value BLOB NOT NULL);
"""


class IndexDamaged(PostinoError):
    """The file is not what was written; it is to be made anew."""


class IndexBusy(PostinoError):
    """Somebody else is writing to it."""


class SegmentRow(NamedTuple):
    """A segment: its first and last content id, how many it has, and octets of text."""

    number: int
    first: int
    last: int
    documents: int
    octets: int


class Extent(msgspec.Struct, frozen=True):
    """How much a file holds."""

    documents: int
    text_octets: int
    file_octets: int
    recent: int
    """How many of the documents lie in no segment yet."""
    recent_octets: int


@contextmanager
def damage_is_told() -> Iterator[None]:
    """Say of anything that goes wrong in here what it means for the index."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        raise IndexBusy("The search index is being written to; try again") from error
    except (
        apsw.Error,
        zstandard.ZstdError,
        struct.error,
        msgspec.DecodeError,
        ValueError,
        IndexError,
        TypeError,
        OverflowError,
    ) as error:
        raise IndexDamaged(f"The search index cannot be used ({error}); it is made anew") from error


class IndexFile:
    """An open file. One thread at a time may use it."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
        with damage_is_told():
            self._connection = apsw.Connection(str(path), flags=flags)
            try:
                self._prepare(create=create)
            except BaseException:
                self._connection.close()
                raise
        self._compress = zstandard.ZstdCompressor(level=1, write_checksum=True).compress
        self._decompress = zstandard.ZstdDecompressor().decompress

    def _prepare(self, *, create: bool) -> None:
        connection = self._connection
        connection.set_busy_timeout(_LOCK_MILLISECONDS)
        if create and not connection.pragma("page_count"):
            # Most accounts are small, and a file has five pages at least.
            connection.execute("PRAGMA page_size=4096")
            connection.pragma("journal_mode", "wal")
            with connection:
                connection.execute(_SCHEMA)
                connection.pragma("application_id", APPLICATION_ID)
                connection.pragma("user_version", _FILE_VERSION)
        # A power cut may take the last commits back, never a part of one.
        # What is read is mapped; pages of their own are for writing, and many files may be open.
        connection.execute("PRAGMA synchronous=NORMAL; PRAGMA mmap_size=1073741824; PRAGMA cache_size=-1000")
        if (connection.pragma("application_id"), connection.pragma("user_version")) != (
            APPLICATION_ID,
            _FILE_VERSION,
        ):
            raise ValueError("it is of another version")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _rows(self, sql: str, params: tuple[str | int, ...] = ()) -> list[Row]:
        return self._connection.execute(sql, params).fetchall()

    # Reading

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read in here is of one moment."""
        with damage_is_told():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def fact(self, name: str) -> str:
        """A fact about the file, '' if it was never noted."""
        rows = self._rows("SELECT value FROM fact WHERE name=?", (name,))
        return str(rows[0][0]) if rows else ""

    @property
    def done(self) -> int:
        """The last content id that was looked at."""
        return int(self.fact("done") or 0)

    @property
    def run(self) -> str:
        """The run of the server (store.current_run) that wrote last."""
        return self.fact("run")

    def segments(self) -> list[SegmentRow]:
        """What is known of every segment without reading it, upwards."""
        rows = self._rows("SELECT id, first, last, documents, octets FROM segment ORDER BY id")
        return [SegmentRow(*row) for row in rows]

    def segment(self, number: int) -> Segment:
        """One segment."""
        rows = self._rows("SELECT checksum, ids, chunks FROM segment WHERE id=?", (number,))
        checksum, ids, chunks = rows[0]
        if crc32(chunks, crc32(ids)) != checksum:
            raise ValueError("a list of messages has changed")
        return Segment(number, array("q", ids), _unpack_chunks(chunks), self._piece)

    def _piece(self, number: int, piece: Piece, chunk: int) -> bytes:
        rows = self._rows("SELECT checksum, value FROM piece WHERE id=?", (_piece_id(number, piece, chunk),))
        checksum: int
        value: bytes
        checksum, value = rows[0]
        # PERF: 4 GB/s, twice as fast as looking through them.
        if crc32(value) != checksum:
            raise ValueError("a piece of it has changed")
        return value

    def recent(self) -> Iterator[tuple[int, Document]]:
        """The documents that lie in no segment yet, upwards."""
        for content_id, packed in self._rows("SELECT content_id, packed FROM recent ORDER BY content_id"):
            yield content_id, unpack_document(self._decompress(packed))

    def recent_ids(self) -> list[int]:
        """Their content ids, upwards."""
        rows = self._rows("SELECT content_id FROM recent ORDER BY content_id")
        return [content_id for (content_id,) in rows]

    def extent(self) -> Extent:
        """How much is in the file."""
        segments = self._rows("SELECT coalesce(sum(documents), 0), coalesce(sum(octets), 0) FROM segment")[0]
        recent = self._rows("SELECT count(*), coalesce(sum(octets), 0) FROM recent")[0]
        size = self._connection.pragma("page_count") * self._connection.pragma("page_size")
        return Extent(segments[0] + recent[0], segments[1] + recent[1], size, recent[0], recent[1])

    # Writing

    @contextmanager
    def change(self, *, expected_done: int | None = None) -> Iterator[None]:
        """One transaction. Raises IndexBusy when somebody else has indexed since `expected_done` was read."""
        with damage_is_told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                if expected_done is not None and self.done != expected_done:
                    raise IndexBusy("The search index is being written to; try again")
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def note(self, name: str, value: str | int) -> None:
        """Note a fact about the file."""
        self._connection.execute(
            "INSERT INTO fact (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value=excluded.value",
            (name, value),
        )

    def add_recent(self, documents: Sequence[tuple[int, Document]]) -> None:
        """Take documents that are too few for a segment."""
        self._connection.executemany(
            "INSERT INTO recent (content_id, octets, packed) VALUES (?, ?, ?)",
            [
                (
                    content_id,
                    len(document[Field.HEADER]) + len(document[Field.BODY]),
                    self._compress(pack_document(document)),
                )
                for content_id, document in documents
            ],
        )

    def drop_recent(self, content_ids: Sequence[int]) -> None:
        """Forget documents that lie in no segment."""
        self._connection.executemany("DELETE FROM recent WHERE content_id=?", [(one,) for one in content_ids])

    def add_segment(self, built: BuiltSegment, number: int | None = None) -> None:
        """Store a segment, behind the last one or in place of one that was dropped."""
        if number is None:
            rows = self._rows("SELECT coalesce(max(id), 0) + 1 FROM segment")
            number = int(rows[0][0])
        ids = array("q", built.ids).tobytes()
        chunks = msgspec.msgpack.encode([built.chunks[Field.HEADER], built.chunks[Field.BODY]])
        self._connection.execute(
            "INSERT INTO segment (id, first, last, documents, octets, checksum, ids, chunks)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                built.ids[0],
                built.ids[-1],
                len(built.ids),
                built.octets,
                crc32(chunks, crc32(ids)),
                ids,
                chunks,
            ),
        )
        self._connection.executemany(
            "INSERT INTO piece (id, checksum, value) VALUES (?, ?, ?)",
            [(_piece_id(number, piece, chunk), crc32(value), value) for piece, chunk, value in built.pieces],
        )

    def drop_segment(self, number: int) -> None:
        """Forget a segment with its documents."""
        self._connection.execute("DELETE FROM segment WHERE id=?", (number,))
        self._connection.execute(
            "DELETE FROM piece WHERE id BETWEEN ? AND ?",
            (number << _SEGMENT_BITS, ((number + 1) << _SEGMENT_BITS) - 1),
        )


_CHUNK_BITS: Final = 12
_SEGMENT_BITS: Final = _CHUNK_BITS + 4
_decode_chunks: Final[Callable[[bytes], list[list[int]]]] = msgspec.msgpack.Decoder(list[list[int]]).decode


def _unpack_chunks(packed: bytes) -> dict[Field, list[int]]:
    header, body = _decode_chunks(packed)
    return {Field.HEADER: header, Field.BODY: body}


def _piece_id(number: int, piece: Piece, chunk: int) -> int:
    return number << _SEGMENT_BITS | piece << _CHUNK_BITS | chunk
