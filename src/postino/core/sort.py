"""What messages are put in order by: IMAP's SORT names it, the store knows the values.

RFC: 5256 §3 (sort criteria), 5957 §4 (DISPLAYFROM, DISPLAYTO), 6203 §6 (RELEVANCY).
Invariants: no wire syntax.
Not here: the values (store/sort.py), how texts are compared (mime/collation.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class SortKey(Enum):
    """What two messages are compared by."""

    ARRIVAL = "ARRIVAL"
    CC = "CC"
    DATE = "DATE"
    DISPLAYFROM = "DISPLAYFROM"
    DISPLAYTO = "DISPLAYTO"
    FROM = "FROM"
    RELEVANCY = "RELEVANCY"
    """How well a FUZZY search found them, the best first."""
    SIZE = "SIZE"
    SUBJECT = "SUBJECT"
    TO = "TO"


@dataclass(frozen=True, slots=True)
class SortCriterion:
    """One of a SORT's criteria; the first decides, the next only between equals."""

    key: SortKey
    is_reverse: bool = False


def order_of(count: int, columns: Sequence[tuple[Sequence[int] | Sequence[str], bool]]) -> list[int]:
    """The places 0 to count-1 in the order of the (values, is reverse) columns; equals stay as they were."""
    order = list(range(count))
    # Sorting is stable, also in reverse, so the least important column goes first.
    for values, is_reverse in reversed(columns):
        order.sort(key=values.__getitem__, reverse=is_reverse)
    return order
