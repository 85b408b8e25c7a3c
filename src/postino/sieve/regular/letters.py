"""Sets of letters that one sign of a regular expression stands for.

RFC: draft-ietf-sieve-regex-01 §2 (POSIX bracket expressions), 5228 §2.7.3 (which are the same).
Not here: reading brackets (reading.py).
"""

import unicodedata
from collections.abc import Callable
from string import hexdigits, punctuation
from typing import Final

_MOST_KNOWN: Final = 256


def _is_punctuation(letter: str) -> bool:
    return letter in punctuation or unicodedata.category(letter).startswith("P")


def is_word(letter: str) -> bool:
    """Whether it is part of a word."""
    return letter.isalnum() or letter == "_"


CLASSES: Final[dict[str, Callable[[str], bool]]] = {
    "alpha": str.isalpha,
    "digit": lambda letter: "0" <= letter <= "9",
    "alnum": str.isalnum,
    "upper": str.isupper,
    "lower": str.islower,
    "space": str.isspace,
    "blank": lambda letter: letter in " \t",
    "punct": _is_punctuation,
    "cntrl": lambda letter: unicodedata.category(letter) == "Cc",
    "print": str.isprintable,
    "graph": lambda letter: letter.isprintable() and not letter.isspace(),
    "xdigit": lambda letter: letter in hexdigits,
}


def _itself(letter: str) -> tuple[str, ...]:
    return (letter,)


def _ascii_cases(letter: str) -> tuple[str, ...]:
    return (letter.lower(), letter.upper()) if letter.isascii() else (letter,)


def _all_cases(letter: str) -> tuple[str, ...]:
    return tuple({letter, letter.lower(), letter.upper(), letter.title()})


SAME_LETTERS: Final[dict[str, Callable[[str], tuple[str, ...]]]] = {
    "i;octet": _itself,
    "i;ascii-casemap": _ascii_cases,
    "i;unicode-casemap": _all_cases,
}
"""Which letters a comparator takes for the same."""


class Letters:
    """A set of letters."""

    __slots__ = ("_classes", "_is_negated", "_known", "_ranges", "_same", "_singles")

    def __init__(
        self,
        same: Callable[[str], tuple[str, ...]],
        singles: frozenset[str] = frozenset(),
        ranges: tuple[tuple[str, str], ...] = (),
        classes: tuple[Callable[[str], bool], ...] = (),
        *,
        is_negated: bool = False,
    ) -> None:
        self._same = same
        self._singles = singles
        self._ranges = ranges
        self._classes = classes
        self._is_negated = is_negated
        self._known: dict[str, bool] = {}

    def has(self, letter: str) -> bool:
        """Whether the letter is one of them."""
        known = self._known.get(letter)
        if known is None:
            known = any(map(self._names, self._same(letter))) is not self._is_negated
            if len(self._known) < _MOST_KNOWN:
                self._known[letter] = known
        return known

    def _names(self, letter: str) -> bool:
        if letter in self._singles or any(low <= letter <= high for low, high in self._ranges):
            return True
        return any(holds(letter) for holds in self._classes) if len(letter) == 1 else False
