"""SUBSCRIBE and UNSUBSCRIBE: the list of mailboxes the user wants to see.

RFC: 9051 §6.3.7 and §6.3.8.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Add to the list."""

    name: ClassVar[str] = "SUBSCRIBE"
    tag: bytes
    mailbox: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Take off the list."""

    name: ClassVar[str] = "UNSUBSCRIBE"
    tag: bytes
    mailbox: str
