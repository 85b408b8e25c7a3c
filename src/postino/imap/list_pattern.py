"""Match mailbox names against LIST's patterns.

RFC: 9051 §6.3.9 (`*` and `%`).
Exposure: patterns are the client's; matching takes time linear in the name, whatever the pattern.
Invariants: `*` matches anything, `%` anything without a separator; all else matches itself.
"""

import re
from collections.abc import Callable
from typing import Final

from postino.core.mailbox_name import SEPARATOR

_WILDCARDS: Final = re.compile(r"[*%]+")

Matcher = Callable[[str], bool]


def match(pattern: str, name: str) -> bool:
    """Whether `name` matches; for many names, compile_pattern() once."""
    return compile_pattern(pattern)(name)


def compile_pattern(pattern: str) -> Matcher:
    """A function that tells whether a name matches `pattern`."""
    # Neighbouring wildcards are one: `*` if there is a `*` among them, else `%`.
    pattern = _WILDCARDS.sub(lambda found: "*" if "*" in found.group() else "%", pattern)
    if pattern == "*":
        return lambda _: True
    wildcard = _WILDCARDS.search(pattern)
    if wildcard is None:
        return lambda name: name == pattern
    prefix = pattern[: wildcard.start()]
    if wildcard.end() == len(pattern):
        if wildcard.group() == "*":
            return lambda name: name.startswith(prefix)
        at = len(prefix)
        return lambda name: name.startswith(prefix) and name.find(SEPARATOR, at) < 0
    return _compile_states(pattern, prefix)


def _compile_states(pattern: str, prefix: str) -> Matcher:
    # Every place in the pattern is a bit, and all places a name can have reached so far move together,
    # so there is nothing to go back to: `*a*a*a*...` costs what `abc` costs.
    letters: dict[str, int] = {}
    stars = percents = 0
    for place, letter in enumerate(pattern):
        if letter == "*":
            stars |= 1 << place
        elif letter == "%":
            percents |= 1 << place
        else:
            letters[letter] = letters.get(letter, 0) | 1 << place
    wildcards = stars | percents
    start = 1 | (1 & wildcards) << 1
    goal = 1 << len(pattern)

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
        return places & goal != 0

    return matches
