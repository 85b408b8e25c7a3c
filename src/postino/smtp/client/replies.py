"""Cut what a far server says into replies, under limits.

RFC: 5321 §4.2 (replies), §4.2.1 (more than one line), §4.5.3.1.5 (length), 2034 §4 and 3463 §2
    (enhanced codes).
Exposure: octets of any server the DNS names; must stay bounded for any input.
Invariants: any octets give replies or BadReply and nothing else, the same ones however the network cut them;
    at most MAX_REPLY_OCTETS wait here; a reply's text is printable, whatever was sent.
Not here: which command a reply belongs to (transaction.py), what EHLO's answer offers (extensions.py).
"""

import re
from typing import Final

import msgspec

from postino.core.errors import ProtocolViolation

MAX_LINE_OCTETS: Final = 4096
"""RFC 5321 §4.5.3.1.5 allows 512; links in refusals make longer ones."""
MAX_REPLY_LINES: Final = 500
MAX_REPLY_OCTETS: Final = 64 * 1024
MAX_TEXT: Final = 2000
"""Characters of a reply that are kept for people."""

_SINGLE: Final = re.compile(rb"([2-5][0-9][0-9])(?: ([\x20-\x7e]{0,510}))?\r\n")
_LINE: Final = re.compile(rb"([2-5][0-9][0-9])(?:([ -])([^\n]*))?", re.DOTALL)
_STATUS: Final = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?: +|$)")
_REPEATED: Final = 512


class BadReply(ProtocolViolation):
    """What the far server said is no SMTP reply, or too much of one. The connection is of no use any more."""

    def __init__(self, message: str) -> None:
        super().__init__(message, fatal=True)


class FarReply(msgspec.Struct, frozen=True, gc=False):
    """A reply of the far server. A code that says something else than its class is not trusted further."""

    code: int
    """200 to 599. Of lines that contradict each other the last one's counts."""
    status: str
    """Enhanced code, `5.1.1`; empty when none was given or it contradicts the code."""
    lines: tuple[str, ...]
    """The text of each line, the enhanced code still in front."""

    @property
    def is_positive(self) -> bool:
        """2xx: it was done."""
        return self.code < 300

    @property
    def is_permanent(self) -> bool:
        """5xx: it never will be."""
        return self.code >= 500

    @property
    def text(self) -> str:
        """All of it in one line for people: `550 5.1.1 No such user here`."""
        status = self.status
        words: list[str] = [str(self.code)]
        if status:
            words.append(status)
        for line in self.lines:
            shown = line
            if status and line.startswith(status):
                shown = line[len(status) :]
            shown = shown.strip()
            if shown:
                words.append(shown)
        return " ".join(words)[:MAX_TEXT]


class ReplyParser:
    """Octets go in by feed(); replies come out of next_reply()."""

    __slots__ = ("_buffer", "_lines", "_octets", "_position", "_seen")

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0
        self._lines: list[str] = []
        self._seen = 0
        self._octets = 0

    @property
    def is_empty(self) -> bool:
        """Whether every octet fed was part of a reply that was taken."""
        return self._position == len(self._buffer) and not self._seen

    def feed(self, data: bytes) -> None:
        """Add received octets. Take every reply there is before feeding more."""
        if self._position == len(self._buffer):
            self._buffer = data
        else:
            self._buffer = self._buffer[self._position :] + data
        self._position = 0

    def next_reply(self) -> FarReply | None:
        """The next complete reply; None when it has not all come. Raises BadReply."""
        buffer, start = self._buffer, self._position
        if not self._seen:
            # PERF: nearly every reply is one line, and most are alike: 0.7 us each (bench: sending).
            single = _SINGLE.match(buffer, start)
            if single is not None:
                self._position = single.end()
                return _usual(single[1], single[2])
        while True:
            end = buffer.find(b"\n", start)
            if end < 0:
                if len(buffer) - start > MAX_LINE_OCTETS:
                    raise BadReply("The far server sent a line that does not end")
                if start < len(buffer) and buffer[start] not in b"2345":
                    # TLS where none is expected, say: there may never be a line end to wait for.
                    raise _no_reply(buffer[start:])
                self._position = start
                return None
            self._octets += end + 1 - start
            self._seen += 1
            if end + 1 - start > MAX_LINE_OCTETS:
                raise BadReply("The far server sent a line that is too long")
            if self._seen > MAX_REPLY_LINES or self._octets > MAX_REPLY_OCTETS:
                raise BadReply("The far server's reply is too long")
            # A line that ends in a bare LF is taken too: nothing that follows could be hidden by it, for no
            # octet of ours stands in what a server says, and old servers do it.
            line = (
                buffer[start : end - 1]
                if buffer[end - 1 : end] == b"\r" and end > start
                else buffer[start:end]
            )
            start = self._position = end + 1
            found = _LINE.fullmatch(line)
            if found is None:
                raise _no_reply(line)
            self._lines.append(_shown(found[3] or b""))
            if found[2] != b"-":
                lines = tuple(self._lines)
                self._lines = []
                self._seen = self._octets = 0
                return FarReply(int(found[1]), _status(found[1], lines), lines)


def _no_reply(line: bytes) -> BadReply:
    return BadReply(f"The far server said something that is no reply: {_shown(line[:80])!r}")


def _make(code: bytes, text: bytes | None) -> FarReply:
    lines = ((text or b"").decode("ascii"),)
    return FarReply(int(code), _status(code, lines), lines)


_known: dict[tuple[bytes, bytes | None], FarReply] = {}


def _usual(code: bytes, text: bytes | None) -> FarReply:
    """A reply of one line, made once for those that come again and again."""
    found = _known.get((code, text))
    if found is None:
        if len(_known) >= _REPEATED:
            _known.clear()
        found = _known[code, text] = _make(code, text)
    return found


def _shown(text: bytes) -> str:
    decoded = text.decode("utf-8", "replace")
    if decoded.isprintable():
        return decoded
    # SECURITY: it ends up in logs and reports, where a terminal's controls or a change of the direction of
    # writing would show something else than was said.
    return "".join([one if one.isprintable() else " " if one.isspace() else "?" for one in decoded])


def _status(code: bytes, lines: tuple[str, ...]) -> str:
    """The first enhanced code of the reply that agrees with its code."""
    first = chr(code[0])
    for line in lines:
        found = _STATUS.match(line)
        if found is not None and found[1] == first:
            return found[0].rstrip()
    return ""
