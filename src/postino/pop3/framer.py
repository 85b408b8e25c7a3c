"""Cut a client's octets into command lines, without understanding them.

RFC: 1939 §3 (lines end in CRLF), 2449 §4 (length), 2449 §6.6 (PIPELINING).
Exposure: sees unauthenticated octets first; holds at most one line of `line_octets` and what
    came in one read.
Invariants: every octet belongs to exactly one line; of a line that is too long nothing is kept.
Not here: grammar (commands.py).
"""

from collections import deque
from typing import Final

from postino.core.errors import ProtocolViolation

_TOO_LONG: Final = None


class LineFramer:
    """Feed it octets; take lines. A bare LF ends a line as well, for people who type at a terminal."""

    __slots__ = ("_lines", "_rest", "_skipping", "line_octets")

    def __init__(self, line_octets: int) -> None:
        self.line_octets = line_octets
        """Longest line that is taken, without its end; may be changed between lines."""
        self._lines: deque[bytes | None] = deque()
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> None:
        """Take octets as they came."""
        pieces = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        rest = pieces.pop()
        if pieces and self._skipping:
            # The end of a line whose beginning was thrown away and reported already.
            self._skipping = False
            pieces.pop(0)
        self._lines.extend(pieces)
        if self._skipping:
            rest = b""
        elif len(rest) > self.line_octets + 1:
            self._lines.append(_TOO_LONG)
            self._skipping = True
            rest = b""
        self._rest = rest

    def next_line(self) -> bytes | None:
        """The next complete line without its end, or None when octets are missing.

        Raises ProtocolViolation once for a line that is too long; the lines after it are sound.
        """
        if not self._lines:
            return None
        line = self._lines.popleft()
        if line is not _TOO_LONG:
            if line.endswith(b"\r"):
                line = line[:-1]
            if len(line) <= self.line_octets:
                return line
        raise ProtocolViolation(f"A line has at most {self.line_octets} octets")

    def peek(self, most: int) -> list[bytes]:
        """Up to `most` of the complete lines that come next, to read ahead; nothing is taken."""
        return [line for _, line in zip(range(most), self._lines, strict=False) if line is not None]

    @property
    def has_line(self) -> bool:
        """Whether next_line would give a line or raise."""
        return bool(self._lines)

    def clear(self) -> None:
        """Forget everything received, as STLS asks."""
        self._lines.clear()
        self._rest = b""
        self._skipping = False
