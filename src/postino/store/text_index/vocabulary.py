"""The words of some documents and who has them, in three values that are searched as they lie.

Layout: `common` holds the words of several documents, the most frequent first, each between line feeds;
`single` the words of one document only, document after document, so that where a word lies says whose
it is; `postings` the documents of each common word, as a bit map or as a list, whichever is smaller.
Invariants: every word of every document is in exactly one of the first two.
Not here: what words say about a needle (needle.py), the documents' texts (segment.py).
"""

import struct
from array import array
from bisect import bisect_right
from collections import defaultdict, deque
from itertools import groupby, repeat
from typing import Final

from postino.store.text_index.document import DOCUMENT_END

_PIECE_OCTETS: Final = 64 * 1024
_HEAD: Final = struct.Struct("<IIII")
_RUN: Final = struct.Struct("<II")


class VocabularyBuilder:
    """Takes the texts of documents 0, 1, 2 ..."""

    def __init__(self) -> None:
        self._documents: defaultdict[bytes, list[int]] = defaultdict(list)

    def add(self, document: int, text: bytes) -> None:
        """Note the words of a document; numbers must come upwards."""
        words: set[bytes] = set()
        start = 0
        while start < len(text):
            # In pieces: each step below holds the interpreter's lock from its beginning to its end.
            end = start + _PIECE_OCTETS
            if end < len(text):
                end = _end_of_word(text, end)
            words.update(text[start:end].split())
            start = end
        # PERF: a loop over the words without Python code between them: 30 us instead of 100 for 4 KB.
        get = self._documents.__getitem__
        deque(map(list.append, map(get, words), repeat(document)), maxlen=0)

    def finish(self, documents: int) -> tuple[bytes, bytes, bytes]:
        """(common, single, postings) for this number of documents."""
        alone: list[list[bytes]] = [[] for _ in range(documents)]
        shared: list[tuple[int, bytes, list[int]]] = []
        for word, found in self._documents.items():
            if len(found) == 1:
                alone[found[0]].append(word)
            else:
                shared.append((len(found), word, found))
        shared.sort(key=lambda entry: -entry[0])
        single = DOCUMENT_END.join([b"\n%b\n" % b"\n".join(words) if words else b"" for words in alone])
        common = b"\n%b\n" % b"\n".join([word for _, word, _ in shared]) if shared else b""
        return common, single, _pack_postings(shared, documents)


def _end_of_word(text: bytes, at: int) -> int:
    """Where the word that reaches over `at` ends."""
    while at < len(text):
        first = text[at : at + 1024].split(maxsplit=1)
        if text[at : at + 1].isspace() or not first:
            return at
        at += len(first[0])
        if len(first[0]) < 1024:
            return at
    return at


def _pack_postings(shared: list[tuple[int, bytes, list[int]]], documents: int) -> bytes:
    row = (documents + 7) // 8
    mapped = 0
    maps: list[bytes] = []
    while mapped < len(shared) and 2 * shared[mapped][0] >= row:
        bits = 0
        for document in shared[mapped][2]:
            bits |= 1 << document
        maps.append(bits.to_bytes(row, "little"))
        mapped += 1
    runs: list[bytes] = []
    listed: list[bytes] = []
    at = mapped
    for count, entries in groupby(shared[mapped:], key=lambda entry: entry[0]):
        runs.append(_RUN.pack(count, at))
        for _, _, found in entries:
            listed.append(array("H", found).tobytes())
            at += 1
    return b"".join((_HEAD.pack(documents, mapped, len(runs), at), *runs, *maps, *listed))


class Vocabulary:
    """Finds out which documents have a word that a pattern is found in."""

    __slots__ = (
        "_common",
        "_documents",
        "_listed_at",
        "_mapped",
        "_maps_at",
        "_postings",
        "_runs",
        "_single",
    )

    def __init__(self, common: bytes, single: bytes, postings: bytes) -> None:
        self._common = common
        self._single = single
        self._postings = postings
        documents, mapped, runs, words = _HEAD.unpack_from(postings)
        self._documents = documents
        self._mapped = mapped
        self._maps_at = _HEAD.size + runs * _RUN.size
        self._runs: list[tuple[int, int, int]] = []
        """(number of the first word, where its list begins, documents of each) of words as frequent."""
        at = self._maps_at + mapped * ((documents + 7) // 8)
        bounds = list(_RUN.iter_unpack(postings[_HEAD.size : self._maps_at]))
        ends = [first for _, first in bounds[1:]] + [words]
        for (count, first), after in zip(bounds, ends, strict=False):
            self._runs.append((first, at, count))
            at += (after - first) * count * 2
        if at != len(postings):
            raise ValueError("a word list of the search index has lost its length")

    def documents(self, pattern: bytes, wanted: int) -> int:
        """The documents, as bits, of which a word passes `pattern`; those not in `wanted` may be left out."""
        found = self._in_common(pattern, wanted)
        if wanted & ~found:
            found |= self._in_single(pattern)
        return found

    def _in_common(self, pattern: bytes, wanted: int) -> int:
        common = self._common
        bits = 0
        anchor = 1 if pattern[:1] == b"\n" else 0
        word = -1
        counted = 0
        at = common.find(pattern)
        while at >= 0:
            start = at + anchor
            word += common.count(b"\n", counted, start)
            bits |= self._posting(word)
            if not wanted & ~bits:
                break
            counted = common.find(b"\n", start)
            at = common.find(pattern, counted)
        return bits

    def _in_single(self, pattern: bytes) -> int:
        single = self._single
        bits = 0
        document = counted = 0
        at = single.find(pattern)
        while at >= 0:
            document += single.count(DOCUMENT_END, counted, at)
            bits |= 1 << document
            counted = single.find(DOCUMENT_END, at)
            if counted < 0:
                break
            at = single.find(pattern, counted)
        return bits

    def _posting(self, word: int) -> int:
        """The documents of a common word, as bits."""
        if word < self._mapped:
            row = (self._documents + 7) // 8
            at = self._maps_at + word * row
            return int.from_bytes(self._postings[at : at + row], "little")
        first, at, count = self._runs[bisect_right(self._runs, (word + 1,)) - 1]
        at += (word - first) * count * 2
        bits = 0
        for document in array("H", self._postings[at : at + 2 * count]):
            bits |= 1 << document
        return bits

    def words(self, piece: bytes) -> "dict[bytes, int]":
        """Every word that contains `piece`, with its documents as bits."""
        found: dict[bytes, int] = {}
        common = self._common
        word = -1
        counted = 0
        at = common.find(piece)
        while at >= 0:
            word += common.count(b"\n", counted, at)
            counted = common.find(b"\n", at)
            found[common[common.rfind(b"\n", 0, at) + 1 : counted]] = self._posting(word)
            at = common.find(piece, counted)
        single = self._single
        document = counted = 0
        at = single.find(piece)
        while at >= 0:
            document += single.count(DOCUMENT_END, counted, at)
            counted = single.find(b"\n", at)
            found[single[single.rfind(b"\n", 0, at) + 1 : counted]] = 1 << document
            at = single.find(piece, counted)
        return found
