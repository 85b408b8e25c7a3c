"""Sets of message numbers as sorted ranges: sequence sets, UID sets, and known-UIDs.

RFC: 9051 §4.1.1 and §9 (sequence-set), 5182 (`$` is the parser's, not ours).
Invariants: ranges are sorted, do not touch and are never empty; a set of a million
    consecutive numbers costs one range.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from postino.core.errors import ProtocolViolation

MAX_NUMBER: Final = 4_294_967_295


class NumberSet:
    """An immutable set of positive integers. Iteration and `ranges` go upwards."""

    __slots__ = ("ranges",)

    ranges: tuple[tuple[int, int], ...]
    """Inclusive (first, last) pairs."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        merged: list[tuple[int, int]] = []
        for low, high in sorted((a, b) if a <= b else (b, a) for a, b in ranges):
            if merged and low <= merged[-1][1] + 1:
                if high > merged[-1][1]:
                    merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        self.ranges = tuple(merged)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "NumberSet":
        """The set of these numbers, in any order, doubles allowed."""
        ranges: list[tuple[int, int]] = []
        first = last = 0
        for number in sorted(numbers):
            if number == last + 1 and ranges:
                last = number
                ranges[-1] = (first, last)
            elif number != last or not ranges:
                first = last = number
                ranges.append((first, last))
        return cls._made(tuple(ranges))

    @classmethod
    def _made(cls, ranges: tuple[tuple[int, int], ...]) -> "NumberSet":
        """From ranges as they must be."""
        made = cls.__new__(cls)
        made.ranges = ranges
        return made

    @classmethod
    def between(cls, first: int, last: int) -> "NumberSet":
        """The numbers from `first` to `last`, in either order."""
        return cls._made(((first, last) if first <= last else (last, first),))

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        at = bisect_right(self.ranges, (number, MAX_NUMBER + 1)) - 1
        return at >= 0 and number <= self.ranges[at][1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NumberSet) and self.ranges == other.ranges

    def __hash__(self) -> int:
        return hash(self.ranges)

    def __repr__(self) -> str:
        return f"NumberSet({self})"

    def __str__(self) -> str:
        """The IMAP form, `1:3,7`; empty for the empty set."""
        return ",".join(str(a) if a == b else f"{a}:{b}" for a, b in self.ranges)

    @property
    def first(self) -> int:
        """The smallest member. Raises IndexError when empty."""
        return self.ranges[0][0]

    @property
    def last(self) -> int:
        """The largest member. Raises IndexError when empty."""
        return self.ranges[-1][1]

    def union(self, other: "NumberSet") -> "NumberSet":
        """Every number that is in either set."""
        return NumberSet((*self.ranges, *other.ranges))

    def intersection(self, other: "NumberSet") -> "NumberSet":
        """Every number that is in both sets."""
        found: list[tuple[int, int]] = []
        mine, theirs = self.ranges, other.ranges
        i = j = 0
        while i < len(mine) and j < len(theirs):
            low, high = max(mine[i][0], theirs[j][0]), min(mine[i][1], theirs[j][1])
            if low <= high:
                found.append((low, high))
            if mine[i][1] < theirs[j][1]:
                i += 1
            else:
                j += 1
        return NumberSet(found)

    def difference(self, other: "NumberSet") -> "NumberSet":
        """Every number of this set that `other` lacks."""
        kept: list[tuple[int, int]] = []
        theirs = other.ranges
        j = 0
        for low, high in self.ranges:
            start = low
            while j < len(theirs) and theirs[j][1] < start:
                j += 1
            at = j
            while at < len(theirs) and theirs[at][0] <= high:
                if theirs[at][0] > start:
                    kept.append((start, theirs[at][0] - 1))
                start = max(start, theirs[at][1] + 1)
                at += 1
            if start <= high:
                kept.append((start, high))
        return NumberSet(kept)


class SequenceSet:
    """A set as a client wrote it, where `*` still stands for the largest number in use."""

    __slots__ = ("parts",)

    parts: tuple[tuple[int, int], ...]
    """(first, last) as written; 0 stands for `*`."""

    def __init__(self, parts: tuple[tuple[int, int], ...]) -> None:
        self.parts = parts

    def resolve(self, largest: int) -> NumberSet:
        """Replace `*` by `largest` (0 for an empty mailbox gives an empty set for `*`).

        `7:*` holds `largest` even when that is below 7 (RFC 9051 §6.4.8 and §9, seq-range).
        """
        if len(self.parts) == 1 and largest:
            # PERF: mostly it is one message or one range (bench: imap.store).
            a, b = self.parts[0]
            return NumberSet.between(a or largest, b or largest)
        ranges = ((a or largest, b or largest) for a, b in self.parts)
        return NumberSet((a, b) for a, b in ranges if a and b)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SequenceSet) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __str__(self) -> str:
        def text(n: int) -> str:
            return str(n) if n else "*"

        return ",".join(text(a) if a == b else f"{text(a)}:{text(b)}" for a, b in self.parts)

    def __repr__(self) -> str:
        return f"SequenceSet({self})"


def parse_sequence_set(octets: bytes, *, max_parts: int = 10_000) -> SequenceSet:
    """Parse `1:3,7,9:*`. Raises ProtocolViolation for anything else, zero and numbers over 32 bits."""
    if octets.isdigit():
        # As mostly, one number.
        first = _number(octets)
        return SequenceSet(((first, first),))
    parts: list[tuple[int, int]] = []
    pieces = octets.split(b",")
    if len(pieces) > max_parts:
        raise ProtocolViolation(f"A set may have at most {max_parts} parts; use fewer commands or ranges")
    for piece in pieces:
        low, colon, high = piece.partition(b":")
        first = _number(low)
        parts.append((first, _number(high) if colon else first))
    return SequenceSet(tuple(parts))


def _number(octets: bytes) -> int:
    if octets == b"*":
        return 0
    if not octets.isdigit() or len(octets) > 10 or octets[:1] == b"0":
        raise ProtocolViolation("A message set is numbers, ranges and '*', such as 1:3,7,9:*")
    number = int(octets)
    if number > MAX_NUMBER:
        raise ProtocolViolation("A message number has at most 32 bits")
    return number
