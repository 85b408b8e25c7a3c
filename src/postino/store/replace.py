"""Put a message in another one's place, in one step.

RFC: 8508 §3.4 (REPLACE: nobody sees a moment between, and the quota counts the difference).
Invariants: the old message goes exactly when the new one comes.
Not here: which message is meant (servers/imap/messages/append.py).
"""

from dataclasses import dataclass

from postino.core.ids import AccountId, Instant, MailboxId
from postino.core.numset import NumberSet
from postino.store.content import Appended, NewEmail
from postino.store.messages import append, expunge
from postino.store.sent_copy import append_own
from postino.store.tx import Tx


@dataclass(frozen=True, slots=True)
class Place:
    """A message in an account's mailbox."""

    account_id: AccountId
    mailbox_id: MailboxId
    uid: int


def replace(
    tx: Tx,
    old: Place,
    account_id: AccountId,
    mailbox_id: MailboxId,
    new: NewEmail,
    *,
    now: Instant,
    is_sent: bool = False,
) -> Appended | None:
    """Expunge `old` and append `new` to a mailbox, perhaps another one, perhaps another account's.

    None, with nothing done, when there is no such message any more. Raises OverQuota, NoSuchMailbox,
    NoSuchAccount; the transaction must then be given up, since the old message is expunged in it. `is_sent`
    says that the mailbox is where the client files what it sends, and perhaps the server did so already.
    """
    uids = NumberSet([(old.uid, old.uid)])
    # First the old one goes: what it took is room for the new one.
    expunged = expunge(tx, old.account_id, old.mailbox_id, uids, only_deleted=False, now=now)
    if not expunged.uids:
        return None
    if is_sent:
        (appended,) = append_own(tx, account_id, mailbox_id, [new], now=now)
        return appended
    return append(tx, account_id, mailbox_id, new, now=now)
