"""Find, among given contents, those whose text contains a needle.

Invariants: every wanted content is either judged, exactly, or given back as unknown; only segments that hold
    wanted contents are read.
Not here: which contents a mailbox has, reading those that are unknown (store/search.py).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from postino.store.text_index.document import FIELD_END, Document, Field, header_lines
from postino.store.text_index.file import IndexFile
from postino.store.text_index.needle import Needle
from postino.store.text_index.segment import Segment


@dataclass(frozen=True, slots=True)
class InFields:
    """The needle is in one of these texts."""

    fields: tuple[Field, ...]
    needle: Needle

    def in_segment(self, segment: Segment, wanted: int) -> int:
        """The documents, as bits, for which it holds."""
        found = 0
        for field in self.fields:
            left = wanted & ~found
            if left:
                found |= segment.find(field, self.needle, left)
        return found

    def in_document(self, document: Document) -> bool:
        """Whether it holds for a document."""
        octets = self.needle.octets
        return any(
            octets in (header_lines(document[field]) if field is Field.HEADER else document[field])
            for field in self.fields
        )


@dataclass(frozen=True, slots=True)
class InHeaderField:
    """A header field of this name (lower case) contains the needle."""

    name: bytes
    needle: Needle

    def in_segment(self, segment: Segment, wanted: int) -> int:
        """The documents, as bits, for which it holds."""
        return segment.find_header(self.name, self.needle, wanted)

    def in_document(self, document: Document) -> bool:
        """Whether it holds for a document."""
        start = self.name + b": "
        return any(
            line.startswith(start) and line.find(self.needle.octets, len(start)) >= 0
            for line in document[Field.HEADER].split(FIELD_END)
        )


TextKey = InFields | InHeaderField


class Found(NamedTuple):
    """What the index can say."""

    matching: list[int]
    unknown: list[int]
    """Contents that are not in the index."""


def find(index: IndexFile, key: TextKey, wanted: Sequence[int]) -> Found:
    """Judge the contents `wanted` (upwards, no doubles), inside a snapshot."""
    matching: list[int] = []
    unknown: list[int] = []
    for part in parts(index, wanted):
        if isinstance(part, Wanted):
            bits = key.in_segment(part.segment, part.bits) & part.bits
            matching += _picked(part.segment.ids, bits)
        elif isinstance(part, Loose):
            if key.in_document(part.document):
                matching.append(part.content_id)
        else:
            unknown += part
    return Found(matching, unknown)


class Wanted(NamedTuple):
    """A segment that holds wanted contents, and which."""

    segment: Segment
    bits: int


class Loose(NamedTuple):
    """A wanted content that lies in no segment."""

    content_id: int
    document: Document


def parts(index: IndexFile, wanted: Sequence[int]) -> Iterator[Wanted | Loose | list[int]]:
    """Where the wanted contents are: in segments, by themselves, or (in the last list) nowhere."""
    unknown: list[int] = []
    at = 0
    for row in index.segments():
        first = bisect_left(wanted, row.first, at)
        after = bisect_right(wanted, row.last, first)
        unknown += wanted[at:first]
        at = after
        if first == after:
            continue
        segment = index.segment(row.number)
        bits, missing = _bits(segment.ids, wanted[first:after])
        unknown += missing
        if bits:
            yield Wanted(segment, bits)
    unknown += wanted[at:]
    recent = set(index.recent_ids()).intersection(unknown)
    if recent:
        unknown = [content_id for content_id in unknown if content_id not in recent]
        for content_id, document in index.recent():
            if content_id in recent:
                yield Loose(content_id, document)
    yield unknown


def _bits(ids: "array[int]", wanted: Sequence[int]) -> tuple[int, list[int]]:
    """Which documents of a segment are wanted, and which of the wanted it lacks."""
    if len(wanted) == len(ids) and array("q", wanted) == ids:
        return (1 << len(ids)) - 1, []
    number_of = dict(zip(ids, range(len(ids)), strict=True))
    bits = 0
    missing: list[int] = []
    for content_id in wanted:
        number = number_of.get(content_id)
        if number is None:
            missing.append(content_id)
        else:
            bits |= 1 << number
    return bits, missing


def _picked(ids: "array[int]", bits: int) -> list[int]:
    if bits == (1 << len(ids)) - 1:
        return list(ids)
    return [ids[number] for number in numbers_in(bits)]


def numbers_in(bits: int) -> Iterator[int]:
    """The numbers of the bits that are set, upwards."""
    # PERF: the digits of the number, least first, are looked through faster than bits are taken off it.
    digits = f"{bits:b}"[::-1]
    at = digits.find("1")
    while at >= 0:
        yield at
        at = digits.find("1", at + 1)
