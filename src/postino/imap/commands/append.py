"""APPEND and REPLACE: messages for a mailbox. The messages themselves stream past the grammar.

RFC: 9051 §6.3.12 (APPEND), 3502 (MULTIAPPEND), 4469 §3 (CATENATE), 6855 §4 (UTF8), 3516 §4.4 (literal8),
    8508 §3 (REPLACE).
Exposure: octets of a client that has logged in, framed and bounded by framer.py.
Invariants: any text gives items or BadCommand (with the command's tag); a text's literal, if it ends with
    one, is its last item.
Not here: the literals' octets (framer.AppendData), what becomes of the items
    (servers/imap/messages/append.py).
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar, Final

from postino.core.flags import NO_FLAGS, FlagSet
from postino.core.ids import Instant
from postino.core.numset import SequenceSet
from postino.imap.bad_command import BadCommand
from postino.imap.datetime_text import parse_date_time
from postino.imap.flag_list import flag_list
from postino.imap.framer import CommandFrame
from postino.imap.parse_options import ParseOptions
from postino.imap.scanner import Scanner


@dataclass(frozen=True, slots=True)
class AppendHead:
    """An APPEND, up to where its messages begin."""

    name: ClassVar[str] = "APPEND"
    tag: bytes
    mailbox: str


@dataclass(frozen=True, slots=True)
class ReplaceHead:
    """A REPLACE, up to where its message begins: that one instead of `number` of the selected mailbox."""

    tag: bytes
    number: SequenceSet
    """One number, or `*`."""
    by_uid: bool
    mailbox: str

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID REPLACE" if self.by_uid else "REPLACE"


AnyHead = AppendHead | ReplaceHead


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message begins; the one before it, if any, is whole."""

    flags: FlagSet
    internal_date: Instant | None
    is_catenated: bool = False


@dataclass(frozen=True, slots=True)
class UrlPart:
    """The message goes on with what this URL names."""

    url: bytes


class LiteralKind(Enum):
    """What the literal behind a text is."""

    MESSAGE = auto()
    """The message, or a part of one; without NUL."""
    BINARY = auto()
    """The same as a literal8, in which every octet may stand."""
    URL = auto()


@dataclass(frozen=True, slots=True)
class LiteralPart:
    """The message goes on with the literal that comes now."""

    kind: LiteralKind


Item = NewMessage | UrlPart | LiteralPart


@dataclass(frozen=True, slots=True)
class AppendUrls:
    """A whole APPEND or REPLACE without a literal: its messages are made of URLs alone."""

    head: AnyHead
    items: tuple[Item, ...]

    @property
    def tag(self) -> bytes:
        """The command's tag."""
        return self.head.tag

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return self.head.name


USAGE: Final = r"APPEND needs a mailbox and a message, such as APPEND Sent (\Seen) {310} and 310 octets"
REPLACE_USAGE: Final = (
    r"REPLACE needs a message, a mailbox and the new message, such as REPLACE 4 Drafts (\Draft) {310}"
)
_TAG: Final = rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]{1,128}) "
_START: Final = re.compile(_TAG + rb"(?:(APPEND)|((?:UID )?)REPLACE)(?= )", re.IGNORECASE)
_ANY_START: Final = re.compile(_TAG)
_DATE_TIME: Final = re.compile(rb'"([^"\\\x00-\x1f]{1,40})" ')
_DATA: Final = re.compile(rb"(?:(~)|(UTF8 \(~))?\{[0-9]+\+?\}\Z|(CATENATE \()", re.IGNORECASE)
_PART: Final = re.compile(rb"(?:TEXT (~)?|(UTF8 \(~))\{[0-9]+\+?\}\Z|(URL )(\{[0-9]+\+?\}\Z)?", re.IGNORECASE)
_SIMPLE: Final = re.compile(_TAG + rb"(APPEND [^\"{~]{1,200} )\{[0-9]+\+?\}\Z")
_MAX_REMEMBERED: Final = 1024
_remembered: Final[dict[tuple[bytes, ParseOptions], tuple[str, tuple["Item", ...]]]] = {}
_ONE_NUMBER: Final = re.compile(rb"(?:\*|[0-9]+) ")
_OPEN: Final = 0x28
_ONE_MESSAGE: Final = "REPLACE takes one message; send the others with APPEND"


class AppendReader:
    """Reads one APPEND or REPLACE text by text, each up to a literal or the command's end.

    Every method raises BadCommand; the reader is of no use after that.
    """

    __slots__ = ("_closes_utf8", "_has_message", "_in_catenate", "_options", "_usage", "head", "is_complete")

    head: AnyHead
    is_complete: bool
    """The last text ended the command."""

    def __init__(self, options: ParseOptions) -> None:
        self._options = options
        self._usage = USAGE
        self._has_message = self._in_catenate = self._closes_utf8 = False
        self.is_complete = False

    def first(self, frame: CommandFrame) -> list[Item]:
        """Read the command's beginning, which must be an APPEND's or REPLACE's; sets `head`."""
        text = frame.parts[0]
        again = _SIMPLE.match(text) if len(frame.parts) == 1 else None
        if again is None:
            return self._first(frame)
        # PERF: a client that uploads a folder sends the same head for each message: 1 us instead of 7
        # (bench: imap.append.pipelined).
        tag, head = again.groups()
        known = _remembered.get((head, self._options))
        if known is not None:
            self.head = AppendHead(tag, known[0])
            self._has_message = True
            return list(known[1])
        items = self._first(frame)
        if isinstance(self.head, AppendHead) and not self._in_catenate and not self._closes_utf8:
            if len(_remembered) >= _MAX_REMEMBERED:
                _remembered.clear()
            _remembered[head, self._options] = (self.head.mailbox, tuple(items))
        return items

    def _first(self, frame: CommandFrame) -> list[Item]:
        found = _START.match(frame.parts[0])
        if found is None:
            tagged = _ANY_START.match(frame.parts[0])
            raise BadCommand(USAGE, tag=tagged and tagged[1])
        tag, append, uid = found.groups()
        if append is None:
            self._usage = REPLACE_USAGE
        scan = Scanner(frame, found.end(), self._options, self._usage)
        try:
            scan.space()
            if append is None:
                if _ONE_NUMBER.match(scan.text, scan.at) is None:
                    scan.fail()
                number = scan.sequence_set()
                scan.space()
                self.head = ReplaceHead(tag, number, bool(uid), scan.mailbox())
            else:
                self.head = AppendHead(tag, scan.mailbox())
            return self._read(scan)
        except BadCommand as error:
            error.tag = tag
            raise

    def next(self, text: bytes) -> list[Item]:
        """Read what stands behind a literal."""
        if not text and not self._in_catenate and not self._closes_utf8:
            self.is_complete = True
            return []
        try:
            return self._read(Scanner(CommandFrame((text,)), 0, self._options, self._usage))
        except BadCommand as error:
            error.tag = self.head.tag
            raise

    def _read(self, scan: Scanner) -> list[Item]:
        items: list[Item] = []
        if self._closes_utf8:
            scan.require(b")")
            self._closes_utf8 = False
        while True:
            if self._in_catenate:
                if items and isinstance(items[-1], NewMessage):
                    # The first part follows the parenthesis at once.
                    self._read_part(scan, items)
                elif scan.accept(b")"):
                    self._in_catenate = False
                    continue
                else:
                    scan.space()
                    self._read_part(scan, items)
            elif self._has_message and not scan.text[scan.at :].strip(b" "):
                self.is_complete = True
                return items
            else:
                self._read_message(scan, items)
            if isinstance(items[-1], LiteralPart):
                return items

    def _read_message(self, scan: Scanner, items: list[Item]) -> None:
        """`SP [flag-list SP] [date-time SP]` and a literal's marker or `CATENATE (`."""
        scan.space()
        if self._has_message and isinstance(self.head, ReplaceHead):
            raise BadCommand(_ONE_MESSAGE)
        self._has_message = True
        flags = NO_FLAGS
        if scan.peek() == _OPEN:
            flags = flag_list(scan)
            scan.space()
        internal_date = None
        date_time = scan.match(_DATE_TIME)
        if date_time is not None:
            internal_date = parse_date_time(date_time.group(1))
        data = scan.match(_DATA)
        if data is None:
            scan.fail()
        binary, utf8, catenate = data.groups()
        items.append(NewMessage(flags, internal_date, catenate is not None))
        if catenate is not None:
            self._in_catenate = True
            return
        self._closes_utf8 = utf8 is not None
        is_binary = binary is not None or utf8 is not None
        items.append(LiteralPart(LiteralKind.BINARY if is_binary else LiteralKind.MESSAGE))

    def _read_part(self, scan: Scanner, items: list[Item]) -> None:
        """`TEXT` or `UTF8 (` and a literal's marker, or `URL SP astring` (RFC 4469 §5, 6855 §4)."""
        part = scan.match(_PART)
        if part is None:
            scan.fail("The parts of CATENATE are TEXT with a literal and URL with an IMAP URL")
        binary, utf8, url, url_marker = part.groups()
        if url is None:
            self._closes_utf8 = utf8 is not None
            is_binary = binary is not None or utf8 is not None
            items.append(LiteralPart(LiteralKind.BINARY if is_binary else LiteralKind.MESSAGE))
        elif url_marker is not None:
            items.append(LiteralPart(LiteralKind.URL))
        else:
            items.append(UrlPart(scan.astring()))


def parse_whole(frame: CommandFrame, options: ParseOptions) -> AppendUrls:
    """An APPEND or REPLACE that came as one frame. Raises BadCommand."""
    reader = AppendReader(options)
    items = reader.first(frame)
    if not reader.is_complete:
        # Only before a login do messages not stream (FramerLimits).
        raise BadCommand(f"Log in before {reader.head.name}", tag=reader.head.tag)
    return AppendUrls(reader.head, tuple(items))
