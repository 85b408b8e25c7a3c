"""How an extension says what it adds: commands, tests, and tags of others' commands.

RFC: 5228 §2.6 (arguments), §2.7 (match types as tags), §2.10.5 (extensions).
Invariants: values only; an extension is one file of extensions/, listed in extensions/__init__.py.
Not here: looking names up and checking arguments (compiler.py).
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from postino.sieve.texts import TextValue

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

Op = Callable[["Run"], bool]
"""A compiled command; true ends the script (stop, return)."""
Check = Callable[["Run"], bool]
"""A compiled test."""


class Takes(Enum):
    """What an argument is."""

    NUMBER = "a number"
    STRING = "a string"
    STRINGS = "a string or a list of strings"


class Tests(Enum):
    """How many tests stand behind a name."""

    NONE = 0
    ONE = 1
    MANY = 2


class TagSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A tagged argument."""

    name: str
    takes: Takes | None = None
    extension: str = ""
    """Empty: of whatever it is listed in."""
    group: str = ""
    """Of one group only one may be given: `match`, `part`, ..."""


class CommandSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A command (action or control)."""

    name: str
    params: Sequence[tuple[str, Takes]] = ()
    optional: int = 0
    """How many of the first of `params` may be missing."""
    optional_last: bool = False
    """The last of `params` may be missing."""
    tags: Sequence[TagSpec] = ()
    tests: Tests = Tests.NONE
    has_block: bool = False
    matches: bool = False
    """It takes a match type and a comparator."""
    extension: str = ""
    compile: "Callable[[Compiling, Bound], Op]"


class TestSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A test."""

    name: str
    params: Sequence[tuple[str, Takes]] = ()
    optional: int = 0
    tags: Sequence[TagSpec] = ()
    tests: Tests = Tests.NONE
    matches: bool = False
    """It takes a match type and a comparator."""
    extension: str = ""
    compile: "Callable[[Compiling, Bound], Check]"


class MoreTags(msgspec.Struct, frozen=True, kw_only=True):
    """Tags an extension adds to commands or tests that are there."""

    to: Sequence[str]
    tags: Sequence[TagSpec]


class MatchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison, as a test asks for it."""

    keys: Sequence[TextValue]
    comparator: str
    fold: Callable[[str], str] | None
    """None for i;ascii-numeric, which knows numbers only."""
    relation: Sequence[TextValue]
    """The match type's own argument (:value "gt"); empty for those without."""
    keeps_matches: bool
    """Whether ${1} may be asked for."""
    fault: Callable[[str], None]
    """Notes what is wrong with it."""


class Matching(msgspec.Struct, frozen=True):
    """A compiled comparison of values with keys."""

    values: "Callable[[Run, Sequence[str]], bool]"
    folded: "Callable[[Run, Sequence[str]], bool] | None" = None
    """The same for values that are folded (i;ascii-casemap) already; None where they must not be."""
    counts: bool = False
    """It looks at how many values there are, so none must be left out."""


class MatchType(msgspec.Struct, frozen=True, kw_only=True):
    """A way to compare: `:is`."""

    name: str
    takes: Takes | None = None
    make: Callable[[MatchSpec], Matching]
    tests: Sequence[str] = ()
    """The only tests that have it; empty: all that compare."""
    has_comparator: bool = True
    """:comparator may stand beside it."""


class EnvelopePart(msgspec.Struct, frozen=True, kw_only=True):
    """Something the envelope test can ask for that is no address."""

    name: str
    values: "Callable[[Run, int | None], Sequence[str]]"
    """Those there are, for a zone in minutes east of UTC, None for the local one; none when not given."""


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """One capability string and what `require` of it makes known."""

    name: str
    commands: Sequence[CommandSpec] = ()
    tests: Sequence[TestSpec] = ()
    more_tags: Sequence[MoreTags] = ()
    match_types: Sequence[MatchType] = ()
    envelope_parts: Sequence[EnvelopePart] = ()
    excludes: Sequence[str] = ()
    """Others that must not be required beside it."""
    implies: Sequence[str] = ()
    """Others that need not be required beside it."""
