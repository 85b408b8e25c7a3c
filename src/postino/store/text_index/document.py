"""What the search index keeps of a message: its texts, decoded and folded, as UTF-8 octets.

RFC: 9051 §6.4.4 (what SEARCH compares).
Invariants: a text contains a needle exactly if reading the message itself would find it; the octets
    FIELD_END and DOCUMENT_END, which UTF-8 never uses, part fields and documents.
Not here: decoding (mime/text.py), where documents are kept (segment.py, file.py).
"""

import struct
from enum import IntEnum
from typing import Final

from postino.core.limits import Limits
from postino.mime.encoded_word import decode_header_text
from postino.mime.header import raw_fields
from postino.mime.octets import Slices
from postino.mime.part import Part
from postino.mime.text import body_text, fold

FIELD_END: Final = b"\xfe"
DOCUMENT_END: Final = b"\xff"


class Field(IntEnum):
    """The texts of a document, in their order."""

    SUBJECT = 0
    FROM = 1
    TO = 2
    CC = 3
    BCC = 4
    HEADER = 5
    """Every field as `name: value`."""
    BODY = 6


NAMED: Final = {
    "subject": Field.SUBJECT,
    "from": Field.FROM,
    "to": Field.TO,
    "cc": Field.CC,
    "bcc": Field.BCC,
}
"""The header fields that lie apart, because most searches are for them."""
Document = tuple[bytes, ...]
"""One text for each Field."""

_LENGTHS: Final = struct.Struct(f"<{len(Field)}I")


def octets_of(text: str) -> bytes:
    """Folded text or a folded needle as it is compared: UTF-8, also of halves of surrogate pairs."""
    return text.encode("utf-8", "surrogatepass")


def make_document(header: bytes, root: Part, octets: Slices, limits: Limits) -> Document:
    """The texts of a message; `octets` is all of it, `root` its MIME index."""
    lines: list[str] = []
    named: dict[str, list[str]] = {}
    at = 0
    for whole, raw_name, value in raw_fields(header):
        name = raw_name.decode("ascii").lower()
        text = fold(decode_header_text(value))
        lines.append(f"{name}: {text}")
        # What lies apart at delivery (content.fields) ends where a header is no longer looked into.
        if name in NAMED and at < limits.header_octets:
            named.setdefault(name, []).append(text)
        at += len(whole)
    return (
        *(FIELD_END.join(map(octets_of, named.get(name, ()))) for name in NAMED),
        FIELD_END.join(map(octets_of, lines)),
        octets_of(fold(body_text(root, octets, limits))),
    )


def header_lines(text: bytes) -> bytes:
    """Document text HEADER as SEARCH TEXT looks into it."""
    return text.replace(FIELD_END, b"\n")


def pack_document(document: Document) -> bytes:
    """All of a document in one value."""
    return _LENGTHS.pack(*map(len, document)) + b"".join(document)


def unpack_document(packed: bytes) -> Document:
    """What was packed. Raises struct.error or ValueError for anything else."""
    lengths = _LENGTHS.unpack_from(packed)
    if len(packed) != _LENGTHS.size + sum(lengths):
        raise ValueError("a document of the search index has lost its length")
    texts: list[bytes] = []
    at = _LENGTHS.size
    for length in lengths:
        texts.append(packed[at : at + length])
        at += length
    return tuple(texts)
