"""What must be so for a test to be true: read off the test, before it is asked about any message.

A hundred rules mostly ask for another word in the same few fields. When it is known which words a rule needs
in a field, those of all rules are looked for at once, and only rules that may apply are run (table.py).
RFC: 5228 §2.7 (match types, comparators, parts), §5 (tests).
Invariants: a need says too little rather than too much: a test whose needs are not met is false, raises
    nothing and leaves nothing behind, so it need not be run; None where that cannot be promised.
Not here: whether the script is right (compiler.py), running tests (basics/).
"""

from typing import Final

import msgspec

from postino.sieve.basics.envelope import ENVELOPE_PARTS
from postino.sieve.folding import fold_ascii
from postino.sieve.language.syntax import Strings, Tag, Test, Text
from postino.sieve.matching import pattern_of
from postino.sieve.parts import PART_NAMES

_MATCHES: Final = frozenset({"is", "contains", "matches"})
_COMPARATORS: Final = frozenset({"i;octet", "i;ascii-casemap"})
_PURE: Final = frozenset({"size", "true", "exists"})
_COMPARING: Final = frozenset({"header", "address", "envelope"})


class Need(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One of the values of `name` has to be `key`, or hold it."""

    test: str
    """`header`, `address` or `envelope`."""
    name: str
    """A field's lower-case name, or a part of the envelope."""
    part: str
    """Of addresses."""
    is_whole: bool
    """The value is the key; else it holds it."""
    key: str
    """Folded as by fold_ascii()."""


Needs = tuple[Need, ...] | None
"""At least one has to be met; none at all: the test is never true. None: nothing is known of it."""


def needs_of(test: Test, *, has_variables: bool) -> Needs:
    """The needs of a test without faults; with `has_variables`, one that is true leaves pieces behind."""
    match test.name:
        case "header" | "address" | "envelope" | "exists":
            return _of_values(test)
        case "false":
            return ()
        case "anyof":
            return _of_any(test, has_variables=has_variables)
        case "allof":
            return _of_all(test, has_variables=has_variables)
        case _:
            return None


def _of_any(test: Test, *, has_variables: bool) -> Needs:
    needs: tuple[Need, ...] = ()
    for inner in test.tests:
        more = needs_of(inner, has_variables=has_variables)
        if more is None:
            return None
        needs += more
    return needs


def _of_all(test: Test, *, has_variables: bool) -> Needs:
    for inner in test.tests:
        needs = needs_of(inner, has_variables=has_variables)
        if needs is not None:
            return needs
        # Those in front are run even when this one will be false; they must leave nothing behind.
        if inner.name not in _PURE and (has_variables or inner.name not in _COMPARING):
            return None
    return None


def _of_values(test: Test) -> Needs:
    said = _arguments(test)
    if said is None:
        return None
    tags, texts = said
    names = [name.lower() for name in texts[0]]
    if test.name == "exists":
        # All fields have to be there; the first one will do.
        return (Need(test="header", name=names[0], part="", is_whole=False, key=""),)
    if test.name == "envelope" and not ENVELOPE_PARTS.keys() >= set(names):
        return None
    kind = next((tag for tag in tags if tag in _MATCHES), "is")
    part = "" if test.name == "header" else next((tag for tag in tags if tag in PART_NAMES), "all")
    keys = [_literal(kind, fold_ascii(key)) for key in texts[1]]
    is_whole = kind == "is"
    return tuple(
        [
            Need(test=test.name, name=name, part=part, is_whole=is_whole, key=key)
            for name in names
            for key in keys
        ]
    )


def _arguments(test: Test) -> tuple[set[str], list[list[str]]] | None:
    """Tags and lists of strings; None where something is there that asks in another way."""
    tags: set[str] = set()
    texts: list[list[str]] = []
    arguments = iter(test.arguments)
    for argument in arguments:
        match argument:
            case Tag(name="comparator"):
                comparator = next(arguments, None)
                if not isinstance(comparator, Text) or comparator.value not in _COMPARATORS:
                    return None
            case Tag(name=name) if name in _MATCHES or (name in PART_NAMES and test.name != "header"):
                tags.add(name)
            case Text(value=value):
                texts.append([value])
            case Strings(items=items):
                texts.append([item.value for item in items])
            case _:
                return None
    if any("${" in text for some in texts for text in some) or not all(texts):
        return None
    return tags, texts


def _literal(kind: str, key: str) -> str:
    """What a value that matches a folded key holds."""
    return pattern_of(key).literal if kind == "matches" else key
