"""Quotas as IMAP knows them: one root for each account, named by its login, with three resources.

RFC: 9208 §3 (resources, roots), §5.1-5.3 (STORAGE, MESSAGE, MAILBOX).
Invariants: what an account uses is what counters.py keeps; a limit of 0 is none, and the settings' limit
    on mailboxes always holds.
Not here: refusing what has no room (counters.py), who may ask or set (servers/imap/mailboxes/quota.py).
"""

from dataclasses import dataclass
from typing import Final

from postino.core.errors import NoSuchAccount, NotPermitted
from postino.core.ids import AccountId
from postino.core.numset import MAX_NUMBER
from postino.store.tx import Tx

_MOST_OCTETS: Final = 2**60
_COLUMNS: Final = (
    "id, login, used_octets, quota_octets, used_messages, quota_messages,"
    " (SELECT count(*) FROM mailbox m WHERE m.account_id=account.id), quota_mailboxes"
)


@dataclass(frozen=True, slots=True)
class QuotaRoot:
    """What an account uses and may use; limits of 0 are none."""

    account_id: AccountId
    login: str
    used_octets: int
    quota_octets: int
    used_messages: int
    quota_messages: int
    mailboxes: int
    quota_mailboxes: int


def quota_root(tx: Tx, account_id: AccountId) -> QuotaRoot:
    """The root of this account's mailboxes. Raises NoSuchAccount."""
    row = tx.one(f"SELECT {_COLUMNS} FROM account WHERE id=?", (account_id,))
    if row is None:
        raise NoSuchAccount("The account does not exist any more")
    return QuotaRoot(*row)


def quota_root_by_login(tx: Tx, login: str) -> QuotaRoot | None:
    """The root of this name, None when there is none."""
    row = tx.one(f"SELECT {_COLUMNS} FROM account WHERE login=?", (login,))
    return None if row is None else QuotaRoot(*row)


def set_quotas(
    tx: Tx, account_id: AccountId, *, octets: int = 0, messages: int = 0, mailboxes: int = 0
) -> None:
    """Replace all three limits, 0 for none. What is there stays, whatever they are.

    Raises NotPermitted for a number that cannot be a limit, NoSuchAccount.
    """
    if not 0 <= octets <= _MOST_OCTETS or not 0 <= messages <= MAX_NUMBER or not 0 <= mailboxes <= MAX_NUMBER:
        raise NotPermitted("A quota is a number from 1 to 2^60 octets, or 2^32 messages or mailboxes")
    if not tx.run(
        "UPDATE account SET quota_octets=?, quota_messages=?, quota_mailboxes=? WHERE id=?",
        (octets, messages, mailboxes, account_id),
    ):
        raise NoSuchAccount("The account does not exist any more")


def deleted_octets(tx: Tx, account_id: AccountId, mailbox_id: int) -> int:
    r"""How much an EXPUNGE of the mailbox would free: the sizes of the messages with \Deleted."""
    row = tx.one(
        "SELECT coalesce(sum(size), 0) FROM message WHERE account_id=? AND mailbox_id=? AND flags & 8",
        (account_id, mailbox_id),
    )
    assert row is not None
    return int(row[0])
