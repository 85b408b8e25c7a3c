"""What a SEARCH asks for, before its message sets are resolved to UIDs.

RFC: 9051 §6.4.4 (search keys), 3501 §6.4.4 (NEW, OLD, RECENT), 7162 §3.1.5, 8514 §4.1 (SAVED...).
Invariants: depth and count are bounded by the grammar, so the recursion here is too.
Not here: reading keys from the wire (search_grammar.py), answering them (store/search.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

from postino.core import search
from postino.core.numset import NumberSet
from postino.imap.numbers import Numbers


@dataclass(frozen=True, slots=True)
class SeqIn:
    """The message's sequence number is in the set (or the message in the saved result)."""

    numbers: Numbers


@dataclass(frozen=True, slots=True)
class UidsIn:
    """The message's UID is in the set (UID key)."""

    numbers: Numbers


@dataclass(frozen=True, slots=True)
class Every:
    """All of `keys` hold."""

    keys: tuple["SearchKey", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of `keys` holds (OR, and chains of it)."""

    keys: tuple["SearchKey", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The key does not hold (NOT)."""

    key: "SearchKey"


SearchKey = SeqIn | UidsIn | Every | Either | Not | search.Criterion


def resolve_key(
    key: SearchKey,
    seq_to_uids: Callable[[Numbers], NumberSet],
    uid_to_uids: Callable[[Numbers], NumberSet],
) -> search.Criterion:
    """The criterion the store understands, every message set turned to UIDs by the two functions."""
    match key:
        case SeqIn(numbers):
            return search.UidIn(seq_to_uids(numbers))
        case UidsIn(numbers):
            return search.UidIn(uid_to_uids(numbers))
        case Every(keys):
            return search.AllOf(tuple(resolve_key(each, seq_to_uids, uid_to_uids) for each in keys))
        case Either(keys):
            return search.AnyOf(tuple(resolve_key(each, seq_to_uids, uid_to_uids) for each in keys))
        case Not(inner):
            return search.Negated(resolve_key(inner, seq_to_uids, uid_to_uids))
        case _:
            return key
