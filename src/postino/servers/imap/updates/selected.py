"""The selected mailbox: a session's view joined to the store and to the bus.

RFC: 9051 §5.2 (updates), 7162 §3.1 (mod-sequences).
Invariants: what the bus says is a hint; the view changes only by comparing mod-sequences with the store,
    its contents and the changes read in one transaction.
Not here: numbers and pending updates (postino.imap.view), the commands (select.py, fetch.py, ...).
"""

from collections.abc import Callable
from typing import Final

from postino.core.errors import AccessLost
from postino.core.ids import MailboxId
from postino.core.numset import NumberSet
from postino.core.ports import Bus, MailboxChange
from postino.core.rights import Rights
from postino.imap.numbers import Numbers, SavedResult
from postino.imap.view import Span, View
from postino.servers.imap.searching.followed import SearchContexts
from postino.servers.imap.updates.state_cache import MailboxState, StateCache
from postino.store.access import Reached
from postino.store.acl import rights_of
from postino.store.changes import Changes, Messages, changes_since, load_messages
from postino.store.store import Store
from postino.store.tx import Tx

# PERF: reading a message's state takes about a microsecond; past this many, other sessions of the worker
# would notice, and a thread reads instead.
READ_IN_PLACE: Final = 2_000
_NOTHING: Final = NumberSet()


class SelectedMailbox:
    """From SELECT to CLOSE. Must be closed, or the bus keeps calling."""

    __slots__ = (
        "_bus",
        "_mark",
        "_states",
        "_store",
        "account_id",
        "contexts",
        "id",
        "name",
        "on_news",
        "read_only",
        "rights",
        "saved",
        "uid_validity",
        "view",
        "viewer",
    )

    def __init__(
        self,
        store: Store,
        bus: Bus,
        states: StateCache,
        reached: Reached,
        *,
        read_only: bool,
        mark: bytes = b"",
    ) -> None:
        """`mark` is the store's from just before `reached` was read."""
        self._store = store
        self._bus = bus
        self._states = states
        self._mark = mark
        """The database's state in which the view was compared with it last."""
        mailbox = reached.mailbox
        self.account_id = reached.account_id
        """Whose the mailbox is: not always who is logged in."""
        self.viewer = reached.viewer
        self.id: MailboxId = mailbox.id
        self.name = reached.name
        self.rights = reached.rights
        self.uid_validity = mailbox.uid_validity
        self.read_only = read_only
        self.view = View(mailbox.messages, mailbox.uid_next, mailbox.highest_mod_seq)
        self.saved = _NOTHING
        """The UIDs `$` stands for (RFC 5182)."""
        self.contexts = SearchContexts()
        """The searches whose results are kept up to date (RFC 5267)."""
        self.on_news: Callable[[], None] | None = None
        """Called when the mailbox may have changed; set while the session idles."""
        bus.subscribe(self.account_id, self.id, self._hear)

    def close(self) -> None:
        """Stop listening."""
        self.on_news = None
        self._remember()
        self._bus.unsubscribe(self.account_id, self.id, self._hear)

    def _hear(self, change: MailboxChange) -> None:
        # The session's own changes come back too; the view may have them already.
        if self.on_news is not None and change.mod_seq > self.view.mod_seq:
            self.on_news()

    @property
    def is_current(self) -> bool:
        """Whether nobody committed anything since the view was compared: sync() would do nothing."""
        return bool(self._mark) and self._store.mark() == self._mark

    async def sync(self) -> None:
        """Fold what changed in the store into the view; nothing is told yet.

        Raises NoSuchMailbox, TooLongAgo.
        """
        # PERF: every command ends here, and mostly nothing was committed meanwhile by anybody: 0.7 us
        # instead of 15 (bench: imap.noop).
        mark = self._store.mark()
        if mark and mark == self._mark:
            return
        await self._compare()
        self._mark = mark

    def follow(self, previous_mod_seq: int, mod_seq: int) -> None:
        """Take in a short write of the session's own, told to the view already, right after it."""
        before, after = self._store.own_marks
        if self.view.mod_seq == previous_mod_seq and before == self._mark:
            # PERF: comparing would find nothing: this was the one commit since (12 us of a STORE's 150).
            self._mark = after
        self.view.follow(previous_mod_seq, mod_seq)

    async def _compare(self) -> None:
        if self.account_id != self.viewer:
            self.rights_now()
        if not self.view.is_loaded and self.view.told > READ_IN_PLACE:
            # Whether the whole mailbox must be read is known only afterwards: look first.
            changes = self._store.read_now(self._changes)
            if changes.highest_mod_seq <= self.view.mod_seq:
                return
            if self.view.must_load(changes.rows, changes.expunged):
                await self.load()
                return
            self._fold(changes)
            return
        changes, messages = self._store.read_now(self._changes_and_messages)
        if messages is not None:
            self._load(messages, changes)
        elif changes.highest_mod_seq > self.view.mod_seq:
            self._fold(changes)

    async def load(self) -> None:
        """Have the view know every message, with what changed since included.

        Raises NoSuchMailbox, TooLongAgo.
        """
        if self.view.is_loaded:
            return
        if self.view.told > READ_IN_PLACE:
            known = self._states.get(self.account_id, self.id)
            changes, messages = await self._store.read(lambda tx: self._everything(tx, known))
        else:
            changes, messages = self._store.read_now(lambda tx: self._everything(tx, None))
        self._load(messages, changes)

    def rights_now(self) -> Rights:
        """What the session's account may do here at this moment. Raises AccessLost when not even read."""
        rights = self._store.read_now(lambda tx: rights_of(tx, self.viewer, self.account_id, self.id))
        if Rights.READ not in rights:
            raise AccessLost("The selected mailbox may no longer be read; its owner shares it no more")
        return rights

    def rest(self) -> None:
        """Let go of a large mailbox's messages: the session has been idle, and may be so for hours."""
        if self.view.told > READ_IN_PLACE and not self.view.has_news:
            self._remember()

    def _remember(self) -> None:
        """Let go of a large mailbox's messages, but keep them for whoever asks next."""
        view = self.view
        if view.told > READ_IN_PLACE and (columns := view.give_up()) is not None:
            state = MailboxState(Messages(*columns), view.mod_seq, view.uid_next)
            self._states.put(self.account_id, self.id, state)

    def resolve(self, numbers: Numbers, *, by_uid: bool) -> list[Span]:
        """The messages a command means; the view must be loaded."""
        if isinstance(numbers, SavedResult):
            return self.view.find(self.saved)
        return self.view.by_uid(numbers) if by_uid else self.view.by_seq(numbers)

    # In a transaction

    def _changes(self, tx: Tx) -> Changes:
        return changes_since(tx, self.account_id, self.id, self.view.mod_seq, self.view.uid_next)

    def _changes_and_messages(self, tx: Tx) -> tuple[Changes, Messages | None]:
        changes = self._changes(tx)
        if self.view.must_load(changes.rows, changes.expunged):
            return changes, load_messages(tx, self.account_id, self.id)
        return changes, None

    def _everything(self, tx: Tx, known: MailboxState | None) -> tuple[Changes, Messages]:
        changes = self._changes(tx)
        # PERF: 2 ms for 200,000 messages of which few changed, instead of 100.
        messages = known.up_to_date(tx, self.account_id, self.id) if known is not None else None
        return changes, messages or load_messages(tx, self.account_id, self.id)

    # And after it

    def _load(self, messages: Messages, changes: Changes) -> None:
        self.view.load(*messages, changes.expunged)
        self._fold(changes, loading=True)

    def _fold(self, changes: Changes, *, loading: bool = False) -> None:
        self.view.fold(
            changes.rows,
            changes.expunged,
            mod_seq=changes.highest_mod_seq,
            uid_next=changes.uid_next,
            loading=loading,
        )
