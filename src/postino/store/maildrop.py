"""INBOX as POP3 sees it: the messages there are at login, and nothing that comes later.

RFC: 1939 §3 and §4 (the session's maildrop).
Not here: reading messages (fetch.py), deleting them at QUIT (messages.expunge).
"""

from dataclasses import dataclass

from postino.core.errors import NoSuchMailbox
from postino.core.ids import AccountId, MailboxId
from postino.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Maildrop:
    """A snapshot; message number n is `uids[n - 1]`."""

    mailbox_id: MailboxId
    uid_validity: int
    uids: tuple[int, ...]
    sizes: tuple[int, ...]


def open_maildrop(tx: Tx, account_id: AccountId) -> Maildrop:
    """Take the snapshot of the account's INBOX. Raises NoSuchMailbox for an account without one."""
    found = tx.one(
        "SELECT id, uid_validity FROM mailbox WHERE account_id = ? AND name = 'INBOX'", (account_id,)
    )
    if found is None:
        raise NoSuchMailbox("The account has no INBOX; run `postino verify` to see what happened to it")
    rows = tx.all(
        "SELECT uid, size FROM message WHERE account_id = ? AND mailbox_id = ? ORDER BY uid",
        (account_id, found[0]),
    )
    uids, sizes = zip(*rows, strict=True) if rows else ((), ())
    return Maildrop(MailboxId(found[0]), found[1], uids, sizes)


def maildrop_messages(tx: Tx, account_id: AccountId) -> int:
    """How many messages a snapshot would hold, to choose where to take it."""
    found = tx.one("SELECT messages FROM mailbox WHERE account_id = ? AND name = 'INBOX'", (account_id,))
    return int(found[0]) if found else 0
