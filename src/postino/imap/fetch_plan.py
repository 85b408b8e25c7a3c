r"""Compile a FETCH once: which columns to read, and a template that makes a row's answer in one step.

RFC: 9051 §6.4.5 (items), §7.5.2 (FETCH response), 3501 §6.4.5 (RFC822 items), 7162 §3.1.4.2 (MODSEQ),
    8514 §4.2 (SAVEDATE), 8474 §5 (EMAILID, THREADID), 8970 §3 (PREVIEW).
Invariants: the answer to an item is the same whichever way makes it, in bulk or message by message;
    octets of messages are never scanned, only cut; StoredItems depend on nothing that can change.
Not here: reading the rows (servers/imap/messages/fetch.py), finding sections (section.py).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from itertools import chain
from operator import add
from typing import Any, Final, Protocol, assert_never

from postino.core.flags import FlagSet
from postino.imap import section
from postino.imap.bodystructure import body_of
from postino.imap.datetime_text import format_date_time
from postino.imap.fetch_item import BinarySection, BinarySize, BodySection, FetchAtt, FetchItem, SectionText
from postino.imap.object_id import EMAIL_ID_FORM, THREAD_ID_FORM
from postino.imap.responses.string import quote
from postino.mime.header import LISTED_FIELDS, FieldSelector, field_selector
from postino.mime.part import Part
from postino.mime.transfer import decode_transfer


class Need(Enum):
    """A column of the store that an item is made of; named like the store's."""

    __hash__ = object.__hash__

    INTERNAL_DATE = auto()
    SAVE_DATE = auto()
    SIZE = auto()
    ACCOUNT_ID = auto()
    CONTENT_ID = auto()
    THREAD_ID = auto()
    PREVIEW = auto()
    ENVELOPE = auto()
    BODYSTRUCTURE = auto()
    FIELDS = auto()
    PARTS = auto()
    HEADER = auto()
    BODY = auto()


Columns = dict[Need, Sequence[Any]]


@dataclass(slots=True)
class Batch:
    """Some messages, column by column; all columns of one length."""

    numbers: Sequence[int]
    uids: Sequence[int] = ()
    flags: Sequence[FlagSet] = ()
    mod_seqs: Sequence[int] = ()
    columns: Columns = field(default_factory=dict)
    stored: Sequence[bytes] = ()
    """What StoredItems.answers made of the columns, or once made."""


class Octets(Protocol):
    """One message's octets, header and body, read by range."""

    header: bytes
    size: int

    def read(self, start: int, end: int) -> bytes:
        """The octets from `start` up to `end`."""
        ...

    def part(self) -> Part:
        """The index of its parts."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What an item's literal holds: octets, or a range of the message's still to be read."""

    start: int
    end: int
    octets: bytes | None = None

    def cut(self, partial: tuple[int, int] | None) -> "Found":
        """The octets `<first.count>` asks for; none when it begins past the end (RFC 9051 §6.4.5)."""
        if partial is None:
            return self
        first, count = partial
        if self.octets is not None:
            octets = self.octets[first : first + count]
            return Found(0, len(octets), octets)
        start = min(self.start + first, self.end)
        return Found(start, min(start + count, self.end))


class UnknownTransferEncodingError(Exception):
    """BINARY was asked of a part whose encoding is not known here (RFC 9051 §7.1, UNKNOWN-CTE)."""


Source = Callable[[Batch], Sequence[Any]]
ColumnSource = Callable[[Columns], Sequence[Any]]
BodyItem = BodySection | BinarySection | BinarySize


@dataclass(frozen=True, slots=True)
class StoredItems:
    """Those items whose answers never change: what they say of a UID may be kept."""

    template: bytes
    """Also tells one list of items from another."""
    needs: frozenset[Need]
    sources: tuple[ColumnSource, ...]

    def answers(self, columns: Columns) -> list[bytes]:
        """The items' text for each message."""
        template = self.template
        return [template % row for row in zip(*(source(columns) for source in self.sources), strict=True)]


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """One FETCH's items, ready to be applied to any number of batches."""

    needs: frozenset[Need]
    template: bytes
    """Of everything but `apart`; when there are such items they and the final parenthesis follow."""
    sources: tuple[Source, ...]
    uid_only: bool
    """The responses are UIDFETCH, which begin with the UID (RFC 9586)."""
    stored: StoredItems | None
    """Made apart from what the view tells, and put into the template as one."""
    whole: bytes | None
    """The one item that is the whole message or its text, when that is the only one apart: its label."""
    whole_has_header: bool
    apart: tuple[BodyItem, ...]
    """Items made message by message, after the template."""
    sets_seen: bool
    tells_flags: bool
    tells_mod_seq: bool

    @property
    def is_one_whole(self) -> bool:
        """Whether it takes no more than a message's header and body: see whole_response()."""
        return self.whole is not None and self.stored is None

    @property
    def is_from_memory(self) -> bool:
        """Whether the view alone can answer."""
        return not self.needs

    def heads(self, batch: Batch) -> list[bytes]:
        """The template filled for each message."""
        template = self.template
        return [template % row for row in zip(self._numbers(batch), *self._columns(batch), strict=True)]

    def responses(self, batch: Batch) -> bytes:
        """The whole answer for a batch when nothing is apart."""
        # PERF: one formatting call for all, into which the flags are joined before it (they hold no `%`):
        # 15 million FLAGS responses a second, where a call for each makes 9 (bench: imap.fetch.flags).
        before, told, after = self.template.partition(_FLAGS)
        if told:
            wires = [flags.wire for flags in batch.flags]
            if not wires:
                return b""
            before, columns = before + b"FLAGS ", self._columns(batch, without_flags=True)
            text = before + (after + before).join(wires) + after
        else:
            text, columns = self.template * len(batch.numbers), self._columns(batch)
        if not columns:
            return text % tuple(self._numbers(batch))
        return text % tuple(chain.from_iterable(zip(self._numbers(batch), *columns, strict=True)))

    @property
    def between(self) -> bytes:
        """What stands in a template for many messages between their StoredItems.answers."""
        assert self.template.endswith(_STORED_LAST)
        return _RESPONSE_END + self.template[: -len(_STORED_LAST)]

    def joined_responses(self, batch: Batch, stored: bytes) -> bytes:
        """As responses(), where what StoredItems.answers made is one template already, with `between` in it.

        PERF: a third of what it takes to put each answer into its place.
        """
        text = self.between[len(_RESPONSE_END) :] + stored + _RESPONSE_END
        columns = [source(batch) for source in self.sources]
        return text % tuple(chain.from_iterable(zip(self._numbers(batch), *columns, strict=True)))

    def _numbers(self, batch: Batch) -> Sequence[int]:
        return batch.uids if self.uid_only else batch.numbers

    def _columns(self, batch: Batch, *, without_flags: bool = False) -> list[Sequence[Any]]:
        columns = [source(batch) for source in self.sources if not (without_flags and source is _wires)]
        if self.stored is not None:
            columns.append(batch.stored)
        return columns

    def whole_responses(self, batch: Batch) -> list[bytes]:
        """The answer when the one item apart is `whole` and every body is at hand as bytes, in pieces.

        PERF: headers and bodies themselves are pieces: joining them would copy all octets once more.
        """
        assert self.whole is not None
        headers: Sequence[bytes] = batch.columns[Need.HEADER]
        bodies: Sequence[bytes] = batch.columns[Need.BODY]
        form = b")\r\n%%b%b {%%d}\r\n" % self.whole.replace(b"%", b"%%")
        sizes = map(len, bodies)
        each = 2
        if self.whole_has_header:
            sizes = map(add, sizes, map(len, headers))
            each = 3
        pieces = [b")\r\n"] * (each * len(bodies) + 1)
        if self.whole_has_header:
            pieces[1::each] = headers
        pieces[each - 1 :: each] = bodies
        pieces[0:-1:each] = [form % row for row in zip(self.heads(batch), sizes, strict=True)]
        pieces[0] = pieces[0][len(b")\r\n") :] if bodies else b""
        return pieces

    def whole_response(self, message: Batch, header: bytes, body: bytes) -> list[bytes]:
        """As whole_responses(), for one message when is_one_whole."""
        assert self.whole is not None
        (head,) = self.heads(message)
        size = len(body)
        if not self.whole_has_header:
            header = b""
        return [b"%b%b {%d}\r\n%b" % (head, self.whole, len(header) + size, header), body, b")\r\n"]

    def find(self, item: BodyItem, octets: Octets) -> Found | None:
        """What an item apart is for one message; None is answered NIL (0 for BINARY.SIZE)."""
        match item:
            case BodySection():
                found = _find_section(item, octets)
            case BinarySection() | BinarySize():
                found = _find_binary(item.part, octets)
            case _:
                assert_never(item)
        if found is None or isinstance(item, BinarySize):
            return found
        return found.cut(item.partial)


def literal_head(item: BodyItem, found: Found | None) -> bytes:
    """What stands before the octets of an item apart; the whole item when it has no octets."""
    label = item.label()
    if isinstance(item, BinarySize):
        return b"%b %d" % (label, found.end - found.start if found else 0)
    if found is None:
        return b"%b NIL" % label
    # A literal with NUL in it is a literal8, and only BINARY may be one (RFC 9051 §4.3.1). Long parts have
    # not been looked through. DEVIATION: BODY gives NULs as they are, since octets are kept exactly.
    is_binary = isinstance(item, BinarySection) and (found.octets is None or b"\0" in found.octets)
    return b"%b %b{%d}\r\n" % (label, b"~" if is_binary else b"", found.end - found.start)


@lru_cache(maxsize=256)
def compile_fetch(
    items: tuple[FetchItem, ...],
    *,
    uid: bool = False,
    flags: bool = False,
    mod_seq: bool = False,
    uid_only: bool = False,
) -> FetchPlan:
    """The plan for these items; `uid`, `flags` and `mod_seq` are told also when not asked for."""
    atts = [item for item in items if isinstance(item, FetchAtt)]
    simple = list(dict.fromkeys(atts))
    # Named first, as clients like to find them.
    for wanted, att in ((mod_seq, FetchAtt.MOD_SEQ), (flags, FetchAtt.FLAGS), (uid, FetchAtt.UID)):
        if wanted and att not in simple:
            simple.insert(0, att)
    fragments: list[bytes] = []
    sources: list[Source] = []
    stored_fragments: list[bytes] = []
    stored_sources: list[ColumnSource] = []
    needs: set[Need] = set()
    apart: list[BodyItem] = []
    # What the view tells comes first, then what the store has ready, then what is cut from the octets.
    for att in simple:
        told = _TOLD.get(att)
        if told is None:
            fragment, columns, needed = _STORED[att]
            stored_fragments.append(fragment)
            stored_sources += columns
            needs |= needed
        else:
            fragments.append(told[0])
            sources.append(told[1])
    for item in items:
        if isinstance(item, FetchAtt):
            continue
        if isinstance(item, BodySection) and _is_header_alone(item):
            fragment, added, need = _header_item(item)
            stored_fragments.append(fragment)
            stored_sources += added
            needs.add(need)
        else:
            apart.append(item)
    stored = None
    if stored_fragments:
        stored = StoredItems(b" ".join(stored_fragments), frozenset(needs), tuple(stored_sources))
        fragments.append(b"%b")
    for item in apart:
        needs |= _needs_apart(item)
    inner = b" ".join(fragments)
    ending = b")\r\n" if not apart else b" " if fragments else b""
    template = (b"* %d UIDFETCH (" if uid_only else b"* %d FETCH (") + inner + ending
    whole = apart[0] if len(apart) == 1 else None
    is_whole = (
        isinstance(whole, BodySection)
        and not whole.section.part
        and whole.partial is None
        and whole.section.text in (SectionText.NONE, SectionText.TEXT)
    )
    return FetchPlan(
        needs=frozenset(needs),
        template=template,
        sources=tuple(sources),
        uid_only=uid_only,
        stored=stored,
        whole=whole.label() if whole is not None and is_whole else None,
        whole_has_header=isinstance(whole, BodySection) and whole.section.text is SectionText.NONE,
        apart=tuple(apart),
        sets_seen=any(isinstance(item, BodySection | BinarySection) and not item.peek for item in items),
        tells_flags=FetchAtt.FLAGS in simple,
        tells_mod_seq=FetchAtt.MOD_SEQ in simple,
    )


# Items that are one column


def _wires(batch: Batch) -> Sequence[bytes]:
    return [flags.wire for flags in batch.flags]


def _column(need: Need) -> ColumnSource:
    return lambda columns: columns[need]


def _dates(need: Need) -> ColumnSource:
    return lambda columns: [format_date_time(instant) for instant in columns[need]]


def _bodies(columns: Columns) -> Sequence[bytes]:
    return [body_of(structure) for structure in columns[Need.BODYSTRUCTURE]]


def _previews(columns: Columns) -> Sequence[bytes]:
    return [quote(preview) for preview in columns[Need.PREVIEW]]


def _stored(
    fragment: bytes, source: ColumnSource, need: Need
) -> tuple[bytes, tuple[ColumnSource, ...], frozenset[Need]]:
    return fragment, (source,), frozenset({need})


def _object_id(fragment: bytes, need: Need) -> tuple[bytes, tuple[ColumnSource, ...], frozenset[Need]]:
    return fragment, (_column(Need.ACCOUNT_ID), _column(need)), frozenset({Need.ACCOUNT_ID, need})


_FLAGS: Final = b"FLAGS %b"
_RESPONSE_END: Final = b")\r\n"
_STORED_LAST: Final = b"%b" + _RESPONSE_END
_TOLD: Final[dict[FetchAtt, tuple[bytes, Source]]] = {
    FetchAtt.FLAGS: (_FLAGS, _wires),
    FetchAtt.UID: (b"UID %d", lambda batch: batch.uids),
    FetchAtt.MOD_SEQ: (b"MODSEQ (%d)", lambda batch: batch.mod_seqs),
}
_STORED: Final[dict[FetchAtt, tuple[bytes, tuple[ColumnSource, ...], frozenset[Need]]]] = {
    FetchAtt.INTERNAL_DATE: _stored(b"INTERNALDATE %b", _dates(Need.INTERNAL_DATE), Need.INTERNAL_DATE),
    FetchAtt.SAVE_DATE: _stored(b"SAVEDATE %b", _dates(Need.SAVE_DATE), Need.SAVE_DATE),
    FetchAtt.RFC822_SIZE: _stored(b"RFC822.SIZE %d", _column(Need.SIZE), Need.SIZE),
    FetchAtt.ENVELOPE: _stored(b"ENVELOPE %b", _column(Need.ENVELOPE), Need.ENVELOPE),
    FetchAtt.BODY_STRUCTURE: _stored(b"BODYSTRUCTURE %b", _column(Need.BODYSTRUCTURE), Need.BODYSTRUCTURE),
    FetchAtt.BODY: _stored(b"BODY %b", _bodies, Need.BODYSTRUCTURE),
    FetchAtt.PREVIEW: _stored(b"PREVIEW %b", _previews, Need.PREVIEW),
    FetchAtt.EMAIL_ID: _object_id(b"EMAILID (%b)" % EMAIL_ID_FORM, Need.CONTENT_ID),
    FetchAtt.THREAD_ID: _object_id(b"THREADID (%b)" % THREAD_ID_FORM, Need.THREAD_ID),
}


# The message's own header, whole or some fields of it: a column, or cut from one


def _is_header_alone(item: BodySection) -> bool:
    return (
        not item.section.part
        and item.partial is None
        and item.section.text
        in (SectionText.HEADER, SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT)
    )


def _header_item(item: BodySection) -> tuple[bytes, tuple[ColumnSource, ...], Need]:
    label = item.label().replace(b"%", b"%%")
    if item.section.text is SectionText.HEADER:

        def octets(columns: Columns) -> Sequence[int]:
            return [len(header) for header in columns[Need.HEADER]]

        return label + b" {%d}\r\n%b", (octets, _column(Need.HEADER)), Need.HEADER
    names = {name.lower() for name in item.section.fields}
    is_not = item.section.text is SectionText.HEADER_FIELDS_NOT
    need = Need.FIELDS if not is_not and names <= LISTED_FIELDS else Need.HEADER
    select = field_selector(names, is_not)

    def sizes_and_fields(columns: Columns) -> Sequence[bytes]:
        # One source gives the size too: choosing the fields twice would double the work.
        chosen = map(select, columns[need])
        return [b"{%d}\r\n%b\r\n" % (len(fields) + 2, fields) for fields in chosen]

    return label + b" %b", (sizes_and_fields,), need


# Everything else, message by message


def _needs_apart(item: BodyItem) -> set[Need]:
    if isinstance(item, BodySection) and not item.section.part:
        if item.section.text in (SectionText.NONE, SectionText.TEXT):
            return {Need.HEADER, Need.BODY}
        return {Need.HEADER}
    return {Need.HEADER, Need.BODY, Need.PARTS}


_RANGE_TEXT: Final = {
    SectionText.NONE: section.SectionText.ALL,
    SectionText.TEXT: section.SectionText.TEXT,
    SectionText.MIME: section.SectionText.MIME,
    SectionText.HEADER: section.SectionText.HEADER,
    SectionText.HEADER_FIELDS: section.SectionText.HEADER,
    SectionText.HEADER_FIELDS_NOT: section.SectionText.HEADER,
}


@lru_cache(maxsize=256)
def _selector(fields: tuple[bytes, ...], invert: bool) -> FieldSelector:
    return field_selector({name.lower() for name in fields}, invert)


def _find_section(item: BodySection, octets: Octets) -> Found | None:
    asked = item.section
    if asked.part:
        found = section.section_range(octets.part(), asked.part, _RANGE_TEXT[asked.text])
    elif asked.text is SectionText.NONE:
        found = (0, octets.size)
    elif asked.text is SectionText.TEXT:
        found = (len(octets.header), octets.size)
    else:
        found = (0, len(octets.header))
    if found is None:
        return None
    if asked.text in (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT):
        select = _selector(asked.fields, asked.text is SectionText.HEADER_FIELDS_NOT)
        chosen = select(octets.read(*found)) + b"\r\n"
        return Found(0, len(chosen), chosen)
    return Found(*found)


_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_SHORT_OCTETS: Final = 64 * 1024


def _find_binary(numbers: tuple[int, ...], octets: Octets) -> Found | None:
    root = octets.part()
    part = section.find_section(root, numbers)
    if part is None:
        return None
    if not numbers:
        # The message as a whole has no transfer encoding to undo (RFC 3516 §4.3).
        return _looked_through(octets, 0, octets.size)
    if part.is_multipart or part.encoding in ("7bit", "8bit", "binary"):
        return _looked_through(octets, part.body_start, part.end)
    decoded = decode_transfer(part.encoding, octets.read(part.body_start, part.end))
    if decoded is None:
        raise UnknownTransferEncodingError
    if part.media_type == "text":
        # RFC 9051 §7.5.2: lines of text end with CRLF, whatever was encoded.
        decoded = _BARE_LF.sub(b"\r\n", decoded)
    return Found(0, len(decoded), decoded)


def _looked_through(octets: Octets, start: int, end: int) -> Found:
    """The range, with its octets at hand when it is short, so that a NUL is seen."""
    if end - start > _SHORT_OCTETS:
        return Found(start, end)
    return Found(0, end - start, octets.read(start, end))
