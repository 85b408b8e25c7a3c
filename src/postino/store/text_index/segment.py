"""Some hundred documents packed together, never changed: what they say, and how it is searched.

A search in SUBJECT, FROM ... looks through the texts themselves, laid end to end. One in HEADER or BODY asks
the vocabulary; for a needle that is a piece of one word that is the whole answer, otherwise the texts of
those that may match are decompressed and looked through.
Invariants: find() gives exactly the wanted documents whose text contains the needle.
Not here: where pieces are stored (file.py), which documents are wanted (lookup.py).
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final

import zstandard

from postino.store.text_index.document import (
    DOCUMENT_END,
    FIELD_END,
    Document,
    Field,
    header_lines,
)
from postino.store.text_index.needle import Needle
from postino.store.text_index.vocabulary import Vocabulary, VocabularyBuilder

MOST_DOCUMENTS: Final = 1024
MOST_OCTETS: Final = 4 * 1024 * 1024
"""A segment is closed by the document that brings it here."""
_CHUNK_OCTETS: Final = 128 * 1024
_LEVEL: Final = 3


class Piece(IntEnum):
    """What a segment consists of; the first are as Field numbers them."""

    SUBJECT = 0
    FROM = 1
    TO = 2
    CC = 3
    BCC = 4
    HEADER_COMMON = 5
    HEADER_SINGLE = 6
    HEADER_POSTINGS = 7
    HEADER_TEXT = 8
    BODY_COMMON = 9
    BODY_SINGLE = 10
    BODY_POSTINGS = 11
    BODY_TEXT = 12


_COMMON: Final = {Field.HEADER: Piece.HEADER_COMMON, Field.BODY: Piece.BODY_COMMON}
_TEXT: Final = {Field.HEADER: Piece.HEADER_TEXT, Field.BODY: Piece.BODY_TEXT}
GetPiece = Callable[[int, Piece, int], bytes]
"""Reads a piece of a segment: its number, which piece, and which chunk of a TEXT."""


@dataclass(frozen=True, slots=True)
class BuiltSegment:
    """Ready to be stored."""

    ids: list[int]
    octets: int
    """The texts of HEADER and BODY together."""
    chunks: dict[Field, list[int]]
    """For each chunk of a text, the number of its first document."""
    pieces: list[tuple[Piece, int, bytes]]


class _Texts:
    """One field's texts, compressed in chunks."""

    def __init__(self) -> None:
        self.first: list[int] = []
        self.chunks: list[bytes] = []
        self._open: list[bytes] = []
        self._octets = 0
        self._compress = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress

    def add(self, document: int, text: bytes) -> None:
        if not self._open:
            self.first.append(document)
        self._open.append(text)
        self._octets += len(text)
        if self._octets >= _CHUNK_OCTETS:
            self.close()

    def close(self) -> None:
        if self._open:
            self.chunks.append(self._compress(DOCUMENT_END.join(self._open)))
            self._open.clear()
            self._octets = 0


class SegmentBuilder:
    """Takes documents by content id, upwards, until it is full."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._octets = 0
        self._named: list[list[bytes]] = [[] for _ in range(Field.HEADER)]
        self._words = {field: VocabularyBuilder() for field in _TEXT}
        self._texts = {field: _Texts() for field in _TEXT}

    @property
    def is_full(self) -> bool:
        """Whether finish() is due."""
        return len(self._ids) >= MOST_DOCUMENTS or self._octets >= MOST_OCTETS

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, content_id: int, document: Document) -> None:
        """Take one more document."""
        number = len(self._ids)
        self._ids.append(content_id)
        for field, texts in enumerate(self._named):
            texts.append(document[field])
        for field in _TEXT:
            text = document[field]
            self._octets += len(text)
            self._texts[field].add(number, text)
            self._words[field].add(number, header_lines(text) if field is Field.HEADER else text)

    def finish(self) -> BuiltSegment:
        """The segment of what was added, at least one document."""
        pieces: list[tuple[Piece, int, bytes]] = [
            (Piece(field), 0, DOCUMENT_END.join(texts)) for field, texts in enumerate(self._named)
        ]
        for field, texts in self._texts.items():
            texts.close()
            first = _COMMON[field]
            for at, value in enumerate(self._words[field].finish(len(self._ids))):
                pieces.append((Piece(first + at), 0, value))
            pieces += [(_TEXT[field], number, chunk) for number, chunk in enumerate(texts.chunks)]
        return BuiltSegment(
            self._ids, self._octets, {field: texts.first for field, texts in self._texts.items()}, pieces
        )


class Segment:
    """A stored segment, read as far as a search needs it."""

    __slots__ = ("_chunks", "_get", "_number", "ids")

    def __init__(self, number: int, ids: "array[int]", chunks: dict[Field, list[int]], get: GetPiece) -> None:
        self._number = number
        self.ids = ids
        self._chunks = chunks
        self._get = get

    def piece(self, piece: Piece, chunk: int = 0) -> bytes:
        """The stored value."""
        return self._get(self._number, piece, chunk)

    def vocabulary(self, field: Field) -> Vocabulary:
        """The words of HEADER or BODY."""
        first = _COMMON[field]
        return Vocabulary(self.piece(first), self.piece(Piece(first + 1)), self.piece(Piece(first + 2)))

    def find(self, field: Field, needle: Needle, wanted: int) -> int:
        """The documents of `wanted`, as bits, whose text contains the needle."""
        if not needle.octets:
            return wanted
        if field not in _TEXT:
            return _in_rows(self.piece(Piece(field)), needle.octets) & wanted
        found = self._may_have(self.vocabulary(field), needle, wanted) if needle.patterns else wanted
        if needle.is_exact or not found:
            return found
        octets = needle.octets
        if field is Field.HEADER and b"\n" in octets:
            return self._look(field, found, lambda texts: rows_with(header_lines(texts), octets))
        return self._look(field, found, lambda texts: rows_with(texts, octets))

    def find_header(self, name: bytes, needle: Needle, wanted: int) -> int:
        """Those that have a header field `name` (lower case) whose value contains the needle."""
        vocabulary = self.vocabulary(Field.HEADER)
        found = vocabulary.documents(b"\n%b:\n" % name, wanted) & wanted
        found = self._may_have(vocabulary, needle, found)
        return self._look(
            Field.HEADER, found, lambda texts: rows_with_field(texts, name + b": ", needle.octets)
        )

    @staticmethod
    def _may_have(vocabulary: Vocabulary, needle: Needle, wanted: int) -> int:
        for pattern in needle.patterns:
            if not wanted:
                break
            wanted &= vocabulary.documents(pattern, wanted)
        return wanted

    def _look(self, field: Field, candidates: int, rows: Callable[[bytes], Iterator[tuple[int, int]]]) -> int:
        """Those of the candidates that `rows` finds in their chunks."""
        found = 0
        bounds = [*self._chunks[field], len(self.ids)]
        for chunk, (first, after) in enumerate(pairwise(bounds)):
            here = candidates >> first & ((1 << (after - first)) - 1)
            if here:
                bits = 0
                for number, _ in rows(self._chunk(field, chunk)):
                    bits |= 1 << number
                found |= (bits & here) << first
        return found

    def _chunk(self, field: Field, chunk: int) -> bytes:
        # One for each thing decompressed: they are not to be used by two threads, and cost 1 us.
        return zstandard.ZstdDecompressor().decompress(self.piece(_TEXT[field], chunk))

    def texts(self, field: Field, chunk: int) -> list[bytes]:
        """The texts of one chunk."""
        texts = self._chunk(field, chunk).split(DOCUMENT_END)
        bounds = [*self._chunks[field], len(self.ids)]
        if len(texts) != bounds[chunk + 1] - bounds[chunk]:
            raise ValueError("a chunk of the search index has lost a document")
        return texts

    def _every_text(self, field: Field) -> Iterator[bytes]:
        for chunk in range(len(self._chunks[field])):
            yield from self.texts(field, chunk)

    def documents(self) -> Iterator[tuple[int, Document]]:
        """Every document with its content id, as it was added."""
        named = [self.piece(Piece(field)).split(DOCUMENT_END) for field in range(Field.HEADER)]
        both = [self._every_text(field) for field in _TEXT]
        for content_id, *document in zip(self.ids, *named, *both, strict=True):
            yield content_id, tuple(document)


def rows_with(rows: bytes, octets: bytes) -> Iterator[tuple[int, int]]:
    """(number, where) of the first find of some octets in each text that DOCUMENT_END parts, upwards."""
    number = counted = 0
    at = rows.find(octets)
    while at >= 0:
        number += rows.count(DOCUMENT_END, counted, at)
        yield number, at
        counted = rows.find(DOCUMENT_END, at)
        if counted < 0:
            return
        at = rows.find(octets, counted)


def rows_with_field(rows: bytes, start: bytes, octets: bytes) -> Iterator[tuple[int, int]]:
    """(number, where) of the header fields that begin with `start` and hold the octets after it."""
    number = counted = 0
    at = rows.find(start)
    while at >= 0:
        # Else the name stands in a value, or is the end of another.
        if at == 0 or rows[at - 1] >= FIELD_END[0]:
            number += rows.count(DOCUMENT_END, counted, at)
            counted = at
            value = at + len(start)
            if rows.find(octets, value, _end_of_field(rows, value)) >= 0:
                yield number, at
        at = rows.find(start, at + len(start))


def _end_of_field(rows: bytes, at: int) -> int:
    document = rows.find(DOCUMENT_END, at)
    if document < 0:
        document = len(rows)
    field = rows.find(FIELD_END, at, document)
    return document if field < 0 else field


def _in_rows(rows: bytes, octets: bytes) -> int:
    bits = 0
    for number, _ in rows_with(rows, octets):
        bits |= 1 << number
    return bits
