"""Read POSIX extended regular expressions, and say in plain words what cannot be read.

RFC: draft-ietf-sieve-regex-01 §2 (which expressions; no back-references).
Exposure: patterns of logged-in users; with variables, pieces of strangers' messages are in them.
Invariants: any string gives a tree or BadPattern; trees are at most MAX_DEPTH groups deep.
Not here: making a program of the tree (program.py).
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

import msgspec

from postino.core.errors import PostinoError
from postino.sieve.regular.letters import CLASSES, SAME_LETTERS, Letters, is_word

MAX_DEPTH: Final = 25
_MOST_SIGNS: Final = 3
"""Of repetition behind one thing: trees are gone through by recursion."""
MAX_COUNT: Final = 255
"""POSIX: RE_DUP_MAX."""
_REPEATS: Final = "*+?{"


class BadPattern(PostinoError):
    """This is no regular expression; the message says why."""


class Where(Enum):
    """What must hold between two letters."""

    START = "^"
    END = "$"
    EDGE = "\\b"
    NO_EDGE = "\\B"
    WORD_START = "\\<"
    WORD_END = "\\>"


class One(msgspec.Struct, frozen=True):
    """One letter of a set."""

    letters: Letters


class At(msgspec.Struct, frozen=True):
    """A place."""

    where: Where


class Row(msgspec.Struct, frozen=True):
    """One behind the other."""

    items: Sequence["Node"]


class Either(msgspec.Struct, frozen=True):
    """One of several."""

    items: Sequence["Node"]


class Repeat(msgspec.Struct, frozen=True):
    """Several times, as often as can be."""

    item: "Node"
    least: int
    most: int | None


class Group(msgspec.Struct, frozen=True):
    """What ( ) encloses."""

    item: "Node"
    number: int


Node = One | At | Row | Either | Repeat | Group

_PLACES: Final = {
    "b": Where.EDGE,
    "B": Where.NO_EDGE,
    "<": Where.WORD_START,
    ">": Where.WORD_END,
}
_SETS: Final[dict[str, tuple[Callable[[str], bool], bool]]] = {
    "w": (is_word, False),
    "W": (is_word, True),
    "s": (str.isspace, False),
    "S": (str.isspace, True),
}
_INSTEAD: Final = {
    "d": "write [0-9]",
    "D": "write [^0-9]",
    "n": "put the line end itself, or use [[:space:]]",
    "r": "put the line end itself, or use [[:space:]]",
    "t": "put the tabulator itself, or use [[:blank:]]",
}


class _Reader:
    def __init__(self, pattern: str, comparator: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.depth = 0
        self.groups = 0
        self.same = SAME_LETTERS[comparator]

    def fail(self, words: str) -> BadPattern:
        return BadPattern(words)

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def either(self) -> Node:
        items = [self.row()]
        while self.peek() == "|":
            self.at += 1
            items.append(self.row())
        return items[0] if len(items) == 1 else Either(items)

    def row(self) -> Node:
        items: list[Node] = []
        while (sign := self.peek()) and sign not in "|)":
            items.append(self.repeated())
        return items[0] if len(items) == 1 else Row(items)

    def repeated(self) -> Node:
        sign = self.peek()
        if sign in _REPEATS:
            raise self.fail(f"nothing stands before {sign}; for the sign itself write \\\\{sign}")
        item = self.atom()
        times = 0
        while (sign := self.peek()) and sign in _REPEATS:
            times += 1
            if times > _MOST_SIGNS:
                raise self.fail("too many signs of repetition stand in a row")
            item = Repeat(item, *self.times())
        return item

    def times(self) -> tuple[int, int | None]:
        sign = self.pattern[self.at]
        self.at += 1
        if sign == "*":
            return 0, None
        if sign == "+":
            return 1, None
        if sign == "?":
            return 0, 1
        end = self.pattern.find("}", self.at)
        low, comma, high = self.pattern[self.at : max(end, self.at)].partition(",")
        if end < 0 or not _is_count(low) or (high and not _is_count(high)):
            raise self.fail("behind { stands a count, as in {2,5}; for the sign itself write \\\\{")
        least = int(low)
        most = int(high) if high else None if comma else least
        if max(least, most or 0) > MAX_COUNT:
            raise self.fail(f"nothing is counted beyond {MAX_COUNT}; make the count in {{ }} smaller")
        if most is not None and most < least:
            raise self.fail(f"{{{least},{most}}} counts down; put the smaller number first")
        self.at = end + 1
        return least, most

    def atom(self) -> Node:
        sign = self.peek()
        self.at += 1
        match sign:
            case "(":
                return self.group()
            case "[":
                return One(self.bracket())
            case ".":
                return One(Letters(self.same, is_negated=True))
            case "^":
                return At(Where.START)
            case "$":
                return At(Where.END)
            case "\\":
                return self.escape()
            case _:
                return self.literal(sign)

    def literal(self, sign: str) -> Node:
        return One(Letters(self.same, frozenset(self.same(sign))))

    def group(self) -> Node:
        if self.peek() == "?":
            raise self.fail("(? is no POSIX expression; write ( without ?")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(f"more than {MAX_DEPTH} ( stand in each other")
        self.groups += 1
        number = self.groups
        item = self.either()
        if self.peek() != ")":
            raise self.fail("a ( has no ) behind it; for the sign itself write \\\\(")
        self.at += 1
        self.depth -= 1
        return Group(item, number)

    def escape(self) -> Node:
        sign = self.peek()
        self.at += 1
        if not sign:
            raise self.fail("a backslash stands at the end; for the sign itself write four of them")
        if sign in _PLACES:
            return At(_PLACES[sign])
        if sign in _SETS:
            holds, is_negated = _SETS[sign]
            return One(Letters(self.same, classes=(holds,), is_negated=is_negated))
        if sign.isascii() and sign.isalnum():
            if sign.isdigit():
                raise self.fail(f"\\{sign} would have to look back, which these expressions cannot")
            advice = _INSTEAD.get(sign, "remove the backslash")
            raise self.fail(f"\\{sign} is no POSIX expression; {advice}")
        return self.literal(sign)

    def bracket(self) -> Letters:
        is_negated = self.peek() == "^"
        if is_negated:
            self.at += 1
        singles: set[str] = set()
        ranges: list[tuple[str, str]] = []
        classes: list[Callable[[str], bool]] = []
        is_first = True
        while (sign := self.peek()) != "]" or is_first:
            if not sign:
                raise self.fail("a [ has no ] behind it; for the sign itself write \\\\[")
            is_first = False
            if self.pattern.startswith("[:", self.at):
                classes.append(self.named_class())
                continue
            low = self.element()
            rest = self.pattern[self.at : self.at + 2]
            if rest.startswith("-") and rest not in {"-", "-]"}:
                self.at += 1
                if self.pattern.startswith("[:", self.at):
                    raise self.fail("a range in [ ] ends with one letter, not with a class")
                high = self.element()
                if high < low:
                    raise self.fail(f"{low}-{high} counts down; put the smaller letter first")
                ranges.append((low, high))
            else:
                singles.update(self.same(low))
        self.at += 1
        return Letters(self.same, frozenset(singles), tuple(ranges), tuple(classes), is_negated=is_negated)

    def named_class(self) -> Callable[[str], bool]:
        end = self.pattern.find(":]", self.at + 2)
        name = self.pattern[self.at + 2 : end] if end >= 0 else ""
        holds = CLASSES.get(name)
        if holds is None:
            raise self.fail(f"there is no class [:{name[:20]}:]; there are {', '.join(CLASSES)}")
        self.at = end + 2
        return holds

    def element(self) -> str:
        """One letter, which [. .] and [= =] may enclose."""
        for opening, closing in (("[.", ".]"), ("[=", "=]")):
            if self.pattern.startswith(opening, self.at):
                end = self.pattern.find(closing, self.at + 3)
                if end != self.at + 3:
                    raise self.fail(f"{opening} {closing} enclose one letter")
                letter = self.pattern[self.at + 2]
                self.at = end + 2
                return letter
        letter = self.peek()
        if not letter:
            raise self.fail("a [ has no ] behind it; for the sign itself write \\\\[")
        self.at += 1
        return letter


def _is_count(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= 6


def read(pattern: str, comparator: str) -> tuple[Node, int]:
    """The tree, and how many groups there are. Raises BadPattern."""
    reader = _Reader(pattern, comparator)
    node = reader.either()
    if reader.peek() == ")":
        raise BadPattern("a ) has no ( before it; for the sign itself write \\\\)")
    return node, reader.groups
