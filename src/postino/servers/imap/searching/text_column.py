"""One text of each of many messages, laid end to end, to be looked through in one go.

Invariants: the octet TEXT_END, which UTF-8 never uses, parts the texts; a chunk is never changed, so what
    snapshot() gave stays as it is whatever is added.
Not here: which messages the texts are of (key_cache.py).
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

TEXT_END: Final = b"\xff"
NOWHERE: Final = -1
"""The place of a message that has no text here."""
CHUNK_TEXTS: Final = 4_096
CHUNK_OCTETS: Final = 64 * 1024
"""A chunk grows up to here: what is added one by one is copied each time."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Some messages' texts."""

    chunks: Sequence[tuple[int, bytes]]
    """How many texts, and they, each with TEXT_END."""
    places: "array[int] | None" = None
    """Which of the texts are meant, in this order, NOWHERE for none; None for each as it is."""

    def containing(self, text: str) -> bytes:
        """For each message, 1 when its text contains `text`, which is not empty, else 0."""
        octets = text.encode("utf-8", "surrogatepass")
        found = b"".join([_rows_with(count, texts, octets) for count, texts in self.chunks])
        if self.places is None:
            return found
        # The last one is NOWHERE's.
        return bytes(map((found + b"\0").__getitem__, self.places))


class TextColumn:
    """The texts of one column of a mailbox, growing at the end."""

    __slots__ = ("_chunks", "count", "octets")

    def __init__(self) -> None:
        self._chunks: list[tuple[int, bytes]] = []
        self.count = 0
        self.octets = 0

    def extend(self, texts: Sequence[str]) -> None:
        """Add a text for each further message."""
        for at in range(0, len(texts), CHUNK_TEXTS):
            self._extend(texts[at : at + CHUNK_TEXTS])

    def _extend(self, texts: Sequence[str]) -> None:
        added = "\0".join(texts)
        if added.count("\0") == len(texts) - 1:
            # PERF: encoded at once; TEXT_END stands in no text, so it may stand in for what parts them.
            octets = added.encode("utf-8", "surrogatepass").replace(b"\0", TEXT_END) + TEXT_END
        else:
            octets = b"".join([text.encode("utf-8", "surrogatepass") + TEXT_END for text in texts])
        count = len(texts)
        self.count += count
        self.octets += len(octets)
        if self._chunks and len(self._chunks[-1][1]) + len(octets) <= CHUNK_OCTETS:
            before, earlier = self._chunks.pop()
            count, octets = before + count, earlier + octets
        self._chunks.append((count, octets))

    def texts(self) -> list[str]:
        """All of them, one by one."""
        found: list[str] = []
        for count, octets in self._chunks:
            joined = octets[:-1].replace(TEXT_END, b"\0").decode("utf-8", "surrogatepass").split("\0")
            if len(joined) != count:  # one has that character itself
                joined = [text.decode("utf-8", "surrogatepass") for text in octets.split(TEXT_END)[:count]]
            found += joined
        return found

    def snapshot(self, places: "array[int] | None" = None) -> Texts:
        """The texts so far, or those at these places."""
        return Texts(tuple(self._chunks), places)


def _rows_with(count: int, texts: bytes, octets: bytes) -> bytes:
    rows = bytearray(count)
    if octets in texts:
        # PERF: between two finds lie as many texts as there are ends: 0.1 us a find, and what lies between
        # is gone through by C: 200,000 subjects in 3 ms.
        for row in accumulate([piece.count(TEXT_END) for piece in texts.split(octets)[:-1]]):
            rows[row] = 1
    return bytes(rows)
