"""Remember large mailboxes as sessions last knew them: who selects one again reads only what changed.

Invariants: a state is the mailbox exactly as it was at its mod-sequence and is never changed; whoever takes
    one brings a copy up to date in the transaction it is used in. The room is bounded by `octets`.
Not here: what changed (store/changes.py), what a client has been told (postino.imap.view).
"""

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress
from typing import Final

from postino.core.flags import FlagSet, stored_flag_set
from postino.core.ids import AccountId, MailboxId
from postino.store.changes import Changes, Messages, MessageState, TooLongAgo, changes_since
from postino.store.tx import Tx

DEFAULT_OCTETS: Final = 32 * 1024 * 1024
MESSAGE_OCTETS: Final = 20
"""A UID, a mod-sequence, and which flags: these are shared."""
STATE_OCTETS: Final = 500
MOST_CHANGED: Final = 100


@dataclass(frozen=True, slots=True)
class MailboxState:
    """A mailbox's messages at a mod-sequence."""

    messages: Messages
    mod_seq: int
    uid_next: int

    @property
    def octets(self) -> int:
        """What it takes in memory."""
        return STATE_OCTETS + MESSAGE_OCTETS * len(self.messages.uids)

    def up_to_date(self, tx: Tx, account_id: AccountId, mailbox_id: MailboxId) -> Messages | None:
        """A copy with what changed since; None when all must be read afresh. Raises NoSuchMailbox."""
        try:
            changes = changes_since(tx, account_id, mailbox_id, self.mod_seq, self.uid_next)
        except TooLongAgo:
            return None
        if len(changes.rows) > MOST_CHANGED + len(self.messages.uids) // 4:
            # Going through so many takes longer than reading all.
            return None
        messages = _changed(self.messages, changes, self.uid_next)
        row = tx.one("SELECT messages FROM mailbox WHERE account_id=? AND id=?", (account_id, mailbox_id))
        # Nothing but a fault makes these differ, and then the store is right.
        return messages if row is not None and row[0] == len(messages.uids) else None


def _changed(before: Messages, changes: Changes, uid_next: int) -> Messages:
    uids, mod_seqs, flags = before.uids[:], before.mod_seqs[:], before.flags[:]
    if changes.expunged:
        gone = set(changes.expunged)
        keep = bytes([uid not in gone for uid in uids])
        uids = array("I", compress(uids, keep))
        mod_seqs = array("Q", compress(mod_seqs, keep))
        flags = list(compress(flags, keep))
    for at, (uid, flag_set, mod_seq) in _places(uids, changes.rows):
        if uid >= uid_next:
            uids.append(uid)
            mod_seqs.append(mod_seq)
            flags.append(flag_set)
        elif at < len(uids) and uids[at] == uid:
            mod_seqs[at] = mod_seq
            flags[at] = flag_set
    return Messages(uids, mod_seqs, flags)


def _places(
    uids: "array[int]", rows: Iterable[MessageState]
) -> Iterable[tuple[int, tuple[int, FlagSet, int]]]:
    """Each changed message with its place: both go upwards, and mostly one is next to the one before."""
    at = -1
    for uid, system, keywords, mod_seq in rows:
        at += 1
        if at >= len(uids) or uids[at] != uid:
            at = bisect_left(uids, uid)
        yield at, (uid, stored_flag_set(system, keywords), mod_seq)


class StateCache:
    """One for each worker. What was used last stays."""

    def __init__(self, octets: int = DEFAULT_OCTETS) -> None:
        self.octets = octets
        self.used = 0
        self._states: OrderedDict[tuple[AccountId, MailboxId], MailboxState] = OrderedDict()

    def get(self, account_id: AccountId, mailbox_id: MailboxId) -> MailboxState | None:
        """The last state that is known, perhaps long past."""
        found = self._states.get((account_id, mailbox_id))
        if found is not None:
            self._states.move_to_end((account_id, mailbox_id))
        return found

    def put(self, account_id: AccountId, mailbox_id: MailboxId, state: MailboxState) -> None:
        """Keep this one, unless a later one is known; the caller must not change its columns any more."""
        place = account_id, mailbox_id
        before = self._states.get(place)
        if before is not None:
            if before.mod_seq >= state.mod_seq:
                return
            self.used -= before.octets
        self._states[place] = state
        self._states.move_to_end(place)
        self.used += state.octets
        while self.used > self.octets:
            _, oldest = self._states.popitem(last=False)
            self.used -= oldest.octets
