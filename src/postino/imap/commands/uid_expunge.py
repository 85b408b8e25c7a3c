"""UID EXPUNGE: remove those messages of a set that have the Deleted flag.

RFC: 9051 §6.4.9, 4315 §2.1.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.imap.numbers import Numbers
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class UidExpunge:
    """`uids` is always a set of UIDs."""

    name: ClassVar[str] = "UID EXPUNGE"
    tag: bytes
    uids: Numbers


USAGE: Final = "UID EXPUNGE needs a set of UIDs, such as UID EXPUNGE 3000:3002"


def parse(tag: bytes, scan: Scanner) -> UidExpunge:
    """`SP sequence-set`."""
    scan.space()
    uids = scan.numbers()
    scan.end()
    return UidExpunge(tag, uids)
