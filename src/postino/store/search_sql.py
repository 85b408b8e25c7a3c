"""SEARCH keys as conditions in SQL, as far as rows can tell.

RFC: 9051 §6.4.4 (keys), 7162 §3.1.5 (MODSEQ), 8514 (SAVEDBEFORE, SAVEDSINCE), 5032 (OLDER, YOUNGER).
Invariants: a condition speaks of `message m` and, where it says `c.`, of `content c`; it holds for exactly
    the messages for which the key does.
Not here: which value a key compares with what (comparison.py), keys that need texts (search.py).
"""

from collections.abc import Sequence
from operator import ge, gt, le, lt
from typing import Final, NamedTuple, assert_never

from postino.core.search import (
    AllOf,
    AnyOf,
    BodyContains,
    ContentIs,
    Criterion,
    Everything,
    Fuzzy,
    HasFlags,
    HasKeyword,
    HeaderContains,
    ModSeqFrom,
    Negated,
    TextContains,
    ThreadIs,
    UidIn,
)
from postino.mime.text import fold
from postino.store.comparison import TEXT_COLUMNS, Comparing, comparison_of
from postino.store.dialect import Dialect
from postino.store.tx import SqlValue

_MAX_SQL_RANGES: Final = 50
_SIGNS: Final = {lt: "<", le: "<=", ge: ">=", gt: ">"}


class Sql(NamedTuple):
    """A condition and its parameters."""

    condition: str
    params: tuple[SqlValue, ...]

    @property
    def reads_content(self) -> bool:
        """Whether it speaks of `content c`."""
        return "c." in self.condition


ALWAYS: Final = Sql("1=1", ())
NEVER: Final = Sql("1=0", ())


def named_text(key: HeaderContains, dialect: Dialect) -> Sql | None:
    """A key on a field that delivery has put into a column of its own."""
    column = TEXT_COLUMNS.get(key.name)
    # An empty text asks whether the field is there, which an empty column does not tell.
    if column is None or not key.text:
        return None
    return Sql(dialect.contains.format(column.value), (fold(key.text),))


def compile_sql(criterion: Criterion, dialect: Dialect, *, by_columns: bool = True) -> Sql | None:
    """The criterion as a condition on `message m` and `content c`; None when rows cannot tell.

    Without `by_columns` no text is looked into, not even one in a column: the search index is faster.
    """
    if isinstance(criterion, Comparing):
        column, compare, operand = comparison_of(criterion)
        return Sql(f"{column.value} {_SIGNS[compare]} ?", (operand,))
    match criterion:
        case Everything():
            return ALWAYS
        case AllOf(keys):
            return _joined(keys, " AND ", ALWAYS, dialect, by_columns=by_columns)
        case AnyOf(keys):
            return _joined(keys, " OR ", NEVER, dialect, by_columns=by_columns)
        case Negated(key):
            inner = compile_sql(key, dialect, by_columns=by_columns)
            return Sql(f"NOT ({inner.condition})", inner.params) if inner else None
        case HasFlags(system):
            return Sql("(m.flags & ?) = ?", (system, system))
        case HasKeyword(keyword):
            spaced = dialect.contains.format("' ' || lower(m.keywords) || ' '")
            return Sql(f"{spaced}", (f" {keyword.lower()} ",))
        case UidIn(uids):
            if len(uids.ranges) > _MAX_SQL_RANGES:
                return None
            if not uids:
                return NEVER
            return Sql(
                " OR ".join(["m.uid BETWEEN ? AND ?"] * len(uids.ranges)),
                tuple(number for pair in uids.ranges for number in pair),
            )
        case ModSeqFrom(mod_seq):
            return Sql("m.mod_seq >= ?", (mod_seq,))
        case ContentIs(account_id, content_id):
            return Sql("m.account_id = ? AND m.content_id = ?", (account_id, content_id))
        case ThreadIs(account_id, thread_id):
            return Sql("c.account_id = ? AND c.thread_id = ?", (account_id, thread_id))
        case Fuzzy(key):
            return compile_sql(key, dialect, by_columns=False)
        case HeaderContains():
            return named_text(criterion, dialect) if by_columns else None
        case BodyContains(text) | TextContains(text):
            return None if text else ALWAYS
        case _:
            assert_never(criterion)


def _joined(
    keys: Sequence[Criterion], word: str, of_none: Sql, dialect: Dialect, *, by_columns: bool
) -> Sql | None:
    conditions: list[str] = []
    params: list[SqlValue] = []
    for key in keys:
        compiled = compile_sql(key, dialect, by_columns=by_columns)
        if compiled is None:
            return None
        conditions.append(f"({compiled.condition})")
        params += compiled.params
    return Sql(word.join(conditions), tuple(params)) if conditions else of_none
