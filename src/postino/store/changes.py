"""What a session's view of a mailbox is built from, and what changed since.

RFC: 7162 §3.1 (CONDSTORE), §3.2 (QRESYNC).
"""

from dataclasses import dataclass

from postino.core.ids import AccountId, MailboxId
from postino.core.numset import NumberSet
from postino.store.counters import no_such_mailbox
from postino.store.tx import Tx
from postino.store.uids import uid_conditions

MessageState = tuple[int, int, str, int]
"""uid, flag bits, keywords joined by spaces, mod_seq."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a mailbox after a mod-sequence, from one snapshot."""

    rows: list[MessageState]
    """Messages new or changed, by uid."""
    expunged: NumberSet
    highest_mod_seq: int
    uid_next: int


def load_messages(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, after_uid: int = 0
) -> list[MessageState]:
    """Every message above `after_uid`, by uid."""
    return tx.all(
        "SELECT uid, flags, keywords, mod_seq FROM message"
        " WHERE account_id=? AND mailbox_id=? AND uid>? ORDER BY uid",
        (account_id, mailbox_id, after_uid),
    )


def changes_since(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, mod_seq: int, known_uid_next: int = 0
) -> Changes:
    """What a view as of `mod_seq` lacks. Raises NoSuchMailbox.

    Tell in `known_uid_next` the uid_next of that same view, if you know it: when there are only new
    messages, as mostly, the others are not looked at.
    """
    mailbox = tx.one(
        "SELECT highest_mod_seq, uid_next, changed_mod_seq FROM mailbox WHERE account_id=? AND id=?",
        (account_id, mailbox_id),
    )
    if mailbox is None:
        raise no_such_mailbox()
    if mailbox[0] <= mod_seq:
        return Changes([], NumberSet(), mailbox[0], mailbox[1])
    if known_uid_next and mailbox[2] <= mod_seq:
        new = load_messages(tx, account_id, mailbox_id, known_uid_next - 1)
        return Changes(new, NumberSet(), mailbox[0], mailbox[1])
    rows = tx.all(
        "SELECT uid, flags, keywords, mod_seq FROM message"
        " WHERE account_id=? AND mailbox_id=? AND mod_seq>? ORDER BY uid",
        (account_id, mailbox_id, mod_seq),
    )
    return Changes(rows, expunged_since(tx, account_id, mailbox_id, mod_seq, None), mailbox[0], mailbox[1])


def expunged_since(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, mod_seq: int, uids: NumberSet | None = None
) -> NumberSet:
    """Which messages (of `uids`) were expunged after `mod_seq`."""
    gone: list[int] = []
    for condition in uid_conditions(tx, account_id, mailbox_id, uids) if uids is not None else [None]:
        sql = "SELECT uid FROM expunged WHERE account_id=? AND mailbox_id=? AND mod_seq>?"
        params: tuple[int | str | bytes | float | None, ...] = (account_id, mailbox_id, mod_seq)
        if condition is not None:
            sql += f" AND {condition.sql}"
            params += condition.params
        gone += [uid for (uid,) in tx.all(sql, params)]
    return NumberSet.of(gone)
