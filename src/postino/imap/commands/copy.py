"""COPY and UID COPY: the same messages in another mailbox too.

RFC: 9051 §6.4.7 and §6.4.9.
"""

from dataclasses import dataclass

from postino.imap.numbers import Numbers


@dataclass(frozen=True, slots=True)
class Copy:
    """`numbers` of the selected mailbox, into `mailbox`."""

    tag: bytes
    numbers: Numbers
    by_uid: bool
    mailbox: str

    @property
    def name(self) -> str:
        """The command's name, for metrics."""
        return "UID COPY" if self.by_uid else "COPY"
