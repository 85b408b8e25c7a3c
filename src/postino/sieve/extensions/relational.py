""":value and :count: compare order and number instead of equality.

RFC: 5231 §4.1 (:value), §4.2 (:count); 4790 §9.1 and §9.2 (order of numbers, and of letters without case).
Exposure: values come from strangers' messages; each pair of value and key is one step.
Not here: what is counted: each test gives its values (basics/, the other extensions).
"""

from collections.abc import Callable, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, Any, Final

from postino.sieve.matching import number_of
from postino.sieve.texts import values_of
from postino.sieve.vocabulary import Extension, Matching, MatchSpec, MatchType, Takes

if TYPE_CHECKING:
    from postino.sieve.run import Run

_RELATIONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "gt": gt, "ge": ge, "lt": lt, "le": le, "eq": eq, "ne": ne,
}  # fmt: skip
_TO_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}


def _upper_ascii(text: str) -> str:
    # RFC 4790 §9.2.1: letters are ordered as capitals, which puts `_` behind them.
    return text.translate(_TO_UPPER)


def _order_of(spec: MatchSpec) -> Callable[[str], Any]:
    if spec.fold is None:
        return number_of
    return _upper_ascii if spec.comparator == "i;ascii-casemap" else spec.fold


def _relation(spec: MatchSpec, name: str) -> Callable[[Any, Any], bool]:
    given = spec.relation[0] if spec.relation else ""
    found = _RELATIONS.get(given.lower()) if isinstance(given, str) else None
    if found is None:
        spec.fault(f'Behind :{name} stands one of "gt", "ge", "lt", "le", "eq" and "ne": :{name} "ge".')
        return eq
    return found


def _value(spec: MatchSpec) -> Matching:
    compare, order_of, texts = _relation(spec, "value"), _order_of(spec), spec.keys

    def values(run: "Run", values: Sequence[str]) -> bool:
        keys = [order_of(key) for key in values_of(texts, run)]
        run.spend(len(values) * len(keys) + (sum(map(len, values)) >> 10) * len(keys))
        return any(compare(order_of(value), key) for value in values for key in keys)

    return Matching(values)


def _count(spec: MatchSpec) -> Matching:
    compare, order_of, texts = _relation(spec, "count"), _order_of(spec), spec.keys

    def values(run: "Run", values: Sequence[str]) -> bool:
        count = order_of(str(len(values)))
        return any(compare(count, order_of(key)) for key in values_of(texts, run))

    return Matching(values, counts=True)


RELATIONAL: Final = Extension(
    name="relational",
    match_types=(
        MatchType(name="value", takes=Takes.STRING, make=_value),
        MatchType(name="count", takes=Takes.STRING, make=_count),
    ),
)
