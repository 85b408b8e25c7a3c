"""SORT and UID SORT: which messages are like this, in what order?

RFC: 5256 §3 (SORT), 5957 (DISPLAYFROM, DISPLAYTO), 5267 §3 (RETURN), 6203 §6 (RELEVANCY).
Not here: the keys (search_grammar.py), the options after RETURN (search_return.py).
"""

from dataclasses import dataclass
from typing import Final

from postino.core.sort import SortCriterion, SortKey
from postino.imap.commands.search import Program, require_fuzzy, search_criteria
from postino.imap.scanner import Scanner
from postino.imap.search_key import SearchKey
from postino.imap.search_return import Returning, returning


@dataclass(frozen=True, slots=True)
class Sort:
    """`returning` is None for a plain SORT."""

    tag: bytes
    by_uid: bool
    returning: Returning | None
    criteria: tuple[SortCriterion, ...]
    program: Program

    @property
    def key(self) -> SearchKey:
        """What is looked for."""
        return self.program.key

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID SORT" if self.by_uid else "SORT"


USAGE: Final = "SORT needs an order, a character set and search keys, such as SORT (REVERSE DATE) UTF-8 ALL"
_KEYS: Final = {key.value.encode("ascii"): key for key in SortKey}


def parse(tag: bytes, scan: Scanner, by_uid: bool) -> Sort:
    """`[SP RETURN SP "(" options ")"] SP "(" sort-criteria ")" SP charset 1*(SP search-key)`."""
    scan.space()
    wanted = returning(scan)
    criteria = _criteria(scan)
    scan.space()
    program = search_criteria(scan)
    require_fuzzy(scan, program, wanted, by_relevancy=any(each.key is SortKey.RELEVANCY for each in criteria))
    return Sort(tag, by_uid, wanted, criteria, program)


def _criteria(scan: Scanner) -> tuple[SortCriterion, ...]:
    scan.require(b"(")
    criteria: list[SortCriterion] = []
    while not criteria or not scan.accept(b")"):
        if criteria:
            scan.space()
        name = scan.keyword()
        is_reverse = name == b"REVERSE"
        if is_reverse:
            scan.space()
            name = scan.keyword()
        key = _KEYS.get(name)
        if key is None:
            scan.fail(f"SORT goes by {', '.join(each.value for each in SortKey)}, each perhaps after REVERSE")
        if len(criteria) >= scan.options.sort_criteria:
            scan.exceed(f"SORT takes at most {scan.options.sort_criteria} criteria")
        criteria.append(SortCriterion(key, is_reverse))
    return tuple(criteria)
