"""SUBSCRIBE and UNSUBSCRIBE: the list of mailboxes the user wants to see.

RFC: 9051 §6.3.7 and §6.3.8.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Add to the list."""

    name: ClassVar[str] = "SUBSCRIBE"
    tag: bytes
    mailbox: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Take off the list."""

    name: ClassVar[str] = "UNSUBSCRIBE"
    tag: bytes
    mailbox: str


USAGE: Final = "SUBSCRIBE needs a mailbox"
UNSUBSCRIBE_USAGE: Final = "UNSUBSCRIBE needs a mailbox"


def parse_subscribe(tag: bytes, scan: Scanner) -> Subscribe:
    """`SP mailbox`."""
    scan.space()
    mailbox = scan.mailbox()
    scan.end()
    return Subscribe(tag, mailbox)


def parse_unsubscribe(tag: bytes, scan: Scanner) -> Unsubscribe:
    """`SP mailbox`."""
    scan.space()
    mailbox = scan.mailbox()
    scan.end()
    return Unsubscribe(tag, mailbox)
