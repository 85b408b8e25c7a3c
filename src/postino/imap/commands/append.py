"""APPEND: put a message into a mailbox. The message itself streams past the grammar.

RFC: 9051 §6.3.12, 3502 (MULTIAPPEND), 6855 §4 (UTF8 literal).
Not here: the message's octets (framer.AppendData).
"""

from dataclasses import dataclass
from typing import ClassVar

from postino.core.flags import FlagSet
from postino.core.ids import Instant


@dataclass(frozen=True, slots=True)
class AppendHead:
    """Everything of an APPEND before one message's literal; for MULTIAPPEND, one for each message."""

    name: ClassVar[str] = "APPEND"
    tag: bytes
    mailbox: str
    flags: FlagSet
    internal_date: Instant | None
    is_utf8: bool = False
    """The literal came as `UTF8 (~{n}`; its closing parenthesis comes after it."""
