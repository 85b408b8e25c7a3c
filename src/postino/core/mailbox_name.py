"""The one spelling a mailbox's name has inside: what IMAP reads and the store keeps must agree on it.

RFC: 9051 §5.1 (names, hierarchy, INBOX).
Not here: how names travel (imap/mailbox_name.py), which may be created (store/mailboxes.py).
"""

import unicodedata
from typing import Final

INBOX: Final = "INBOX"
SEPARATOR: Final = "/"


def canonical_name(name: str) -> str:
    """NFC, and INBOX in upper case, also as the first of several levels."""
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    if name[:5].upper() == INBOX and (len(name) == 5 or name[5] == SEPARATOR):
        return INBOX + name[5:]
    return name
