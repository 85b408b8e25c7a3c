"""What somebody may do in a mailbox: the rights of IMAP's access control lists.

RFC: 4314 §2.1 (standard rights), §2.1.1 (the obsolete c and d), §4 (which flags need which).
Invariants: a set of rights prints its letters in the order of RFC 4314.
Not here: who has which (store/acl.py, store/access.py).
"""

from enum import Enum, IntFlag
from typing import Final

from postino.core.flags import Flag, FlagSet, stored_flag_set


class Rights(IntFlag):
    """A set of rights."""

    LOOKUP = 1
    """l: see the mailbox in LIST, subscribe to it."""
    READ = 2
    """r: SELECT it, STATUS, FETCH, SEARCH, COPY from it."""
    SEEN = 4
    r"""s: keep \Seen."""
    WRITE = 8
    r"""w: change flags other than \Seen and \Deleted."""
    INSERT = 16
    """i: APPEND and COPY into it."""
    POST = 32
    """p: send mail to its submission address; kept and shown, as no such address exists yet."""
    CREATE = 64
    """k: make mailboxes below it, rename another to below it."""
    DELETE_MAILBOX = 128
    """x: delete or rename it."""
    DELETE_MESSAGES = 256
    r"""t: change \Deleted."""
    EXPUNGE = 512
    """e: EXPUNGE, and the expunge of CLOSE."""
    ADMINISTER = 1024
    """a: change the access control list."""

    @property
    def letters(self) -> str:
        """Such as `lrswi`."""
        return "".join([letter for letter, right in _BY_LETTER.items() if right in self])

    @property
    def wire_letters(self) -> str:
        """As `letters`, and c or d behind them where a client of RFC 2086 would expect those."""
        return self.letters + "".join([letter for letter, part in _OBSOLETE.items() if self & part])


class AclMode(Enum):
    """How SETACL's rights are meant: without a sign, with + or with -."""

    REPLACE = "replace"
    ADD = "add"
    REMOVE = "remove"


_BY_LETTER: Final = dict(zip("lrswipkxtea", Rights, strict=True))
# RFC 4314 §2.1.1: what old clients mean by c (create) and d (delete).
_OBSOLETE: Final = {
    "c": Rights.CREATE,
    "d": Rights.DELETE_MAILBOX | Rights.DELETE_MESSAGES | Rights.EXPUNGE,
}

NO_RIGHTS: Final = Rights(0)
ALL_RIGHTS: Final = Rights((1 << len(_BY_LETTER)) - 1)
FLAG_RIGHTS: Final = Rights.SEEN | Rights.WRITE | Rights.DELETE_MESSAGES
"""Those that let flags be changed."""
WRITE_RIGHTS: Final = FLAG_RIGHTS | Rights.INSERT | Rights.EXPUNGE
"""Those of which one makes a mailbox more than READ-ONLY (RFC 4314 §5.2)."""
_OTHER_FLAGS: Final = int(Flag.ANSWERED | Flag.FLAGGED | Flag.DRAFT)


def parse_rights(letters: str) -> Rights:
    """The rights these letters name. Raises ValueError, saying which letter is none."""
    rights = NO_RIGHTS
    for letter in letters:
        right = _BY_LETTER.get(letter) or _OBSOLETE.get(letter)
        if right is None:
            shown = repr(letter) if letter.isprintable() else "That character"
            raise ValueError(f"{shown} is not a right; they are {''.join(_BY_LETTER)}")
        rights |= right
    return rights


def flag_mask(rights: Rights) -> int:
    """The system flags, as the store's bits, that these rights let somebody set and clear."""
    return (
        (int(Flag.SEEN) if Rights.SEEN in rights else 0)
        | (int(Flag.DELETED) if Rights.DELETE_MESSAGES in rights else 0)
        | (_OTHER_FLAGS if Rights.WRITE in rights else 0)
    )


def permitted_flags(rights: Rights, flags: FlagSet) -> FlagSet:
    """Those of `flags` that these rights let somebody set (RFC 4314 §4: the others are left out)."""
    if rights is FLAG_RIGHTS or FLAG_RIGHTS in rights:
        return flags
    keywords = flags.stored_keywords if Rights.WRITE in rights else ""
    return stored_flag_set(flags.system & flag_mask(rights), keywords)
