"""The one error the IMAP grammar and framing raise: a command that cannot be understood or allowed.

RFC: 9051 §7.1 (BAD, NO), 5530 §3 (response codes).
Invariants: the message is one sentence a person reading a client's log can act on; it never repeats
    octets of the client, which could hold a password.
"""

from postino.core.errors import ProtocolViolation


class BadCommand(ProtocolViolation):
    """A command refused before anything was done. `tag` is None when not even a tag could be read.

    `status` is what to answer: BAD for syntax, NO where an RFC asks for it (BADCHARSET, USEATTR).
    """

    def __init__(
        self,
        message: str,
        *,
        tag: bytes | None = None,
        code: bytes | None = None,
        status: str = "BAD",
        fatal: bool = False,
    ) -> None:
        super().__init__(message, fatal=fatal)
        self.tag = tag
        self.code = code
        self.status = status
