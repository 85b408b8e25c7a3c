"""Match mailbox names against LIST's patterns.

RFC: 9051 §6.3.9 (`*` and `%`), 5258 §3 (several patterns at once).
Exposure: patterns are the client's; matching takes time linear in the name, whatever the patterns, and all
    of them together cost what one of their joint length does.
Invariants: `*` matches anything, `%` anything without a separator; all else matches itself.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from postino.core.mailbox_name import SEPARATOR

_WILDCARDS: Final = re.compile(r"[*%]+")

Matcher = Callable[[str], bool]


def match(pattern: str, name: str) -> bool:
    """Whether `name` matches; for many names, compile_pattern() once."""
    return compile_pattern(pattern)(name)


def compile_patterns(patterns: Sequence[str]) -> Matcher:
    """A function that tells whether a name matches one of `patterns`."""
    if len(patterns) == 1:
        return compile_pattern(patterns[0])
    # Neighbouring wildcards are one: `*` if there is a `*` among them, else `%`.
    patterns = [_WILDCARDS.sub(_joined, pattern) for pattern in patterns]
    if "*" in patterns:
        return _matches_all
    plain = frozenset(pattern for pattern in patterns if not _WILDCARDS.search(pattern))
    wild = list(dict.fromkeys(pattern for pattern in patterns if pattern not in plain))
    if not wild:
        return plain.__contains__
    matches_wild = compile_pattern(wild[0]) if len(wild) == 1 else _compile_states(wild, "")
    return lambda name: name in plain or matches_wild(name)


def compile_pattern(pattern: str) -> Matcher:
    """A function that tells whether a name matches `pattern`."""
    pattern = _WILDCARDS.sub(_joined, pattern)
    if pattern == "*":
        return _matches_all
    wildcard = _WILDCARDS.search(pattern)
    if wildcard is None:
        return lambda name: name == pattern
    prefix = pattern[: wildcard.start()]
    if wildcard.end() == len(pattern):
        if wildcard.group() == "*":
            return lambda name: name.startswith(prefix)
        at = len(prefix)
        return lambda name: name.startswith(prefix) and name.find(SEPARATOR, at) < 0
    return _compile_states([pattern], prefix)


def _joined(found: re.Match[str]) -> str:
    return "*" if "*" in found.group() else "%"


def _matches_all(_: str) -> bool:
    return True


def _compile_states(patterns: Sequence[str], prefix: str) -> Matcher:
    # Every place in the patterns is a bit, and all places a name can have reached so far move together,
    # so there is nothing to go back to: `*a*a*a*...` costs what `abc` costs. The place behind a pattern's
    # last letter is its goal, and nothing leads on from there.
    letters: dict[str, int] = {}
    stars = percents = start = goals = place = 0
    for pattern in patterns:
        start |= 1 << place
        for letter in pattern:
            if letter == "*":
                stars |= 1 << place
            elif letter == "%":
                percents |= 1 << place
            else:
                letters[letter] = letters.get(letter, 0) | 1 << place
            place += 1
        goals |= 1 << place
        place += 1
    wildcards = stars | percents
    start |= (start & wildcards) << 1

    def matches(name: str) -> bool:
        if not name.startswith(prefix):
            return False
        places = start
        for letter in name:
            stay = stars if letter == SEPARATOR else wildcards
            places = (places & letters.get(letter, 0)) << 1 | places & stay
            places |= (places & wildcards) << 1
            if not places:
                return False
        return places & goals != 0

    return matches
