"""FETCH and UID FETCH: what is in these messages?

RFC: 9051 §6.4.5 and §6.4.9, 7162 §3.1.4.1 (CHANGEDSINCE) and §3.2.6 (VANISHED), 9394 §3.3 (PARTIAL).
Not here: the items as values (fetch_item.py), how they are answered (fetch_plan.py).
"""

import re
from dataclasses import dataclass
from typing import Final

from postino.imap.fetch_grammar import fetch_items
from postino.imap.fetch_item import FetchItem
from postino.imap.numbers import Numbers
from postino.imap.scanner import Scanner
from postino.imap.search_return import PartialRange, partial_range


@dataclass(frozen=True, slots=True)
class Fetch:
    """`items` as asked, macros expanded, doubles dropped; UID is added for UID FETCH by the answerer."""

    tag: bytes
    numbers: Numbers
    by_uid: bool
    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    vanished: bool = False
    partial: PartialRange | None = None
    """Only so many of the messages, counted from the first or from the last."""

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID FETCH" if self.by_uid else "FETCH"


USAGE: Final = "FETCH needs messages and a list of items, such as FETCH 2:4 (FLAGS UID)"
_CHANGED_SINCE: Final = re.compile(rb"CHANGEDSINCE ", re.IGNORECASE)
_PARTIAL: Final = re.compile(rb"PARTIAL ", re.IGNORECASE)
_VANISHED: Final = re.compile(rb"VANISHED(?=[ )])", re.IGNORECASE)


def parse(tag: bytes, scan: Scanner, by_uid: bool) -> Fetch:
    """`SP sequence-set SP items [SP "(" fetch-modifiers ")"]`."""
    scan.space()
    numbers = scan.numbers()
    scan.space()
    items = fetch_items(scan)
    if scan.accept(b" ("):
        changed_since, vanished, partial = _modifiers(scan, by_uid)
        scan.end()
        return Fetch(tag, numbers, by_uid, items, changed_since, vanished, partial)
    scan.end()
    return Fetch(tag, numbers, by_uid, items)


def _modifiers(scan: Scanner, by_uid: bool) -> tuple[int | None, bool, PartialRange | None]:
    scan.usage = (
        "FETCH takes the modifiers CHANGEDSINCE n, VANISHED and PARTIAL range, such as (CHANGEDSINCE 12345)"
    )
    changed_since = None
    vanished = False
    partial = None
    while True:
        if changed_since is None and scan.match(_CHANGED_SINCE) is not None:
            changed_since = scan.number64(least=1)
        elif not vanished and scan.match(_VANISHED) is not None:
            vanished = True
        elif partial is None and scan.match(_PARTIAL) is not None:
            partial = partial_range(scan)
        else:
            scan.fail()
        if scan.accept(b")"):
            break
        scan.space()
    if vanished and (changed_since is None or not by_uid):
        scan.fail("VANISHED is for UID FETCH with CHANGEDSINCE")
    if partial is not None and not by_uid:
        scan.fail("PARTIAL is for UID FETCH")
    return changed_since, vanished, partial
