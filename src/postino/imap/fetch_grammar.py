"""Read what a FETCH asks for.

RFC: 9051 §6.4.5 and §9 (fetch-att, section), 3501 §6.4.5 (the items of IMAP4rev1), 8970 §6 (PREVIEW).
Invariants: the items of one octet string are always the same value, so they are remembered.
Not here: the values (fetch_item.py).
"""

import re
from typing import Final

from postino.imap.fetch_item import (
    BinarySection,
    BinarySize,
    BodySection,
    FetchAtt,
    FetchItem,
    Section,
    SectionText,
)
from postino.imap.scanner import MAX_NUMBER64, Scanner

MAX_ITEMS: Final = 500
MAX_SECTION_DEPTH: Final = 200

_NAME: Final = re.compile(rb"[A-Za-z0-9.]+")
_PART: Final = re.compile(rb"[1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9})*")
_TEXT: Final = re.compile(rb"HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME", re.IGNORECASE)
_LAZY: Final = re.compile(rb" \(LAZY(?: LAZY)*\)", re.IGNORECASE)
_PARTIAL: Final = re.compile(rb"<([0-9]{1,19})\.([0-9]{1,19})>")
# A list with at most one level of lists in it, or one bare item. What it cuts wrongly (a parenthesis in
# a quoted field name) is never found among the remembered, because those are what was really consumed.
_SPAN: Final = re.compile(rb"\([^()]*(?:\([^()]*\)[^()]*)*\)|[^ ()]+\Z")

_SIMPLE: Final[dict[bytes, FetchItem]] = {
    **{att.value: att for att in FetchAtt},
    b"RFC822": BodySection(Section(), None, peek=False, legacy_name=b"RFC822"),
    b"RFC822.HEADER": BodySection(
        Section(text=SectionText.HEADER), None, peek=True, legacy_name=b"RFC822.HEADER"
    ),
    b"RFC822.TEXT": BodySection(Section(text=SectionText.TEXT), None, peek=False, legacy_name=b"RFC822.TEXT"),
}
_FAST: Final = (FetchAtt.FLAGS, FetchAtt.INTERNAL_DATE, FetchAtt.RFC822_SIZE)
_MACROS: Final[dict[bytes, tuple[FetchItem, ...]]] = {
    b"FAST": _FAST,
    b"ALL": (*_FAST, FetchAtt.ENVELOPE),
    b"FULL": (*_FAST, FetchAtt.ENVELOPE, FetchAtt.BODY),
}

_MAX_REMEMBERED: Final = 2048
_MAX_REMEMBERED_OCTETS: Final = 512

# PERF: a mail program asks for the same few lists all day: 0.5 us instead of 15 (bench: imap grammar).
_remembered: dict[bytes, tuple[FetchItem, ...]] = {}


def fetch_items(scan: Scanner) -> tuple[FetchItem, ...]:
    """One item, a macro, or a list of items; macros expanded and doubles dropped."""
    start, text = scan.at, scan.text
    span = _SPAN.match(text, start)
    if span is not None:
        found = _remembered.get(span.group())
        if found is not None:
            scan.at = span.end()
            return found
    items = _parse(scan)
    # Only what the pattern cuts out by itself could be found again.
    if span is not None and scan.text is text and scan.at == span.end() <= start + _MAX_REMEMBERED_OCTETS:
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        _remembered[span.group()] = items
    return items


def _parse(scan: Scanner) -> tuple[FetchItem, ...]:
    if not scan.accept(b"("):
        name = _name(scan)
        macro = _MACROS.get(name)
        return macro if macro is not None else (_item(scan, name),)
    items: dict[FetchItem, None] = {}
    while True:
        items[_item(scan, _name(scan))] = None
        if len(items) > MAX_ITEMS:
            scan.fail(f"FETCH takes at most {MAX_ITEMS} items")
        if scan.accept(b")"):
            return tuple(items)
        scan.space()


def _name(scan: Scanner) -> bytes:
    found = scan.match(_NAME)
    if found is None:
        scan.fail()
    return found.group().upper()


def _item(scan: Scanner, name: bytes) -> FetchItem:
    if scan.peek() == 0x5B:
        scan.at += 1
        match name:
            case b"BODY" | b"BODY.PEEK":
                section = _section(scan)
                return BodySection(section, _partial(scan), peek=name == b"BODY.PEEK")
            case b"BINARY" | b"BINARY.PEEK":
                part = _binary_part(scan)
                return BinarySection(part, _partial(scan), peek=name == b"BINARY.PEEK")
            case b"BINARY.SIZE":
                return BinarySize(_binary_part(scan))
            case _:
                scan.fail()
    item = _SIMPLE.get(name)
    if item is None:
        scan.fail("FETCH does not know one of these items; FLAGS, UID, ENVELOPE or BODY[] would do")
    if item is FetchAtt.PREVIEW:
        # Other parentheses may be FETCH's own modifiers.
        scan.match(_LAZY)
    return item


def _section(scan: Scanner) -> Section:
    part = _part(scan)
    if scan.accept(b"]"):
        return Section(part)
    if part:
        scan.require(b".")
    found = scan.match(_TEXT)
    text = SectionText(found.group().upper()) if found else SectionText.NONE
    if text is SectionText.NONE or (text is SectionText.MIME and not part):
        scan.fail("A section is a part number, HEADER, HEADER.FIELDS (names), TEXT or, after a part, MIME")
    fields: tuple[bytes, ...] = ()
    if text in {SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}:
        fields = _field_names(scan)
    scan.require(b"]")
    return Section(part, text, fields)


def _part(scan: Scanner) -> tuple[int, ...]:
    found = scan.match(_PART)
    if found is None:
        return ()
    part = tuple(map(int, found.group().split(b".")))
    if len(part) > MAX_SECTION_DEPTH:
        scan.fail(f"A section has at most {MAX_SECTION_DEPTH} levels")
    return part


def _binary_part(scan: Scanner) -> tuple[int, ...]:
    part = _part(scan)
    scan.require(b"]")
    return part


def _field_names(scan: Scanner) -> tuple[bytes, ...]:
    scan.require(b" (")
    names = [scan.astring()]
    while not scan.accept(b")"):
        scan.space()
        names.append(scan.astring())
    return tuple(names)


def _partial(scan: Scanner) -> tuple[int, int] | None:
    if scan.peek() != 0x3C:
        return None
    found = scan.match(_PARTIAL)
    if found is None:
        scan.fail("A partial fetch is <first.count>, such as BODY[]<0.2048>")
    first, count = int(found.group(1)), int(found.group(2))
    if not count or first > MAX_NUMBER64 or count > MAX_NUMBER64:
        scan.fail("A partial fetch asks for at least one octet")
    return first, count
