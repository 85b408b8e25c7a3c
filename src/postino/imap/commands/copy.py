"""COPY and UID COPY: the same messages in another mailbox too.

RFC: 9051 §6.4.7 and §6.4.9.
"""

from dataclasses import dataclass
from typing import Final

from postino.imap.numbers import Numbers
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Copy:
    """`numbers` of the selected mailbox, into `mailbox`."""

    tag: bytes
    numbers: Numbers
    by_uid: bool
    mailbox: str

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID COPY" if self.by_uid else "COPY"


USAGE: Final = "COPY needs messages and a mailbox, such as COPY 2:4 Archive"


def parse(tag: bytes, scan: Scanner, by_uid: bool) -> Copy:
    """`SP sequence-set SP mailbox`."""
    numbers, mailbox = scan.numbers_and_mailbox()
    return Copy(tag, numbers, by_uid, mailbox)
