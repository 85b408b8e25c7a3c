"""What somebody may do in a mailbox: the rights of IMAP's access control lists.

RFC: 4314 §2.1 (standard rights), §2.1.1 (the obsolete c and d).
Invariants: a set of rights prints its letters in the order of RFC 4314.
Not here: who has which (store/access.py).
"""

from enum import IntFlag
from typing import Final


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


_BY_LETTER: Final = dict(zip("lrswipkxtea", Rights, strict=True))
# RFC 4314 §2.1.1: what old clients mean by c (create) and d (delete).
_OBSOLETE: Final = {
    "c": Rights.CREATE,
    "d": Rights.DELETE_MAILBOX | Rights.DELETE_MESSAGES | Rights.EXPUNGE,
}

NO_RIGHTS: Final = Rights(0)
ALL_RIGHTS: Final = Rights((1 << len(_BY_LETTER)) - 1)


def parse_rights(letters: str) -> Rights:
    """The rights these letters name. Raises ValueError, saying which letter is none."""
    rights = NO_RIGHTS
    for letter in letters:
        right = _BY_LETTER.get(letter) or _OBSOLETE.get(letter)
        if right is None:
            raise ValueError(f"{letter!r} is not a right; they are {''.join(_BY_LETTER)}")
        rights |= right
    return rights
