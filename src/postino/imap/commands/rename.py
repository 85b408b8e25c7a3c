"""RENAME: give a mailbox and its inferiors another name.

RFC: 9051 §6.3.6.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.imap.mailbox_name import SEPARATOR
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Rename:
    """From `source` to `target`."""

    name: ClassVar[str] = "RENAME"
    tag: bytes
    source: str
    target: str


USAGE: Final = "RENAME needs the mailbox and its new name"


def parse(tag: bytes, scan: Scanner) -> Rename:
    """`SP mailbox SP mailbox`."""
    scan.space()
    source = scan.mailbox()
    scan.space()
    target = scan.mailbox().removesuffix(SEPARATOR)
    scan.end()
    return Rename(tag, source, target)
