"""The data items a FETCH may ask for, as values.

RFC: 9051 §6.4.5 (items, sections, partial), 3501 §6.4.5 (the items of IMAP4rev1), 7162 §3.1.4 (MODSEQ),
    8514 §4.2 (SAVEDATE), 8474 §5.3 (EMAILID, THREADID), 8970 §3 (PREVIEW).
Not here: reading them from the wire (commands/fetch.py), answering them (fetch_plan.py).
"""

from dataclasses import dataclass
from enum import Enum

from postino.imap.responses.string import astring


class FetchAtt(Enum):
    """Items without arguments; the value is the name as a client sees it again."""

    # PERF: the hash of an enum's member is else made by Python, ten times each FETCH (bench: imap.fetch).
    __hash__ = object.__hash__

    FLAGS = b"FLAGS"
    UID = b"UID"
    INTERNAL_DATE = b"INTERNALDATE"
    RFC822_SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY_STRUCTURE = b"BODYSTRUCTURE"
    BODY = b"BODY"
    """The structure without extension data."""
    MOD_SEQ = b"MODSEQ"
    SAVE_DATE = b"SAVEDATE"
    EMAIL_ID = b"EMAILID"
    THREAD_ID = b"THREADID"
    PREVIEW = b"PREVIEW"
    """Also PREVIEW (LAZY): it is always at hand."""


class SectionText(Enum):
    """Which octets of a part are meant."""

    __hash__ = object.__hash__

    NONE = b""
    """The part's whole content; of the message itself, header and body."""
    HEADER = b"HEADER"
    HEADER_FIELDS = b"HEADER.FIELDS"
    HEADER_FIELDS_NOT = b"HEADER.FIELDS.NOT"
    TEXT = b"TEXT"
    MIME = b"MIME"


@dataclass(frozen=True, slots=True)
class Section:
    """What stands between the brackets of BODY[...]."""

    part: tuple[int, ...] = ()
    text: SectionText = SectionText.NONE
    fields: tuple[bytes, ...] = ()
    """Field names for HEADER.FIELDS and HEADER.FIELDS.NOT, as the client spelled them."""

    def label(self) -> bytes:
        """What goes between the brackets of the answer: `1.2.HEADER.FIELDS (Date From)`."""
        pieces = [b"%d" % number for number in self.part]
        if self.text is not SectionText.NONE:
            pieces.append(self.text.value)
        label = b".".join(pieces)
        if self.fields:
            label += b" (" + b" ".join(map(astring, self.fields)) + b")"
        return label


@dataclass(frozen=True, slots=True)
class BodySection:
    """BODY[section]<first.count> and its older spellings RFC822, RFC822.HEADER, RFC822.TEXT."""

    section: Section
    partial: tuple[int, int] | None
    """(first octet, most octets); the count is at least 1."""
    peek: bool
    """Whether \\Seen stays as it is."""
    legacy_name: bytes | None = None

    def label(self) -> bytes:
        """The item's name in the answer: `BODY[TEXT]<0>`, or the older spelling that was asked for."""
        if self.legacy_name is not None:
            return self.legacy_name
        label = b"BODY[" + self.section.label() + b"]"
        return label if self.partial is None else label + b"<%d>" % self.partial[0]


@dataclass(frozen=True, slots=True)
class BinarySection:
    """BINARY[part]<first.count>: the part with its transfer encoding undone (RFC 9051 §6.4.5.1)."""

    part: tuple[int, ...]
    partial: tuple[int, int] | None
    peek: bool

    def label(self) -> bytes:
        """The item's name in the answer."""
        label = b"BINARY[" + b".".join(b"%d" % number for number in self.part) + b"]"
        return label if self.partial is None else label + b"<%d>" % self.partial[0]


@dataclass(frozen=True, slots=True)
class BinarySize:
    """BINARY.SIZE[part]: the decoded size of a part."""

    part: tuple[int, ...]

    def label(self) -> bytes:
        """The item's name in the answer."""
        return b"BINARY.SIZE[" + b".".join(b"%d" % number for number in self.part) + b"]"


FetchItem = FetchAtt | BodySection | BinarySection | BinarySize
