"""The searches of a selected mailbox whose results the client wants to be kept up to date about.

RFC: 5267 §4.3 (UPDATE).
Not here: keeping them up to date (search_context.py).
"""

from array import array
from collections.abc import Iterable

from postino.core.search import Criterion
from postino.core.sort import SortCriterion
from postino.imap.fetch_item import FetchItem


class SearchContext:
    """One search whose results the client wants to be kept up to date about."""

    __slots__ = ("by_uid", "criteria", "criterion", "items", "tag", "uids")

    def __init__(
        self,
        tag: bytes,
        criterion: Criterion,
        uids: Iterable[int],
        *,
        by_uid: bool,
        criteria: tuple[SortCriterion, ...],
        items: tuple[FetchItem, ...],
    ) -> None:
        self.tag = tag
        self.items = items
        """What is told of each new message that joins."""
        self.criterion = criterion
        self.by_uid = by_uid
        self.criteria = criteria
        """Empty for SEARCH, whose results are in the mailbox's order."""
        self.uids = array("I", uids)
        """The results as the client has them, in their order."""


class SearchContexts:
    """Those of one selected mailbox, all as of the same moment."""

    __slots__ = ("by_tag", "mod_seq", "uid_next")

    def __init__(self) -> None:
        self.by_tag: dict[bytes, SearchContext] = {}
        self.mod_seq = 0
        self.uid_next = 0

    def __bool__(self) -> bool:
        return bool(self.by_tag)

    def drop_numbered(self) -> list[bytes]:
        """Follow no more what is told by message numbers; gives the tags."""
        tags = [tag for tag, context in self.by_tag.items() if not context.by_uid]
        for tag in tags:
            del self.by_tag[tag]
        return tags
