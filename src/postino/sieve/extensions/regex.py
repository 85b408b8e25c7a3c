""":regex: compare with POSIX extended regular expressions.

RFC: draft-ietf-sieve-regex-01 §2 (expressions, matched pieces), 5228 §2.7.3 (comparators).
Exposure: values come from strangers' messages, and with variables so do pieces of patterns.
Invariants: no pattern takes more than its share of the run's steps.
Not here: the expressions (regular/), :quoteregex (extensions/variables.py).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from postino.sieve.regular.letters import SAME_LETTERS
from postino.sieve.regular.machine import Expression, expression
from postino.sieve.regular.reading import BadPattern
from postino.sieve.texts import TextValue, constants, values_of
from postino.sieve.vocabulary import Extension, Matching, MatchSpec, MatchType

if TYPE_CHECKING:
    from postino.sieve.run import Run

_MOST_SHOWN: Final = 60


def _words(pattern: str, bad: BadPattern) -> str:
    shown = pattern if len(pattern) <= _MOST_SHOWN else pattern[:_MOST_SHOWN] + "..."
    return f"The expression {shown!r} cannot be read: {bad}."


def _prepared(spec: MatchSpec, keys: Sequence[str]) -> list[Expression]:
    prepared = []
    for key in keys:
        try:
            prepared.append(expression(key, spec.comparator))
        except BadPattern as bad:
            spec.fault(_words(key, bad))
    return prepared


def _made(run: "Run", texts: Sequence[TextValue], comparator: str) -> list[Expression]:
    made = []
    for key in values_of(texts, run):
        try:
            one = expression(key, comparator)
        except BadPattern as bad:
            raise run.fault(_words(key, bad)) from None
        run.spend(one.size)
        made.append(one)
    return made


def _regex(spec: MatchSpec) -> Matching:
    comparator, texts, keeps = spec.comparator, spec.keys, spec.keeps_matches
    if comparator not in SAME_LETTERS:
        spec.fault(f":regex cannot use the comparator {comparator}; remove it.")
        return Matching(lambda run, values: False)
    fixed = constants(texts)
    prepared = _prepared(spec, fixed) if fixed is not None else None

    def compare(run: "Run", values: Sequence[str]) -> bool:
        expressions = _made(run, texts, comparator) if prepared is None else prepared
        for value in values:
            for one in expressions:
                if one.is_in(value, run.spend):
                    if keeps:
                        spans = one.find(value, run.spend) or ()
                        run.match_values = [value[start:end] if start >= 0 else "" for start, end in spans]
                    return True
        return False

    return Matching(compare)


REGEX: Final = Extension(name="regex", match_types=(MatchType(name="regex", make=_regex),))
