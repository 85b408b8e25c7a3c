"""Read what SORT, THREAD and SEARCH compare, of many messages in one query.

RFC: 5256 §2.1, §2.2 and §3 (what is compared), 5957 §3, 9051 §6.4.4.
Invariants: rows come by uid; what a UID of a mailbox is given here never changes, so it may be kept.
Not here: putting it in order (core/sort.py), threads (imap/threading.py), finding it out (delivery/facts.py).
"""

from enum import Enum
from typing import Any, Final

from postino.core.ids import AccountId, MailboxId
from postino.core.numset import NumberSet
from postino.store.tx import Tx
from postino.store.uids import uid_conditions


class KeyColumn(Enum):
    """What is compared; the value is its column."""

    INTERNAL_DATE = "m.internal_date"
    SIZE = "m.size"
    SENT_AT = "c.sent_at"
    BASE_SUBJECT = "c.base_subject"
    IS_REPLY = "c.is_reply"
    FROM = "c.from_sort"
    TO = "c.to_sort"
    CC = "c.cc_sort"
    DISPLAY_FROM = "c.from_display"
    DISPLAY_TO = "c.to_display"
    MESSAGE_ID = "c.message_id"
    REFERENCES = "c.refs"
    SAVE_DATE = "m.save_date"
    SENT_DAY = "c.sent_day"
    SUBJECT_TEXT = "c.subject_text"
    FROM_TEXT = "c.from_text"
    TO_TEXT = "c.to_text"
    CC_TEXT = "c.cc_text"
    BCC_TEXT = "c.bcc_text"

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers, not texts."""
        return self in _NUMBERS

    @property
    def is_searched(self) -> bool:
        """Whether it is for SEARCH to look through, and not compared."""
        return self in _SEARCHED


_FROM_MESSAGE: Final = frozenset({KeyColumn.INTERNAL_DATE, KeyColumn.SAVE_DATE, KeyColumn.SIZE})
_SEARCHED: Final = frozenset(
    {
        KeyColumn.SUBJECT_TEXT,
        KeyColumn.FROM_TEXT,
        KeyColumn.TO_TEXT,
        KeyColumn.CC_TEXT,
        KeyColumn.BCC_TEXT,
    }
)
_NUMBERS: Final = _FROM_MESSAGE | {KeyColumn.SENT_AT, KeyColumn.SENT_DAY, KeyColumn.IS_REPLY}


def read_keys(
    tx: Tx,
    account_id: AccountId,
    mailbox_id: MailboxId,
    columns: tuple[KeyColumn, ...],
    *,
    after_uid: int = 0,
    limit: int,
) -> list[tuple[Any, ...]]:
    """(uid, the columns as given) of the first `limit` messages above `after_uid`, by uid."""
    return tx.all(
        f"{_query(columns)} AND m.uid>? ORDER BY m.uid LIMIT ?", (account_id, mailbox_id, after_uid, limit)
    )


def read_keys_of(
    tx: Tx, account_id: AccountId, mailbox_id: MailboxId, columns: tuple[KeyColumn, ...], uids: NumberSet
) -> list[tuple[Any, ...]]:
    """As read_keys, of these messages alone."""
    query = _query(columns)
    rows: list[tuple[Any, ...]] = []
    for condition in uid_conditions(tx, account_id, mailbox_id, uids):
        rows += tx.all(
            f"{query} AND m.{condition.sql} ORDER BY m.uid", (account_id, mailbox_id, *condition.params)
        )
    return rows


def _query(columns: tuple[KeyColumn, ...]) -> str:
    source = "message m"
    if not _FROM_MESSAGE.issuperset(columns):
        # CROSS JOIN keeps the order of the loops: the messages first, in their key's order.
        source += " CROSS JOIN content c ON c.account_id=m.account_id AND c.id=m.content_id"
    select = ", ".join(["m.uid", *(column.value for column in columns)])
    return f"SELECT {select} FROM {source} WHERE m.account_id=? AND m.mailbox_id=?"
