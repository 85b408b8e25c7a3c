"""What a SEARCH, SORT or ESEARCH is to answer with: the options after RETURN.

RFC: 4731 §3.1 (MIN, MAX, ALL, COUNT), 5182 §2.1 (SAVE), 5267 §4 (CONTEXT, UPDATE, PARTIAL), 9394 §3.1
    (PARTIAL from the end) and §3.2 (with SAVE), 6203 §4 (RELEVANCY), 5465 §7 (items after UPDATE).
Exposure: after login.
Not here: the answer (responses/message.py), which messages are found (search_key.py).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from postino.core.numset import MAX_NUMBER
from postino.imap.fetch_grammar import fetch_items
from postino.imap.fetch_item import FetchItem
from postino.imap.scanner import Scanner

T = TypeVar("T")
_START: Final = re.compile(rb"RETURN \(", re.IGNORECASE)
_RANGE: Final = re.compile(rb"([1-9][0-9]{0,9}):([1-9][0-9]{0,9})|-([1-9][0-9]{0,9}):-([1-9][0-9]{0,9})")
_NO_RANGE: Final = "PARTIAL takes a range such as 1:100 or -1:-100"
OPTIONS: Final = frozenset(
    {"MIN", "MAX", "ALL", "COUNT", "SAVE", "PARTIAL", "CONTEXT", "UPDATE", "RELEVANCY"}
)
UNSPOKEN: Final = frozenset({"SAVE", "CONTEXT", "UPDATE"})
"""Options that add nothing to the answer itself."""


@dataclass(frozen=True, slots=True)
class PartialRange:
    """Some of the results, counted from 1; with `from_end` the last is the first."""

    first: int
    last: int
    from_end: bool = False

    def places(self, count: int) -> tuple[int, int]:
        """Where the part that is meant is among `count` results, as a half-open range, perhaps empty."""
        low, high = min(self.first, self.last), max(self.first, self.last)
        if self.from_end:
            low, high = count - high + 1, count - low + 1
        return max(low - 1, 0), max(min(high, count), 0)

    def of(self, results: Sequence[T]) -> Sequence[T]:
        """The part of `results` that is meant, in their order; fewer or none where they end."""
        first, end = self.places(len(results))
        return results[first:end]

    def __str__(self) -> str:
        """As the client wrote it."""
        sign = "-" if self.from_end else ""
        return f"{sign}{self.first}:{sign}{self.last}"


@dataclass(frozen=True, slots=True)
class Returning:
    """The options of one command; none at all (`RETURN ()`) means ALL."""

    options: frozenset[str] = frozenset()
    partial: PartialRange | None = None
    items: tuple[FetchItem, ...] = ()
    """After UPDATE: what is told of each new message that joins the results."""

    def __contains__(self, option: str) -> bool:
        return option in self.options

    @property
    def told(self) -> frozenset[str]:
        """What the answer is made of."""
        return self.options - UNSPOKEN if self.options else frozenset({"ALL"})

    @property
    def is_silent(self) -> bool:
        """Only SAVE was asked for, and so there is no answer (RFC 5182 §2.1)."""
        return self.options == {"SAVE"}

    def returned(self, results: Sequence[int]) -> list[int]:
        """The results the answer speaks of, which SAVE keeps (RFC 5182 §2.4, 9394 §3.2, 7162 §3.1.10)."""
        if not results or "COUNT" in self.options or "ALL" in self.options:
            return list(results)
        if not self.options & {"MIN", "MAX", "PARTIAL"}:
            return list(results)
        found: list[int] = []
        if self.partial is not None:
            found += self.partial.of(results)
        if "MIN" in self.options:
            found.append(results[0])
        if "MAX" in self.options:
            found.append(results[-1])
        return list(dict.fromkeys(found))


RETURN_ALL: Final = Returning()


def returning(scan: Scanner, allowed: Iterable[str] = OPTIONS) -> Returning | None:
    """`RETURN (options) SP`, if it is next."""
    if scan.match(_START) is None:
        return None
    options: set[str] = set()
    partial = None
    items: tuple[FetchItem, ...] = ()
    while not scan.accept(b")"):
        if options:
            scan.space()
        option = scan.keyword().decode("ascii")
        if option not in allowed:
            scan.fail(_known(scan.usage.partition(" ")[0], allowed))
        if option == "PARTIAL":
            if not scan.accept(b" "):
                scan.fail(_NO_RANGE)
            if partial is not None:
                scan.fail("RETURN takes one PARTIAL at most")
            partial = partial_range(scan)
        elif option == "UPDATE" and scan.text.startswith(b" (", scan.at):
            scan.space()
            items = fetch_items(scan)
        options.add(option)
    scan.space()
    if partial is not None and "ALL" in options:
        scan.fail("RETURN takes ALL or PARTIAL, not both")
    return Returning(frozenset(options), partial, items)


def _known(command: str, allowed: Iterable[str]) -> str:
    return f"{command} returns {', '.join(sorted(allowed))}, such as RETURN (COUNT)"


def partial_range(scan: Scanner) -> PartialRange:
    """`1:100`, or `-1:-100` to count from the end."""
    found = scan.match(_RANGE)
    if found is None:
        scan.fail(_NO_RANGE)
    first, last, first_back, last_back = (int(number or 0) for number in found.groups())
    if max(first, last, first_back, last_back) > MAX_NUMBER:
        scan.fail(_NO_RANGE)
    if first:
        return PartialRange(first, last)
    return PartialRange(first_back, last_back, from_end=True)
