"""Answer a search from what the worker has in memory: the session's view, and columns that never change.

RFC: 9051 §6.4.4 (keys).
Invariants: the answer is what the store's search would give, for messages the view knows; whatever needs more
    than flags, numbers and the listed texts is the store's to answer.
Not here: the store's search (store/search.py), keeping columns in memory (key_cache.py).
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress, repeat
from operator import contains, ge
from typing import TYPE_CHECKING, Any, Final

from postino.core.flags import FlagSet
from postino.core.numset import NumberSet
from postino.core.search import (
    AllOf,
    AnyOf,
    BodyContains,
    Criterion,
    Everything,
    HasFlags,
    HasKeyword,
    HeaderContains,
    ModSeqFrom,
    Negated,
    TextContains,
    UidIn,
)
from postino.mime.text import fold
from postino.servers.imap.searching.key_cache import Values
from postino.servers.imap.searching.text_column import Texts
from postino.store.comparison import TEXT_COLUMNS, Comparing, comparison_of
from postino.store.sort import KeyColumn

if TYPE_CHECKING:
    from array import array

    from postino.servers.imap.session import ImapSession
    from postino.servers.imap.updates.selected import SelectedMailbox

MOST_VALUES: Final = 500_000
"""More are not read into memory for one search: they would push everybody else's out. A value takes 12 to
some 70 octets, so these may be half of the room."""
# PERF: a key takes 50 us for 1,000 messages; past this many, other sessions of the worker would notice.
IN_PLACE: Final = 20_000


async def recall(
    session: "ImapSession", selected: "SelectedMailbox", criterion: Criterion
) -> list[int] | None:
    """The UIDs of the messages that meet `criterion` and that the client knows, upwards; None: ask the store.

    The view must be loaded, and compared with the store just now.
    """
    keys = _columns(criterion)
    if keys is None:
        return None
    view = selected.view
    told = view.told
    columns = tuple({key: None for key in keys if key is not None})
    if not told or told * len(columns) > MOST_VALUES:
        return None if told else []
    span = (0, told)
    uids, flags, mod_seqs, gone = view.uids(span), view.flags(span), view.mod_seqs(span), view.gone([span])
    values: dict[KeyColumn, Values] = {}
    if columns:
        context = session.context
        read = await context.key_cache.values(
            context.store, selected.account_id, selected.id, columns, uids, told
        )
        values = dict(zip(columns, read, strict=True))
    known = Known(uids, flags, mod_seqs, values)
    if told * len(keys) <= IN_PLACE:
        found = known.matching(criterion)
    else:
        found = await asyncio.to_thread(known.matching, criterion)
    return [uid for uid in found if uid not in gone] if gone else found


def _columns(criterion: Criterion) -> list[KeyColumn | None] | None:
    """What each key compares, None for what the view has; None when memory cannot answer them all."""
    match criterion:
        case Everything() | HasFlags() | HasKeyword() | UidIn() | ModSeqFrom():
            return [None]
        case BodyContains("") | TextContains(""):
            return [None]
        case Negated(key):
            return _columns(key)
        case AllOf(keys) | AnyOf(keys):
            found: list[KeyColumn | None] = [None]
            for each in keys:
                more = _columns(each)
                if more is None:
                    return None
                found += more
            return found
        case _:
            compared = _comparison(criterion)
            return None if compared is None else [compared[0]]


def _comparison(criterion: Criterion) -> tuple[KeyColumn, Callable[[Any, Any], bool], str | int] | None:
    """A key as `compare(column, operand)`."""
    if isinstance(criterion, Comparing):
        return comparison_of(criterion)
    if isinstance(criterion, HeaderContains) and criterion.name in TEXT_COLUMNS and criterion.text:
        # An empty text asks whether the field is there, which an empty column does not tell.
        return TEXT_COLUMNS[criterion.name], contains, fold(criterion.text)
    return None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a view's messages, an entry for each; a copy of its own, so any thread may look.

    A set of messages is a number with one octet for each, the first the least, which is 1 for a member.
    """

    uids: "array[int]"
    flags: list[FlagSet]
    mod_seqs: "array[int]"
    values: Mapping[KeyColumn, Values]

    def matching(self, criterion: Criterion) -> list[int]:
        """The UIDs of those that meet `criterion`, which memory must be able to answer."""
        octets = self._members(criterion).to_bytes(len(self.uids), "little")
        return list(compress(self.uids, octets))

    def _members(self, criterion: Criterion) -> int:
        match criterion:
            case Everything() | BodyContains() | TextContains():
                return self._everyone()
            case AllOf(keys):
                found = self._everyone()
                for key in keys:
                    if found:
                        found &= self._members(key)
                return found
            case AnyOf(keys):
                found = 0
                for key in keys:
                    found |= self._members(key)
                return found
            case Negated(key):
                return self._everyone() ^ self._members(key)
            case HasFlags(system):
                # PERF: half of what comparing each would take.
                return int.from_bytes(
                    bytes([f.system for f in self.flags]).translate(_having(system)), "little"
                )
            case HasKeyword(keyword):
                return self._with_keyword(keyword)
            case UidIn(uids):
                return self._within(uids)
            case ModSeqFrom(mod_seq):
                return _set_of(map(ge, self.mod_seqs, repeat(mod_seq)))
            case _:
                compared = _comparison(criterion)
                assert compared is not None
                column, compare, operand = compared
                values = self.values[column]
                if isinstance(values, Texts):
                    return int.from_bytes(values.containing(str(operand)), "little")
                return _set_of(map(compare, values, repeat(operand)))

    def _everyone(self) -> int:
        return int.from_bytes(b"\1" * len(self.uids), "little")

    def _within(self, uids: NumberSet) -> int:
        octets = bytearray(len(self.uids))
        for low, high in uids.ranges:
            first, end = bisect_left(self.uids, low), bisect_right(self.uids, high)
            octets[first:end] = b"\1" * (end - first)
        return int.from_bytes(octets, "little")

    def _with_keyword(self, keyword: str) -> int:
        # PERF: there are few different sets, and equal ones are mostly one object.
        ids = list(map(id, self.flags))
        has = {each: keyword in flags for each, flags in dict(zip(ids, self.flags, strict=True)).items()}
        return _set_of(map(has.__getitem__, ids))


@lru_cache(maxsize=64)
def _having(system: int) -> bytes:
    """For each value of the system flags, whether it has all of these."""
    return bytes([value & system == system for value in range(256)])


def _set_of(outcomes: Iterable[bool]) -> int:
    return int.from_bytes(bytes(outcomes), "little")
