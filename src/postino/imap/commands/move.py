"""MOVE and UID MOVE: the same messages in another mailbox instead.

RFC: 9051 §6.4.8 and §6.4.9, 6851.
"""

from dataclasses import dataclass
from typing import Final

from postino.imap.numbers import Numbers
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Move:
    """`numbers` of the selected mailbox, into `mailbox`."""

    tag: bytes
    numbers: Numbers
    by_uid: bool
    mailbox: str

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID MOVE" if self.by_uid else "MOVE"


USAGE: Final = "MOVE needs messages and a mailbox, such as MOVE 2:4 Archive"


def parse(tag: bytes, scan: Scanner, by_uid: bool) -> Move:
    """`SP sequence-set SP mailbox`."""
    numbers, mailbox = scan.numbers_and_mailbox()
    return Move(tag, numbers, by_uid, mailbox)
