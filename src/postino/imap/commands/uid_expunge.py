"""UID EXPUNGE: remove those messages of a set that have the Deleted flag.

RFC: 9051 §6.4.9, 4315 §2.1.
"""

from dataclasses import dataclass
from typing import ClassVar

from postino.imap.numbers import Numbers


@dataclass(frozen=True, slots=True)
class UidExpunge:
    """`uids` is always a set of UIDs."""

    name: ClassVar[str] = "UID EXPUNGE"
    tag: bytes
    uids: Numbers
