"""ESEARCH: which messages of these mailboxes are like this?

RFC: 7377 §2 (ESEARCH, source options), 5465 §6 (how mailboxes are named).
Invariants: what only the selected mailbox can do (SAVE) is asked of no other.
Not here: which mailboxes a source means (store/mailbox_scope.py).
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final

from postino.imap.commands.search import Program, require_fuzzy, search_program
from postino.imap.scanner import Scanner
from postino.imap.search_key import SearchKey
from postino.imap.search_return import RETURN_ALL, Returning, returning


class SourceKind(Enum):
    """How mailboxes are named."""

    SELECTED = "SELECTED"
    INBOXES = "INBOXES"
    PERSONAL = "PERSONAL"
    SUBSCRIBED = "SUBSCRIBED"
    SUBTREE = "SUBTREE"
    SUBTREE_ONE = "SUBTREE-ONE"
    MAILBOXES = "MAILBOXES"


@dataclass(frozen=True, slots=True)
class Source:
    """Some mailboxes; `names` are those of SUBTREE, SUBTREE-ONE and MAILBOXES."""

    kind: SourceKind
    names: tuple[str, ...] = ()


SELECTED_ALONE: Final = (Source(SourceKind.SELECTED),)


@dataclass(frozen=True, slots=True)
class Esearch:
    """Without a source the selected mailbox is searched; the answers name UIDs."""

    name: ClassVar[str] = "ESEARCH"
    tag: bytes
    sources: tuple[Source, ...]
    returning: Returning
    program: Program

    @property
    def key(self) -> SearchKey:
        """What is looked for."""
        return self.program.key


USAGE: Final = "ESEARCH needs search keys, such as ESEARCH IN (personal) UNSEEN FROM ann"
_IN: Final = re.compile(rb"IN \(", re.IGNORECASE)
_KINDS: Final = {kind.value.encode("ascii"): kind for kind in SourceKind}
_WITH_NAMES: Final = frozenset({SourceKind.SUBTREE, SourceKind.SUBTREE_ONE, SourceKind.MAILBOXES})


def parse(tag: bytes, scan: Scanner) -> Esearch:
    """`[SP IN SP "(" sources ")"] [SP RETURN SP "(" options ")"] SP search-program`."""
    scan.space()
    sources: tuple[Source, ...] = SELECTED_ALONE
    if scan.match(_IN) is not None:
        sources = _sources(scan)
        scan.space()
    wanted = returning(scan) or RETURN_ALL
    if "SAVE" in wanted and any(source.kind is not SourceKind.SELECTED for source in sources):
        scan.fail("SAVE is for the selected mailbox alone; leave out the other mailboxes, or SAVE")
    program = search_program(scan)
    require_fuzzy(scan, program, wanted)
    return Esearch(tag, sources, wanted, program)


def _sources(scan: Scanner) -> tuple[Source, ...]:
    found: list[Source] = []
    names = 0
    while not found or not scan.accept(b")"):
        if found:
            scan.space()
        kind = _KINDS.get(scan.keyword())
        if kind is None:
            scan.fail(f"ESEARCH searches IN {', '.join(each.value.lower() for each in SourceKind)}")
        if kind in _WITH_NAMES:
            scan.space()
            found.append(Source(kind, _names(scan)))
        else:
            found.append(Source(kind))
        names += len(found[-1].names) or 1
        if names > scan.options.search_mailboxes:
            scan.exceed(f"ESEARCH takes at most {scan.options.search_mailboxes} mailboxes")
    return tuple(found)


def _names(scan: Scanner) -> tuple[str, ...]:
    if not scan.accept(b"("):
        return (scan.mailbox(),)
    names = [scan.mailbox()]
    while not scan.accept(b")"):
        scan.space()
        names.append(scan.mailbox())
        if len(names) > scan.options.search_mailboxes:
            scan.exceed(f"ESEARCH takes at most {scan.options.search_mailboxes} mailboxes")
    return tuple(names)
