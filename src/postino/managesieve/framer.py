"""Cut a client's octets into complete commands, without understanding them.

RFC: 5804 §1.1 (lines and counted octets), §4 (literal-c2s).
Exposure: sees unauthenticated octets first; holds at most one command within its FramerLimits, and what
    came in one read.
Invariants: octets inside a literal are never scanned for line ends; only CRLF ends a line; every octet
    belongs to exactly one frame; nothing of a literal that is too large is kept.
Not here: grammar (commands.py), whether a command is allowed now (states.py).
"""

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from postino.core.errors import ProtocolViolation
from postino.core.limits import Limits

# There is no way to say `go on` in this protocol, so a literal without its `+` comes at once as well.
_MARKER: Final = re.compile(rb"\{([0-9]{1,19})\+?\}\Z")
_BEFORE_LOGIN_OCTETS: Final = 16 * 1024
_BEFORE_LOGIN_SKIPPED: Final = 64 * 1024
_NAME_OCTETS: Final = 4096
_LITERALS: Final = 3
"""No command has more strings than two."""


@dataclass(frozen=True, slots=True)
class FramerLimits:
    """How much one command may bring before anything looks at it."""

    line_octets: int
    """All of a command's lines together, literals apart."""
    literals_octets: int
    """All of a command's literals together."""
    skipped_octets: int
    """Largest refused literal that is skipped; beyond it the session ends."""

    @classmethod
    def before_login(cls, limits: Limits) -> "FramerLimits":
        """Enough for a SASL message."""
        return cls(limits.managesieve_line_octets, _BEFORE_LOGIN_OCTETS, _BEFORE_LOGIN_SKIPPED)

    @classmethod
    def after_login(cls, limits: Limits, script_octets: int) -> "FramerLimits":
        """Enough for a script and its name."""
        return cls(limits.managesieve_line_octets, script_octets + _NAME_OCTETS, 16 * script_octets)


class CommandFrame(msgspec.Struct, frozen=True, gc=False):
    """A whole command: texts and literal octets in turn, `parts[0]` text, `parts[1]` literal, ...

    A text before a literal still ends with its marker (`{5+}`), so that the grammar can insist on it; no
    text has its CRLF. What the client says within a SASL exchange is framed alike.
    """

    parts: tuple[bytes, ...]


class TooLarge(msgspec.Struct, frozen=True, gc=False):
    """A command was skipped to its end because its literals are too large; `head` is how it began."""

    head: bytes


Frame = CommandFrame | TooLarge


class Framer:
    """Feed octets in any pieces with feed(); take frames with next_frame() until it gives None."""

    __slots__ = (
        "_buffer",
        "_is_refused",
        "_left",
        "_literals_octets",
        "_parts",
        "_scanned",
        "_text_octets",
        "limits",
    )

    limits: FramerLimits
    """May be replaced between commands: after a login, more is allowed."""

    def __init__(self, limits: FramerLimits) -> None:
        self.limits = limits
        self._buffer = bytearray()
        self._scanned = 0
        self._start_command()

    def _start_command(self) -> None:
        self._parts: list[bytes] = []
        self._text_octets = 0
        self._literals_octets = 0
        self._left = -1
        """Octets that the literal being read still lacks; -1 between literals."""
        self._is_refused = False

    def feed(self, data: bytes) -> None:
        """Add octets as they came."""
        self._buffer += data

    def clear(self) -> None:
        """Forget everything unread. SECURITY: at STARTTLS, nothing said before TLS may count after it."""
        self._buffer.clear()
        self._scanned = 0
        self._start_command()

    def next_frame(self) -> Frame | None:
        """The next frame, or None when octets are missing.

        Raises ProtocolViolation (fatal) when it cannot be told any more where the next command begins.
        """
        while True:
            if self._left >= 0 and not self._take_literal():
                return None
            line = self._take_line()
            if line is None:
                return None
            frame = self._frame_of(line)
            if frame is not None:
                return frame

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", self._scanned)
        octets = len(self._buffer) - 1 if end < 0 else end
        if self._text_octets + octets > self.limits.line_octets:
            raise ProtocolViolation(
                f"A command line has at most {self.limits.line_octets} octets; send long values as literals",
                fatal=True,
            )
        if end < 0:
            # A CR at the very end may be half of a line end.
            self._scanned = max(0, octets)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._scanned = 0
        self._text_octets += len(line)
        return line

    def _frame_of(self, line: bytes) -> Frame | None:
        marker = _MARKER.search(line, max(0, line.rfind(b"{"))) if line.endswith(b"}") else None
        self._parts.append(line)
        if marker is None:
            frame = TooLarge(self._parts[0]) if self._is_refused else CommandFrame(tuple(self._parts))
            self._start_command()
            return frame
        size = int(marker[1])
        self._literals_octets += size
        limits = self.limits
        if self._literals_octets > limits.skipped_octets:
            raise ProtocolViolation("The literal announced is far too large", fatal=True)
        if self._literals_octets > limits.literals_octets:
            self._is_refused = True
            del self._parts[1:]
        elif len(self._parts) > 2 * _LITERALS:
            raise ProtocolViolation("No command has so many literals", fatal=True)
        self._left = size
        return None

    def _take_literal(self) -> bool:
        """Take what is there of the literal; whether it is complete."""
        buffer = self._buffer
        if self._is_refused:
            skipped = min(self._left, len(buffer))
            del buffer[:skipped]
            self._left -= skipped
            if self._left:
                return False
        else:
            if len(buffer) < self._left:
                return False
            self._parts.append(bytes(buffer[: self._left]))
            del buffer[: self._left]
        self._scanned = 0
        self._left = -1
        return True
