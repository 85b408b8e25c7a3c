"""A command or test with its arguments sorted out: what an extension's compile function is given.

Invariants: tags and parameters are those the vocabulary lists, of the right kind.
Not here: sorting them out (compiler.py).
"""

import msgspec

from postino.sieve.actions import Place
from postino.sieve.language.syntax import Command, Number, Strings, Test, Text
from postino.sieve.texts import TextValue
from postino.sieve.vocabulary import Check, Op


class Bound(msgspec.Struct, kw_only=True):
    """One use of a command or test."""

    node: Command | Test
    place: Place
    tags: dict[str, Text | Strings | Number | None]
    """By name; None for a tag without a value."""
    texts: dict[str, list[TextValue]]
    """String parameters and tags' strings by name, compiled; a single string is a list of one."""
    numbers: dict[str, int]
    checks: list[Check]
    """The tests behind the name, compiled."""
    block: list[Op]

    def text(self, name: str) -> TextValue:
        """The one string of a parameter or tag that was given."""
        return self.texts[name][0]

    def one_of(self, *names: str) -> str:
        """Which of these tags was given; empty for none."""
        for name in names:
            if name in self.tags:
                return name
        return ""
