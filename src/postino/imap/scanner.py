"""Read the tokens of one complete command: atoms, strings, numbers, lists, sets.

RFC: 9051 §4 (data formats) and §9 (formal syntax), 6855 §3 (UTF-8 in quoted strings).
Exposure: unauthenticated octets, already framed and bounded.
Invariants: every method either consumes one token or raises BadCommand; nothing here loops over octets,
    each token is one match of one pattern whose alternatives cannot overlap.
Not here: what the tokens mean (commands/).
"""

import re
from typing import Final, NoReturn

from postino.core.errors import ProtocolViolation
from postino.core.numset import MAX_NUMBER, SequenceSet, parse_sequence_set
from postino.imap.bad_command import BadCommand
from postino.imap.framer import CommandFrame
from postino.imap.mailbox_name import decode_named
from postino.imap.numbers import SAVED_RESULT, Numbers
from postino.imap.parse_options import ParseOptions

MAX_NUMBER64: Final = 2**63 - 1

_ATOM: Final = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")
_ASTRING: Final = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\]+")
_LIST_CHARS: Final = re.compile(rb"[^\x00-\x20\x7f-\xff(){\"\\]+")
_QUOTED: Final = re.compile(rb'"([^"\\\x00\r\n]*(?:\\["\\][^"\\\x00\r\n]*)*)"')
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_MARKER: Final = re.compile(rb"\{[0-9]+\+?\}\Z")
_DIGITS: Final = re.compile(rb"[0-9]+")
_SET: Final = re.compile(rb"[0-9:*,]+")
_QUOTE: Final = 0x22


class Scanner:
    """A place in a command. `usage` is the sentence a syntax error is answered with."""

    __slots__ = ("_index", "_parts", "at", "options", "text", "usage")

    def __init__(self, frame: CommandFrame, at: int, options: ParseOptions, usage: str) -> None:
        self._parts = frame.parts
        self._index = 0
        self.text = frame.parts[0]
        self.at = at
        self.options = options
        self.usage = usage

    def fail(self, message: str = "") -> NoReturn:
        """Refuse the command, with its usage unless something better is known."""
        raise BadCommand(message or self.usage)

    def exceed(self, message: str) -> NoReturn:
        """Refuse a command that is well formed and asks for too much (RFC 5530 §3, LIMIT)."""
        raise BadCommand(message, status="NO", code=b"LIMIT")

    # Punctuation

    def peek(self) -> int:
        """The next octet, or 0 at the end of a text."""
        return self.text[self.at] if self.at < len(self.text) else 0

    def accept(self, octets: bytes) -> bool:
        """Consume exactly `octets` if they are next."""
        if self.text.startswith(octets, self.at):
            self.at += len(octets)
            return True
        return False

    def require(self, octets: bytes) -> None:
        """Consume `octets` or fail."""
        if not self.text.startswith(octets, self.at):
            self.fail()
        self.at += len(octets)

    def space(self) -> None:
        """Consume one space or fail."""
        if self.peek() != 0x20:
            self.fail()
        self.at += 1

    def at_end(self) -> bool:
        """Whether the command ends here."""
        return self.at >= len(self.text) and self._index == len(self._parts) - 1

    def end(self) -> None:
        """Insist that the command ends here."""
        # QUIRK(scripts and old webmails): a space before the line end is harmless and common.
        if not self.at_end() and (self.text[self.at :].strip(b" ") or self._index != len(self._parts) - 1):
            self.fail()

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Consume what `pattern` matches here."""
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    # Strings

    def atom(self) -> bytes:
        """An atom."""
        found = _ATOM.match(self.text, self.at)
        if found is None:
            self.fail()
        self.at = found.end()
        return found.group()

    def keyword(self) -> bytes:
        """An atom in upper case: the name of a command, item, option or key."""
        return self.atom().upper()

    def astring(self) -> bytes:
        """An atom, a quoted string or a literal."""
        found = _ASTRING.match(self.text, self.at)
        if found is None:
            return self.string()
        self.at = found.end()
        return found.group()

    def string(self) -> bytes:
        """A quoted string or a literal."""
        if self.peek() != _QUOTE:
            return self._literal()
        found = _QUOTED.match(self.text, self.at)
        if found is None:
            self.fail('A quoted string ends with " and escapes only " and \\, each with a \\')
        self.at = found.end()
        octets = found.group(1)
        if self.options.utf8 and not octets.isascii():
            self.utf8(octets, "quoted string")
        return _ESCAPED.sub(rb"\1", octets) if b"\\" in octets else octets

    def nstring8(self) -> bytes | None:
        """As nstring(), or a literal8, which may hold any octet."""
        return self._literal(may_hold_nul=True) if self.accept(b"~") else self.nstring()

    def _literal(self, *, may_hold_nul: bool = False) -> bytes:
        marker = _MARKER.match(self.text, self.at)
        if marker is None or self._index + 2 >= len(self._parts):
            self.fail()
        octets = self._parts[self._index + 1]
        if not may_hold_nul and b"\x00" in octets:
            self.fail("A literal here cannot hold the octet NUL")
        self._index += 2
        self.text = self._parts[self._index]
        self.at = 0
        return octets

    def nstring(self) -> bytes | None:
        """A string, or None for NIL."""
        if self.peek() not in b'"{':
            if self.keyword() != b"NIL":
                self.fail()
            return None
        return self.string()

    def mailbox(self) -> str:
        """A mailbox name, decoded and canonical."""
        return self.named_mailbox()[0]

    def named_mailbox(self) -> tuple[str, str | None]:
        """As mailbox(), and the name as it was written, when that is another spelling."""
        octets = self.astring()
        if len(octets) > 4 * self.options.mailbox_name_octets:
            self.fail("The mailbox name is too long")
        return decode_named(octets, self.options.utf8)

    def list_mailbox(self) -> bytes:
        """A LIST pattern, still encoded."""
        found = _LIST_CHARS.match(self.text, self.at)
        octets = self.string() if found is None else found.group()
        if found is not None:
            self.at = found.end()
        if len(octets) > 4 * self.options.mailbox_name_octets:
            self.fail("The mailbox pattern is too long")
        return octets

    def utf8(self, octets: bytes, what: str) -> str:
        """Decode `octets` or fail; `what` names them in the refusal."""
        try:
            return octets.decode()
        except UnicodeDecodeError:
            self.fail(f"The {what} must be UTF-8")

    # Numbers

    def number(self, *, least: int = 0, most: int = MAX_NUMBER) -> int:
        """Digits within bounds."""
        found = _DIGITS.match(self.text, self.at)
        # int() of very many digits is slow; nothing in IMAP has more than 19.
        if found is None or found.end() - found.start() > 19:
            self.fail()
        number = int(found.group())
        if not least <= number <= most:
            self.fail(f"{self.usage} (numbers from {least} to {most})")
        self.at = found.end()
        return number

    def number64(self, *, least: int = 0) -> int:
        """A 63-bit number: sizes and mod-sequences."""
        return self.number(least=least, most=MAX_NUMBER64)

    def sequence_set(self) -> SequenceSet:
        """Numbers, ranges and `*`."""
        found = _SET.match(self.text, self.at)
        if found is None:
            self.fail()
        self.at = found.end()
        try:
            return parse_sequence_set(found.group(), max_parts=self.options.sequence_parts)
        except ProtocolViolation as error:
            raise BadCommand(str(error)) from None

    def numbers(self) -> Numbers:
        """A sequence set or `$`."""
        if self.accept(b"$"):
            return SAVED_RESULT
        return self.sequence_set()

    def numbers_and_mailbox(self) -> tuple[Numbers, str]:
        """`SP sequence-set SP mailbox`, to the end: what COPY and MOVE take."""
        self.space()
        numbers = self.numbers()
        self.space()
        mailbox = self.mailbox()
        self.end()
        return numbers, mailbox
