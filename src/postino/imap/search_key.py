"""What a SEARCH asks for, before its message sets are resolved to UIDs.

RFC: 9051 §6.4.4 (search keys), 3501 §6.4.4 (NEW, OLD, RECENT), 7162 §3.1.5, 8514 §4.1 (SAVED...),
    5032 §2 (OLDER, YOUNGER), 6203 §3 (FUZZY).
Invariants: depth and count are bounded by the grammar, so the recursion here is too.
Not here: reading keys from the wire (search_grammar.py), answering them (store/search.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from postino.core import search
from postino.core.ids import Instant
from postino.core.numset import NumberSet
from postino.imap.numbers import Numbers, SavedResult


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


@dataclass(frozen=True, slots=True)
class OlderThan:
    """It arrived at least `seconds` ago (OLDER)."""

    seconds: int


@dataclass(frozen=True, slots=True)
class YoungerThan:
    """It arrived at most `seconds` ago (YOUNGER)."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Fuzzily:
    """The key holds, or nearly so (FUZZY)."""

    key: "SearchKey"


SearchKey = SeqIn | UidsIn | Every | Either | Not | OlderThan | YoungerThan | Fuzzily | search.Criterion


class Surroundings(NamedTuple):
    """What the meaning of a key depends on besides the message: mailbox, session and time."""

    seq_to_uids: Callable[[Numbers], NumberSet]
    uid_to_uids: Callable[[Numbers], NumberSet]
    now: Instant


def uses_sequence_numbers(key: object) -> bool:
    """Whether some part of the key names messages by sequence number."""
    match key:
        case SeqIn(numbers):
            return not isinstance(numbers, SavedResult)
        case Every(keys) | Either(keys):
            return any(uses_sequence_numbers(each) for each in keys)
        case Not(inner) | Fuzzily(inner):
            return uses_sequence_numbers(inner)
        case _:
            return False


def resolve_key(key: SearchKey, around: Surroundings) -> search.Criterion:
    """The criterion the store understands: message sets turned to UIDs, ages to instants."""
    match key:
        case SeqIn(numbers):
            return search.UidIn(around.seq_to_uids(numbers))
        case UidsIn(numbers):
            return search.UidIn(around.uid_to_uids(numbers))
        case Every(keys):
            return search.AllOf(tuple(resolve_key(each, around) for each in keys))
        case Either(keys):
            return search.AnyOf(tuple(resolve_key(each, around) for each in keys))
        case Not(inner):
            return search.Negated(resolve_key(inner, around))
        case Fuzzily(inner):
            return search.Fuzzy(resolve_key(inner, around))
        case OlderThan(seconds):
            return search.ArrivedUntil(around.now - seconds)
        case YoungerThan(seconds):
            return search.ArrivedFrom(around.now - seconds)
        case _:
            return key
