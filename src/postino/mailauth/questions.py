"""What a check needs from the DNS, as values: a generator yields questions and is sent the answers.

Invariants: a check asks a limited number of questions; a generator is sent one answer for each question it
    yielded, in their order.
Not here: asking (net/dns/asking.py).
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TxtQuestion:
    """The TXT records of a name, each with its strings joined."""

    name: str
    """A-labels, without a final dot."""


TxtAnswer = tuple[str, ...] | None
"""The records, none when there are none; None when there is no answer now."""

Check = Generator[Sequence[TxtQuestion], Sequence[TxtAnswer], T]
"""Returns T when it has been answered."""
