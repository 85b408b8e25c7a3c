"""Keep the ready answers of lists in memory, so that the next client's list needs no database.

Invariants: what is kept never becomes wrong: a UID of a mailbox always means the same octets, and the ids
    of accounts and mailboxes are never given twice; so nothing is ever taken back, only forgotten for
    lack of room. The room is bounded by `octets`, whatever clients ask for.
Not here: whether a message is still there (postino.imap.view), what an answer looks like
    (postino.imap.fetch_plan).
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from postino.core.ids import AccountId, MailboxId

DEFAULT_OCTETS: Final = 64 * 1024 * 1024
ENTRY_OCTETS: Final = 150
"""What one answer takes besides its octets: its UID, its place in a table, the object's head."""
SHELF_OCTETS: Final = 1024


class Shelf:
    """The answers to one list of items, of one mailbox."""

    __slots__ = ("answers", "is_kept", "octets")

    def __init__(self, octets: int) -> None:
        self.answers: dict[int, bytes] = {}
        """By UID; perhaps of messages that are expunged by now."""
        self.octets = octets
        self.is_kept = True

    def find(self, uids: Iterable[int]) -> list[bytes | None]:
        """The answer for each of these, None where it is not known."""
        return list(map(self.answers.get, uids))


class ListCache:
    """One for each worker. The shelves used last stay."""

    def __init__(self, octets: int = DEFAULT_OCTETS) -> None:
        self.octets = octets
        self.used = 0
        self._shelves: OrderedDict[tuple[AccountId, MailboxId, bytes], Shelf] = OrderedDict()

    def shelf(self, account_id: AccountId, mailbox_id: MailboxId, items: bytes) -> Shelf:
        """Where the answers to `items` are kept; good for as long as a command takes."""
        key = (account_id, mailbox_id, items)
        found = self._shelves.get(key)
        if found is None:
            found = self._shelves[key] = Shelf(SHELF_OCTETS + len(items))
            self.used += found.octets
            self._make_room()
        else:
            self._shelves.move_to_end(key)
        return found

    def put(self, shelf: Shelf, uids: Sequence[int], answers: Sequence[bytes]) -> None:
        """Keep these answers, unless the shelf would then take more than half of the room."""
        octets = ENTRY_OCTETS * len(answers) + sum(map(len, answers))
        if not shelf.is_kept or shelf.octets + octets > self.octets // 2:
            return
        shelf.answers.update(zip(uids, answers, strict=True))
        shelf.octets += octets
        self.used += octets
        self._make_room()

    def _make_room(self) -> None:
        while self.used > self.octets and self._shelves:
            _, oldest = self._shelves.popitem(last=False)
            oldest.is_kept = False
            self.used -= oldest.octets
