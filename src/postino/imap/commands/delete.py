"""DELETE: remove a mailbox and its messages.

RFC: 9051 §6.3.5.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Delete:
    """Whether the mailbox may go is the store's business."""

    name: ClassVar[str] = "DELETE"
    tag: bytes
    mailbox: str
