"""Change flags and keywords of many messages at once.

RFC: 9051 §6.4.6 (STORE), 7162 §3.1.3 (UNCHANGEDSINCE).
Invariants: one call gives all the messages it changes one new mod-sequence; messages that already
    are as asked keep theirs; each message changed after mailbox.flag_log_start lies in a row of flag_change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from heapq import nlargest
from typing import Final, assert_never

from postino.core.flags import Flag, FlagSet, stored_flag_set
from postino.core.ids import AccountId, MailboxId, ModSeq
from postino.core.numset import NumberSet
from postino.core.ports import MailboxChange
from postino.core.rights import FLAG_RIGHTS, Rights, flag_mask, permitted_flags
from postino.store.counters import DELETED, SEEN, adjust_mailbox, next_mod_seq, no_such_mailbox
from postino.store.tx import Tx
from postino.store.uids import uid_conditions

LOG_ROWS: Final = 2_000
"""About how many rows of flag_change a mailbox keeps: enough for sessions, which ask every few minutes, and
for clients that were away for a day."""
_PRUNE_EVERY: Final = 256
_ROWS_A_STORE: Final = 8
_MAX_OUTCOMES: Final = 64
_ALL_FLAGS: Final = int(Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED | Flag.DELETED | Flag.DRAFT)


class FlagMode(Enum):
    """What to do with the flags named: FLAGS, +FLAGS, -FLAGS."""

    SET = "set"
    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class FlagChange:
    """One STORE command's wish."""

    mode: FlagMode
    flags: FlagSet
    rights: Rights = FLAG_RIGHTS
    """Which flags this may change: those that s, w and t are about (RFC 4314 §4)."""
    _outcomes: dict[FlagSet, FlagSet] = field(default_factory=dict, init=False, repr=False, compare=False)

    def applied_to(self, old: FlagSet) -> FlagSet:
        """What the wish makes of a message's flags."""
        # PERF: the same wish for the same flags comes again and again (bench: imap.store).
        new = self._outcomes.get(old)
        if new is None:
            if len(self._outcomes) >= _MAX_OUTCOMES:
                self._outcomes.clear()
            new = self._outcomes[old] = self._applied_to(old)
        return new

    @property
    def leaves_keywords(self) -> bool:
        """Whether no message's keywords can become others."""
        return self.mode is not FlagMode.SET and not self.flags.keywords

    def _applied_to(self, old: FlagSet) -> FlagSet:
        flags = permitted_flags(self.rights, self.flags)
        match self.mode:
            case FlagMode.SET:
                mine = permitted_flags(self.rights, old)
                # Through `old`, so that keywords keep the spelling the message has.
                return old.without(mine.without(flags)).union(flags)
            case FlagMode.ADD:
                return old.union(flags)
            case FlagMode.REMOVE:
                return old.without(flags)
            case _:
                assert_never(self.mode)


@dataclass(frozen=True, slots=True)
class KnownFlags:
    """The flags of some messages, as a session knows them whose view was the mailbox at `mod_seq`."""

    mod_seq: int
    counts: Mapping[FlagSet, int]
    """How many of the messages have these flags."""
    changed: Sequence[int]
    """The UIDs of those that will be different, by uid."""


@dataclass(frozen=True, slots=True)
class FlagsStored:
    """What a store_flags did."""

    changed: list[tuple[int, FlagSet, int]]
    """(uid, flags, mod_seq) of each message that is different now, by uid."""
    modified: NumberSet
    """Messages left alone because they changed after `unchanged_since`."""
    previous_mod_seq: int
    """The mailbox's highest mod-sequence before: whoever knew that one knows all with `changed`."""
    mod_seq: int
    """The mailbox's highest mod-sequence now."""
    was_known: bool = False
    """All came about as KnownFlags foretold, and `changed` is left empty."""


def store_known_flags(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    uids: NumberSet,
    change: FlagChange,
    known: KnownFlags,
) -> FlagsStored:
    """As `store_flags`, for a session that knows the flags already, unless something happened since.

    PERF: reading 10,000 messages' flags and going through them is twice the work of changing them (bench:
    imap.store). Raises NoSuchMailbox.
    """
    if not known.changed:
        still = tx.one(
            "SELECT 1 FROM mailbox WHERE account_id=? AND id=? AND highest_mod_seq=?",
            (account_id, mailbox_id, known.mod_seq),
        )
        if still is None:
            return store_flags(tx, account_id, mailbox_id, uids, change)
        return FlagsStored([], NumberSet(), known.mod_seq, known.mod_seq, was_known=True)
    outcome: dict[tuple[int, str], FlagSet | None] = {}
    unseen = deleted = 0
    leaves_keywords = change.leaves_keywords
    for old, count in known.counts.items():
        new = change.applied_to(old)
        if not leaves_keywords:
            outcome[old.system, old.stored_keywords] = None if new == old else new
        unseen += ((old.system & SEEN) - (new.system & SEEN)) * count
        deleted += ((new.system & DELETED) - (old.system & DELETED)) // DELETED * count
    mod_seq = next_mod_seq(tx, account_id)
    is_known = adjust_mailbox(
        tx, account_id, mailbox_id, mod_seq, unseen=unseen, deleted=deleted, if_still=known.mod_seq
    )
    if not is_known:
        return store_flags(tx, account_id, mailbox_id, uids, change)
    keep, add = masks(change)
    updated = 0
    for condition in uid_conditions(tx, account_id, mailbox_id, uids):
        where = f"account_id=? AND mailbox_id=? AND {condition.sql}"
        updated += update_flags(
            tx, where, (account_id, mailbox_id, *condition.params), outcome, mod_seq, keep, add
        )
    assert updated == len(known.changed), "a view differs from its mailbox"
    log_change(tx, account_id, mailbox_id, mod_seq, known.changed)
    tx.note_change(MailboxChange(account_id, mailbox_id, mod_seq))
    return FlagsStored([], NumberSet(), known.mod_seq, mod_seq, was_known=True)


def store_flags(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    uids: NumberSet,
    change: FlagChange,
    unchanged_since: int | None = None,
) -> FlagsStored:
    """Change the flags of `uids`; UIDs without a message are ignored. Raises NoSuchMailbox."""
    mailbox = tx.one(
        "SELECT highest_mod_seq FROM mailbox WHERE account_id=? AND id=?", (account_id, mailbox_id)
    )
    if mailbox is None:
        raise no_such_mailbox()
    wanted = change.flags
    keep, add = masks(change)
    changed: list[tuple[int, FlagSet, int]] = []
    modified: list[int] = []
    unseen = deleted = 0
    mod_seq = ModSeq(0)
    for condition in uid_conditions(tx, account_id, mailbox_id, uids):
        where = f"account_id=? AND mailbox_id=? AND {condition.sql}"
        key = (account_id, mailbox_id, *condition.params)
        if unchanged_since is not None:
            rows = tx.all(
                f"SELECT uid FROM message WHERE {where} AND mod_seq>? ORDER BY uid", (*key, unchanged_since)
            )
            modified += [uid for (uid,) in rows]
            where += " AND mod_seq<=?"
            key = (*key, unchanged_since)
        if change.mode is not FlagMode.SET and not wanted.keywords:
            # PERF: rows that are already as asked are not even read.
            where += " AND ((flags & ?) | ?) <> flags"
            key = (*key, keep, add)
        rows = tx.all(f"SELECT uid, flags, keywords FROM message WHERE {where} ORDER BY uid", key)
        if not rows:
            continue
        outcome: dict[tuple[int, str], FlagSet | None] = {}
        for pair in {(row[1], row[2]) for row in rows}:
            old = stored_flag_set(*pair)
            new = change.applied_to(old)
            outcome[pair] = None if new == old else new
        if not any(outcome.values()):
            continue
        mod_seq = mod_seq or next_mod_seq(tx, account_id)
        for uid, flags, keywords in rows:
            after = outcome[flags, keywords]
            if after is not None:
                changed.append((uid, after, mod_seq))
                unseen += (flags & SEEN) - (after.system & SEEN)
                deleted += ((after.system & DELETED) - (flags & DELETED)) // DELETED
        update_flags(tx, where, key, outcome, mod_seq, keep, add)
    if changed:
        adjust_mailbox(tx, account_id, mailbox_id, mod_seq, unseen=unseen, deleted=deleted)
        log_change(tx, account_id, mailbox_id, mod_seq, [uid for uid, _, _ in changed])
        tx.note_change(MailboxChange(account_id, mailbox_id, mod_seq))
    return FlagsStored(changed, NumberSet.of(modified), mailbox[0], mod_seq or mailbox[0])


def message_flags(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, uids: NumberSet
) -> dict[int, FlagSet]:
    """The flags of those of the messages that are there, by UID."""
    return {
        uid: stored_flag_set(system, keywords)
        for condition in uid_conditions(tx, account_id, mailbox_id, uids)
        for uid, system, keywords in tx.all(
            "SELECT uid, flags, keywords FROM message WHERE account_id=? AND mailbox_id=?"
            f" AND {condition.sql} ORDER BY uid",
            (account_id, mailbox_id, *condition.params),
        )
    }


def masks(change: FlagChange) -> tuple[int, int]:
    """The system flags to keep and those to add."""
    changeable = _ALL_FLAGS if change.rights is FLAG_RIGHTS else flag_mask(change.rights)
    system = change.flags.system & changeable
    match change.mode:
        case FlagMode.SET:
            return _ALL_FLAGS & ~changeable, system
        case FlagMode.ADD:
            return _ALL_FLAGS, system
        case FlagMode.REMOVE:
            return _ALL_FLAGS & ~system, 0
        case _:
            assert_never(change.mode)


def update_flags(
    tx: Tx,
    where: str,
    key: tuple[int | str | bytes | float | None, ...],
    outcome: dict[tuple[int, str], FlagSet | None],
    mod_seq: ModSeq,
    keep: int,
    add: int,
) -> int:
    """One statement for each distinct keywords value, all of them when keywords do not change.

    Gives how many messages were changed. No `outcome` says that no keywords change.
    """
    keywords = {before[1]: after.stored_keywords for before, after in outcome.items() if after is not None}
    if all(old == new for old, new in keywords.items()):
        return tx.run(
            f"UPDATE message SET flags=(flags & ?) | ?, mod_seq=? WHERE {where}"
            " AND ((flags & ?) | ?) <> flags",
            (keep, add, mod_seq, *key, keep, add),
        )
    count = 0
    for old, new in keywords.items():
        # Rows an earlier turn brought to `old` are already as asked: the last condition passes them by.
        count += tx.run(
            f"UPDATE message SET flags=(flags & ?) | ?, keywords=?, mod_seq=? WHERE {where} AND keywords=?"
            " AND mod_seq<>? AND (((flags & ?) | ?) <> flags OR ?)",
            (keep, add, new, mod_seq, *key, old, mod_seq, keep, add, int(old != new)),
        )
    return count


def log_change(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, mod_seq: ModSeq, uids: Sequence[int]
) -> None:
    """Note where the changed messages are, so that changes_since() need not look at the others."""
    is_dense = uids[-1] - uids[0] < 2 * len(uids)
    for first, last in [(uids[0], uids[-1])] if is_dense else _spans(uids):
        tx.run(
            "INSERT INTO flag_change (account_id, mailbox_id, mod_seq, first_uid, last_uid)"
            " VALUES (?, ?, ?, ?, ?)",
            (account_id, mailbox_id, mod_seq, first, last),
        )
    # Mixed up, because mailboxes share the counter: in turns, one of two would only have the odd numbers.
    if (mod_seq * 0x9E3779B1 >> 12) % _PRUNE_EVERY == 0:
        prune_flag_log(tx, account_id, mailbox_id)


def _spans(uids: Sequence[int]) -> list[tuple[int, int]]:
    """A few ranges around these UIDs, which go upwards: cut where the gaps are widest."""
    gaps = nlargest(_ROWS_A_STORE - 1, range(1, len(uids)), key=lambda at: uids[at] - uids[at - 1])
    starts = [0, *sorted(gaps)]
    return [(uids[start], uids[end - 1]) for start, end in zip(starts, [*starts[1:], len(uids)], strict=True)]


def prune_flag_log(tx: Tx, account_id: AccountId, mailbox_id: MailboxId, keep: int = LOG_ROWS) -> None:
    """Forget where messages were changed, but for the last `keep` rows or so."""
    key = (account_id, mailbox_id)
    row = tx.one(
        "SELECT mod_seq FROM flag_change WHERE account_id=? AND mailbox_id=?"
        " ORDER BY mod_seq DESC LIMIT 1 OFFSET ?",
        (*key, keep),
    )
    if row is not None:
        tx.run("DELETE FROM flag_change WHERE account_id=? AND mailbox_id=? AND mod_seq<=?", (*key, row[0]))
        tx.run("UPDATE mailbox SET flag_log_start=? WHERE account_id=? AND id=?", (row[0], *key))
