"""What two databases write differently, in one small object; everything else is SQL both speak.

Not here: engines (store/engine/), which choose theirs.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """Pieces of SQL. Each takes one bound parameter where it holds one `?`."""

    name: str
    members: str
    """A subquery giving the integers of a JSON array parameter."""
    member_texts: str
    """A subquery giving the strings of a JSON array parameter."""
    contains: str
    """A condition with one `{}` for the text to look in and one parameter for what to find."""
    self_check: str
    """A query by which the database looks for damage in its file: `ok`, or a line for each find."""


SQLITE = Dialect(
    name="sqlite",
    members="SELECT value FROM json_each(?)",
    member_texts="SELECT value FROM json_each(?)",
    contains="instr({}, ?) > 0",
    self_check="PRAGMA quick_check",
)
