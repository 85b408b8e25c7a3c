"""Which raw header values a test looks at: all of a name, or the one :index chooses.

RFC: 5228 §5.1, §5.7 (all fields of a name), 5260 §6 (:index, :last).
Not here: decoding (message.py), comparing (matching.py).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

Source = Callable[["Run", Sequence[str]], Sequence[bytes]]
"""(run, lower-case field names) -> raw values; :index counts through all names in their order."""


def is_plain(bound: "Bound") -> bool:
    """Whether the test looks at all fields of the message's own header."""
    return not bound.tags.keys() & {"index", "last", "mime", "anychild"}


def source_of(compiling: "Compiling", bound: "Bound") -> Source:
    """Where the test finds its values."""
    if "index" in bound.tags:
        return _chosen(_all_fields, _position(compiling, bound))
    if "last" in bound.tags:
        compiling.fault(bound.node, ":last counts for :index, which is not there; add it or remove :last.")
    return _all_fields


def _all_fields(run: "Run", names: Sequence[str]) -> Sequence[bytes]:
    fields = run.message.fields
    return [value for name in names for value in fields.get(name, ())]


def _position(compiling: "Compiling", bound: "Bound") -> int:
    number = bound.numbers.get("index", 0)
    if number < 1:
        compiling.fault(bound.node, ":index counts from 1.")
    return -number if "last" in bound.tags else number - 1


def _chosen(source: Source, position: int) -> Source:
    def chosen(run: "Run", names: Sequence[str]) -> Sequence[bytes]:
        values = source(run, names)
        if -len(values) <= position < len(values):
            return (values[position],)
        return ()

    return chosen
