"""Scripts applied to messages that are there already: move, copy and flag them, and take that back.

RFC: 5228 §4 (what scripts ask for), 9051 §6.4.8 (MOVE).
Invariants: each change is written down in the transaction that makes it; one account's last script can be
    undone, for KEPT_SECONDS; undoing touches only messages that still are where the script put them.
Not here: what a script wants (delivery/filters/replaying.py).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from postino.core.errors import NoSuchMailbox
from postino.core.flags import NO_FLAGS, FlagSet, flag_set
from postino.core.ids import AccountId, Instant, MailboxId
from postino.core.mailbox_name import INBOX
from postino.core.numset import NumberSet
from postino.store.flagging import message_flags
from postino.store.mailboxes import mailbox_by_id, mailbox_by_name
from postino.store.messages import FlagChange, FlagMode, copy, expunge, move, store_flags
from postino.store.tx import Tx

KEPT_SECONDS: Final = 30 * 86_400
_NOWHERE: Final = MailboxId(0)


class Wanted(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is to become of messages of one mailbox that are treated alike."""

    uids: NumberSet
    move_to: MailboxId | None = None
    """None: they stay."""
    copy_to: tuple[MailboxId, ...] = ()
    added: FlagSet = NO_FLAGS
    removed: FlagSet = NO_FLAGS


class Change(msgspec.Struct, frozen=True, gc=False):
    """What was done with one message."""

    mailbox_id: MailboxId
    """Where it is since."""
    uid: int
    was_in: MailboxId
    """0 of a copy."""
    added: FlagSet
    removed: FlagSet


class Undone(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What came of taking changes back."""

    moved: int = 0
    flagged: int = 0
    removed: int = 0
    gone: int = 0
    """Messages that are no longer where they were put, and were left alone."""


def begin(tx: Tx, account_id: AccountId) -> None:
    """Forget what an earlier script did, before another is applied."""
    tx.run("DELETE FROM applied_change WHERE account_id=?", (account_id,))


def apply(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, wanted: Sequence[Wanted], *, now: Instant
) -> int:
    """Do it, and write down what was done. Gives how many messages are different or elsewhere now.

    Raises OverQuota where copies find no room, NoSuchMailbox; then nothing is done.
    """
    changes: list[Change] = []
    for each in wanted:
        _apply_one(tx, account_id, mailbox_id, each, changes, now)
    row = tx.one("SELECT coalesce(max(number), -1) FROM applied_change WHERE account_id=?", (account_id,))
    assert row is not None
    tx.run_many(
        "INSERT INTO applied_change (account_id, number, at, mailbox_id, uid, was_in, added, removed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                account_id,
                number,
                now,
                change.mailbox_id,
                change.uid,
                change.was_in,
                _text(change.added),
                _text(change.removed),
            )
            for number, change in enumerate(changes, row[0] + 1)
        ],
    )
    return len(changes)


def _apply_one(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    each: Wanted,
    changes: list[Change],
    now: Instant,
) -> None:
    changed: dict[int, tuple[FlagSet, FlagSet]] = {}
    before = message_flags(tx, account_id, mailbox_id, each.uids)
    for mode, flags in ((FlagMode.ADD, each.added), (FlagMode.REMOVE, each.removed)):
        if flags != NO_FLAGS:
            store_flags(tx, account_id, mailbox_id, each.uids, FlagChange(mode, flags))
    if each.added != NO_FLAGS or each.removed != NO_FLAGS:
        after = message_flags(tx, account_id, mailbox_id, each.uids)
        changed = {
            uid: (after[uid].without(old), old.without(after[uid]))
            for uid, old in before.items()
            if after[uid] != old
        }
    for target in each.copy_to:
        copied = copy(tx, account_id, mailbox_id, each.uids, target, now=now)
        changes += [Change(target, uid, _NOWHERE, NO_FLAGS, NO_FLAGS) for uid in copied.target_uids]
    if each.move_to is None:
        changes += [Change(mailbox_id, uid, mailbox_id, *flags) for uid, flags in changed.items()]
        return
    moved = move(tx, account_id, mailbox_id, each.uids, each.move_to, now=now)
    changes += [
        Change(each.move_to, new, mailbox_id, *changed.get(old, (NO_FLAGS, NO_FLAGS)))
        for old, new in zip(moved.source_uids, moved.target_uids, strict=True)
    ]


def applied_changes(tx: Tx, account_id: AccountId) -> list[Change]:
    """What the last script did, in order."""
    return [
        Change(MailboxId(row[0]), row[1], MailboxId(row[2]), _flag_set(row[3]), _flag_set(row[4]))
        for row in tx.all(
            "SELECT mailbox_id, uid, was_in, added, removed FROM applied_change WHERE account_id=?"
            " ORDER BY number",
            (account_id,),
        )
    ]


def undo(tx: Tx, account_id: AccountId, changes: Sequence[Change], *, now: Instant) -> Undone:
    """Take these back and forget them: messages return, flags too, copies go.

    What was in a mailbox that is gone meanwhile comes into the INBOX.
    """
    alike: dict[tuple[MailboxId, MailboxId, FlagSet, FlagSet], list[int]] = {}
    for change in changes:
        key = (change.mailbox_id, change.was_in, change.added, change.removed)
        alike.setdefault(key, []).append(change.uid)
    moved = flagged = removed = 0
    for (mailbox_id, was_in, added, lost), uids in alike.items():
        there = NumberSet.of(message_flags(tx, account_id, mailbox_id, NumberSet.of(uids)))
        if not there:
            continue
        if was_in == _NOWHERE:
            removed += len(expunge(tx, account_id, mailbox_id, there, only_deleted=False, now=now).uids)
            continue
        for mode, flags in ((FlagMode.REMOVE, added), (FlagMode.ADD, lost)):
            if flags != NO_FLAGS:
                store_flags(tx, account_id, mailbox_id, there, FlagChange(mode, flags))
        if was_in == mailbox_id:
            flagged += len(there)
        else:
            back = _mailbox_or_inbox(tx, account_id, was_in)
            moved += len(move(tx, account_id, mailbox_id, there, back, now=now).source_uids)
    tx.run("DELETE FROM applied_change WHERE account_id=?", (account_id,))
    return Undone(
        moved=moved, flagged=flagged, removed=removed, gone=len(changes) - moved - flagged - removed
    )


def forget_old_changes(tx: Tx, now: Instant) -> None:
    """Drop what can be undone no longer."""
    tx.run("DELETE FROM applied_change WHERE at<=?", (now - KEPT_SECONDS,))


def _mailbox_or_inbox(tx: Tx, account_id: AccountId, mailbox_id: MailboxId) -> MailboxId:
    try:
        return mailbox_by_id(tx, account_id, mailbox_id).id
    except NoSuchMailbox:
        return mailbox_by_name(tx, account_id, INBOX).id


def _text(flags: FlagSet) -> str:
    return flags.wire.decode("ascii")[1:-1]


def _flag_set(text: str) -> FlagSet:
    return flag_set(text.split())
