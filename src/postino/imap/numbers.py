"""Which messages a command means: a set of numbers, or the saved result of a search.

RFC: 9051 §4.1.1 and §9 (sequence-set), 5182 §2.1 (`$`).
Not here: resolving `*` and sequence numbers to UIDs (view.py).
"""

from dataclasses import dataclass
from typing import Final

from postino.core.numset import SequenceSet


@dataclass(frozen=True, slots=True)
class SavedResult:
    """`$`: the messages the last SEARCH with RETURN (SAVE) found."""

    def __str__(self) -> str:
        return "$"


SAVED_RESULT: Final = SavedResult()

Numbers = SequenceSet | SavedResult
"""Message numbers as a client wrote them; sequence numbers or UIDs, as the command says."""
