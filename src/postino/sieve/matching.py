"""Compare values with keys: :is, :contains and :matches, under any comparator.

RFC: 5228 §2.7.1 (match types), §2.7.3 (comparators), 5229 §3.2 (matched pieces), 4790 §9.1 (i;ascii-numeric).
Exposure: values come from strangers' messages; time is linear in the value for each piece of a pattern.
Not here: :count and :value (extensions/relational.py), :regex (extensions/regex.py).
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from postino.sieve.folding import fold_ascii
from postino.sieve.texts import constants, values_of
from postino.sieve.vocabulary import Matching, MatchSpec, MatchType

if TYPE_CHECKING:
    from postino.sieve.run import Run

_DIGITS: Final = re.compile(r"[0-9]+")
_MOST_DIGITS: Final = 1000


def number_of(text: str) -> float | int:
    """What i;ascii-numeric makes of a string: its leading digits, or positive infinity."""
    found = _DIGITS.match(text, 0, _MOST_DIGITS)
    return int(found[0]) if found is not None else float("inf")


def _is(spec: MatchSpec) -> Matching:
    if spec.fold is None:
        return _equal(spec, number_of)
    return _equal(spec, spec.fold)


def _equal(spec: MatchSpec, key_of: Callable[[str], object]) -> Matching:
    fixed = constants(spec.keys)
    if fixed is None:
        texts = spec.keys

        def values(run: "Run", values: Sequence[str]) -> bool:
            keys = {key_of(key) for key in values_of(texts, run)}
            spend_values(run, values)
            return any(key_of(value) in keys for value in values)

        return Matching(values)
    keys = frozenset(map(key_of, fixed))

    def compare(run: "Run", values: Sequence[str]) -> bool:
        spend_values(run, values)
        return any(key_of(value) in keys for value in values)

    if key_of is not fold_ascii:
        return Matching(compare)

    def folded(run: "Run", values: Sequence[str]) -> bool:
        # PERF: 100 such tests run for one message.
        if len(values) > _MANY:
            run.spend(len(values) >> 4)
        for value in values:  # noqa: SIM110
            if value in keys:
                return True
        return False

    return Matching(compare, folded)


def _contains(spec: MatchSpec) -> Matching:
    fold = spec.fold
    if fold is None:
        spec.fault(
            "i;ascii-numeric cannot look into strings; use :is, :value or :count, or another comparator."
        )
        return Matching(lambda run, values: False)
    fixed = constants(spec.keys)
    if fixed is None:
        texts = spec.keys

        def values(run: "Run", values: Sequence[str]) -> bool:
            keys = [fold(key) for key in values_of(texts, run)]
            spend_values(run, values)
            return _has_any(run, [fold(value) for value in values], keys)

        return Matching(values)
    keys = [fold(key) for key in fixed]

    def compare(run: "Run", values: Sequence[str]) -> bool:
        spend_values(run, values)
        return _has_any(run, [fold(value) for value in values], keys)

    if fold is not fold_ascii:
        return Matching(compare)
    if len(keys) > 1:
        return Matching(compare, lambda run, values: _has_any(run, values, keys))
    key = keys[0] if keys else ""

    def folded(run: "Run", values: Sequence[str]) -> bool:
        if len(values) > _MANY:
            run.spend(len(values) >> 4)
        for value in values:
            if key in value:
                return True
            if len(value) > _LONG:
                run.spend(len(value) >> 10)
        return False

    return Matching(compare, folded if keys else None)


_LONG: Final = 1024
_MANY: Final = 16
"""With fewer values, that the test itself is counted is enough."""


def spend_values(run: "Run", values: Sequence[str]) -> None:
    """Count what folding and comparing many or long values costs, before it is done."""
    run.spend((len(values) >> 4) + (sum(map(len, values)) >> 12))


def _has_any(run: "Run", values: Sequence[str], keys: Sequence[str]) -> bool:
    if len(values) > _MANY:
        run.spend(len(values) >> 4)
    for value in values:
        # SECURITY: counted key by key where one takes long: thousands of keys in a MiB take 10 s.
        each = len(value) >> 10
        for key in keys:
            if key in value:
                return True
            if each:
                run.spend(each)
        run.spend(len(keys) >> 4)
    return False


class Pattern:
    """A :matches pattern: pieces between stars, each found as early as it can be."""

    __slots__ = ("_first", "_is_fixed", "_last", "_pieces", "_signs", "_weight", "literal")

    def __init__(self, pattern: str) -> None:
        pieces: list[str] = [""]
        literals: list[str] = [""]
        at = 0
        while at < len(pattern):
            sign = pattern[at]
            if sign == "*":
                pieces.append("")
                literals.append("")
            elif sign == "?":
                pieces[-1] += "(.)"
                literals.append("")
            else:
                if sign == "\\" and at + 1 < len(pattern):
                    at += 1
                    sign = pattern[at]
                pieces[-1] += re.escape(sign)
                literals[-1] += sign
            at += 1
        compiled = [re.compile(piece, re.DOTALL) for piece in pieces]
        self.literal = max(literals, key=len)
        """What every value that matches holds: PERF: looked for first, in a tenth of the time."""
        self._is_fixed = len(compiled) == 1
        self._first, self._last = compiled[0], compiled[-1]
        self._pieces = compiled[1:-1]
        self._signs = sum([piece.groups for piece in compiled])
        # SECURITY: a piece with a ? is tried anew at each place of the value.
        slow = [len(piece.pattern) for piece in self._pieces if piece.groups]
        self._weight = len(self._pieces) + 2 + _SLOWER * sum([max(0, length - _SHORT) for length in slow])

    def cost(self, length: int) -> int:
        """The steps of a match with a value of so many characters."""
        return 1 + ((length * self._weight) >> 10) + (self._signs >> 2)

    def match(self, value: str) -> list[tuple[int, int]] | None:
        """The ranges of what each sign stood for, in their order; None when it does not match."""
        first = self._first.match(value)
        if first is None:
            return None
        if self._is_fixed:
            return _ranges(first) if first.end() == len(value) else None
        found = _ranges(first)
        at = first.end()
        for piece in self._pieces:
            next_one = piece.search(value, at)
            if next_one is None:
                return None
            found.append((at, next_one.start()))
            found += _ranges(next_one)
            at = next_one.end()
        return self._match_end(value, at, found)

    def _match_end(self, value: str, at: int, found: list[tuple[int, int]]) -> list[tuple[int, int]] | None:
        # Every sign of the last piece is one character long, so where it must begin is known.
        last = self._last
        start = len(value) - _length(last)
        end = last.fullmatch(value, start) if start >= at else None
        if end is None:
            return None
        found.append((at, start))
        return found + _ranges(end)


def _ranges(found: re.Match[str]) -> list[tuple[int, int]]:
    return [found.span(number) for number in range(1, found.re.groups + 1)]


@lru_cache(maxsize=1024)
def _length(piece: re.Pattern[str]) -> int:
    return len(re.sub(r"\\(.)|\(\.\)", "x", piece.pattern, flags=re.DOTALL))


pattern_of = lru_cache(maxsize=1024)(Pattern)
MOST_PATTERN: Final = 2048
"""SECURITY: of characters: patterns made while scripts run are kept, here and by `re`, a thousand of them."""
_SHORT: Final = 64
_SLOWER: Final = 4


def _made_pattern(run: "Run", key: str) -> Pattern:
    """Of a key that is known only now. Raises RunTimeFault for one that is too long."""
    if len(key) > MOST_PATTERN:
        raise run.fault(
            f"a pattern of :matches has at most {MOST_PATTERN} characters, and this one {len(key)}"
        )
    run.spend(len(key) >> 3)
    return pattern_of(key)


def _matches(spec: MatchSpec) -> Matching:
    fold = spec.fold
    if fold is None:
        spec.fault(
            "i;ascii-numeric cannot look into strings; use :is, :value or :count, or another comparator."
        )
        return Matching(lambda run, values: False)
    fixed = constants(spec.keys)
    if any(len(key) > MOST_PATTERN for key in fixed or ()):
        spec.fault(f"A pattern of :matches has at most {MOST_PATTERN} characters; write a shorter one.")
        return Matching(lambda run, values: False)
    prepared = [pattern_of(fold(key)) for key in fixed] if fixed is not None else None
    texts, keeps = spec.keys, spec.keeps_matches

    def compare(run: "Run", values: Sequence[str]) -> bool:
        patterns = prepared
        if patterns is None:
            patterns = [_made_pattern(run, fold(key)) for key in values_of(texts, run)]
        for value in values:
            folded = fold(value)
            run.spend((len(patterns) >> 3) + ((len(folded) * len(patterns)) >> 10))
            for pattern in patterns:
                if pattern.literal not in folded:
                    continue
                run.spend(pattern.cost(len(folded)))
                found = pattern.match(folded)
                if found is not None:
                    if keeps:
                        # Pieces are of the value as it is, where folding left every letter in its place.
                        source = value if len(value) == len(folded) else folded
                        run.match_values = [value, *[source[start:end] for start, end in found]]
                    return True
        return False

    def folded_compare(run: "Run", values: Sequence[str]) -> bool:
        assert prepared is not None
        if len(values) > _MANY:
            # SECURITY: a hundred thousand short fields, each looked at, took 5 ms for one step.
            run.spend(len(values) >> 3)
        for value in values:
            if len(value) > _LONG or len(prepared) > _MANY:
                run.spend((len(prepared) >> 3) + ((len(value) * len(prepared)) >> 10))
            for pattern in prepared:
                if pattern.literal not in value:
                    continue
                run.spend(pattern.cost(len(value)))
                if pattern.match(value) is not None:
                    return True
        return False

    can_be_folded = prepared is not None and fold is fold_ascii and not keeps
    return Matching(compare, folded_compare if can_be_folded else None)


MATCH_TYPES: Final = (
    MatchType(name="is", make=_is),
    MatchType(name="contains", make=_contains),
    MatchType(name="matches", make=_matches),
)
