"""RENAME: give a mailbox and its inferiors another name.

RFC: 9051 §6.3.6.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.core.mailbox_name import SEPARATOR
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Rename:
    """From `source` to `target`."""

    name: ClassVar[str] = "RENAME"
    tag: bytes
    source: str
    target: str
    given: str | None = None
    """The source as the client wrote it, when it or the target was written in another spelling."""


USAGE: Final = "RENAME needs the mailbox and its new name"


def parse(tag: bytes, scan: Scanner) -> Rename:
    """`SP mailbox SP mailbox`."""
    scan.space()
    source, given_source = scan.named_mailbox()
    scan.space()
    target, given_target = scan.named_mailbox()
    scan.end()
    is_given = given_source is not None or given_target is not None
    return Rename(tag, source, target.removesuffix(SEPARATOR), (given_source or source) if is_given else None)
