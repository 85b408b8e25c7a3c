"""What came of running scripts over a message.

RFC: 5228 §2.10.
Not here: running (run.py), several scripts in a row (sequence.py).
"""

from collections.abc import Sequence

import msgspec

from postino.sieve.actions import Action, Place, Remembered
from postino.sieve.faults import RunTimeFault


class TraceLine(msgspec.Struct, frozen=True):
    """One step, for people."""

    place: Place
    words: str


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, and why."""

    actions: Sequence[Action]
    """In order. An implicit keep is the last, as Keep with `is_implicit`. Never empty: what is thrown away
    has a Discard, or the action that stands for it."""
    remembered: Sequence[Remembered] = ()
    fault: RunTimeFault | None = None
    """Ended early; `actions` then has only a keep (RFC 5228 §2.10.6)."""
    trace: Sequence[TraceLine] = ()
    """Empty unless asked for."""
    steps: int = 0
    """What it cost, in the budget's steps."""
