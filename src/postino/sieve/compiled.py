"""Functions that run blocks, and words for arguments: what the compiler puts together.

RFC: 5228 §3.1 (if), §2.6 (arguments).
Not here: checking (compiler.py), ifs (ifs.py).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from postino.sieve.language.syntax import Argument, Number, Strings, Tag, Text
from postino.sieve.vocabulary import Op, Takes

if TYPE_CHECKING:
    from postino.sieve.run import Run

_MOST_SHOWN: Final = 200


def executed(ops: Sequence[Op]) -> Op:
    """One op of many; ends when one of them ends the script."""
    row = tuple(ops)
    if len(row) == 1:
        return row[0]

    def execute(run: "Run") -> bool:
        for op in row:  # noqa: SIM110
            if op(run):
                return True
        return False

    return execute


def kind_of(value: Argument) -> str:
    """What an argument is, in words."""
    match value:
        case Text():
            return "a string"
        case Strings():
            return "a list of strings"
        case Number():
            return "a number"
        case Tag():
            return f":{value.name}"


def listed(params: Sequence[tuple[str, Takes]], optional: int) -> str:
    """What a command takes, in words."""
    if not params:
        return "no arguments"
    words = [
        f"{name.replace('_', ' ')} ({takes.value}{', may be missing' if number < optional else ''})"
        for number, (name, takes) in enumerate(params)
    ]
    return " and ".join(words)


def counted(given: Sequence[Argument]) -> str:
    """How many arguments there are, in words."""
    if not given:
        return "there is none"
    return "there is one" if len(given) == 1 else f"there are {len(given)}"


def short(words: str) -> str:
    """The beginning of what is long."""
    return words if len(words) <= _MOST_SHOWN else words[:_MOST_SHOWN] + "..."
