"""Cut a client's octets into complete commands, without understanding them.

RFC: 9051 §2.2.1 (lines), §4.3 (literals), 7888 (non-synchronising literals), 3502 (MULTIAPPEND), 4469
    (CATENATE), 8508 (REPLACE).
Exposure: sees unauthenticated octets first; stays bounded for any input.
Invariants: octets inside a literal are never scanned for line ends; only CRLF ends a line; every octet
    belongs to exactly one frame; one command's buffered octets never exceed its FramerLimits, and
    what an APPEND or REPLACE puts into a mailbox is handed out as it arrives.
Not here: grammar (commands/), whether a command is allowed now (states.py), writing (servers/imap).
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import msgspec

from postino.core.limits import Limits
from postino.imap.bad_command import BadCommand

_MARKER: Final = re.compile(rb"\{([0-9]+)(\+?)\}\Z")
_MAX_DIGITS: Final = 19
_TAG: Final = re.compile(rb"([^\x00-\x20\x7f-\xff(){%*\"\\+]{1,128}) ")
_STREAMED: Final = re.compile(rb"[^ ]{1,128} (?:APPEND|(?:UID )?REPLACE [0-9*]{1,10}) ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FramerLimits:
    """How much one command may bring before anything looks at it."""

    line_octets: int
    """All of a command's lines together, literals apart."""
    literal_octets: int
    literals: int
    literals_octets: int
    """All of a command's literals together."""
    discard_octets: int
    """Largest refused non-synchronising literal that is skipped; beyond it the session ends."""
    streams_append: bool

    @classmethod
    def before_login(cls, limits: Limits) -> "FramerLimits":
        """Just enough for names, passwords and SASL tokens (RFC 7888 §4's 4096 octets)."""
        return cls(
            line_octets=min(limits.imap_line_octets, 16 * 1024),
            literal_octets=min(limits.imap_literal_octets, 4096),
            literals=4,
            literals_octets=min(limits.imap_literal_octets, 4096),
            discard_octets=64 * 1024,
            streams_append=False,
        )

    @classmethod
    def after_login(cls, limits: Limits) -> "FramerLimits":
        """The settings' limits."""
        return cls(
            line_octets=limits.imap_line_octets,
            literal_octets=limits.imap_literal_octets,
            literals=limits.imap_literals,
            literals_octets=8 * limits.imap_literal_octets,
            discard_octets=4 * limits.message_octets,
            streams_append=True,
        )


class CommandFrame(msgspec.Struct, frozen=True, gc=False):
    """A whole command: texts and literal octets in turn, `parts[0]` text, `parts[1]` literal, ...

    A text before a literal still ends with its marker (`{5}`, `{5+}`, `~{5}`), so that the grammar can
    insist on it; no text has its CRLF.
    """

    parts: tuple[bytes, ...]


class ContinuationNeeded(msgspec.Struct, frozen=True, gc=False):
    """The client waits for `+` before it sends the literal it announced."""


class AppendStarted(msgspec.Struct, frozen=True, gc=False):
    """An APPEND or REPLACE up to a literal behind its mailbox: a message, a part of one, or a URL.

    Answer with accept_stream() or discard_stream(). An AppendReader reads `head` when `is_first`, else the
    last of its parts. Unless `non_sync`, the client waits for `+`, which the session sends when it accepts.
    """

    head: CommandFrame
    size: int
    non_sync: bool
    is_first: bool = True


class AppendData(msgspec.Struct, frozen=True, gc=False):
    """Octets of the accepted literal, in order. It is whole when AppendRest or an AppendStarted follows."""

    octets: bytes


class AppendRest(msgspec.Struct, frozen=True, gc=False):
    """The end of the command's last line, for its AppendReader; the command is complete now."""

    line: bytes


class LineFrame(msgspec.Struct, frozen=True, gc=False):
    """One line without CRLF, as expect_line() asked for: DONE, or SASL data."""

    octets: bytes


Frame = CommandFrame | ContinuationNeeded | AppendStarted | AppendData | AppendRest | LineFrame


class _Mode(Enum):
    COMMAND = auto()
    LITERAL = auto()
    SINGLE_LINE = auto()
    APPEND_DECISION = auto()
    APPEND_DATA = auto()
    APPEND_LINE = auto()
    DISCARD = auto()
    """Skipping a refused command's literal."""
    DISCARD_LINE = auto()


_NEEDED: Final = ContinuationNeeded()
_NOTHING_MORE: Final = AppendRest(b"")
_DATA: Final = _Mode.APPEND_DATA
_LITERAL: Final = _Mode.LITERAL
_DECISION: Final = _Mode.APPEND_DECISION
_DISCARD: Final = _Mode.DISCARD


class Framer:
    """Feed octets in any pieces with feed(); take frames with next() until it gives None.

    next() raises BadCommand for a command that breaks a limit. Unless the error is `fatal`, the next
    call goes on after that command.
    """

    __slots__ = (
        "_buffer",
        "_error",
        "_is_first_message",
        "_is_non_sync",
        "_left",
        "_literals_octets",
        "_mode",
        "_parts",
        "_position",
        "_scanned",
        "_text_octets",
        "limits",
    )

    limits: FramerLimits
    """May be replaced between commands: after a login, more is allowed."""

    def __init__(self, limits: FramerLimits) -> None:
        self.limits = limits
        self._buffer = b""
        self._position = 0
        self._scanned = 0
        self._mode = _Mode.COMMAND
        self._parts: list[bytes] = []
        self._text_octets = 0
        self._literals_octets = 0
        self._left = 0
        self._error: BadCommand | None = None
        self._is_first_message = True
        self._is_non_sync = False

    def feed(self, data: bytes) -> None:
        """Add octets as they came."""
        if self._position == len(self._buffer):
            self._buffer = data
            self._scanned = 0
        else:
            self._buffer = self._buffer[self._position :] + data
            self._scanned -= self._position
        self._position = 0

    @property
    def has_input(self) -> bool:
        """Whether octets are waiting that no frame has been made of."""
        return self._position < len(self._buffer)

    @property
    def is_between_commands(self) -> bool:
        """Whether no command is half read, so that the session may say things of its own accord."""
        return self._mode is _Mode.COMMAND and not self._parts and not self.has_input

    def clear(self) -> None:
        """Forget everything unread. SECURITY: at STARTTLS, nothing said before TLS may count after it."""
        self._buffer = b""
        self._position = self._scanned = 0
        self._start_command()

    def take_unread(self) -> bytes:
        """Forget everything unread and give it: it was not meant to be read as it is (COMPRESS)."""
        unread = self._buffer[self._position :]
        self.clear()
        return unread

    def expect_line(self) -> None:
        """Have the next frame be one plain LineFrame."""
        assert self._mode is _Mode.COMMAND
        assert not self._parts
        self._mode = _Mode.SINGLE_LINE

    def accept_stream(self) -> None:
        """Have the literal of the last AppendStarted handed out."""
        assert self._mode is _Mode.APPEND_DECISION
        self._mode = _Mode.APPEND_DATA if self._left else _Mode.APPEND_LINE

    def discard_stream(self) -> None:
        """Skip the rest of this APPEND: at AppendStarted instead of accepting, or later on an error.

        The session answers the command itself; next() goes on with the following one. Raises BadCommand
        (fatal) when more is announced than is worth reading.
        """
        if self._mode is _Mode.COMMAND:
            return
        if self._mode is _Mode.APPEND_DECISION and not self._is_non_sync:
            # The client waits for `+`; the tagged NO tells it not to send the literal at all.
            self._start_command()
            return
        self._refuse(None)

    def next(self) -> Frame | None:
        """The next frame, or None when more octets are needed (or a decision, for AppendStarted)."""
        # PERF: whole simple commands, pipelined or not, leave on the first pass (bench: imap framer).
        while True:
            mode = self._mode
            if mode is _DATA:
                octets = self._take_some()
                if not octets:
                    return None
                if not self._left:
                    self._mode = _Mode.APPEND_LINE
                return AppendData(octets)
            if mode is _DECISION:
                return None
            if mode is _LITERAL:
                literal = self._take_literal()
                if literal is None:
                    return None
                self._parts.append(literal)
                self._mode = _Mode.COMMAND
            elif mode is _DISCARD:
                if self._left and not self._take_some():
                    return None
                if not self._left:
                    self._mode = _Mode.DISCARD_LINE
            else:
                line = self._take_line()
                if line is None:
                    return None
                frame = self._frame_of(line)
                if frame is not None:
                    return frame

    # Lines

    def _take_line(self) -> bytes | None:
        start = self._position
        end = self._buffer.find(b"\r\n", max(start, self._scanned))
        if end < 0:
            if len(self._buffer) - start > self.limits.line_octets - self._text_octets + 1:
                raise self._too_long()
            # A CR at the very end may be half of a line end.
            self._scanned = max(start, len(self._buffer) - 1)
            return None
        if end - start > self.limits.line_octets - self._text_octets:
            raise self._too_long()
        self._position = self._scanned = end + 2
        return self._buffer[start:end]

    def _too_long(self) -> BadCommand:
        # No line end in sight: where the next command starts is unknown, so the session must end.
        return BadCommand(
            f"The line is longer than {self.limits.line_octets} octets; send long values as literals",
            tag=self._tag(self._parts[0] if self._parts else self._buffer[self._position :][:80]),
            fatal=True,
        )

    def _frame_of(self, line: bytes) -> Frame | None:
        mode = self._mode
        if mode is _Mode.SINGLE_LINE:
            self._mode = _Mode.COMMAND
            return LineFrame(line)
        marker = _MARKER.match(line, max(0, line.rfind(b"{"))) if line.endswith(b"}") else None
        if mode is _Mode.COMMAND and marker is None:
            if not self._parts:
                return CommandFrame((line,))
            frame = CommandFrame((*self._parts, line))
            self._start_command()
            return frame
        if mode is _Mode.DISCARD_LINE:
            self._text_octets = 0
            self._skip_on(marker)
            return None
        self._text_octets += len(line)
        if mode is _Mode.APPEND_LINE:
            if marker is None:
                self._start_command()
                return AppendRest(line) if line else _NOTHING_MORE
            return self._start_message(line, marker)
        assert marker is not None
        if self.limits.streams_append and self._is_message_marker(line, marker):
            return self._start_message(line, marker)
        return self._start_literal(line, marker)

    # Literals

    def _start_literal(self, line: bytes, marker: re.Match[bytes]) -> Frame | None:
        limits, size, is_non_sync = self.limits, _size(marker), bool(marker.group(2))
        self._parts.append(line)
        self._literals_octets += size
        refusal = None
        if size > limits.literal_octets:
            refusal = f"The literal is larger than {limits.literal_octets} octets"
        elif len(self._parts) > 2 * limits.literals:
            refusal = f"The command has more than {limits.literals} literals"
        elif self._literals_octets > limits.literals_octets:
            refusal = f"The command's literals together are larger than {limits.literals_octets} octets"
        self._left = size
        if refusal is None:
            self._mode = _Mode.LITERAL
            return None if is_non_sync else _NEEDED
        error = BadCommand(refusal, tag=self._tag(self._parts[0]), code=b"TOOBIG")
        if is_non_sync:
            self._refuse(error)
            return None
        # The client waits for `+` and takes the tagged BAD for the answer, so framing goes on.
        self._start_command()
        raise error

    def _take_literal(self) -> bytes | None:
        end = self._position + self._left
        if len(self._buffer) < end:
            return None
        literal = self._buffer[self._position : end]
        self._position = self._scanned = end
        return literal

    def _take_some(self) -> bytes:
        start = self._position
        octets = self._buffer[start : start + self._left]
        self._position = self._scanned = start + len(octets)
        self._left -= len(octets)
        return octets

    # APPEND

    def _is_message_marker(self, line: bytes, marker: re.Match[bytes]) -> bool:
        if self._parts:
            # Behind the mailbox's literal; `parts` has its text and its octets.
            return len(self._parts) == 2 and _STREAMED.match(self._parts[0]) is not None
        command = _STREAMED.match(line)
        # A marker right behind the command announces the mailbox's name, a later one the message.
        return command is not None and command.end() < marker.start()

    def _start_message(self, line: bytes, marker: re.Match[bytes]) -> AppendStarted:
        started = AppendStarted(
            CommandFrame((*self._parts, line)),
            size=_size(marker),
            non_sync=bool(marker.group(2)),
            is_first=self._is_first_message,
        )
        # The first head is kept for its tag, should a later part of the command break a limit.
        self._parts = [self._parts[0] if self._parts else line]
        self._is_first_message = False
        # What stands between literals is handed out and not held: each piece may be as long as a command.
        self._text_octets = 0
        self._left = started.size
        self._mode = _Mode.APPEND_DECISION
        self._is_non_sync = started.non_sync
        return started

    # Skipping what was refused

    def _refuse(self, error: BadCommand | None) -> None:
        if self._left > self.limits.discard_octets:
            raise BadCommand(
                "The literal announced is far too large",
                tag=self._tag(self._parts[0]) if self._parts else None,
                code=b"TOOBIG",
                fatal=True,
            )
        self._error = error
        self._mode = _Mode.DISCARD_LINE if self._mode is _Mode.APPEND_LINE else _Mode.DISCARD

    def _skip_on(self, marker: re.Match[bytes] | None) -> None:
        """A refused command's line has ended: go on skipping, or let the command be over."""
        if marker is not None and marker.group(2):
            self._left = _size(marker)
            self._refuse(self._error)
            return
        error = self._error
        self._start_command()
        if error is not None:
            raise error

    def _start_command(self) -> None:
        self._mode = _Mode.COMMAND
        self._parts = []
        self._text_octets = 0
        self._literals_octets = 0
        self._left = 0
        self._error = None
        self._is_first_message = True
        self._is_non_sync = False

    @staticmethod
    def _tag(line: bytes) -> bytes | None:
        found = _TAG.match(line)
        return found.group(1) if found else None


def _size(marker: re.Match[bytes]) -> int:
    digits = marker.group(1)
    # A number beyond 63 bits only has to stay beyond every limit; int() of it could take long.
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
