r"""The copy of a submitted message the server files for its author, and the one a mail program files.

RFC: 6154 §2 (\Sent), 5550 §5.10 ($Submitted).
Invariants: of one message there is one copy, the program's where it files one: whichever of submission and
    APPEND comes second finds what the first left among the newest messages of the mailbox.
Not here: making the copy (delivery/submission.py), the write it is part of (delivery/accept.py).
"""

from collections.abc import Sequence
from typing import Final

from postino.core.ids import AccountId, Instant, MailboxId
from postino.core.numset import NumberSet
from postino.store.content import Appended, NewEmail
from postino.store.messages import append_many, expunge
from postino.store.tx import Tx

KEYWORD: Final = "$Submitted"
SENT: Final = "\\Sent"
_LOOKED_AT: Final = 10
"""The newest messages of the mailbox, where the other copy may be."""
_SECONDS: Final = 3600
"""How long after the one copy the other may come."""
_PLACE: Final = (
    "SELECT b.id, a.quota_octets, a.used_octets, a.quota_messages, a.used_messages"
    " FROM account a JOIN mailbox b ON b.account_id=a.id AND b.special_use=? WHERE a.id=?"
)
_NEWEST: Final = (
    "SELECT m.uid, m.keywords, c.message_id FROM (SELECT uid, content_id, keywords, save_date FROM message"
    " WHERE account_id=? AND mailbox_id=? ORDER BY uid DESC LIMIT ?) m"
    " JOIN content c ON c.account_id=? AND c.id=m.content_id WHERE m.save_date>=?"
)


def place_for(
    tx: Tx, account_id: AccountId, message_id: str, *, octets: int, now: Instant
) -> MailboxId | None:
    r"""Where the copy of a message goes.

    None when the account has no \Sent mailbox, no room, or the program's own copy there already.
    """
    row = tx.one(_PLACE, (SENT, account_id))
    if row is None:
        return None
    mailbox_id, quota_octets, used_octets, quota_messages, used_messages = row
    if (quota_octets and used_octets + octets > quota_octets) or 0 < quota_messages < used_messages + 2:
        return None
    if message_id and any(found == message_id for _, _, found in _newest(tx, account_id, mailbox_id, now)):
        return None
    return MailboxId(mailbox_id)


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
    key = (account_id, mailbox_id, _LOOKED_AT, account_id, now - _SECONDS)
    return [(row[0], row[1], row[2]) for row in tx.all(_NEWEST, key)]
