"""An answer to an SMTP command, with its wire form ready, and the error that carries one.

RFC: 5321 §4.2 (replies, §4.5.3.1.5 length), 2034 §4 and 3463 (enhanced status codes).
Invariants: a reply is printable ASCII whatever was put into it, so nothing a client said can
    start a line of its own; the enhanced code's class equals the code's first digit.
Not here: which answer fits when (replies.py, servers/smtp).
"""

import re
from typing import Final

from postino.core.errors import ProtocolViolation

# 512 octets with code, enhanced code and CRLF.
_MAX_TEXT: Final = 480
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")


class Reply:
    """`code`, `enhanced_code` (empty where RFC 2034 §4 asks for none) and one line or more of text."""

    __slots__ = ("code", "enhanced_code", "lines", "wire")

    code: int
    enhanced_code: str
    lines: tuple[str, ...]
    wire: bytes
    """All lines with their CRLFs."""

    def __init__(self, code: int, enhanced_code: str, *lines: str) -> None:
        assert lines
        assert not enhanced_code or enhanced_code[0] == str(code)[0]
        self.code = code
        self.enhanced_code = enhanced_code
        self.lines = shown = tuple([_UNPRINTABLE.sub("?", line)[:_MAX_TEXT] for line in lines])
        lead = f"{enhanced_code} " if enhanced_code else ""
        *before, last = shown
        wire = f"{code} {lead}{last}\r\n"
        if before:
            wire = "".join([f"{code}-{lead}{line}\r\n" for line in before]) + wire
        self.wire = wire.encode("ascii")

    def __repr__(self) -> str:
        return f"Reply({self.wire.decode('ascii')!r})"


class BadCommand(ProtocolViolation):
    """A command that cannot be understood or taken; `reply` is the answer it earns."""

    def __init__(self, reply: Reply, *, fatal: bool = False) -> None:
        super().__init__(reply.lines[0], fatal=fatal)
        self.reply = reply
