"""Read what FETCH asks for, of many messages in one query.

RFC: 9051 §6.4.5 (FETCH).
Invariants: rows come by uid; a value that was stored as response bytes is given as such.
Not here: how an answer looks (imap/), what is in which section (imap/section.py).
"""

from enum import IntEnum
from functools import lru_cache
from typing import Any, Final

from postino.core.errors import DatabaseDamaged
from postino.core.ids import AccountId, BlobId, MailboxId
from postino.core.numset import NumberSet
from postino.store.blobs import BlobStore
from postino.store.bodies import Codec, unpack
from postino.store.tx import Tx
from postino.store.uids import uid_conditions


class Column(IntEnum):
    """What may be asked for; the order of these is the order in a row, after the uid."""

    INTERNAL_DATE = 1
    SAVE_DATE = 2
    SIZE = 3
    ACCOUNT_ID = 4
    CONTENT_ID = 5
    THREAD_ID = 6
    PREVIEW = 7
    ENVELOPE = 8
    BODYSTRUCTURE = 9
    FIELDS = 10
    """bytes: the header fields of mime.header.LISTED_FIELDS, as received."""
    PARTS = 11
    """bytes for mime.index.unpack_index."""
    HEADER = 12
    """bytes: the whole header, with its empty line."""
    BODY = 13
    """bytes, or a StoredBody when reading it costs more than a copy: see body_octets, open_body."""


class StoredBody:
    """A body that still has to be decompressed, or read from a blob."""

    __slots__ = ("blob_id", "codec", "offset", "size", "stored")

    def __init__(self, codec: int, stored: bytes | None, blob_id: str | None, offset: int, size: int) -> None:
        self.codec = codec
        self.stored = stored
        self.blob_id = blob_id
        self.offset = offset
        self.size = size


Body = bytes | StoredBody


class BodySource:
    """A body that can be read in pieces without holding all of it."""

    __slots__ = ("_blobs", "_body", "_octets", "size")

    def __init__(self, body: Body, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._body = body
        self._octets: bytes | None = body if isinstance(body, bytes) else None
        self.size = len(body) if isinstance(body, bytes) else body.size

    def read(self, start: int, length: int) -> bytes:
        """The octets from `start`, fewer than `length` only at the end."""
        body = self._body
        if not isinstance(body, bytes) and body.codec == Codec.BLOB:
            length = min(length, self.size - start)
            if length <= 0:
                return b""
            return self._blobs.read(BlobId(body.blob_id or ""), body.offset + start, length)
        if self._octets is None:
            self._octets = body_octets(body, self._blobs)
        return self._octets[start : start + length]


class MessageOctets:
    """A whole message by ranges: of a body in a blob only those that are asked for are read."""

    __slots__ = ("_body", "_header")

    def __init__(self, header: bytes, body: Body, blobs: BlobStore) -> None:
        self._header = header
        self._body = BodySource(body, blobs)

    def __getitem__(self, wanted: slice, /) -> bytes:
        start, stop = wanted.start, wanted.stop
        in_body = stop - len(self._header)
        if in_body <= 0:
            return self._header[start:stop]
        skipped = start - len(self._header)
        if skipped >= 0:
            return self._body.read(skipped, in_body - skipped)
        return self._header[start:] + self._body.read(0, in_body)


_SQL: Final = {
    Column.INTERNAL_DATE: "m.internal_date",
    Column.SAVE_DATE: "m.save_date",
    Column.SIZE: "m.size",
    Column.ACCOUNT_ID: "m.account_id",
    Column.CONTENT_ID: "m.content_id",
    Column.THREAD_ID: "c.thread_id",
    Column.PREVIEW: "c.preview",
    Column.ENVELOPE: "c.envelope",
    Column.BODYSTRUCTURE: "c.bodystructure",
    Column.FIELDS: "c.fields",
    Column.PARTS: "c.parts",
    Column.HEADER: "o.header",
    Column.BODY: "o.codec, o.body, o.blob_id, o.blob_offset, m.size - length(o.header)",
}
_OF_CONTENT: Final = frozenset(
    {
        Column.THREAD_ID,
        Column.PREVIEW,
        Column.ENVELOPE,
        Column.BODYSTRUCTURE,
        Column.FIELDS,
        Column.PARTS,
    }
)
_OF_OCTETS: Final = frozenset({Column.HEADER, Column.BODY})


def fetch_rows(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, uids: NumberSet, columns: frozenset[Column]
) -> list[tuple[Any, ...]]:
    """(uid, the columns in Column order) of each message that exists, by uid."""
    query = _query(columns)
    rows: list[tuple[Any, ...]] = []
    for condition in uid_conditions(tx, account_id, mailbox_id, uids):
        rows += tx.all(
            f"{query} AND m.{condition.sql} ORDER BY m.uid",
            (account_id, mailbox_id, *condition.params),
        )
    if Column.BODY in columns:
        return _with_bodies(tx, rows)
    return rows


def plain_octets(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, uid: int
) -> tuple[bytes, bytes] | None:
    """Header and body of one message, if it is there and its body is stored with it as it is."""
    row = tx.one(
        "SELECT o.codec, o.header, o.body FROM message m CROSS JOIN octets o"
        " ON o.account_id=m.account_id AND o.content_id=m.content_id"
        " WHERE m.account_id=? AND m.mailbox_id=? AND m.uid=?",
        (account_id, mailbox_id, uid),
    )
    return (row[1], row[2]) if row is not None and row[0] == Codec.RAW else None


@lru_cache(maxsize=256)
def _query(columns: frozenset[Column]) -> str:
    select = ", ".join(["m.uid", *(_SQL[column] for column in sorted(columns))])
    # CROSS JOIN keeps the order of the loops: the messages first, in their key's order.
    source = "message m"
    if not _OF_CONTENT.isdisjoint(columns):
        source += " CROSS JOIN content c ON c.account_id=m.account_id AND c.id=m.content_id"
    if not _OF_OCTETS.isdisjoint(columns):
        source += " CROSS JOIN octets o ON o.account_id=m.account_id AND o.content_id=m.content_id"
    return f"SELECT {select} FROM {source} WHERE m.account_id=? AND m.mailbox_id=?"


def _with_bodies(tx: Tx, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Replace the columns of octets at each row's end by a Body."""
    if not rows:
        return rows
    # PERF: most bodies are stored as they are, and then no row is touched one by one.
    *columns, codecs, stored, blob_ids, offsets, sizes = zip(*rows, strict=True)
    bodies: list[Body] = list(stored)
    for at, codec in enumerate(codecs):
        if codec != Codec.RAW:
            bodies[at] = _body(tx, codec, stored[at], blob_ids[at], offsets[at], sizes[at])
    return list(zip(*columns, bodies, strict=True))


def _body(tx: Tx, codec: int, stored: bytes | None, blob_id: str | None, offset: int, size: int) -> Body:
    if codec == Codec.SHARED:
        shared = tx.one("SELECT codec, body FROM shared_body WHERE id=?", (blob_id,))
        if shared is None:
            raise DatabaseDamaged("A message has lost its shared body; run `postino verify`")
        codec, stored = shared
        if codec == Codec.RAW:
            return stored or b""
    return StoredBody(codec, stored, blob_id, offset, size)


def stored_bodies(tx: Tx, account_id: AccountId, first: int, last: int) -> list[tuple[Any, ...]]:
    """(id, parts, header, Body) of the contents with these ids, upwards, whichever mailbox they are in."""
    rows = tx.all(
        "SELECT c.id, c.parts, o.header, o.codec, o.body, o.blob_id, o.blob_offset, c.size - length(o.header)"
        " FROM content c CROSS JOIN octets o ON o.account_id=c.account_id AND o.content_id=c.id"
        " WHERE c.account_id=? AND c.id BETWEEN ? AND ? ORDER BY c.id",
        (account_id, first, last),
    )
    return _with_bodies(tx, rows)


def body_octets(body: Body, blobs: BlobStore) -> bytes:
    """All of a body, in memory. For one of unknown size open_body is kinder."""
    if isinstance(body, bytes):
        return body
    if body.codec == Codec.BLOB:
        return blobs.read(BlobId(body.blob_id or ""), body.offset, body.size)
    return unpack(body.codec, body.stored or b"", body.size)


def open_body(body: Body, blobs: BlobStore) -> BodySource:
    """A body for reading by range; a blob is then never in memory as a whole."""
    return BodySource(body, blobs)
