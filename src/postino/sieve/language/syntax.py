"""The tree of a script: what was written, before anybody asks what it means.

RFC: 5228 §8.2 (grammar).
Invariants: the tree can be stored (msgspec) and printed (printer.py); places are those of the source.
Not here: which commands there are and what they take (vocabulary.py, compiler.py).
"""

import msgspec


class Text(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="s"):
    """A string, without quotes and escapes."""

    line: int
    column: int
    value: str


class Strings(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="l"):
    """A list of strings in brackets."""

    line: int
    column: int
    items: tuple[Text, ...]


class Number(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="n"):
    """A number; `10K` is 10240."""

    line: int
    column: int
    value: int


class Tag(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="t"):
    """A tagged argument's name in lower case, without the colon."""

    line: int
    column: int
    name: str


Argument = Text | Strings | Number | Tag


class Test(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="?"):
    """A test; `tests` are those in its parentheses, or the one behind `not`."""

    line: int
    column: int
    name: str
    arguments: tuple[Argument, ...] = ()
    tests: tuple["Test", ...] = ()


class Command(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="!"):
    """A command; `block` is None when a semicolon ends it."""

    line: int
    column: int
    name: str
    arguments: tuple[Argument, ...] = ()
    tests: tuple[Test, ...] = ()
    block: tuple["Command", ...] | None = None


class Tree(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A whole script."""

    commands: tuple[Command, ...]
    end_line: int
