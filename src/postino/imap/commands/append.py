"""APPEND: put a message into a mailbox. The message itself streams past the grammar.

RFC: 9051 §6.3.12, 3502 (MULTIAPPEND), 6855 §4 (UTF8 literal).
Not here: the message's octets (framer.AppendData).
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

from postino.core.flags import FlagSet, flag_set
from postino.core.ids import Instant
from postino.imap.datetime_text import parse_date_time
from postino.imap.flag_list import flag_list
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class AppendHead:
    """Everything of an APPEND before one message's literal; for MULTIAPPEND, one for each message."""

    name: ClassVar[str] = "APPEND"
    tag: bytes
    mailbox: str
    flags: FlagSet
    internal_date: Instant | None
    is_utf8: bool = False
    """The literal came as `UTF8 (~{n}`; its closing parenthesis comes after it."""


USAGE: Final = r"APPEND needs a mailbox and a message, such as APPEND Sent (\Seen) {310} and 310 octets"
_MESSAGE: Final = re.compile(rb"(?:~?|(UTF8 \(~))\{[0-9]+\+?\}\Z")
_DATE_TIME: Final = re.compile(rb'"([^"\\\x00-\x1f]{1,40})" ')
_OPEN: Final = 0x28


def parse_first(tag: bytes, scan: Scanner) -> AppendHead:
    """`SP mailbox [SP flag-list] [SP date-time] SP` and the message's literal marker."""
    scan.space()
    mailbox = scan.mailbox()
    return parse_message(tag, scan, mailbox)


def parse_message(tag: bytes, scan: Scanner, mailbox: str) -> AppendHead:
    """What stands before each message, from the space on."""
    scan.space()
    flags = flag_set()
    if scan.peek() == _OPEN:
        flags = flag_list(scan)
        scan.space()
    internal_date = None
    date_time = scan.match(_DATE_TIME)
    if date_time is not None:
        internal_date = parse_date_time(date_time.group(1))
    marker = scan.match(_MESSAGE)
    if marker is None:
        scan.fail()
    return AppendHead(tag, mailbox, flags, internal_date, is_utf8=marker.group(1) is not None)
