"""extlists: lists that are kept outside of scripts, such as an address book.

RFC: 6134 §2.2 (:list in tests), §2.3 (redirect :list), §2.7 (valid_ext_list).
Not here: which lists there are and who is on them (Surroundings).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from postino.mime.address import Group, parse_address_list
from postino.sieve.list_names import check_list_names, known_list, list_name
from postino.sieve.texts import values_of
from postino.sieve.vocabulary import (
    Check,
    Extension,
    Matching,
    MatchSpec,
    MatchType,
    MoreTags,
    TagSpec,
    Takes,
    TestSpec,
)

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_MOST_ADDRESSES: Final = 1000
_TESTS: Final = ("address", "envelope", "header", "string", "currentdate", "date")


def _candidates(value: str) -> list[str]:
    """What to look up: the value, and the addresses in it, as of a whole From field (RFC 6134 §2.9.3)."""
    value = value.encode("utf-8", "replace").decode()
    found = [value.strip()]
    if "@" in value and ("<" in value or "," in value):
        for one in parse_address_list(value)[:_MOST_ADDRESSES]:
            found += [each.addr_spec for each in (one.members if isinstance(one, Group) else (one,))]
    return found


def _list(spec: MatchSpec) -> Matching:
    if wrong := check_list_names(spec.keys):
        spec.fault(wrong)

    def compare(run: "Run", values: Sequence[str]) -> bool:
        names = [known_list(run, text) for text in values_of(spec.keys, run)]
        for value in values:
            for candidate in _candidates(value):
                run.spend(len(names))
                if any(run.surroundings.in_list(name, candidate) for name in names):
                    if spec.keeps_matches:
                        run.match_values = [candidate]
                    return True
        return False

    return Matching(compare)


def _valid_ext_list(compiling: "Compiling", bound: "Bound") -> Check:
    texts = bound.texts["list_names"]

    def valid_ext_list(run: "Run") -> bool:
        names = [list_name(text) for text in values_of(texts, run)]
        return all(name is not None and run.surroundings.has_list(name) for name in names)

    return valid_ext_list


EXTLISTS: Final = Extension(
    name="extlists",
    match_types=(MatchType(name="list", make=_list, tests=_TESTS, has_comparator=False),),
    more_tags=(MoreTags(to=("redirect",), tags=(TagSpec(name="list"),)),),
    tests=(
        TestSpec(name="valid_ext_list", params=(("list_names", Takes.STRINGS),), compile=_valid_ext_list),
    ),
)
