"""Mailboxes as they were read last, for as long as nothing at all is committed.

Mail programs ask for the STATUS of one mailbox after the other: the first is read alone, and with the second
all of the account's.
Invariants: what is given is what a read at this moment would give; only an account's own mailboxes are kept,
    and at most MOST_KEPT.
Not here: what to do without an answer from here (store/access.py).
"""

from typing import TYPE_CHECKING, Final

from postino.core.ids import AccountId
from postino.core.rights import ALL_RIGHTS, Rights
from postino.store.access import Reached, reach_mailbox
from postino.store.mailboxes import list_mailboxes
from postino.store.tx import Tx

if TYPE_CHECKING:
    from postino.store.store import Store

MOST_KEPT: Final = 1_000
AT_ONCE: Final = 200
"""Of an account with more mailboxes only the first are read: they take a fifth of a millisecond."""
_READ_ALL: Final = 2


class KnownMailboxes:
    """One for each worker."""

    __slots__ = ("_asked", "_found", "_mark")

    def __init__(self) -> None:
        self._mark = b""
        """The database's state in which all of these were read."""
        self._found: dict[tuple[AccountId, str], Reached] = {}
        self._asked: dict[AccountId, int] = {}
        """How often an account asked for a mailbox that was not known, in this state."""

    def reach(self, store: "Store", viewer: AccountId, name: str, mark: bytes) -> Reached:
        """The mailbox `viewer` calls `name`, for reading; `mark` is the store's, just taken.

        PERF: 9 us of a STATUS's 25 (bench: imap.status). Raises NoSuchMailbox, NoPermission.
        """
        if mark and mark == self._mark:
            found = self._found.get((viewer, name))
            if found is not None:
                return found
        else:
            self._found.clear()
            self._asked.clear()
            self._mark = mark
        return store.read_now(lambda tx: self._read(tx, viewer, name))

    def _read(self, tx: Tx, viewer: AccountId, name: str) -> Reached:
        reached = reach_mailbox(tx, viewer, name, Rights.READ)
        if not reached.is_own:
            return reached
        if len(self._found) + AT_ONCE > MOST_KEPT:
            self._found.clear()
        self._found[viewer, name] = reached
        times = self._asked[viewer] = self._asked.get(viewer, 0) + 1
        if times == _READ_ALL:
            for row in list_mailboxes(tx, viewer, most=AT_ONCE):
                self._found[viewer, row.name] = Reached(viewer, row, row.name, ALL_RIGHTS, viewer)
        return reached
