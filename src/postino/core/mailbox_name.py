"""The one spelling a mailbox's name has inside: what IMAP reads and the store keeps must agree on it.

RFC: 9051 §5.1 (names, hierarchy, INBOX), 2342 §5 (other users' namespace: a level with their login).
Invariants: canonical_name(canonical_name(name)) is canonical_name(name); an account's own mailboxes are never
    called like another's.
Not here: how names travel (imap/mailbox_name.py), which may be created (store/mailboxes.py).
"""

import unicodedata
from typing import Final

INBOX: Final = "INBOX"
SEPARATOR: Final = "/"
SHARED: Final = "Shared"
"""Below this level are the mailboxes of other accounts: Shared/ann@example.org/Work."""
SHARED_PREFIX: Final = SHARED + SEPARATOR
# A login may hold the separator (RFC 5321 §4.1.2, atext); as a level it is written with one that looks alike.
_SLASH_IN_LEVEL: Final = "\u2044"


def canonical_name(name: str) -> str:
    """NFC, and INBOX in upper case, also as the first of several levels."""
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    if name.startswith(SHARED_PREFIX):
        _, owner, *rest = name.split(SEPARATOR, 2)
        # The login in its one spelling (Address.key); what is below is named as its owner names it.
        return SEPARATOR.join([SHARED, _folded(owner), *map(_with_inbox, rest)])
    return _with_inbox(name)


def canonical_pattern(pattern: str) -> str:
    """As canonical_name(), of a LIST pattern: behind a `*` it cannot be known what is the owner's login."""
    if not pattern.startswith(SHARED_PREFIX):
        return canonical_name(pattern)
    before, star, behind = pattern.partition("*")
    if SEPARATOR in before[len(SHARED_PREFIX) :]:
        return canonical_name(pattern)
    return canonical_name(before) + star + unicodedata.normalize("NFC", behind)


def _with_inbox(name: str) -> str:
    if name[:5].upper() == INBOX and (len(name) == 5 or name[5] == SEPARATOR):
        return INBOX + name[5:]
    return name


def _folded(login: str) -> str:
    # Folding can undo NFC, and composing again can undo the folding: twice is stable.
    for _ in range(2):
        login = unicodedata.normalize("NFC", login).casefold()
    return unicodedata.normalize("NFC", login)


def shared_name(login: str, name: str) -> str:
    """What others call the mailbox `name` of the account `login`."""
    return f"{SHARED_PREFIX}{login.replace(SEPARATOR, _SLASH_IN_LEVEL)}{SEPARATOR}{name}"


def is_shared(name: str) -> bool:
    """Whether this canonical name is of the other users' namespace."""
    return name.startswith(SHARED_PREFIX) or name == SHARED


def split_shared(name: str) -> tuple[str, str] | None:
    """The owner's login and the owner's name for the mailbox; None for a name that is not shared_name()'s."""
    levels = name.split(SEPARATOR, 2)
    if len(levels) != 3 or levels[0] != SHARED or not levels[1] or not levels[2]:
        return None
    return levels[1].replace(_SLASH_IN_LEVEL, SEPARATOR), levels[2]
