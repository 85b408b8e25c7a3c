"""LIST and LSUB: which mailboxes are there?

RFC: 9051 §6.3.9, 5258 (LIST-EXTENDED), 5819 (LIST-STATUS), 6154 §2 (SPECIAL-USE), 8440 (LIST-MYRIGHTS),
    9590 (LIST-METADATA), 3501 §6.3.9 (LSUB).
Not here: which mailboxes match (list_pattern.py, list_selection.py).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from postino.imap.commands.metadata import entries
from postino.imap.commands.status import status_items
from postino.imap.mailbox_name import decode_pattern
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class List:
    """Names and options in upper case; patterns and reference decoded, with `*` and `%` as they came."""

    name: ClassVar[str] = "LIST"
    tag: bytes
    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[str] = frozenset()
    """SUBSCRIBED, REMOTE, RECURSIVEMATCH, SPECIAL-USE."""
    returning: frozenset[str] = frozenset()
    """SUBSCRIBED, CHILDREN, SPECIAL-USE, MYRIGHTS."""
    status_items: tuple[str, ...] | None = None
    """What RETURN (STATUS (...)) asks for, in the order asked."""
    annotations: tuple[str, ...] = ()
    """What RETURN (METADATA (...)) asks for, as the client spelled it."""
    extended: bool = False
    """Whether the client used RFC 5258 syntax, and so can read extended answers."""


@dataclass(frozen=True, slots=True)
class Lsub:
    """RFC 3501's list of subscriptions."""

    name: ClassVar[str] = "LSUB"
    tag: bytes
    reference: str
    pattern: str


USAGE: Final = 'LIST needs a reference and a pattern, such as LIST "" "*"'
LSUB_USAGE: Final = 'LSUB needs a reference and a pattern, such as LSUB "" "*"'
MAX_PATTERNS: Final = 100
_OPEN: Final = 0x28
_SELECTION: Final = frozenset({"SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"})
_RETURN: Final = frozenset({"SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "MYRIGHTS"})


def parse_list(tag: bytes, scan: Scanner) -> List:
    """`[SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`."""
    scan.space()
    selection: frozenset[str] = frozenset()
    extended = scan.peek() == _OPEN
    if extended:
        selection = _selection(scan)
        scan.space()
    reference = _reference(scan)
    scan.space()
    if scan.accept(b"("):
        extended = True
        patterns = [_pattern(scan)]
        while not scan.accept(b")"):
            scan.space()
            patterns.append(_pattern(scan))
            if len(patterns) > MAX_PATTERNS:
                scan.fail(f"LIST takes at most {MAX_PATTERNS} patterns")
        # What matching costs goes by the letters of all of them.
        if sum(map(len, patterns)) > 4 * scan.options.mailbox_name_octets:
            scan.fail("The patterns of this LIST are too long together; ask in several")
    else:
        patterns = [_pattern(scan)]
    returning: frozenset[str] = frozenset()
    items: tuple[str, ...] | None = None
    annotations: tuple[str, ...] = ()
    if scan.accept(b" ") and not scan.at_end():
        extended = True
        returning, items, annotations = _return_options(scan)
    scan.end()
    return List(tag, reference, tuple(patterns), selection, returning, items, annotations, extended)


def parse_lsub(tag: bytes, scan: Scanner) -> Lsub:
    """`SP mailbox SP list-mailbox`."""
    scan.space()
    reference = _reference(scan)
    scan.space()
    pattern = _pattern(scan)
    scan.end()
    return Lsub(tag, reference, pattern)


def _reference(scan: Scanner) -> str:
    # QUIRK(clients that send LIST % %): a reference may hold wildcards, which then are its letters.
    return decode_pattern(scan.list_mailbox(), scan.options.utf8)


def _pattern(scan: Scanner) -> str:
    return decode_pattern(scan.list_mailbox(), scan.options.utf8)


def _selection(scan: Scanner) -> frozenset[str]:
    scan.usage = "LIST selects by SUBSCRIBED, REMOTE, RECURSIVEMATCH and SPECIAL-USE"
    scan.require(b"(")
    found: set[str] = set()
    while not scan.accept(b")"):
        if found:
            scan.space()
        option = scan.keyword().decode("ascii")
        if option not in _SELECTION:
            scan.fail()
        found.add(option)
    if "RECURSIVEMATCH" in found and not found & {"SUBSCRIBED", "SPECIAL-USE"}:
        scan.fail("LIST's RECURSIVEMATCH needs SUBSCRIBED or SPECIAL-USE beside it")
    scan.usage = USAGE
    return frozenset(found)


def _return_options(scan: Scanner) -> tuple[frozenset[str], tuple[str, ...] | None, tuple[str, ...]]:
    usage = scan.usage = (
        "LIST returns SUBSCRIBED, CHILDREN, SPECIAL-USE, MYRIGHTS, STATUS (items) and METADATA (entries),"
        " as in RETURN (CHILDREN)"
    )
    if scan.keyword() != b"RETURN":
        scan.fail()
    scan.require(b" (")
    found: set[str] = set()
    items: tuple[str, ...] | None = None
    annotations: tuple[str, ...] = ()
    is_first = True
    while not scan.accept(b")"):
        if not is_first:
            scan.space()
        is_first = False
        option = scan.keyword().decode("ascii")
        if option == "STATUS" and items is None:
            scan.space()
            items = status_items(scan)
        elif option == "METADATA" and not annotations:
            scan.space()
            if scan.peek() != _OPEN:
                scan.fail()
            annotations = entries(scan)
            scan.usage = usage
        elif option in _RETURN:
            found.add(option)
        else:
            scan.fail()
    return frozenset(found), items, annotations
