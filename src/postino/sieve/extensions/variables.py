"""variables: set, and the string test.

RFC: 5229 §4 (set), §4.1 (modifiers and their order), §5 (string), §6 (limits); 5435 §6 (:encodeurl), and
    draft-ietf-sieve-regex-01 (:quoteregex), which are modifiers of set.
Invariants: what is stored is cut to the budget's length; names are constants and no digits.
Not here: putting values into strings (texts.py), matched pieces (matching.py).
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from postino.sieve.folding import fold_ascii
from postino.sieve.texts import value_of, values_of
from postino.sieve.vocabulary import Check, CommandSpec, Extension, Op, TagSpec, Takes, TestSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run

_TO_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_WILDCARD: Final = re.compile(r"[*?\\]")
_SPECIAL: Final = re.compile(r"[\\^$.|?*+()\[\]{}]")


def upper_ascii(text: str) -> str:
    """Capitals for the letters of ASCII alone."""
    return text.translate(_TO_UPPER)


MODIFIERS: Final[dict[str, Callable[[str], str]]] = {
    "lower": fold_ascii,
    "upper": upper_ascii,
    "lowerfirst": lambda text: fold_ascii(text[:1]) + text[1:],
    "upperfirst": lambda text: upper_ascii(text[:1]) + text[1:],
    "quotewildcard": lambda text: _WILDCARD.sub(r"\\\g<0>", text),
    "quoteregex": lambda text: _SPECIAL.sub(r"\\\g<0>", text),
    "encodeurl": lambda text: quote(text, safe="-._~", errors="surrogateescape"),
    "length": lambda text: str(len(text)),
}
"""In the order in which they are applied."""
MODIFIER_TAGS: Final = (
    TagSpec(name="lower", group="modifier 40"),
    TagSpec(name="upper", group="modifier 40"),
    TagSpec(name="lowerfirst", group="modifier 30"),
    TagSpec(name="upperfirst", group="modifier 30"),
    TagSpec(name="quotewildcard", group="modifier 20"),
    TagSpec(name="quoteregex", group="modifier 20", extension="regex"),
    TagSpec(name="encodeurl", group="modifier 15", extension="enotify"),
    TagSpec(name="length", group="modifier 10"),
)


def _set(compiling: "Compiling", bound: "Bound") -> Op:
    given = bound.text("name")
    name = ""
    if isinstance(given, str):
        name = compiling.settable(bound.node, given)
    else:
        compiling.fault(bound.node, "A variable's name stands in the script as it is, without ${ } in it.")
    text = bound.text("value")
    modifiers = [change for tag, change in MODIFIERS.items() if tag in bound.tags]

    def store(run: "Run") -> bool:
        run.place = bound.place
        run.spend(1)
        value = value_of(text, run)
        for change in modifiers:
            value = change(value)
        run.assign(name, value)
        return False

    return store


def _string(compiling: "Compiling", bound: "Bound") -> Check:
    matching = compiling.matching(bound, bound.texts["keys"])
    texts = bound.texts["source"]
    compare, counts = matching.values, matching.counts

    def string(run: "Run") -> bool:
        values = values_of(texts, run)
        # RFC 5229 §5: an empty string does not count.
        return compare(run, [value for value in values if value] if counts else values)

    return string


VARIABLES: Final = Extension(
    name="variables",
    commands=(
        CommandSpec(
            name="set",
            params=(("name", Takes.STRING), ("value", Takes.STRING)),
            tags=MODIFIER_TAGS,
            compile=_set,
        ),
    ),
    tests=(
        TestSpec(
            name="string",
            params=(("source", Takes.STRINGS), ("keys", Takes.STRINGS)),
            matches=True,
            compile=_string,
        ),
    ),
)
