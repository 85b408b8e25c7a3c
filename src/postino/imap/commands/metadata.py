"""GETMETADATA and SETMETADATA: annotations of a mailbox, or of the server.

RFC: 5464 §3.2 (names of entries), §4.2, §4.3 and §5; 9590 §3 (the entries of LIST's METADATA option).
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class GetMetadata:
    """`mailbox` is empty for the server; entries as the client spelled them."""

    name: ClassVar[str] = "GETMETADATA"
    tag: bytes
    mailbox: str
    entries: tuple[str, ...]
    depth: int | None = 0
    """How many levels below an entry are wanted too; None for all."""
    max_size: int | None = None
    """The most octets of a value that is wanted."""


@dataclass(frozen=True, slots=True)
class SetMetadata:
    """`mailbox` is empty for the server; names in lower case, a value of None removes."""

    name: ClassVar[str] = "SETMETADATA"
    tag: bytes
    mailbox: str
    values: tuple[tuple[str, bytes | None], ...]


GET_USAGE: Final = "GETMETADATA needs a mailbox and entries, such as GETMETADATA INBOX (/private/comment)"
SET_USAGE: Final = (
    'SETMETADATA needs a mailbox and entries with values, such as SETMETADATA INBOX (/private/comment "Mine")'
)
ENTRY_USAGE: Final = (
    "The name of an annotation is a path below /private or /shared, such as /private/comment, of ASCII"
    " without * and %"
)
MAX_ENTRIES: Final = 100
MAX_ENTRY_OCTETS: Final = 255
_OPEN: Final = 0x28
_ENTRY: Final = re.compile(r"/(?:private|shared)(?:/[^\x00-\x1f\x7f-\xff/*%]+)*", re.IGNORECASE)
_VENDOR: Final = re.compile(r"/(?:private|shared)/vendor(?:/[^/]+)?")
_DEPTHS: Final = {b"0": 0, b"1": 1, b"INFINITY": None}


def parse_getmetadata(tag: bytes, scan: Scanner) -> GetMetadata:
    """`[SP options] SP mailbox SP entries`; options may follow the mailbox, as in the RFC's examples."""
    scan.space()
    depth: int | None = 0
    max_size: int | None = None
    if scan.peek() == _OPEN:
        depth, max_size = _options(scan)
        scan.space()
    mailbox = scan.mailbox()
    scan.space()
    if scan.peek() == _OPEN and not scan.text.startswith((b"(/", b'("', b"({"), scan.at):
        depth, max_size = _options(scan)
        scan.space()
    found = entries(scan)
    scan.end()
    return GetMetadata(tag, mailbox, found, depth, max_size)


def parse_setmetadata(tag: bytes, scan: Scanner) -> SetMetadata:
    """`SP mailbox SP "(" entry SP value *(SP entry SP value) ")"`."""
    scan.space()
    mailbox = scan.mailbox()
    scan.space()
    scan.require(b"(")
    values: dict[str, bytes | None] = {}
    while True:
        name = _entry(scan).lower()
        if name.count("/") < 2 or _VENDOR.fullmatch(name):
            scan.fail("The annotation's name is too short; write one such as /private/comment")
        scan.space()
        values[name] = scan.nstring8()
        if len(values) > MAX_ENTRIES:
            scan.fail(f"SETMETADATA takes at most {MAX_ENTRIES} entries")
        if scan.accept(b")"):
            break
        scan.space()
    scan.end()
    return SetMetadata(tag, mailbox, tuple(values.items()))


def entries(scan: Scanner) -> tuple[str, ...]:
    """One entry, or several in parentheses; those without, as in RFC 5464 §4.4.1's example, are read too."""
    in_list = scan.accept(b"(")
    found = [_entry(scan)]
    while not (scan.accept(b")") if in_list else scan.at_end()):
        scan.space()
        if not in_list and scan.at_end():
            break
        found.append(_entry(scan))
        if len(found) > MAX_ENTRIES:
            scan.fail(f"At most {MAX_ENTRIES} entries can be asked for at once")
    return tuple({name.lower(): name for name in found}.values())


def _options(scan: Scanner) -> tuple[int | None, int | None]:
    usage, scan.usage = (
        scan.usage,
        "GETMETADATA has the options MAXSIZE (a number) and DEPTH (0, 1 or infinity)",
    )
    scan.require(b"(")
    depth: int | None = 0
    max_size: int | None = None
    while True:
        option = scan.keyword()
        scan.space()
        if option == b"MAXSIZE":
            max_size = scan.number()
        elif option == b"DEPTH":
            word = scan.keyword()
            if word not in _DEPTHS:
                scan.fail()
            depth = _DEPTHS[word]
        else:
            scan.fail()
        if scan.accept(b")"):
            scan.usage = usage
            return depth, max_size
        scan.space()


def _entry(scan: Scanner) -> str:
    octets = scan.astring()
    name = octets.decode("latin-1")
    if len(name) > MAX_ENTRY_OCTETS or not _ENTRY.fullmatch(name):
        scan.fail(ENTRY_USAGE)
    return name
