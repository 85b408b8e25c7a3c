"""FETCH and UID FETCH: what is in these messages?

RFC: 9051 §6.4.5 and §6.4.9, 7162 §3.1.4.1 (CHANGEDSINCE) and §3.2.6 (VANISHED).
Not here: the items as values (fetch_item.py), how they are answered (fetch_plan.py).
"""

from dataclasses import dataclass

from postino.imap.fetch_item import FetchItem
from postino.imap.numbers import Numbers


@dataclass(frozen=True, slots=True)
class Fetch:
    """`items` as asked, macros expanded, doubles dropped; UID is added for UID FETCH by the answerer."""

    tag: bytes
    numbers: Numbers
    by_uid: bool
    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    vanished: bool = False

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID FETCH" if self.by_uid else "FETCH"
