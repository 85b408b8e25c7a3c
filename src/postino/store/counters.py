"""The counters that every write keeps: the account's mod-sequence and use, a mailbox's totals.

RFC: 7162 §3.1 (mod-sequences), 9051 §2.3.1.1 (UIDVALIDITY), 9208 §5 (what a quota counts).
Invariants: verify() can recompute each of them from the rows; a mod-sequence and a uid_validity are
    given once.
"""

from typing import Final

from postino.core.errors import NoSuchAccount, NoSuchMailbox, OverQuota, TooManyMessages
from postino.core.flags import Flag
from postino.core.ids import AccountId, Instant, MailboxId, ModSeq
from postino.core.numset import MAX_NUMBER
from postino.store.tx import Tx

SEEN: Final = int(Flag.SEEN)
DELETED: Final = int(Flag.DELETED)
_ADD_TO_MAILBOX: Final = (
    "UPDATE mailbox SET uid_next=uid_next+?, highest_mod_seq=?, messages=messages+?, unseen=unseen+?,"
    " deleted=deleted+?, octets=octets+? WHERE account_id=? AND id=?"
)
_CHARGE: Final = (
    "UPDATE account SET mod_seq=mod_seq+?, used_octets=used_octets+?, used_messages=used_messages+?"
    " WHERE id=?"
)
_CHARGE_WITHIN: Final = (
    f"{_CHARGE} AND (quota_octets=0 OR used_octets+?<=quota_octets)"
    " AND (quota_messages=0 OR used_messages+?<=quota_messages)"
)
# PERF: asking and then changing takes 3 us, changing with RETURNING 4.3 (bench: deliver).
_MAILBOX: Final = "SELECT id, uid_validity, uid_next FROM mailbox WHERE account_id=? AND id=?"
_INBOX: Final = "SELECT id, uid_validity, uid_next FROM mailbox WHERE account_id=? AND name='INBOX'"
_ADJUST: Final = (
    "UPDATE mailbox SET highest_mod_seq=?, changed_mod_seq=?, messages=messages+?, unseen=unseen+?,"
    " deleted=deleted+?, octets=octets+? WHERE account_id=? AND id=?"
)


def next_mod_seq(tx: Tx, account_id: AccountId) -> ModSeq:
    """Take the account's next change number. Raises NoSuchAccount."""
    if not tx.run("UPDATE account SET mod_seq=mod_seq+1 WHERE id=?", (account_id,)):
        raise NoSuchAccount("The account does not exist any more")
    return _mod_seq(tx, account_id)


def _mod_seq(tx: Tx, account_id: AccountId) -> ModSeq:
    row = tx.one("SELECT mod_seq FROM account WHERE id=?", (account_id,))
    assert row is not None
    return ModSeq(row[0])


def charge(
    tx: Tx, account_id: AccountId, octets: int, messages: int, *, numbers: int = 1, over_quota: bool = False
) -> ModSeq:
    """Take room for messages from the quota, and the next change numbers for them; gives the last.

    Raises OverQuota (not with `over_quota`), NoSuchAccount; then nothing was written.
    """
    added = (numbers, octets, messages, account_id)
    if not (tx.run(_CHARGE, added) if over_quota else tx.run(_CHARGE_WITHIN, (*added, octets, messages))):
        account = tx.one("SELECT login, quota_octets, used_octets FROM account WHERE id=?", (account_id,))
        if account is None:
            raise NoSuchAccount("The account does not exist any more")
        login, quota_octets, used_octets = account
        what = "octets" if 0 < quota_octets < used_octets + octets else "messages"
        # SECURITY: no figures: whoever may only put messages here learns nothing of the quota (RFC 9208 §8).
        raise OverQuota(f"The mailbox of {login} is full: its quota of {what} is used up; delete some first")
    return _mod_seq(tx, account_id)


def require_room_for_mailboxes(tx: Tx, account_id: AccountId, total: int) -> None:
    """Raise OverQuota when the account may not have `total` mailboxes."""
    row = tx.one(
        "SELECT login FROM account WHERE id=? AND quota_mailboxes BETWEEN 1 AND ?",
        (account_id, total - 1),
    )
    if row is not None:
        raise OverQuota(f"{row[0]} has as many mailboxes as its quota allows; delete some first")


def discharge(tx: Tx, account_id: AccountId, octets: int, messages: int) -> None:
    """Give the room of removed messages back to the quota."""
    tx.run(
        "UPDATE account SET used_octets=used_octets-?, used_messages=used_messages-? WHERE id=?",
        (octets, messages, account_id),
    )


def add_to_mailbox(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId | None,
    mod_seq: ModSeq,
    *,
    messages: int,
    unseen: int,
    deleted: int,
    octets: int,
) -> tuple[MailboxId, int, int]:
    """Count new messages in (None: the INBOX's); give its id, uid_validity and the first of their UIDs.

    Raises NoSuchMailbox, and TooManyMessages when the UIDs are used up.
    """
    row = tx.one(_INBOX, (account_id,)) if mailbox_id is None else tx.one(_MAILBOX, (account_id, mailbox_id))
    if row is None:
        raise no_such_mailbox()
    found_id, uid_validity, first_uid = row
    if first_uid + messages > MAX_NUMBER:
        raise TooManyMessages("The mailbox has given all its UIDs; move its messages to a new mailbox")
    tx.run(_ADD_TO_MAILBOX, (messages, mod_seq, messages, unseen, deleted, octets, account_id, found_id))
    return MailboxId(found_id), uid_validity, first_uid


def adjust_mailbox(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    mod_seq: ModSeq,
    *,
    messages: int = 0,
    unseen: int = 0,
    deleted: int = 0,
    octets: int = 0,
    if_still: int | None = None,
) -> bool:
    """Change a mailbox's totals by these differences, because messages that were there changed or left.

    With `if_still` only when that is still its highest mod-sequence; whether it was done.
    """
    sql, key = _ADJUST, (mod_seq, mod_seq, messages, unseen, deleted, octets, account_id, mailbox_id)
    if if_still is None:
        return bool(tx.run(sql, key))
    return bool(tx.run(f"{sql} AND highest_mod_seq=?", (*key, if_still)))


def no_such_mailbox() -> NoSuchMailbox:
    """The error for an id that names no mailbox."""
    return NoSuchMailbox("The mailbox does not exist any more")


def next_uid_validity(tx: Tx, now: Instant) -> int:
    """A value no mailbox of this database ever had; about the time, so that a rebuilt database differs."""
    row = tx.one("SELECT value FROM setting WHERE name='next_uid_validity'")
    value = max(int(row[0]) if row else 1, now)
    tx.run(
        "INSERT INTO setting (name, value) VALUES ('next_uid_validity', ?)"
        " ON CONFLICT (name) DO UPDATE SET value=excluded.value",
        (str(value + 1),),
    )
    return value
