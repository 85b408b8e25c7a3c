"""Spell the ids of mailboxes, messages and threads as clients see them.

RFC: 8474 §4 (MAILBOXID), §5 (EMAILID, THREADID), §7 (objectid), §8.1 (a letter before every id).
Invariants: an id means one object of this server for ever: the store's ids are never given twice within an
    account, and the account stands in each; ids of different kinds differ by their first letter.
Not here: giving the ids (store/counters.py, store/threads.py).
"""

import re
from enum import Enum
from typing import Final

from postino.core.ids import AccountId, MailboxId

OBJECT_ID: Final = re.compile(rb"[A-Za-z0-9_-]{1,255}")


class ObjectKind(Enum):
    """What an id may be of; the value is its first letter."""

    MAILBOX = b"F"
    EMAIL = b"M"
    THREAD = b"T"


def mailbox_object_id(account_id: AccountId, mailbox_id: MailboxId) -> str:
    """The MAILBOXID of a mailbox."""
    return f"F{account_id}_{mailbox_id}"


EMAIL_ID_FORM: Final = b"M%d_%d"
"""An EMAILID from the ids of the account and of the content."""
THREAD_ID_FORM: Final = b"T%d_%d"
"""A THREADID from the ids of the account and of the thread."""

_SPELLED: Final = re.compile(rb"([FMT])([1-9][0-9]{0,17})_([1-9][0-9]{0,17})")


def parse_object_id(kind: ObjectKind, octets: bytes) -> tuple[AccountId, int] | None:
    """The account and the id within it; None for what is no such id of ours, and so names nothing."""
    found = _SPELLED.fullmatch(octets)
    if found is None or found[1] != kind.value:
        return None
    return AccountId(int(found[2])), int(found[3])
