"""SEARCH keys that compare one value of a message with a number, and the texts that have a column.

RFC: 9051 §6.4.4 (sizes, dates), 8514 (SAVEDBEFORE, SAVEDSINCE), 5032 (OLDER, YOUNGER).
Not here: comparing, in SQL (search_sql.py) or in memory (servers/imap/searching/recall.py).
"""

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import Any, Final, NamedTuple, assert_never

from postino.core.search import (
    ArrivedBefore,
    ArrivedFrom,
    ArrivedSince,
    ArrivedUntil,
    SavedBefore,
    SavedSince,
    SentBefore,
    SentSince,
    SizeOver,
    SizeUnder,
)
from postino.store.sort import KeyColumn

Comparing = (
    SizeOver
    | SizeUnder
    | ArrivedBefore
    | ArrivedSince
    | ArrivedUntil
    | ArrivedFrom
    | SavedBefore
    | SavedSince
    | SentBefore
    | SentSince
)

TEXT_COLUMNS: Final[Mapping[str, KeyColumn]] = {
    "subject": KeyColumn.SUBJECT_TEXT,
    "from": KeyColumn.FROM_TEXT,
    "to": KeyColumn.TO_TEXT,
    "cc": KeyColumn.CC_TEXT,
    "bcc": KeyColumn.BCC_TEXT,
}
"""Fields, in lower case, whose texts delivery has put into a column of their own, folded."""

_DAY: Final = 86_400


class Comparison(NamedTuple):
    """A message meets the key when `compare(value of column, operand)`."""

    column: KeyColumn
    compare: Callable[[Any, Any], bool]
    """One of operator.lt, le, ge, gt."""
    operand: int


def comparison_of(key: Comparing) -> Comparison:
    """What the key compares."""
    match key:
        case SizeOver(octets):
            return Comparison(KeyColumn.SIZE, gt, octets)
        case SizeUnder(octets):
            return Comparison(KeyColumn.SIZE, lt, octets)
        case ArrivedBefore(day):
            return Comparison(KeyColumn.INTERNAL_DATE, lt, day * _DAY)
        case ArrivedSince(day):
            return Comparison(KeyColumn.INTERNAL_DATE, ge, day * _DAY)
        case ArrivedUntil(instant):
            return Comparison(KeyColumn.INTERNAL_DATE, le, instant)
        case ArrivedFrom(instant):
            return Comparison(KeyColumn.INTERNAL_DATE, ge, instant)
        case SavedBefore(day):
            return Comparison(KeyColumn.SAVE_DATE, lt, day * _DAY)
        case SavedSince(day):
            return Comparison(KeyColumn.SAVE_DATE, ge, day * _DAY)
        case SentBefore(day):
            return Comparison(KeyColumn.SENT_DAY, lt, day)
        case SentSince(day):
            return Comparison(KeyColumn.SENT_DAY, ge, day)
        case _:
            assert_never(key)
