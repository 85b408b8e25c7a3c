"""DELETE: remove a mailbox and its messages.

RFC: 9051 §6.3.5.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Delete:
    """Whether the mailbox may go is the store's business."""

    name: ClassVar[str] = "DELETE"
    tag: bytes
    mailbox: str
    given: str | None = None
    """The name as the client wrote it, when that is another spelling of `mailbox`."""


USAGE: Final = "DELETE needs a mailbox"


def parse(tag: bytes, scan: Scanner) -> Delete:
    """`SP mailbox`."""
    scan.space()
    mailbox, given = scan.named_mailbox()
    scan.end()
    return Delete(tag, mailbox, given)
