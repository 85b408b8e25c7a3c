"""STATUS: a mailbox's numbers without opening it.

RFC: 9051 §6.3.11, 7162 §3.1.7 (HIGHESTMODSEQ), 8438 (SIZE), 8474 §4.3 (MAILBOXID), 3501 §6.3.10 (RECENT).
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Status:
    """`items` in upper case, in the order asked, each one of STATUS_ITEMS."""

    name: ClassVar[str] = "STATUS"
    tag: bytes
    mailbox: str
    items: tuple[str, ...]
