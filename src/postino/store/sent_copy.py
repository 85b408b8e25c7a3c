r"""The copy of a submitted message the server files for its author, and the one a mail program files.

RFC: 6154 §2 (\Sent), 5550 §5.10 ($Submitted).
Invariants: of one message there is one copy, the program's where it files one: whichever of submission and
    APPEND comes second finds what the first left among the newest messages of the mailbox.
Not here: making the copy (delivery/submission.py), the write it is part of (delivery/accept.py).
"""

from collections.abc import Sequence
from typing import Final

from postino.core.errors import StoreError
from postino.core.ids import AccountId, Instant, MailboxId
from postino.core.numset import NumberSet
from postino.store.content import Appended, NewEmail
from postino.store.mailboxes import MailboxRow, create_mailbox
from postino.store.messages import append_many, expunge
from postino.store.tx import Tx

KEYWORD: Final = "$Submitted"
SENT: Final = "\\Sent"
_NAME: Final = "Sent"
"""What the mailbox is called where none has the use."""
_LOOKED_AT: Final = 10
"""The newest messages of the mailbox, where the other copy may be."""
_MOST_LOOKED_AT: Final = 200
"""The same of a program that sends many messages and files them all after that."""
_SECONDS: Final = 3600
"""How long after the one copy the other may come."""
_PLACE: Final = (
    "SELECT b.id, a.quota_octets, a.used_octets, a.quota_messages, a.used_messages"
    " FROM account a LEFT JOIN mailbox b ON b.account_id=a.id AND b.special_use=? WHERE a.id=?"
)
_NEWEST: Final = (
    "SELECT m.uid, m.keywords, c.message_id FROM (SELECT uid, content_id, keywords, save_date FROM message"
    " WHERE account_id=? AND mailbox_id=? ORDER BY uid DESC LIMIT ?) m"
    " JOIN content c ON c.account_id=? AND c.id=m.content_id WHERE m.save_date>=?"
)


def place_for(
    tx: Tx, account_id: AccountId, message_id: str, *, octets: int, now: Instant
) -> MailboxId | None:
    r"""Where the copy of a message goes: the \Sent mailbox, which is made where there is none.

    None when the account has no room, or the program's own copy there already.
    """
    row = tx.one(_PLACE, (SENT, account_id))
    if row is None:
        return None
    mailbox_id, quota_octets, used_octets, quota_messages, used_messages = row
    if (quota_octets and used_octets + octets > quota_octets) or 0 < quota_messages < used_messages + 2:
        return None
    if mailbox_id is None:
        return _place_by_name(tx, account_id, now)
    if message_id and any(found == message_id for _, _, found in _newest(tx, account_id, mailbox_id, now)):
        return None
    return MailboxId(mailbox_id)


def _place_by_name(tx: Tx, account_id: AccountId, now: Instant) -> MailboxId | None:
    row = tx.one("SELECT id FROM mailbox WHERE account_id=? AND name=?", (account_id, _NAME))
    if row is not None:
        return MailboxId(row[0])
    try:
        return create_mailbox(tx, account_id, _NAME, special_use=SENT, now=now).id
    except StoreError:
        # There is no room for a mailbox; what is sent goes all the same.
        return None


def is_sent(mailbox: MailboxRow) -> bool:
    """Whether the server files copies there."""
    return mailbox.special_use == SENT or (mailbox.name == _NAME and not mailbox.special_use)


def append_own(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, news: Sequence[NewEmail], *, now: Instant
) -> list[Appended]:
    """As append_many() into the account's Sent mailbox; copies the server filed of these messages go.

    Raises as append_many(); the transaction must then be given up.
    """
    wanted = {new.facts.message_id for new in news} - {""}
    copies = [
        uid
        for uid, keywords, message_id in _newest(tx, account_id, mailbox_id, now)
        if message_id in wanted and KEYWORD in keywords.split()
    ]
    if copies:
        # First: what they took is room for the program's own.
        expunge(tx, account_id, mailbox_id, NumberSet.of(copies), only_deleted=False, now=now)
    return append_many(tx, account_id, mailbox_id, news, now=now)


def _newest(tx: Tx, account_id: AccountId, mailbox_id: int, now: Instant) -> list[tuple[int, str, str]]:
    """(uid, keywords, Message-ID) of the newest messages that came lately."""
    for most in (_LOOKED_AT, _MOST_LOOKED_AT):
        rows = tx.all(_NEWEST, (account_id, mailbox_id, most, account_id, now - _SECONDS))
        # PERF: mostly the second look is not needed: 15 us instead of 150 (bench: submission).
        if len(rows) < most:
            break
    return [(row[0], row[1], row[2]) for row in rows]
