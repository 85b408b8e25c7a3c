"""spamtest, spamtestplus and virustest: what was found out about a message before the script ran.

RFC: 5235 §3.1 (:count), §3.2 (spamtest, :percent), §3.3 (virustest).
Not here: finding it out.
"""

from typing import TYPE_CHECKING, Final

from postino.sieve.vocabulary import Check, Extension, MoreTags, TagSpec, Takes, TestSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_DEFINITELY: Final = 10
_HUNDRED: Final = 100
_WORST_VIRUS: Final = 5


def _tenths(percent: float) -> int:
    """1 is clear of spam and 10 certainly spam: what lies between is 2 to 9."""
    if percent <= 0:
        return 1
    if percent >= _HUNDRED:
        return _DEFINITELY
    return 2 + int(percent * (_DEFINITELY - 2) / _HUNDRED)


def _percent(percent: float) -> int:
    if percent <= 0:
        return 0
    # Only what is quite certain may be 100.
    return _HUNDRED if percent >= _HUNDRED else min(max(round(percent), 1), _HUNDRED - 1)


def _compared(compiling: "Compiling", bound: "Bound", value: "Callable[[Run], int | None]") -> Check:
    matching = compiling.matching(bound, bound.texts["score"])
    compare = matching.values
    untested = () if matching.counts else ("0",)

    def check(run: "Run") -> bool:
        found = value(run)
        return compare(run, untested if found is None else (str(found),))

    return check


def _spamtest(compiling: "Compiling", bound: "Bound") -> Check:
    scale = _percent if "percent" in bound.tags else _tenths

    def value(run: "Run") -> int | None:
        percent = run.circumstances.spam_percent
        return None if percent is None else scale(percent)

    return _compared(compiling, bound, value)


def _virustest(compiling: "Compiling", bound: "Bound") -> Check:
    def value(run: "Run") -> int | None:
        found = run.circumstances.virus_value
        return None if not found else min(found, _WORST_VIRUS)

    return _compared(compiling, bound, value)


_PARAMS: Final = (("score", Takes.STRING),)
SPAMTEST: Final = Extension(
    name="spamtest",
    tests=(TestSpec(name="spamtest", params=_PARAMS, matches=True, compile=_spamtest),),
)
SPAMTESTPLUS: Final = Extension(
    name="spamtestplus",
    implies=("spamtest",),
    more_tags=(MoreTags(to=("spamtest",), tags=(TagSpec(name="percent"),)),),
)
VIRUSTEST: Final = Extension(
    name="virustest",
    tests=(TestSpec(name="virustest", params=_PARAMS, matches=True, compile=_virustest),),
)
