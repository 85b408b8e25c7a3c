"""Copy, move and expunge many messages with a handful of statements.

RFC: 9051 §6.4.3 (EXPUNGE), §6.4.7 (COPY), §6.4.8 (MOVE), 7162 §3.2.7 (what was expunged is remembered),
    4314 §4 (which flags a copy may have).
Invariants: a copy shares its source's content, or has a copy of it in another account; an expunged message's
    content stays until the sweep.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from postino.core.ids import AccountId, Instant, MailboxId, ModSeq
from postino.core.numset import NumberSet
from postino.core.ports import MailboxChange
from postino.core.rights import ALL_RIGHTS, FLAG_RIGHTS, Rights, flag_mask
from postino.store.copy_across import CONTENT_ID, copy_contents
from postino.store.counters import (
    DELETED,
    SEEN,
    add_to_mailbox,
    adjust_mailbox,
    charge,
    discharge,
    next_mod_seq,
    no_such_mailbox,
)
from postino.store.tx import Tx
from postino.store.uids import UidCondition, uid_conditions

_MAX_UID = 4_294_967_295


@dataclass(frozen=True, slots=True)
class Copied:
    """Which message became which: both sets upwards, the n-th of one the n-th of the other."""

    uid_validity: int
    source_uids: NumberSet
    target_uids: NumberSet
    mod_seq: int


@dataclass(frozen=True, slots=True)
class Expunged:
    """What an expunge removed; `mod_seq` is 0 when that was nothing."""

    uids: NumberSet
    mod_seq: int
    previous_mod_seq: int
    """The mailbox's highest mod-sequence before: whoever knew that one knows all with `uids`."""


def copy(
    tx: Tx,
    account_id: AccountId,
    source_id: MailboxId,
    uids: NumberSet,
    target_id: MailboxId,
    *,
    target_account: AccountId | None = None,
    rights: Rights = ALL_RIGHTS,
    now: Instant,
) -> Copied:
    """Copy what `uids` holds of the source, internal dates too, and the flags that `rights` permit.

    RFC: 9051 §6.4.7. `target_account` is given when that is another. Raises OverQuota before anything is
    written, NoSuchMailbox.
    """
    target = _Target(target_account or account_id, target_id, rights)
    conditions = uid_conditions(tx, account_id, source_id, uids)
    copied, totals = _copy_rows(tx, account_id, source_id, conditions, target, now, charged=True)
    if totals.messages:
        tx.note_change(MailboxChange(target.account_id, target_id, ModSeq(copied.mod_seq)))
    return copied


def move(
    tx: Tx,
    account_id: AccountId,
    source_id: MailboxId,
    uids: NumberSet | None,
    target_id: MailboxId,
    *,
    target_account: AccountId | None = None,
    rights: Rights = ALL_RIGHTS,
    now: Instant,
) -> Copied:
    """As `copy`, and the source loses them in the same moment; None moves all.

    Within an account the quota does not matter.
    """
    target = _Target(target_account or account_id, target_id, rights)
    across = target.account_id != account_id
    conditions = uid_conditions(tx, account_id, source_id, uids)
    copied, totals = _copy_rows(tx, account_id, source_id, conditions, target, now, charged=across)
    if totals.messages:
        tx.note_change(MailboxChange(target.account_id, target_id, ModSeq(copied.mod_seq)))
        mod_seq = next_mod_seq(tx, account_id) if across else ModSeq(copied.mod_seq)
        # The copies of a move into its own mailbox have UIDs above every old one: they must stay.
        below = copied.target_uids.first if source_id == target_id and not across else _MAX_UID + 1
        # What another account has is a copy: here the content stays for undelete, and then is swept.
        _remove_rows(tx, account_id, source_id, conditions, mod_seq, now, below=below, moved=not across)
        adjust_mailbox(
            tx,
            account_id,
            source_id,
            mod_seq,
            messages=-totals.messages,
            unseen=-totals.unseen,
            deleted=-totals.deleted,
            octets=-totals.octets,
        )
        if across:
            discharge(tx, account_id, totals.octets, totals.messages)
        tx.note_change(MailboxChange(account_id, source_id, mod_seq))
    return copied


def expunge(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    uids: NumberSet | None,
    *,
    only_deleted: bool,
    now: Instant,
) -> Expunged:
    r"""Remove `uids` (None: all), or only those of them that are \Deleted. Raises NoSuchMailbox."""
    previous_mod_seq = _require_mailbox(tx, account_id, mailbox_id)
    conditions = uid_conditions(tx, account_id, mailbox_id, uids)
    if only_deleted:
        conditions = [UidCondition(f"{c.sql} AND (flags & {DELETED}) <> 0", c.params) for c in conditions]
    totals = _Totals(0, 0, 0, 0)
    gone: list[int] = []
    for condition in conditions:
        rows = tx.all(
            "SELECT uid, size, flags FROM message"
            f" WHERE account_id=? AND mailbox_id=? AND {condition.sql} ORDER BY uid",
            (account_id, mailbox_id, *condition.params),
        )
        if rows:
            # PERF: adding up here is a third of a second query (bench: imap.expunge).
            uids_gone, sizes, flags = zip(*rows, strict=True)
            gone += uids_gone
            totals = totals.plus(_Totals.of(sizes, flags))
    if not gone:
        return Expunged(NumberSet(), 0, previous_mod_seq)
    mod_seq = next_mod_seq(tx, account_id)
    _remove_rows(tx, account_id, mailbox_id, conditions, mod_seq, now, below=_MAX_UID + 1, moved=False)
    adjust_mailbox(
        tx,
        account_id,
        mailbox_id,
        mod_seq,
        messages=-totals.messages,
        unseen=-totals.unseen,
        deleted=-totals.deleted,
        octets=-totals.octets,
    )
    discharge(tx, account_id, totals.octets, totals.messages)
    tx.note_change(MailboxChange(account_id, mailbox_id, mod_seq))
    return Expunged(NumberSet.of(gone), mod_seq, previous_mod_seq)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where copies go, and which of their flags whoever copies may set there."""

    account_id: AccountId
    mailbox_id: MailboxId
    rights: Rights


@dataclass(frozen=True, slots=True)
class _Totals:
    messages: int
    unseen: int
    deleted: int
    octets: int

    @classmethod
    def of(cls, sizes: Sequence[int], flags: Sequence[int]) -> "_Totals":
        """Of messages with these sizes and flags."""
        by_flags = Counter(flags)
        unseen = sum(number for bits, number in by_flags.items() if not bits & SEEN)
        deleted = sum(number for bits, number in by_flags.items() if bits & DELETED)
        return cls(len(sizes), unseen, deleted, sum(sizes))

    def plus(self, other: "_Totals") -> "_Totals":
        return _Totals(
            self.messages + other.messages,
            self.unseen + other.unseen,
            self.deleted + other.deleted,
            self.octets + other.octets,
        )


def _totals(tx: Tx, account_id: AccountId, mailbox_id: MailboxId, condition: UidCondition) -> _Totals:
    row = tx.one(
        f"SELECT count(*), coalesce(sum(1 - (flags & {SEEN})), 0),"
        f" coalesce(sum((flags & {DELETED}) / {DELETED}), 0), coalesce(sum(size), 0)"
        f" FROM message WHERE account_id=? AND mailbox_id=? AND {condition.sql}",
        (account_id, mailbox_id, *condition.params),
    )
    assert row is not None
    return _Totals(*row)


def _require_mailbox(tx: Tx, account_id: AccountId, mailbox_id: MailboxId) -> int:
    """The mailbox's highest mod-sequence. Raises NoSuchMailbox."""
    row = tx.one("SELECT highest_mod_seq FROM mailbox WHERE account_id=? AND id=?", (account_id, mailbox_id))
    if row is None:
        raise no_such_mailbox()
    return int(row[0])


def _copy_rows(
    tx: Tx,
    account_id: AccountId,
    source_id: MailboxId,
    conditions: list[UidCondition],
    target: _Target,
    now: Instant,
    *,
    charged: bool,
) -> tuple[Copied, _Totals]:
    across = target.account_id != account_id
    found = tx.one(
        "SELECT uid_validity FROM mailbox WHERE account_id=? AND id=?", (target.account_id, target.mailbox_id)
    )
    if found is None:
        raise no_such_mailbox()
    _require_mailbox(tx, account_id, source_id)
    each = [_totals(tx, account_id, source_id, condition) for condition in conditions]
    totals = _Totals(0, 0, 0, 0)
    for part in each:
        totals = totals.plus(part)
    if not totals.messages:
        return Copied(found[0], NumberSet(), NumberSet(), 0), totals
    if charged:
        mod_seq = charge(tx, target.account_id, totals.octets, totals.messages)
    else:
        mod_seq = next_mod_seq(tx, target.account_id)
    content_id = "content_id"
    below_ids: list[tuple[int, ...]] = [()] * len(conditions)
    if across:
        content_id = CONTENT_ID
        below_ids, mod_seq = copy_contents(tx, account_id, source_id, conditions, target.account_id, mod_seq)
    mask = flag_mask(target.rights)
    flags = "flags" if FLAG_RIGHTS in target.rights else f"flags & {mask}"
    keywords = "keywords" if Rights.WRITE in target.rights else "''"
    _, uid_validity, first_uid = add_to_mailbox(
        tx,
        target.account_id,
        target.mailbox_id,
        mod_seq,
        messages=totals.messages,
        unseen=totals.unseen if mask & SEEN else totals.messages,
        deleted=totals.deleted if mask & DELETED else 0,
        octets=totals.octets,
    )
    sources: list[int] = []
    next_uid = first_uid
    # Copying a mailbox into itself must not copy the copies.
    below = first_uid if source_id == target.mailbox_id and not across else _MAX_UID + 1
    for condition, part, below_id in zip(conditions, each, below_ids, strict=True):
        if not part.messages:
            continue
        key = (account_id, source_id, *condition.params)
        where = f"account_id=? AND mailbox_id=? AND {condition.sql} AND uid<?"
        rows = tx.all(f"SELECT uid FROM message WHERE {where} ORDER BY uid", (*key, below))
        sources += [uid for (uid,) in rows]
        tx.run(
            "INSERT INTO message (account_id, mailbox_id, uid, content_id, flags, keywords, mod_seq,"
            " internal_date, save_date, size)"
            f" SELECT ?, ?, ? + row_number() OVER (ORDER BY uid), {content_id}, {flags}, {keywords}, ?,"
            f" internal_date, ?, size FROM message WHERE {where}",
            (target.account_id, target.mailbox_id, next_uid - 1, *below_id, mod_seq, now, *key, below),
        )
        next_uid += part.messages
        if across:
            _note_shared(tx, target, next_uid - part.messages, next_uid)
        elif charged:
            tx.run(
                "INSERT INTO copied_content (account_id, content_id)"
                f" SELECT account_id, content_id FROM message WHERE {where} ON CONFLICT DO NOTHING",
                (*key, below),
            )
    made = NumberSet([(first_uid, first_uid + totals.messages - 1)])
    return Copied(uid_validity, NumberSet.of(sources), made, mod_seq), totals


def _note_shared(tx: Tx, target: _Target, first_uid: int, end_uid: int) -> None:
    """Note which of the contents that came with these messages came with several."""
    tx.run(
        "INSERT INTO copied_content (account_id, content_id) SELECT account_id, content_id FROM message"
        " WHERE account_id=? AND mailbox_id=? AND uid>=? AND uid<? GROUP BY account_id, content_id"
        " HAVING count(*)>1",
        (target.account_id, target.mailbox_id, first_uid, end_uid),
    )


def _remove_rows(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    conditions: list[UidCondition],
    mod_seq: ModSeq,
    now: Instant,
    *,
    below: int,
    moved: bool,
) -> None:
    # What moved lives on elsewhere: nothing is kept here for undelete.
    content = "0" if moved else "content_id"
    if not moved:
        tx.run(
            "INSERT INTO expunge (account_id, mailbox_id, mod_seq, expunged_at) VALUES (?, ?, ?, ?)",
            (account_id, mailbox_id, mod_seq, now),
        )
    for condition in conditions:
        where = f"account_id=? AND mailbox_id=? AND {condition.sql} AND uid<?"
        key = (account_id, mailbox_id, *condition.params, below)
        tx.run(
            "INSERT INTO expunged (account_id, mailbox_id, mod_seq, uid, content_id)"
            f" SELECT account_id, mailbox_id, ?, uid, {content} FROM message WHERE {where}",
            (mod_seq, *key),
        )
        tx.run(f"DELETE FROM message WHERE {where}", key)
